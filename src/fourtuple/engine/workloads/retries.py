"""Which connections are opened again, when, and on which way (routes.py): lost ones, and those that are replaced."""

import numpy as np
from numpy.typing import NDArray

from fourtuple.engine.loops.contract import NO_SLOTS, Slots
from fourtuple.engine.states import Life
from fourtuple.engine.workloads.routes import Ways

RETRY_NS = 1_000_000_000  # wait after a failed attempt to reopen


class Retries:
    """The way of each slot, and the slots that wait to be opened again.

    Slots wait in two queues: AGAIN for those that were lost, ANEW for those that were closed as planned.
    """

    def __init__(self, slots: int, ways: int) -> None:
        """Prepare for `slots` slots; ways: the number of ways."""
        self._way_of = np.zeros(slots, np.min_scalar_type(ways))  # plus one; 0: not known
        self._waiting: dict[int, list[tuple[int, Slots]]] = {Life.AGAIN: [], Life.ANEW: []}  # from when, and which

    def remember(self, slots: Slots, ways: Ways) -> None:
        """Remember on which way each of these slots was opened."""
        self._way_of[slots] = ways + 1

    def knows(self, slots: Slots) -> NDArray[np.bool_]:
        """Which of these slots were open before, so that their ways are known."""
        return self._way_of[slots] > 0

    def ways(self, slots: Slots) -> NDArray[np.int64]:
        return self._way_of[slots].astype(np.int64) - 1

    def forget_ways(self, slots: Slots) -> None:
        """These slots are to be opened on other ways."""
        self._way_of[slots] = 0

    def add(self, slots: Slots, due_ns: int, queue: int = Life.AGAIN) -> None:
        if len(slots):
            self._waiting[queue].append((due_ns, slots))

    def due(self, now_ns: int, queue: int = Life.AGAIN) -> Slots:
        due = [slots for due_ns, slots in self._waiting[queue] if due_ns <= now_ns]
        return np.concatenate(due) if due else NO_SLOTS

    def count(self, queue: int) -> int:
        """How many slots wait in this queue."""
        return sum(len(slots) for _, slots in self._waiting[queue])

    def forget(self, slots: Slots, queue: int = Life.AGAIN) -> None:
        """Remove these slots: they are being opened."""
        left = [(due_ns, waiting[~np.isin(waiting, slots)]) for due_ns, waiting in self._waiting[queue]]
        self._waiting[queue] = [(due_ns, waiting) for due_ns, waiting in left if len(waiting)]

    def forget_from(self, limit: int) -> None:
        """Remove the slots from this number on: fewer connections are to be open."""
        for queue, waiting in self._waiting.items():
            left = [(due_ns, slots[slots < limit]) for due_ns, slots in waiting]
            self._waiting[queue] = [(due_ns, slots) for due_ns, slots in left if len(slots)]

    def clear(self) -> None:
        for waiting in self._waiting.values():
            waiting.clear()
