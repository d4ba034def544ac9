"""The kernel's own list of TCP sockets: a sock_diag dump as a stream of NumPy tables, or /proc/net/tcp without it.

A dump is a run of netlink messages. Each is a header, a struct inet_diag_msg and attributes whose length differs from
socket to socket and from kernel to kernel, so messages are walked by the header's length, a run of equal lengths at a
time. What the kernel reports as wrong is never swallowed: an error message, an error inside the DONE message, a dump
cut short by a change (NLM_F_DUMP_INTR) or by a full buffer (ENOBUFS).
"""

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.census import DETAILED, MAPPED, SOCKET, Chosen, Sockets, State, plain

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
INET_DIAG_SOCKOPT = 22  # an attribute: struct inet_diag_sockopt, since Linux 5.10
BIND_ADDRESS_NO_PORT = 1  # … a bit of its second byte

# A filter is a program of struct inet_diag_bc_op: code, how far to go if yes, if no; to end exactly behind it accepts.
# INET_DIAG_BC_AUTO (6) asks for SOCK_BINDPORT_LOCK, which bind() to a port sets, and bind(address, 0) does not
# (net/ipv4/af_inet.c, inet_diag.c, v6.18). INET_DIAG_BC_JMP (1) always goes the second way. INET_DIAG_BC_S_GE (2) and
# S_LE (3) compare the local port with that of the operation behind them.
_OP = struct.Struct("=BBH")
NOT_AUTOBOUND = _OP.pack(6, 4, 8) + _OP.pack(1, 4, 8)


def autobound(ports: range) -> bytes:
    """The filter for sockets that did not get their port by bind() to it, and that have one of these."""
    within = [_OP.pack(2, 8, 20), _OP.pack(0, 0, ports.start), _OP.pack(3, 8, 12), _OP.pack(0, 0, ports.stop - 1)]
    return b"".join((_OP.pack(6, 4, 24), *within))


DATAGRAM_BYTES = 64 * 1024  # the kernel never fills more than 32 KiB at once
RECEIVE_BYTES = 1024 * 1024  # parsed at once: some 10,000 sockets
USER_HZ = os.sysconf("SC_CLK_TCK")  # /proc tells times in these

_MESSAGE = np.dtype(
    [
        ("length", "u4"),
        ("type", "u2"),
        ("flags", "u2"),
        ("sequence", "u4"),
        ("port", "u4"),
        ("family", "u1"),
        ("state", "u1"),
        ("timer", "u1"),
        ("retrans", "u1"),
        ("local_port", ">u2"),
        ("remote_port", ">u2"),
        ("local", "V16"),
        ("remote", "V16"),
        ("interface", "u4"),
        ("cookie", "u8"),
        ("expires", "u4"),
        ("rqueue", "u4"),
        ("wqueue", "u4"),
        ("uid", "u4"),
        ("inode", "u4"),
    ],
    align=False,
)  # struct nlmsghdr and struct inet_diag_msg: 16 + 72 bytes


class DumpInterruptedError(Exception):
    """The table changed, or the buffer overflowed, in a way that makes the dump incomplete: start again."""


@dataclass(frozen=True, slots=True)
class Datagram:
    sockets: Sockets
    done: bool


def request(family: int, states: Iterable[State], only: bytes = b"") -> bytes:
    """A dump of the TCP sockets of one family, or of both (AF_UNSPEC), in these states. only: a filter"""
    mask = sum(1 << state for state in set(states))
    kind = SOCK_DIAG_BY_FAMILY if family else TCPDIAG_GETSOCK
    body = REQUEST.pack(family, socket.IPPROTO_TCP, 0, mask) if family else REQUEST_BOTH.pack(0, 0, 0, 0, mask, 0)
    if only:
        body += struct.pack("=HH", 4 + len(only), INET_DIAG_REQ_BYTECODE) + only
    return HEADER.pack(HEADER.size + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + body


def parse_datagram(data: bytes | memoryview, chosen: Chosen | None = None) -> Datagram:
    """A received datagram, or several in a row → their sockets, and whether the dump ends with them.

    chosen: what the request's filter says of all these; UNKNOWN: those with NO_PORT are LATE. None: no DETAILED table

    Raises OSError with the kernel's errno, DumpInterruptedError, or ValueError where the bytes are not netlink.
    """
    raw = np.frombuffer(data, np.uint8)
    tables: list[Sockets] = []
    interrupted, done, offset = False, False, 0
    while offset < len(raw) and not done:
        if len(raw) - offset < HEADER.size:
            raise ValueError(f"{len(raw) - offset} bytes at offset {offset} are no netlink header")
        length, kind, flags, _, _ = HEADER.unpack_from(data, offset)
        if length < HEADER.size or length > len(raw) - offset:
            raise ValueError(f"a netlink message of {length} bytes at offset {offset} of {len(raw)}")
        interrupted |= bool(flags & NLM_F_DUMP_INTR)
        if kind in (SOCK_DIAG_BY_FAMILY, TCPDIAG_GETSOCK):
            if length < _MESSAGE.itemsize:
                raise ValueError(f"a socket of {length} bytes at offset {offset}, not at least {_MESSAGE.itemsize}")
            rows, attributes = _run(raw[offset:], length)
            interrupted |= bool((rows["flags"] & NLM_F_DUMP_INTR).any())
            table = _sockets(rows, chosen)
            if chosen is Chosen.UNKNOWN:
                table["chosen"][_has_no_port(attributes)] = Chosen.LATE
            tables.append(table)
            offset += len(rows) * _aligned(length)
            continue
        if kind == NLMSG_OVERRUN:
            raise DumpInterruptedError("the kernel lost messages of the dump (NLMSG_OVERRUN)")
        if kind == NLMSG_ERROR or (kind == NLMSG_DONE and length >= HEADER.size + 4):
            (code,) = struct.unpack_from("=i", data, offset + HEADER.size)
            if code:
                raise OSError(-code, f"sock_diag: {os.strerror(-code)}")
        done = kind in (NLMSG_DONE, NLMSG_ERROR)
        offset += _aligned(length)
    if interrupted:
        raise DumpInterruptedError("the table changed during the dump (NLM_F_DUMP_INTR)")
    return Datagram(np.concatenate(tables) if tables else np.zeros(0, _dtype(chosen)), done)


def _dtype(chosen: Chosen | None) -> np.dtype[Any]:
    return SOCKET if chosen is None else DETAILED


def _aligned(length: int) -> int:
    return length + 3 & ~3


def _run(raw: NDArray[np.uint8], length: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """The messages from the start of `raw` that are sockets of the same length, as views with that stride.

    Second, a row of bytes each: their attributes (rtnetlink(7)).
    """
    stride = _aligned(length)
    count = 1 + (len(raw) - length) // stride
    rows = np.ndarray((count,), _MESSAGE, raw, 0, (stride,))
    same = (rows["length"] == length) & (rows["type"] == rows[0]["type"])
    count = count if same.all() else int(same.argmin())
    attributes = np.ndarray((count, length - _MESSAGE.itemsize), np.uint8, raw, _MESSAGE.itemsize, (stride, 1))
    return rows[:count], attributes


def _sockets(rows: NDArray[Any], chosen: Chosen | None) -> Sockets:
    table = np.empty(len(rows), _dtype(chosen))
    for name in ("local_port", "remote_port", "state", "inode"):
        table[name] = rows[name]
    if chosen is not None:
        table["chosen"] = chosen
        table["expires_ms"] = np.where(rows["state"] == State.TIME_WAIT, rows["expires"], 0)
        for name in ("rqueue", "wqueue"):
            table[name] = np.where(rows["state"] == State.LISTEN, rows[name], 0)
    is_ipv4 = rows["family"] == socket.AF_INET
    for name in ("local", "remote"):
        packed = np.array(rows[name]).view(np.uint8).reshape(-1, 16)
        of_ipv4 = slice(None) if is_ipv4.all() else is_ipv4  # mostly all of a run are of one family; slices are quicker
        packed[of_ipv4, 12:] = packed[of_ipv4, :4]
        packed[of_ipv4, :12] = np.frombuffer(MAPPED, np.uint8)
        table[name] = packed.view("V16")[:, 0]
    return table


def _has_no_port(attributes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which of these sockets have IP_BIND_ADDRESS_NO_PORT? They nearly always have the same attributes in a row."""
    found = np.zeros(len(attributes), bool)
    left = np.arange(len(attributes))
    while len(left):
        first, alike = attributes[left[0]], np.ones(len(left), bool)
        offset = 0
        while offset + 4 <= len(first):
            size, kind = struct.unpack_from("=HH", first.data, offset)
            alike &= (attributes[left, offset : offset + 4] == first[offset : offset + 4]).all(axis=1)
            if kind == INET_DIAG_SOCKOPT and size >= 6:
                found[left[alike]] = attributes[left[alike], offset + 5] & BIND_ADDRESS_NO_PORT != 0
                break
            offset += max(4, _aligned(size))
        left = left[~alike]
    return found


def exchange(message: bytes) -> Iterator[memoryview]:
    """Send one request to the kernel of the calling thread's network namespace; yield its datagrams. Raises OSError.

    Datagrams come several in a row, as many as are there; each time the same memory is used.
    """
    buffer = memoryview(bytearray(RECEIVE_BYTES))
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_SOCK_DIAG) as netlink:
        netlink.bind((0, 0))
        netlink.send(message)
        while True:
            size = netlink.recv_into(buffer)
            with contextlib.suppress(BlockingIOError):
                while size <= RECEIVE_BYTES - DATAGRAM_BYTES:
                    size += netlink.recv_into(buffer[size:], 0, socket.MSG_DONTWAIT)
            yield buffer[:size]


EVERY_PORT = range(65536)


def read_sockets(
    states: Iterable[State],
    ask: Callable[[bytes], Iterable[bytes | memoryview]] = exchange,
    family: int = socket.AF_UNSPEC,
    chosen: Chosen | None = None,
    ports: range = EVERY_PORT,
) -> Iterator[Sockets]:
    """The TCP sockets of one family, or of both, in these states, a table for each datagram.

    ask:    what carries the request to the kernel and brings its datagrams
    chosen: BOUND: only those that got their port by bind(address, port); UNKNOWN: only the others; as DETAILED tables
    ports:  … of those others only the ones with these local ports

    Raises OSError where the kernel refuses, DumpInterruptedError where what came so far is incomplete.
    """
    try:
        only = b"" if chosen is None else NOT_AUTOBOUND if chosen is Chosen.BOUND else autobound(ports)
        for data in ask(request(family, states, only)):
            datagram = parse_datagram(data, chosen)
            yield datagram.sockets
            if datagram.done:
                return
    except OSError as error:
        if error.errno == errno.ENOBUFS:
            raise DumpInterruptedError("the receive buffer overflowed (ENOBUFS)") from error
        raise
    raise DumpInterruptedError("the dump ended without a DONE message")


def parse_proc_net_tcp(text: str) -> Sockets:
    """/proc/net/tcp or tcp6 → its sockets, DETAILED. Raises ValueError where a line is not one of that file."""
    lines = text.splitlines()
    if not lines or "local_address" not in lines[0]:
        raise ValueError("this is not /proc/net/tcp: its header is missing")
    table = np.zeros(len(lines) - 1, DETAILED)
    for number, line in enumerate(lines[1:]):
        fields = line.split()
        try:
            ends = [end.split(":") for end in fields[1:3]]
            (local, local_port), (remote, remote_port) = ends
            state, (_, timer), (_, queued) = int(fields[3], 16), fields[5].split(":"), fields[4].split(":")
            row = (_hex_address(local), _hex_address(remote), int(local_port, 16), int(remote_port, 16))
            expires_ms = int(timer, 16) * 1000 // USER_HZ if state == State.TIME_WAIT else 0
            rqueue = int(queued, 16) if state == State.LISTEN else 0
            table[number] = (*row, state, int(fields[9]), Chosen.UNKNOWN, expires_ms, rqueue, 0)
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
SOCK_DIAG, PROC_NET_TCP = "sock_diag", "/proc/net/tcp"  # where tables came from


def fold_sockets(
    fold: Callable[[Iterable[Sockets]], T],
    states: Iterable[State],
    *,
    detailed: bool = False,
    ports: range = EVERY_PORT,
    ask: Callable[[bytes], Iterable[bytes | memoryview]] = exchange,
    proc: Path = Path("/proc"),
) -> tuple[T, str]:
    """`fold` applied to the TCP sockets, IPv4 and IPv6, of this network namespace, and where they came from.

    A dump that was interrupted is thrown away and taken again, up to TRIES times, then DumpInterruptedError is raised;
    so `fold` may be called more than once. Without sock_diag the tables come from /proc/net/tcp: slower, and without
    the sockets that are only bound.

    detailed: the tables are DETAILED, not SOCKET
    ports:    … and of the sockets that did not get their port by bind() to it only those with these need be in them
    """
    states = frozenset(states)
    for tries_left in reversed(range(TRIES)):
        try:
            return fold(_tables(states, ask, ports, detailed=detailed)), SOCK_DIAG
        except DumpInterruptedError:
            if not tries_left:
                raise
        except OSError as error:
            if error.errno not in _WITHOUT_SOCK_DIAG:
                raise
            break
    return fold(_from_proc(states, proc, detailed=detailed)), PROC_NET_TCP


def _tables(
    states: frozenset[State], ask: Callable[[bytes], Iterable[bytes | memoryview]], ports: range, *, detailed: bool
) -> Iterator[Sockets]:
    for chosen in (Chosen.BOUND, Chosen.UNKNOWN) if detailed else (None,):
        yield from read_sockets(states, ask, chosen=chosen, ports=ports)


def _from_proc(states: frozenset[State], proc: Path, *, detailed: bool) -> Iterator[Sockets]:
    for name in ("tcp", "tcp6"):
        file = proc / "thread-self" / "net" / name  # the namespace of this thread, not of the main one
        if file.exists():  # tcp6 is not there where IPv6 is disabled
            table = parse_proc_net_tcp(file.read_text())
            table = table[np.isin(table["state"], list(states))]
            yield table if detailed else plain(table)
