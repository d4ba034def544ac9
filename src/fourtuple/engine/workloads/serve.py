"""The server: accepts what comes, greets, echoes, holds, closes after a while; accept() takes no port.

It accepts no more than it has empty slots: what is beyond stays in the kernel's queue, connected and not lost.
"""

import errno
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from socket import socket

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs.counters import Counters, Phase
from fourtuple.core.runs.records import Event
from fourtuple.engine.control import TICK_S, Control, count_cost, drive
from fourtuple.engine.loops.contract import Completions, Loop, Op, Slots
from fourtuple.engine.notes import Notes
from fourtuple.engine.reads import Reads

READ_ROWS, READ_BYTES = 1024, 16384
BATCH = 256
PAUSE_NS = 100_000_000  # after a failed accept: the system is full, and asking at once again finds it full

EMPTY, OPEN, ECHOING = 0, 2, 4


@dataclass(frozen=True, slots=True)
class ServeJob:
    """greet:         sent to each client, may be empty
    close_after_s: None keeps them
    reset:         close by RST, else by FIN
    watch:         be told when something comes in; without, everything is looked at only when the control says so
    """

    greet: bytes
    echo: bool
    close_after_s: float | None
    reset: bool
    log: bool
    watch: bool = True


def serve(
    job: ServeJob,
    listeners: Sequence[socket],
    loop: Loop,
    counters: Counters,
    control: Control,
    clock_ns: Callable[[], int],
) -> Iterator[list[Event]]:
    """Accept from `listeners` until told to close; yields, at each tick, what is to be logged."""
    server = _Server(job, listeners, loop, counters, control, clock_ns)
    try:
        yield from drive(server, control, clock_ns)
    finally:
        loop.shut()


class _Server:
    def __init__(
        self,
        job: ServeJob,
        listeners: Sequence[socket],
        loop: Loop,
        counters: Counters,
        control: Control,
        clock_ns: Callable[[], int],
    ) -> None:
        self._job, self._loop, self._counters, self._control, self._clock_ns = job, loop, counters, control, clock_ns
        self._state = np.zeros(loop.capacity, np.uint8)
        self._generation = np.zeros(loop.capacity, np.uint32)  # tells a slot's connection from its next one
        self._reads = Reads(READ_ROWS, READ_BYTES)
        self._greeting = np.frombuffer(job.greet or b"\0", np.uint8).reshape(1, -1)
        self._due: deque[tuple[int, Slots, NDArray[np.uint32]]] = deque()  # to be closed: when, which
        self._closing = np.zeros(0, np.int32)  # still to be closed, at the end
        self._closes = 0  # under way
        self._pause_until_ns = 0
        self._looks = control.looks
        self._notes = Notes(loop, log=job.log)
        counters["capacity"] = loop.capacity
        loop.listen(listeners)

    def step(self) -> None:
        """Wait a little for completions, take them in, close what is due."""
        now_ns = self._clock_ns()
        counters = self._counters
        paused = now_ns < self._pause_until_ns or counters["phase"] == Phase.CLOSING
        self._loop.accept(0 if paused else self._loop.capacity - int(counters["open"]))
        if self._control.looks != self._looks and not self._reads.waiting:
            self._looks = self._control.looks
            self._reads.add(np.flatnonzero(self._state).astype(np.int32))
        wait_s = 0.0 if self._read_some() else TICK_S
        if self._due:
            wait_s = min(wait_s, max(0.0, (self._due[0][0] - now_ns) / 1e9))
        done = self._loop.wait(wait_s)
        if len(done):
            ops = np.bincount(done["op"], minlength=Op.CLOSE + 1)
            if ops[Op.ACCEPT]:
                accepts = done[done["op"] == Op.ACCEPT]
                self._accepted(accepts["slot"][accepts["result"] >= 0])
                self._not_accepted(accepts[accepts["result"] < 0])
            if ops[Op.SEND]:
                self._sent(done[done["op"] == Op.SEND])
            if ops[Op.WATCH]:
                slots = done["slot"][done["op"] == Op.WATCH]
                self._reads.add(slots[self._state[slots] > EMPTY])
            if ops[Op.RECEIVE]:
                self._received(done[(done["op"] == Op.RECEIVE) & (self._state[done["slot"]] > EMPTY)])
            self._closes -= int(ops[Op.CLOSE])
        self._close_due()

    def tick(self) -> list[Event]:
        count_cost(self._counters, self._clock_ns())
        return self._notes.take()

    def close_all(self) -> None:
        """From now on nothing is accepted, and each step closes some of what is open."""
        self._counters["phase"] = Phase.CLOSING
        self._closing = np.flatnonzero(self._state).astype(np.int32)

    @property
    def closing(self) -> bool:
        return len(self._closing) + self._closes > 0

    def end(self) -> None:
        self._counters["phase"] = Phase.CLOSED

    def _accepted(self, slots: Slots) -> None:
        if not len(slots):
            return
        counters = self._counters
        now_ns = self._clock_ns()
        self._state[slots] = OPEN
        self._generation[slots] += 1
        counters["open"] += len(slots)
        counters["opened"] += len(slots)
        counters["last_open_ns"] = now_ns
        if not counters["first_start_ns"]:
            counters["first_start_ns"] = now_ns
        self._notes.begin("accepted", slots)
        if self._job.close_after_s is not None:
            due_ns = now_ns + int(self._job.close_after_s * 1e9)
            self._due.append((due_ns, slots.copy(), self._generation[slots]))
        if self._job.greet:
            size = np.full(len(slots), len(self._job.greet))
            self._loop.send(slots, self._greeting, np.zeros(len(slots), np.intp), size)
        else:
            self._watch(slots)

    def _not_accepted(self, failures: Completions) -> None:
        if len(failures):
            np.add.at(self._counters["failed"], -failures["result"], 1)
            self._pause_until_ns = self._clock_ns() + PAUSE_NS

    def _read_some(self) -> bool:
        slots, rows = self._reads.take()
        if len(slots):
            self._loop.receive(slots, self._reads.buffers, rows)
        return len(slots) > 0

    def _received(self, reads: Completions) -> None:
        idle, has_data = reads["result"] == -errno.EAGAIN, reads["result"] > 0
        rows, got = self._reads.rows(reads["slot"]), reads["slot"][has_data]
        sizes = reads["result"][has_data].astype(np.int64)
        self._counters["received_bytes"] += int(sizes.sum())
        self._reads.give_back(rows)
        if self._job.echo and len(got):
            self._state[got] = OPEN | ECHOING
            # A copy, so that readers who are slow to take their echo do not keep the few rows from everybody else.
            echoes = self._reads.buffers[rows[has_data], : sizes.max()]
            self._loop.send(got, echoes, np.arange(len(got)), sizes)
            self._watch(reads["slot"][idle])
        elif self._job.watch:
            self._loop.watch(reads["slot"][idle | has_data])
        else:
            self._reads.add(got)  # what looks at everything looks until there is nothing more
        self._lost(reads[~has_data & ~idle])

    def _sent(self, sends: Completions) -> None:
        """A greeting or an echo went out; after it the slot is watched again."""
        good = sends["result"] >= 0
        slots = sends["slot"][good]
        self._counters["sent_bytes"] += int(sends["result"][good].sum())
        self._counters["greeted"] += int(np.count_nonzero(self._state[slots] == OPEN))
        self._state[slots] = OPEN
        self._watch(slots)
        self._lost(sends[~good])

    def _lost(self, ended: Completions) -> None:
        """The client closed (result 0) or the connection broke (−errno)."""
        if not len(ended):
            return
        self._notes.lost(ended, "the client closed")
        np.add.at(self._counters["lost_by"], -ended["result"], 1)
        self._counters["lost"] += len(ended)
        self._let_go(ended["slot"], reset=False)

    def _watch(self, slots: Slots) -> None:
        if self._job.watch:
            self._loop.watch(slots)

    def _close_due(self) -> None:
        """Those whose time has come; at the end a batch of all, once the one before is closed."""
        now_ns = self._clock_ns()
        while self._due and self._due[0][0] <= now_ns:
            _, slots, generation = self._due.popleft()
            self._close(slots[(self._state[slots] > EMPTY) & (self._generation[slots] == generation)])
        if len(self._closing) and not self._closes:
            batch, self._closing = self._closing[:BATCH], self._closing[BATCH:]
            self._close(batch[self._state[batch] > EMPTY])

    def _close(self, slots: Slots) -> None:
        self._notes.end("closed", slots)
        self._counters["closed"] += len(slots)
        self._let_go(slots, self._job.reset)

    def _let_go(self, slots: Slots, reset: bool) -> None:
        self._state[slots] = EMPTY
        self._counters["open"] -= len(slots)
        self._reads.forget(slots)
        self._closes += len(slots)
        self._loop.close(slots, reset)
