"""The closer by itself: what is counted when connections end, and when their sockets are closed."""

import errno

import numpy as np

from fourtuple.core.runs.counters import COUNTERS, Counters
from fourtuple.engine.control import Control
from fourtuple.engine.loops.contract import COMPLETION, Completions
from fourtuple.engine.states import Life, empty_slots
from fourtuple.engine.workloads.closer import CLOSE_BATCH, Closer
from fourtuple.engine.workloads.contract import Worker
from fourtuple.engine.workloads.notes import Notes
from fourtuple.engine.workloads.reads import Reads
from fourtuple.engine.workloads.retries import Retries
from tests.engine.scripted import Clock, ScriptedLoop


def a_worker(count: int) -> tuple[Worker, ScriptedLoop]:
    """A worker with `count` open connections."""
    loop = ScriptedLoop(Clock())
    counters: Counters = np.zeros(1, COUNTERS)[0]
    counters["open"] = count
    state = empty_slots(count)
    state[:] = Life.OPEN
    return Worker(loop, counters, Control(), loop.clock, state, Reads(8, 8), Notes(loop, log=False), None), loop


def ends(*slots: int, by: int) -> Completions:
    done = np.zeros(len(slots), COMPLETION)
    done["slot"], done["result"] = slots, -by
    return done


def test_a_loss_that_reading_and_sending_both_find_is_counted_once() -> None:
    worker, _ = a_worker(3)
    closer = Closer(worker, reset=True, peer="the peer")
    closer.lost(ends(0, 1, by=errno.ECONNRESET))
    closer.lost(ends(1, 2, by=errno.EPIPE))

    assert (worker.counters["open"], worker.counters["lost"]) == (0, 3)
    assert (worker.counters["lost_by"][errno.ECONNRESET], worker.counters["lost_by"][errno.EPIPE]) == (2, 1)


def test_a_batch_is_closed_before_the_next_one_is_begun() -> None:
    worker, loop = a_worker(CLOSE_BATCH + 23)
    closer = Closer(worker, reset=True, peer="the peer")
    closer.close_all()
    closer.start()
    closer.start()
    assert len(loop.closed) == CLOSE_BATCH
    closer.take(loop.wait(0))
    closer.start()
    closer.take(loop.wait(0))

    assert (len(loop.closed), worker.counters["closed"], worker.counters["open"]) == (CLOSE_BATCH + 23,) * 2 + (0,)
    assert not closer.is_closing


def test_lost_ones_do_not_wait_for_others_that_are_being_closed() -> None:
    """Where connections are closed all the time, there may always be some whose close is not completed."""
    worker, loop = a_worker(3)
    closer = Closer(worker, reset=True, peer="the peer")
    closer.close(np.array([0], np.int32))
    closer.lost(ends(1, by=errno.ECONNRESET))
    closer.start()

    assert loop.closed == [(0, True), (1, False)]


def test_a_lost_one_waits_for_its_turn_once_it_is_closed_and_not_before() -> None:
    worker, loop = a_worker(2)
    retries = Retries(2, ways=1)
    closer = Closer(worker, reset=True, peer="the peer", retries=retries, reconnect=True)
    closer.lost(ends(1, by=0))
    closer.start()
    assert retries.due(loop.clock.ns).tolist() == []
    closer.take(loop.wait(0))

    assert retries.due(loop.clock.ns).tolist() == [1]
    assert worker.state.tolist() == [Life.OPEN, Life.EMPTY]
