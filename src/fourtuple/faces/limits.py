"""How many more connections there can be: the answer, the limit that decides, then every limit, the tightest first."""

import errno
import os
from collections.abc import Iterator

from fourtuple.core.plan import Strategy
from fourtuple.core.units import format_count
from fourtuple.core.verdicts import Limits, Role, Verdict
from fourtuple.faces.lines import wrapped

SHOWN, ROUTES = 5, 6  # lines, unless all are asked for
NAME, CEILING, IN_USE, ROOM = 36, 12, 11, 19
MARK = "▸"


def limits_lines(limits: Limits, *, everything: bool = False) -> Iterator[str]:
    yield from wrapped("", f"room for {_room(limits.room, limits.room_max)} more connections {_where(limits)}")
    if limits.tightest:
        yield from _reason(limits.tightest)
    for name in limits.full:
        yield from wrapped("but now     ", f"the accept queue of {name} is full: nobody gets in until it accepts")
    if limits.waiting:
        waits = f"{format_count(limits.waiting)} of those in use are in TIME_WAIT, and free within 60 s"
        yield from wrapped("of these    ", waits)
    for reason in limits.because:
        yield from wrapped("not exact   ", reason)
    if limits.because and limits.open_ports and limits.strategy not in (Strategy.EXPLICIT, Strategy.BIND0):
        yield "            --probe asks the kernel, by short connections on 127.0.0.1"
    if limits.probed is not None:
        yield from wrapped(
            "probed      ", f"{format_count(limits.probed)} ports, each by a short connection on 127.0.0.1"
        )
    yield ""
    yield f"  {'limit':<{NAME - 2}}{'ceiling':>{CEILING}}{'in use':>{IN_USE}}{'room':>{ROOM}}"
    stopping = [verdict for verdict in limits.verdicts if verdict.stops]
    others = [verdict for verdict in limits.verdicts if not verdict.stops]
    for verdict in stopping if everything else stopping[:SHOWN]:
        yield _row(verdict, MARK if verdict is limits.tightest else " ")
    if everything:
        yield from _routes(limits)
        yield ""
        yield "they stop no connection, but shape, slow or colour them"
        for verdict in others:
            yield from _shaping(verdict)
    else:
        yield f"  … {len(stopping[SHOWN:]) + len(others)} more, and each route: --all"
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
    whose = f"of {limits.process} ({limits.pid})"
    if limits.role is Role.SERVER:
        return f"to the listeners {whose}"
    if not limits.routes or limits.routes[0].destination is None:
        return "to any one destination that has none yet" if limits.routes else whose
    sources = list(dict.fromkeys(route.source for route in limits.routes))
    destinations = list(dict.fromkeys(route.destination for route in limits.routes))
    return f"from {_several(sources)} to {_several(destinations)}"


def _several(ends: list[str | None]) -> str:
    return f"{ends[0]}" if len(ends) == 1 else f"{ends[0]} … {ends[-1]} ({format_count(len(ends))})"


def _reason(verdict: Verdict) -> Iterator[str]:
    value = f": {verdict.value}" if verdict.value else ""
    used = f", {format_count(verdict.in_use)} in use" if verdict.in_use is not None else ""
    yield from wrapped("because of  ", f"{verdict.title} ({verdict.limit}{value}){used}")
    if verdict.errno:
        number = getattr(errno, verdict.errno)
        yield from wrapped(
            "            ", f'at the wall {verdict.call} fails with {verdict.errno} ({number}) "{os.strerror(number)}"'
        )
    else:
        yield from wrapped("            ", f"at the wall {verdict.seen}")
    yield from wrapped("do          ", verdict.fix)
    yield from wrapped("needs       ", verdict.needs)


def _row(verdict: Verdict, mark: str) -> str:
    ceiling = "" if verdict.ceiling is None else format_count(verdict.ceiling)
    in_use = "" if verdict.in_use is None else format_count(verdict.in_use)
    room = _room(verdict.room, verdict.room_max)
    sure = "" if verdict.exact or verdict.room != verdict.room_max else "~"
    return f"{mark} {verdict.title:<{NAME - 2}}{ceiling:>{CEILING}}{in_use:>{IN_USE}}{sure + room:>{ROOM}}"


def _room(room: int | None, room_max: int | None) -> str:
    if room is None:
        return "unknown"
    return format_count(room) if room_max in (None, room) else f"{format_count(room)} to {format_count(room_max or 0)}"


def _routes(limits: Limits) -> Iterator[str]:
    if len(limits.routes) < 2:
        return
    yield ""
    yield f"  {'route':<{NAME - 2}}{'ceiling':>{CEILING}}{'in use':>{IN_USE}}{'room':>{ROOM}}"
    for route in limits.routes:
        name = f"{route.source} → {route.destination}"
        if len(name) > NAME - 2:
            yield f"  {name}"
            name = ""
        room = _room(route.room, route.room_max)
        yield (
            f"  {name:<{NAME - 2}}{format_count(route.ceiling):>{CEILING}}{format_count(route.in_use):>{IN_USE}}"
            f"{room:>{ROOM}}"
        )
    if limits.pairs > len(limits.routes):
        yield f"  … {format_count(limits.pairs - len(limits.routes))} routes more"


def _shaping(verdict: Verdict) -> Iterator[str]:
    value = f" = {verdict.value}" if verdict.value else ""
    numbers = (
        f"{format_count(verdict.in_use)} of {format_count(verdict.ceiling)}"
        if (verdict.in_use is not None and verdict.ceiling is not None)
        else ""
    )
    said = "; ".join(filter(None, (numbers, verdict.note)))
    yield from wrapped("  ", f"{verdict.title} ({verdict.limit}{value}){': ' if said else ''}{said}")


def _remarks(limits: Limits) -> Iterator[str]:
    if limits.remarks:
        yield ""
        yield "1 remark" if len(limits.remarks) == 1 else f"{len(limits.remarks)} remarks"
    for remark in limits.remarks:
        yield from wrapped("  ", f"{remark.about}: {remark.text}")
