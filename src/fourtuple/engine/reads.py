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
        self._waiting: list[int] = []

    def add(self, slots: Iterable[int]) -> None:
        self._waiting.extend(slots)

    def take(self) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
        """As many waiting slots as there are free rows, and the row of each."""
        count = min(len(self._waiting), len(self._free))
        slots, self._waiting = self._waiting[:count], self._waiting[count:]
        rows = [self._free.pop() for _ in slots]
        self._row_of.update(zip(slots, rows, strict=True))
        return np.array(slots, np.int32), np.array(rows, np.intp)

    def rows(self, slots: NDArray[np.int32]) -> NDArray[np.intp]:
        return np.array([self._row_of[slot] for slot in slots.tolist()], np.intp)

    def give_back(self, slots: NDArray[np.int32]) -> None:
        self._free.extend(self._row_of.pop(slot) for slot in slots.tolist())

    def forget(self, slot: int) -> None:
        """The slot was closed: its row is free, and it waits no more."""
        row = self._row_of.pop(slot, None)
        if row is not None:
            self._free.append(row)
        elif slot in self._waiting:
            self._waiting.remove(slot)
