"""How connections lie on local ports, and on pairs of a source and a destination: folded from the kernel's table."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fourtuple.core.sockets.columns import numbers_among
from fourtuple.core.sockets.ends import destination_numbers
from fourtuple.core.sockets.table import Sockets
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.space.tuples import TupleSpace

BINS = 64  # pairs that are told one by one; of more, neighbours are counted together


def bins_of(pairs: int) -> int:
    return min(pairs, BINS)


def bin_bounds(pairs: int) -> list[int]:
    """The number of the first pair of each bin, and that behind the last one's last."""
    bins = bins_of(pairs)
    return [-(-number * pairs // bins) for number in range(bins + 1)] if bins else []


@dataclass(frozen=True, slots=True)
class PairUse:
    """source, destination: of the first of `pairs` neighbouring ones; source None: the one that the route gives"""

    source: str | None
    destination: str
    pairs: int
    used: int


@dataclass(frozen=True, slots=True)
class Sharing:
    """As the kernel lists the client's end.

    ports:    local ports in use
    carrying: connections on a local port → how many ports carry that many
    busiest:  the port that carries most
    usable:   ports that each pair may use
    """

    ports: int
    carrying: Mapping[int, int]
    busiest: int
    usable: int
    pairs: tuple[PairUse, ...]


class Spread:
    """Add tables of the client's end, then ask for the sharing.

    any_source: connections may come from other sources than the space's; then destinations alone are told apart
    """

    def __init__(self, space: TupleSpace, *, any_source: bool) -> None:
        self._space, self._any_source = space, any_source
        self._pairs = space.destinations.size if any_source else space.pairs
        self._bins = bins_of(self._pairs)
        self._by_port = np.zeros(65536, np.int64)
        self._by_bin = np.zeros(self._bins, np.int64)

    def add(self, clients: Sockets) -> None:
        """clients: rows towards the space's destinations"""
        self._by_port += np.bincount(clients["local_port"], minlength=65536)
        pair = destination_numbers(clients, self._space.destinations)
        if not self._any_source:
            pair += numbers_among(clients["local"], self._space.sources) * self._space.destinations.size
        self._by_bin += np.bincount(pair * self._bins // self._pairs, minlength=self._bins)

    def sharing(self) -> Sharing:
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
