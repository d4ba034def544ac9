"""The text of `limits`: the room, the limit that decides it, then every limit, the tightest first."""

import errno
import os
from collections.abc import Iterator

from fourtuple.core.errnos import name_of
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.table import LIMITS as ALL_LIMITS
from fourtuple.core.limits.time_wait import waiting_text
from fourtuple.core.limits.verdicts import Limits, Verdict
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.interval import Interval
from fourtuple.core.units import format_count, format_things
from fourtuple.faces.text.lines import wrapped
from fourtuple.faces.text.tables import Column, TableRow, table_lines
from fourtuple.faces.text.words import format_interval, full_queue, several_addresses

SHOWN = 5  # lines, unless all are asked for
NUMBERS = (Column("ceiling", 14), Column("in use", 8), Column("room", 21))
LIMITS = (Column("  limit", 31, is_text=True), *NUMBERS)
ROUTES = (Column("route", 29, is_text=True), *NUMBERS)
SOMAXCONN = "net.core.somaxconn"
MARK = "▸"


def limits_lines(limits: Limits, *, everything: bool = False, from_here: bool = False) -> Iterator[str]:
    """The room and its limits. from_here: of no process that runs, but of one that would be started here"""
    if limits.full:
        yield from _full(limits)
    once = "once it accepts: " if len(limits.full) == 1 else "once they accept: " if limits.full else ""
    if limits.is_unknown:
        yield from wrapped("", "how many more connections fit is unknown")
        yield from _unknown(limits)
    else:
        yield from wrapped("", f"{once}room for {_room(limits.room)} more connections {_where(limits)}")
    if from_here:
        yield from wrapped("for         ", "a program started from this shell; --pid PID asks for one that runs")
    for resolved in limits.resolved:
        yield from wrapped("name        ", several_addresses(resolved))
    if limits.tightest:
        yield from _reason(limits.tightest)
    if limits.waiting:
        yield from wrapped("TIME_WAIT   ", waiting_text(limits.waiting, limits.kept_ms))
    for reason in limits.because:
        yield from wrapped("not exact   ", reason)
    if limits.because and limits.can_probe and limits.strategy not in (Strategy.EXPLICIT, Strategy.BIND0):
        yield from wrapped(" " * 12, "--probe finds out, with short connections on 127.0.0.1 and bind()")
    if limits.probed is not None:
        yield from wrapped(
            "probed      ", f"{format_things(limits.probed, 'port')}, with short connections on 127.0.0.1 and bind()"
        )
    yield ""
    stopping = [verdict for verdict in limits.verdicts if verdict.stops]
    others = [verdict for verdict in limits.verdicts if not verdict.stops]
    shown = stopping if everything else stopping[:SHOWN]
    if shown:
        yield from table_lines(LIMITS, [_row(each, MARK if each is limits.tightest else " ") for each in shown])
    if everything:
        for verdict in stopping:
            is_said = verdict.note == "; ".join(limits.because) or (
                verdict is limits.tightest and _is_estimate(verdict)
            )
            if verdict.note and not verdict.exact and not is_said:
                yield from wrapped("  ~ ", f"{verdict.title}: {verdict.note}")
        yield from _routes(limits)
        yield ""
        yield from wrapped("", "these limit speed or behaviour, not the number of connections")
        for verdict in others:
            yield from _shaping(verdict)
        yield from _behaviours(limits)
    else:
        yield from wrapped("  … ", f"{len(stopping[SHOWN:]) + len(others)} more; --all shows them and every route")
    yield from _remarks(limits)
    if not limits.is_unknown:
        yield from _unknown(limits)


def _unknown(limits: Limits) -> Iterator[str]:
    if not limits.unknown:
        return
    yield ""
    yield "unknown"
    by_reason: dict[str, list[str]] = {}
    for name, why in limits.unknown.items():
        by_reason.setdefault(why, []).append(name)
    for why, names in by_reason.items():
        yield from wrapped("  ", f"{', '.join(names)}: {why}")


def _full(limits: Limits) -> Iterator[str]:
    """What stops connections before any limit does: accept queues that are full now."""
    for name in limits.full:
        yield from wrapped("", full_queue(name))
    (queues,) = (limit for limit in ALL_LIMITS if limit.name == SOMAXCONN)
    yield from _symptom(queues.call, name_of(queues.errno), queues.seen)
    yield from wrapped("do          ", queues.fix)
    yield from wrapped("needs       ", queues.needs)
    yield ""


def _where(limits: Limits) -> str:
    process = f"of {limits.process}{f' ({limits.pid})' * bool(limits.pid)}"
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
    yield from _symptom(verdict.call, verdict.errno, verdict.seen)
    if verdict.note and _is_estimate(verdict):
        yield from wrapped("basis       ", verdict.note)
    yield from wrapped("do          ", verdict.fix)
    yield from wrapped("needs       ", verdict.needs)


def _symptom(call: str, name: str, seen: str) -> Iterator[str]:
    """name: of the errno of the call; empty: no call fails"""
    if not name:
        yield from wrapped("symptom     ", seen)
        return
    number = getattr(errno, name)
    fails = "fail" if "," in call else "fails"
    yield from wrapped("symptom     ", f'{call} {fails} with {name} ({number}) "{os.strerror(number)}"')


def _row(verdict: Verdict, mark: str) -> TableRow:
    ceiling = "" if verdict.ceiling is None else format_count(verdict.ceiling)
    in_use = "" if verdict.in_use is None else format_count(verdict.in_use)
    return TableRow((f"{mark} {verdict.title}", ceiling, in_use, "~" * _is_estimate(verdict) + _room(verdict.room)))


def _is_estimate(verdict: Verdict) -> bool:
    """Whether the room is one number that the kernel does not count."""
    return not verdict.exact and (verdict.room is None or verdict.room.exact)


def _room(room: Interval | None) -> str:
    return "unknown" if room is None else format_interval(room)


def _routes(limits: Limits) -> Iterator[str]:
    if len(limits.routes) < 2:
        return
    yield ""
    rows = [
        TableRow(
            (
                f"{route.source} → {route.destination}",
                format_count(route.ceiling),
                format_count(route.in_use),
                _room(route.room),
            )
        )
        for route in limits.routes
    ]
    yield from table_lines(ROUTES, rows, indent="  ")
    if limits.pairs > len(limits.routes):
        yield f"  … {format_things(limits.pairs - len(limits.routes), 'more route')}"


def _behaviours(limits: Limits) -> Iterator[str]:
    """What is known of this kernel, with the evidence."""
    if not limits.behaviours:
        return
    yield ""
    yield from wrapped("", f"this kernel ({limits.kernel})")
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
