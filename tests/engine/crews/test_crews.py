"""The contract of a crew, tested on every crew; a new crew is added to CREWS."""

import pickle
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest

from fourtuple.core.errors import ShortfallError
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.counters import COUNTERS, Counters, Phase
from fourtuple.core.runs.pace import OpeningPace
from fourtuple.core.runs.records import Event
from fourtuple.core.runs.slices import Plan, split
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.engine.control import Control, Cookies
from fourtuple.engine.crews.choose import crew_of
from fourtuple.engine.crews.contract import Assignment, Crew
from fourtuple.engine.crews.here import Here
from fourtuple.engine.crews.workers import Workers
from fourtuple.engine.loops.contract import How
from fourtuple.engine.workloads.hold import HoldJob, hold
from tests.engine.crews.test_workers import holds, run
from tests.engine.scripted import Clock, ScriptedLoop

CREWS: dict[str, tuple[Callable[[], Crew], int]] = {
    "here": (Here, 1),
    "workers": (partial(Workers, log=True), 3),
}


@pytest.fixture(params=list(CREWS.values()), ids=list(CREWS))
def crew_and_works(request: pytest.FixtureRequest) -> tuple[Crew, int]:
    """A crew, and the number of pieces of work for it."""
    make, works = request.param
    return make(), works


def test_counters_and_events_add_up_whoever_does_the_work(crew_and_works: tuple[Crew, int]) -> None:
    crew, works = crew_and_works
    for number in range(works):
        crew.add(partial(holds, 23 + number), 23 + number)
    total = sum(23 + number for number in range(works))
    samples = run(crew)

    assert max(sample.open for sample in samples) == total
    assert (samples[-1].closed, samples[-1].open, samples[-1].phase) == (total, 0, Phase.CLOSED)
    assert (samples[-1].wanted, samples[-1].workers, crew.killed) == (total, works, 0)
    assert sum(len(sample.events) for sample in samples) == 2 * works


def test_whoever_stops_pulling_has_ended_the_run(crew_and_works: tuple[Crew, int]) -> None:
    crew, works = crew_and_works
    for _ in range(works):
        crew.add(partial(holds, 1))
    samples = crew.samples()
    next(samples)
    samples.close()  # type: ignore[attr-defined]

    assert crew.control.closing


def test_one_worker_is_this_process_and_more_are_forked() -> None:
    """If workers may be added during the run, none of them is this process."""
    crews = [crew_of(workers, log=False) for workers in (1, 2, None)]

    assert [type(crew) for crew in crews] == [Here, Workers, Workers]


def test_this_process_is_only_one_worker() -> None:
    crew = Here()
    crew.add(partial(holds, 1))

    with pytest.raises(ShortfallError, match="one worker"):
        crew.add(partial(holds, 1))


def hold_scripted(job: HoldJob, part: int, row: Counters, control: Control, cookies: Cookies) -> Iterator[list[Event]]:
    clock = Clock()
    return hold(job, job.plan.slices[part], ScriptedLoop(clock), row, control, cookies, clock)


def test_work_that_is_data_does_the_same_where_it_was_sent() -> None:
    """An order and the number of a slice survive pickle: the second of two slices of 23 opens its 12."""
    space = TupleSpace.of(["10.0.0.4"], range(40_000, 50_000), ["10.0.0.9:80"])
    plan = Plan(23, Interval.of(space.size), space, Strategy.LATE, split(23, space.size, 2, OpeningPace()))
    job = HoldJob(plan, How(bind=False, port_range=None, timeout_s=30), timeout_s=30, reset=True, log=False)
    work = pickle.loads(pickle.dumps(Assignment(hold_scripted, job, 1)))  # noqa: S301  (our own)
    row, control = np.zeros(1, COUNTERS)[0], Control()
    for _ in work(row, control, np.zeros(12, np.uint64)):
        if row["phase"] == Phase.HOLDING:
            control.close()

    assert (row["opened"], row["closed"], row["phase"]) == (12, 12, Phase.CLOSED)
