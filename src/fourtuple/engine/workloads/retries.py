"""Which lost connections are opened again, when, and on which way (routes.py)."""

import numpy as np
from numpy.typing import NDArray

from fourtuple.engine.loops.contract import NO_SLOTS, Slots
from fourtuple.engine.workloads.routes import Ways

RETRY_NS = 1_000_000_000  # wait after a failed reconnect


class Retries:
    """Slots that wait to be opened again."""

    def __init__(self, slots: int, ways: int) -> None:
        """Prepare for `slots` slots; ways: the number of ways."""
        self._way_of = np.zeros(slots, np.min_scalar_type(max(0, ways - 1)))
        self._waiting: list[tuple[int, Slots]] = []  # when they may be tried, and which

    def remember(self, slots: Slots, ways: Ways) -> None:
        """Remember on which way each of these slots was opened."""
        self._way_of[slots] = ways

    def ways(self, slots: Slots) -> NDArray[np.int64]:
        return self._way_of[slots].astype(np.int64)

    def add(self, slots: Slots, due_ns: int) -> None:
        if len(slots):
            self._waiting.append((due_ns, slots))

    def due(self, now_ns: int) -> Slots:
        due = [slots for due_ns, slots in self._waiting if due_ns <= now_ns]
        return np.concatenate(due) if due else NO_SLOTS

    def forget(self, slots: Slots) -> None:
        """Remove these slots: they are being opened."""
        left = [(due_ns, waiting[~np.isin(waiting, slots)]) for due_ns, waiting in self._waiting]
        self._waiting = [(due_ns, waiting) for due_ns, waiting in left if len(waiting)]

    def clear(self) -> None:
        self._waiting.clear()
