"""Which destination each slot's connection goes to, and what became of the connections to each of them."""

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs.counters import Counters
from fourtuple.core.runs.destinations import FAILED_LINES, LOST_LINES, NOWHERE, OPENED_LINE, PLACES, place_of
from fourtuple.engine.loops.contract import Completions, Slots
from fourtuple.engine.workloads.routes import Ways


class Toward:
    """Counts in a worker's counters, by destination (core/runs/destinations.py)."""

    def __init__(self, counters: Counters, destinations: int, slots: int) -> None:
        self._counts: NDArray[np.int64] = counters["destinations"]
        self._destinations = destinations
        places = min(self._destinations, PLACES)
        self._place_of = np.zeros(slots, np.min_scalar_type(max(0, places - 1)))

    def connecting(self, slots: Slots, ways: Ways) -> None:
        """These slots are being opened on these ways (routes.py)."""
        if self._destinations > 1:
            self._place_of[slots] = place_of(ways.astype(np.int64) % self._destinations, self._destinations)

    def opened(self, slots: Slots) -> None:
        self._add(slots, OPENED_LINE)

    def failed(self, slots: Slots, numbers: int | NDArray[np.int64]) -> None:
        """The connects of these slots have failed, by this errno or by one for each."""
        lines = np.broadcast_to(FAILED_LINES[numbers], len(slots))
        counted = lines != NOWHERE
        self._add(slots[counted], lines[counted])

    def lost(self, ended: Completions) -> None:
        """These connections are lost: the peer closed (result 0), or they broke (−errno)."""
        self._add(ended["slot"], LOST_LINES[-ended["result"]])

    def _add(self, slots: Slots, lines: int | NDArray[np.int64]) -> None:
        np.add.at(self._counts, lines * PLACES + self._place_of[slots].astype(np.int64), 1)
