"""The loop contract over io_uring: no file descriptor and no Python code for a single connection, whole arrays only.

Slots are direct descriptors, spread over as many rings as it takes. Opening a connection is one chain of linked entries
(socket, its options, bind, connect), of which only the last reports success; an entry that fails reports its own errno
and cancels the rest. What waits (connect, watch, send) waits in the kernel. Listeners stay ordinary descriptors in an
epoll, together with the rings; accepts are counted, because a multishot accept into a full table drops connections.
"""

import errno
import select
import socket
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.endpoints import FourTuple
from fourtuple.core.plan import FILES_RESERVED
from fourtuple.core.tuples import Block
from fourtuple.engine.loop import COMPLETION, Completions, How, Op, Slots
from fourtuple.kernel import addresses, process, sockopts
from fourtuple.kernel.uring import (
    ACCEPT_DONTWAIT,
    ANY_SLOT,
    FIXED_FILE,
    HARDLINK,
    LINK,
    SKIP_SUCCESS,
    SOCKET_SETSOCKOPT,
    SQE,
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
STAGE, SILENT, CALL = 32, 33, 34  # like Op, for entries that are ours alone
_OP_SHIFT = np.uint64(32)


class RingLoop:
    name = "ring"
    batch = 256  # some 5 ms of work: smaller ones cost a fifth of the rate, and only make durations look better

    def __init__(self, capacity: int | None = None) -> None:
        """capacity: None means MOST_SLOTS; the limit of open files bounds the slots of a ring, and how many rings."""
        files = process.read_files()
        self._ring_slots = min(RING_SLOTS, files.soft)
        self._entries = ENTRIES if self._ring_slots >= MANY_SLOTS else ENTRIES_SMALL
        rings = max(0, files.soft - files.open - FILES_RESERVED // 2) // RING_FILES
        self.capacity = min(MOST_SLOTS if capacity is None else capacity, rings * self._ring_slots)
        self._rings: list[Ring] = []
        self._used: list[int] = []  # slots, by ring; for accept, where the kernel chooses one
        self._pending = np.zeros(self.capacity, np.uint8)  # the operation that waits, 0: none
        self._closing = np.zeros(self.capacity, bool)
        self._epoll = select.epoll()
        self._ring_of: dict[int, int] = {}  # by descriptor
        self._touched: set[int] = set()  # rings that were given something since their completions were taken
        self._listeners: list[socket.socket] = []
        self._burst: dict[int, int] = {}  # by descriptor of a listener: how many accepts to ask for
        self._armed = False
        self._room = 0
        self._done: list[Completions] = []
        self._values: dict[bytes, NDArray[np.uint8]] = {}  # option values, which must stay where they are
        self._buffer_of = np.zeros(self.capacity, np.uint32)  # of a send under way: its number in
        self._buffers: dict[int, tuple[NDArray[np.uint8], int]] = {}  # buffers, and how many sends still need them
        self._buffer_number = 0
        self._answer: int | None = None  # of _call

    # Starting

    def connect(self, slots: Slots, block: Block, how: How) -> None:
        self._pending[slots] = Op.CONNECT
        for ring, rows, local in self._by_ring(slots):
            part = block if rows is None else block.where(rows)
            if number := self._need(ring):
                self._fail(Op.CONNECT, slots if rows is None else slots[rows], number)
                continue
            ends = _sockaddrs(part.destination, part.destination_port)
            sources = _sockaddrs(part.source, part.source_port) if how.bind else None
            chain = self._connect_chain(slots if rows is None else slots[rows], local, ends, sources, how)
            # The kernel copies addresses while it takes the entries in, so they need not live longer than this call.
            self._submit(ring, chain.reshape(-1), chain.shape[1])

    def _connect_chain(
        self,
        slots: Slots,
        local: NDArray[np.int64],
        ends: NDArray[np.uint8],
        sources: NDArray[np.uint8] | None,
        how: How,
    ) -> Sqes:
        """(n, stages): each row opens one connection."""
        explicit = sources is not None and sources[:, 2:4].any()  # the port
        options = sockopts.before_connect(how.timeout_s, how.port_range, bind=how.bind, explicit=bool(explicit))
        chain = np.zeros((len(slots), 2 + len(options) + (sources is not None)), SQE)
        chain["flags"] = FIXED_FILE | LINK | SKIP_SUCCESS
        chain["fd"] = local[:, None]
        chain["user_data"] = slots.astype(np.uint64)[:, None] | (np.uint64(STAGE) << _OP_SHIFT)
        first, last = chain[:, 0], chain[:, -1]
        first["opcode"], first["flags"] = Opcode.SOCKET, LINK | SKIP_SUCCESS
        first["fd"] = socket.AF_INET if ends.shape[1] == 16 else socket.AF_INET6
        first["off"], first["file_index"] = socket.SOCK_STREAM, local + 1
        for column, (level, option, value) in enumerate(options, start=1):
            self._set_option(chain[:, column], level, option, value)
        if sources is not None:
            bind = chain[:, -2]
            bind["opcode"], bind["addr"], bind["off"] = Opcode.BIND, _pointers(sources), sources.shape[1]
        last["opcode"], last["flags"] = Opcode.CONNECT, FIXED_FILE
        last["addr"], last["off"] = _pointers(ends), ends.shape[1]
        last["user_data"] = slots.astype(np.uint64) | (np.uint64(Op.CONNECT) << _OP_SHIFT)
        return chain

    def _set_option(self, entries: Sqes, level: int, option: int, value: bytes) -> None:
        kept = self._values.setdefault(value, np.frombuffer(value, np.uint8))
        entries["opcode"], entries["off"] = Opcode.URING_CMD, SOCKET_SETSOCKOPT
        entries["addr"], entries["file_index"] = level | option << 32, len(value)
        entries["addr3"] = kept.ctypes.data

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
        self._pending[slots] = Op.WATCH
        events = select.POLLIN | select.POLLRDHUP
        self._simple(Opcode.POLL_ADD, Op.WATCH, slots, op_flags=events)

    def receive(self, slots: Slots, buffers: NDArray[np.uint8], rows: NDArray[np.intp]) -> None:
        where = buffers.ctypes.data + rows.astype(np.uint64) * np.uint64(buffers.strides[0])
        size = np.full(len(slots), buffers.shape[1])
        self._simple(Opcode.RECV, Op.RECEIVE, slots, addr=where, length=size, op_flags=socket.MSG_DONTWAIT)

    def send(self, slots: Slots, buffers: NDArray[np.uint8], rows: NDArray[np.intp], sizes: NDArray[np.int64]) -> None:
        if not len(slots):
            return
        self._pending[slots] = Op.SEND
        self._buffer_number = self._buffer_number + 1 & 0xFFFFFFFF
        self._buffer_of[slots] = self._buffer_number
        self._buffers[self._buffer_number] = (buffers, len(slots))
        where = buffers.ctypes.data + rows.astype(np.uint64) * np.uint64(buffers.strides[0])
        flags = socket.MSG_WAITALL | socket.MSG_NOSIGNAL
        self._simple(Opcode.SEND, Op.SEND, slots, addr=where, length=sizes, op_flags=flags)

    def close(self, slots: Slots, reset: bool) -> None:
        """Cancel what waits, set SO_LINGER for a reset, close: a chain that goes on whatever its entries find."""
        if self._done:
            self._done = [done[~np.isin(done["slot"], slots)] for done in self._done]
        self._closing[slots] = True
        for ring, rows, local in self._by_ring(slots):
            some = slots if rows is None else slots[rows]
            chain = np.zeros((len(some), 3 if reset else 2), SQE)
            chain["flags"] = HARDLINK | SKIP_SUCCESS
            chain["user_data"] = np.uint64(SILENT) << _OP_SHIFT
            cancel, last = chain[:, 0], chain[:, -1]
            cancel["opcode"], cancel["fd"] = Opcode.ASYNC_CANCEL, -1
            cancel["addr"] = some.astype(np.uint64) | (self._pending[some].astype(np.uint64) << _OP_SHIFT)
            if reset:
                linger = chain[:, 1]
                self._set_option(linger, socket.SOL_SOCKET, socket.SO_LINGER, sockopts.LINGER_RESET)
                linger["flags"], linger["fd"] = HARDLINK | SKIP_SUCCESS | FIXED_FILE, local
            last["opcode"], last["flags"], last["file_index"] = Opcode.CLOSE, 0, local + 1
            last["user_data"] = some.astype(np.uint64) | (np.uint64(Op.CLOSE) << _OP_SHIFT)
            self._submit(ring, chain.reshape(-1), chain.shape[1])
        self._pending[slots] = 0

    def describe(self, slot: int) -> FourTuple | None:
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
        done = np.concatenate(self._done) if self._done else np.zeros(0, COMPLETION)
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
                self._sort(number, done["user_data"], done["res"])

    def _sort(self, ring: int, user_data: NDArray[np.uint64], results: NDArray[np.int32]) -> None:
        """The ring's completions as the contract has them; what belongs to a closing slot, or to us, is left out."""
        ops = (user_data >> _OP_SHIFT).astype(np.uint8)
        slots = (user_data & np.uint64(0xFFFFFFFF)).astype(np.int64)
        calls = ops == CALL
        if calls.any():
            self._answer = int(results[calls][0])
        accepts = ops == Op.ACCEPT
        if accepts.any():
            self._accepted(ring, slots[accepts], results[accepts])
        sends = ops == Op.SEND
        if sends.any():
            self._let_buffers_go(slots[sends])
        ours = np.isin(ops, (STAGE, Op.CONNECT, Op.WATCH, Op.RECEIVE, Op.SEND, Op.CLOSE))
        ops, slots, results = ops[ours], slots[ours], results[ours]
        canceled = (results == -errno.ECANCELED) & np.isin(ops, (STAGE, Op.CONNECT))  # an earlier entry has told why
        closed = ops == Op.CLOSE
        keep = (closed | ~self._closing[slots]) & ~canceled
        self._closing[slots[closed]] = False
        self._used[ring] -= int(np.count_nonzero(closed))
        ops, slots, results = ops[keep], slots[keep], results[keep]
        ops[ops == STAGE] = Op.CONNECT
        failed = slots[(ops == Op.CONNECT) & (results < 0)]
        if len(failed):
            self._clear(failed)
        done = np.empty(len(ops), COMPLETION)
        done["op"], done["slot"] = ops, slots
        done["result"] = np.where((ops == Op.WATCH) | (ops == Op.CLOSE), 0, results)
        self._pending[slots[ops != Op.RECEIVE]] = 0
        self._done.append(done)

    def _let_buffers_go(self, slots: NDArray[np.int64]) -> None:
        for number, count in zip(
            *(part.tolist() for part in np.unique(self._buffer_of[slots], return_counts=True)), strict=True
        ):
            buffers, needed = self._buffers.pop(number)
            if needed > count:
                self._buffers[number] = (buffers, needed - count)

    def _clear(self, slots: NDArray[np.int64]) -> None:
        """The socket of a failed connect is still in its slot."""
        for ring, _, local in self._by_ring(slots):
            entries = np.zeros(len(local), SQE)
            entries["opcode"], entries["flags"], entries["file_index"] = Opcode.CLOSE, SKIP_SUCCESS, local + 1
            entries["user_data"] = np.uint64(SILENT) << _OP_SHIFT
            self._submit(ring, entries)

    # Accepting

    def _accept_from(self, descriptor: int) -> None:
        """Ask for as many as the listener gave at once the last time, and twice that where it gave all."""
        ring = next((n for n, used in enumerate(self._used) if used < self._slots_of(n)), len(self._used))
        if ring * self._ring_slots >= self.capacity:
            return
        if number := self._need(ring):
            self._fail(Op.ACCEPT, np.array([-1], np.int32), number)
            return
        count = min(self._burst[descriptor], self._room, self._slots_of(ring) - self._used[ring])
        if count <= 0:
            return
        entries = np.zeros(count, SQE)
        entries["opcode"], entries["fd"], entries["ioprio"] = Opcode.ACCEPT, descriptor, ACCEPT_DONTWAIT
        entries["file_index"] = ANY_SLOT
        entries["user_data"] = np.uint64(Op.ACCEPT) << _OP_SHIFT | np.uint64(descriptor)
        # Taken before it is known that they are needed: an accept that finds no slot drops its connection.
        self._used[ring] += count
        self._room -= count
        self._submit(ring, entries)

    def _accepted(self, ring: int, descriptors: NDArray[np.int64], results: NDArray[np.int32]) -> None:
        good = results >= 0
        done = np.zeros(int(np.count_nonzero(good)), COMPLETION)
        done["op"], done["slot"] = Op.ACCEPT, results[good] + ring * self._ring_slots
        self._done.append(done)
        self._used[ring] -= int(np.count_nonzero(~good))
        self._room += int(np.count_nonzero(~good))
        for descriptor in np.unique(descriptors).tolist():
            asked = descriptors == descriptor
            self._burst[descriptor] = ACCEPTS if good[asked].all() else max(1, 2 * int(good[asked].sum()))
        wrong = results[~good & (results != -errno.EAGAIN) & (results != -errno.EWOULDBLOCK)]
        if len(wrong):
            self._fail(Op.ACCEPT, np.array([-1], np.int32), -int(wrong[0]))

    # Rings

    def _slots_of(self, ring: int) -> int:
        return min(self._ring_slots, self.capacity - ring * self._ring_slots)

    def _need(self, ring: int) -> int:
        """Make rings up to this one → 0, or the errno by which the system gives none."""
        while len(self._rings) <= ring:
            slots = self._slots_of(len(self._rings))
            try:
                made = Ring(slots, self._entries, no_sqarray=features().no_sqarray)
            except OSError as error:
                return error.errno or errno.EIO
            self._ring_of[made.event_fd] = len(self._rings)
            self._rings.append(made)
            self._used.append(0)
            self._epoll.register(made.event_fd, select.EPOLLIN | select.EPOLLET)  # edges: it is never read
        return 0

    def _fail(self, op: Op, slots: Slots, number: int) -> None:
        failed = np.zeros(len(slots), COMPLETION)
        failed["op"], failed["slot"], failed["result"] = op, slots, -number
        self._done.append(failed)

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

    def _simple(self, opcode: Opcode, op: Op, slots: Slots, *, op_flags: int, addr: Any = 0, length: Any = 0) -> None:
        """One entry for each slot."""
        for ring, rows, local in self._by_ring(slots):
            entries = np.zeros(len(local), SQE)
            entries["opcode"], entries["flags"], entries["fd"] = opcode, FIXED_FILE, local
            entries["op_flags"] = op_flags
            entries["addr"] = addr if rows is None or np.isscalar(addr) else addr[rows]
            entries["len"] = length if rows is None or np.isscalar(length) else length[rows]
            some = slots if rows is None else slots[rows]
            entries["user_data"] = some.astype(np.uint64) | (np.uint64(op) << _OP_SHIFT)
            self._submit(ring, entries)

    def _call(self, ring: int, entry: Sqes) -> int:
        """One entry, and its result at once."""
        entry["user_data"] = np.uint64(CALL) << _OP_SHIFT
        self._answer = None
        self._submit(ring, entry)
        while self._answer is None:
            self._touched.add(ring)
            self._take_touched()
        return self._answer


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
