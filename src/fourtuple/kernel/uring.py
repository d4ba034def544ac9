"""io_uring from NumPy: what this kernel's io_uring supports, and a ring whose queues are arrays shared with the kernel.

A ring belongs to the thread that created it (SINGLE_ISSUER) and does its work only inside our own io_uring_enter()
(DEFER_TASKRUN): the kernel reads our tail and posts completions during that call, so plain stores are enough and no
memory barrier is needed. Sockets live in a table of the ring as direct descriptors, which take no file descriptor. A
table may be as large as the soft RLIMIT_NOFILE at its creation; a process may have any number of rings.

Sources: io_uring_setup(2), io_uring_enter(2), io_uring_register(2), include/uapi/linux/io_uring.h (v6.18).
"""

import ctypes
import errno
import mmap
import os
import platform
import select
import socket
import struct
import time
from dataclasses import replace
from enum import IntEnum
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass
from fourtuple.kernel.sockopts import IP_LOCAL_PORT_RANGE

SETUP, ENTER, REGISTER = 425, 426, 427  # the same number on every architecture
SETUP_CQSIZE, SETUP_SUBMIT_ALL = 1 << 3, 1 << 7
SETUP_SINGLE_ISSUER, SETUP_DEFER_TASKRUN, SETUP_NO_SQARRAY = 1 << 12, 1 << 13, 1 << 16
ENTER_GETEVENTS, ENTER_EXT_ARG = 1 << 0, 1 << 3
REGISTER_EVENTFD, REGISTER_FILES_UPDATE, REGISTER_PROBE, REGISTER_FILES2 = 4, 6, 8, 13
RSRC_REGISTER_SPARSE = 1
OFF_SQ_RING, OFF_SQES = 0, 0x10000000
PATIENCE_S = 0.5  # a closed ring gives its memory back some 30 ms later, on a busy machine after more


FIXED_FILE, LINK, HARDLINK, SKIP_SUCCESS = 1 << 0, 1 << 2, 1 << 3, 1 << 6  # IOSQE_*
ANY_SLOT = 0xFFFFFFFF  # IORING_FILE_INDEX_ALLOC
CANCEL_ALL, CANCEL_FD, CANCEL_FD_FIXED = 1 << 0, 1 << 1, 1 << 3  # IORING_ASYNC_CANCEL_* (Linux 6.0)
ACCEPT_DONTWAIT = 1 << 1  # ioprio of ACCEPT (Linux 6.10)
SOCKET_GETSOCKOPT, SOCKET_SETSOCKOPT = 2, 3  # SOCKET_URING_OP_* (Linux 6.7)


class Opcode(IntEnum):
    """The io_uring operations that are used here (IORING_OP_*)."""

    POLL_ADD = 6
    ACCEPT = 13
    ASYNC_CANCEL = 14
    CONNECT = 16
    CLOSE = 19
    SEND = 26
    RECV = 27
    SHUTDOWN = 34
    SOCKET = 45  # Linux 5.19
    URING_CMD = 46
    FIXED_FD_INSTALL = 54  # Linux 6.8
    BIND = 56  # Linux 6.11


NEEDED = frozenset(
    {
        Opcode.POLL_ADD,
        Opcode.ACCEPT,
        Opcode.ASYNC_CANCEL,
        Opcode.CONNECT,
        Opcode.CLOSE,
        Opcode.SEND,
        Opcode.RECV,
        Opcode.SHUTDOWN,
    }
)

SQE = np.dtype(
    [
        ("opcode", "u1"),
        ("flags", "u1"),
        ("ioprio", "u2"),
        ("fd", "i4"),
        ("off", "u8"),
        ("addr", "u8"),
        ("len", "u4"),
        ("op_flags", "u4"),
        ("user_data", "u8"),
        ("buf_index", "u2"),
        ("personality", "u2"),
        ("file_index", "u4"),
        ("addr3", "u8"),
        ("pad", "u8"),
    ]
)  # struct io_uring_sqe, 64 bytes
SQE_WORDS = SQE.itemsize // 8  # copied as words: NumPy copies structured rows field by field, ten times slower
CQE = np.dtype([("user_data", "u8"), ("res", "i4"), ("flags", "u4")])  # struct io_uring_cqe
CQE_WORDS = CQE.itemsize // 8
Sqes = NDArray[Any]
Cqes = NDArray[Any]

_PARAMS = struct.Struct("=IIIIIII12xIIIIIIIIQIIIIIIIIQ")  # struct io_uring_params, 120 bytes
_PROBE_OPS = 256

_NOW = np.zeros(2, np.int64)  # struct __kernel_timespec: a timeout of 0
_NO_WAIT = np.array([0, 0, _NOW.ctypes.data], np.uint64)  # struct io_uring_getevents_arg: sigmask, its size, ts

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.syscall.argtypes = [ctypes.c_long] * 7
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
_libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_MAP_FAILED = ctypes.c_void_p(-1).value


def _syscall(number: int, *arguments: int) -> int:
    result = int(_libc.syscall(number, *arguments, *(0,) * (6 - len(arguments))))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


class _Map:
    """Memory of a ring, shared with the kernel, as `bytes` (NumPy: uint8) until `close`. Raises OSError.

    mmap.mmap would keep a duplicate of the ring's descriptor open for each map (trackfd=False: Python 3.13).
    """

    def __init__(self, fd: int, size: int, offset: int) -> None:
        how = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED | mmap.MAP_POPULATE
        self._address = _libc.mmap(None, size, *how, fd, offset)
        if self._address == _MAP_FAILED:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        self.bytes = memoryview((ctypes.c_ubyte * size).from_address(self._address)).cast("B")

    def close(self) -> None:
        """Unmap it; arrays over `bytes` must not be used any more."""
        _libc.munmap(self._address, len(self.bytes))


@dataclass(frozen=True, slots=True)
class Features:
    """What this kernel's io_uring supports, and whether this process may use it.

    refusal:    why no ring can be created; None: one can
    opcodes:    the supported operations, IORING_OP_*
    setsockopt: SOCKET_URING_OP_SETSOCKOPT (Linux 6.7)
    no_sqarray: IORING_SETUP_NO_SQARRAY (Linux 6.6)
    dontwait:   IORING_ACCEPT_DONTWAIT (Linux 6.10)
    releases:   a closed slot lets go of its file at once. Before Linux 6.13 it does so only when all requests that were
                submitted earlier are done, such as a poll of another slot (io_rsrc_node_ref_zero, io_uring/rsrc.c,
                v6.12); with 6.1 up to 1 s after that (v6.1)
    """

    refusal: str | None = None
    opcodes: frozenset[int] = frozenset()
    setsockopt: bool = False
    no_sqarray: bool = False
    dontwait: bool = False
    releases: bool = False

    @property
    def why_not(self) -> str | None:
        """Why the ring loop is not available here; None: it is."""
        if self.refusal:
            return self.refusal
        missing = [op.name for op in NEEDED if op not in self.opcodes]
        return f"this kernel's io_uring does not support {', '.join(missing)}" if missing else None

    def prepares(self, *, bind: bool) -> bool:
        """Can a ring create a socket, set its options and, if `bind`, bind it?"""
        wanted = {Opcode.SOCKET, Opcode.URING_CMD} | ({Opcode.BIND} if bind else set())
        return self.setsockopt and wanted <= self.opcodes

    @property
    def describes(self) -> bool:
        """Can a direct descriptor be turned into an ordinary one, so that getsockname() and getpeername() work?"""
        return Opcode.FIXED_FD_INSTALL in self.opcodes


class Ring:
    """One ring with a table of `slots` direct descriptors.

    slots:      size of the table; 0: no table
    entries:    how many submissions fit at once; a power of two
    no_sqarray: use IORING_SETUP_NO_SQARRAY

    Raises OSError: EPERM (kernel.io_uring_disabled, seccomp), ENOSYS, EINVAL (Linux older than 6.1), EMFILE, ENOMEM.
    """

    def __init__(self, slots: int, entries: int, *, no_sqarray: bool) -> None:
        flags = SETUP_CQSIZE | SETUP_SUBMIT_ALL | SETUP_SINGLE_ISSUER | SETUP_DEFER_TASKRUN
        flags |= SETUP_NO_SQARRAY if no_sqarray else 0
        # Completions for which there is no room wait in a list of the kernel until `take` makes some.
        params = ctypes.create_string_buffer(_PARAMS.pack(entries, 4 * entries, flags, *[0] * 22), _PARAMS.size)
        self.fd, self.event_fd, self._maps = _syscall(SETUP, entries, ctypes.addressof(params)), -1, list[_Map]()
        try:
            self._map(_PARAMS.unpack(params.raw), no_sqarray)
            if slots:
                # struct io_uring_rsrc_register: nr, flags, resv2, data, tags
                table = struct.pack("=IIQQQ", slots, RSRC_REGISTER_SPARSE, 0, 0, 0)
                buffer = ctypes.create_string_buffer(table, len(table))
                _syscall(REGISTER, self.fd, REGISTER_FILES2, ctypes.addressof(buffer), len(table))
            # With DEFER_TASKRUN, ready work does not wake a poll of the ring's own descriptor; it does wake an eventfd.
            self.event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            number = ctypes.c_int(self.event_fd)
            _syscall(REGISTER, self.fd, REGISTER_EVENTFD, ctypes.addressof(number), 1)
        except OSError:
            self.close()
            raise

    def _map(self, params: tuple[int, ...], no_sqarray: bool) -> None:
        entries, completions = params[0], params[1]
        _, sq_tail, _, _, _, _, sq_array, _, _ = params[7:16]
        cq_head, cq_tail, _, _, _, cqes, _, _, _ = params[16:25]
        size = max(cqes + completions * CQE.itemsize, 0 if no_sqarray else sq_array + 4 * entries)
        self._maps += [_Map(self.fd, size, OFF_SQ_RING)]
        self._maps += [_Map(self.fd, entries * SQE.itemsize, OFF_SQES)]
        ring, requests = (each.bytes for each in self._maps)
        self._sqes = np.frombuffer(requests, np.uint64).reshape(-1, SQE_WORDS)
        self._cqes = np.frombuffer(ring, np.uint64, CQE_WORDS * completions, cqes).reshape(-1, CQE_WORDS)
        self._sq_tail, self._cq_head, self._cq_tail = (
            np.frombuffer(ring, np.uint32, 1, offset) for offset in (sq_tail, cq_head, cq_tail)
        )
        self._completions = completions
        if not no_sqarray:
            np.frombuffer(ring, np.uint32, entries, sq_array)[:] = np.arange(entries, dtype=np.uint32)
        self.entries = entries
        self._tail = int(self._sq_tail[0])

    def submit(self, sqes: Sqes, chain: int = 1) -> None:
        """Submit any number of entries, in batches that fit the queue and never split a chain.

        sqes:  of dtype SQE, any shape, contiguous
        chain: the number of consecutive entries that form one chain

        The memory that the entries point to must stay valid until their completion. Raises OSError.
        """
        words = sqes.view(np.uint64).reshape(-1, SQE_WORDS)
        step = self.entries - self.entries % chain
        for start in range(0, len(words), step):
            batch = words[start : start + step]
            first = self._tail & (self.entries - 1)
            split = min(len(batch), self.entries - first)
            self._sqes[first : first + split] = batch[:split]
            self._sqes[: len(batch) - split] = batch[split:]
            self._tail = self._tail + len(batch) & 0xFFFFFFFF
            self._sq_tail[0] = self._tail
            left = len(batch)
            while left:
                left -= self._enter(left, 0, ENTER_GETEVENTS)

    def take(self) -> Cqes:
        """Let the kernel do all work that is ready now → all completions (dtype CQE), as a copy. Does not block.

        Completions are posted only during io_uring_enter(), which processes no more work than the number of
        completions it is asked to wait for. So this asks for as many as the queue holds, with a timeout of 0.
        """
        done = [self._reap()]
        while True:
            self._enter(0, self._completions, ENTER_GETEVENTS | ENTER_EXT_ARG)
            done.append(self._reap())
            if len(done[-1]) < self._completions:
                words = np.concatenate(done)
                return words.view(CQE)[:, 0]

    def _reap(self) -> NDArray[np.uint64]:
        """Remove the posted completions from the queue, and return a copy of them as words."""
        head, tail = int(self._cq_head[0]), int(self._cq_tail[0])
        first, count = head & (self._completions - 1), tail - head & 0xFFFFFFFF
        words = self._cqes[first : first + count].copy()
        if first + count > self._completions:
            words = np.concatenate((words, self._cqes[: first + count - self._completions]))
        self._cq_head[0] = tail
        return words

    def install(self, slot: int, descriptor: int) -> None:
        """Put an open file into a slot of the table, which then keeps the file open. Raises OSError."""
        number = ctypes.c_int(descriptor)
        # struct io_uring_files_update: offset, resv, fds
        update = struct.pack("=IIQ", slot, 0, ctypes.addressof(number))
        buffer = ctypes.create_string_buffer(update, len(update))
        _syscall(REGISTER, self.fd, REGISTER_FILES_UPDATE, ctypes.addressof(buffer), 1)

    def close_files(self) -> None:
        """Close the ring's descriptors: it can no longer be used, and exists until `close`, with its memory."""
        for descriptor in (self.fd, self.event_fd):
            if descriptor >= 0:
                os.close(descriptor)
        self.fd = self.event_fd = -1

    def close(self) -> None:
        """Close the ring. The kernel tears it down later, at a time of its own: close the sockets in it first.

        Its memory is given back some 30 ms later, too (io_ring_exit_work, io_uring/io_uring.c, v6.18).
        """
        self.close_files()
        for each in self._maps:
            each.close()
        self._maps.clear()

    def _enter(self, to_submit: int, min_complete: int, flags: int) -> int:
        """Call io_uring_enter() → how many entries were submitted. With ENTER_EXT_ARG the wait has a timeout of 0."""
        argument, size = (_NO_WAIT.ctypes.data, _NO_WAIT.nbytes) if flags & ENTER_EXT_ARG else (0, 0)
        while True:
            try:
                return _syscall(ENTER, self.fd, to_submit, min_complete, flags, argument, size)
            except OSError as error:
                if error.errno == errno.ETIME:
                    return 0
                if error.errno not in (errno.EINTR, errno.EAGAIN, errno.EBUSY):
                    raise


def new_ring(slots: int, entries: int, *, no_sqarray: bool, until_s: float) -> Ring:
    """Make a ring, if need be once rings that were closed before have given their memory back. Raises OSError.

    until_s: how long to wait for that, on time.monotonic()
    """
    while True:
        try:
            return Ring(slots, entries, no_sqarray=no_sqarray)
        except OSError as error:
            if error.errno != errno.ENOMEM or time.monotonic() >= until_s:
                raise
        time.sleep(0.002)


@cache
def features() -> Features:
    """What io_uring supports here, found out once by trying: operations, socket options and accept flags on a ring."""
    if platform.system() != "Linux":
        return Features(refusal="io_uring needs Linux")
    no_sqarray, until_s = True, time.monotonic() + PATIENCE_S
    try:
        try:
            ring = new_ring(4, 8, no_sqarray=True, until_s=until_s)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            no_sqarray = False
            ring = new_ring(4, 8, no_sqarray=False, until_s=until_s)
    except OSError as error:
        return Features(refusal=_refusal(error))
    try:
        found = replace(Features(no_sqarray=no_sqarray), opcodes=_opcodes(ring))
        if {Opcode.SOCKET, Opcode.URING_CMD} <= found.opcodes:
            found = replace(found, setsockopt=_sets_options(ring))
        if Opcode.ACCEPT in found.opcodes:
            found = replace(found, dontwait=_accepts_without_waiting(ring))
        if found.why_not is None:
            found = replace(found, releases=_releases_at_once(ring))
        return found
    finally:
        ring.close()


def _refusal(error: OSError) -> str:
    why = {
        errno.EPERM: "io_uring is not permitted (kernel.io_uring_disabled, or a container's seccomp filter)",
        errno.ENOSYS: "this kernel has no io_uring",
        errno.EINVAL: "this kernel's io_uring is too old (Linux 6.1 is needed)",
        errno.ENOMEM: "the user's locked memory leaves no room for a ring of io_uring (RLIMIT_MEMLOCK, ENOMEM 12)",
    }
    return why.get(error.errno or 0, f"io_uring_setup: {error.strerror}")


def _opcodes(ring: Ring) -> frozenset[int]:
    # struct io_uring_probe: last_op, ops_len, resv, resv2[3]; then op, resv, flags, resv2 of each
    buffer = ctypes.create_string_buffer(16 + 8 * _PROBE_OPS)
    _syscall(REGISTER, ring.fd, REGISTER_PROBE, ctypes.addressof(buffer), _PROBE_OPS)
    raw = buffer.raw
    rows = (struct.unpack_from("=BBHI", raw, 16 + 8 * number) for number in range(raw[1]))
    return frozenset(op for op, _, flags, _ in rows if flags & 1)


def _sets_options(ring: Ring) -> bool:
    value = np.array([1024 | 65535 << 16], np.uint32)
    chain = np.zeros(3, SQE)
    chain["opcode"] = (Opcode.SOCKET, Opcode.URING_CMD, Opcode.CLOSE)
    chain["flags"] = (HARDLINK, HARDLINK | FIXED_FILE, 0)
    chain["fd"] = (2, 0, 0)  # AF_INET; slot 0
    chain["off"] = (1, SOCKET_SETSOCKOPT, 0)  # SOCK_STREAM; the command
    chain["file_index"] = (1, 4, 1)  # slot 0 is number 1; the length of the value
    chain["addr"][1] = 0 | IP_LOCAL_PORT_RANGE << 32  # level SOL_IP, option
    chain["addr3"][1] = value.ctypes.data
    chain["user_data"] = (1, 2, 3)
    ring.submit(chain)
    done = ring.take()
    results = dict(zip(done["user_data"].tolist(), done["res"].tolist(), strict=True))
    return results.get(2) in (0, -errno.ENOPROTOOPT)


def _accepts_without_waiting(ring: Ring) -> bool:
    """Does ACCEPT support ACCEPT_DONTWAIT? With an empty queue it returns EAGAIN then; older kernels return EINVAL."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind("")
        listener.listen(1)
        entry = np.zeros(1, SQE)
        entry["opcode"], entry["fd"], entry["ioprio"] = Opcode.ACCEPT, listener.fileno(), ACCEPT_DONTWAIT
        entry["file_index"] = ANY_SLOT
        ring.submit(entry)
        return bool(ring.take()["res"].tolist() == [-errno.EAGAIN])


def _releases_at_once(ring: Ring) -> bool:
    """Does closing a slot close its file at once, while a poll of another slot waits? Then its peer sees the end."""
    polled, closed = socket.socketpair(), socket.socketpair()
    with polled[0], polled[1], closed[0], closed[1]:
        ring.install(0, polled[0].fileno())
        ring.install(1, closed[0].fileno())
        closed[0].close()
        entries = np.zeros(2, SQE)
        entries["opcode"], entries["flags"] = (Opcode.POLL_ADD, Opcode.CLOSE), (FIXED_FILE, 0)
        entries["op_flags"], entries["file_index"] = (select.POLLIN, 0), (0, 2)
        ring.submit(entries)
        ring.take()
        closed[1].setblocking(False)
        try:
            return closed[1].recv(1) == b""
        except BlockingIOError:
            return False
