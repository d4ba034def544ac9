"""Workers: counters add up, a killed one is noticed, none outlives its parent."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

import pytest

from fourtuple.core.runs.counters import Counters, Phase
from fourtuple.core.runs.records import Event, Sample
from fourtuple.core.space.endpoints import Endpoint, FourTuple
from fourtuple.engine.control import Control
from fourtuple.engine.crews.workers import Crew, Work
from tests.waiting import wait_until

EVENT = Event("connected", FourTuple(Endpoint.parse("10.0.0.4:1"), Endpoint.parse("10.0.0.9:2")))


def holds(wanted: int, row: Counters, control: Control) -> Iterator[list[Event]]:
    """A worker that has `wanted` open at once and says so."""
    row["wanted"] = row["open"] = row["opened"] = wanted
    row["phase"] = Phase.HOLDING
    yield [EVENT]
    while not control.closing:
        time.sleep(0.01)
        yield []
    row["open"], row["closed"], row["phase"] = 0, wanted, Phase.CLOSED
    yield [EVENT]


def is_killed(wanted: int, row: Counters, control: Control) -> Iterator[list[Event]]:
    row["wanted"], row["open"], row["opened"] = wanted, wanted - 3, wanted - 3
    row["phase"] = Phase.HOLDING
    yield []
    os.kill(os.getpid(), signal.SIGKILL)
    yield []


def ends_at_once(row: Counters, control: Control) -> Iterator[list[Event]]:
    raise SystemExit(1)
    yield []


def crew_of(*works: Work, here: bool = False, log: bool = False, wanted: int = 0) -> Crew:
    crew = Crew(here=here, log=log)
    for work in works:
        crew.add(work, wanted)
    return crew


def run(crew: Crew) -> list[Sample]:
    """All samples; told to close once every worker holds."""
    samples = []
    for sample in crew.samples():
        samples.append(sample)
        if sample.phase >= Phase.HOLDING:
            crew.control.close()
    return samples


@pytest.mark.parametrize("here", [True, False])
def test_counters_add_up_whoever_does_the_work(here: bool) -> None:
    works = [partial(holds, 23)] if here else [partial(holds, 23), partial(holds, 997)]
    samples = run(crew_of(*works, here=here, log=True))
    total = 23 if here else 1020

    assert max(sample.open for sample in samples) == total
    assert (samples[-1].closed, samples[-1].open, samples[-1].phase) == (total, 0, Phase.CLOSED)
    assert sum(len(sample.events) for sample in samples) == 2 * len(works)


def test_what_a_killed_worker_held_is_lost_and_what_it_had_not_opened_has_failed() -> None:
    samples = run(crew_of(partial(holds, 23), partial(is_killed, 10)))

    assert (samples[-1].lost, samples[-1].lost_by) == (7, {"ECANCELED": 7})
    assert samples[-1].failed == {"ECANCELED": 3}
    assert samples[-1].closed == 23


def test_a_worker_that_never_began_still_owes_its_share() -> None:
    """It is known how much it was to open, so that nothing wanted disappears from the account."""
    crew = crew_of(ends_at_once, ends_at_once, wanted=10)
    samples = run(crew)

    assert (samples[-1].wanted, samples[-1].failed, crew.killed) == (20, {"ECANCELED": 20}, 2)


def test_no_worker_is_left_when_the_samples_are_dropped() -> None:
    """Whoever stops pulling has ended the run."""
    samples = crew_of(*[partial(holds, 1)] * 3).samples()
    next(samples)
    samples.close()  # type: ignore[attr-defined]

    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_workers_die_with_their_parent() -> None:
    """Also when it is killed and can tell them nothing."""
    code = (
        "import sys; from functools import partial; from tests.engine.crews.test_workers import crew_of, holds\n"
        "crew = crew_of(*[partial(holds, 1)] * 3)\n"
        "for sample in crew.samples():\n"
        "    if sample.open == 3: print(*crew._pids, flush=True)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = list(map(int, parent.stdout.readline().split()))
    assert len(pids) == 3
    parent.kill()
    parent.communicate()

    assert wait_until(lambda: not any(alive(pid) for pid in pids))


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_errno_of_a_dead_worker_is_one_that_is_explained() -> None:
    from fourtuple.core.errnos import SYMPTOMS

    assert errno.ECANCELED in SYMPTOMS
