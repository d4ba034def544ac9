"""The filter of a census: connections to some destinations, from some sources."""

import ipaddress
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.backports import Self
from fourtuple.core.errors import UsageError
from fourtuple.core.record import dataclass
from fourtuple.core.sockets.columns import among, is_ipv4, within
from fourtuple.core.space.endpoints import EndpointSpec, parse_addresses, parse_ports
from fourtuple.core.space.ranges import Ranges

MASK = 2**32 - 1
EVERY_ADDRESS: Mapping[int, range] = MappingProxyType({4: range(2**32), 6: range(2**128)})


def is_port(text: str) -> bool:
    """Whether the text is a port alone: `:80`, but not `::1`."""
    return text.startswith(":") and text[1:2].isdecimal()


@dataclass(frozen=True, slots=True)
class EndpointRange:
    """A range of addresses of one IP version, as integers, with a range of ports."""

    version: int
    addresses: range
    ports: range

    @classmethod
    def parse(cls, text: str) -> tuple[Self, ...]:
        """Parse a filter; a port alone gives one range for each IP version. Raises UsageError.

        text: `10.0.0.9`, `10.0.0.9:80-81`, `10.0.0.2-9:80`, `10.0.0.0/24`, `[fd00::9]:80`, or `:80` for any address

        A network means all its addresses.
        """
        text = text.removeprefix("*")
        if is_port(text):
            ports = parse_ports(text[1:], text)
            return tuple(cls(version, addresses, ports) for version, addresses in EVERY_ADDRESS.items())
        spec = EndpointSpec.parse(text)
        try:
            version, addresses = parse_addresses(spec.host)
        except UsageError as error:
            raise UsageError(
                error.wanted, error.stopped_by, "Write 10.0.0.9, 10.0.0.9:80, 10.0.0.0/24 or :80."
            ) from None
        if "/" in spec.host:
            network = ipaddress.ip_network(spec.host, strict=False)
            addresses = range(int(network.network_address), int(network.broadcast_address) + 1)
        first, last = addresses.start, addresses.stop - 1  # len() and [-1] fail above 2**63
        if version == 6 and first >> 32 == last >> 32 == 0xFFFF:  # ::ffff:10.0.0.9, as ss shows it
            version, addresses = 4, range(first & MASK, (last & MASK) + 1)
        return (cls(version, addresses, spec.ports or range(65536)),)

    def has(self, addresses: NDArray[np.void]) -> NDArray[np.bool_]:
        """(n,): which of these packed addresses, IPv4 in its mapped form, are in the range."""
        found: NDArray[np.bool_] = is_ipv4(addresses) == (self.version == 4)
        return found & among(addresses, Ranges([self.addresses]))


@dataclass(frozen=True, slots=True)
class Where:
    """Which connections count: those to any of `to`, from any of `sources`; an empty tuple means all.

    Build one with `Where.parse`.
    """

    to: tuple[EndpointRange, ...] = ()
    sources: tuple[EndpointRange, ...] = ()

    @classmethod
    def parse(cls, to: Sequence[str], sources: Sequence[str]) -> Self:
        """Parse each text as `EndpointRange.parse` does; a source must have no port. Raises UsageError."""
        for text in sources:
            if is_port(text) or EndpointSpec.parse(text).ports:
                raise UsageError(f"--from {text}", "a source address is counted over all its ports", "Omit the port.")
        parts = [[part for text in texts for part in EndpointRange.parse(text)] for texts in (to, sources)]
        return cls(tuple(parts[0]), tuple(parts[1]))

    @property
    def is_possible(self) -> bool:
        """Whether any connection can pass: none has IPv4 at one end and IPv6 at the other."""
        to, sources = ({part.version for part in side} for side in (self.to, self.sources))
        return not (to and sources) or bool(to & sources)

    def has(
        self, source: NDArray[np.void], destination: NDArray[np.void], port: NDArray[np.uint16]
    ) -> NDArray[np.bool_]:
        """(n,): which of these connections pass the filter; addresses are packed."""
        found = np.ones(len(source), bool)
        if self.to:
            found &= np.any([part.has(destination) & within(port, Ranges([part.ports])) for part in self.to], axis=0)
        if self.sources:
            found &= np.any([part.has(source) for part in self.sources], axis=0)
        return found


EVERYWHERE = Where()
