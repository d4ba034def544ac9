"""The dialogue of a client: the fixed text it sends at intervals on every connection, and the reply it expects."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs import histogram
from fourtuple.core.runs.counters import Counters, Phase
from fourtuple.engine.dialogues.contract import NEVER_S, ON_ITS_WAY_NS, Outgoing
from fourtuple.engine.loops.contract import NO_SLOTS, Slots
from fourtuple.engine.states import Life

BATCH = 1024  # requests per step; then the worker does its other work
# The most connections that wait for an answer at the same time if requests follow answers at once: enough to keep both
# ends busy, and few enough to be answered within 40 ms, after which each end would send separate acknowledgements.
MOST_WAITING = 2048
# Requests due within TOGETHER_NS, or within this fraction of the interval if that is shorter, are sent together.
TOGETHER_NS, TOGETHER_PARTS = 50_000_000, 20
_OPENING, _HOLDING = int(Phase.OPENING), int(Phase.HOLDING)  # compared in every step, as plain numbers for speed


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


class Requests:
    """The dialogue of a client that sends fixed text.

    state:    (slots,) uint8, the worker's array of `Life`
    begin_ns: when the run began; times count from there
    """

    half_duplex = False
    hears = True

    def __init__(self, talk: Talk, state: NDArray[np.uint8], counters: Counters, begin_ns: int) -> None:
        self._talk, self._state, self._counters, self._begin_ns = talk, state, counters, begin_ns
        self._every_ns = int(talk.every_s * 1e9)
        self._together_ns = max(1, min(TOGETHER_NS, self._every_ns // TOGETHER_PARTS))
        self._expect = None if isinstance(talk.expect, int) else np.frombuffer(talk.expect, np.uint8)
        self._asked_us = np.zeros(len(state), np.uint32)  # since the beginning, modulo 2**32: 71 minutes
        self._come = np.zeros(
            len(state) if talk.expect else 0, np.uint32
        )  # how many bytes of `expect` have been received
        self._turn = 0  # how many slots have had their turn, over all rounds
        self._ready: list[Slots] = []  # if every_s is 0: slots that may send again
        self._waiting = 0  # how many slots wait for an answer
        self._payload = np.frombuffer(talk.send or b"\0", np.uint8).reshape(1, -1)

    def opened(self, slots: Slots, now_ns: int) -> None:
        if not self._talk.send:
            self._ask(slots, now_ns)
        elif not self._every_ns:
            self._ready.append(slots)

    def say(self, now_ns: int) -> Sequence[Outgoing]:
        """The request, on each slot whose turn it is, unless it is still sending or waiting for an expected answer."""
        if not self._speaks:
            return ()
        slots = self._due(now_ns)
        state = self._state[slots]
        is_open = (state & Life.OPEN) > 0
        busy = (state & (Life.SENDING | Life.ASKED if self._talk.expect else Life.SENDING)) > 0
        self._counters["late"] += int(np.count_nonzero(is_open & busy))
        slots = slots[is_open & ~busy]
        if not len(slots):
            return ()
        self._ask(slots, now_ns)
        self._state[slots] |= Life.SENDING
        self._counters["requests"] += len(slots)
        sizes = np.full(len(slots), len(self._talk.send))
        return (Outgoing(slots, self._payload, np.zeros(len(slots), np.intp), sizes),)

    def wait_s(self, now_ns: int) -> float:
        if not self._speaks:
            return NEVER_S
        if not self._every_ns:
            return 0.0 if self._ready and self._waiting < MOST_WAITING else NEVER_S
        due_ns = -(-(self._turn + 1) * self._every_ns // len(self._state))
        due_ns = -(-due_ns // self._together_ns) * self._together_ns
        return max(0.0, (self._begin_ns + due_ns - now_ns) / 1e9)

    def sent(self, slots: Slots) -> None:
        self._state[slots] &= ~np.uint8(Life.SENDING)

    def received(
        self, slots: Slots, data: NDArray[np.uint8], sizes: NDArray[np.int32], now_ns: int
    ) -> NDArray[np.bool_]:
        """Compare received data with the expected reply; data that no request asked for (a greeting) is ignored."""
        asked = (self._state[slots] & Life.ASKED) > 0
        if self._talk.expect:
            come = self._come[slots]
            if self._expect is None:
                right = come + sizes <= self._talk.expect_bytes
            else:
                right = _matches(data, sizes, self._expect, come)
            come = np.where(asked & right, come + sizes, 0).astype(np.uint32)
            complete = come == self._talk.expect_bytes
            self._come[slots] = np.where(complete, 0, come)
            answered, wrong = asked & complete, asked & ~right
        else:
            answered, wrong = asked, np.zeros(len(slots), bool)
        over = answered | wrong
        self._waiting -= int(np.count_nonzero(over))
        self._state[slots[over]] &= ~np.uint8(Life.ASKED)
        if not self._every_ns and self._talk.send:
            self._ready.append(slots[over])
        now_us = (now_ns - self._begin_ns) // 1000
        took_us = (now_us - self._asked_us[slots[answered]].astype(np.int64)) & 0xFFFFFFFF
        histogram.add_values(self._counters["answer_us"], took_us.astype(np.float64))
        self._counters["answers"] += len(took_us)
        self._counters["unexpected"] += int(np.count_nonzero(wrong))
        return wrong

    def ended(self, slots: Slots, now_ns: int) -> None:
        """Count missing answers; the answer to a request of the last second may still be in transit."""
        if self._talk.expect:
            asked_us = (now_ns - self._begin_ns) // 1000 - self._asked_us[slots].astype(np.int64) & 0xFFFFFFFF
            missing = ((self._state[slots] & Life.ASKED) > 0) & (asked_us > ON_ITS_WAY_NS // 1000)
            self._counters["unanswered"] += int(np.count_nonzero(missing))
            self._come[slots] = 0
        self._waiting -= int(np.count_nonzero(self._state[slots] & Life.ASKED))
        self._ready = [ready[~np.isin(ready, slots)] for ready in self._ready]

    @property
    def _speaks(self) -> bool:
        """Is it time for requests? If every_s is 0, only when all connections are open."""
        phase = self._counters["phase"]
        may = phase == _HOLDING or (phase == _OPENING and self._every_ns > 0)
        return bool(may and self._talk.send and len(self._state))

    def _due(self, now_ns: int) -> Slots:
        if self._every_ns:
            elapsed_ns = (now_ns - self._begin_ns) // self._together_ns * self._together_ns
            position = elapsed_ns * len(self._state) // self._every_ns
            start, self._turn = self._turn, min(position, self._turn + BATCH)
            return (np.arange(start, self._turn) % len(self._state)).astype(np.int32)
        ready = np.concatenate(self._ready) if self._ready else NO_SLOTS
        room = min(BATCH, MOST_WAITING - self._waiting)
        slots, rest = ready[:room], ready[room:]
        self._ready = [rest] if len(rest) else []
        return slots

    def _ask(self, slots: Slots, now_ns: int) -> None:
        self._waiting += int(np.count_nonzero((self._state[slots] & Life.ASKED) == 0))
        self._state[slots] |= Life.ASKED
        self._asked_us[slots] = (now_ns - self._begin_ns) // 1000 & 0xFFFFFFFF


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
