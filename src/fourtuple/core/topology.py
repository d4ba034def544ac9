"""A lab as data: two hosts joined by a cable, and the `ip -batch` script that creates it (ip(8))."""

import ipaddress
from collections.abc import Sequence

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

    def connect(self, far_pid: int) -> Sequence[str]:
        """Commands for the near host: create the pair, with its far end in the namespace of process `far_pid`."""
        pair = f"link add {self.near.name} type veth peer name {self.far.name} netns {far_pid}"
        return (pair, *up(self.near))


def up(port: Port) -> Sequence[str]:
    """Commands for the host of `port`: assign its addresses and bring it up."""
    return (*(f"address add {address} dev {port.name}" for address in port.addresses), f"link set {port.name} up")
