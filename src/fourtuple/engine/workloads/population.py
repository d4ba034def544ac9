"""How a worker follows stages: how many of its slots may be used now, and which connections are surplus.

The connection in slot i is to be open while the worker's part of the target is above i. So a falling target closes the
connections that were opened last, and a rising one opens their slots again. What failed or was lost on the way is tried
again when the target comes back from below its number.
"""

import numpy as np

from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.slices import Slice
from fourtuple.core.runs.timetable import Timetable
from fourtuple.engine.control import TICK_S
from fourtuple.engine.states import STAGE_BITS, Life
from fourtuple.engine.workloads.closer import CLOSE_BATCH, Closer
from fourtuple.engine.workloads.contract import Worker
from fourtuple.engine.workloads.retries import Retries
from fourtuple.engine.workloads.unused import Unused

GRAIN_S = 0.01  # changes within this time are made together


class Population:
    """Allows the opener to use as many slots as the timetable says, and closes those above.

    The timetable begins when the control says so.
    """

    def __init__(
        self,
        worker: Worker,
        timetable: Timetable,
        share: Slice,
        unused: Unused,
        closer: Closer,
        retries: Retries,
    ) -> None:
        self._worker, self._timetable, self._share = worker, timetable, share
        self._unused, self._closer, self._retries = unused, closer, retries
        self._falls_to: int | None = None  # slots from this number on are being emptied; None: none are

    def rise(self, now_ns: int) -> None:
        """Note the stage, and allow the opener to use the slots below the target.

        Those above a lower one have to be empty first.
        """
        if not self._worker.control.began_ns:
            self._unused.allow(0)
            return
        elapsed_ns = self._elapsed_ns(now_ns)
        self._note(self._timetable.stage(elapsed_ns))
        target = self._timetable.asked_of(elapsed_ns, self._share)
        self._worker.counters["target"] = target
        if target < (self._unused.fresh if self._falls_to is None else self._falls_to):
            self._falls_to = target
        if self._falls_to is not None:
            target = self._falls_to
            self._retries.forget_from(target)
        self._unused.allow(target)

    def start(self) -> float:
        """Close the next surplus connections."""
        worker, now_ns = self._worker, self._worker.clock_ns()
        if worker.control.stopping or worker.counters["phase"] > Phase.HOLDING:
            return TICK_S
        if self._falls_to is None:
            return self.wait_s(now_ns)
        above = worker.state[self._falls_to : self._unused.fresh]
        # One whose session is not established yet is closed when it is.
        surplus = np.flatnonzero((above & (Life.OPEN | Life.GREETING)) == Life.OPEN)[: -CLOSE_BATCH - 1 : -1]
        self._closer.part((surplus + self._falls_to).astype(np.int32))
        used = np.flatnonzero(above)
        self._unused.lower(self._falls_to + (int(used[-1]) + 1 if len(used) else 0))
        if not len(used):
            self._falls_to = None
        return GRAIN_S

    def wait_s(self, now_ns: int) -> float:
        """How long until the target or the stage changes."""
        if not self._worker.control.began_ns:
            return GRAIN_S
        elapsed_ns = self._elapsed_ns(now_ns)
        next_ns = self._timetable.next_ns(elapsed_ns)
        return TICK_S if next_ns is None else max(GRAIN_S, (next_ns - elapsed_ns) / 1e9)

    def is_at_top(self, now_ns: int, *, decided: bool) -> bool:
        """Whether the most connections are to be counted now.

        decided: nothing is being opened
        """
        top_ns = self._timetable.top_ns if decided else self._timetable.top_until_ns
        return self._worker.control.began_ns > 0 and self._elapsed_ns(now_ns) >= top_ns

    def _elapsed_ns(self, now_ns: int) -> int:
        return max(0, now_ns - self._worker.control.began_ns)

    def _note(self, stage: int) -> None:
        """Note how many are open, or are being replaced, at the end of each stage that is over."""
        worker, counters = self._worker, self._worker.counters
        if stage == counters["stage"]:
            return
        replaced = np.count_nonzero(worker.state & STAGE_BITS & ~np.uint8(Life.OPENING) == Life.ANEW)
        counters["stage_open"][counters["stage"] : stage] = counters["open"] + replaced + self._retries.count(Life.ANEW)
        counters["stage"] = stage
