"""The dialogue of one object per connection: a tiny line protocol, over a scripted loop."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.runs import histogram
from fourtuple.core.runs.counters import COUNTERS, Counters, Phase
from fourtuple.core.runs.records import Event
from fourtuple.engine.control import Control
from fourtuple.engine.dialogues.contract import Turn
from fourtuple.engine.dialogues.each import EachSlot
from fourtuple.engine.loops.contract import Op
from fourtuple.engine.states import Life, empty_slots
from fourtuple.engine.workloads.accepter import Accepter
from fourtuple.engine.workloads.closer import Closer
from fourtuple.engine.workloads.contract import Worker, Workload, run
from fourtuple.engine.workloads.notes import Notes
from fourtuple.engine.workloads.reads import Reads
from fourtuple.engine.workloads.speaker import Speaker
from fourtuple.engine.workloads.watcher import Watcher
from tests.engine.scripted import Clock, Run, ScriptedLoop


class Countdown:
    """Asks with `3\\n` and expects `ok 3\\n`, then 2, then 1; then it is done. Lines may come in pieces."""

    def __init__(self) -> None:
        self._left = 3
        self._rest = b""

    def opened(self) -> Turn:
        return Turn(send=b"3\n", requests=1)

    def received(self, data: bytes) -> Turn:
        *lines, self._rest = (self._rest + data).split(b"\n")
        send, answers = b"", 0
        for line in lines:
            if line != b"ok %d" % self._left:
                return Turn(answers=answers, failed=f"{line!r} instead of ok {self._left}")
            self._left, answers = self._left - 1, answers + 1
            if not self._left:
                return Turn(send=send, requests=answers - 1, answers=answers, done=True)
            send += b"%d\n" % self._left
        return Turn(send=send, requests=answers, answers=answers)


def counting_down(loop: ScriptedLoop, count: int) -> Run:
    """`count` open connections, each of which counts down."""

    def work(counters: Counters, control: Control) -> Iterator[list[Event]]:
        state = empty_slots(loop.capacity)
        dialogue = EachSlot(Countdown, state, counters)
        worker = Worker(loop, counters, control, loop.clock, state, Reads(8, 64), Notes(loop, log=False), dialogue)
        closer = Closer(worker, reset=False, peer="the peer")
        watcher = Watcher(worker, closer.lost, watch=True, log_data=False)
        speaker = Speaker(worker, dialogue, watcher.listen, closer.lost)
        accepter = Accepter(worker, [], (watcher.opened,))
        workload = Workload(
            starts=(accepter.start, speaker.start, closer.start, watcher.start),
            takes=(
                (Op.ACCEPT, accepter.take),
                (Op.SEND, speaker.take),
                (Op.WATCH, watcher.take_watches),
                (Op.RECEIVE, watcher.take_reads),
                (Op.CLOSE, closer.take),
            ),
            ticks=(),
            close=(closer.close_all,),
            closing=lambda: closer.is_closing,
        )
        return run(workload, worker)

    loop.arriving = [0] * count
    running = Run(work)
    running.until(lambda: running.counters["sent_bytes"] == 2 * count)
    return running


def test_each_connection_has_a_state_of_its_own() -> None:
    """Slot 0 gets all answers in odd pieces, slot 1 gets one answer, slot 2 none."""
    loop = ScriptedLoop(Clock(), capacity=3)
    running = counting_down(loop, 3)
    loop.incoming = {0: [b"ok", b" 3\nok 2", b"\n", b"ok 1\n"], 1: [b"ok 3\n"]}
    running.until(lambda: running.counters["answers"] == 4)
    running.until(lambda: loop.watched == {0, 1, 2})

    assert loop.sent == {0: b"3\n2\n1\n", 1: b"3\n2\n", 2: b"3\n"}
    assert (running.counters["requests"], running.counters["unexpected"]) == (6, 0)


def test_what_breaks_the_protocol_is_unexpected_once_and_then_only_counted_as_bytes() -> None:
    loop = ScriptedLoop(Clock(), capacity=1)
    running = counting_down(loop, 1)
    loop.incoming = {0: [b"no\n", b"ok 3\n"]}
    running.until(lambda: running.counters["received_bytes"] == 8)

    assert (running.counters["unexpected"], running.counters["answers"], loop.sent) == (1, 0, {0: b"3\n"})
    assert (running.counters["open"], running.counters["lost"]) == (1, 0)


def test_an_answers_time_is_from_its_own_request() -> None:
    clock = Clock()
    loop = ScriptedLoop(clock, capacity=1)
    running = counting_down(loop, 1)
    clock.advance(0.5)
    loop.incoming = {0: [b"ok 3\n"]}
    running.until(lambda: running.counters["answers"] == 1)

    assert histogram.percentile(running.counters["answer_us"], 0.5) == pytest.approx(500_000, rel=0.15)


def test_what_never_came_is_counted_when_the_connection_ends() -> None:
    """Of three connections one is done, one waits, one is lost while it waits; after 1 s no answer is in transit."""
    clock = Clock()
    loop = ScriptedLoop(clock, capacity=3)
    running = counting_down(loop, 3)
    loop.incoming = {0: [b"ok 3\nok 2\nok 1\n"]}
    running.until(lambda: running.counters["answers"] == 3)
    clock.advance(1.5)
    loop.incoming = {1: [b""]}
    running.until(lambda: running.counters["lost"] == 1)
    assert running.counters["unanswered"] == 1
    running.finish()

    assert running.counters["unanswered"] == 2


@given(st.lists(st.integers(1, 6), max_size=12))
def test_however_the_bytes_are_cut_the_dialogue_is_the_same(cuts: list[int]) -> None:
    """Three answers, three requests; the slot is SENDING while data is to be sent."""
    counters: Counters = np.zeros(1, COUNTERS)[0]
    counters["phase"] = Phase.HOLDING
    state = np.array([Life.OPEN], np.uint8)
    slot = np.array([0], np.int32)
    dialogue = EachSlot(Countdown, state, counters)
    dialogue.opened(slot, now_ns=0)
    said, rest = b"", b"ok 3\nok 2\nok 1\n"
    for size in [*cuts, len(rest)]:
        for outgoing in dialogue.say(now_ns=0):
            assert state[0] & Life.SENDING
            said += outgoing.buffers[outgoing.rows[0], : outgoing.sizes[0]].tobytes()
            dialogue.sent(outgoing.slots)
        piece, rest = rest[:size], rest[size:]
        if piece:
            data = np.frombuffer(piece, np.uint8).reshape(1, -1)
            dialogue.received(slot, data, np.array([len(piece)], np.int32), now_ns=0)

    assert b"3\n2\n1\n".startswith(said)
    assert (counters["answers"], counters["requests"], counters["unexpected"]) == (3, 3, 0)
    assert not state[0] & Life.ASKED
