"""The text of `limits`: the room, the limit that decides it, then every limit, the tightest first."""

import errno
import os
from collections.abc import Iterator

from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.time_wait import waiting_text
from fourtuple.core.limits.verdicts import Limits, Verdict
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.interval import Interval
from fourtuple.core.units import format_count
from fourtuple.faces.text.lines import width, wrapped
from fourtuple.faces.text.words import format_interval, full_queue, several_addresses

SHOWN = 5  # lines, unless all are asked for
NAME, CELLS = 32, (15, 10, 23)  # columns: of the name, and of ceiling, in use and room
HEADS = ("ceiling", "in use", "room")
MARK = "▸"


def limits_lines(limits: Limits, *, everything: bool = False) -> Iterator[str]:
    yield from wrapped("", f"room for {_room(limits.room)} more connections {_where(limits)}")
    for resolved in limits.resolved:
        yield from wrapped("name        ", several_addresses(resolved))
    if limits.tightest:
        yield from _reason(limits.tightest)
    for name in limits.full:
        yield from wrapped("but now     ", full_queue(name))
    if limits.waiting:
        yield from wrapped("TIME_WAIT   ", waiting_text(limits.waiting))
    for reason in limits.because:
        yield from wrapped("not exact   ", reason)
    if limits.because and limits.can_probe and limits.strategy not in (Strategy.EXPLICIT, Strategy.BIND0):
        yield from wrapped(" " * 12, "--probe finds out, with short connections on 127.0.0.1 and bind()")
    if limits.probed is not None:
        yield from wrapped(
            "probed      ", f"{format_count(limits.probed)} ports, with short connections on 127.0.0.1 and bind()"
        )
    yield ""
    yield from _line("  ", "limit", *HEADS)
    stopping = [verdict for verdict in limits.verdicts if verdict.stops]
    others = [verdict for verdict in limits.verdicts if not verdict.stops]
    for verdict in stopping if everything else stopping[:SHOWN]:
        yield from _row(verdict, MARK if verdict is limits.tightest else " ")
    if everything:
        for verdict in stopping:
            if verdict.note and _is_estimate(verdict) and verdict is not limits.tightest:
                yield from wrapped("  ~ ", f"{verdict.title}: {verdict.note}")
        yield from _routes(limits)
        yield ""
        yield "these limit speed or behaviour, not the number of connections"
        for verdict in others:
            yield from _shaping(verdict)
        yield from _behaviours(limits)
    else:
        yield f"  … {len(stopping[SHOWN:]) + len(others)} more; --all shows them and every route"
    yield from _remarks(limits)
    if limits.unknown:
        yield ""
        yield "unknown"
        by_reason: dict[str, list[str]] = {}
        for name, why in limits.unknown.items():
            by_reason.setdefault(why, []).append(name)
        for why, names in by_reason.items():
            yield from wrapped("  ", f"{', '.join(names)}: {why}")


def _where(limits: Limits) -> str:
    process = f"of {limits.process} ({limits.pid})"
    if limits.role is Role.SERVER:
        return f"to the listeners {process}"
    if not limits.routes or limits.routes[0].destination is None:
        return "to any one destination that has none yet" if limits.routes else process
    first = limits.routes[0]
    return f"from {_several(first.source, limits.sources)} to {_several(first.destination, limits.destinations)}"


def _several(first: str | None, count: int) -> str:
    return f"{first}" if count == 1 else f"{first} … ({format_count(count)})"


def _reason(verdict: Verdict) -> Iterator[str]:
    value = f": {verdict.value}" if verdict.value else ""
    used = f", {format_count(verdict.in_use)} in use" if verdict.in_use is not None else ""
    yield from wrapped("because of  ", f"{verdict.title} ({verdict.limit}{value}){used}")
    if verdict.errno:
        number = getattr(errno, verdict.errno)
        fails = "fail" if "," in verdict.call else "fails"
        yield from wrapped(
            "symptom     ", f'{verdict.call} {fails} with {verdict.errno} ({number}) "{os.strerror(number)}"'
        )
    else:
        yield from wrapped("symptom     ", verdict.seen)
    if verdict.note and _is_estimate(verdict):
        yield from wrapped("basis       ", verdict.note)
    yield from wrapped("do          ", verdict.fix)
    yield from wrapped("needs       ", verdict.needs)


def _row(verdict: Verdict, mark: str) -> Iterator[str]:
    ceiling = "" if verdict.ceiling is None else format_count(verdict.ceiling)
    in_use = "" if verdict.in_use is None else format_count(verdict.in_use)
    yield from _line(f"{mark} ", verdict.title, ceiling, in_use, "~" * _is_estimate(verdict) + _room(verdict.room))


def _is_estimate(verdict: Verdict) -> bool:
    """Whether the room is one number that the kernel does not count."""
    return not verdict.exact and (verdict.room is None or verdict.room.exact)


def _line(mark: str, name: str, *cells: str) -> Iterator[str]:
    """The name and its numbers; numbers that are too long for their columns get lines of their own."""
    head = mark + name
    if (
        width() >= NAME + sum(CELLS)
        and len(head) < NAME
        and all(len(cell) < width for cell, width in zip(cells, CELLS, strict=True))
    ):
        yield f"{head:<{NAME}}" + "".join(f"{cell:>{width}}" for cell, width in zip(cells, CELLS, strict=True))
        return
    yield head
    parts = [f"{head} {cell}" for head, cell in zip(HEADS, cells, strict=True) if cell]
    yield from wrapped(" " * len(mark) + "  ", ", ".join(parts))


def _room(room: Interval | None) -> str:
    return "unknown" if room is None else format_interval(room)


def _routes(limits: Limits) -> Iterator[str]:
    if len(limits.routes) < 2:
        return
    yield ""
    yield from _line("  ", "route", *HEADS)
    for route in limits.routes:
        numbers = (format_count(route.ceiling), format_count(route.in_use), _room(route.room))
        yield from _line("  ", f"{route.source} → {route.destination}", *numbers)
    if limits.pairs > len(limits.routes):
        yield f"  … {format_count(limits.pairs - len(limits.routes))} more routes"


def _behaviours(limits: Limits) -> Iterator[str]:
    """What is known of this kernel, with the evidence."""
    if not limits.behaviours:
        return
    yield ""
    yield f"this kernel ({limits.kernel})"
    for each in limits.behaviours:
        answer = "unknown" if each.holds is None else "yes" if each.holds else "no"
        yield from wrapped(f"  {answer:<9}", f"{each.rule.says} ({each.by}: {each.evidence})")


def _shaping(verdict: Verdict) -> Iterator[str]:
    value = f" = {verdict.value}" if verdict.value else ""
    numbers = (
        f"{format_count(verdict.in_use)} of {format_count(verdict.ceiling)}"
        if (verdict.in_use is not None and verdict.ceiling is not None)
        else ""
    )
    details = "; ".join(filter(None, (numbers, verdict.note)))
    yield from wrapped("  ", f"{verdict.title} ({verdict.limit}{value}){': ' if details else ''}{details}")


def _remarks(limits: Limits) -> Iterator[str]:
    if limits.remarks:
        yield ""
        yield "1 remark" if len(limits.remarks) == 1 else f"{len(limits.remarks)} remarks"
    for remark in limits.remarks:
        yield from wrapped("  ", f"{remark.about}: {remark.text}")
