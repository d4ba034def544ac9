"""The room that every limit leaves in a case, the tightest first, and the limit that decides."""

from collections.abc import Sequence

from fourtuple.core.errnos import name_of
from fourtuple.core.limits.table import LIMITS
from fourtuple.core.limits.verdicts import Case, Limit, Measure, Verdict
from fourtuple.core.space.interval import Interval

_CALLS = ("socket()", "bind()", "connect()")  # in the order in which a program makes them


def weigh(case: Case) -> tuple[Verdict, ...]:
    """The verdict of every limit that applies: those that stop connections first, the tightest of them first."""
    verdicts = []
    for limit in LIMITS:
        if case.role in limit.roles and (measure := limit.measure(case)):
            verdicts.append(_verdict(limit, measure))
    return tuple(sorted(verdicts, key=_tightness))


def bound(verdicts: Sequence[Verdict]) -> tuple[Interval | None, Verdict | None]:
    """The room and the verdict that decides it; None for both if no known limit stops connections."""
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
        fix=measure.fix or limit.fix,
        needs=limit.needs,
        note=measure.note,
    )


def _tightness(verdict: Verdict) -> tuple[bool, bool, int, int, int]:
    """The sort key: for equal room the wider interval is less tight, and the earlier call comes first."""
    call = next((rank for rank, name in enumerate(_CALLS) if verdict.call.startswith(name)), len(_CALLS))
    room = verdict.room or Interval.of(0)
    return not verdict.stops, verdict.room is None, room.least, room.most, call
