"""Screens of `check`, one for each verdict."""

from collections.abc import Sequence
from dataclasses import replace

from fourtuple.core.check.judge import Ended, Kind, Observation, judge
from fourtuple.faces.text.check import check_lines, progress_line
from tests.core.check.test_judge import ONE_EACH, PORTS, SEEN, connections

KEPT = frozenset(range(32_768, 32_773))
ONE = frozenset({32_900})
SEVERAL = replace(
    SEEN, destinations=[f"10.77.1.1:{8001 + n}" for n in range(10)], most=connections(640, 10), opened=640
)
STEPS = [(number % 4, 32_768 + number, number % 6) for number in range(48)]


def _lines(seen: Observation, expected: Kind | int = Kind.SHARED, command: Sequence[str] = ()) -> str:
    return "\n".join(check_lines(judge(seen, command), expected))


SCREENS = {
    "shared": lambda: _lines(SEEN),
    "shared-some": lambda: _lines(replace(SEEN, most=connections(12), opened=12)),
    "shared-one": lambda: _lines(replace(SEEN, most=connections(1), opened=1), 2),
    "many-destinations": lambda: _lines(SEVERAL),
    "unseen": lambda: _lines(replace(SEEN, most=ONE_EACH[:5], opened=5, time_wait=0)),
    "time-wait": lambda: _lines(replace(SEEN, most=ONE_EACH[:2], opened=150, closed_first=148, time_wait=64)),
    "leaks": lambda: _lines(replace(SEEN, close_wait=7, left=1, exit=None, ended=Ended.SETTLED)),
    "poisons": lambda: _lines(replace(SEEN, kept=PORTS, kept_after=PORTS, named=PORTS), Kind.POISONS),
    "failed": lambda: _lines(replace(SEEN, most=connections(12), opened=12, exit=3)),
    "failed-bound": lambda: _lines(
        replace(
            SEEN, most=ONE_EACH, opened=64, kept=PORTS, kept_after=PORTS, errno="EADDRINUSE", call="bind", exit=137
        ),
        64,
    ),
    "listens": lambda: _lines(replace(SEEN, kept=ONE, named=ONE, listened=ONE)),
    "bound-known": lambda: _lines(replace(SEEN, most=ONE_EACH[:5], opened=5, kept=KEPT), command=["wget", "{url1}"]),
    "lockstep": lambda: _lines(
        replace(SEEN, destinations=[f"10.77.1.1:{8001 + n}" for n in range(6)], most=STEPS, opened=48)
    ),
    "bound": lambda: _lines(
        replace(
            SEEN,
            most=ONE_EACH,
            opened=64,
            kept=PORTS,
            kept_after=PORTS,
            errno="EADDRNOTAVAIL",
            call="bind",
            ended=Ended.TIME,
            exit=None,
        )
    ),
    "bound-few": lambda: _lines(replace(SEEN, most=ONE_EACH[:5], opened=5, kept=KEPT, lost=4, ended=Ended.ASKED)),
    "progress": lambda: progress_line(1200, 12_345),
}
