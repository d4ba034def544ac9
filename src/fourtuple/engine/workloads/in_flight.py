"""Which connections are being opened, since when, and on which way (routes.py)."""

import numpy as np
from numpy.typing import NDArray

from fourtuple.engine.loops.contract import Slots
from fourtuple.engine.workloads.routes import Ways
from fourtuple.engine.workloads.rows import Rows


class InFlight:
    """The connections being opened, with a row for at most `most` of them; other slots take no memory here."""

    def __init__(self, most: int) -> None:
        self._rows = Rows(most)
        self._start_ns = np.zeros(most, np.int64)
        self._way = np.zeros(most, np.int64)

    def begin(self, slots: Slots, ways: Ways, now_ns: int) -> None:
        rows = self._rows.take(slots)
        self._start_ns[rows], self._way[rows] = now_ns, ways

    def end(self, slots: Slots) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Remove these slots → their ways, and when each connect was started, in ns."""
        rows = self._rows.of(slots)
        ways, start_ns = self._way[rows], self._start_ns[rows]
        self._rows.give_back(rows)
        return ways, start_ns

    def begun_until(self, until_ns: int) -> Slots:
        rows = self._rows.taken
        return self._rows.slots(rows[self._start_ns[rows] <= until_ns])

    def forget(self, slots: Slots) -> None:
        self._rows.forget(slots)
