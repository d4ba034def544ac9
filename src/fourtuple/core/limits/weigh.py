"""What every limit leaves in a case, the tightest first, and which of them decides."""

from collections.abc import Sequence

from fourtuple.core.errnos import name_of
from fourtuple.core.limits.table import LIMITS
from fourtuple.core.limits.verdicts import Case, Limit, Measure, Verdict
from fourtuple.core.space.interval import Interval

_CALLS = ("socket()", "bind()", "connect()")  # in the order in which a program comes to them


def weigh(case: Case) -> tuple[Verdict, ...]:
    """Every limit that has something to say: those that stop connections first, the tightest of them first."""
    found = []
    for limit in LIMITS:
        if case.role in limit.roles and (measure := limit.measure(case)):
            found.append(_verdict(limit, measure))
    return tuple(sorted(found, key=_tightness))


def bound(verdicts: Sequence[Verdict]) -> tuple[Interval | None, Verdict | None]:
    """(room, the verdict that decides); None: nothing that is known stops connections"""
    stopping = [verdict for verdict in verdicts if verdict.stops and verdict.room is not None]
    room = Interval.tightest(verdict.room for verdict in stopping if verdict.room is not None)
    return room, next(iter(stopping), None)


def _verdict(limit: Limit, measure: Measure) -> Verdict:
    return Verdict(
        limit=limit.name,
        title=limit.title,
        scope=limit.scope,
        value=measure.value,
        ceiling=measure.ceiling,
        in_use=measure.in_use,
        room=measure.room,
        exact=measure.exact and (measure.room is None or measure.room.exact),
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
    room = verdict.room or Interval.of(0)
    return not verdict.stops, verdict.room is None, room.least, room.most, call
