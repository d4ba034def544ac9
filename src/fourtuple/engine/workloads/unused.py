"""Which slots have not had a connection yet, in the order in which they will get one."""

import numpy as np

from fourtuple.engine.loops.contract import NO_SLOTS, Slots


class Unused:
    """The unused slots, from 0 on. A slot whose connect is tried on another route comes back, and is taken first."""

    def __init__(self, count: int) -> None:
        self._fresh, self._count = 0, count  # slots from `fresh` on were never taken
        self._back = NO_SLOTS

    def __len__(self) -> int:
        return len(self._back) + self._count - self._fresh

    def take(self, count: int) -> Slots:
        """The next `count` slots; `count` must not exceed the length."""
        back, self._back = self._back[:count], self._back[count:]
        first, self._fresh = self._fresh, self._fresh + count - len(back)
        fresh = np.arange(first, self._fresh, dtype=np.int32)
        return np.concatenate((back, fresh)) if len(back) else fresh

    def give_back(self, slots: Slots) -> None:
        self._back = np.concatenate((self._back, slots))

    def drop(self) -> int:
        """Drop all unused slots → how many there were."""
        count = len(self)
        self._back, self._fresh = NO_SLOTS, self._count
        return count
