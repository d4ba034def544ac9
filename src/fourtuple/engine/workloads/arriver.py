"""When connections of a churn are started: at their moments, or as soon afterwards as there is a slot for them.

The moments do not depend on the other end, and a connection whose moment has passed stays due: it is started late, and
its times count from its moment ("open loop": B. Schroeder et al., "Open Versus Closed", NSDI 2006).
"""

import errno
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs import histogram
from fourtuple.core.runs.churn_orders import LATE_S
from fourtuple.core.runs.counters import Phase
from fourtuple.core.talk.arrivals import Arrivals
from fourtuple.engine.control import TICK_S
from fourtuple.engine.loops.contract import Completions, First, How, Slots
from fourtuple.engine.states import Life
from fourtuple.engine.workloads.closer import Closer
from fourtuple.engine.workloads.contract import Worker
from fourtuple.engine.workloads.queued import Queued
from fourtuple.engine.workloads.toward import Toward
from fourtuple.engine.workloads.turns import Turns

SAMPLE_NS = 10_000_000  # how often the handshake of a connection is asked for: it takes 20 µs
LATE_NS = int(LATE_S * 1e9)
AHEAD_NS = 20_000_000  # moments are calculated so far ahead
_OPENING, _HOLDING = int(Phase.OPENING), int(Phase.HOLDING)  # compared in every step, as plain numbers for speed


class Arriver:
    """Starts the connections of a worker, each in a slot that is used again and again.

    run_s:     connections are due in this time after the beginning
    timeout_s: a connect() without an answer for this time fails with ETIMEDOUT; to a Unix socket, with EAGAIN
    opened:    called with the slots of new connections and the time, in ns
    first:     what is sent along with each connect, if the loop links; None: nothing
    linked:    (slots,) bool, set where that was done
    """

    def __init__(
        self,
        worker: Worker,
        turns: Turns,
        arrivals: Arrivals,
        run_s: float,
        how: How,
        timeout_s: float,
        closer: Closer,
        toward: Toward,
        opened: Sequence[Callable[[Slots, int], None]],
        first: First | None,
        linked: NDArray[np.bool_],
    ) -> None:
        self._first, self._linked = first if worker.loop.links else None, linked
        self._worker, self._turns, self._arrivals, self._how, self._closer = worker, turns, arrivals, how, closer
        self._toward = toward
        self._run_ns, self._timeout_ns, self._opened = int(run_s * 1e9), int(timeout_s * 1e9), opened
        slots = len(worker.state)
        self._free = np.arange(slots, dtype=np.int32)[::-1].copy()  # a stack: the slots used last are used first
        self._free_count = slots
        self._due_ns, self._start_ns = np.zeros((2, slots), np.int64)
        self._waiting: deque[NDArray[np.int64]] = deque()  # the moments of connections that are due and not started
        self._waits = 0  # how many
        self._begin_ns = self._sample_ns = 0
        self._ahead_ns = min(AHEAD_NS, self._run_ns)  # up to when the moments are known
        self._ahead = arrivals.between(0, self._ahead_ns)  # the next ones, since the beginning
        self._queued = Queued()
        self._over = False  # no connection will be due, or may be started, any more

    def start(self) -> float:
        """Start what is due, after connects that found an accept queue full → how long until more is due."""
        now_ns = self._worker.clock_ns()
        queued = self._queued.due(now_ns, self._worker.loop.batch)
        if len(queued):
            self._connect(queued)
        return min(self._start(now_ns), self._queued.wait_s(now_ns))

    def _start(self, now_ns: int) -> float:
        """Start what is due, as far as there are slots."""
        worker = self._worker
        if self._over:
            return TICK_S
        self._begin_ns = self._begin_ns or now_ns
        elapsed_ns = now_ns - self._begin_ns
        self._arrive(elapsed_ns)
        if worker.control.stopping or (elapsed_ns >= self._run_ns and not self._waits):
            self._over = True
            if worker.counters["phase"] == _OPENING:
                worker.counters["phase"] = _HOLDING
            return TICK_S
        count = min(self._waits, self._free_count, worker.loop.batch)
        if count:
            self._begin(count, now_ns)
            return 0.0
        if self._waits:
            return TICK_S  # a slot becomes free by a completion
        next_ns = int(self._ahead[0]) if len(self._ahead) else min(self._ahead_ns, self._run_ns)
        return max(0.0, (self._begin_ns + next_ns - worker.clock_ns()) / 1e9)

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
        failures = connects[~good & ~is_full]
        self._fail(failures["slot"], -failures["result"])
        self._worker.state[failures["slot"]] = Life.EMPTY
        self._release(failures["slot"])

    def take_closes(self, closes: Completions) -> None:
        """These slots are empty again."""
        self._closer.take(closes)
        self._release(closes["slot"])

    def tick(self) -> None:
        """Give up connects that have had no answer, or no room in the accept queue, for `timeout_s`."""
        opening = self._opening()
        late = opening[self._start_ns[opening] <= self._worker.clock_ns() - self._timeout_ns]
        if len(late):
            found_full = np.isin(late, self._queued.drop(late))
            self._fail(late, np.where(found_full, errno.EAGAIN, errno.ETIMEDOUT))
            self._closer.let_go(late, reset=True)

    def stop(self) -> None:
        """End the opening: connections that are not open yet are let go; they are neither opened nor failed."""
        opening = self._opening()
        self._over = True
        self._worker.counters["opening"] -= len(opening)
        if len(opening):
            self._queued.drop(opening)
            self._closer.let_go(opening, reset=True)

    def since_us(self, slots: Slots, now_ns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """How long ago each of these connections was due, and was started, in µs."""
        return (now_ns - self._due_ns[slots]) / 1e3, (now_ns - self._start_ns[slots]) / 1e3

    def _arrive(self, elapsed_ns: int) -> None:
        """Take in the connections whose moment has come."""
        if self._ahead_ns <= min(elapsed_ns, self._run_ns - 1):
            until_ns = min(elapsed_ns + AHEAD_NS, self._run_ns)
            more = self._arrivals.between(self._ahead_ns, until_ns)
            self._ahead, self._ahead_ns = np.concatenate((self._ahead, more)), until_ns
        count = int(np.searchsorted(self._ahead, elapsed_ns, "right"))
        if count:
            self._worker.counters["arrivals"] += count
            self._waiting.append(self._begin_ns + self._ahead[:count])
            self._waits += count
            self._ahead = self._ahead[count:]

    def _begin(self, count: int, now_ns: int) -> None:
        worker, counters = self._worker, self._worker.counters
        due_ns = self._next(count)
        self._free_count -= count
        slots = self._free[self._free_count : self._free_count + count].copy()
        lag_ns = now_ns - due_ns
        self._due_ns[slots], self._start_ns[slots] = due_ns, now_ns
        worker.state[slots] = Life.OPENING
        counters["started"] += count
        counters["opening"] += count
        counters["late"] += int(np.count_nonzero(lag_ns > LATE_NS))
        histogram.add_values(counters["lag_us"], lag_ns / 1e3)
        if not counters["first_start_ns"]:
            counters["first_start_ns"] = now_ns
        self._linked[slots] = self._first is not None
        self._connect(slots)

    def _connect(self, slots: Slots) -> None:
        block, ways = self._turns.take(len(slots))
        self._toward.connecting(slots, ways)
        self._worker.loop.connect(slots, block, self._how, self._first)

    def _next(self, count: int) -> NDArray[np.int64]:
        """Take the next `count` of those that wait → their moments."""
        parts, left = [], count
        while left:
            part = self._waiting.popleft()
            if len(part) > left:
                self._waiting.appendleft(part[left:])
                part = part[:left]
            parts.append(part)
            left -= len(part)
        self._waits -= count
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def _connected(self, slots: Slots) -> None:
        worker, counters, now_ns = self._worker, self._worker.counters, self._worker.clock_ns()
        due_us, start_us = self.since_us(slots, now_ns)
        histogram.add_values(counters["connect_us"], due_us)
        histogram.add_values(counters["connecting_us"], start_us)
        if now_ns >= self._sample_ns:
            self._sample_ns = now_ns + SAMPLE_NS
            if (handshake_us := worker.loop.handshake_us(int(slots[0]))) is not None:
                histogram.add_values(counters["handshake_us"], np.array([handshake_us], np.float64))
        self._toward.opened(slots)
        worker.state[slots] = Life.OPEN
        self._queued.worked(len(slots))
        counters["opening"] -= len(slots)
        counters["open"] += len(slots)
        counters["opened"] += len(slots)
        counters["last_open_ns"] = now_ns
        worker.notes.begin("connected", slots)
        for each in self._opened:
            each(slots, now_ns)

    def _fail(self, slots: Slots, numbers: NDArray[np.int64]) -> None:
        self._worker.counters["opening"] -= len(slots)
        np.add.at(self._worker.counters["failed"], numbers, 1)
        self._toward.failed(slots, numbers)

    def _release(self, slots: Slots) -> None:
        self._free[self._free_count : self._free_count + len(slots)] = slots
        self._free_count += len(slots)

    def _opening(self) -> Slots:
        return np.flatnonzero(self._worker.state & Life.OPENING).astype(np.int32)
