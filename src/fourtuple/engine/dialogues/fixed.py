"""The dialogue of a client: the fixed text it sends at intervals on every connection, and the reply it expects.

A message is due at a moment that does not depend on the server, and stays due until it is sent. Its answer is timed
from that moment: otherwise a server that stops would stop the clock, too ("coordinated omission": Gil Tene, "How NOT
to Measure Latency"). A slot needs no queue of messages: it owes a number of them, which were due one interval apart.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass
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
        self._has_moments = bool(talk.send and self._every_ns)  # otherwise a message is due when it is sent
        self._together_ns = max(1, min(TOGETHER_NS, self._every_ns // TOGETHER_PARTS))
        self._expect = None if isinstance(talk.expect, int) else np.frombuffer(talk.expect, np.uint8)
        # The oldest message that was sent and not answered: when it was due (if it has a moment) and when it was sent,
        # in µs since the beginning, modulo 2**32: 71 minutes.
        self._due_us, self._asked_us = np.zeros((2, len(state)), np.uint32)
        self._owed = np.zeros(len(state), np.uint32)  # how many messages are due and not sent
        self._come = np.zeros(
            len(state) if talk.expect else 0, np.uint32
        )  # how many bytes of `expect` have been received
        self._turn = 0  # how many slots have had their turn, over all rounds
        self._ready: list[Slots] = []  # slots that owe a message and may send it; they are SENDING
        self._waiting = 0  # how many slots wait for an answer
        self._said_ns = begin_ns  # when a message could be sent for the last time
        self._busy = np.uint8(Life.SENDING | Life.ASKED if talk.expect else Life.SENDING)
        self._payload = np.frombuffer(talk.send or b"\0", np.uint8).reshape(1, -1)

    def opened(self, slots: Slots, now_ns: int) -> None:
        self._owed[slots] = 0
        if not self._talk.send:
            self._ask(slots, now_ns)
        elif not self._every_ns:
            self._owe(slots)

    def say(self, now_ns: int) -> Sequence[Outgoing]:
        """The message, on each slot that owes one, unless it is still sending or waiting for an expected answer."""
        if not self._speaks:
            return ()
        self._said_ns = now_ns
        if self._every_ns:
            self._take_turns(now_ns)
        slots = self._next()
        if not len(slots):
            return ()
        self._ask(slots, now_ns, self._due(slots, now_ns) if self._has_moments else None)
        self._owed[slots] -= 1
        self._counters["requests"] += len(slots)
        sizes = np.full(len(slots), len(self._talk.send))
        return (Outgoing(slots, self._payload, np.zeros(len(slots), np.intp), sizes),)

    def wait_s(self, now_ns: int) -> float:
        if not self._speaks:
            return NEVER_S
        if not self._every_ns:
            return 0.0 if self._ready and self._waiting < MOST_WAITING else NEVER_S
        if self._ready:
            return 0.0
        due_ns = -(-(self._turn + 1) * self._every_ns // len(self._state))
        due_ns = -(-due_ns // self._together_ns) * self._together_ns
        return max(0.0, (self._begin_ns + due_ns - now_ns) / 1e9)

    def sent(self, slots: Slots) -> None:
        self._state[slots] &= ~np.uint8(Life.SENDING)
        self._go_on(slots)

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
            self._owe(slots[over])
        else:
            self._go_on(slots[over])
        self._time(slots[answered], now_ns)
        self._counters["answers"] += int(np.count_nonzero(answered))
        self._counters["unexpected"] += int(np.count_nonzero(wrong))
        return wrong

    def ended(self, slots: Slots, now_ns: int) -> None:
        """Count what is missing: answers, and messages that were not sent, unless they are less than a second old.

        They are timed as if they were answered now: a server that stops before the end would not show otherwise.
        """
        if self._talk.expect:
            asked_us = self._us(now_ns) - self._asked_us[slots].astype(np.int64) & 0xFFFFFFFF
            missing = ((self._state[slots] & Life.ASKED) > 0) & (asked_us > ON_ITS_WAY_NS // 1000)
            self._counters["unanswered"] += int(np.count_nonzero(missing))
            self._time(slots[missing], now_ns)
            self._come[slots] = 0
        if self._has_moments:
            self._count_unsent(slots[self._owed[slots] > 0])
        self._owed[slots] = 0
        self._waiting -= int(np.count_nonzero(self._state[slots] & Life.ASKED))
        self._ready = [ready[~np.isin(ready, slots)] for ready in self._ready]

    def _count_unsent(self, slots: Slots) -> None:
        due_us = self._due(slots, self._said_ns).astype(np.int64)
        age_us = self._us(self._said_ns) - due_us & 0xFFFFFFFF  # of the oldest of each
        every_us = self._every_ns / 1000
        old = np.ceil((age_us - ON_ITS_WAY_NS / 1000) / every_us)
        counts = np.clip(old, 0, self._owed[slots]).astype(np.int64)
        some = counts > 0
        youngest_us = age_us[some] - (counts[some] - 1) * every_us
        self._counters["unsent"] += int(counts.sum())
        histogram.add_series(self._counters["answer_us"], youngest_us, every_us, counts[some])

    @property
    def _speaks(self) -> bool:
        """Is it time for requests? If every_s is 0, only when all connections are open."""
        phase = self._counters["phase"]
        may = phase == _HOLDING or (phase == _OPENING and self._every_ns > 0)
        return bool(may and self._talk.send and len(self._state))

    def _take_turns(self, now_ns: int) -> None:
        """Let the slots whose turn has come since the last call owe one more message; each at most once per call."""
        elapsed_ns = (now_ns - self._begin_ns) // self._together_ns * self._together_ns
        position = elapsed_ns * len(self._state) // self._every_ns
        start, self._turn = self._turn, min(position, self._turn + min(BATCH, len(self._state)))
        slots = (np.arange(start, self._turn) % len(self._state)).astype(np.int32)
        state = self._state[slots]
        self._counters["late"] += int(np.count_nonzero(((state & Life.OPEN) > 0) & ((state & self._busy) > 0)))
        self._owe(slots[(state & Life.OPEN) > 0])

    def _owe(self, slots: Slots) -> None:
        """One more message is due on each of these slots."""
        self._owed[slots] += 1
        self._get_ready(slots)

    def _go_on(self, slots: Slots) -> None:
        """These slots have finished something: those that owe a message may send it."""
        owing = slots[self._owed[slots] > 0]
        if len(owing):
            self._get_ready(owing)

    def _get_ready(self, slots: Slots) -> None:
        """Put those of these slots in the queue that are not busy; each owes a message."""
        state = self._state[slots]
        free = (state & self._busy) == 0
        if not free.all():
            slots, state = slots[free], state[free]
        if len(slots):
            self._state[slots] = state | np.uint8(Life.SENDING)
            self._ready.append(slots)

    def _next(self) -> Slots:
        """Take slots out of the queue: those that may send now."""
        if not self._ready:
            return NO_SLOTS
        ready = np.concatenate(self._ready) if len(self._ready) > 1 else self._ready[0]
        room = BATCH if self._every_ns else min(BATCH, MOST_WAITING - self._waiting)
        slots, rest = ready[:room], ready[room:]
        self._ready = [rest] if len(rest) else []
        return slots

    def _due(self, slots: Slots, now_ns: int) -> NDArray[np.uint32]:
        """When the oldest message that each of these slots owes was due, in µs since the beginning, modulo 2**32.

        Messages that are sent together are due together.
        """
        count = len(self._state)
        rounds = (self._turn - 1 - slots.astype(np.int64)) // count - (self._owed[slots].astype(np.int64) - 1)
        due_ns = rounds * self._every_ns + ((slots + 1) / count * self._every_ns).astype(np.int64)
        due_ns = -(-due_ns // self._together_ns) * self._together_ns
        due_us: NDArray[np.uint32] = (np.minimum(due_ns, now_ns - self._begin_ns) // 1000).astype(np.uint32)
        return due_us

    def _ask(self, slots: Slots, now_ns: int, due_us: NDArray[np.uint32] | None = None) -> None:
        """Note that an answer is expected from now on, and when its message was due; None: it has no moment.

        A slot that waits for one already goes on to wait for that.
        """
        state = self._state[slots]
        new = (state & Life.ASKED) == 0
        if not new.all():
            slots, state, due_us = slots[new], state[new], None if due_us is None else due_us[new]
        self._waiting += len(slots)
        self._state[slots] = state | np.uint8(Life.ASKED)
        self._asked_us[slots] = self._us(now_ns)
        if due_us is not None:
            self._due_us[slots] = due_us

    def _time(self, slots: Slots, now_ns: int) -> None:
        """Count how long the answers of these slots took, if they are complete now."""
        service_us = (self._us(now_ns) - self._asked_us[slots].astype(np.int64)) & 0xFFFFFFFF
        counts = histogram.counts_of(service_us.astype(np.float64))
        self._counters["service_us"] += counts
        if self._has_moments:
            answer_us = (self._us(now_ns) - self._due_us[slots].astype(np.int64)) & 0xFFFFFFFF
            counts = histogram.counts_of(answer_us.astype(np.float64))
        self._counters["answer_us"] += counts

    def _us(self, now_ns: int) -> int:
        return (now_ns - self._begin_ns) // 1000 & 0xFFFFFFFF


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
