"""When a connection of a churn is closed, by one of its ends: once it is complete and its lifetime is over."""

import errno
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs import histogram
from fourtuple.core.runs.churn_orders import ClosedBy
from fourtuple.core.sockets.columns import distinct
from fourtuple.engine.control import TICK_S
from fourtuple.engine.dialogues.course import Course
from fourtuple.engine.loops.contract import COMPLETION, Completions, Slots
from fourtuple.engine.states import Life
from fourtuple.engine.workloads.closer import PART_NS, PART_STEP_S, Closer
from fourtuple.engine.workloads.contract import Worker

NEVER_NS = 2**62
COMPLETE_NS, PARTING_NS = NEVER_NS - 1, NEVER_NS - 2  # complete, and the server is to close; saying goodbye
Since = Callable[[Slots, int], tuple[NDArray[np.float64], NDArray[np.float64]]]


class Leaver:
    """Closes the connections of a worker.

    course:    tells which connections have had their answers
    lifetimes_ns: draws that many lifetimes: how long connections live at least, from when they are open
    by:        who closes; if it is the server, its FIN is waited for once the exchanges are complete
    timeout_s: a connection whose exchanges, or whose FIN from the server, take longer is lost with ETIMEDOUT
    since_us:  how long ago connections were due, and were started
    """

    def __init__(
        self,
        worker: Worker,
        closer: Closer,
        course: Course,
        lifetimes_ns: Callable[[int], NDArray[np.int64]],
        by: ClosedBy,
        timeout_s: float,
        since_us: Since,
    ) -> None:
        self._worker, self._closer, self._course, self._lifetimes_ns, self._by = (
            worker,
            closer,
            course,
            lifetimes_ns,
            by,
        )
        self._timeout_ns, self._since_us = int(timeout_s * 1e9), since_us
        slots = len(worker.state)
        self._live_ns = np.zeros(slots, np.int64)  # when the lifetime is over
        self._close_ns = np.full(slots, NEVER_NS)  # when to close; never, until the exchanges are complete
        self._late_ns = np.full(slots, NEVER_NS)  # when patience is over
        self._next_ns = NEVER_NS  # no connection is to be closed before
        self._parting: list[tuple[int, Slots]] = []  # until when, which: their sessions say goodbye

    def opened(self, slots: Slots, now_ns: int) -> None:
        """These connections are open; called before their dialogue begins."""
        self._live_ns[slots] = now_ns + self._lifetimes_ns(len(slots))
        self._close_ns[slots] = NEVER_NS
        self._late_ns[slots] = now_ns + self._timeout_ns
        if self._worker.dialogue is None:
            self._course.begin(slots)

    def ended(self, done: Completions) -> None:
        """The peer ended these connections, or they broke: the end of a complete one is as planned, if it is time."""
        self._take_course()
        slots = done["slot"]
        close_ns = self._close_ns[slots]
        planned = (close_ns <= self._worker.clock_ns()) | (close_ns == COMPLETE_NS) | (close_ns == PARTING_NS)
        planned &= done["result"] == 0
        leaving = distinct(slots[planned])
        if len(leaving := self._worker.still_open(leaving)):
            self._closer.close(leaving)
        if not planned.all():
            self._closer.lost(done[~planned])

    def staying(self, slots: Slots) -> Slots:
        """Those of these slots that are not closed in this step."""
        self._take_course()
        stays: Slots = slots[self._close_ns[slots] > self._worker.clock_ns()]
        return stays

    def start(self) -> float:
        """Close what is to be closed by now → how long until there is more."""
        self._take_course()
        now_ns = self._worker.clock_ns()
        if now_ns >= self._next_ns:
            self._close_due(now_ns)
        wait_s = max(0.0, (self._next_ns - now_ns) / 1e9)
        if self._parting:
            self._go_on_parting(now_ns)
            wait_s = min(wait_s, PART_STEP_S)
        return min(TICK_S, wait_s)

    def tick(self) -> None:
        """Give up connections that take too long."""
        now_ns = self._worker.clock_ns()
        late = self._worker.still_open(np.flatnonzero(self._late_ns <= now_ns).astype(np.int32))
        if len(late):
            self._late_ns[late] = NEVER_NS
            lost = np.zeros(len(late), COMPLETION)
            lost["slot"], lost["result"] = late, -errno.ETIMEDOUT
            self._closer.lost(lost)

    def _take_course(self) -> None:
        """Take in which connections have had their first answer, and which all of them."""
        first, complete = self._course.take()
        now_ns = self._worker.clock_ns()
        self._time("first", first, now_ns)
        if not len(complete):
            return
        if self._worker.dialogue is not None:
            self._time("last", complete, now_ns)
        if self._by is ClosedBy.SERVER:
            self._close_ns[complete] = COMPLETE_NS
            self._late_ns[complete] = now_ns + self._timeout_ns
            return
        close_ns = self._live_ns[complete]
        self._close_ns[complete] = close_ns
        self._late_ns[complete] = NEVER_NS
        self._next_ns = min(self._next_ns, int(close_ns.min()))

    def _time(self, what: str, slots: Slots, now_ns: int) -> None:
        if len(slots):
            due_us, start_us = self._since_us(slots, now_ns)
            histogram.add_values(self._worker.counters[f"{what}_us"], due_us)
            histogram.add_values(self._worker.counters[f"{what}_service_us"], start_us)

    def _close_due(self, now_ns: int) -> None:
        due = np.flatnonzero(self._close_ns <= now_ns).astype(np.int32)
        self._close_ns[due] = NEVER_NS
        self._next_ns = int(self._close_ns.min(initial=NEVER_NS))
        due = self._worker.still_open(due)
        if not len(due):
            return
        if self._by is ClosedBy.FIN and self._worker.dialogue:
            self._worker.dialogue.goodbye(due)
            parts = (self._worker.state[due] & Life.SENDING) > 0
            if parts.any():
                self._close_ns[due[parts]] = PARTING_NS
                self._parting.append((now_ns + PART_NS, due[parts]))
                due = due[~parts]
        if len(due):
            self._closer.close(due)

    def _go_on_parting(self, now_ns: int) -> None:
        """Close those that have said goodbye, or have taken too long for it."""
        parting, self._parting = self._parting, []
        for until_ns, slots in parting:
            slots = slots[self._close_ns[slots] == PARTING_NS]  # otherwise another connection has the slot
            slots = self._worker.still_open(slots)
            waits = (self._worker.state[slots] & Life.SENDING) > 0
            if now_ns >= until_ns:
                waits[:] = False
            if waits.any():
                self._parting.append((until_ns, slots[waits]))
            if len(said := slots[~waits]):
                self._closer.close(said)
