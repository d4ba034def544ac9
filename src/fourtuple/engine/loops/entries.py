"""The submission entries for each operation of the ring loop, as arrays; nothing is submitted here.

A connection is opened by consecutive entries (socket, its options, bind, connect), of which only the last one reports
success; one that fails reports its own errno. Making a TCP socket never waits, so it is not linked to the others: each
link is a step of its own, after which the socket has left the CPU's caches. If it fails, the others find no file in the
slot (EBADF). These are a chain, in which an entry that fails cancels the rest. Entries point to addresses and option
values: the object returned along with them must live until they are submitted.
"""

import select
import socket
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.space.tuples import Block
from fourtuple.engine.loops.contract import First, How, Op, Slots
from fourtuple.engine.states import Pending
from fourtuple.kernel import sockopts
from fourtuple.kernel.uring import (
    ACCEPT_DONTWAIT,
    ANY_SLOT,
    CANCEL_ALL,
    CANCEL_FD,
    CANCEL_FD_FIXED,
    FIXED_FILE,
    HARDLINK,
    LINK,
    SKIP_SUCCESS,
    SOCKET_GETSOCKOPT,
    SOCKET_SETSOCKOPT,
    SQE,
    SQE_WORDS,
    Opcode,
    Sqes,
)

# user_data: the slot in 32 bits, the operation in 8, and for a send the number of its buffer in 24.
STAGE, SILENT, CALL, RECEIVE = 32, 33, 34, 35  # operations in addition to those of Op, for internal entries
OPS = 64
BUFFERS = 1 << 24
OF_FIRST = 0  # the number of the buffer with a message that follows a connect
_BUFFER_SHIFT = 40
_OP_MASK = 0xFF
_TAGS = np.arange(OPS, dtype=np.uint64) << np.uint64(32)  # an operation at its place in user_data
SEND_FLAGS = socket.MSG_WAITALL | socket.MSG_NOSIGNAL
POLL_EVENTS = select.POLLIN | select.POLLRDHUP
_NOWHERE = np.zeros(16, np.uint8)  # a struct sockaddr of AF_UNSPEC: connect() to it resets a connection (connect(2))

Local = NDArray[np.int64]  # numbers of slots within the table of their ring


def tag(op: int, buffer: int = 0) -> np.uint64:
    """The user_data of an operation, without the slot."""
    tagged: np.uint64 = np.uint64(buffer << _BUFFER_SHIFT) | _TAGS[op]
    return tagged


def untag(user_data: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Split user_data into (slots, operations)."""
    words = user_data.copy().view(np.uint32)
    return words[::2].astype(np.int64), (words[1::2] & _OP_MASK).astype(np.uint8)


def buffers_of(user_data: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The buffer numbers in the user_data of sends."""
    return user_data >> np.uint64(_BUFFER_SHIFT)


class Connects:
    """The entries that open connections; the parts that all connections of a kind share are built once."""

    def __init__(self) -> None:
        self._chains: dict[tuple[How, int, bool], NDArray[np.uint64]] = {}
        self._values: list[NDArray[np.uint8]] = []  # option values, which must stay where they are

    def entries(
        self,
        slots: Slots,
        local: Local,
        block: Block,
        how: How,
        *,
        explicit: bool,
        first: First | None = None,
    ) -> tuple[Sqes, object]:
        """The entries that connect `block` in these slots.

        → entries (connections, entries of each), and the addresses that they point to

        local:    the number of each slot within its ring's table
        explicit: the block names the source ports
        first:    is sent on each connection, which is polled then; None: nothing
        """
        ends = _sockaddrs(block.destination, block.destination_port)
        sources = _sockaddrs(block.source, block.source_port) if how.bind else None
        common = self._common(how, ends.shape[1], explicit)
        count = len(common)
        # Copied as words: NumPy copies structured rows field by field, which is slow.
        words = np.zeros((len(slots), count + (2 * SQE_WORDS if first is not None else 0)), np.uint64)
        words[:, :count] = common
        chain = words.view(SQE)
        chain["fd"][:, 1:] = local[:, None]
        chain["file_index"][:, 0] = local + 1
        numbers = slots.astype(np.uint64)
        chain["user_data"] = numbers[:, None] | _TAGS[STAGE]
        at = count // SQE_WORDS - 1
        if sources is not None:
            chain["addr"][:, at - 1] = _pointers(sources)
        connect = chain[:, at]
        connect["addr"], connect["user_data"] = _pointers(ends), numbers | _TAGS[Op.CONNECT]
        if first is not None:
            connect["flags"] |= LINK
            say, poll = chain[:, at + 1], chain[:, at + 2]
            say["opcode"], say["flags"] = Opcode.SEND, FIXED_FILE | LINK
            say["addr"], say["len"] = first.ctypes.data, len(first)
            say["op_flags"], say["user_data"] = SEND_FLAGS, numbers | tag(Op.SEND, OF_FIRST)
            poll["opcode"], poll["flags"], poll["op_flags"] = Opcode.POLL_ADD, FIXED_FILE, POLL_EVENTS
            poll["user_data"] = numbers | _TAGS[Op.WATCH]
        return chain, (ends, sources)

    def _common(self, how: How, sockaddr_bytes: int, explicit: bool) -> NDArray[np.uint64]:
        """The entries that open one connection, as words; the fields that differ between connections are 0."""
        key = (how, sockaddr_bytes, explicit)
        if key not in self._chains:
            options = sockopts.before_connect(how.timeout_s, how.port_range, bind=how.bind, explicit=explicit)
            chain = np.zeros(2 + len(options) + how.bind, SQE)
            chain["flags"] = FIXED_FILE | LINK | SKIP_SUCCESS
            chain[0]["opcode"], chain[0]["flags"] = Opcode.SOCKET, SKIP_SUCCESS
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


def connect_only(slots: Slots, local: Local, block: Block) -> tuple[Sqes, object]:
    """Connect sockets that are already in their slots → one entry per slot, and the addresses they point to."""
    ends = _sockaddrs(block.destination, block.destination_port)
    entries = np.zeros(len(ends), SQE)
    entries["opcode"], entries["flags"], entries["fd"] = Opcode.CONNECT, FIXED_FILE, local
    entries["addr"], entries["off"] = _pointers(ends), ends.shape[1]
    entries["user_data"] = slots.astype(np.uint64) | _TAGS[Op.CONNECT]
    return entries, ends


def polls(slots: Slots, local: Local) -> Sqes:
    """Poll each slot for data and for the end of its connection, until there is one of the two."""
    return on_each(Opcode.POLL_ADD, _TAGS[Op.WATCH], slots, local, op_flags=POLL_EVENTS, addr=0, length=0)


def reads(numbers: NDArray[np.int32], local: Local, where: NDArray[np.uint64], size: int) -> Sqes:
    """Read at most `size` bytes of each slot to an address, without waiting; the number takes the place of the slot."""
    return on_each(Opcode.RECV, _TAGS[RECEIVE], numbers, local, op_flags=socket.MSG_DONTWAIT, addr=where, length=size)


def sends(slots: Slots, local: Local, where: NDArray[np.uint64], sizes: NDArray[np.int64], buffer: int) -> Sqes:
    """Send sizes[i] bytes, all of them, from an address on each slot; buffer: the number of the buffer they are in."""
    return on_each(Opcode.SEND, tag(Op.SEND, buffer), slots, local, op_flags=SEND_FLAGS, addr=where, length=sizes)


def on_each(
    opcode: Opcode, tagged: np.uint64, slots: Slots, local: Local, *, op_flags: int, addr: Any, length: Any
) -> Sqes:
    """One entry per slot; `addr` and `length` are numbers, or arrays with one number per slot."""
    entries = np.zeros(len(local), SQE)
    entries["opcode"], entries["flags"], entries["fd"] = opcode, FIXED_FILE, local
    entries["op_flags"], entries["addr"], entries["len"] = op_flags, addr, length
    entries["user_data"] = slots.astype(np.uint64) | tagged
    return entries


def closes(slots: Slots, local: Local, state: NDArray[np.uint8], *, reset: bool, releases: bool) -> Sqes:
    """Cancel pending operations, end the connection, close: a chain that continues if one of its entries fails.

    A poll left pending would keep a closed socket alive. It completes by itself when the connection is reset; for a FIN
    it is cancelled. The kernel looks for it in a list that has the youngest poll first (io_poll_find, io_uring/poll.c,
    v6.18), so that many are closed fastest in the reverse order.

    state:    the `Pending` of each slot
    reset:    end it by RST; otherwise by FIN
    releases: the close ends it by FIN at once (`Features`)
    """
    numbers = slots.astype(np.uint64)
    pending = Pending.CONNECTING | Pending.SENDING | (0 if reset else Pending.ARMED)
    waits = bool((state & pending).any())
    chain = np.zeros((len(slots), 1 + waits + (reset or not releases)), SQE)
    chain["flags"] = HARDLINK | SKIP_SUCCESS
    chain["user_data"] = _TAGS[SILENT]
    if waits:
        cancel = chain[:, 0]
        polled = np.zeros(len(state), bool) if reset else (state & Pending.ARMED) > 0
        what = np.where(polled, _TAGS[Op.WATCH], _TAGS[Op.CONNECT])
        cancel["opcode"], cancel["addr"] = Opcode.ASYNC_CANCEL, numbers | what
        # The user_data of a send is not remembered, so cancel everything on its descriptor: slow, but rare.
        sends = (state & Pending.SENDING) > 0
        cancel["fd"] = np.where(sends, local, -1)
        cancel["op_flags"] = np.where(sends, CANCEL_ALL | CANCEL_FD | CANCEL_FD_FIXED, 0)
    if reset or not releases:
        end = chain[:, -2]
        end["flags"], end["fd"] = HARDLINK | SKIP_SUCCESS | FIXED_FILE, local
        if reset:
            end["opcode"], end["addr"], end["off"] = Opcode.CONNECT, _NOWHERE.ctypes.data, len(_NOWHERE)
        else:
            end["opcode"], end["len"] = Opcode.SHUTDOWN, socket.SHUT_RDWR
    last = chain[:, -1]
    last["opcode"], last["flags"], last["file_index"] = Opcode.CLOSE, 0, local + 1
    last["user_data"] = numbers | _TAGS[Op.CLOSE]
    return chain


def polls_anew(slots: Slots, local: Local) -> Sqes:
    """Cancel the poll of each slot, and poll it again: two entries per slot."""
    entries = np.zeros((len(slots), 2), SQE)
    cancel = entries[:, 0]
    cancel["opcode"], cancel["flags"], cancel["fd"] = Opcode.ASYNC_CANCEL, SKIP_SUCCESS, -1
    cancel["addr"], cancel["user_data"] = slots.astype(np.uint64) | _TAGS[Op.WATCH], _TAGS[SILENT]
    entries[:, 1] = polls(slots, local)
    return entries


def silent_closes(local: Local) -> Sqes:
    """Close slots; an entry that succeeds has no completion."""
    entries = np.zeros(len(local), SQE)
    entries["opcode"], entries["flags"], entries["file_index"] = Opcode.CLOSE, SKIP_SUCCESS, local + 1
    entries["user_data"] = _TAGS[SILENT]
    return entries


def accepts(count: int, descriptor: int, *, dontwait: bool) -> Sqes:
    """Accept from the listener with this descriptor, without waiting; the kernel chooses the slots.

    The user_data has the descriptor in place of the slot.

    dontwait: use ACCEPT_DONTWAIT; otherwise a last entry cancels the accepts that found no connection and wait for one
    """
    entries = np.zeros(count + (not dontwait), SQE)
    asked = entries[:count]
    asked["opcode"], asked["fd"], asked["ioprio"] = Opcode.ACCEPT, descriptor, ACCEPT_DONTWAIT if dontwait else 0
    asked["file_index"] = ANY_SLOT
    asked["user_data"] = _TAGS[Op.ACCEPT] | np.uint64(descriptor)
    if not dontwait:
        cancel = entries[-1]
        cancel["opcode"], cancel["flags"], cancel["fd"] = Opcode.ASYNC_CANCEL, SKIP_SUCCESS, -1
        cancel["addr"], cancel["op_flags"] = asked["user_data"][0], CANCEL_ALL
        cancel["user_data"] = _TAGS[SILENT]
    return entries


def install(local: int) -> Sqes:
    """One entry that gives a slot's socket an ordinary descriptor, which is the result."""
    entry = np.zeros(1, SQE)
    entry["opcode"], entry["flags"], entry["fd"] = Opcode.FIXED_FD_INSTALL, FIXED_FILE, local
    return entry


def cookies(local: Local, into: NDArray[np.uint64]) -> Sqes:
    """One entry per slot, by which the kernel writes the cookie of its socket into the array `into`."""
    entries = np.zeros(len(local), SQE)
    entries["opcode"], entries["flags"], entries["fd"] = Opcode.URING_CMD, FIXED_FILE | SKIP_SUCCESS, local
    entries["off"], entries["addr"] = SOCKET_GETSOCKOPT, socket.SOL_SOCKET | sockopts.SO_COOKIE << 32
    entries["file_index"], entries["addr3"] = into.itemsize, _pointers(into.view(np.uint8).reshape(-1, into.itemsize))
    entries["user_data"] = _TAGS[SILENT]
    return entries


def _sockaddrs(addresses: NDArray[np.uint8], ports: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """The struct sockaddr_in (16 bytes) or sockaddr_in6 (28 bytes) of each address, one per row (ip(7), ipv6(7))."""
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
