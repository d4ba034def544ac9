"""The dialogue of a client: the fixed text it sends at intervals on every connection, and the reply it expects."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass
from fourtuple.core.runs import reasons
from fourtuple.core.runs.counters import Counters
from fourtuple.core.talk.expectation import expect_text
from fourtuple.core.talk.script import Script
from fourtuple.engine.dialogues.contract import NEVER_S, Outgoing
from fourtuple.engine.dialogues.course import Course
from fourtuple.engine.dialogues.schedule import Schedule
from fourtuple.engine.dialogues.waiting import Waiting
from fourtuple.engine.loops.contract import NO_COMPLETIONS, NO_SLOTS, Completions, Slots
from fourtuple.engine.protocols.text import more_than_the_answer, wrong_answer
from fourtuple.engine.states import Life

HEAD_BYTES = 64  # by which wrong answers that arrive together are told apart
KINDS = 4  # of wrong answers that arrive together and get a reason of their own


@dataclass(frozen=True, slots=True)
class Talk:
    """What the two ends of a connection send to each other.

    send:    the data to send on each connection; empty: nothing
    every_s: the interval between two sends on a connection, with connections spread evenly over it; 0: send again as
             soon as the answer is complete
    expect:  the reply expected after each send, or the greeting expected after connecting if nothing is sent; a number:
             that many bytes, whatever they are; empty: any data is an answer, and the next request does not wait for it
    """

    send: bytes
    every_s: float
    expect: bytes | int

    @property
    def expect_bytes(self) -> int:
        """The length of the expected reply; 0: nothing particular is expected."""
        return self.expect if isinstance(self.expect, int) else len(self.expect)


def talk_of(script: Script, every_s: float) -> Talk:
    """What is sent and expected by a script that is fixed."""
    (exchange,) = script.exchanges
    expect: bytes | int = b""
    for each in exchange.expect:
        expect = each.content or each.sizes[0]
    return Talk(exchange.say.render() if exchange.say else b"", every_s, expect)


class Requests:
    """The dialogue of a client that sends fixed text.

    state:    (slots,) uint8, the worker's array of `Life`
    begin_ns: when the run began; times count from there
    course:   counts the messages of each connection, which are sent one after the other; None: there is no end to them
    """

    half_duplex = False
    hears = True

    def __init__(
        self,
        talk: Talk,
        state: NDArray[np.uint8],
        counters: Counters,
        begin_ns: int,
        course: Course | None = None,
    ) -> None:
        self._talk, self._state, self._counters, self._course = talk, state, counters, course
        busy = Life.SENDING | Life.ASKED if talk.expect else Life.SENDING
        self._schedule = Schedule(state, counters, talk.every_s, busy, begin_ns, course)
        has_moments = bool(talk.send) and self._schedule.has_moments
        self._waiting = Waiting(state, counters, has_moments=has_moments, begin_ns=begin_ns)
        self._expect = None if isinstance(talk.expect, int) else np.frombuffer(talk.expect, np.uint8)
        self._come = np.zeros(
            len(state) if talk.expect else 0, np.uint32
        )  # how many bytes of `expect` have been received
        self._payload = np.frombuffer(talk.send or b"\0", np.uint8).reshape(1, -1)

    def opened(self, slots: Slots, now_ns: int) -> None:
        if self._talk.send:
            self._schedule.begin(slots)
        else:
            if self._course:
                self._course.begin(slots)
            self._waiting.ask(slots, now_ns)

    def say(self, now_ns: int) -> Sequence[Outgoing]:
        """The message, on each slot that owes one, unless it is still sending or waiting for an expected answer."""
        slots = self._schedule.take(now_ns, self._waiting.count) if self._talk.send else NO_SLOTS
        if not len(slots):
            return ()
        has_moments = self._schedule.has_moments
        self._waiting.ask(slots, now_ns, self._schedule.due_us(slots, now_ns) if has_moments else None)
        self._schedule.sent(slots)
        self._counters["requests"] += len(slots)
        sizes = np.full(len(slots), len(self._talk.send))
        return (Outgoing(slots, self._payload, np.zeros(len(slots), np.intp), sizes),)

    def wait_s(self, now_ns: int) -> float:
        return self._schedule.wait_s(now_ns, self._waiting.count) if self._talk.send else NEVER_S

    def sent(self, slots: Slots) -> None:
        self._state[slots] &= ~np.uint8(Life.SENDING)
        self._schedule.go_on(slots)

    def received(
        self, slots: Slots, data: NDArray[np.uint8], sizes: NDArray[np.int32], now_ns: int
    ) -> NDArray[np.bool_]:
        """Compare received data with the expected reply; data that no request asked for (a greeting) is ignored."""
        asked = (self._state[slots] & Life.ASKED) > 0
        if self._talk.expect:
            before = come = self._come[slots]
            if self._expect is None:
                right = come + sizes <= self._talk.expect_bytes
            else:
                right = _matches(data, sizes, self._expect, come)
            come = np.where(asked & right, come + sizes, 0).astype(np.uint32)
            complete = come == self._talk.expect_bytes
            self._come[slots] = np.where(complete, 0, come)
            answered, wrong = asked & complete, asked & ~right
            if wrong.any():
                self._note(data[wrong], sizes[wrong], before[wrong])
        else:
            answered, wrong = asked, np.zeros(len(slots), bool)
        over = slots[answered | wrong]
        self._waiting.over(over)
        if self._talk.send:
            self._schedule.answered(over)
        elif self._course:
            self._course.answered(over)
        self._waiting.time(slots[answered], now_ns)
        self._counters["answers"] += int(np.count_nonzero(answered))
        self._counters["unexpected"] += int(np.count_nonzero(wrong))
        return wrong

    def _note(self, data: NDArray[np.uint8], sizes: NDArray[np.int32], come: NDArray[np.uint32]) -> None:
        """Count the reasons of wrong answers; those that begin alike have the same.

        come: how many bytes had been received before, as expected
        """
        heads = np.where(np.arange(min(HEAD_BYTES, data.shape[1])) < sizes[:, None], data[:, :HEAD_BYTES], 0)
        left = np.arange(len(data))
        for _ in range(KINDS):
            if not len(left):
                return
            one = left[0]
            same = (heads[left] == heads[one]).all(axis=1) & (come[left] == come[one])
            reason = self._why(data[one, : sizes[one]].tobytes(), int(come[one]))
            reasons.add(self._counters["reasons"], reason, int(np.count_nonzero(same)))
            left = left[~same]
        if len(left):
            reasons.add(self._counters["reasons"], reasons.OTHERS, len(left))

    def _why(self, piece: bytes, come: int) -> str:
        """Why an answer is wrong of which this piece follows on `come` bytes that were right."""
        expect = self._talk.expect
        known = expect[:come] if isinstance(expect, bytes) else b""
        if isinstance(expect, int) or (known + piece).startswith(expect):
            return more_than_the_answer(piece[self._talk.expect_bytes - come :])
        return wrong_answer(expect_text(expect), known + piece)

    def over(self) -> Completions:
        return NO_COMPLETIONS

    def goodbye(self, slots: Slots) -> None:
        pass

    def ended(self, slots: Slots, now_ns: int, *, lost: bool) -> None:
        """Count what is missing: answers, and messages that were not sent, unless they are less than a second old."""
        self._waiting.end(slots, now_ns, counts=bool(self._talk.expect))
        if self._talk.expect:
            self._come[slots] = 0
        if self._talk.send:
            self._schedule.end(slots)


def _matches(
    data: NDArray[np.uint8], sizes: NDArray[np.int32], expect: NDArray[np.uint8], come: NDArray[np.uint32]
) -> NDArray[np.bool_]:
    """Which rows of `data` continue `expect` correctly after its first come[i] bytes → (rows,) bool."""
    if (sizes == len(expect)).all() and not come.any():  # the common case: each row has the whole reply
        whole: NDArray[np.bool_] = (data[:, : len(expect)] == expect).all(axis=1)
        return whole
    columns = np.arange(int(sizes.max(initial=0)))
    where = come[:, None] + columns
    same = (data[:, : len(columns)] == expect.take(where, mode="clip")) & (where < len(expect))
    right: NDArray[np.bool_] = (same | (columns >= sizes[:, None])).all(axis=1)
    return right
