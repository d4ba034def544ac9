"""Reading from many connections with few buffers: what is not being read right now has none."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class Reads:
    """Slots that have something to read, and a few buffer rows that take turns among them."""

    def __init__(self, rows: int, row_bytes: int) -> None:
        self.buffers = np.zeros((rows, row_bytes), np.uint8)
        self._free = list(range(rows))
        self._row_of: dict[int, int] = {}
        self._waiting: dict[int, None] = {}  # in the order they came

    def add(self, slots: Iterable[int]) -> None:
        self._waiting.update(dict.fromkeys(slots))

    def take(self) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
        """As many waiting slots as there are free rows, and the row of each."""
        slots = [slot for slot, _ in zip(self._waiting, range(len(self._free)), strict=False)]
        for slot in slots:
            del self._waiting[slot]
            self._row_of[slot] = self._free.pop()
        return np.array(slots, np.int32), self.rows(slots)

    def rows(self, slots: Iterable[int]) -> NDArray[np.intp]:
        return np.array([self._row_of[int(slot)] for slot in slots], np.intp)

    def give_back(self, slots: Iterable[int]) -> None:
        """What was read there is not needed any more."""
        self._free.extend(self._row_of.pop(int(slot)) for slot in slots)

    def forget(self, slots: Iterable[int]) -> None:
        """The slots were closed, whatever they were doing."""
        for slot in slots:
            self._waiting.pop(int(slot), None)
            if int(slot) in self._row_of:
                self.give_back([slot])
