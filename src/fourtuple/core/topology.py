"""A lab as data: the cable that joins two hosts."""

import ipaddress

from fourtuple.core.record import dataclass


@dataclass(frozen=True, slots=True)
class Port:
    """A network interface as its host sees it."""

    name: str
    addresses: tuple[ipaddress.IPv4Interface | ipaddress.IPv6Interface, ...]


@dataclass(frozen=True, slots=True)
class Cable:
    """A veth pair: packets sent into one end come out at the other (veth(4))."""

    near: Port
    far: Port
