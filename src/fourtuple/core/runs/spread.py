"""The distribution of connections over local ports and pairs of source and destination, from the kernel's table."""

from collections.abc import Mapping

import numpy as np

from fourtuple.core.record import dataclass
from fourtuple.core.sockets.columns import numbers_among
from fourtuple.core.sockets.ends import destination_numbers
from fourtuple.core.sockets.table import Sockets
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.space.tuples import TupleSpace

BINS = 64  # pairs counted individually; if there are more, neighbouring pairs share a bin


def bins_of(pairs: int) -> int:
    return min(pairs, BINS)


def bin_bounds(pairs: int, most: int = BINS) -> list[int]:
    """The number of the first pair of each bin, and finally the number of pairs; most: how many bins there may be"""
    bins = min(pairs, most)
    return [-(-number * pairs // bins) for number in range(bins + 1)] if bins else []


@dataclass(frozen=True, slots=True)
class PairUse:
    """Use of one pair, or of `pairs` neighbouring ones.

    source:      source address of the first pair; None: as the route determines
    destination: ADDRESS:PORT of the first pair
    used:        connections of all of them
    """

    source: str | None
    destination: str
    pairs: int
    used: int


@dataclass(frozen=True, slots=True)
class Sharing:
    """The distribution of connections over local ports, as the kernel lists the client's end.

    ports:    local ports in use
    carrying: number of connections on a port → number of local ports with that many
    busiest:  the local port with the most connections
    usable:   ports that each pair may use
    """

    ports: int
    carrying: Mapping[int, int]
    busiest: int
    usable: int
    pairs: tuple[PairUse, ...]


class Spread:
    """Adds up tables of the client's end, then gives the sharing.

    any_source: connections may come from sources outside the space; only destinations are distinguished then
    """

    def __init__(self, space: TupleSpace, *, any_source: bool) -> None:
        self._space, self._any_source = space, any_source
        self._pairs = space.destinations.size if any_source else space.pairs
        self._bins = bins_of(self._pairs)
        self._by_port = np.zeros(65536, np.int64)
        self._by_bin = np.zeros(self._bins, np.int64)

    def add(self, clients: Sockets) -> None:
        """Add a table.

        clients: rows towards the space's destinations
        """
        self._by_port += np.bincount(clients["local_port"], minlength=65536)
        pair = destination_numbers(clients, self._space.destinations)
        if not self._any_source:
            pair += numbers_among(clients["local"], self._space.sources) * self._space.destinations.size
        self._by_bin += np.bincount(pair * self._bins // self._pairs, minlength=self._bins)

    def sharing(self) -> Sharing:
        """The distribution of everything that was added."""
        used = np.flatnonzero(self._by_port)
        bounds = bin_bounds(self._pairs)
        connections, ports = np.unique(self._by_port[used], return_counts=True)
        return Sharing(
            ports=len(used),
            carrying=dict(zip(connections.tolist(), ports.tolist(), strict=True)),
            busiest=int(self._by_port.argmax()) if len(used) else 0,
            usable=self._space.ports.size,
            pairs=tuple(self._pair(*each) for each in zip(bounds, bounds[1:], self._by_bin.tolist(), strict=False)),
        )

    def _pair(self, first: int, stop: int, used: int) -> PairUse:
        source, destination = divmod(first, self._space.destinations.size)
        address, port = self._space.destinations[destination]
        return PairUse(
            None if self._any_source else str(self._space.address(self._space.sources[source])),
            str(Endpoint(self._space.address(address), port)),
            stop - first,
            used,
        )
