"""How many TCP connections a set of addresses and ports allows, and which one is the i-th.

Two live connections may share any three of their four values, never all four, so the tuple space is a product:
source addresses x source ports x destinations. It is not 64k. It is never written out either: index arithmetic in
both directions stands for it, and a connection's identity is a number.

    i  =  (port * S + source) * D + destination        S source addresses, D destinations

Source ports turn slowest, so that early connections spread over all addresses and one unreachable destination shows
itself at once.
"""

import ipaddress
import itertools
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.errors import UsageError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

PORTS = range(1, 65536)  # Port 0 cannot be asked for: bind() reads it as "choose one" (ip(7)).
MOST_NUMBERED = 2**62  # sources, and destinations, that a block can tell apart by 64-bit columns


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One end of a connection. `str()` gives `10.0.0.4:80` or `[fd00::1]:80`, which `parse` reads back."""

    address: Address
    port: int

    def __post_init__(self) -> None:
        if self.port not in range(65536):
            raise UsageError(f"port {self.port}", "a port is a number from 0 to 65535")

    def __str__(self) -> str:
        host = str(self.address)
        return f"[{host}]:{self.port}" if self.address.version == 6 else f"{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises UsageError where `text` is not one address and one port."""
        spec = EndpointSpec.parse(text)
        if spec.ports is None or len(spec.ports) != 1:
            raise UsageError(f"an endpoint: {text!r}", "it needs exactly one port", "Write 127.0.0.1:8000.")
        return cls(parse_address(spec.host), spec.ports[0])


@dataclass(frozen=True, slots=True)
class FourTuple:
    source: Endpoint
    destination: Endpoint

    def __str__(self) -> str:
        return f"{self.source} → {self.destination}"


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """`HOST[:PORT[-PORT]]` as typed: the host may still be a name, or a range of addresses.

    ports: None where none was given
    """

    host: str
    ports: range | None

    @classmethod
    def parse(cls, text: str) -> Self:
        host, ports = text.strip(), None
        if host.startswith("["):
            host, bracket, rest = host[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                raise UsageError(f"an address: {text!r}", "the bracket is not closed", "Write [fd00::1]:8000.")
            ports = parse_ports(rest[1:], text) if rest else None
        elif host.count(":") == 1:
            host, _, rest = host.partition(":")
            ports = parse_ports(rest, text)
        if not host:
            raise UsageError(f"an address: {text!r}", "there is no address", "Write 127.0.0.1:8000.")
        return cls(host, ports)

    def with_port(self) -> str:
        """What was probably meant by a host without a port: `8000`, `::1:8000`, or any host at all."""
        if self.host.isdecimal():
            return f"127.0.0.1:{self.host}"
        address, _, last = self.host.rpartition(":")
        if ":" in address and last.isdecimal():
            return f"[{address.removesuffix(':') + '::' * address.endswith(':')}]:{last}"
        return f"[{self.host}]:8000" if ":" in self.host else f"{self.host}:8000"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host and self.ports else self.host
        return f"{host}:{Ranges([self.ports])}" if self.ports else host


def parse_ports(text: str, where: str) -> range:
    """`8000` or `8000-8019` → the range, last port included."""
    first, dash, last = text.partition("-")
    bounds = (first, last if dash else first)
    if not all(bound.isascii() and bound.isdecimal() for bound in bounds):
        raise UsageError(f"a port in {where!r}", f"{text!r} is not a number or a range", "Write 8000 or 8000-8019.")
    low, high = map(int, bounds)
    if low not in PORTS or high not in PORTS:
        raise UsageError(f"a port in {where!r}", f"{text} is outside 1 to 65535")
    if low > high:
        raise UsageError(f"a port range in {where!r}", f"{low} comes after {high}")
    return range(low, high + 1)


def parse_address(text: str) -> Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise UsageError(f"an address: {text!r}", "this is neither IPv4 nor IPv6") from None


def parse_addresses(text: str) -> tuple[int, range]:
    """`10.0.0.4`, `10.0.0.2-9`, `10.0.0.2-10.0.1.9`, `10.0.0.0/29`, `fd00::2-9` → IP version and addresses as integers.

    A network outside 127.0.0.0/8 stands for its hosts: without the network's own and the broadcast address.
    """
    if "/" in text:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError as error:
            raise UsageError(f"addresses: {text!r}", str(error)) from None
        first, last = int(network.network_address), int(network.broadcast_address)
        if network.version == 4 and network.prefixlen < 31 and not network.is_loopback:
            first, last = first + 1, last - 1
        return network.version, range(first, last + 1)
    low, dash, high = text.partition("-")
    start = parse_address(low)
    if not dash:
        return start.version, range(int(start), int(start) + 1)
    separator = ":" if start.version == 6 else "."
    end = parse_address(high if separator in high else low[: low.rindex(separator) + 1] + high)
    if end.version != start.version or int(end) < int(start):
        raise UsageError(f"addresses: {text!r}", f"{end} does not come after {start}")
    return start.version, range(int(start), int(end) + 1)


class Ranges:
    """A set of integers held as disjoint ascending ranges, with an index: `ranges[i]`, `ranges.index(value)`."""

    def __init__(self, parts: Iterable[range]) -> None:
        """Overlapping and touching ranges (of step 1) become one."""
        merged: list[range] = []
        for part in sorted((p for p in parts if p.start < p.stop), key=lambda p: p.start):
            if part.step != 1:
                raise ValueError(f"ranges have step 1, not {part.step}")
            if merged and part.start <= merged[-1].stop:
                merged[-1] = range(merged[-1].start, max(merged[-1].stop, part.stop))
            else:
                merged.append(part)
        self.parts = tuple(merged)
        self._before = list(itertools.accumulate((p.stop - p.start for p in merged), initial=0))

    @property
    def size(self) -> int:
        return self._before[-1]

    def __getitem__(self, index: int) -> int:
        if not 0 <= index < self.size:
            raise IndexError(index)
        part = bisect_right(self._before, index) - 1
        return self.parts[part].start + index - self._before[part]

    def index(self, value: int) -> int:
        """Raises ValueError where `value` is not among them."""
        part = bisect_right(self.parts, value, key=lambda p: p.start) - 1
        if part < 0 or value >= self.parts[part].stop:
            raise ValueError(f"{value} is not among them")
        return self._before[part] + value - self.parts[part].start

    def __contains__(self, value: int) -> bool:
        part = bisect_right(self.parts, value, key=lambda p: p.start) - 1
        return part >= 0 and value < self.parts[part].stop

    def __iter__(self) -> Iterator[int]:
        return itertools.chain.from_iterable(self.parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __repr__(self) -> str:
        return f"Ranges({list(self.parts)})"

    def __str__(self) -> str:
        return ",".join(f"{p.start}-{p.stop - 1}" if len(p) > 1 else f"{p.start}" for p in self.parts)

    @cached_property
    def table(self) -> NDArray[np.uint16]:
        """All of them written out; for ports."""
        return np.fromiter(self, np.uint16, self.size)

    def without(self, values: Iterable[int]) -> "Ranges":
        """The same set less `values`."""
        holes = sorted({value for value in values if value in self})
        parts: list[range] = []
        for part in self.parts:
            start = part.start
            for hole in holes[bisect_right(holes, part.start - 1) : bisect_right(holes, part.stop - 1)]:
                parts.append(range(start, hole))
                start = hole + 1
            parts.append(range(start, part.stop))
        return Ranges(parts)

    def split(self, indices: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """For each index the part it falls into, and how far into it."""
        if len(self.parts) == 1:
            return np.zeros(len(indices), np.intp), indices
        before = np.array(self._before[:-1], np.int64)
        part = np.searchsorted(before, indices, side="right") - 1
        return part, indices - before[part]


@dataclass(frozen=True, slots=True)
class Block:
    """4-tuples as columns, n rows each; addresses are packed in network byte order, w = 4 (IPv4) or 16 (IPv6) bytes.

    Port 0 in `source_port` leaves the choice to the kernel; source address 0 leaves that to the route.
    """

    source: NDArray[np.uint8]  # (n, w)
    source_port: NDArray[np.uint16]  # (n,)
    destination: NDArray[np.uint8]  # (n, w)
    destination_port: NDArray[np.uint16]  # (n,)

    def __len__(self) -> int:
        return len(self.source_port)

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
    """Endpoints as rectangles, addresses x ports each, that do not overlap: numbered one rectangle after the other."""

    parts: tuple[tuple[Ranges, Ranges], ...]

    @classmethod
    def of(cls, specs: Iterable[tuple[range, range]]) -> Self:
        """(addresses as integers, ports) each; what is named twice counts once."""
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
        return list(itertools.accumulate((addresses.size * ports.size for addresses, ports in self.parts), initial=0))

    @property
    def size(self) -> int:
        return self.before[-1]

    def __getitem__(self, index: int) -> tuple[int, int]:
        """(address, port) number `index`."""
        part = bisect_right(self.before, index) - 1
        addresses, ports = self.parts[part]
        address, port = divmod(index - self.before[part], ports.size)
        return addresses[address], ports[port]

    def index(self, address: int, port: int) -> int:
        """Raises ValueError where it is not among them."""
        for (addresses, ports), before in zip(self.parts, self.before, strict=False):
            if address in addresses and port in ports:
                return before + addresses.index(address) * ports.size + ports.index(port)
        raise ValueError("it is not among the destinations")


@dataclass(frozen=True)
class TupleSpace:
    """The product sources x ports x destinations, all of one IP version. Build one with `TupleSpace.of`.

    version:      4 or 6
    sources:      source addresses, as integers
    ports:        source ports each of them may use
    destinations: endpoints
    """

    version: int
    sources: Ranges
    ports: Ranges
    destinations: Destinations

    @classmethod
    def of(
        cls,
        sources: Sequence[str | Address],
        ports: range | Ranges,
        destinations: Sequence[str | Endpoint],
        reserved: Iterable[int] = (),
    ) -> Self:
        """`TupleSpace.of(["10.0.0.4"], range(32768, 61000), ["10.0.0.9:80-81"])`.

        sources:      addresses; text may also be a range or a network, see `parse_addresses`
        ports:        the source ports
        destinations: endpoints; text may also name a range of ports, and of addresses
        reserved:     ports to leave out (net.ipv4.ip_local_reserved_ports)

        Raises UsageError where a part is empty, unreadable or of another IP version.
        """
        source_parts = [parse_addresses(str(source)) for source in sources]
        ends: list[tuple[range, range]] = []
        versions = {version for version, _ in source_parts}
        for destination in destinations:
            spec = EndpointSpec.parse(str(destination))
            if spec.ports is None:
                raise UsageError(f"a destination: {destination}", "it has no port", "Write 10.0.0.9:8000-8019.")
            version, addresses = parse_addresses(spec.host)
            versions.add(version)
            ends.append((addresses, spec.ports))
        if not source_parts or not ends:
            raise UsageError("a tuple space", "it needs at least one source and one destination")
        if len(versions) > 1:
            raise UsageError("a tuple space", "its addresses mix IPv4 and IPv6", "Make one for each.")
        if isinstance(ports, range):
            ports = Ranges([ports])
        if ports.parts and (ports.parts[0].start not in PORTS or ports.parts[-1].stop - 1 not in PORTS):
            raise UsageError(f"source ports {ports}", "a port that can be asked for is a number from 1 to 65535")
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
    def size(self) -> int:
        """How many 4-tuples there are, exactly."""
        return self.ports.size * self.pairs

    def __iter__(self) -> Iterator[FourTuple]:
        return (self[i] for i in range(self.size))

    def __getitem__(self, index: int) -> FourTuple:
        """The 4-tuple number `index`. Raises IndexError outside 0 ≤ index < size."""
        if not 0 <= index < self.size:
            raise IndexError(f"4-tuple {index:,} of {self.size:,}")
        port, pair = divmod(index, self.pairs)
        source, destination = divmod(pair, self.destinations.size)
        address, destination_port = self.destinations[destination]
        return FourTuple(
            Endpoint(self.address(self.sources[source]), self.ports[port]),
            Endpoint(self.address(address), destination_port),
        )

    def index(self, four_tuple: FourTuple) -> int:
        """The number of `four_tuple`: `space[space.index(t)] == t`. Raises ValueError where it is not in the space."""
        source, destination = four_tuple.source, four_tuple.destination
        if {source.address.version, destination.address.version} != {self.version}:
            raise ValueError(f"{four_tuple} is not IPv{self.version}")
        pair = self.sources.index(int(source.address)) * self.destinations.size
        pair += self.destinations.index(int(destination.address), destination.port)
        return self.ports.index(source.port) * self.pairs + pair

    def block(self, start: int, stop: int) -> Block:
        """The 4-tuples start ≤ i < stop as columns, made on the fly. Raises IndexError outside the space.

        Raises OverflowError where sources or destinations are more than 2**62, which no 64-bit column can number.
        """
        if not 0 <= start <= stop <= self.size:
            raise IndexError(f"4-tuples {start:,} to {stop:,} of {self.size:,}")
        if max(self.sources.size, self.destinations.size) > MOST_NUMBERED:
            raise OverflowError(f"at most {MOST_NUMBERED:,} sources and destinations fit into columns")
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
        """The (source, destination) pairs with these numbers, source port 0: the kernel is to choose it.

        pairs: 0 ≤ number < self.pairs; the 4-tuple number i belongs to the pair i modulo self.pairs
        """
        source, destination = _divmod(pairs, self.destinations.size)
        return self._columns(source, destination, np.zeros(len(pairs), np.uint16))

    def without_ports(self, ports: Iterable[int]) -> Self:
        """The space that is left when these source ports cannot be used."""
        return replace(self, ports=self.ports.without(ports))

    def address(self, value: int) -> Address:
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
    """np.divmod for values ≥ 0 and one divisor; floor_divide by a scalar is the vectorised half of it."""
    quotient = values // divisor
    return quotient, values - quotient * divisor


def unpack_address(packed: bytes) -> Address:
    """4 or 16 bytes in network order → an address."""
    return ipaddress.IPv4Address(packed) if len(packed) == 4 else ipaddress.IPv6Address(packed)
