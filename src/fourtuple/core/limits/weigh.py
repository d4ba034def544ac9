"""What every limit leaves in a case, the tightest first, and which of them decides."""

from collections.abc import Sequence

from fourtuple.core.errnos import name_of
from fourtuple.core.limits.table import LIMITS
from fourtuple.core.limits.verdicts import Case, Limit, Measure, Verdict

_CALLS = ("socket()", "bind()", "connect()")  # in the order in which a program comes to them


def weigh(case: Case) -> tuple[Verdict, ...]:
    """Every limit that has something to say: those that stop connections first, the tightest of them first."""
    found = []
    for limit in LIMITS:
        if case.role in limit.roles and (measure := limit.measure(case)):
            found.append(_verdict(limit, measure))
    return tuple(sorted(found, key=_tightness))


def bound(verdicts: Sequence[Verdict]) -> tuple[int | None, int | None, Verdict | None]:
    """(room, room at most, the verdict that decides)"""
    stopping = [verdict for verdict in verdicts if verdict.stops and verdict.room is not None]
    if not stopping:
        return None, None, None
    most = [verdict.room if verdict.room_max is None else verdict.room_max for verdict in stopping]
    return stopping[0].room, min(value for value in most if value is not None), stopping[0]


def _verdict(limit: Limit, measure: Measure) -> Verdict:
    room_max = measure.room if measure.room_max is None else measure.room_max
    return Verdict(
        limit=limit.name,
        title=limit.title,
        scope=limit.scope,
        value=measure.value,
        ceiling=measure.ceiling,
        in_use=measure.in_use,
        room=measure.room,
        room_max=room_max,
        exact=measure.exact and measure.room == room_max,
        stops=measure.stops,
        call=limit.call,
        errno=name_of(limit.errno) if limit.errno else "",
        counter=limit.counter,
        seen=limit.seen,
        fix=limit.fix,
        needs=limit.needs,
        note=measure.note,
    )


def _tightness(verdict: Verdict) -> tuple[bool, bool, int, int, int]:
    """Where two leave the same, the longer interval is less tight, and the call that comes first is met first."""
    call = next((rank for rank, name in enumerate(_CALLS) if verdict.call.startswith(name)), len(_CALLS))
    return not verdict.stops, verdict.room is None, verdict.room or 0, verdict.room_max or 0, call
