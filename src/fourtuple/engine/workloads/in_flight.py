"""Which connections are being opened, since when, and on which way (routes.py)."""

import numpy as np
from numpy.typing import NDArray

from fourtuple.engine.loops.contract import Slots
from fourtuple.engine.workloads.routes import Ways

FREE = -1


class InFlight:
    """The connections being opened; slots that are not being opened take no memory here.

    A slot has the row `slot modulo number of rows`. As slots are usually taken in order, two of them seldom need the
    same row: if a connect takes very long, or if lost connections are opened again. One is in a dictionary then.
    """

    def __init__(self, most: int) -> None:
        """Begin with no connection; most: how many are usually being opened at the same time"""
        rows = 1 << (2 * most).bit_length()
        self._mask = rows - 1
        self._slot_of = np.full(rows, FREE, np.int32)
        self._start_ns = np.zeros(rows, np.int64)
        self._way = np.zeros(rows, np.int64)
        self._others: dict[int, tuple[int, int]] = {}  # by slot: way, start in ns

    def begin(self, slots: Slots, ways: Ways, now_ns: int) -> None:
        """These slots are being opened."""
        rows = slots & self._mask
        taken = self._slot_of[rows] != FREE
        if taken.any():
            for row in rows[taken].tolist():
                self._others[int(self._slot_of[row])] = int(self._way[row]), int(self._start_ns[row])
        self._slot_of[rows], self._start_ns[rows], self._way[rows] = slots, now_ns, ways
        beaten = self._slot_of[rows] != slots
        if beaten.any():
            for slot, way in zip(slots[beaten].tolist(), ways[beaten].tolist(), strict=True):
                self._others[slot] = way, now_ns

    def end(self, slots: Slots) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Remove these slots → their ways, and when each connect was started, in ns."""
        rows = slots & self._mask
        ways, start_ns = self._way[rows], self._start_ns[rows]
        here = self._slot_of[rows] == slots
        if here.all():
            self._slot_of[rows] = FREE
            return ways, start_ns
        self._slot_of[rows[here]] = FREE
        for place in np.flatnonzero(~here).tolist():
            ways[place], start_ns[place] = self._others.pop(int(slots[place]))
        return ways, start_ns

    def ways(self, slots: Slots) -> NDArray[np.int64]:
        """The ways of these slots, which are being opened."""
        rows = slots & self._mask
        ways: NDArray[np.int64] = self._way[rows]
        for place in np.flatnonzero(self._slot_of[rows] != slots).tolist():
            ways[place], _ = self._others[int(slots[place])]
        return ways

    def begun_until(self, until_ns: int) -> Slots:
        """The slots whose connect was started by then."""
        rows = np.flatnonzero(self._slot_of != FREE)
        late = self._slot_of[rows[self._start_ns[rows] <= until_ns]]
        others = [slot for slot, (_, start_ns) in self._others.items() if start_ns <= until_ns]
        return np.concatenate((late, np.array(others, np.int32))) if others else late

    def forget(self, slots: Slots) -> None:
        """Remove these slots, if they are being opened."""
        rows = slots & self._mask
        self._slot_of[rows[self._slot_of[rows] == slots]] = FREE
        for slot in slots.tolist() if self._others else ():
            self._others.pop(slot, None)
