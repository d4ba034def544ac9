"""How many connections are read with few buffers: a connection has a buffer only while it is being read."""

import numpy as np

from fourtuple.engine.loops.contract import NO_SLOTS, Slots


class Reads:
    """The slots that have data to read, and the few buffers that they use in turn.

    buffers: (rows, row_bytes) uint8
    """

    def __init__(self, rows: int, row_bytes: int) -> None:
        self.buffers = np.zeros((rows, row_bytes), np.uint8)
        self._waiting: list[Slots] = []  # in the order they came

    @property
    def waiting(self) -> bool:
        return bool(self._waiting)

    def add(self, slots: Slots) -> None:
        if len(slots):
            self._waiting.append(slots)

    def take(self) -> Slots:
        """As many waiting slots as there are buffers."""
        if not self._waiting:
            return NO_SLOTS
        waiting = np.concatenate(self._waiting) if len(self._waiting) > 1 else self._waiting[0]
        slots, rest = waiting[: len(self.buffers)], waiting[len(self.buffers) :]
        self._waiting = [rest] if len(rest) else []
        return slots

    def forget(self, slots: Slots) -> None:
        """Remove slots that were closed."""
        self._waiting = [waiting[~np.isin(waiting, slots)] for waiting in self._waiting]
