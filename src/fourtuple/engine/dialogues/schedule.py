"""When each connection sends its next message, and which connections owe one.

A message is due at a moment that does not depend on the server, and stays due until it is sent. Its answer is timed
from that moment: otherwise a server that stops would stop the clock, too ("coordinated omission": Gil Tene, "How NOT
to Measure Latency"). A slot needs no queue of messages: it owes a number of them, which were due one interval apart.
"""

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs import histogram
from fourtuple.core.runs.counters import Counters, Phase
from fourtuple.engine.dialogues.contract import NEVER_S, ON_ITS_WAY_NS
from fourtuple.engine.dialogues.course import Course
from fourtuple.engine.loops.contract import NO_SLOTS, Slots
from fourtuple.engine.states import Life

BATCH = 1024  # requests per step; then the worker does its other work
# The most connections that wait for an answer at the same time if requests follow answers at once: enough to keep both
# ends busy, and few enough to be answered within 40 ms, after which each end would send separate acknowledgements.
MOST_WAITING = 2048
# Requests due within TOGETHER_NS, or within this fraction of the interval if that is shorter, are sent together.
TOGETHER_NS, TOGETHER_PARTS = 50_000_000, 20
_OPENING, _HOLDING = int(Phase.OPENING), int(Phase.HOLDING)  # compared in every step, as plain numbers for speed


class Schedule:
    """The messages that are due and not sent.

    state:    (slots,) uint8, the worker's array of `Life`
    every_s:  the interval between two messages on a connection, with connections spread evenly over it; 0: a message
              follows the answer to the previous one
    busy:     the bits of `Life` that keep a slot from sending
    begin_ns: when the run began; times count from there
    course:   counts the messages of each connection, which then are sent at any time, and at once (every_s is 0); None:
              there is no end to them, and they begin when all connections are open
    """

    def __init__(
        self,
        state: NDArray[np.uint8],
        counters: Counters,
        every_s: float,
        busy: int,
        begin_ns: int,
        course: Course | None = None,
    ) -> None:
        self._state, self._counters, self._busy, self._begin_ns = state, counters, np.uint8(busy), begin_ns
        self._course = course
        self._most_waiting = len(state) if course else MOST_WAITING
        self._every_ns = int(every_s * 1e9)
        self._together_ns = max(1, min(TOGETHER_NS, self._every_ns // TOGETHER_PARTS))
        self._owed = np.zeros(len(state), np.uint32)  # how many messages are due and not sent
        self._turn = 0  # how many slots have had their turn, over all rounds
        self._ready: list[Slots] = []  # slots that owe a message and may send it; they are SENDING
        self._said_ns = begin_ns  # when a message could be sent for the last time

    @property
    def has_moments(self) -> bool:
        """Whether a message is due at a moment of its own; otherwise when it is sent."""
        return self._every_ns > 0

    def begin(self, slots: Slots) -> None:
        """From now on these slots send messages."""
        self._owed[slots] = 0
        if self._course:
            self._course.begin(slots)
        if not self._every_ns:
            self.owe(slots)

    def take(self, now_ns: int, waiting: int) -> Slots:
        """The slots that send a message now; each is SENDING.

        waiting: how many slots wait for an answer
        """
        if not self._speaks:
            return NO_SLOTS
        self._said_ns = now_ns
        if self._every_ns:
            self._take_turns(now_ns)
        if not self._ready:
            return NO_SLOTS
        ready = np.concatenate(self._ready) if len(self._ready) > 1 else self._ready[0]
        room = BATCH if self._every_ns else max(0, min(BATCH, self._most_waiting - waiting))
        slots, rest = ready[:room], ready[room:]
        self._ready = [rest] if len(rest) else []
        return slots

    def sent(self, slots: Slots) -> None:
        """One message fewer is owed on these slots."""
        self._owed[slots] -= 1

    def wait_s(self, now_ns: int, waiting: int) -> float:
        """How long until there may be a message to send; infinite if a completion has to come first."""
        if not self._speaks:
            return NEVER_S
        if not self._every_ns:
            return 0.0 if self._ready and waiting < self._most_waiting else NEVER_S
        if self._ready:
            return 0.0
        due_ns = -(-(self._turn + 1) * self._every_ns // len(self._state))
        due_ns = -(-due_ns // self._together_ns) * self._together_ns
        return max(0.0, (self._begin_ns + due_ns - now_ns) / 1e9)

    def owe(self, slots: Slots) -> None:
        """One more message is due on each of these slots."""
        self._owed[slots] += 1
        self._get_ready(slots)

    def go_on(self, slots: Slots) -> None:
        """These slots have finished something: those that owe a message may send it."""
        owing = slots[self._owed[slots] > 0]
        if len(owing):
            self._get_ready(owing)

    def answered(self, slots: Slots) -> None:
        """The answers of these slots are complete: without moments, their next message is due, if there is one."""
        if self._course:
            slots = self._course.answered(slots)
        if self._every_ns:
            self.go_on(slots)
        else:
            self.owe(slots)

    def end(self, slots: Slots) -> None:
        """Nothing more is sent on these slots. Messages that have been due for more than a second are counted.

        They are timed as if they were answered now: a server that stops before the end would not show otherwise.
        """
        if self._every_ns:
            self._count_unsent(slots[self._owed[slots] > 0])
        self._owed[slots] = 0
        self._ready = [ready[~np.isin(ready, slots)] for ready in self._ready]

    def due_us(self, slots: Slots, now_ns: int) -> NDArray[np.uint32]:
        """When the oldest message that each of these slots owes was due, in µs since the beginning, modulo 2**32.

        Messages that are sent together are due together.
        """
        count = len(self._state)
        rounds = (self._turn - 1 - slots.astype(np.int64)) // count - (self._owed[slots].astype(np.int64) - 1)
        due_ns = rounds * self._every_ns + ((slots + 1) / count * self._every_ns).astype(np.int64)
        due_ns = -(-due_ns // self._together_ns) * self._together_ns
        due_us: NDArray[np.uint32] = (np.minimum(due_ns, now_ns - self._begin_ns) // 1000).astype(np.uint32)
        return due_us

    @property
    def _speaks(self) -> bool:
        """Is it time for messages? If every_s is 0, only when all connections are open, unless they have a course."""
        if self._course:
            return True
        phase = self._counters["phase"]
        return bool((phase == _HOLDING or (phase == _OPENING and self._every_ns > 0)) and len(self._state))

    def _take_turns(self, now_ns: int) -> None:
        """Let the slots whose turn has come since the last call owe one more message; each at most once per call."""
        elapsed_ns = (now_ns - self._begin_ns) // self._together_ns * self._together_ns
        position = elapsed_ns * len(self._state) // self._every_ns
        start, self._turn = self._turn, min(position, self._turn + min(BATCH, len(self._state)))
        slots = (np.arange(start, self._turn) % len(self._state)).astype(np.int32)
        state = self._state[slots]
        takes_part = (state & (Life.OPEN | Life.GREETING)) == Life.OPEN
        self._counters["late"] += int(np.count_nonzero(takes_part & ((state & self._busy) > 0)))
        self.owe(slots[takes_part])

    def _get_ready(self, slots: Slots) -> None:
        """Put those of these slots in the queue that are not busy; each owes a message."""
        state = self._state[slots]
        free = (state & self._busy) == 0
        if not free.all():
            slots, state = slots[free], state[free]
        if len(slots):
            self._state[slots] = state | np.uint8(Life.SENDING)
            self._ready.append(slots)

    def _count_unsent(self, slots: Slots) -> None:
        due_us = self.due_us(slots, self._said_ns).astype(np.int64)
        said_us = (self._said_ns - self._begin_ns) // 1000 & 0xFFFFFFFF
        age_us = said_us - due_us & 0xFFFFFFFF  # of the oldest of each
        every_us = self._every_ns / 1000
        old = np.ceil((age_us - ON_ITS_WAY_NS / 1000) / every_us)
        counts = np.clip(old, 0, self._owed[slots]).astype(np.int64)
        some = counts > 0
        youngest_us = age_us[some] - (counts[some] - 1) * every_us
        self._counters["unsent"] += int(counts.sum())
        histogram.add_series(self._counters["answer_us"], youngest_us, every_us, counts[some])
