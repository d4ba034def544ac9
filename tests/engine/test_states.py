"""The table of states: every change that hold and serve make is in it, and every row of it occurs."""

import errno
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fourtuple.core.runs.churn_orders import ClosedBy
from fourtuple.core.talk.stages import parse_stages
from fourtuple.engine import states
from fourtuple.engine.dialogues.fixed import Talk
from fourtuple.engine.states import STAGE_BITS, STAGES, TRANSITIONS, Life, Pending
from fourtuple.engine.workloads import churn, hold, serve
from fourtuple.engine.workloads.serve import ServeJob
from tests.engine.scripted import Clock, Run, ScriptedLoop
from tests.engine.workloads.test_churn import a_churn, over
from tests.engine.workloads.test_hold import a_run, opened


class Observed(np.ndarray):
    """The states of slots; every change of stage is noted, and a dialogue's bits beside any stage but OPEN refused."""

    changes: set[tuple[int, int]] = set()  # noqa: RUF012  (one for all of a test)

    def __setitem__(self, key: Any, value: Any) -> None:
        before = np.array(self[key]).ravel()
        super().__setitem__(key, value)
        after = np.array(self[key]).ravel()
        for old, new in {*zip(before.tolist(), after.tolist(), strict=True)}:
            assert new & STAGE_BITS in STAGES, f"{new} has no stage"
            assert new & STAGE_BITS == Life.OPEN or new & ~STAGE_BITS == 0, f"{new} speaks and is not open"
            if old & STAGE_BITS != new & STAGE_BITS:
                self.changes.add((old & STAGE_BITS, new & STAGE_BITS))


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> set[tuple[int, int]]:
    def observed(count: int) -> NDArray[np.uint8]:
        return states.empty_slots(count).view(Observed)

    monkeypatch.setattr(hold, "empty_slots", observed)
    monkeypatch.setattr(serve, "empty_slots", observed)
    monkeypatch.setattr(churn, "empty_slots", observed)
    monkeypatch.setattr(Observed, "changes", set())
    return Observed.changes


def test_every_change_is_in_the_table_and_every_row_of_it_happens(changes: set[tuple[int, int]]) -> None:
    """A client that talks, loses, reconnects and is refused; one that follows stages and replaces connections; and a
    server that greets, echoes and is left."""
    loop = ScriptedLoop(Clock(), answer=lambda n, t: errno.ECONNRESET if n == 9 else 0, echo=True)
    run = opened(a_run(20, loop, reconnect=True, talk=Talk(b"ping", 1.0, b"ping")))
    loop.answer = lambda n, t: errno.ECONNREFUSED if n == 20 else 0
    loop.incoming = {2: [b""], 3: [b"pi", errno.ECONNRESET]}
    run.until(lambda: run.counters["reconnected"] == 2)
    run.finish()
    _follow_stages()
    leaving = ScriptedLoop(Clock(), capacity=5)
    leaving.arriving = [0] * 5
    job = ServeJob(b"hello", echo=True, close_after_s=2.0, reset=False, log=False)
    server = Run(lambda counters, control: serve.serve(job, [], leaving, counters, control, leaving.clock))
    server.until(lambda: server.counters["greeted"] == 5)
    leaving.incoming = {1: [b"one"], 2: [b""]}
    server.until(lambda: server.counters["open"] == 0)
    server.finish()

    assert changes == set(TRANSITIONS)


@pytest.mark.parametrize("links", [False, True])
def test_a_churn_makes_changes_of_the_table_alone(changes: set[tuple[int, int]], links: bool) -> None:
    """Its slots are used again and again: by connections that are closed, refused and lost."""
    loop = ScriptedLoop(Clock(), answer=lambda n, t: errno.ECONNREFUSED if n % 5 == 4 else 0, echo=True, links=links)
    run = a_churn(loop, slots=5, talk=Talk(b"ping", 0.0, b"ping"), closed_by=ClosedBy.SERVER, timeout_s=0.05)
    over(run)
    run.finish()

    assert changes <= set(TRANSITIONS)
    assert {(Life.OPENING, Life.EMPTY), (Life.OPEN, Life.GONE), (Life.GONE, Life.EMPTY)} <= changes


def _follow_stages() -> None:
    loop = ScriptedLoop(Clock(), answer=lambda n, t: errno.EINPROGRESS if n == 9 else 0)
    stages = parse_stages("20@1s, 20@1s, 10@1s, 10@2s")
    run = a_run(20, loop, stages=stages, churn_per_s=10.0, timeout_s=0.5)
    run.control.begin(loop.clock.ns)
    opened(run)
    run.control.replace_from(loop.clock.ns)
    loop.incoming = {2: [b""]}
    loop.answer = lambda n, t: errno.ECONNREFUSED if n == 25 else 0
    run.until(lambda: run.counters["stage"] == 4)
    run.finish()


def test_bits_do_not_overlap_and_stages_are_told_apart() -> None:
    for kind in (Life, Pending):
        bits = [value for name, value in vars(kind).items() if name.isupper() and value]
        assert all(bit.bit_count() == 1 for bit in bits)
        assert len({*bits}) == len(bits) == sum(bits).bit_count()
    assert {stage for change in TRANSITIONS for stage in change} == set(STAGES)
