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

from fourtuple.core.run import Counters, Event, Phase
from fourtuple.core.symptoms import name_of
from fourtuple.engine.control import TICK_S, Control, count_cost, ticks
from fourtuple.engine.loop import Completions, Loop, Op, Slots
from fourtuple.engine.notes import Notes
from fourtuple.engine.reads import Reads

READ_ROWS, READ_BYTES = 256, 16384
BATCH = 256
PAUSE_NS = 100_000_000  # after a failed accept: the system is full, and asking at once again finds it full

EMPTY, OPEN = 0, 2


@dataclass(frozen=True, slots=True)
class ServeJob:
    """greet: sent to each client, may be empty; close_after_s: None keeps them; reset: close by RST, else by FIN"""

    greet: bytes
    echo: bool
    close_after_s: float | None
    reset: bool
    log: bool


def serve(
    job: ServeJob,
    listeners: Sequence[socket],
    loop: Loop,
    counters: Counters,
    control: Control,
    clock_ns: Callable[[], int],
) -> Iterator[list[Event]]:
    """Accept from `listeners` until told to close; yields, at each tick, what is to be logged."""
    server = _Server(job, listeners, loop, counters, clock_ns)
    try:
        for _ in ticks(control, server.step, clock_ns):
            yield server.tick()
        yield from server.close_all()
    finally:
        loop.shut()


class _Server:
    def __init__(
        self,
        job: ServeJob,
        listeners: Sequence[socket],
        loop: Loop,
        counters: Counters,
        clock_ns: Callable[[], int],
    ) -> None:
        self._job, self._loop, self._counters, self._clock_ns = job, loop, counters, clock_ns
        self._state = np.zeros(loop.capacity, np.uint8)
        self._generation = np.zeros(loop.capacity, np.uint32)  # tells a slot's connection from its next one
        self._reads = Reads(READ_ROWS, READ_BYTES)
        self._greeting = np.frombuffer(job.greet or b"\0", np.uint8).reshape(1, -1)
        self._echoing: set[int] = set()
        self._closing: deque[tuple[int, Slots, NDArray[np.uint32]]] = deque()  # due at, which
        self._pause_until_ns = 0
        self._notes = Notes(loop, log=job.log)
        counters["capacity"] = loop.capacity
        loop.listen(listeners)

    def step(self) -> None:
        """Wait a little for completions, take them in, close what is due."""
        now_ns = self._clock_ns()
        paused = now_ns < self._pause_until_ns
        self._loop.accept(0 if paused else self._loop.capacity - int(self._counters["open"]))
        wait_s = TICK_S
        if self._closing:
            wait_s = min(wait_s, max(0.0, (self._closing[0][0] - now_ns) / 1e9))
        done = self._loop.wait(wait_s)
        if len(done):
            accepts = done[done["op"] == Op.ACCEPT]
            self._accepted(accepts[accepts["result"] >= 0]["slot"])
            self._not_accepted(accepts[accepts["result"] < 0])
            self._reads.add(done[done["op"] == Op.WATCH]["slot"].tolist())
            self._received(done[done["op"] == Op.RECEIVE])
            self._sent(done[done["op"] == Op.SEND])
        self._read_some()
        self._close_due()

    def tick(self) -> list[Event]:
        count_cost(self._counters, self._clock_ns())
        return self._notes.take()

    def close_all(self) -> Iterator[list[Event]]:
        """Stop accepting, then close what is open, in batches."""
        self._loop.accept(0)
        self._counters["phase"] = Phase.CLOSING
        yield self.tick()
        still_open = np.flatnonzero(self._state == OPEN).astype(np.int32)
        for start in range(0, len(still_open), BATCH):
            self._close(still_open[start : start + BATCH])
            self._loop.wait(0)
            yield self.tick()
        self._counters["phase"] = Phase.CLOSED
        yield self.tick()

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
            self._closing.append((due_ns, slots.copy(), self._generation[slots]))
        if self._job.greet:
            size = np.full(len(slots), len(self._job.greet))
            self._loop.send(slots, self._greeting, np.zeros(len(slots), np.intp), size)
        else:
            self._loop.watch(slots)

    def _not_accepted(self, failures: Completions) -> None:
        if len(failures):
            np.add.at(self._counters["failed"], -failures["result"], 1)
            self._pause_until_ns = self._clock_ns() + PAUSE_NS

    def _read_some(self) -> None:
        slots, rows = self._reads.take()
        if len(slots):
            self._loop.receive(slots, self._reads.buffers, rows)

    def _received(self, reads: Completions) -> None:
        if not len(reads):
            return
        idle = reads["result"] == -errno.EAGAIN
        got, ended = reads[reads["result"] > 0], reads[(reads["result"] <= 0) & ~idle]
        self._counters["received_bytes"] += int(got["result"].sum())
        if self._job.echo and len(got):
            self._echoing.update(got["slot"].tolist())
            sizes = got["result"].astype(np.int64)
            # A copy, so that readers who are slow to take their echo do not keep the few rows from everybody else.
            echoes = self._reads.buffers[self._reads.rows(got["slot"]), : sizes.max()]
            self._loop.send(got["slot"], echoes, np.arange(len(got)), sizes)
        else:
            self._loop.watch(got["slot"])
        self._reads.give_back(reads["slot"])
        self._loop.watch(reads[idle]["slot"])
        self._lost(ended)

    def _sent(self, sends: Completions) -> None:
        """A greeting or an echo went out; after it the slot is watched again."""
        if not len(sends):
            return
        good = sends[sends["result"] >= 0]
        self._counters["sent_bytes"] += int(good["result"].sum())
        is_echo = np.array([slot in self._echoing for slot in sends["slot"].tolist()], bool)
        self._counters["greeted"] += int(np.count_nonzero(~is_echo & (sends["result"] >= 0)))
        self._echoing.difference_update(sends["slot"].tolist())
        self._loop.watch(good["slot"])
        self._lost(sends[sends["result"] < 0])

    def _lost(self, ended: Completions) -> None:
        """The client closed (result 0) or the connection broke (−errno)."""
        if not len(ended):
            return
        for slot, result in zip(ended["slot"].tolist(), ended["result"].tolist(), strict=True):
            self._notes.end("lost", [slot], name_of(-result) if result else "the client closed")
        np.add.at(self._counters["lost_by"], -ended["result"], 1)
        self._counters["lost"] += len(ended)
        self._let_go(ended["slot"], reset=False)

    def _close_due(self) -> None:
        now_ns = self._clock_ns()
        while self._closing and self._closing[0][0] <= now_ns:
            _, slots, generation = self._closing.popleft()
            self._close(slots[(self._state[slots] == OPEN) & (self._generation[slots] == generation)])

    def _close(self, slots: Slots) -> None:
        self._notes.end("closed", slots.tolist())
        self._counters["closed"] += len(slots)
        self._reads.forget(slots.tolist())
        self._echoing.difference_update(slots.tolist())
        self._let_go(slots, self._job.reset)

    def _let_go(self, slots: Slots, reset: bool) -> None:
        self._state[slots] = EMPTY
        self._counters["open"] -= len(slots)
        self._loop.close(slots, reset)
