"""The loop contract over io_uring: no file descriptor and no Python code for a single connection, whole arrays only.

Slots are direct descriptors, spread over as many rings as it takes. Opening a connection is one chain of linked entries
(socket, its options, bind, connect), of which only the last reports success; an entry that fails reports its own errno
and cancels the rest. What waits (connect, watch, send) waits in the kernel. Listeners stay ordinary descriptors in an
epoll, together with the rings; accepts are counted, because a multishot accept into a full table drops connections.

Where a kernel's rings cannot set socket options (before Linux 6.7) or bind (before 6.11), ordinary sockets are prepared
one by one and installed into the slots; everything after that is the same.
"""

import errno
import select
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.limits.cost import FILES_RESERVED
from fourtuple.core.runs.pace import MANY
from fourtuple.core.space.endpoints import FourTuple, unpack_address
from fourtuple.core.space.tuples import Block
from fourtuple.engine.loops.contract import COMPLETION, Completions, How, Op, Slots
from fourtuple.kernel import addresses, process, sockopts
from fourtuple.kernel.uring import (
    ACCEPT_DONTWAIT,
    ANY_SLOT,
    CANCEL_ALL,
    CANCEL_FD,
    CANCEL_FD_FIXED,
    FIXED_FILE,
    HARDLINK,
    LINK,
    MORE,
    POLL_MULTISHOT,
    SKIP_SUCCESS,
    SOCKET_SETSOCKOPT,
    SQE,
    Features,
    Opcode,
    Ring,
    Sqes,
    features,
)

RING_SLOTS = 2**15  # at most, and never more than the soft limit of open files
# Of a submission queue. A ring costs 33 or 52 KB of locked memory then, which for a user without CAP_IPC_LOCK counts
# against RLIMIT_MEMLOCK (8 MiB by default) of all processes together, so many small rings get small queues.
ENTRIES_SMALL, ENTRIES, MANY_SLOTS = 128, 512, 8192
RING_FILES = 2  # the ring, and the event descriptor that tells of it
MOST_SLOTS = 2**22
ACCEPTS = 256  # asked for at once, where a queue turned out to be long
ACCEPTS_INSTALLED = (
    FILES_RESERVED // 4
)  # the same for ordinary sockets, which take a descriptor until they are installed

# user_data: the slot in 32 bits, the operation in 8, and for a send the number of its buffer in 24.
STAGE, SILENT, CALL = 32, 33, 34  # operations beside those of Op, for entries that are ours alone
_BUFFER_SHIFT, _BUFFERS = 40, 1 << 24
_ENTRY_OF = np.arange(64, dtype=np.uint64) << np.uint64(32)  # an operation, where user_data has it
_PASSED_ON = np.isin(np.arange(64), (STAGE, Op.CONNECT, Op.RECEIVE, Op.SEND, Op.CLOSE))

# What goes on in a slot, bits of a byte. A poll is armed once for a connection's life and tells of each event once, so
# it is remembered: that there is data, until it is read, and again if that filled the buffer; and the end, for good.
CONNECTING, SENDING, ARMED, WATCHING, DATA, END = 1, 2, 4, 8, 16, 32
CLOSING = 64  # nothing but the completion of the close will be passed on
_OVER = select.POLLRDHUP | select.POLLHUP | select.POLLERR
_ENDS = np.zeros(64, np.uint8)  # which of those is over with a completion
_ENDS[[STAGE, Op.CONNECT, Op.SEND]] = CONNECTING, CONNECTING, SENDING
_NOWHERE = np.zeros(16, np.uint8)  # a struct sockaddr of AF_UNSPEC: connect() to it resets a connection (connect(2))


class RingLoop:
    name = "ring"

    def __init__(self, capacity: int | None = None, can: Features | None = None) -> None:
        """capacity: None means MOST_SLOTS; the limit of open files bounds the slots of a ring, and how many rings.

        can: what the kernel can do; None: as it says itself
        """
        self._can = can or features()
        files = process.read_files()
        self._ring_slots = min(RING_SLOTS, files.soft)
        self._entries = ENTRIES if self._ring_slots >= MANY_SLOTS else ENTRIES_SMALL
        rings = max(0, files.soft - files.open - FILES_RESERVED // 2) // RING_FILES
        self.capacity = min(MOST_SLOTS if capacity is None else capacity, rings * self._ring_slots)
        # Some 5 ms of work: smaller ones cost a fifth of the rate. Where many are wanted, durations matter less.
        self.batch = 256 if self.capacity < MANY else 2048
        self._rings: list[Ring] = []
        self._used: list[int] = []  # slots, by ring; for accept, where the kernel chooses one
        self._state = np.zeros(self.capacity, np.uint8)
        self._epoll = select.epoll()
        self._ring_of: dict[int, int] = {}  # by descriptor
        self._touched: set[int] = set()  # rings that were given something since their completions were taken
        self._listeners: list[socket.socket] = []
        self._burst: dict[int, int] = {}  # by descriptor of a listener: how many accepts to ask for
        self._armed = False
        self._room = 0
        self._done: list[Completions] = []
        self._chains: dict[tuple[How, int, bool], NDArray[np.uint64]] = {}  # what all connects of a kind have in common
        self._values: list[NDArray[np.uint8]] = []  # option values, which must stay where they are
        self._buffers: dict[int, tuple[NDArray[np.uint8], int]] = {}  # of sends under way, and how many need them
        self._buffer_number = 0
        self._read_bytes = 0  # as many as the last receive could take
        self._answer: int | None = None  # of _call

    # Starting

    def connect(self, slots: Slots, block: Block, how: How) -> None:
        self._state[slots] = CONNECTING
        explicit = bool(block.source_port.any())
        for ring, rows, local in self._by_ring(slots):
            part, some = (block, slots) if rows is None else (block.where(rows), slots[rows])
            if number := self._need(ring):
                self._fail(Op.CONNECT, some, number)
            elif self._can.prepares(bind=how.bind):
                self._connect(ring, some, local, part, how, explicit)
            else:
                self._connect_installed(ring, some, local, part, how, explicit)

    def _connect(self, ring: int, slots: Slots, local: NDArray[np.int64], block: Block, how: How, chosen: bool) -> None:
        ends = _sockaddrs(block.destination, block.destination_port)
        common = self._common(how, ends.shape[1], chosen)
        entries = np.empty((len(slots), len(common)), np.uint64)
        entries[:] = common
        chain = entries.view(SQE)
        chain["fd"][:, 1:] = local[:, None]
        chain["file_index"][:, 0] = local + 1
        numbers = slots.astype(np.uint64)
        chain["user_data"] = numbers[:, None] | _ENTRY_OF[STAGE]
        # The kernel copies addresses while it takes the entries in, so they need not live longer than this call.
        if how.bind:
            sources = _sockaddrs(block.source, block.source_port)
            chain["addr"][:, -2] = _pointers(sources)
        last = chain[:, -1]
        last["addr"], last["user_data"] = _pointers(ends), numbers | _ENTRY_OF[Op.CONNECT]
        self._submit(ring, chain, chain.shape[1])

    def _common(self, how: How, sockaddr_bytes: int, explicit: bool) -> NDArray[np.uint64]:
        """The chain of entries that opens one connection, as words; what differs between connections is left 0."""
        key = (how, sockaddr_bytes, explicit)
        if key not in self._chains:
            options = sockopts.before_connect(how.timeout_s, how.port_range, bind=how.bind, explicit=explicit)
            chain = np.zeros(2 + len(options) + how.bind, SQE)
            chain["flags"] = FIXED_FILE | LINK | SKIP_SUCCESS
            chain[0]["opcode"], chain[0]["flags"] = Opcode.SOCKET, LINK | SKIP_SUCCESS
            chain[0]["fd"] = socket.AF_INET if sockaddr_bytes == 16 else socket.AF_INET6
            chain[0]["off"] = socket.SOCK_STREAM
            for entry, (level, option, value) in zip(chain[1:], options, strict=False):
                self._values.append(np.frombuffer(value, np.uint8))
                entry["opcode"], entry["off"] = Opcode.URING_CMD, SOCKET_SETSOCKOPT
                entry["addr"], entry["file_index"] = level | option << 32, len(value)
                entry["addr3"] = self._values[-1].ctypes.data
            if how.bind:
                chain[-2]["opcode"], chain[-2]["off"] = Opcode.BIND, sockaddr_bytes
            chain[-1]["opcode"], chain[-1]["flags"] = Opcode.CONNECT, FIXED_FILE
            chain[-1]["off"] = sockaddr_bytes
            self._chains[key] = chain.view(np.uint64)
        return self._chains[key]

    def _connect_installed(
        self, ring: int, slots: Slots, local: NDArray[np.int64], block: Block, how: How, explicit: bool
    ) -> None:
        """With ordinary sockets, one by one; each is closed again as soon as its slot has it."""
        family = socket.AF_INET if block.destination.shape[1] == 4 else socket.AF_INET6
        options = sockopts.before_connect(how.timeout_s, how.port_range, bind=how.bind, explicit=explicit)
        made = np.ones(len(slots), bool)
        for row, slot in enumerate(local.tolist()):
            source = str(unpack_address(block.source[row].tobytes())), int(block.source_port[row])
            try:
                with sockopts.prepared(family, options, source if how.bind else None) as sock:
                    self._rings[ring].install(slot, sock.fileno())
            except OSError as error:
                made[row] = False
                self._fail(Op.CONNECT, slots[row : row + 1], error.errno or errno.EIO)
        ends = _sockaddrs(block.destination, block.destination_port)[made]
        entries = np.zeros(len(ends), SQE)
        entries["opcode"], entries["flags"], entries["fd"] = Opcode.CONNECT, FIXED_FILE, local[made]
        entries["addr"], entries["off"] = _pointers(ends), ends.shape[1]
        entries["user_data"] = slots[made].astype(np.uint64) | _ENTRY_OF[Op.CONNECT]
        self._submit(ring, entries)

    def listen(self, listeners: Sequence[socket.socket]) -> None:
        self._listeners = list(listeners)
        self._burst = {listener.fileno(): 1 for listener in listeners}

    def accept(self, room: int) -> None:
        self._room = room
        if (room > 0) != self._armed:
            self._armed = room > 0
            for listener in self._listeners:
                if self._armed:
                    # Several processes may wait on the same listener; one is woken (epoll_ctl(2)).
                    self._epoll.register(listener, select.EPOLLIN | select.EPOLLEXCLUSIVE)
                else:
                    self._epoll.unregister(listener)

    def watch(self, slots: Slots) -> None:
        state = self._state[slots]
        ready, armed = (state & (DATA | END)) > 0, (state & ARMED) > 0
        self._state[slots] = np.where(ready, state, state | WATCHING | ARMED)
        if ready.any():
            self._complete(Op.WATCH, slots[ready], 0)
        if not armed.all():
            events = select.POLLIN | select.POLLRDHUP
            new = slots[~armed & ~ready]
            self._simple(Opcode.POLL_ADD, _ENTRY_OF[Op.WATCH], new, op_flags=events, length=POLL_MULTISHOT)

    def receive(self, slots: Slots, buffers: NDArray[np.uint8], rows: NDArray[np.intp]) -> None:
        where = buffers.ctypes.data + rows.astype(np.uint64) * np.uint64(buffers.strides[0])
        size, flags = buffers.shape[1], socket.MSG_DONTWAIT
        self._read_bytes = size
        self._state[slots] &= ~np.uint8(DATA)  # before it is read, so that what comes after is not forgotten
        self._simple(Opcode.RECV, _ENTRY_OF[Op.RECEIVE], slots, addr=where, length=size, op_flags=flags)

    def send(self, slots: Slots, buffers: NDArray[np.uint8], rows: NDArray[np.intp], sizes: NDArray[np.int64]) -> None:
        if not len(slots):
            return
        self._state[slots] |= SENDING
        while self._buffer_number in self._buffers:  # one that was sent from long ago, and somebody does not read
            self._buffer_number = (self._buffer_number + 1) % _BUFFERS
        self._buffers[self._buffer_number] = (buffers, len(slots))
        where = buffers.ctypes.data + rows.astype(np.uint64) * np.uint64(buffers.strides[0])
        entry = np.uint64(self._buffer_number << _BUFFER_SHIFT) | _ENTRY_OF[Op.SEND]
        flags = socket.MSG_WAITALL | socket.MSG_NOSIGNAL
        self._simple(Opcode.SEND, entry, slots, addr=where, length=sizes, op_flags=flags)

    def close(self, slots: Slots, reset: bool) -> None:
        """Cancel what waits, disconnect for a reset, close: a chain that goes on whatever its entries find."""
        if self._done:
            self._done = [done[~np.isin(done["slot"], slots)] for done in self._done]
        for ring, rows, local in self._by_ring(slots):
            some = slots if rows is None else slots[rows]
            numbers, state = some.astype(np.uint64), self._state[some]
            waits = bool((state & (CONNECTING | SENDING | ARMED)).any())
            chain = np.zeros((len(some), 1 + waits + reset), SQE)
            chain["flags"] = HARDLINK | SKIP_SUCCESS
            chain["user_data"] = _ENTRY_OF[SILENT]
            if waits:
                cancel = chain[:, 0]
                what = np.where(state & ARMED, _ENTRY_OF[Op.WATCH], _ENTRY_OF[Op.CONNECT])
                cancel["opcode"], cancel["addr"] = Opcode.ASYNC_CANCEL, numbers | what
                # What a send is called is not remembered, so look for all that waits on the descriptor: slow, and rare.
                sends = (state & SENDING) > 0
                cancel["fd"] = np.where(sends, local, -1)
                cancel["op_flags"] = np.where(sends, CANCEL_ALL | CANCEL_FD | CANCEL_FD_FIXED, 0)
            if reset:
                cut = chain[:, -2]
                cut["opcode"], cut["flags"], cut["fd"] = Opcode.CONNECT, HARDLINK | SKIP_SUCCESS | FIXED_FILE, local
                cut["addr"], cut["off"] = _NOWHERE.ctypes.data, len(_NOWHERE)
            last = chain[:, -1]
            last["opcode"], last["flags"], last["file_index"] = Opcode.CLOSE, 0, local + 1
            last["user_data"] = numbers | _ENTRY_OF[Op.CLOSE]
            self._state[some] = CLOSING
            self._submit(ring, chain, chain.shape[1])

    def describe(self, slot: int) -> FourTuple | None:
        """Always None where the kernel cannot tell (before Linux 6.8)."""
        if not self._can.describes:
            return None
        ring, local = divmod(slot, self._ring_slots)
        install = np.zeros(1, SQE)
        install["opcode"], install["flags"], install["fd"] = Opcode.FIXED_FD_INSTALL, FIXED_FILE, local
        descriptor = self._call(ring, install)
        if descriptor < 0:
            return None
        with socket.socket(fileno=descriptor) as sock:
            return addresses.ends_of(sock)

    # Finishing

    def wait(self, timeout_s: float) -> Completions:
        self._take_touched()
        if any(map(len, self._done)):
            timeout_s = 0
        for descriptor, _ in self._epoll.poll(timeout_s):
            ring = self._ring_of.get(descriptor)
            if ring is None:
                self._accept_from(descriptor)
            else:
                self._touched.add(ring)
        self._take_touched()
        done = np.concatenate(self._done) if len(self._done) > 1 else self._done[0] if self._done else _NOTHING
        self._done.clear()
        return done

    def shut(self) -> None:
        self._epoll.close()
        for ring in self._rings:
            ring.close()
        self._rings.clear()

    def _take_touched(self) -> None:
        while self._touched:
            number = self._touched.pop()
            done = self._rings[number].take()
            if len(done):
                self._sort(number, done["user_data"], done["res"], done["flags"])

    def _sort(
        self, ring: int, user_data: NDArray[np.uint64], results: NDArray[np.int32], flags: NDArray[np.uint32]
    ) -> None:
        """The ring's completions as the contract has them; what belongs to a closing slot, or to us, is left out."""
        words = user_data.copy().view(np.uint32)
        slots, upper = words[::2].astype(np.int64), words[1::2]
        ops = (upper & 0xFF).astype(np.uint8)
        kinds = np.bincount(ops, minlength=CALL + 1)
        if kinds[CALL]:
            self._answer = int(results[ops == CALL][0])
        if kinds[Op.ACCEPT]:
            accepts = ops == Op.ACCEPT
            self._accepted(ring, slots[accepts], results[accepts])
        if kinds[Op.SEND]:
            self._let_buffers_go(upper[ops == Op.SEND] >> (_BUFFER_SHIFT - 32))
        if kinds[Op.WATCH]:
            watches = ops == Op.WATCH
            self._polled(slots[watches], results[watches], flags[watches])
        ours = _PASSED_ON[ops]
        if not ours.all():
            ops, slots, results = ops[ours], slots[ours], results[ours]
        ops[ops == STAGE] = Op.CONNECT
        canceled = (results == -errno.ECANCELED) & (ops == Op.CONNECT)  # an earlier entry has told why
        closed = ops == Op.CLOSE
        keep = (((self._state[slots] & CLOSING) == 0) & ~canceled) | closed
        if not keep.all():
            ops, slots, results, closed = ops[keep], slots[keep], results[keep], closed[keep]
        self._state[slots] &= ~_ENDS[ops]
        if kinds[Op.CLOSE]:
            self._used[ring] -= int(np.count_nonzero(closed))
            self._state[slots[closed]] = 0
        if kinds[Op.RECEIVE]:
            self._state[slots[(ops == Op.RECEIVE) & (results == self._read_bytes)]] |= DATA
        failed = slots[(ops == Op.CONNECT) & (results < 0)]
        if len(failed):
            self._clear(failed)
        if len(ops):
            self._complete(ops, slots, np.where(closed, 0, results))

    def _polled(self, slots: NDArray[np.int64], results: NDArray[np.int32], flags: NDArray[np.uint32]) -> None:
        """Something came in, or the end; who is not watched now is told later. A slot may be there twice."""
        is_open = (self._state[slots] & CLOSING) == 0
        slots, results, flags = slots[is_open], results[is_open], flags[is_open]
        watched = np.unique(slots[(self._state[slots] & WATCHING) > 0])
        self._state[slots] = self._state[slots] & ~np.uint8(WATCHING) | DATA
        self._state[slots[(results < 0) | ((results & _OVER) > 0)]] |= END
        self._state[slots[(flags & MORE) == 0]] &= ~np.uint8(ARMED)
        self._complete(Op.WATCH, watched, 0)

    def _complete(self, op: Any, slots: NDArray[Any], result: Any) -> None:
        done = np.empty(len(slots), COMPLETION)
        done["op"], done["slot"], done["result"] = op, slots, result
        self._done.append(done)

    def _let_buffers_go(self, numbers: NDArray[np.uint32]) -> None:
        for number, count in Counter(numbers.tolist()).items():
            buffers, needed = self._buffers.pop(number)
            if needed > count:
                self._buffers[number] = (buffers, needed - count)

    def _clear(self, slots: NDArray[np.int64]) -> None:
        """The socket of a failed connect is still in its slot."""
        for ring, _, local in self._by_ring(slots):
            entries = np.zeros(len(local), SQE)
            entries["opcode"], entries["flags"], entries["file_index"] = Opcode.CLOSE, SKIP_SUCCESS, local + 1
            entries["user_data"] = _ENTRY_OF[SILENT]
            self._submit(ring, entries)

    # Accepting

    def _accept_from(self, descriptor: int) -> None:
        """Ask for as many as the listener gave at once the last time, and twice that where it gave all."""
        ring = next((n for n, used in enumerate(self._used) if used < self._slots_of(n)), len(self._used))
        if ring * self._ring_slots >= self.capacity:
            return
        if number := self._need(ring):
            self._fail(Op.ACCEPT, _NO_SLOT, number)
            return
        count = min(self._burst[descriptor], self._room, self._slots_of(ring) - self._used[ring])
        if count <= 0:
            return
        if not self._can.dontwait:
            self._accept_installed(ring, descriptor, min(count, ACCEPTS_INSTALLED))
            return
        entries = np.zeros(count, SQE)
        entries["opcode"], entries["fd"], entries["ioprio"] = Opcode.ACCEPT, descriptor, ACCEPT_DONTWAIT
        entries["file_index"] = ANY_SLOT
        entries["user_data"] = _ENTRY_OF[Op.ACCEPT] | np.uint64(descriptor)
        # Taken before it is known that they are needed: an accept that finds no slot drops its connection.
        self._used[ring] += count
        self._room -= count
        self._submit(ring, entries)

    def _accept_installed(self, ring: int, descriptor: int, count: int) -> None:
        """Ordinary accepts, then all of them into slots that the kernel chooses."""
        listener = next(listener for listener in self._listeners if listener.fileno() == descriptor)
        accepted: list[socket.socket] = []
        try:
            while len(accepted) < count:
                accepted.append(listener.accept()[0])
        except OSError as error:
            if error.errno != errno.EAGAIN:
                self._fail(Op.ACCEPT, _NO_SLOT, error.errno or errno.EIO)
        numbers = np.array([sock.fileno() for sock in accepted], np.int32)  # the kernel writes the slots over them
        update = np.zeros(1, SQE)
        update["opcode"], update["off"], update["len"] = Opcode.FILES_UPDATE, ANY_SLOT, len(numbers)
        update["addr"] = numbers.ctypes.data
        answer = self._call(ring, update) if accepted else 0
        for sock in accepted:
            sock.close()
        if answer < 0:
            self._fail(Op.ACCEPT, _NO_SLOT, -answer)
        installed = max(0, answer)
        self._complete(Op.ACCEPT, numbers[:installed] + ring * self._ring_slots, 0)
        self._used[ring] += installed
        self._room -= installed

    def _accepted(self, ring: int, descriptors: NDArray[np.int64], results: NDArray[np.int32]) -> None:
        good = results >= 0
        self._complete(Op.ACCEPT, results[good] + ring * self._ring_slots, 0)
        self._used[ring] -= int(np.count_nonzero(~good))
        self._room += int(np.count_nonzero(~good))
        for descriptor in np.unique(descriptors).tolist():
            asked = descriptors == descriptor
            self._burst[descriptor] = ACCEPTS if good[asked].all() else max(1, 2 * int(good[asked].sum()))
        wrong = results[~good & (results != -errno.EAGAIN) & (results != -errno.EWOULDBLOCK)]
        if len(wrong):
            self._fail(Op.ACCEPT, _NO_SLOT, -int(wrong[0]))

    # Rings

    def _slots_of(self, ring: int) -> int:
        return min(self._ring_slots, self.capacity - ring * self._ring_slots)

    def _need(self, ring: int) -> int:
        """Make rings up to this one → 0, or the errno by which the system gives none."""
        while len(self._rings) <= ring:
            slots = self._slots_of(len(self._rings))
            try:
                made = Ring(slots, self._entries, no_sqarray=self._can.no_sqarray)
            except OSError as error:
                return error.errno or errno.EIO
            self._ring_of[made.event_fd] = len(self._rings)
            self._rings.append(made)
            self._used.append(0)
            self._epoll.register(made.event_fd, select.EPOLLIN | select.EPOLLET)  # edges: it is never read
        return 0

    def _fail(self, op: int, slots: Slots, number: int) -> None:
        self._complete(op, slots, -number)

    def _by_ring(self, slots: NDArray[Any]) -> Iterator[tuple[int, NDArray[np.bool_] | None, NDArray[np.int64]]]:
        """(ring, which of the slots are its own or None for all, their numbers in its table)"""
        if not len(slots):
            return
        rings, local = np.divmod(slots.astype(np.int64), self._ring_slots)
        if rings[0] == rings[-1] and (rings == rings[0]).all():
            yield int(rings[0]), None, local
            return
        for ring in np.unique(rings).tolist():
            rows = rings == ring
            yield ring, rows, local[rows]

    def _submit(self, ring: int, entries: Sqes, chain: int = 1) -> None:
        self._rings[ring].submit(entries, chain)
        self._touched.add(ring)

    def _simple(
        self, opcode: Opcode, entry: np.uint64, slots: Slots, *, op_flags: int, addr: Any = 0, length: Any = 0
    ) -> None:
        """One entry for each slot; `entry` is the user_data of all of them, less the slot."""
        for ring, rows, local in self._by_ring(slots):
            entries = np.zeros(len(local), SQE)
            entries["opcode"], entries["flags"], entries["fd"] = opcode, FIXED_FILE, local
            entries["op_flags"] = op_flags
            entries["addr"] = addr if rows is None or np.isscalar(addr) else addr[rows]
            entries["len"] = length if rows is None or np.isscalar(length) else length[rows]
            some = slots if rows is None else slots[rows]
            entries["user_data"] = some.astype(np.uint64) | entry
            self._submit(ring, entries)

    def _call(self, ring: int, entry: Sqes) -> int:
        """One entry, and its result at once."""
        entry["user_data"] = _ENTRY_OF[CALL]
        self._answer = None
        self._submit(ring, entry)
        while self._answer is None:
            self._touched.add(ring)
            self._take_touched()
        return self._answer


_NO_SLOT = np.array([-1], np.int32)
_NOTHING: Completions = np.zeros(0, COMPLETION)


def _sockaddrs(addresses: NDArray[np.uint8], ports: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """struct sockaddr_in (16 bytes) or sockaddr_in6 (28 bytes), one a row (ip(7), ipv6(7))."""
    ipv4 = addresses.shape[1] == 4
    rows = np.zeros((len(ports), 16 if ipv4 else 28), np.uint8)
    rows[:, :2] = np.frombuffer(np.uint16(socket.AF_INET if ipv4 else socket.AF_INET6).tobytes(), np.uint8)
    rows[:, 2:4] = ports.astype(">u2").view(np.uint8).reshape(-1, 2)
    rows[:, 4:8] = addresses if ipv4 else 0
    if not ipv4:
        rows[:, 8:24] = addresses
    return rows


def _pointers(rows: NDArray[np.uint8]) -> NDArray[np.uint64]:
    return rows.ctypes.data + np.arange(len(rows), dtype=np.uint64) * np.uint64(rows.shape[1])
