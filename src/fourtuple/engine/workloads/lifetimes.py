"""When a server closes a connection by itself: a fixed time after it was opened."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from fourtuple.engine.control import TICK_S
from fourtuple.engine.loops.contract import Slots
from fourtuple.engine.workloads.closer import Closer
from fourtuple.engine.workloads.contract import Worker


class Lifetimes:
    """Closes each connection `close_after_s` after it was opened."""

    def __init__(self, worker: Worker, closer: Closer, close_after_s: float) -> None:
        self._worker, self._closer, self._close_after_ns = worker, closer, int(close_after_s * 1e9)
        self._generation = np.zeros(
            len(worker.state), np.uint32
        )  # distinguishes a slot's connection from the next one in it
        self._due: deque[tuple[int, Slots, NDArray[np.uint32]]] = deque()  # when, which

    def opened(self, slots: Slots, now_ns: int) -> None:
        self._generation[slots] += 1
        self._due.append((now_ns + self._close_after_ns, slots, self._generation[slots]))

    def start(self) -> float:
        """Close the connections that are due."""
        now_ns = self._worker.clock_ns()
        while self._due and self._due[0][0] <= now_ns:
            _, slots, generation = self._due.popleft()
            slots = self._worker.still_open(slots[self._generation[slots] == generation])
            if len(slots):
                self._closer.close(slots)
        return max(0.0, (self._due[0][0] - now_ns) / 1e9) if self._due else TICK_S
