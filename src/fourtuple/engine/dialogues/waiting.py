"""Which connections wait for an answer, and how long their answers take."""

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs import histogram
from fourtuple.core.runs.counters import Counters
from fourtuple.engine.dialogues.contract import ON_ITS_WAY_NS
from fourtuple.engine.loops.contract import Slots
from fourtuple.engine.states import Life


class Waiting:
    """The slots that are ASKED, and since when.

    Of each, the oldest message that was sent and not answered counts: when it was due (if it has a moment) and when it
    was sent, in µs since the beginning, modulo 2**32: 71 minutes.

    state:       (slots,) uint8, the worker's array of `Life`
    has_moments: a message is due at a moment of its own; otherwise when it is sent
    begin_ns:    when the run began; times count from there
    """

    def __init__(self, state: NDArray[np.uint8], counters: Counters, *, has_moments: bool, begin_ns: int) -> None:
        self._state, self._counters, self._has_moments, self._begin_ns = state, counters, has_moments, begin_ns
        self._due_us, self._asked_us = np.zeros((2, len(state)), np.uint32)
        self.count = 0  # how many slots wait

    def ask(self, slots: Slots, now_ns: int, due_us: NDArray[np.uint32] | None = None) -> None:
        """Note that an answer is expected from now on, and when its message was due; None: it has no moment.

        A slot that waits for one already goes on to wait for that.
        """
        state = self._state[slots]
        new = (state & Life.ASKED) == 0
        if not new.all():
            slots, state, due_us = slots[new], state[new], None if due_us is None else due_us[new]
        self.count += len(slots)
        self._state[slots] = state | np.uint8(Life.ASKED)
        self._asked_us[slots] = self._us(now_ns)
        if due_us is not None:
            self._due_us[slots] = due_us

    def mark(self, slots: Slots, now_ns: int) -> None:
        """Note that these slots, which wait for no answer, begin something now."""
        self._asked_us[slots] = self._us(now_ns)

    def age_us(self, slots: Slots, now_ns: int) -> NDArray[np.float64]:
        """How long ago each of these slots sent its message or was marked."""
        ages = (self._us(now_ns) - self._asked_us[slots].astype(np.int64)) & 0xFFFFFFFF
        return ages.astype(np.float64)

    def over(self, slots: Slots) -> None:
        """These slots, which were ASKED, wait no longer."""
        self.count -= len(slots)
        self._state[slots] &= ~np.uint8(Life.ASKED)

    def time(self, slots: Slots, now_ns: int) -> None:
        """Count how long the answers of these slots took, if they are complete now."""
        counts = histogram.counts_of(self.age_us(slots, now_ns))
        self._counters["service_us"] += counts
        if self._has_moments:
            answer_us = (self._us(now_ns) - self._due_us[slots].astype(np.int64)) & 0xFFFFFFFF
            counts = histogram.counts_of(answer_us.astype(np.float64))
        self._counters["answer_us"] += counts

    def end(self, slots: Slots, now_ns: int, *, counts: bool) -> None:
        """These connections end. Answers that are missing for more than a second are timed as if they came now.

        counts: they are counted as unanswered, too
        """
        asked = slots[(self._state[slots] & Life.ASKED) > 0]
        self.count -= len(asked)
        if not counts:
            return
        missing = asked[self.age_us(asked, now_ns) > ON_ITS_WAY_NS // 1000]
        self._counters["unanswered"] += len(missing)
        self.time(missing, now_ns)

    def _us(self, now_ns: int) -> int:
        return (now_ns - self._begin_ns) // 1000 & 0xFFFFFFFF
