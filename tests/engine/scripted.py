"""A loop that does what a script says, on a clock that we own: for exact numbers and injected errnos."""

import errno
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs.counters import COUNTERS, Counters
from fourtuple.core.space.endpoints import FourTuple
from fourtuple.core.space.tuples import Block
from fourtuple.engine.control import Control
from fourtuple.engine.loops.contract import COMPLETION, Completions, First, How, Op, Slots, Targets


class Clock:
    def __init__(self) -> None:
        self.ns = 1_000_000_000

    def __call__(self) -> int:
        return self.ns

    def advance(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)


class ScriptedLoop:
    """answer(n, four_tuple) is the result of the n-th connect, in the order they were started: 0 or an errno.

    Each wait() takes `step_s` of the clock, or what it is asked to wait where nothing has completed.
    """

    name = "scripted"

    def __init__(
        self,
        clock: Clock,
        capacity: int = 10_000,
        answer: Callable[[int, FourTuple], int] = lambda n, t: 0,
        step_s: float = 0.001,
        batch: int = 32,
        echo: bool = False,
        links: bool = False,
    ) -> None:
        self.clock, self.capacity, self.answer, self.step_s, self.batch = clock, capacity, answer, step_s, batch
        self.echo = echo  # what is sent comes back
        self.links = links
        self.connects: list[tuple[float, FourTuple]] = []  # started at (s since the beginning), what
        self.in_flight = self.most_in_flight = 0
        self.open: set[int] = set()
        self.watched: set[int] = set()
        self.closed: list[tuple[int, bool]] = []
        self.rooms: list[int] = []
        self.arriving: list[int] = []  # results of accepts to come: 0, or an errno
        self.incoming: dict[int, list[bytes | int]] = {}  # by slot: data, or an errno; b"" is the end
        self.stuck: set[int] = set()  # slots whose peer does not read: what is sent there does not complete
        self.sent: dict[int, bytes] = {}
        self.sent_at: list[tuple[float, int]] = []  # (s since the beginning, slot)
        self._begin_ns = clock.ns
        self._done: list[tuple[int, int, int]] = []
        self.shut_down = False
        self.waits = 0

    def connect(self, slots: Slots, block: Targets, how: How, first: First | None = None) -> None:
        for row, slot in enumerate(slots.tolist()):
            assert slot not in self.open, f"slot {slot} is not empty"
            four_tuple: Any = block[row] if isinstance(block, Block) else block.names[row]
            result = self.answer(len(self.connects), four_tuple)
            self.connects.append(((self.clock.ns - self._begin_ns) / 1e9, four_tuple))
            self.in_flight += 1
            if result == errno.EINPROGRESS:  # never answered
                continue
            if result == 0:
                self.open.add(slot)
            self._done.append((Op.CONNECT, slot, -result))
            if first is not None and result == 0:
                one = np.array([slot], np.int32)
                self.send(one, first.reshape(1, -1), np.zeros(1, np.intp), np.array([len(first)]))
                self.watch(one)
        self.most_in_flight = max(self.most_in_flight, self.in_flight)

    def listen(self, listeners: Sequence[socket.socket]) -> None: ...

    def accept(self, room: int) -> None:
        self.rooms.append(room)

    def watch(self, slots: Slots) -> None:
        assert not self.watched & set(slots.tolist()), "a slot is watched twice"
        self.watched.update(slots.tolist())

    def receive(self, slots: Slots, buffers: NDArray[np.uint8]) -> NDArray[np.int32]:
        results = np.zeros(len(slots), np.int32)
        for row, slot in enumerate(slots.tolist()):
            what = self.incoming[slot].pop(0) if self.incoming.get(slot) else errno.EAGAIN
            if isinstance(what, bytes):
                buffers[row, : len(what)] = np.frombuffer(what, np.uint8)
                what = -len(what)
            results[row] = -what
        return results

    def send(self, slots: Slots, buffers: NDArray[np.uint8], rows: NDArray[np.intp], sizes: NDArray[np.int64]) -> None:
        for slot, row, size in zip(slots.tolist(), rows.tolist(), sizes.tolist(), strict=True):
            self.sent[slot] = self.sent.get(slot, b"") + buffers[row, :size].tobytes()
            self.sent_at.append(((self.clock.ns - self._begin_ns) / 1e9, slot))
            if self.echo:
                self.incoming.setdefault(slot, []).append(buffers[row, :size].tobytes())
            if slot not in self.stuck:
                self._done.append((Op.SEND, slot, size))

    def close(self, slots: Slots, reset: bool) -> None:
        for slot in slots.tolist():
            self.open.discard(slot)
            self.watched.discard(slot)
            self.incoming.pop(slot, None)
            self.closed.append((slot, reset))
            self._done.append((Op.CLOSE, slot, 0))

    def describe(self, slot: int) -> FourTuple | None:
        return None

    def handshake_us(self, slot: int) -> int | None:
        return 100 + slot

    def cookies(self, slots: Slots) -> NDArray[np.uint64]:
        """A slot's number plus one."""
        return slots.astype(np.uint64) + np.uint64(1)

    def wait(self, timeout_s: float) -> Completions:
        self.waits += 1
        for result in self.arriving[: self.rooms[-1] if self.rooms else 0]:
            self.arriving.pop(0)
            slot = min(set(range(self.capacity)) - self.open) if result == 0 else -1
            if slot >= 0:
                self.open.add(slot)
            self._done.append((Op.ACCEPT, slot, -result))
            if result:
                break
        for slot in [slot for slot in self.watched if self.incoming.get(slot)]:
            self.watched.discard(slot)
            self._done.append((Op.WATCH, slot, 0))
        self.clock.advance(self.step_s if self._done else max(timeout_s, self.step_s))
        done = np.array(self._done, COMPLETION)
        self.in_flight -= int(np.count_nonzero(done["op"] == Op.CONNECT))
        self._done.clear()
        return done

    def shut(self) -> None:
        self.shut_down = True


class Run:
    """A generator of the engine, advanced until a condition holds."""

    def __init__(self, work: Callable[[Counters, Control], Iterator[object]]) -> None:
        self.counters: Counters = np.zeros(1, COUNTERS)[0]
        self.control = Control()
        self._ticks = iter(work(self.counters, self.control))

    def until(self, is_so: Callable[[], object], ticks: int = 10_000) -> None:
        for _ in range(ticks):
            if is_so():
                return
            next(self._ticks)
        raise AssertionError("it never came to that")

    def finish(self) -> None:
        self.control.close()
        for _ in self._ticks:
            pass

    def failed(self) -> dict[str, int]:
        counts: Iterable[int] = self.counters["failed"].tolist()
        return {errno.errorcode.get(number, "?"): count for number, count in enumerate(counts) if count}
