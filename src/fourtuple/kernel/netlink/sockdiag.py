"""Which sockets exist in this network namespace: sock_diag dumps as a stream of NumPy tables, else /proc/net/tcp.

A dump is a sequence of messages, each a struct inet_diag_msg followed by attributes; their length differs from socket
to socket and from kernel to kernel (kernel/netlink/columns.py). Every problem that the kernel reports becomes an
exception: an error message, an error inside the DONE message, a dump cut short by a change (NLM_F_DUMP_INTR) or by a
full buffer (ENOBUFS).
"""

import socket
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from fourtuple.core.record import dataclass
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
from fourtuple.kernel.netlink import columns, wire
from fourtuple.kernel.netlink.bytecode import (
    AUTOMATIC_PORT,
    NAMED_PORT,
    connections,
    local_ports,
    program,
    remote_ports,
)
from fourtuple.kernel.netlink.reading import NoSuchDumpError, as_they_come, retried
from fourtuple.kernel.proc.net_tcp import read_proc_net_tcp

# include/uapi/linux/netlink.h, sock_diag.h, inet_diag.h (v6.18)
NETLINK_SOCK_DIAG = 4
SOCK_DIAG_BY_FAMILY = 20
TCPDIAG_GETSOCK = 18  # the older request, for TCP: it walks the table once for both families (inet_diag_dump_compat)

REQUEST = struct.Struct("=BBBxI48x")  # struct inet_diag_req_v2: family, protocol, extensions, states, id
REQUEST_BOTH = struct.Struct("=BBBB48xII")  # struct inet_diag_req: family, lengths, extensions, id, states, dbs
INET_DIAG_REQ_BYTECODE = 1
INET_DIAG_SKMEMINFO = 7  # an attribute, if requested: the socket's SK_MEMINFO_* numbers
SK_MEMINFO_DROPS = 8  # the index of one of these numbers, include/uapi/linux/sock_diag.h
INET_DIAG_SOCKOPT = 22  # an attribute: struct inet_diag_sockopt, since Linux 5.10
BIND_ADDRESS_NO_PORT = 1  # a bit of the second byte of that struct
UNCONNECTED = frozenset({State.LISTEN, State.BOUND_INACTIVE})  # sockets in these states have no remote end

_SOCKET_WORDS = SOCKET.itemsize // 4
_ATTRIBUTES = columns.HEADER_WORDS + _SOCKET_WORDS  # where attributes begin in a message, in words
_LOCAL, _REMOTE = 2, 6  # where the addresses begin in a socket, in words
_MAPPED_WORDS = np.frombuffer(MAPPED, np.uint32)

Ask = Callable[[bytes], Iterable[wire.Bytes]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Datagram:
    """The sockets of one or more datagrams; done: the dump ends with them."""

    sockets: Sockets
    done: bool


def request(
    family: int,
    states: Iterable[State],
    only: bytes = b"",
    extensions: Sequence[int] = (),
    protocol: int = socket.IPPROTO_TCP,
) -> bytes:
    """The request for a dump of the sockets of one family, or of both (AF_UNSPEC, TCP only), in these states.

    only:       a filter (kernel/netlink/bytecode.py); empty: none
    extensions: additional attributes to report, INET_DIAG_*
    protocol:   IPPROTO_*, below 256

    Raises ValueError for AF_UNSPEC with a protocol other than TCP: one request cannot cover both families.
    """
    mask, told = (sum(1 << bit for bit in set(bits)) for bits in (states, (each - 1 for each in extensions)))
    if family:
        kind, body = SOCK_DIAG_BY_FAMILY, REQUEST.pack(family, protocol, told, mask)
    elif protocol == socket.IPPROTO_TCP:
        kind, body = TCPDIAG_GETSOCK, REQUEST_BOTH.pack(0, 0, 0, told, mask, 0)
    else:
        raise ValueError(f"the sockets of protocol {protocol} must be requested one family at a time")
    return wire.request(kind, body + (wire.attribute(INET_DIAG_REQ_BYTECODE, only) if only else b""))


def parse_datagram(data: wire.Bytes) -> Datagram:
    """Read the sockets of a received datagram, or of several in a row.

    Sockets with IP_BIND_ADDRESS_NO_PORT are marked Chosen.LATE.

    Raises OSError with the kernel's errno, DumpInterruptedError, BrokenMessageError if the bytes are not netlink.
    """
    words, starts, done = _messages(data)
    table = _sockets(words, starts)
    rows, options = columns.attribute(words, starts, _ATTRIBUTES, INET_DIAG_SOCKOPT, 0)
    table["chosen"][rows[options >> 8 & BIND_ADDRESS_NO_PORT != 0]] = Chosen.LATE
    return Datagram(table, done)


def parse_listeners(data: wire.Bytes) -> Datagram:
    """Read the sockets of a dump with INET_DIAG_SKMEMINFO, as a table of dtype LISTENER. Raises as parse_datagram."""
    words, starts, done = _messages(data)
    table = recast(_sockets(words, starts), LISTENER)
    rows, drops = columns.attribute(words, starts, _ATTRIBUTES, INET_DIAG_SKMEMINFO, SK_MEMINFO_DROPS)
    table["drops"][rows] = drops
    return Datagram(table, done)


def _messages(data: wire.Bytes) -> tuple[columns.Words, columns.Places, bool]:
    return columns.of_kinds(data, (SOCK_DIAG_BY_FAMILY, TCPDIAG_GETSOCK), 4 * _ATTRIBUTES, SOCK_DIAG)


def _sockets(words: columns.Words, starts: columns.Places) -> Sockets:
    rows = columns.rows(words, starts, columns.HEADER_WORDS, _SOCKET_WORDS)
    table: Sockets = rows.view(SOCKET)[:, 0]
    table["chosen"] = Chosen.UNKNOWN  # its place has the number of retransmissions, idiag_retrans
    if len(table) and not min(State) <= table["state"].min() <= table["state"].max() <= max(State):
        raise wire.BrokenMessageError(f"a socket in state {table['state'].max()}, which was not asked for")
    is_ipv4 = table["family"] == socket.AF_INET
    if not is_ipv4.all() and (table["family"][~is_ipv4] != socket.AF_INET6).any():
        raise wire.BrokenMessageError("a socket that is neither of IPv4 nor of IPv6")
    of_ipv4 = slice(None) if is_ipv4.all() else is_ipv4  # a slice is faster
    for column in (_LOCAL, _REMOTE):
        rows[of_ipv4, column + 3] = rows[of_ipv4, column]
        for word, value in enumerate(_MAPPED_WORDS):  # one at a time, which is faster
            rows[of_ipv4, column + word] = value
    return table


def exchange(message: bytes) -> Iterator[memoryview]:
    """Send a request over a sock_diag socket, and yield the datagrams of the answer (wire.exchange). Raises OSError."""
    return wire.exchange(NETLINK_SOCK_DIAG, message)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which sockets to read, and what to find out about them.

    automatic: ports for which to find out whether the socket named its port in bind(); such sockets are marked BOUND.
               None: do not find out
    others:    also read sockets with other ports; those that named their port are always included
    where:     only these connections are needed; the result may contain more
    protocol:  IPPROTO_*, below 256
    unconnected: find this out about sockets without a remote end, too: those that listen or are only bound. The kernel
               lists the latter from a table of its own, which has all bound sockets, and then walks it for each dump
    """

    automatic: range | None = None
    others: bool = True
    where: Where = EVERYWHERE
    protocol: int = socket.IPPROTO_TCP
    unconnected: bool = False

    def dumps(self) -> list[bytes]:
        """The filters of the dumps that are needed; each socket is in exactly one dump.

        The first dump has the sockets that named their port and those with other ports, the second has the sockets
        with automatic ports. Sockets that are bound but not connected (remote port 0) are included whatever `where` is,
        in the first dump unless it is to be found out whether they named their port.
        """
        clauses, idle = connections(self.where), remote_ports(range(1))
        if self.automatic is None:
            return [program(clauses)]
        ports = self.automatic
        beside = [each for each in (range(ports.start), range(ports.stop, 65536)) if each and self.others]
        first = [[NAMED_PORT], *([*local_ports(each), *clause] for each in beside for clause in clauses)]
        if self.unconnected:
            clauses = clauses if [] in clauses else [*clauses, idle]
        else:
            first.append(idle)
            clauses = [[*clause, *remote_ports(range(1, 65536))] for clause in clauses]
        return [program(first), program([[AUTOMATIC_PORT, *local_ports(ports), *clause] for clause in clauses])]

    def requests(self, states: Iterable[State]) -> list[tuple[bytes, bool]]:
        """The requests, as (request, whether it is for the first dump).

        For TCP a request covers both address families; other protocols need one request for each.
        """
        families = [socket.AF_UNSPEC] if self.protocol == socket.IPPROTO_TCP else [socket.AF_INET, socket.AF_INET6]
        every = frozenset(states)
        states_of = [every, every if self.unconnected else every - UNCONNECTED]
        return [
            (request(family, states_of[number], only, protocol=self.protocol), number == 0)
            for number, only in enumerate(self.dumps())
            for family in families
        ]

    def parse(self, data: wire.Bytes) -> Datagram:
        """Read a datagram of the first dump, and mark BOUND sockets. Raises as parse_datagram."""
        datagram = parse_datagram(data)
        table = datagram.sockets
        if self.automatic is not None:
            named = np.full(len(table), True) if self.unconnected else table["remote_port"] != 0
            if self.others:
                named &= (table["local_port"] >= self.automatic.start) & (table["local_port"] < self.automatic.stop)
            table["chosen"][named] = Chosen.BOUND
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
    """Apply `fold` to the IPv4 and IPv6 sockets of this network namespace → (its result, the source of the data).

    fold:   receives the tables; may be called more than once
    states: the TCP states to read
    ask:    sends a request to the kernel and returns the datagrams of the answer; runs in a thread

    An interrupted dump is discarded and taken again, up to TRIES times; then DumpInterruptedError is raised. Without
    sock_diag, TCP sockets are read from /proc/net/tcp: slower, unfiltered, without sockets that are bound but not
    connected, and none is marked BOUND. For other protocols NoSuchDumpError is raised.
    """
    states = frozenset(states)
    try:
        return retried(fold, lambda: _tables(states, asked, ask)), SOCK_DIAG
    except NoSuchDumpError:
        if asked.protocol != socket.IPPROTO_TCP:
            raise
    return fold(read_proc_net_tcp(states, proc)), PROC_NET_TCP


def read_sockets(
    states: Iterable[State], family: int = socket.AF_UNSPEC, protocol: int = socket.IPPROTO_TCP, ask: Ask = exchange
) -> Sockets:
    """The sockets of a small namespace in these states, as one table, read without threads of their own.

    Raises NoSuchDumpError without sock_diag, DumpInterruptedError, OSError.
    """
    message = request(family, states, protocol=protocol)

    def fold(tables: Iterable[Sockets]) -> Sockets:
        return np.concatenate([np.zeros(0, SOCKET), *(table.copy() for table in tables)])

    return retried(fold, lambda: _dump(ask(message), parse_datagram))


def read_listeners(ask: Ask = exchange, proc: Path = Path("/proc")) -> Sockets:
    """The listening TCP sockets of this network namespace, dtype LISTENER. Retries and falls back as fold_sockets."""

    def fold(tables: Iterable[Sockets]) -> Sockets:
        return np.concatenate([np.zeros(0, LISTENER), *tables])

    message = request(socket.AF_UNSPEC, {State.LISTEN}, extensions=[INET_DIAG_SKMEMINFO])
    try:
        return retried(fold, lambda: _dump(ask(message), parse_listeners))
    except NoSuchDumpError:
        return fold(recast(table, LISTENER) for table in read_proc_net_tcp(frozenset({State.LISTEN}), proc))


def _dump(answer: Iterable[wire.Bytes], parse: Callable[[wire.Bytes], Datagram]) -> Iterator[Sockets]:
    with wire.overflow_interrupts():
        for data in answer:
            datagram = parse(data)
            yield datagram.sockets
            if datagram.done:
                return
        raise wire.DumpInterruptedError(wire.NO_END)


def _tables(states: frozenset[State], asked: Asked, ask: Ask) -> Iterator[Sockets]:
    requests = asked.requests(states)
    complete = [False for _ in requests]
    with wire.overflow_interrupts():
        for number, data in as_they_come([ask(message) for message, _ in requests]):
            datagram = asked.parse(data) if requests[number][1] else parse_datagram(data)
            complete[number] = datagram.done
            yield datagram.sockets
        if not all(complete):
            raise wire.DumpInterruptedError(wire.NO_END)
