"""How many connections are read with few buffers: a connection has a buffer only while it is being read."""

import numpy as np
from numpy.typing import NDArray

from fourtuple.engine.loops.contract import Slots
from fourtuple.engine.workloads.rows import Rows


class Reads:
    """The slots that have data to read, and a few buffer rows that they use in turn."""

    def __init__(self, rows: int, row_bytes: int) -> None:
        self.buffers = np.zeros((rows, row_bytes), np.uint8)
        self._rows = Rows(rows)
        self._waiting: list[Slots] = []  # in the order they came

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def add(self, slots: Slots) -> None:
        if len(slots):
            self._waiting.append(slots)

    def take(self) -> tuple[Slots, NDArray[np.intp]]:
        """As many waiting slots as there are free rows, and the row of each."""
        if not self._waiting:
            return _NOTHING
        waiting, free = np.concatenate(self._waiting), len(self._rows.free)
        slots, rest = waiting[:free], waiting[free:]
        self._waiting = [rest] if len(rest) else []
        return slots, self._rows.take(slots)

    def rows(self, slots: Slots) -> NDArray[np.intp]:
        return self._rows.of(slots)

    def give_back(self, rows: NDArray[np.intp]) -> None:
        """Release these rows: their data is no longer needed."""
        self._rows.give_back(rows)

    def forget(self, slots: Slots) -> None:
        """Remove slots that were closed, whether they are waiting or being read."""
        self._waiting = [waiting[~np.isin(waiting, slots)] for waiting in self._waiting]
        self._rows.forget(slots)


_NOTHING = np.zeros(0, np.int32), np.zeros(0, np.intp)
