"""The client: opens a slice of the plan at its pace, keeps what is open, notices what is lost, closes when told to.

It is written against the loop contract alone and works on whole arrays: which slots start, which completed and how.
Everything it finds out goes into one row of counters.
"""

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from fourtuple.core import fold
from fourtuple.core.plan import Plan, Slice, Strategy
from fourtuple.core.run import Counters, Event, Phase
from fourtuple.core.symptoms import Ends, name_of, symptom_of
from fourtuple.core.tuples import Block
from fourtuple.engine.control import TICK_S, Control, count_cost, ticks
from fourtuple.engine.loop import Completions, How, Loop, Op, Slots
from fourtuple.engine.notes import Notes
from fourtuple.engine.reads import Reads
from fourtuple.engine.routes import AutomaticRoutes, ExplicitRoutes, Routes

WINDOW = 64  # so many failures in a row, and at least all that was under way: it will not get better
CLOSE_BATCH = 256  # sockets closed between two looks at everything else
READ_ROWS, READ_BYTES = 256, 4096

EMPTY, OPENING, OPEN = 0, 1, 2


@dataclass(frozen=True, slots=True)
class HoldJob:
    """reset: close by RST, else by FIN; log: yield an event for everything that happens to a connection"""

    plan: Plan
    how: How
    reset: bool
    log: bool


def hold(
    job: HoldJob, share: Slice, loop: Loop, counters: Counters, control: Control, clock_ns: Callable[[], int]
) -> Iterator[list[Event]]:
    """Open `share` of the plan and hold it until told to close; yields, at each tick, what is to be logged."""
    holder = _Holder(job, share, loop, counters, clock_ns)
    try:
        for _ in ticks(control, holder.step, clock_ns):
            if control.stopping:
                holder.stop_opening()
            yield holder.tick()
        yield from holder.close_all()
    finally:
        loop.shut()


class _Holder:
    """Seven bytes for each connection: its state, when it started, its route."""

    def __init__(self, job: HoldJob, share: Slice, loop: Loop, counters: Counters, clock_ns: Callable[[], int]) -> None:
        self._job, self._loop, self._counters, self._clock_ns = job, loop, counters, clock_ns
        space = job.plan.space
        explicit = job.plan.strategy is Strategy.EXPLICIT
        self._routes = (ExplicitRoutes if explicit else AutomaticRoutes)(space, share)
        self._pace = share.pace
        self._slots = min(share.wanted, loop.capacity)
        self._fresh = 0  # slots from here on were never used
        self._again: list[int] = []  # empty again, and their connection may be tried on another route
        self._state = np.zeros(self._slots, np.uint8)
        self._start_us = np.zeros(self._slots, np.uint32)  # since the beginning, modulo 2**32: 71 minutes
        self._route = np.zeros(self._slots, np.min_scalar_type(space.pairs - 1))
        self._reads = Reads(READ_ROWS, READ_BYTES)
        self._notes = Notes(loop, log=job.log)
        self._failed_in_a_row = 0
        self._begin_ns = clock_ns()
        counters["capacity"] = loop.capacity
        counters["failed"][errno.EMFILE] = share.wanted - self._slots

    def step(self) -> None:
        """Start what is due, wait a little for completions, take them in."""
        wait_s = self._open_some() if self._counters["phase"] == Phase.OPENING else TICK_S
        done = self._loop.wait(wait_s)
        if len(done):
            connects = done[done["op"] == Op.CONNECT]
            self._connected(connects[connects["result"] >= 0]["slot"])
            self._refused(connects[connects["result"] < 0])
            self._reads.add(done[done["op"] == Op.WATCH]["slot"].tolist())
            self._received(done[done["op"] == Op.RECEIVE])
        self._read_some()

    def tick(self) -> list[Event]:
        count_cost(self._counters, self._clock_ns())
        return self._notes.take()

    def stop_opening(self) -> None:
        """What is not open by now has failed with ECANCELED."""
        if self._counters["phase"] == Phase.OPENING:
            self._give_up(errno.ECANCELED)
            opening = np.flatnonzero(self._state == OPENING).astype(np.int32)
            self._state[opening] = EMPTY
            self._counters["failed"][errno.ECANCELED] += len(opening)
            self._counters["opening"] = 0
            self._counters["phase"] = Phase.HOLDING
            self._loop.close(opening, True)

    def close_all(self) -> Iterator[list[Event]]:
        """Close what is open, in batches."""
        self.stop_opening()
        counters = self._counters
        counters["phase"] = Phase.CLOSING
        yield self.tick()
        still_open = np.flatnonzero(self._state == OPEN).astype(np.int32)
        for start in range(0, len(still_open), CLOSE_BATCH):
            batch = still_open[start : start + CLOSE_BATCH]
            self._notes.end("closed", batch, "by reset" if self._job.reset else "")
            self._loop.close(batch, self._job.reset)
            self._loop.wait(0)
            counters["open"] -= len(batch)
            counters["closed"] += len(batch)
            yield self.tick()
        counters["phase"] = Phase.CLOSED
        yield self.tick()

    # Opening

    def _open_some(self) -> float:
        """Start what the pace allows → how long to wait for completions."""
        counters, pace = self._counters, self._pace
        elapsed_s = (self._clock_ns() - self._begin_ns) / 1e9
        due = pace.start_now(elapsed_s, int(counters["opening"]), int(counters["started"]))
        count = min(due, self._loop.batch, len(self._again) + self._slots - self._fresh)
        if count > 0:
            block, routes = self._routes.take(count)
            if len(block):
                self._start(block, routes)
                return 0.0
            self._give_up(self._routes.full_errno)
        if self._again or self._fresh < self._slots:
            return min(TICK_S, pace.wait_s(elapsed_s, int(counters["opening"]), int(counters["started"])))
        if not counters["opening"]:
            counters["phase"] = Phase.HOLDING
        return TICK_S

    def _start(self, block: Block, routes: Routes) -> None:
        counters = self._counters
        again, self._again = self._again[: len(block)], self._again[len(block) :]
        fresh = range(self._fresh, self._fresh + len(block) - len(again))
        self._fresh = fresh.stop
        slots = np.array([*again, *fresh], np.int32)
        now_ns = self._clock_ns()
        self._state[slots] = OPENING
        self._route[slots] = routes
        self._start_us[slots] = (now_ns - self._begin_ns) // 1000 & 0xFFFFFFFF
        counters["started"] += len(slots)
        counters["opening"] += len(slots)
        if not counters["first_start_ns"]:
            counters["first_start_ns"] = now_ns
        self._loop.connect(slots, block, self._job.how)

    def _give_up(self, number: int) -> None:
        """Start nothing more: what was not started has failed with this errno."""
        self._counters["failed"][number] += len(self._again) + self._slots - self._fresh
        self._again.clear()
        self._fresh = self._slots

    def _connected(self, slots: Slots) -> None:
        if not len(slots):
            return
        counters = self._counters
        now_ns = self._clock_ns()
        now_us = (now_ns - self._begin_ns) // 1000
        took_us = (now_us - self._start_us[slots].astype(np.int64)) & 0xFFFFFFFF
        fold.add_values(counters["connect_us"], took_us.astype(np.float64))
        self._state[slots] = OPEN
        self._routes.worked(self._route[slots])
        counters["opening"] -= len(slots)
        counters["open"] += len(slots)
        counters["opened"] += len(slots)
        counters["last_open_ns"] = now_ns
        self._failed_in_a_row = 0
        self._notes.begin("connected", slots)
        self._loop.watch(slots)

    def _refused(self, failures: Completions) -> None:
        """Try on another route where the errno speaks of this one only; else it is a finding, and counted."""
        self._state[failures["slot"]] = EMPTY
        self._counters["opening"] -= len(failures)
        for slot, result in zip(failures["slot"].tolist(), failures["result"].tolist(), strict=True):
            number = -result
            if symptom_of(number).ends is Ends.PROCESS:
                self._counters["failed"][number] += 1
                self._give_up(number)
            elif self._routes.failed(int(self._route[slot]), number):
                self._again.append(slot)
            else:
                self._counters["failed"][number] += 1
                self._failed_in_a_row += 1
                if self._failed_in_a_row >= max(WINDOW, self._pace.in_flight):
                    self._give_up(number)

    # What comes in while holding: greetings, answers, the end

    def _read_some(self) -> None:
        slots, rows = self._reads.take()
        if len(slots):
            self._loop.receive(slots, self._reads.buffers, rows)

    def _received(self, reads: Completions) -> None:
        if not len(reads):
            return
        counters = self._counters
        idle = reads["result"] == -errno.EAGAIN
        got, ended = reads[reads["result"] > 0], reads[(reads["result"] <= 0) & ~idle]
        counters["received_bytes"] += int(got["result"].sum())
        if self._job.log:
            for slot, row, size in zip(got["slot"], self._reads.rows(got["slot"]), got["result"], strict=True):
                self._notes.add("received", slot, repr(bytes(self._reads.buffers[row, :size]))[2:-1])
        for slot, result in zip(ended["slot"].tolist(), ended["result"].tolist(), strict=True):
            self._notes.end("lost", [slot], name_of(-result) if result else "the peer closed")
        self._reads.give_back(reads["slot"])
        np.add.at(counters["lost_by"], -ended["result"], 1)
        self._state[ended["slot"]] = EMPTY
        counters["open"] -= len(ended)
        counters["lost"] += len(ended)
        self._loop.close(ended["slot"], False)
        self._loop.watch(reads[idle | (reads["result"] > 0)]["slot"])
