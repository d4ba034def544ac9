"""How connections are opened: along the routes, at the given pace, with each failure counted by its errno.

After an errno that concerns one route, the connection is tried on another route; an errno that concerns the whole
process ends the opening. A connection that was lost or is replaced is opened again on the same way, and its failures
are counted separately.
"""

import errno
from collections.abc import Callable, Sequence

import numpy as np

from fourtuple.core.errnos import Extent, symptom_of
from fourtuple.core.runs import histogram
from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.pace import OpeningPace
from fourtuple.core.runs.spread import BINS
from fourtuple.core.sockets.columns import distinct
from fourtuple.engine.control import TICK_S
from fourtuple.engine.loops.contract import COMPLETION, NO_SLOTS, Completions, How, Slots, Targets
from fourtuple.engine.states import Life
from fourtuple.engine.workloads.closer import Closer
from fourtuple.engine.workloads.contract import Worker
from fourtuple.engine.workloads.in_flight import InFlight
from fourtuple.engine.workloads.population import Population
from fourtuple.engine.workloads.queued import Queued
from fourtuple.engine.workloads.retries import RETRY_NS, Retries
from fourtuple.engine.workloads.routes import AutomaticRoutes, Ways
from fourtuple.engine.workloads.toward import Toward
from fourtuple.engine.workloads.unused import Unused

_OPENING, _HOLDING = int(Phase.OPENING), int(Phase.HOLDING)  # compared in every step, as plain numbers for speed
SAMPLED = 2  # connections of a batch whose handshake is asked for: it takes 20 µs
WINDOW = 64  # give up after this many failures in a row, or as many as may be in flight if that is more


class Opener:
    """Connects each slot of a worker once, and again where that is wanted.

    timeout_s: a connect() without an answer for this time fails with ETIMEDOUT; to a Unix socket, with EAGAIN
    opened:    called with the slots of new connections and the time, in ns
    unused:    the slots to open
    retries:   connections to open again; None: none are
    population: determines how many slots may be used now; None: all of them
    """

    def __init__(
        self,
        worker: Worker,
        routes: AutomaticRoutes,
        pace: OpeningPace,
        how: How,
        timeout_s: float,
        closer: Closer,
        toward: Toward,
        opened: Sequence[Callable[[Slots, int], None]],
        unused: Unused,
        retries: Retries | None,
        population: Population | None,
    ) -> None:
        self._worker, self._routes, self._pace, self._how, self._toward = worker, routes, pace, how, toward
        self._timeout_ns = int(timeout_s * 1e9)
        self._closer, self._opened = closer, opened
        self._unused, self._retries, self._population = unused, retries, population
        self._in_flight, self._queued = InFlight(pace.in_flight), Queued()
        self._failed_in_a_row = 0
        self._paced_from_ns = self._paced = 0  # since when the pace counts, and how many were started since

    def start(self) -> float:
        """Start as many connects as the pace allows, after those that found an accept queue full."""
        now_ns = self._worker.clock_ns()
        self._paced_from_ns = self._paced_from_ns or now_ns
        if self._worker.counters["phase"] > _HOLDING or self._worker.control.stopping:
            return TICK_S
        queued = self._queued.due(now_ns, self._worker.loop.batch)
        if len(queued):
            self._worker.loop.connect(queued, self._routes.again(self._in_flight.ways(queued)), self._how)
        return min(self._start(now_ns), self._queued.wait_s(now_ns))

    def _start(self, now_ns: int) -> float:
        """Start what the pace allows; those that are opened again first."""
        counters = self._worker.counters
        if self._population:
            self._population.rise(now_ns)
        self._replace(now_ns)
        again = self._retries.due(now_ns) if self._retries else NO_SLOTS
        new = len(self._unused)
        if not new and not len(again):
            self._paced_from_ns, self._paced = now_ns, 0
            if counters["phase"] == _OPENING and self._is_complete(now_ns):
                counters["phase"] = _HOLDING
            return self._population.wait_s(now_ns) if self._population else TICK_S
        elapsed_s, opening = (now_ns - self._paced_from_ns) / 1e9, int(counters["opening"] + counters["greeting"])
        due = min(self._pace.start_now(elapsed_s, opening, self._paced), self._worker.loop.batch)
        if due and len(again):
            self._reopen(again[:due], Life.AGAIN)
            return 0.0
        if due and new:
            if not self._open(min(due, new)):
                self._give_up(self._routes.full_errno)
            return 0.0
        return self._pace.wait_s(elapsed_s, int(counters["opening"] + counters["greeting"]), self._paced)

    def _is_complete(self, now_ns: int) -> bool:
        """Whether nothing more is to be opened: all slots have been used, and are open or have failed."""
        decided = not self._worker.counters["opening"] and not self._worker.counters["greeting"]
        return self._population.is_at_top(now_ns, decided=decided) if self._population else decided

    def _replace(self, now_ns: int) -> None:
        """Open connections again that were closed to be replaced: as many as may be opening at the same time."""
        if self._retries and len(due := self._retries.due(now_ns, Life.ANEW)):
            room = max(0, self._pace.in_flight - int(self._worker.counters["opening"]))
            if len(due := due[: min(room, self._worker.loop.batch)]):
                self._reopen(due, Life.ANEW)

    def _reopen(self, slots: Slots, queue: int) -> None:
        """Open these slots on the ways on which they were open before."""
        if self._retries:
            self._retries.forget(slots, queue)
            ways = self._retries.ways(slots)
            self._connect(slots, self._routes.again(ways), ways, Life.OPENING | queue)

    def _open(self, count: int) -> int:
        """Open this many unused slots, each on the way it was open before, if it was → how many; 0: no way is left."""
        slots = self._unused.take(count)
        if self._retries:
            known = self._retries.knows(slots)
            again, slots = slots[known], slots[~known]
            if len(again):
                ways = self._retries.ways(again)
                self._connect(again, self._routes.again(ways), ways, Life.OPENING)
        if not len(slots):
            return count
        block, ways = self._routes.take(len(slots))
        if len(block):
            self._connect(slots[: len(block)], block, ways, Life.OPENING)
        self._unused.give_back(slots[len(block) :])
        return count - len(slots) + len(block)

    def take(self, connects: Completions) -> None:
        good = connects["result"] >= 0
        if good.all():
            self._connected(connects["slot"])
            return
        if good.any():
            self._connected(connects["slot"][good])
        is_full = connects["result"] == -errno.EAGAIN
        if is_full.any():
            self._queued.add(connects["slot"][is_full], self._worker.clock_ns())
        self._refused(connects[~good & ~is_full])

    def tick(self) -> None:
        if self._worker.control.stopping:
            self.stop()
        self._give_up_late()

    def stop(self) -> None:
        """End the opening, and leave lost connections lost.

        Connections that were not started fail with ECANCELED, those without an answer with EINPROGRESS, and those that
        wait for room in an accept queue with EAGAIN.
        """
        worker, counters = self._worker, self._worker.counters
        if self._retries:
            self._retries.clear()
        opening = np.flatnonzero(worker.state & Life.OPENING).astype(np.int32)
        if counters["phase"] == Phase.OPENING:
            self._give_up(errno.ECANCELED)
            new = opening[worker.state[opening] == Life.OPENING]
            full = self._queued.drop(new)
            for number, slots in ((errno.EAGAIN, full), (errno.EINPROGRESS, np.setdiff1d(new, full))):
                counters["failed"][number] += len(slots)
                self._toward.failed(slots, number)
            counters["phase"] = Phase.HOLDING
        if len(opening):
            counters["opening"] -= len(opening)
            self._in_flight.forget(opening)
            self._queued.drop(opening)
            self._closer.let_go(opening, reset=True, state=Life.EMPTY)

    def _connect(self, slots: Slots, block: Targets, ways: Ways, state: int) -> None:
        counters, now_ns = self._worker.counters, self._worker.clock_ns()
        self._worker.state[slots] = state
        self._in_flight.begin(slots, ways, now_ns)
        self._toward.connecting(slots, ways)
        if not self._paced:  # the first one is on time
            self._paced_from_ns = now_ns - int(self._pace.delay_s * 1e9)
        self._paced += len(slots)
        counters["started"] += len(slots)
        counters["opening"] += len(slots)
        if not counters["first_start_ns"]:
            counters["first_start_ns"] = now_ns
        self._worker.loop.connect(slots, block, self._how)

    def _connected(self, slots: Slots) -> None:
        worker, counters, now_ns = self._worker, self._worker.counters, self._worker.clock_ns()
        ways, start_ns = self._in_flight.end(slots)
        before = worker.state[slots]
        first = before == Life.OPENING
        opened, replaced = int(np.count_nonzero(first)), int(np.count_nonzero(before & Life.ANEW))
        histogram.add_values(counters["connect_us"], (now_ns - start_ns[first]) / 1e3)
        sample = [worker.loop.handshake_us(slot) for slot in slots[first][:SAMPLED].tolist()]
        histogram.add_values(counters["handshake_us"], np.array([us for us in sample if us is not None], np.float64))
        new = first & ~self._retries.knows(slots) if self._retries else first
        counters["pairs"] += np.bincount(self._routes.bins(ways[new]), minlength=BINS)
        self._routes.worked(ways)
        self._toward.opened(slots)
        self._queued.worked(len(slots))
        if self._retries:
            self._retries.remember(slots, ways)
        worker.state[slots] = Life.OPEN
        counters["opening"] -= len(slots)
        counters["open"] += len(slots)
        counters["opened"] += opened
        counters["replaced"] += replaced
        counters["reconnected"] += len(slots) - opened - replaced
        if opened:
            counters["last_open_ns"] = now_ns
        self._failed_in_a_row = 0
        worker.notes.begin("connected", slots)
        for each in self._opened:
            each(slots, now_ns)

    def _refused(self, failures: Completions) -> None:
        """Take in failed connects: those of a slot that was open are tried again later; others are handled by errno."""
        slots, results = failures["slot"], failures["result"]
        self._worker.counters["opening"] -= len(slots)
        before = self._worker.state[slots]
        self._worker.state[slots] = Life.EMPTY
        ways, _ = self._in_flight.end(slots)
        for result in distinct(results).tolist():
            of_these = results == result
            if self._retries:
                for queue in (Life.AGAIN, Life.ANEW):
                    retried = slots[of_these & ((before & queue) > 0)]
                    self._worker.counters["reconnect_failed"][-result] += len(retried)
                    self._toward.failed(retried, -result)
                    self._retries.add(retried, self._worker.clock_ns() + RETRY_NS, queue)
            new = of_these & (before == Life.OPENING)
            if new.any():
                self._failed(-result, slots[new], ways[new])

    def _failed(self, number: int, slots: Slots, ways: Ways) -> None:
        """Try another route if the errno concerns only this one; otherwise count the failures, and perhaps give up."""
        ends_all = symptom_of(number).ends is Extent.PROCESS
        if not ends_all and self._routes.failed(ways, number):
            self._unused.give_back(slots)
            if self._retries:
                self._retries.forget_ways(slots)
            return
        self._worker.counters["failed"][number] += len(slots)
        self._toward.failed(slots, number)
        self._failed_in_a_row += len(slots)
        if ends_all or self._failed_in_a_row >= max(WINDOW, self._pace.in_flight):
            self._give_up(number)

    def _give_up(self, number: int) -> None:
        """Start nothing new: connections that were not started fail with this errno."""
        self._worker.counters["failed"][number] += self._unused.drop()

    def _give_up_late(self) -> None:
        """Give up connects that have had no answer, or no room in the accept queue, for `timeout_s`."""
        late = self._in_flight.begun_until(self._worker.clock_ns() - self._timeout_ns)
        if len(late):
            failures = np.zeros(len(late), COMPLETION)
            found_full = np.isin(late, self._queued.drop(late))
            failures["slot"], failures["result"] = late, np.where(found_full, -errno.EAGAIN, -errno.ETIMEDOUT)
            self._refused(failures)
            self._closer.let_go(late, reset=True)
