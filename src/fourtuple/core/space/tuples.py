"""How many TCP connections a set of addresses and ports allows, and which one is the i-th.

Two live connections may share any three of their four values, never all four. So the tuple space is a product, source
addresses x source ports x destinations, and not 64k. It is never stored: index arithmetic converts numbers to 4-tuples
and back, and a connection's identity is a number.

    i  =  (port * S + source) * D + destination        S source addresses, D destinations

The source port changes slowest, so the first connections cover all addresses, and an unreachable destination is noticed
at once.
"""

import ipaddress
import itertools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.backports import Self
from fourtuple.core.errors import UsageError
from fourtuple.core.record import dataclass
from fourtuple.core.space.endpoints import (
    PORTS,
    Address,
    Endpoint,
    EndpointSpec,
    FourTuple,
    parse_addresses,
    several,
    unpack_address,
)
from fourtuple.core.space.ranges import Ranges

MOST_NUMBERED = 2**62  # sources, or destinations, that the 64-bit columns of a block can number


@dataclass(frozen=True, slots=True)
class Block:
    """4-tuples as columns, n rows each; addresses are packed in network byte order, w = 4 (IPv4) or 16 (IPv6) bytes.

    With port 0 in `source_port` the kernel chooses the port; with source address 0 the route determines the address.
    """

    source: NDArray[np.uint8]  # (n, w)
    source_port: NDArray[np.uint16]  # (n,)
    destination: NDArray[np.uint8]  # (n, w)
    destination_port: NDArray[np.uint16]  # (n,)

    def __len__(self) -> int:
        return len(self.source_port)

    @property
    def is_explicit(self) -> bool:
        """Whether it names source ports."""
        return bool(self.source_port.any())

    def where(self, mask: NDArray[np.bool_]) -> "Block":
        """The rows for which `mask` is true."""
        return Block(self.source[mask], self.source_port[mask], self.destination[mask], self.destination_port[mask])

    def __getitem__(self, row: int) -> FourTuple:
        return FourTuple(
            Endpoint(unpack_address(self.source[row].tobytes()), int(self.source_port[row])),
            Endpoint(unpack_address(self.destination[row].tobytes()), int(self.destination_port[row])),
        )


@dataclass(frozen=True)
class Destinations:
    """Endpoints as disjoint rectangles of addresses x ports, numbered one rectangle after the other."""

    parts: tuple[tuple[Ranges, Ranges], ...]

    @classmethod
    def of(cls, specs: Iterable[tuple[range, range]]) -> Self:
        """Build from pairs of (addresses as integers, ports); an endpoint named twice counts once."""
        specs = list(specs)
        edges = sorted({edge for addresses, _ in specs for edge in (addresses.start, addresses.stop)})
        by_ports: dict[Ranges, list[range]] = {}
        for start, stop in itertools.pairwise(edges):
            ports = Ranges(ports for addresses, ports in specs if addresses.start <= start and stop <= addresses.stop)
            if ports.size:
                by_ports.setdefault(ports, []).append(range(start, stop))
        return cls(tuple((Ranges(addresses), ports) for ports, addresses in by_ports.items()))

    @cached_property
    def before(self) -> list[int]:
        """(parts + 1,): how many endpoints precede each part, and how many there are in total."""
        return list(itertools.accumulate((addresses.size * ports.size for addresses, ports in self.parts), initial=0))

    @property
    def size(self) -> int:
        return self.before[-1]

    def __getitem__(self, index: int) -> tuple[int, int]:
        """The endpoint with this number, as (address, port)."""
        part = bisect_right(self.before, index) - 1
        addresses, ports = self.parts[part]
        address, port = divmod(index - self.before[part], ports.size)
        return addresses[address], ports[port]

    def index(self, address: int, port: int) -> int:
        """The number of this endpoint. Raises ValueError if it is not among the destinations."""
        for (addresses, ports), before in zip(self.parts, self.before, strict=False):
            if address in addresses and port in ports:
                return before + addresses.index(address) * ports.size + ports.index(port)
        raise ValueError("the endpoint is not among the destinations")


@dataclass(frozen=True)
class TupleSpace:
    """The product sources x ports x destinations, all of one IP version. Build one with `TupleSpace.of`.

    version:      4 or 6
    sources:      source addresses, as integers
    ports:        source ports that each of these addresses may use
    destinations: endpoints
    """

    version: int
    sources: Ranges
    ports: Ranges
    destinations: Destinations

    @classmethod
    def of(
        cls,
        sources: str | Sequence[str | Address],
        ports: range | Ranges,
        destinations: str | Sequence[str | Endpoint],
        reserved: Iterable[int] = (),
    ) -> Self:
        """Build a space: `TupleSpace.of(["10.0.0.4"], range(32768, 61000), ["10.0.0.9:80-81"])`.

        sources:      addresses; text may also be a range or a network, see `parse_addresses`
        ports:        the source ports
        destinations: endpoints; text may also contain a range of ports and a range of addresses
        reserved:     ports to leave out (net.ipv4.ip_local_reserved_ports)

        Raises UsageError if sources or destinations are empty, a part is invalid, or the IP versions differ.
        """
        source_parts = [parse_addresses(str(source)) for source in several(sources)]
        ends: list[tuple[range, range]] = []
        versions = {version for version, _ in source_parts}
        for destination in several(destinations):
            spec = EndpointSpec.parse(str(destination))
            if spec.ports is None:
                raise UsageError(f"destination {destination}", "the port is missing", "Write 10.0.0.9:8000-8019.")
            version, addresses = parse_addresses(spec.host)
            versions.add(version)
            ends.append((addresses, spec.ports))
        if not source_parts or not ends:
            raise UsageError("tuple space", "at least one source and one destination are required")
        if len(versions) > 1:
            raise UsageError("tuple space", "its addresses mix IPv4 and IPv6", "Build one for each IP version.")
        if isinstance(ports, range):
            ports = Ranges([ports])
        if ports.parts and (ports.parts[0].start not in PORTS or ports.parts[-1].stop - 1 not in PORTS):
            raise UsageError(f"source ports {ports}", "source ports range from 1 to 65535")
        origins = Ranges(part for _, part in source_parts)
        return cls(versions.pop(), origins, ports.without(reserved), Destinations.of(ends))

    @classmethod
    def whole(cls, version: int) -> Self:
        """Every 4-tuple that fits into the headers, port 0 included: 2**96 for IPv4, 2**288 for IPv6."""
        addresses = Ranges([range(2 ** (32 if version == 4 else 128))])
        ports = Ranges([range(2**16)])
        return cls(version, addresses, ports, Destinations(((addresses, ports),)))

    @property
    def pairs(self) -> int:
        """How many (source address, destination) pairs there are; each has room for `ports.size` connections."""
        return self.sources.size * self.destinations.size

    @property
    def stays_on_loopback(self) -> bool:
        """Whether all 4-tuples have an address of 127.0.0.0/8 or ::1."""
        targets = [self.address(addresses.parts[0].start) for addresses, _ in self.destinations.parts]
        return self.address(self.sources[0]).is_loopback or all(target.is_loopback for target in targets)

    @property
    def size(self) -> int:
        """How many 4-tuples there are, exactly."""
        return self.ports.size * self.pairs

    def __iter__(self) -> Iterator[FourTuple]:
        return (self[i] for i in range(self.size))

    def __getitem__(self, index: int) -> FourTuple:
        """The 4-tuple with this number. Raises IndexError unless 0 ≤ index < size."""
        if not 0 <= index < self.size:
            raise IndexError(f"no 4-tuple {index:,} in a space of {self.size:,}")
        port, pair = divmod(index, self.pairs)
        source, destination = divmod(pair, self.destinations.size)
        address, destination_port = self.destinations[destination]
        return FourTuple(
            Endpoint(self.address(self.sources[source]), self.ports[port]),
            Endpoint(self.address(address), destination_port),
        )

    def index(self, four_tuple: FourTuple) -> int:
        """The number of `four_tuple`: `space[space.index(t)] == t`. Raises ValueError if it is not in the space."""
        source, destination = four_tuple.source, four_tuple.destination
        if {source.address.version, destination.address.version} != {self.version}:
            raise ValueError(f"{four_tuple} is not IPv{self.version}")
        pair = self.sources.index(int(source.address)) * self.destinations.size
        pair += self.destinations.index(int(destination.address), destination.port)
        return self.ports.index(source.port) * self.pairs + pair

    def block(self, start: int, stop: int) -> Block:
        """The 4-tuples start ≤ i < stop as columns, calculated on demand. Raises IndexError outside the space.

        Raises OverflowError for more than 2**62 sources or destinations, which 64-bit columns cannot number.
        """
        if not 0 <= start <= stop <= self.size:
            raise IndexError(f"no 4-tuples {start:,} to {stop:,} in a space of {self.size:,}")
        if max(self.sources.size, self.destinations.size) > MOST_NUMBERED:
            raise OverflowError(f"columns can number at most {MOST_NUMBERED:,} sources or destinations")
        # Mixed-radix addition: only the first index may be large, so it is split as a Python integer.
        first_port, first_pair = divmod(start, max(1, self.pairs))
        first_source, first_destination = divmod(first_pair, self.destinations.size)
        carry, destination = _divmod(
            np.arange(first_destination, first_destination + stop - start), self.destinations.size
        )
        carry += first_source
        carry, source = _divmod(carry, self.sources.size)
        carry += first_port
        return self._columns(source, destination, self.ports.table.take(carry))

    def pair_block(self, pairs: NDArray[np.int64]) -> Block:
        """The (source, destination) pairs with these numbers, with source port 0: the kernel chooses the port.

        pairs: 0 ≤ number < self.pairs; the 4-tuple number i belongs to the pair i modulo self.pairs
        """
        source, destination = _divmod(pairs, self.destinations.size)
        return self._columns(source, destination, np.zeros(len(pairs), np.uint16))

    def rows(self, numbers: NDArray[np.int64]) -> Block:
        """The 4-tuples with these numbers; the space must have fewer than 2**63."""
        port, pair = _divmod(numbers, self.pairs)
        source, destination = _divmod(pair, self.destinations.size)
        return self._columns(source, destination, self.ports.table.take(port))

    def without_ports(self, ports: Iterable[int]) -> Self:
        """The space without these source ports."""
        return replace(self, ports=self.ports.without(ports))

    def address(self, value: int) -> Address:
        """The integer as an address of the space's IP version."""
        return ipaddress.IPv4Address(value) if self.version == 4 else ipaddress.IPv6Address(value)

    def _columns(self, source: NDArray[np.int64], destination: NDArray[np.int64], port: NDArray[np.uint16]) -> Block:
        parts = self.destinations.parts
        if len(parts) == 1:
            columns = [self._part_columns(*parts[0], destination)]
            return Block(self._packed(self.sources, source), port, *columns[0])
        packed = np.empty((len(port), 4 if self.version == 4 else 16), np.uint8)
        ports = np.empty(len(port), np.uint16)
        for (addresses, part_ports), before, stop in zip(parts, *_bounds(self.destinations.before), strict=True):
            rows = (destination >= before) & (destination < stop)
            packed[rows], ports[rows] = self._part_columns(addresses, part_ports, destination[rows] - before)
        return Block(self._packed(self.sources, source), port, packed, ports)

    def _part_columns(
        self, addresses: Ranges, ports: Ranges, index: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        address, port = _divmod(index, ports.size)
        return self._packed(addresses, address), ports.table.take(port)

    def _packed(self, addresses: Ranges, index: NDArray[np.int64]) -> NDArray[np.uint8]:
        """The addresses with these numbers, (n, 4 or 16) bytes in network order."""
        if addresses.size == 1:
            packed = np.frombuffer(self.address(addresses[0]).packed, np.uint8)
            return np.broadcast_to(packed, (len(index), len(packed)))
        part, offset = addresses.split(index)
        starts = [p.start for p in addresses.parts]
        if self.version == 4:
            values = np.array(starts, np.int64)[part] + offset
            return values.astype(">u4").view(np.uint8).reshape(-1, 4)
        start_low = np.array([start & (2**64 - 1) for start in starts], np.uint64)[part]
        low = start_low + offset.view(np.uint64)  # wraps at 2**64, as it should
        high = np.array([start >> 64 for start in starts], np.uint64)[part] + (low < start_low)
        return np.column_stack((high, low)).astype(">u8").view(np.uint8)


def _bounds(before: list[int]) -> tuple[list[int], list[int]]:
    return before[:-1], before[1:]


def _divmod(values: NDArray[np.int64], divisor: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """np.divmod for values ≥ 0 and a scalar divisor; faster, because only floor_divide by a scalar is vectorised."""
    quotient = values // divisor
    return quotient, values - quotient * divisor
