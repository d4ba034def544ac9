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
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.errors import UsageError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

PORTS = range(1, 65536)  # Port 0 cannot be asked for: bind() reads it as "choose one" (ip(7)).
MAX_ADDRESSES = 2**62  # Offsets into a set of addresses are 64-bit columns.


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
class TupleSpace:
    """The product sources x ports x destinations, all of one IP version.

    version:      4 or 6
    sources:      source addresses, as integers
    ports:        source ports each of them may use
    destinations: (address as an integer, its ports), each address once

    Build one with `TupleSpace.of`.
    """

    version: int
    sources: Ranges
    ports: Ranges
    destinations: tuple[tuple[int, Ranges], ...]

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
        destinations: endpoints; text may also name a range of ports
        reserved:     ports to leave out (net.ipv4.ip_local_reserved_ports)

        Raises UsageError where a part is empty, unreadable or of another IP version.
        """
        versions: set[int] = set()
        source_parts: list[range] = []
        for source in sources:
            version, addresses = parse_addresses(str(source))
            versions.add(version)
            source_parts.append(addresses)
        ends: dict[int, list[range]] = {}
        for destination in destinations:
            spec = EndpointSpec.parse(str(destination))
            if spec.ports is None:
                raise UsageError(f"a destination: {destination}", "it has no port", "Write 10.0.0.9:8000-8019.")
            address = parse_address(spec.host)
            versions.add(address.version)
            ends.setdefault(int(address), []).append(spec.ports)
        if not source_parts or not ends:
            raise UsageError("a tuple space", "it needs at least one source and one destination")
        if len(versions) > 1:
            raise UsageError("a tuple space", "its addresses mix IPv4 and IPv6", "Make one for each.")
        if isinstance(ports, range):
            ports = Ranges([ports])
        if ports.parts and (ports.parts[0].start not in PORTS or ports.parts[-1].stop - 1 not in PORTS):
            raise UsageError(f"source ports {ports}", "a port that can be asked for is a number from 1 to 65535")
        space = cls(
            versions.pop(),
            Ranges(source_parts),
            ports.without(reserved),
            tuple((address, Ranges(parts)) for address, parts in ends.items()),
        )
        if space.sources.size > MAX_ADDRESSES:
            raise UsageError(f"{space.sources.size:,} source addresses", f"at most {MAX_ADDRESSES:,} are possible")
        return space

    @property
    def pairs(self) -> int:
        """How many (source address, destination) pairs there are; each has room for `ports.size` connections."""
        return self.sources.size * self._destination_count

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
        source, destination = divmod(pair, self._destination_count)
        part = bisect_right(self._destinations_before, destination) - 1
        address, ports = self.destinations[part]
        return FourTuple(
            Endpoint(self.address(self.sources[source]), self.ports[port]),
            Endpoint(self.address(address), ports[destination - self._destinations_before[part]]),
        )

    def index(self, four_tuple: FourTuple) -> int:
        """The number of `four_tuple`: `space[space.index(t)] == t`. Raises ValueError where it is not in the space."""
        source, destination = four_tuple.source, four_tuple.destination
        if {source.address.version, destination.address.version} != {self.version}:
            raise ValueError(f"{four_tuple} is not IPv{self.version}")
        for (address, ports), before in zip(self.destinations, self._destinations_before, strict=False):
            if address == int(destination.address):
                pair = self.sources.index(int(source.address)) * self._destination_count + before
                return self.ports.index(source.port) * self.pairs + pair + ports.index(destination.port)
        raise ValueError(f"{destination} is not a destination of the space")

    def block(self, start: int, stop: int) -> Block:
        """The 4-tuples start ≤ i < stop as columns, made on the fly. Raises IndexError outside the space."""
        if not 0 <= start <= stop <= self.size:
            raise IndexError(f"4-tuples {start:,} to {stop:,} of {self.size:,}")
        if start == stop:
            return self._columns(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint16))
        # Mixed-radix addition: only the first index may be large, so it is split as a Python integer.
        first_port, first_pair = divmod(start, self.pairs)
        first_source, first_destination = divmod(first_pair, self._destination_count)
        carry, destination = _divmod(
            np.arange(first_destination, first_destination + stop - start), self._destination_count
        )
        carry += first_source
        carry, source = _divmod(carry, self.sources.size)
        carry += first_port
        return self._columns(source, destination, self._port_table.take(carry))

    def pair_block(self, pairs: NDArray[np.int64]) -> Block:
        """The (source, destination) pairs with these numbers, source port 0: the kernel is to choose it.

        pairs: 0 ≤ number < self.pairs; the 4-tuple number i belongs to the pair i modulo self.pairs
        """
        source, destination = _divmod(pairs, self._destination_count)
        return self._columns(source, destination, np.zeros(len(pairs), np.uint16))

    @cached_property
    def _destinations_before(self) -> list[int]:
        return list(itertools.accumulate((ports.size for _, ports in self.destinations), initial=0))

    @property
    def _destination_count(self) -> int:
        return self._destinations_before[-1]

    @cached_property
    def _port_table(self) -> NDArray[np.uint16]:
        return np.fromiter(self.ports, np.uint16, self.ports.size)

    @cached_property
    def _destination_table(self) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        packed = self._pack([address for address, _ in self.destinations])
        counts = [ports.size for _, ports in self.destinations]
        ports = itertools.chain.from_iterable(ports for _, ports in self.destinations)
        return np.repeat(packed, counts, axis=0), np.fromiter(ports, np.uint16, sum(counts))

    def without_ports(self, ports: Iterable[int]) -> Self:
        """The space that is left when these source ports cannot be used."""
        return replace(self, ports=self.ports.without(ports))

    def address(self, value: int) -> Address:
        return ipaddress.IPv4Address(value) if self.version == 4 else ipaddress.IPv6Address(value)

    def _pack(self, addresses: Sequence[int]) -> NDArray[np.uint8]:
        width = 4 if self.version == 4 else 16
        packed = b"".join(address.to_bytes(width, "big") for address in addresses)
        return np.frombuffer(packed, np.uint8).reshape(-1, width)

    def _columns(self, source: NDArray[Any], destination: NDArray[Any], port: NDArray[np.uint16]) -> Block:
        addresses, ports = self._destination_table
        return Block(self._packed_sources(source), port, addresses.take(destination, axis=0), ports.take(destination))

    def _packed_sources(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        if self.sources.size == 1:
            return np.broadcast_to(self._pack([self.sources[0]]), (len(indices), 4 if self.version == 4 else 16))
        part, offset = self.sources.split(indices)
        starts = [p.start for p in self.sources.parts]
        if self.version == 4:
            values = np.array(starts, np.int64)[part] + offset
            return values.astype(">u4").view(np.uint8).reshape(-1, 4)
        start_low = np.array([start & (2**64 - 1) for start in starts], np.uint64)[part]
        low = start_low + offset.view(np.uint64)  # wraps at 2**64, as it should
        high = np.array([start >> 64 for start in starts], np.uint64)[part] + (low < start_low)
        return np.column_stack((high, low)).astype(">u8").view(np.uint8)


def _divmod(values: NDArray[np.int64], divisor: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """np.divmod for values ≥ 0 and one divisor; floor_divide by a scalar is the vectorised half of it."""
    quotient = values // divisor
    return quotient, values - quotient * divisor


def pack_address(address: Address) -> NDArray[np.uint8]:
    return np.frombuffer(address.packed, np.uint8)


def unpack_address(packed: bytes) -> Address:
    """4 or 16 bytes in network order → an address."""
    return ipaddress.IPv4Address(packed) if len(packed) == 4 else ipaddress.IPv6Address(packed)
