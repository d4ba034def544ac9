"""The kernel's own list of TCP sockets: a sock_diag dump as a stream of NumPy tables, or /proc/net/tcp without it.

A dump is a run of netlink messages, each a header, a struct inet_diag_msg and attributes, whose length differs from
socket to socket and from kernel to kernel. All headers of an answer carry the sequence number of the request, which is
chosen at random: so they are found at once by looking for it, and they are where they should be if each message ends
where the next one begins. What the kernel reports as wrong is never swallowed: an error message, an error inside the
DONE message, a dump cut short by a change (NLM_F_DUMP_INTR) or by a full buffer (ENOBUFS).
"""

import contextlib
import errno
import itertools
import os
import queue
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.sockets.filter import EVERYWHERE, Where
from fourtuple.core.sockets.table import (
    LISTENER,
    MAPPED,
    PROC_NET_TCP,
    SOCK_DIAG,
    SOCKET,
    Chosen,
    Sockets,
    State,
    recast,
)
from fourtuple.kernel.netlink.bytecode import (
    AUTOMATIC_PORT,
    NAMED_PORT,
    connections,
    local_ports,
    program,
    remote_ports,
)

# include/uapi/linux/netlink.h, sock_diag.h, inet_diag.h (v6.18)
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
TCPDIAG_GETSOCK = 18  # the older request: it walks the table once for both families (inet_diag_dump_compat)
NLM_F_REQUEST, NLM_F_DUMP = 0x001, 0x300
NLM_F_DUMP_INTR = 0x10
NLMSG_ERROR, NLMSG_DONE, NLMSG_OVERRUN = 2, 3, 4

HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
REQUEST = struct.Struct("=BBBxI48x")  # struct inet_diag_req_v2: family, protocol, extensions, states, id
REQUEST_BOTH = struct.Struct("=BBBB48xII")  # struct inet_diag_req: family, lengths, extensions, id, states, dbs
INET_DIAG_REQ_BYTECODE = 1
INET_DIAG_SKMEMINFO = 7  # an attribute: the socket's SK_MEMINFO_* numbers, if asked for
SK_MEMINFO_DROPS = 8  # … one of them, include/uapi/linux/sock_diag.h
INET_DIAG_SOCKOPT = 22  # an attribute: struct inet_diag_sockopt, since Linux 5.10
BIND_ADDRESS_NO_PORT = 1  # … a bit of its second byte

DATAGRAM_BYTES = 64 * 1024  # the kernel never fills more than 32 KiB at once
RECEIVE_BYTES = 1024 * 1024  # parsed at once: some 10,000 sockets
BUFFERS = 3  # one that is filled, one that is waiting, one that is parsed
USER_HZ = os.sysconf("SC_CLK_TCK")  # /proc tells times in these

# In words of 32 bits, to which netlink aligns everything
_HEADER_WORDS, _SOCKET_WORDS = HEADER.size // 4, SOCKET.itemsize // 4
_ATTRIBUTES = _HEADER_WORDS + _SOCKET_WORDS  # where they begin
_LOCAL, _REMOTE = 2, 6  # in a socket
_MAPPED_WORDS = np.frombuffer(MAPPED, np.uint32)

Words = NDArray[np.uint32]
Ask = Callable[[bytes], Iterable[bytes | memoryview]]


class DumpInterruptedError(Exception):
    """The table changed, or the buffer overflowed, in a way that makes the dump incomplete: start again."""


@dataclass(frozen=True, slots=True)
class Datagram:
    sockets: Sockets
    done: bool


def request(family: int, states: Iterable[State], only: bytes = b"", extensions: Sequence[int] = ()) -> bytes:
    """A dump of the TCP sockets of one family, or of both (AF_UNSPEC), in these states.

    only:       a filter (kernel/netlink/bytecode.py); empty: none
    extensions: attributes to be told besides, INET_DIAG_*
    """
    mask, told = (sum(1 << bit for bit in set(bits)) for bits in (states, (each - 1 for each in extensions)))
    kind = SOCK_DIAG_BY_FAMILY if family else TCPDIAG_GETSOCK
    body = REQUEST.pack(family, socket.IPPROTO_TCP, told, mask) if family else REQUEST_BOTH.pack(0, 0, 0, told, mask, 0)
    if only:
        body += struct.pack("=HH", 4 + len(only), INET_DIAG_REQ_BYTECODE) + only
    sequence = int.from_bytes(os.urandom(4), "little")
    return HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, sequence, 0) + body


def parse_datagram(data: bytes | memoryview) -> Datagram:
    """A received datagram, or several in a row → their sockets, and whether the dump ends with them.

    Sockets with IP_BIND_ADDRESS_NO_PORT are LATE.

    Raises OSError with the kernel's errno, DumpInterruptedError, or ValueError where the bytes are not netlink.
    """
    words, starts, done = _messages(data)
    table = _sockets(words, starts)
    rows, options = _attribute(words, starts, INET_DIAG_SOCKOPT, 0)
    table["chosen"][rows[options >> 8 & BIND_ADDRESS_NO_PORT != 0]] = Chosen.LATE
    return Datagram(table, done)


def parse_listeners(data: bytes | memoryview) -> Datagram:
    """The same for a dump with INET_DIAG_SKMEMINFO, as LISTENER."""
    words, starts, done = _messages(data)
    table = recast(_sockets(words, starts), LISTENER)
    rows, drops = _attribute(words, starts, INET_DIAG_SKMEMINFO, SK_MEMINFO_DROPS)
    table["drops"][rows] = drops
    return Datagram(table, done)


def _messages(data: bytes | memoryview) -> tuple[Words, NDArray[np.intp], bool]:
    """(the bytes as words, the numbers of those at which sockets' messages begin, is this the end of the dump?)

    Raises OSError, DumpInterruptedError, ValueError.
    """
    words, starts = _headers(data)
    kinds, flags = words[starts + 1] & 0xFFFF, words[starts + 1] >> 16
    is_socket, done = (kinds == SOCK_DIAG_BY_FAMILY) | (kinds == TCPDIAG_GETSOCK), False
    for number in np.flatnonzero(~is_socket).tolist():
        start, kind = int(starts[number]), int(kinds[number])
        if kind == NLMSG_OVERRUN:
            raise DumpInterruptedError("the kernel lost messages of the dump (NLMSG_OVERRUN)")
        if kind == NLMSG_ERROR or (kind == NLMSG_DONE and words[start] >= HEADER.size + 4):
            (code,) = struct.unpack_from("=i", data, 4 * start + HEADER.size)
            if code:
                raise OSError(-code, f"sock_diag: {os.strerror(-code)}")
        if kind in (NLMSG_DONE, NLMSG_ERROR):
            is_socket[number:] = False
            done = True
            break
    if (flags & NLM_F_DUMP_INTR).any():
        raise DumpInterruptedError("the table changed during the dump (NLM_F_DUMP_INTR)")
    starts = starts[is_socket]
    if len(starts) and (least := int(words[starts].min())) < 4 * _ATTRIBUTES:
        raise ValueError(f"a socket of {least} bytes, not at least {4 * _ATTRIBUTES}")
    return words, starts, done


def _headers(data: bytes | memoryview) -> tuple[Words, NDArray[np.intp]]:
    """The bytes as words, and the numbers of those at which messages begin. Raises ValueError."""
    padded = data if len(data) % 4 == 0 else bytes(data) + bytes(-len(data) % 4)
    words = np.frombuffer(padded, np.uint32)
    if padded is data and len(words) >= _HEADER_WORDS:
        starts = np.flatnonzero(words[2:] == words[2])
        ends = starts + (words[starts] + 3 >> 2)
        if starts[0] == 0 and ends[-1] == len(words) and np.array_equal(starts[1:], ends[:-1]):
            return words, starts
    return words, np.array(list(_walk(data)), np.intp)


def _walk(data: bytes | memoryview) -> Iterator[int]:
    """The same, one message after the other: for what is broken, or has that number in its content too."""
    offset = 0
    while offset < len(data):
        if len(data) - offset < HEADER.size:
            raise ValueError(f"{len(data) - offset} bytes at offset {offset} are no netlink header")
        (length,) = struct.unpack_from("=I", data, offset)
        if length < HEADER.size or length > len(data) - offset:
            raise ValueError(f"a netlink message of {length} bytes at offset {offset} of {len(data)}")
        yield offset // 4
        offset += length + 3 & ~3


def _sockets(words: Words, starts: NDArray[np.intp]) -> Sockets:
    count = max(0, len(words) - _SOCKET_WORDS + 1)
    windows = np.ndarray((count, _SOCKET_WORDS), np.uint32, words, 0, (4, 4))  # one at each word
    rows = windows[starts + _HEADER_WORDS] if len(starts) else np.zeros((0, _SOCKET_WORDS), np.uint32)
    table: Sockets = rows.view(SOCKET)[:, 0]
    is_ipv4 = table["family"] == socket.AF_INET
    of_ipv4 = slice(None) if is_ipv4.all() else is_ipv4  # slices are quicker
    for column in (_LOCAL, _REMOTE):
        rows[of_ipv4, column + 3] = rows[of_ipv4, column]
        rows[of_ipv4, column : column + 3] = _MAPPED_WORDS
    return table


def _attribute(words: Words, starts: NDArray[np.intp], kind: int, word: int) -> tuple[NDArray[np.intp], Words]:
    """(which messages have this attribute, a word of its value in each of them); see rtnetlink(7).

    Most have the same attributes in a row, so those that are like the first one are looked at together.
    """
    found, values = [np.zeros(0, np.intp)], [np.zeros(0, np.uint32)]
    left = np.arange(len(starts))
    while len(left):
        first = starts[left[0]]
        length = words[first]
        alike, offset = words[starts[left]] == length, _ATTRIBUTES
        while 4 * offset + 4 <= length:
            rows = left[alike]
            header = int(words[first + offset])
            alike[alike] = words[starts[rows] + offset] == header
            size, is_kind = header & 0xFFFF, header >> 16 == kind
            if is_kind and size >= 4 * (word + 1) + 2 and 4 * (offset + 2 + word) <= length + 3:
                rows = left[alike]
                found.append(rows)
                values.append(words[starts[rows] + offset + 1 + word])
                break
            offset += max(1, size + 3 >> 2)
        left = left[~alike]
    return np.concatenate(found), np.concatenate(values)


def exchange(message: bytes) -> Iterator[memoryview]:
    """Send one request to the kernel of the calling thread's network namespace; yield its datagrams. Raises OSError.

    Datagrams come several in a row, as many as fit. Their memory is written over after BUFFERS - 1 more. To receive
    one makes the kernel fill the next, so nothing is ever waited for: where there is none, the dump is over
    (netlink_recvmsg in net/netlink/af_netlink.c, v6.18).
    """
    buffers = itertools.cycle(np.empty(RECEIVE_BYTES, np.uint8).data for _ in range(BUFFERS))  # not touched before use
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG) as netlink:
        netlink.bind((0, 0))
        netlink.send(message)
        for buffer in buffers:
            size = 0
            with contextlib.suppress(BlockingIOError):
                while size <= RECEIVE_BYTES - DATAGRAM_BYTES:
                    size += netlink.recv_into(buffer[size:], 0, socket.MSG_DONTWAIT)
            if not size:
                return
            yield buffer[:size]


def _dump(answer: Iterable[bytes | memoryview], parse: Callable[[bytes | memoryview], Datagram]) -> Iterator[Sockets]:
    with _complaints():
        for data in answer:
            datagram = parse(data)
            yield datagram.sockets
            if datagram.done:
                return
        raise DumpInterruptedError(_NO_END)


_NO_END = "the dump ended without a DONE message"


@contextlib.contextmanager
def _complaints() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOBUFS:
            raise DumpInterruptedError("the receive buffer overflowed (ENOBUFS)") from error
        raise


def parse_proc_net_tcp(text: str) -> Sockets:
    """/proc/net/tcp or tcp6 → its sockets. Raises ValueError where a line is not one of that file."""
    lines = text.splitlines()
    if not lines or "local_address" not in lines[0]:
        raise ValueError("this is not /proc/net/tcp: its header is missing")
    table = np.zeros(len(lines) - 1, SOCKET)
    for number, line in enumerate(lines[1:]):
        fields = line.split()
        try:
            ends = [end.split(":") for end in fields[1:3]]
            (local, local_port), (remote, remote_port) = ends
            (_, timer), (wqueue, rqueue) = fields[5].split(":"), fields[4].split(":")
            table["local"][number], table["remote"][number] = _hex_address(local), _hex_address(remote)
            for name, text, base in (
                ("local_port", local_port, 16),
                ("remote_port", remote_port, 16),
                ("state", fields[3], 16),
                ("rqueue", rqueue, 16),
                ("wqueue", wqueue, 16),
                ("uid", fields[7], 10),
                ("inode", fields[9], 10),
            ):
                table[name][number] = int(text, base)
            table["expires_ms"][number] = int(timer, 16) * 1000 // USER_HZ
        except (ValueError, IndexError):
            raise ValueError(f"line {number + 2} of /proc/net/tcp is cut short or unreadable: {line!r}") from None
    return table


def _hex_address(text: str) -> bytes:
    """Eight hex digits for each 32-bit word, in the byte order of the host, as seq_printf wrote them."""
    if len(text) not in (8, 32):
        raise ValueError(text)
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return packed if len(packed) == 16 else MAPPED + packed


T = TypeVar("T")

# sock_diag is not built in, its module is not there, or a filter forbids the netlink family.
_WITHOUT_SOCK_DIAG = frozenset(
    {errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.ESOCKTNOSUPPORT, errno.ENOENT, errno.EPERM, errno.EACCES}
)
TRIES = 5


@dataclass(frozen=True, slots=True)
class Asked:
    """Which sockets are wanted, and what is to be told of them.

    automatic: ports of which it is to be told whether they were named in bind(): their sockets are BOUND then
    others:    sockets with other ports are wanted too; those that named theirs come in any case
    where:     only these connections are needed; more may come
    """

    automatic: range | None = None
    others: bool = True
    where: Where = EVERYWHERE

    def dumps(self) -> list[bytes]:
        """The filters of the dumps that it takes, each socket in one of them.

        The first gives those that named their port and the others', the second the automatic ones. Sockets that are
        only bound, whose far end is port 0, are in them wherever they are.
        """
        clauses = connections(self.where)
        idle = [] if [] in clauses else [remote_ports(range(1))]
        if self.automatic is None:
            return [program(clauses)]
        ports = self.automatic
        beside = [each for each in (range(ports.start), range(ports.stop, 65536)) if each and self.others]
        return [
            program([[NAMED_PORT], *([*local_ports(each), *clause] for each in beside for clause in clauses)]),
            program([[AUTOMATIC_PORT, *local_ports(ports), *clause] for clause in [*clauses, *idle]]),
        ]

    def parse(self, data: bytes | memoryview) -> Datagram:
        """Of the first dump."""
        datagram = parse_datagram(data)
        table = datagram.sockets
        if self.automatic is not None:
            named = (table["local_port"] >= self.automatic.start) & (table["local_port"] < self.automatic.stop)
            table["chosen"][named if self.others else slice(None)] = Chosen.BOUND
        return datagram


ALL = Asked()


def fold_sockets(
    fold: Callable[[Iterable[Sockets]], T],
    states: Iterable[State],
    asked: Asked = ALL,
    *,
    ask: Ask = exchange,
    proc: Path = Path("/proc"),
) -> tuple[T, str]:
    """`fold` applied to the TCP sockets, IPv4 and IPv6, of this network namespace, and where they came from.

    A dump that was interrupted is thrown away and taken again, up to TRIES times, then DumpInterruptedError is raised;
    so `fold` may be called more than once. Without sock_diag the tables come from /proc/net/tcp: slower, all of them,
    without the sockets that are only bound, and none is BOUND.

    ask: what carries a request to the kernel and brings its datagrams, in a thread
    """
    states = frozenset(states)
    return _retried(fold, lambda: _tables(states, asked, ask), lambda: _from_proc(states, proc))


def read_listeners(ask: Ask = exchange, proc: Path = Path("/proc")) -> Sockets:
    """The sockets of this network namespace that listen, as LISTENER. Tries and falls back as fold_sockets does."""

    def fold(tables: Iterable[Sockets]) -> Sockets:
        return np.concatenate([np.zeros(0, LISTENER), *tables])

    asked = request(socket.AF_UNSPEC, {State.LISTEN}, extensions=[INET_DIAG_SKMEMINFO])

    def listed() -> Iterator[Sockets]:
        return (recast(table, LISTENER) for table in _from_proc(frozenset({State.LISTEN}), proc))

    return _retried(fold, lambda: _dump(ask(asked), parse_listeners), listed)[0]


def _retried(
    fold: Callable[[Iterable[Sockets]], T],
    dumped: Callable[[], Iterable[Sockets]],
    listed: Callable[[], Iterable[Sockets]],
) -> tuple[T, str]:
    """dumped: by sock_diag; listed: where there is none"""
    for tries_left in reversed(range(TRIES)):
        try:
            return fold(dumped()), SOCK_DIAG
        except DumpInterruptedError:
            if not tries_left:
                raise
        except OSError as error:
            if error.errno not in _WITHOUT_SOCK_DIAG:
                raise
            break
    return fold(listed()), PROC_NET_TCP


def _tables(states: frozenset[State], asked: Asked, ask: Ask) -> Iterator[Sockets]:
    answers = [ask(request(socket.AF_UNSPEC, states, only)) for only in asked.dumps()]
    complete = [False for _ in answers]
    with _complaints():
        for number, data in _as_they_come(answers):
            datagram = parse_datagram(data) if number else asked.parse(data)
            complete[number] = datagram.done
            yield datagram.sockets
        if not all(complete):
            raise DumpInterruptedError(_NO_END)


def _as_they_come(streams: Sequence[Iterable[T]]) -> Iterator[tuple[int, T]]:
    """What the streams yield, with the number of each: they are read by threads, while the caller works.

    Where no thread can be started (pids.max, RLIMIT_NPROC), which may be the very trouble that is looked into, they
    are read one after the other. A stream is never more than two items ahead of the caller.
    """
    parts: queue.Queue[tuple[int, T | Exception | None]] = queue.Queue(1)
    left = threading.Event()

    def read(number: int) -> None:
        last = None
        try:
            for item in streams[number]:
                parts.put((number, item))
                if left.is_set():
                    break
        except Exception as error:
            last = error
        parts.put((number, last))

    running, alone = 0, []
    for number in range(len(streams)):
        try:
            threading.Thread(target=read, args=(number,), name="sock_diag", daemon=True).start()
            running += 1
        except RuntimeError:
            alone.append(number)
    try:
        while running:
            number, part = parts.get()
            if part is None or isinstance(part, Exception):
                running -= 1
                if part is not None:
                    raise part
                continue
            yield number, part
        for number in alone:
            yield from ((number, item) for item in streams[number])
    finally:
        left.set()
        while running:
            part = parts.get()[1]
            running -= part is None or isinstance(part, Exception)


def _from_proc(states: frozenset[State], proc: Path) -> Iterator[Sockets]:
    for name in ("tcp", "tcp6"):
        file = proc / "thread-self" / "net" / name  # the namespace of this thread, not of the main one
        if file.exists():  # tcp6 is not there where IPv6 is disabled
            table = parse_proc_net_tcp(file.read_text())
            yield table[np.isin(table["state"], list(states))]
