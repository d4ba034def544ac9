"""The sockets of one set of connections at their two ends: which 4-tuples exist, and whether both ends agree."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.backports import Self
from fourtuple.core.record import dataclass
from fourtuple.core.sockets.columns import among, distinct, is_wildcard, numbers_among, within
from fourtuple.core.sockets.table import SOCKET, Sockets
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import Destinations


@dataclass(frozen=True, slots=True)
class Ends:
    """The sockets of one set of connections at their two ends.

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
        """Select the sockets of both ends.

        sources, ports: only clients with these addresses (as integers) and local ports; None: any
        """
        client, server = [np.zeros(0, SOCKET)], [np.zeros(0, SOCKET)]
        for table in tables:
            is_client, is_server = _which(table, destinations, sources, ports)
            client.append(table[is_client])
            server.append(table[is_server])
        return cls(np.concatenate(client), np.concatenate(server))

    @property
    def accepted(self) -> int:
        """How many connections accept() has returned."""
        return _accepted(self.server)

    @property
    def distinct(self) -> int:
        """How many different 4-tuples the client sockets have."""
        return len(distinct(_keys(self.client)))

    @property
    def mirrored(self) -> int:
        """How many 4-tuples of client sockets also have a server socket."""
        return len(np.intersect1d(_keys(self.client), _keys(self.server, swap=True)))

    @property
    def busiest_client_port(self) -> tuple[int, int]:
        """(the local port with the most client sockets, how many); (0, 0): there are no client sockets."""
        counts = np.bincount(self.client["local_port"], minlength=1)
        port = int(counts.argmax())
        return (port, int(counts[port])) if len(self.client) else (0, 0)

    @property
    def server_ports(self) -> list[int]:
        """The local ports of the server sockets, ascending."""
        return [int(port) for port in distinct(self.server["local_port"])]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many sockets each end of a set of connections has, and how many of them the server has accepted."""

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
        """Count the sockets of both ends, table by table; no table is kept.

        but:  sockets that existed before, which are not counted
        each: called with the client sockets of each table

        Other arguments are as in Ends.of.
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
    """The sockets that are not in `others`. A new socket with the 4-tuple of an old one has another inode: it stays."""
    if not len(others):
        return sockets
    known = np.isin(_keys(sockets), _keys(others)) & np.isin(sockets["inode"], others["inode"])
    return sockets[~known]


def destination_numbers(rows: Sockets, destinations: Destinations) -> NDArray[np.int64]:
    """(rows,): the number of the destination at the remote end of each row; −1: none of them."""
    numbers = np.full(len(rows), -1)
    for (addresses, ports), before in zip(destinations.parts, destinations.before, strict=False):
        address = numbers_among(rows["remote"], addresses)
        there = (address >= 0) & within(rows["remote_port"], ports)
        port = np.searchsorted(ports.table, rows["remote_port"][there])
        numbers[there] = before + address[there] * ports.size + port
    return numbers


def serving(listeners: Sockets, destinations: Destinations) -> NDArray[np.bool_]:
    """(n,): which listeners accept connections to one of the destinations, also by listening on every address."""
    found = np.zeros(len(listeners), bool)
    for addresses, ports in destinations.parts:
        is_there = among(listeners["local"], addresses) | is_wildcard(listeners["local"])
        found |= within(listeners["local_port"], ports) & is_there
    return found


def of_servers(table: Sockets, destinations: Destinations) -> NDArray[np.bool_]:
    """(n,): which rows have one of the destinations as their local end."""
    found = np.zeros(len(table), bool)
    for addresses, ports in destinations.parts:
        found |= within(table["local_port"], ports) & among(table["local"], addresses)
    return found


def _which(
    table: Sockets, destinations: Destinations, sources: Ranges | None, ports: Ranges | None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(which rows are client sockets, which rows are server sockets)"""
    is_client, is_server = np.zeros(len(table), bool), of_servers(table, destinations)
    for addresses, end_ports in destinations.parts:
        is_client |= within(table["remote_port"], end_ports) & among(table["remote"], addresses)
    if sources is not None:
        is_client &= among(table["local"], sources)
        is_server &= among(table["remote"], sources)
    if ports is not None:
        is_client &= within(table["local_port"], ports)
        is_server &= within(table["remote_port"], ports)
    return is_client, is_server


def _accepted(server: Sockets) -> int:
    """How many sockets accept() has returned: a socket in the accept queue has no inode."""
    return int(np.count_nonzero(server["inode"]))


_KEY = np.dtype([("source", "V16"), ("source_port", "u2"), ("destination", "V16"), ("destination_port", "u2")])


def _keys(sockets: Sockets, *, swap: bool = False) -> NDArray[np.void]:
    """(n,): each 4-tuple as 36 opaque bytes that can be sorted and compared. swap: the remote end comes first"""
    near, far = ("remote", "local") if swap else ("local", "remote")
    keys = np.empty(len(sockets), _KEY)
    keys["source"], keys["source_port"] = sockets[near], sockets[f"{near}_port"]
    keys["destination"], keys["destination_port"] = sockets[far], sockets[f"{far}_port"]
    return keys.view("V36")
