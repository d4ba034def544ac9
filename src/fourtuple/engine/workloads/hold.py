"""The client: opens a slice of the plan at its pace, keeps what is open, notices what is lost, closes when told to.

It is written against the loop contract alone and works on whole arrays: which slots start, which completed and how.
Everything it finds out goes into one row of counters.
"""

import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.errnos import Extent, symptom_of
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs import histogram
from fourtuple.core.runs.counters import Counters, Phase
from fourtuple.core.runs.records import Event
from fourtuple.core.runs.slices import Plan, Slice
from fourtuple.core.runs.spread import BINS
from fourtuple.core.space.tuples import Block
from fourtuple.engine.control import TICK_S, Control, count_cost, drive
from fourtuple.engine.dialogues.fixed import Requests, Talk
from fourtuple.engine.loops.contract import COMPLETION, Completions, How, Loop, Op, Slots
from fourtuple.engine.notes import Notes
from fourtuple.engine.reads import Reads
from fourtuple.engine.rows import Rows
from fourtuple.engine.workloads.routes import AutomaticRoutes, ExplicitRoutes, Ways

WINDOW = 64  # so many failures in a row, and at least all that was under way: it will not get better
CLOSE_BATCH = 2048  # sockets closed between two looks at everything else
READ_ROWS, READ_BYTES = 1024, 4096
RETRY_S = 1.0  # before a lost connection is tried again that could not be opened again

# What a slot's state is made of, with ASKED and SENDING of Requests.
# GONE: lost, and still to be closed. AGAIN: lost, and opening again, or being closed for that.
EMPTY, OPENING, OPEN, AGAIN, GONE = 0, 1, 2, 16, 32


@dataclass(frozen=True, slots=True)
class HoldJob:
    """timeout_s: a connect() that is not answered for so long has failed with ETIMEDOUT
    reset:     close by RST, else by FIN
    log:       yield an event for everything that happens to a connection
    watch:     be told when something comes in; without, everything is looked at only when the control says so
    reconnect: open lost ones again
    talk:      what is sent and expected; None: nothing
    """

    plan: Plan
    how: How
    timeout_s: float
    reset: bool
    log: bool
    watch: bool = True
    reconnect: bool = False
    talk: Talk | None = None


def hold(
    job: HoldJob, share: Slice, loop: Loop, counters: Counters, control: Control, clock_ns: Callable[[], int]
) -> Iterator[list[Event]]:
    """Open `share` of the plan and hold it until told to close; yields, at each tick, what is to be logged."""
    holder = _Holder(job, share, loop, counters, control, clock_ns)
    try:
        yield from drive(holder, control, clock_ns)
    finally:
        loop.shut()


class _Holder:
    """One byte for each connection; more only for those that are opening, being read or closed, or if asked for."""

    def __init__(
        self,
        job: HoldJob,
        share: Slice,
        loop: Loop,
        counters: Counters,
        control: Control,
        clock_ns: Callable[[], int],
    ) -> None:
        self._job, self._loop, self._counters, self._control, self._clock_ns = job, loop, counters, control, clock_ns
        explicit = job.plan.strategy is Strategy.EXPLICIT
        self._routes = (ExplicitRoutes if explicit else AutomaticRoutes)(job.plan.space, share, job.plan.room_of(share))
        self._pace = share.pace
        self._slots = min(share.wanted, loop.capacity)
        self._fresh = 0  # slots from here on were never used
        self._other = _NOBODY  # empty again, and their connection may be tried on another route
        self._state = np.zeros(self._slots, np.uint8)
        self._under_way = Rows(share.pace.in_flight)  # who is opening, and of each of them:
        self._start_ns = np.zeros(share.pace.in_flight, np.int64)
        self._way = np.zeros(share.pace.in_flight, np.int64)
        ways = np.min_scalar_type(max(0, self._routes.ways - 1))
        self._way_of = np.zeros(self._slots if job.reconnect else 0, ways)  # of all, to open them again
        self._lost: list[tuple[int, Slots]] = []  # when they may be tried again, in ns, and which
        self._reads = Reads(READ_ROWS, READ_BYTES)
        self._notes = Notes(loop, log=job.log)
        self._failed_in_a_row = 0
        self._looks = control.looks
        self._gone: list[Slots] = []  # lost and still to be closed
        self._closing = _NOBODY  # still to be closed, at the end
        self._closes = 0  # under way
        self._paced_from_ns, self._paced = clock_ns(), 0  # since when the pace has been kept, and starts since then
        self._requests = Requests(job.talk, self._state, counters, clock_ns()) if job.talk else None
        counters["capacity"] = loop.capacity
        counters["failed"][errno.EMFILE] = share.wanted - self._slots

    def step(self) -> None:
        """Start what is due, wait a little for completions, take them in."""
        wait_s = min(self._open_some(), self._send_some(), self._close_some())
        if self._control.looks != self._looks and not self._reads.waiting:
            self._looks = self._control.looks
            self._reads.add(self._all_open())
        if self._read_some():
            wait_s = 0.0
        done = self._loop.wait(wait_s)
        if len(done):
            ops = np.bincount(done["op"], minlength=Op.CLOSE + 1)
            if ops[Op.CONNECT]:
                connects = done[done["op"] == Op.CONNECT] if ops[Op.CONNECT] < len(done) else done
                self._connected(connects["slot"][connects["result"] >= 0])
                self._refused(connects[connects["result"] < 0])
            if ops[Op.SEND]:
                self._sent(done[done["op"] == Op.SEND])
            if ops[Op.WATCH]:
                self._reads.add(self._still_open(done["slot"][done["op"] == Op.WATCH]))
            if ops[Op.RECEIVE]:
                self._received(done[(done["op"] == Op.RECEIVE) & ((self._state[done["slot"]] & OPEN) > 0)])
            if ops[Op.CLOSE]:
                self._closed(done["slot"][done["op"] == Op.CLOSE])

    def tick(self) -> list[Event]:
        if self._control.stopping:
            self._stop_opening()
        self._give_up_late()
        count_cost(self._counters, self._clock_ns())
        return self._notes.take()

    def close_all(self) -> None:
        """From now on each step closes some of what is open."""
        self._stop_opening()
        self._counters["phase"] = Phase.CLOSING
        self._closing = self._all_open()
        if not self._job.watch:  # a last look, so that what is gone is not taken for what we close
            self._reads.forget(self._closing)
            self._reads.add(self._closing)

    @property
    def closing(self) -> bool:
        return len(self._closing) + len(self._gone) + self._closes > 0

    def end(self) -> None:
        self._counters["phase"] = Phase.CLOSED

    # Opening

    def _open_some(self) -> float:
        """Start what the pace allows → how long to wait for completions."""
        if self._counters["phase"] > Phase.HOLDING or self._control.stopping:
            return TICK_S
        counters, now_ns = self._counters, self._clock_ns()
        again = self._due_again(now_ns) if self._lost else _NOBODY
        new = len(self._other) + self._slots - self._fresh
        if not new and not len(again):
            self._paced_from_ns, self._paced = now_ns, 0
            if not counters["opening"] and counters["phase"] == Phase.OPENING:
                counters["phase"] = Phase.HOLDING
            return TICK_S
        elapsed_s = (now_ns - self._paced_from_ns) / 1e9
        due = min(self._pace.start_now(elapsed_s, int(counters["opening"]), self._paced), self._loop.batch)
        if due and len(again):
            again = again[:due]
            self._forget_lost(again)
            ways = self._way_of[again].astype(np.int64)
            self._start(again, self._routes.again(ways), ways, OPENING | AGAIN)
            return 0.0
        if due and new:
            block, ways = self._routes.take(min(due, new))
            if len(block):
                self._start(self._take_slots(len(block)), block, ways, OPENING)
                return 0.0
            self._give_up(self._routes.full_errno)
        return min(TICK_S, self._pace.wait_s(elapsed_s, int(counters["opening"]), self._paced))

    def _take_slots(self, count: int) -> Slots:
        other, self._other = self._other[:count], self._other[count:]
        first, self._fresh = self._fresh, self._fresh + count - len(other)
        fresh = np.arange(first, self._fresh, dtype=np.int32)
        return np.concatenate((other, fresh)) if len(other) else fresh

    def _start(self, slots: Slots, block: Block, ways: Ways, state: int) -> None:
        counters = self._counters
        now_ns = self._clock_ns()
        self._state[slots] = state
        rows = self._under_way.take(slots)
        self._start_ns[rows], self._way[rows] = now_ns, ways
        self._paced += len(slots)
        counters["started"] += len(slots)
        counters["opening"] += len(slots)
        if not counters["first_start_ns"]:
            counters["first_start_ns"] = now_ns
        self._loop.connect(slots, block, self._job.how)

    def _give_up_late(self) -> None:
        """Those that have been opening for too long."""
        rows = self._under_way.taken
        rows = rows[self._start_ns[rows] <= self._clock_ns() - int(self._job.timeout_s * 1e9)]
        if len(rows):
            failures = np.zeros(len(rows), COMPLETION)
            failures["slot"], failures["result"] = self._under_way.slots(rows), -errno.ETIMEDOUT
            self._refused(failures)
            self._close(failures["slot"], reset=True)

    def _give_up(self, number: int) -> None:
        """Start nothing new: what was not started has failed with this errno."""
        self._counters["failed"][number] += len(self._other) + self._slots - self._fresh
        self._other = _NOBODY
        self._fresh = self._slots

    def _stop_opening(self) -> None:
        """What is not open by now has failed with ECANCELED; what is lost stays lost."""
        self._lost.clear()
        opening = np.flatnonzero(self._state & OPENING).astype(np.int32)
        if self._counters["phase"] == Phase.OPENING:
            self._give_up(errno.ECANCELED)
            self._counters["failed"][errno.ECANCELED] += np.count_nonzero(self._state[opening] == OPENING)
            self._counters["phase"] = Phase.HOLDING
        if len(opening):
            self._counters["opening"] -= len(opening)
            self._under_way.forget(opening)
            self._close(opening, reset=True)

    def _connected(self, slots: Slots) -> None:
        if not len(slots):
            return
        counters = self._counters
        now_ns = self._clock_ns()
        rows = self._under_way.of(slots)
        again = (self._state[slots] & AGAIN) > 0
        reopened = int(np.count_nonzero(again))
        histogram.add_values(counters["connect_us"], (now_ns - self._start_ns[rows][~again]) / 1e3)
        self._routes.worked(self._way[rows])
        counters["pairs"] += np.bincount(self._routes.bins(self._way[rows][~again]), minlength=BINS)
        if self._job.reconnect:
            self._way_of[slots] = self._way[rows]
        self._under_way.give_back(rows)
        self._state[slots] = OPEN
        counters["opening"] -= len(slots)
        counters["open"] += len(slots)
        counters["opened"] += len(slots) - reopened
        counters["reconnected"] += reopened
        if reopened < len(slots):
            counters["last_open_ns"] = now_ns
        self._failed_in_a_row = 0
        self._notes.begin("connected", slots)
        if self._requests:
            self._requests.opened(slots, now_ns)
        if self._job.watch:
            self._loop.watch(slots)

    def _refused(self, failures: Completions) -> None:
        """Try on another route where the errno speaks of this one only; else it is a finding, and counted."""
        if not len(failures):
            return
        self._counters["opening"] -= len(failures)
        again = (self._state[failures["slot"]] & AGAIN) > 0
        self._state[failures["slot"]] = EMPTY
        rows = self._under_way.of(failures["slot"])
        ways = self._way[rows]
        self._under_way.give_back(rows)
        for result in np.unique(failures["result"]).tolist():
            number, of_these = -result, failures["result"] == result
            retried = failures["slot"][of_these & again]
            if len(retried):
                self._counters["reconnect_failed"][number] += len(retried)
                self._lost.append((self._clock_ns() + int(RETRY_S * 1e9), retried))
            slots = failures["slot"][of_these & ~again]
            if not len(slots):
                continue
            ends_all = symptom_of(number).ends is Extent.PROCESS
            if not ends_all and self._routes.failed(ways[of_these & ~again], number):
                self._other = np.concatenate((self._other, slots))
                continue
            self._counters["failed"][number] += len(slots)
            self._failed_in_a_row += len(slots)
            if ends_all or self._failed_in_a_row >= max(WINDOW, self._pace.in_flight):
                self._give_up(number)

    # Opening again

    def _due_again(self, now_ns: int) -> Slots:
        due = [slots for due_ns, slots in self._lost if due_ns <= now_ns]
        return np.concatenate(due) if due else _NOBODY

    def _forget_lost(self, slots: Slots) -> None:
        left = [(due_ns, lost[~np.isin(lost, slots)]) for due_ns, lost in self._lost]
        self._lost = [(due_ns, lost) for due_ns, lost in left if len(lost)]

    # What goes out and what comes in while holding: requests, greetings, answers, the end

    def _send_some(self) -> float:
        """→ how long to wait for completions"""
        requests, phase = self._requests, self._counters["phase"]
        if requests is None or phase > Phase.HOLDING:
            return TICK_S
        slots = requests.take(self._clock_ns(), OPEN) if phase == Phase.HOLDING or requests.in_time else _NOBODY
        if len(slots):
            size = np.full(len(slots), requests.payload.shape[1])
            self._loop.send(slots, requests.payload, np.zeros(len(slots), np.intp), size)
            return 0.0
        return min(TICK_S, requests.wait_s(self._clock_ns()))

    def _sent(self, sends: Completions) -> None:
        good = sends["result"] >= 0
        self._counters["sent_bytes"] += int(sends["result"][good].sum())
        if self._requests:
            self._requests.sent(sends["slot"])
        if not good.all():
            self._ended(sends[~good])

    def _read_some(self) -> bool:
        slots, rows = self._reads.take()
        if len(slots):
            self._loop.receive(slots, self._reads.buffers, rows)
        return len(slots) > 0

    def _received(self, reads: Completions) -> None:
        counters = self._counters
        idle = reads["result"] == -errno.EAGAIN
        has_data = reads["result"] > 0
        rows, got = self._reads.rows(reads["slot"]), reads["slot"][has_data]
        if len(got):
            sizes = reads["result"][has_data]
            counters["received_bytes"] += int(sizes.sum())
            if self._requests or self._job.log:
                self._take_in(got, rows[has_data], sizes)
        self._reads.give_back(rows)
        if self._job.watch:
            self._loop.watch(reads["slot"][idle | has_data])
        else:
            self._reads.add(got)  # what looks at everything looks until there is nothing more
        if not has_data.all():
            self._ended(reads[~has_data & ~idle])

    def _take_in(self, slots: Slots, rows: NDArray[np.intp], sizes: NDArray[np.int32]) -> None:
        data = self._reads.buffers[rows, : sizes.max()]
        if self._requests:
            wrong = self._requests.received(slots, data, sizes, self._clock_ns())
            for row in np.flatnonzero(wrong).tolist() if self._job.log else ():
                self._notes.add("unexpected", int(slots[row]), _shown(data[row, : sizes[row]]))
        for row, slot in enumerate(slots.tolist() if self._job.log else ()):
            self._notes.add("received", slot, _shown(data[row, : sizes[row]]))

    def _ended(self, ended: Completions) -> None:
        """The peer closed (result 0) or the connection broke (−errno)."""
        self._notes.lost(ended, "the peer closed")
        np.add.at(self._counters["lost_by"], -ended["result"], 1)
        self._counters["open"] -= len(ended)
        self._counters["lost"] += len(ended)
        self._reads.forget(ended["slot"])
        if self._requests:
            self._requests.ended(ended["slot"], self._clock_ns())
        self._state[ended["slot"]] = GONE
        self._gone.append(ended["slot"])

    # Closing

    def _close_some(self) -> float:
        """A batch of what is to be closed, once the one before is closed → how long to wait for completions.

        Those that are lost come later than finding out who else is: that is what somebody waits for.
        """
        if self._closes or not (self._gone or len(self._closing)) or self._reads.busy:
            return TICK_S
        if self._gone:
            gone = np.concatenate(self._gone)
            self._gone = [gone[CLOSE_BATCH:]] if len(gone) > CLOSE_BATCH else []
            self._close(gone[:CLOSE_BATCH], reset=False, state=AGAIN if self._job.reconnect else EMPTY)
            return TICK_S
        batch, self._closing = self._closing[:CLOSE_BATCH], self._closing[CLOSE_BATCH:]
        batch = self._still_open(batch)
        self._notes.end("closed", batch, "by reset" if self._job.reset else "")
        self._counters["open"] -= len(batch)
        self._counters["closed"] += len(batch)
        self._reads.forget(batch)
        self._close(batch, self._job.reset)
        return 0.0 if not len(batch) else TICK_S

    def _close(self, slots: Slots, reset: bool, state: int = EMPTY) -> None:
        if self._requests:
            self._requests.ended(slots, self._clock_ns())
        self._state[slots] = state
        self._closes += len(slots)
        self._loop.close(slots, reset)

    def _closed(self, slots: Slots) -> None:
        self._closes -= len(slots)
        again = slots[self._state[slots] == AGAIN]
        if len(again):
            self._state[again] = EMPTY
            self._lost.append((self._clock_ns(), again))

    def _all_open(self) -> Slots:
        return np.flatnonzero(self._state & OPEN).astype(np.int32)

    def _still_open(self, slots: Slots) -> Slots:
        return slots[(self._state[slots] & OPEN) > 0]


_NOBODY = np.zeros(0, np.int32)


def _shown(data: NDArray[np.uint8]) -> str:
    return repr(data.tobytes())[2:-1]
