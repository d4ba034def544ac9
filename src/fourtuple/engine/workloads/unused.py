"""Which slots have no connection yet, or none any more, in the order in which they will get one."""

import numpy as np

from fourtuple.engine.loops.contract import NO_SLOTS, Slots


class Unused:
    """The unused slots, from 0 on. A slot whose connect is tried on another route comes back, and is taken first.

    fresh: all slots from this number on are unused
    """

    def __init__(self, count: int) -> None:
        self.fresh, self._count = 0, count
        self._limit = count
        self._back = NO_SLOTS

    def __len__(self) -> int:
        """How many may be taken now."""
        return len(self._back) + max(0, min(self._limit, self._count) - self.fresh)

    def allow(self, limit: int) -> None:
        """Only slots below this number may be taken from now on."""
        self._limit = limit
        self._back = self._back[self._back < limit]

    def take(self, count: int) -> Slots:
        """The next `count` slots; `count` must not exceed the length."""
        back, self._back = self._back[:count], self._back[count:]
        first, self.fresh = self.fresh, self.fresh + count - len(back)
        fresh = np.arange(first, self.fresh, dtype=np.int32)
        return np.concatenate((back, fresh)) if len(back) else fresh

    def give_back(self, slots: Slots) -> None:
        self._back = np.concatenate((self._back, slots))

    def lower(self, fresh: int) -> None:
        """All slots from this number on are unused again."""
        self.fresh = min(self.fresh, fresh)

    def drop(self) -> int:
        """Drop all unused slots → how many there were."""
        count = len(self._back) + self._count - self.fresh
        self._back, self._count = NO_SLOTS, self.fresh
        return count
