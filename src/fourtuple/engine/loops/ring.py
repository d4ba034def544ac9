"""The loop over io_uring: no file descriptor and no Python code for a single connection, only for whole arrays.

This module keeps the state of each slot; `entries.py` builds the submission entries, and `rings.py` manages the rings.
Operations that wait (connect, watch, send) wait in the kernel. Accepts do not wait, and are never more than the empty
slots, because an accept into a full table drops its connection; so would a multishot accept.

If the kernel's io_uring cannot set socket options (before Linux 6.7) or bind (before 6.11), ordinary sockets are
prepared one by one and installed in the slots; everything after that is the same. Unix sockets are connected before
that, too: where the accept queue is full, io_uring would try 128 times and then wait in a thread for each
(io_arm_poll_handler() in io_uring/poll.c, v6.18), and connect(2) says so at once.
"""

import errno
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs.pace import MANY
from fourtuple.core.sockets.columns import distinct
from fourtuple.core.space.endpoints import FourTuple, unpack_address
from fourtuple.core.space.tuples import Block
from fourtuple.core.space.unix import UnixBlock
from fourtuple.engine.loops import entries
from fourtuple.engine.loops.contract import COMPLETION, Completions, First, How, Op, Slots, Targets
from fourtuple.engine.loops.entries import BUFFERS, CALL, OF_FIRST, OPS, RECEIVE, STAGE, Connects, Local, tag
from fourtuple.engine.loops.rings import Rings
from fourtuple.engine.loops.sockets import family_of, options_of
from fourtuple.engine.states import Pending
from fourtuple.kernel import addresses, sockopts
from fourtuple.kernel.uring import Cqes, Features, Sqes, features

T = TypeVar("T")
ACCEPTS = 256  # submitted at once for a listener with a long queue
UNIX_BATCH = 32  # connects that are made one by one; it bounds the error of measured durations
RELEASE_S, RELEASE_SHARE = 1.0, 20  # files are let go at most so often, and for at most a twentieth of the time
LINKED = Pending.CONNECTING | Pending.SENDING | Pending.ARMED
_NO_MORE = -errno.EAGAIN, -errno.EWOULDBLOCK, -errno.ECANCELED  # results of accepts that found the queue empty


class RingLoop:
    name = "ring"

    def __init__(self, capacity: int | None = None, can: Features | None = None, *, unix: bool = False) -> None:
        """Create the loop; its rings are created when they are needed.

        capacity: number of slots; None: as many as the rings can have
        can:      the io_uring features to use; None: those of this kernel
        unix:     it connects Unix sockets
        """
        self._can = can or features()
        self._rings = Rings(capacity, self._can)
        self.capacity = self._rings.capacity
        # Some 5 ms of work: smaller batches cost a fifth of the rate. With many connections, durations matter less.
        self.batch = UNIX_BATCH if unix else 512 if self.capacity < MANY else 2048
        # A send that fails cancels the poll behind it. Where polls are cancelled for another reason, that is not told.
        self.links = not unix and self._can.releases and self._can.prepares(bind=True)
        self._state = np.zeros(self.capacity, np.uint8)  # the Pending of each slot
        self._cookies = np.zeros(self.capacity, np.uint64)  # only of sockets that were prepared one by one
        self._unix = unix
        self._connects = Connects()
        self._listeners: list[socket.socket] = []
        self._burst: dict[int, int] = {}  # by descriptor of a listener: how many accepts to ask for
        self._armed = False
        self._room = 0
        self._done: list[Completions] = []
        # The buffers of pending sends, and how many sends use each; messages that follow connects are kept for good.
        self._buffers: dict[int, tuple[NDArray[np.uint8], int]] = {}
        self._buffer_number = OF_FIRST
        self._firsts: dict[int, First] = {}
        self._answer: int | None = None  # the result for _call
        self._received = np.zeros(0, np.int32)  # the results for receive
        self._unreleased: set[int] = set()  # rings in which slots were closed since they were polled anew
        self._next_release_s = 0.0
        self._takes = (  # in this order: what is closed completes last
            (CALL, self._answered),
            (Op.ACCEPT, self._accepted),
            (Op.WATCH, self._polled),
            (RECEIVE, self._read),
            (Op.SEND, self._sent),
            (STAGE, self._connected),
            (Op.CONNECT, self._connected),
            (Op.CLOSE, self._closed),
        )

    # Starting

    def connect(self, slots: Slots, block: Targets, how: How, first: First | None = None) -> None:
        if isinstance(block, UnixBlock):
            self._connect_unix(slots, block)
            return
        self._state[slots] = Pending.CONNECTING if first is None else LINKED
        if first is not None:
            self._firsts[id(first)] = first
        explicit = block.is_explicit
        for ring, rows, local in self._rings.by_ring(slots):
            part, some = (block, slots) if rows is None else (block.where(rows), slots[rows])
            if number := self._rings.need(ring):
                self._complete(Op.CONNECT, some, -number)
            elif self._can.prepares(bind=how.bind):
                # The kernel copies the addresses during submission, so they need not live longer than this.
                chains, _addresses = self._connects.entries(some, local, part, how, explicit=explicit, first=first)
                self._rings.submit(ring, chains)
            else:
                self._connect_installed(ring, some, local, part, how)

    def _connect_unix(self, slots: Slots, block: UnixBlock) -> None:
        """Connect ordinary sockets one by one, and install those that are connected in their slots."""
        names, results = block.names, np.zeros(len(slots), np.int32)
        for row, slot in enumerate(slots.tolist()):
            ring, local = self._rings.place(slot)
            try:
                if number := self._rings.need(ring):
                    raise OSError(number, os.strerror(number))
                with sockopts.prepared(socket.AF_UNIX, (), None) as sock:
                    sock.connect(names[row])
                    self._rings[ring].install(local, sock.fileno())
                    self._cookies[slot] = sockopts.cookie_of(sock)
            except OSError as error:
                results[row] = -(error.errno or errno.EIO)
        self._state[slots] = 0
        self._complete(Op.CONNECT, slots, results)

    def _connect_installed(self, ring: int, slots: Slots, local: Local, block: Block, how: How) -> None:
        """Connect with ordinary sockets, prepared one by one; each is closed as soon as it is installed in its slot."""
        options = options_of(block, how)
        made = np.ones(len(slots), bool)
        for row, slot in enumerate(local.tolist()):
            source = str(unpack_address(block.source[row].tobytes())), int(block.source_port[row])
            try:
                with sockopts.prepared(family_of(block), options, source if how.bind else None) as sock:
                    self._rings[ring].install(slot, sock.fileno())
                    self._cookies[slots[row]] = sockopts.cookie_of(sock)
            except OSError as error:
                made[row] = False
                self._complete(Op.CONNECT, slots[row : row + 1], -(error.errno or errno.EIO))
        connects, _addresses = entries.connect_only(slots[made], local[made], block.where(made))
        self._rings.submit(ring, connects)

    def listen(self, listeners: Sequence[socket.socket]) -> None:
        self._listeners = list(listeners)
        self._burst = {listener.fileno(): 1 for listener in listeners}

    def accept(self, room: int) -> None:
        self._room = room
        if (room > 0) != self._armed:
            self._armed = room > 0
            self._rings.wait_for(self._listeners, armed=self._armed)

    def watch(self, slots: Slots) -> None:
        slots = slots[(self._state[slots] & Pending.ARMED) == 0]
        self._state[slots] |= np.uint8(Pending.ARMED)
        for ring, rows, local in self._rings.by_ring(slots):
            self._rings.submit(ring, entries.polls(slots if rows is None else slots[rows], local))

    def receive(self, slots: Slots, buffers: NDArray[np.uint8]) -> NDArray[np.int32]:
        self._received = np.full(len(slots), -errno.EAGAIN, np.int32)
        numbers = np.arange(len(slots), dtype=np.int32)
        where = buffers.ctypes.data + numbers.astype(np.uint64) * np.uint64(buffers.strides[0])
        for ring, rows, local in self._rings.by_ring(slots):
            some = slice(None) if rows is None else rows
            self._rings.submit(ring, entries.reads(numbers[some], local, where[some], buffers.shape[1]))
        self._take()  # it does not wait, so all of them have completed
        return self._received

    def send(self, slots: Slots, buffers: NDArray[np.uint8], rows: NDArray[np.intp], sizes: NDArray[np.int64]) -> None:
        if not len(slots):
            return
        self._state[slots] |= Pending.SENDING
        number = self._use(buffers, len(slots))
        where = buffers.ctypes.data + rows.astype(np.uint64) * np.uint64(buffers.strides[0])
        for ring, some, local in self._rings.by_ring(slots):
            part = slice(None) if some is None else some
            self._rings.submit(ring, entries.sends(slots[part], local, where[part], sizes[part], number))

    def close(self, slots: Slots, reset: bool) -> None:
        if self._done:
            self._done = [done[~np.isin(done["slot"], slots)] for done in self._done]
        for ring, rows, local in self._rings.by_ring(slots):
            some = slots if rows is None else slots[rows]
            state = self._state[some]
            chains = entries.closes(some, local, state, reset=reset, releases=self._can.releases)
            # The end of a poll is waited for, unless the chain cancels it.
            armed = np.where(state & Pending.SENDING, 0, state & Pending.ARMED) if reset else 0
            self._state[some] = armed | np.uint8(Pending.CLOSING)
            self._rings.submit(ring, chains)
            self._closed_in(ring)

    def describe(self, slot: int) -> FourTuple | None:
        """The 4-tuple of a slot's connection; always None before Linux 6.8, where the kernel cannot report it."""
        return self._ask(slot, addresses.ends_of)

    def handshake_us(self, slot: int) -> int | None:
        """As the contract has it; always None before Linux 6.8."""
        return None if self._unix else self._ask(slot, sockopts.rtt_us)

    def _ask(self, slot: int, what: Callable[[socket.socket], T | None]) -> T | None:
        """Ask the socket of a slot through an ordinary descriptor; None: the kernel cannot make one."""
        if not self._can.describes:
            return None
        ring, local = self._rings.place(slot)
        descriptor = self._call(ring, entries.install(local))
        if descriptor < 0:
            return None
        with socket.socket(fileno=descriptor) as sock:
            return what(sock)

    def cookies(self, slots: Slots) -> NDArray[np.uint64]:
        if self._unix or not self._can.setsockopt:
            return self._cookies[slots]
        cookies = np.zeros(len(slots), np.uint64)
        for ring, rows, local in self._rings.by_ring(slots):
            found = np.zeros(len(local), np.uint64)
            # The command never waits, so that the kernel has written each cookie when the submission returns.
            self._rings.submit(ring, entries.cookies(local, found))
            cookies[slice(None) if rows is None else rows] = found
        return cookies

    # Finishing

    def wait(self, timeout_s: float) -> Completions:
        if self._unreleased:
            self._let_files_go()
        self._take()
        if any(map(len, self._done)):
            timeout_s = 0
        for descriptor in self._rings.wait(timeout_s):
            self._accept_from(descriptor)
        self._take()
        done = np.concatenate(self._done) if len(self._done) > 1 else self._done[0] if self._done else _NOTHING
        self._done.clear()
        return done

    def shut(self) -> None:
        self._rings.close()

    def _take(self) -> None:
        for ring, done in self._rings.take():
            self._sort(ring, done)

    def _sort(self, ring: int, done: Cqes) -> None:
        """Take in a ring's completions by their operations."""
        results = done["res"]
        slots, ops = entries.untag(done["user_data"])
        kinds = np.bincount(ops, minlength=OPS)
        if kinds[Op.SEND]:
            self._let_buffers_go(entries.buffers_of(done["user_data"][ops == Op.SEND]))
        for op, take in self._takes:
            if kinds[op] == len(ops):
                take(ring, slots, results)
            elif kinds[op]:
                of_this = ops == op
                take(ring, slots[of_this], results[of_this])

    def _answered(self, ring: int, slots: NDArray[np.int64], results: NDArray[np.int32]) -> None:
        self._answer = int(results[0])

    def _read(self, ring: int, rows: NDArray[np.int64], results: NDArray[np.int32]) -> None:
        self._received[rows] = results

    def _sent(self, ring: int, slots: NDArray[np.int64], results: NDArray[np.int32]) -> None:
        """Take in sends. One that was cancelled because its connect failed is left to that."""
        unopened = (results == -errno.ECANCELED) & ((self._state[slots] & Pending.CONNECTING) > 0)
        if unopened.any():
            slots, results = slots[~unopened], results[~unopened]
        self._ended(Op.SEND, Pending.SENDING, slots, results)

    def _connected(self, ring: int, slots: NDArray[np.int64], results: NDArray[np.int32]) -> None:
        known = (results != -errno.ECANCELED) & (results != -errno.EBADF)  # otherwise an earlier entry has the reason
        slots, results = self._ended(Op.CONNECT, Pending.CONNECTING, slots[known], results[known])
        failed = slots[results < 0]
        if len(failed):
            self._state[failed] = 0
            self._clear(failed)

    def _ended(
        self, op: int, pending: int, slots: NDArray[np.int64], results: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Pass on the completions of an operation, which is no longer pending, except for closing slots → the rest."""
        state = self._state[slots]
        closing = (state & Pending.CLOSING) > 0
        if closing.any():
            slots, results, state = slots[~closing], results[~closing], state[~closing]
        self._state[slots] = state & ~np.uint8(pending)
        self._complete(op, slots, results)
        return slots, results

    def _polled(self, ring: int, slots: NDArray[np.int64], results: NDArray[np.int32]) -> None:
        """Take in polls that have ended: there is data, or the end of the connection, perhaps by our own close."""
        ended = results != -errno.ECANCELED  # otherwise we have cancelled it, or what it was linked to has failed
        if not ended.all():
            if self.links:
                unlinked = slots[~ended & ((self._state[slots] & Pending.SENDING) > 0)]
                self._state[unlinked] &= ~np.uint8(Pending.ARMED)
            slots = slots[ended]
        if not self._can.releases:  # the poll before the one that is made anew may have ended meanwhile, too
            slots = distinct(slots[(self._state[slots] & Pending.ARMED) > 0])
        state = self._state[slots] & ~np.uint8(Pending.ARMED)
        self._state[slots] = state
        is_closing = (state & Pending.CLOSING) > 0
        if not is_closing.any():
            self._complete(Op.WATCH, slots, 0)
            return
        self._complete(Op.WATCH, slots[~is_closing], 0)
        self._empty(ring, slots[(state & Pending.CLOSED) > 0])

    def _closed(self, ring: int, slots: NDArray[np.int64], results: NDArray[np.int32]) -> None:
        """Take in closes. A slot that is still polled keeps its socket until the poll has ended, too."""
        armed = (self._state[slots] & Pending.ARMED) > 0
        self._state[slots[armed]] |= np.uint8(Pending.CLOSED)
        self._empty(ring, slots[~armed])

    def _empty(self, ring: int, slots: NDArray[np.int64]) -> None:
        self._rings.used[ring] -= len(slots)
        self._state[slots] = 0
        self._complete(Op.CLOSE, slots, 0)

    def _complete(self, op: Any, slots: NDArray[Any], result: Any) -> None:
        done = np.empty(len(slots), COMPLETION)
        done["op"], done["slot"], done["result"] = op, slots, result
        self._done.append(done)

    def _use(self, buffers: NDArray[np.uint8], count: int) -> int:
        """Keep these buffers until so many sends have completed → their number."""
        while self._buffer_number == OF_FIRST or self._buffer_number in self._buffers:  # of a peer that does not read
            self._buffer_number = (self._buffer_number + 1) % BUFFERS
        self._buffers[self._buffer_number] = (buffers, count)
        return self._buffer_number

    def _let_buffers_go(self, numbers: NDArray[np.uint64]) -> None:
        for number, count in Counter(numbers[numbers != OF_FIRST].tolist()).items():
            buffers, needed = self._buffers.pop(number)
            if needed > count:
                self._buffers[number] = (buffers, needed - count)

    def _clear(self, slots: NDArray[np.int64]) -> None:
        """Close the sockets of failed connects, which are still in their slots."""
        for ring, _, local in self._rings.by_ring(slots):
            self._rings.submit(ring, entries.silent_closes(local))
            self._closed_in(ring)

    def _closed_in(self, ring: int) -> None:
        """Note that slots of this ring were closed, if their files are kept open by older polls."""
        if not self._can.releases:
            self._unreleased.add(ring)

    def _let_files_go(self) -> None:
        """Poll the slots of rings with closed slots anew, now and then: older polls keep the closed files open."""
        start_s = time.monotonic()
        if start_s < self._next_release_s:
            return
        for ring in self._unreleased:
            first = self._rings.first(ring)
            local = np.flatnonzero(self._state[first : first + self._rings.slots_of(ring)] & Pending.ARMED)
            self._rings.submit(ring, entries.polls_anew((first + local).astype(np.int32), local))
        self._unreleased.clear()
        now_s = time.monotonic()
        self._next_release_s = now_s + max(RELEASE_S, RELEASE_SHARE * (now_s - start_s))

    # Accepting

    def _accept_from(self, descriptor: int) -> None:
        """Submit accepts for a listener: as many as its last result suggests (see _accepted), if there is room."""
        ring = self._rings.with_room()
        if not self._rings.slots_of(ring):
            return
        if number := self._rings.need(ring):
            self._complete(Op.ACCEPT, _NO_SLOT, -number)
            return
        count = min(self._burst[descriptor], self._room, self._rings.slots_of(ring) - self._rings.used[ring])
        if count <= 0:
            return
        # Slots are reserved in advance: an accept that finds no free slot drops its connection.
        self._rings.used[ring] += count
        self._room -= count
        self._rings.submit(ring, entries.accepts(count, descriptor, dontwait=self._can.dontwait))

    def _accepted(self, ring: int, descriptors: NDArray[np.int64], results: NDArray[np.int32]) -> None:
        good = results >= 0
        self._complete(Op.ACCEPT, results[good] + self._rings.first(ring), 0)
        self._rings.used[ring] -= int(np.count_nonzero(~good))
        self._room += int(np.count_nonzero(~good))
        for descriptor in distinct(descriptors).tolist():
            asked = descriptors == descriptor
            self._burst[descriptor] = min(ACCEPTS, max(1, 2 * int(good[asked].sum())))
        wrong = results[~good & ~np.isin(results, _NO_MORE)]
        if len(wrong):
            self._complete(Op.ACCEPT, _NO_SLOT, int(wrong[0]))

    # Submitting

    def _call(self, ring: int, entry: Sqes) -> int:
        """Submit one entry, and wait for its result."""
        entry["user_data"] = tag(CALL)
        self._answer = None
        self._rings.submit(ring, entry)
        while self._answer is None:
            self._rings.touch(ring)
            self._take()
        return self._answer


_NO_SLOT = np.array([-1], np.int32)
_NOTHING: Completions = np.zeros(0, COMPLETION)
