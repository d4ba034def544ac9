"""Workers: counters add up, a killed worker is noticed, and no worker outlives its parent."""

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial

import numpy as np
import pytest

from fourtuple.core.runs.counters import Counters, Phase
from fourtuple.core.runs.records import Event, Sample
from fourtuple.core.space.endpoints import Endpoint, FourTuple
from fourtuple.engine.control import Control, Cookies
from fourtuple.engine.crews.contract import Crew, Work
from fourtuple.engine.crews.workers import Workers

EVENT = Event("connected", FourTuple(Endpoint.parse("10.0.0.4:1"), Endpoint.parse("10.0.0.9:2")))


def holds(wanted: int, row: Counters, control: Control, cookies: Cookies) -> Iterator[list[Event]]:
    """A worker that has `wanted` connections open at once, and counts them."""
    row["wanted"] = row["open"] = row["opened"] = wanted
    row["phase"] = Phase.HOLDING
    yield [EVENT]
    while not control.closing:
        time.sleep(0.01)
        yield []
    row["open"], row["closed"], row["phase"] = 0, wanted, Phase.CLOSED
    yield [EVENT]


def is_killed(wanted: int, row: Counters, control: Control, cookies: Cookies) -> Iterator[list[Event]]:
    row["wanted"], row["open"], row["opened"] = wanted, wanted - 3, wanted - 3
    row["phase"] = Phase.HOLDING
    yield []
    os.kill(os.getpid(), signal.SIGKILL)
    yield []


def ends_at_once(row: Counters, control: Control, cookies: Cookies) -> Iterator[list[Event]]:
    raise SystemExit(1)
    yield []


def a_crew(*works: Work, wanted: int = 0) -> Workers:
    crew = Workers(log=False)
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


def test_what_a_killed_worker_held_is_lost_and_what_it_had_not_opened_has_failed() -> None:
    samples = run(a_crew(partial(holds, 23), partial(is_killed, 10)))

    assert (samples[-1].lost, samples[-1].lost_by) == (7, {"ECANCELED": 7})
    assert samples[-1].failed == {"ECANCELED": 3}
    assert samples[-1].closed == 23


def test_a_killed_worker_does_not_stop_the_stages_of_the_others() -> None:
    """The stage of all is that of the slowest; one that is gone follows no target."""

    def is_killed_in_a_stage(row: Counters, control: Control, cookies: Cookies) -> Iterator[list[Event]]:
        row["stage"], row["target"] = 1, 10
        return is_killed(10, row, control, cookies)

    def goes_on(row: Counters, control: Control, cookies: Cookies) -> Iterator[list[Event]]:
        row["stage"], row["target"] = 3, 7
        row["stage_open"][:3] = 23, 23, 7
        return holds(23, row, control, cookies)

    last = run(a_crew(is_killed_in_a_stage, goes_on))[-1]

    assert (last.stage, last.target, last.stage_open) == (3, 7, (23, 23, 7))


def test_a_worker_with_nothing_to_open_can_identify_nothing() -> None:
    crew = a_crew(partial(holds, 0), wanted=0)
    cookies = crew.cookies()
    cookies[np.flatnonzero(cookies)] = 0

    assert len(cookies) == 0


def test_a_worker_that_never_began_still_owes_its_share() -> None:
    """The number it was to open is known, so that all wanted connections are accounted for."""
    crew = a_crew(ends_at_once, ends_at_once, wanted=10)
    samples = run(crew)

    assert (samples[-1].wanted, samples[-1].failed, crew.killed) == (20, {"ECANCELED": 20}, 2)


def test_no_worker_is_left_when_the_samples_are_dropped() -> None:
    """When the caller stops iterating, the run ends."""
    samples = a_crew(*[partial(holds, 1)] * 3).samples()
    next(samples)
    samples.close()  # type: ignore[attr-defined]

    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_workers_die_with_their_parent() -> None:
    """Also if the parent is killed, and cannot stop them."""
    code = (
        "import sys; from functools import partial; from tests.engine.crews.test_workers import a_crew, holds\n"
        "crew = a_crew(*[partial(holds, 1)] * 3)\n"
        "for sample in crew.samples():\n"
        "    if sample.open == 3: print(*crew._pids, flush=True)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = list(map(int, parent.stdout.readline().split()))
    assert len(pids) == 3
    parent.kill()
    parent.communicate()
    until = time.monotonic() + 10
    while any(alive(pid) for pid in pids) and time.monotonic() < until:
        time.sleep(0.05)

    assert not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_errno_of_a_dead_worker_is_one_that_is_explained() -> None:
    from fourtuple.core.errnos import SYMPTOMS

    assert errno.ECANCELED in SYMPTOMS
