"""Which open connections are replaced, and when: closed as planned, and opened again on the same way."""

import numpy as np

from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.slices import Slice
from fourtuple.engine.control import TICK_S
from fourtuple.engine.loops.contract import NO_SLOTS, Slots
from fourtuple.engine.states import Life
from fourtuple.engine.workloads.closer import Closer
from fourtuple.engine.workloads.contract import Worker
from fourtuple.engine.workloads.population import GRAIN_S
from fourtuple.engine.workloads.retries import Retries

BATCH = 2048  # connections replaced per step; then the worker does its other work
SCANNED = 65536  # slots looked at per step


class Replacer:
    """Replaces connections at a rate while the control says so, the oldest first.

    Slots take turns: they are opened in their order, and replaced in their order. Replacing stops while as many as may
    be opening at the same time are out.

    rate_per_s: of all workers together
    share:      of this worker, of `wanted` connections
    """

    def __init__(
        self, worker: Worker, closer: Closer, retries: Retries, rate_per_s: float, share: Slice, wanted: int
    ) -> None:
        self._worker, self._closer, self._retries = worker, closer, retries
        self._rate_per_s, self._share, self._wanted = rate_per_s, share, wanted
        self._begin_ns = 0  # when replacing began; 0: not now
        self._begun = self._turn = 0

    def start(self) -> float:
        """End the sessions of the connections that are due, and have them closed."""
        worker, now_ns = self._worker, self._worker.clock_ns()
        begin_ns = worker.control.replaces_from_ns
        if not begin_ns or worker.control.stopping or worker.counters["phase"] != Phase.HOLDING:
            return TICK_S
        if begin_ns != self._begin_ns:
            self._begin_ns, self._begun = begin_ns, 0
        due = self._due(int((now_ns - begin_ns) * self._rate_per_s / 1e9)) - self._begun
        out = int(worker.counters["opening"]) + self._retries.count(Life.ANEW)
        oldest = self._oldest(min(due, self._share.pace.in_flight - out, BATCH))
        self._begun += len(oldest)
        self._closer.part(oldest, Life.ANEW)
        return GRAIN_S if due > len(oldest) else self._wait_s(now_ns)

    def _due(self, total: int) -> int:
        """How many of the first `total` replacements are this worker's: all workers together make up all of them."""
        first, stop = self._share.first, self._share.first + self._share.wanted
        return stop * total // self._wanted - first * total // self._wanted

    def _wait_s(self, now_ns: int) -> float:
        """Until the next one is due, at the latest."""
        own_per_s = self._rate_per_s * self._share.wanted / self._wanted
        next_s = (self._begun + 1) / own_per_s if own_per_s else TICK_S
        return min(TICK_S, max(GRAIN_S, next_s - (now_ns - self._begin_ns) / 1e9))

    def _oldest(self, count: int) -> Slots:
        """The next open slots, at most `count`, whose sessions are established."""
        slots = len(self._worker.state)
        if count <= 0 or not slots:
            return NO_SLOTS
        turns = (self._turn + np.arange(min(slots, max(count, SCANNED)))) % slots
        some = np.flatnonzero((self._worker.state[turns] & (Life.OPEN | Life.GREETING)) == Life.OPEN)[:count]
        self._turn += int(some[-1]) + 1 if len(some) == count else len(turns)
        return turns[some].astype(np.int32)
