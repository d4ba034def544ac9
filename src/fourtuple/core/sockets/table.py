"""Sockets as the kernel lists them, and what follows for a run: who holds which 4-tuple, and do both ends agree?

The rows come from sock_diag or /proc/net/tcp; here they are only counted. IPv4 addresses and IPv4-mapped IPv6 ones
(::ffff:a.b.c.d, an AF_INET6 socket talking IPv4) are the same 4-tuple space, so both are kept in the mapped form.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.space.endpoints import Address, Endpoint, FourTuple, unpack_address
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import Destinations

SOCK_DIAG, PROC_NET_TCP = "sock_diag", "/proc/net/tcp"  # where tables come from
MAPPED = bytes(10) + b"\xff\xff"

SOCKET = np.dtype(
    [
        ("family", "u1"),
        ("state", "u1"),
        ("timer", "u1"),
        ("chosen", "u1"),  # Chosen
        ("local_port", ">u2"),
        ("remote_port", ">u2"),
        ("local", "V16"),  # address, IPv4 in its mapped form
        ("remote", "V16"),
        ("interface", "u4"),
        ("cookie", "V8"),
        ("expires_ms", "u4"),  # TIME_WAIT: how long it still stays; else of the timer that runs
        ("rqueue", "u4"),  # LISTEN: connections that wait to be accepted; else bytes that were not read yet
        ("wqueue", "u4"),  # LISTEN: the backlog, as somaxconn has cut it; else bytes that were not acknowledged yet
        ("uid", "u4"),
        ("inode", "u4"),  # 0: no struct socket behind it: TIME_WAIT, orphaned, or not accepted yet
    ]
)  # as the kernel lays it out: struct inet_diag_msg (include/uapi/linux/inet_diag.h, v6.18), 72 bytes
LISTENER = np.dtype([*SOCKET.descr, ("drops", "u4")])  # drops: connections that were lost at its queue
Sockets = NDArray[np.void]  # of dtype SOCKET


class State(IntEnum):
    """include/net/tcp_states.h (v6.18)"""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    CLOSE = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11
    NEW_SYN_RECV = 12
    BOUND_INACTIVE = 13  # asks for sockets that are only bound (Linux 6.8); they come back as CLOSE


class Chosen(IntEnum):
    """When a socket got its local port, as far as the kernel tells."""

    UNKNOWN = 0  # nobody asked, or the kernel does not tell
    BOUND = 1  # at bind(address, port)
    LATE = 2  # at connect(): it was bound with IP_BIND_ADDRESS_NO_PORT


def mapped(address: Address) -> bytes:
    return address.packed if address.version == 6 else MAPPED + address.packed


def is_ipv4(addresses: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which of these packed addresses are IPv4 ones in their mapped form?"""
    words = _words(addresses)
    found: NDArray[np.bool_] = (words[:, 0] == 0) & (words[:, 1] >> 32 == 0xFFFF)
    return found


def _words(addresses: NDArray[np.void]) -> NDArray[np.uint64]:
    """(n, 2): the more and the less significant half of each"""
    return np.ascontiguousarray(addresses).view(">u8").reshape(-1, 2).astype(np.uint64)


def is_wildcard(addresses: NDArray[np.void]) -> NDArray[np.bool_]:
    """0.0.0.0 or ::"""
    wildcards = (bytes(16), MAPPED + bytes(4))
    found: NDArray[np.bool_] = (addresses == np.void(wildcards[0])) | (addresses == np.void(wildcards[1]))
    return found


def unmapped(packed: bytes) -> Address:
    return unpack_address(packed[12:] if packed.startswith(MAPPED) else packed)


def four_tuples(sockets: Sockets) -> list[FourTuple]:
    """For showing a few: the local end is given as the source."""
    return [
        FourTuple(
            Endpoint(unmapped(row["local"].tobytes()), int(row["local_port"])),
            Endpoint(unmapped(row["remote"].tobytes()), int(row["remote_port"])),
        )
        for row in sockets
    ]


def recast(sockets: Sockets, dtype: np.dtype[np.void]) -> Sockets:
    """SOCKET as LISTENER, with no drops told, or the other way round."""
    table: Sockets = np.zeros(len(sockets), dtype)
    for name in SOCKET.names or ():
        table[name] = sockets[name]
    return table


def full_queues(listens: Sockets) -> list[str]:
    """Listeners whose accept queue is full, as `127.0.0.1:8000 (6 of 6)`.

    listens: from sock_diag: /proc does not tell backlogs, which are 0 then
    """
    full = listens[(listens["rqueue"] > listens["wqueue"]) & (listens["wqueue"] > 0)]
    names = [each.source for each in four_tuples(full)]
    return [f"{name} ({row['rqueue']:,} of {int(row['wqueue']) + 1:,})" for name, row in zip(names, full, strict=True)]


@dataclass(frozen=True, slots=True)
class Ends:
    """The sockets of one set of connections, seen at their two ends.

    client: rows whose remote end is one of the destinations
    server: rows whose local end is one of the destinations
    """

    client: Sockets
    server: Sockets

    @classmethod
    def of(
        cls,
        tables: Iterable[Sockets],
        destinations: Destinations,
        sources: Ranges | None = None,
        ports: Ranges | None = None,
    ) -> Self:
        """sources, ports: only clients with these addresses (as integers) and local ports; None means any."""
        client, server = [np.zeros(0, SOCKET)], [np.zeros(0, SOCKET)]
        for table in tables:
            is_client, is_server = _which(table, destinations, sources, ports)
            client.append(table[is_client])
            server.append(table[is_server])
        return cls(np.concatenate(client), np.concatenate(server))

    @property
    def accepted(self) -> int:
        return _accepted(self.server)

    @property
    def distinct(self) -> int:
        """How many different 4-tuples the client end has."""
        return len(np.unique(_keys(self.client)))

    @property
    def mirrored(self) -> int:
        """How many client sockets have their mirror image at the server end."""
        return len(np.intersect1d(_keys(self.client), _keys(self.server, swap=True)))

    @property
    def busiest_client_port(self) -> tuple[int, int]:
        """(a local port of the client, how many connections share it); (0, 0) where there are none."""
        counts = np.bincount(self.client["local_port"], minlength=1)
        port = int(counts.argmax())
        return (port, int(counts[port])) if len(self.client) else (0, 0)

    @property
    def server_ports(self) -> list[int]:
        return [int(port) for port in np.unique(self.server["local_port"])]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many sockets each end of a set of connections has, and how many the server has accepted."""

    client: int
    server: int
    accepted: int

    @classmethod
    def of(
        cls,
        tables: Iterable[Sockets],
        destinations: Destinations,
        sources: Ranges,
        ports: Ranges,
        but: Ends,
        each: Callable[[Sockets], None] = lambda clients: None,
    ) -> Self:
        """but: those that were there before are not counted; the others as Ends.of takes them. Keeps no table.

        each: is given the client's end of each table
        """
        client = server = accepted = 0
        for table in tables:
            is_client, is_server = _which(table, destinations, sources, ports)
            clients, servers = _without(table[is_client], but.client), _without(table[is_server], but.server)
            each(clients)
            client, server = client + len(clients), server + len(servers)
            accepted += _accepted(servers)
        return cls(client, server, accepted)


def _without(sockets: Sockets, others: Sockets) -> Sockets:
    """Not a new socket with the 4-tuple of an old one: that has another inode."""
    if not len(others):
        return sockets
    known = np.isin(_keys(sockets), _keys(others)) & np.isin(sockets["inode"], others["inode"])
    return sockets[~known]


def within(ports: NDArray[np.uint16], ranges: Ranges) -> NDArray[np.bool_]:
    """Which of these ports are in the ranges?"""
    inside = np.zeros(len(ports), bool)
    for part in ranges.parts:
        inside |= (ports >= part.start) & (ports <= part.stop - 1)
    return inside


def among(addresses: NDArray[np.void], ranges: Ranges) -> NDArray[np.bool_]:
    """Which of these packed addresses are, as integers of their own IP version, in the ranges?"""
    inside: NDArray[np.bool_] = numbers_among(addresses, ranges) >= 0
    return inside


def numbers_among(addresses: NDArray[np.void], ranges: Ranges) -> NDArray[np.int64]:
    """`ranges.index` of each of these packed addresses, modulo 2**63; −1 where it is not in them."""
    words = _words(addresses)
    is_mapped = is_ipv4(addresses)
    high, low = words[:, 0], np.where(is_mapped, words[:, 1] & 0xFFFFFFFF, words[:, 1])
    numbers = np.full(len(addresses), -1)
    mask, before = 2**64 - 1, 0
    for part in ranges.parts:
        first, last = part.start, part.stop - 1
        above = (high > first >> 64) | ((high == first >> 64) & (low >= first & mask))
        below = (high < last >> 64) | ((high == last >> 64) & (low <= last & mask))
        inside = above & below
        if inside.any():
            offset = low[inside] - np.uint64(first & mask)  # wraps at 2**64, as it should
            numbers[inside] = (offset + np.uint64(before & mask)) & np.uint64(2**63 - 1)
        before += part.stop - part.start
    return numbers


def destination_numbers(rows: Sockets, destinations: Destinations) -> NDArray[np.int64]:
    """Which of the destinations is the other end of each; −1: none."""
    numbers = np.full(len(rows), -1)
    for (addresses, ports), before in zip(destinations.parts, destinations.before, strict=False):
        address = numbers_among(rows["remote"], addresses)
        there = (address >= 0) & within(rows["remote_port"], ports)
        port = np.searchsorted(ports.table, rows["remote_port"][there])
        numbers[there] = before + address[there] * ports.size + port
    return numbers


def _which(
    table: Sockets, destinations: Destinations, sources: Ranges | None, ports: Ranges | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(which rows are the client's end, which the server's)"""
    is_client, is_server = np.zeros(len(table), bool), np.zeros(len(table), bool)
    for addresses, end_ports in destinations.parts:
        is_client |= within(table["remote_port"], end_ports) & among(table["remote"], addresses)
        is_server |= within(table["local_port"], end_ports) & among(table["local"], addresses)
    if sources is not None:
        is_client &= among(table["local"], sources)
        is_server &= among(table["remote"], sources)
    if ports is not None:
        is_client &= within(table["local_port"], ports)
        is_server &= within(table["remote_port"], ports)
    return is_client, is_server


def _accepted(server: Sockets) -> int:
    """Those that accept() has handed out: one still in the accept queue has no inode."""
    return int(np.count_nonzero(server["inode"]))


_KEY = np.dtype([("source", "V16"), ("source_port", "u2"), ("destination", "V16"), ("destination_port", "u2")])


def _keys(sockets: Sockets, *, swap: bool = False) -> NDArray[np.void]:
    """Each 4-tuple as 36 opaque bytes that sort and compare; `swap` writes the remote end first."""
    near, far = ("remote", "local") if swap else ("local", "remote")
    keys = np.empty(len(sockets), _KEY)
    keys["source"], keys["source_port"] = sockets[near], sockets[f"{near}_port"]
    keys["destination"], keys["destination_port"] = sockets[far], sockets[f"{far}_port"]
    return keys.view("V36")
