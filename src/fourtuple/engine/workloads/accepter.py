"""Which connections a server accepts: as many as it has empty slots, and none for PAUSE_NS after a failed accept.

Further connections stay in the kernel's queue, connected and not lost.
"""

from collections.abc import Callable, Sequence
from socket import socket

import numpy as np

from fourtuple.core.runs.counters import Phase
from fourtuple.engine.control import TICK_S
from fourtuple.engine.loops.contract import Completions, Slots
from fourtuple.engine.states import Life
from fourtuple.engine.workloads.contract import Worker

_CLOSING = int(Phase.CLOSING)  # compared in every step; a member of an enumeration takes ten times as long
PAUSE_NS = 100_000_000  # after a failed accept: a limit of the system is reached, and still is at once afterwards


class Accepter:
    """Accepts connections; `opened`: called with the slots of accepted connections and the time, in ns."""

    def __init__(
        self, worker: Worker, listeners: Sequence[socket], opened: Sequence[Callable[[Slots, int], None]]
    ) -> None:
        self._worker, self._opened = worker, opened
        self._pause_until_ns = 0
        worker.loop.listen(listeners)

    def start(self) -> float:
        worker = self._worker
        pauses = worker.clock_ns() < self._pause_until_ns or worker.counters["phase"] == _CLOSING
        worker.loop.accept(0 if pauses else worker.loop.capacity - int(worker.counters["open"]))
        return TICK_S

    def take(self, accepts: Completions) -> None:
        good = accepts["result"] >= 0
        if good.any():
            self._accepted(accepts["slot"][good])
        if not good.all():
            np.add.at(self._worker.counters["failed"], -accepts["result"][~good], 1)
            self._pause_until_ns = self._worker.clock_ns() + PAUSE_NS

    def _accepted(self, slots: Slots) -> None:
        worker, counters, now_ns = self._worker, self._worker.counters, self._worker.clock_ns()
        worker.state[slots] = Life.OPEN
        counters["open"] += len(slots)
        counters["opened"] += len(slots)
        counters["last_open_ns"] = now_ns
        if not counters["first_start_ns"]:
            counters["first_start_ns"] = now_ns
        worker.notes.begin("accepted", slots)
        for opened in self._opened:
            opened(slots, now_ns)
