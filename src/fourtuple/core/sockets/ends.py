"""The sockets of one set of connections, seen at their two ends: who holds which 4-tuple, and do both ends agree?"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.sockets.columns import among, numbers_among, within
from fourtuple.core.sockets.table import SOCKET, Sockets
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import Destinations


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
