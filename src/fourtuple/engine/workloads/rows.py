"""Which slot uses which of a few rows: only slots that need a row now have one, and the others cost nothing."""

import numpy as np
from numpy.typing import NDArray

from fourtuple.engine.loops.contract import Slots

FREE = -1


class Rows:
    """`count` rows, numbered from 0; a slot has at most one."""

    def __init__(self, count: int) -> None:
        self._slot_of = np.full(count, FREE, np.int32)

    @property
    def free(self) -> NDArray[np.intp]:
        return np.flatnonzero(self._slot_of == FREE)

    @property
    def taken(self) -> NDArray[np.intp]:
        return np.flatnonzero(self._slot_of != FREE)

    def take(self, slots: Slots) -> NDArray[np.intp]:
        """Give each of these slots a free row; there must be enough."""
        rows = self.free[: len(slots)]
        self._slot_of[rows] = slots
        return rows

    def of(self, slots: Slots) -> NDArray[np.intp]:
        """The rows that these slots have; each must have one."""
        order = np.argsort(self._slot_of, kind="stable")  # fast on mostly sorted input, as here
        rows: NDArray[np.intp] = order[np.searchsorted(self._slot_of, slots, sorter=order)]
        return rows

    def give_back(self, rows: NDArray[np.intp]) -> None:
        self._slot_of[rows] = FREE

    def forget(self, slots: Slots) -> None:
        """Release the rows of these slots, if they have one."""
        taken = self.taken
        if len(taken):
            self._slot_of[taken[np.isin(self._slot_of[taken], slots)]] = FREE
