"""A lab as data: two hosts joined by a cable, and the `ip -batch` script that makes it so (ip(8))."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Port:
    """A network interface as its host sees it."""

    name: str
    addresses: tuple[ipaddress.IPv4Interface | ipaddress.IPv6Interface, ...]


@dataclass(frozen=True, slots=True)
class Cable:
    """A veth pair: what goes in at one end comes out at the other (veth(4))."""

    near: Port
    far: Port

    def connect(self, far_pid: int) -> Sequence[str]:
        """For the near host: make the pair, its far end in the namespace of process `far_pid`."""
        pair = f"link add {self.near.name} type veth peer name {self.far.name} netns {far_pid}"
        return (pair, *up(self.near))


def up(port: Port) -> Sequence[str]:
    """For the host of `port`: give it its addresses and switch it on."""
    return (*(f"address add {address} dev {port.name}" for address in port.addresses), f"link set {port.name} up")
