"""How many connections a translating router has ports for: the vendors' rules as a table, with where they say so.

A router needs a port of a public address for each connection, and may use it again for another destination (address,
port and protocol). So the budget is ports × public addresses, for each destination. A port stays taken for a while
after its connection has ended, or has been quiet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Router:
    """per_address:    connections of one public address to one destination
    most_addresses: that one gateway can have; None: as many as you give it
    slices:         each machine has its own share of the ports, whatever the destination
    quiet_s:        a connection without traffic loses its port after that; None: 432,000 s, as established ones
    kept_s:         a port that is closed stays taken for that long; None: the vendor does not say
    """

    title: str
    per_address: int
    most_addresses: int | None
    slices: bool
    quiet_s: int
    kept_s: int | None
    source: str


ROUTERS: Mapping[str, Router] = MappingProxyType(
    {
        "aws": Router(
            "AWS NAT gateway", 55_000, 8, False, 350, None, "VPC user guide, NAT gateway basics; addresses by quota"
        ),
        "azure": Router(
            "Azure NAT Gateway", 50_000, 16, False, 240, None, "NAT gateway resource, performance; it has 64,512 ports"
        ),
        "gcp": Router("Google Cloud NAT", 64_512, None, True, 1200, 120, "Cloud NAT, IP addresses and ports"),
        "linux": Router(
            "Linux masquerade", 64_512, None, False, 432_000, 120, "net/netfilter/nf_nat_core.c: 1024-65535; measured"
        ),
    }
)
LEAST_SLICE = 64  # ports that Google gives each machine unless told otherwise


@dataclass(frozen=True, slots=True)
class NatBudget:
    """What a plan takes from a router.

    each_address:   connections of one public address to the same destination
    each:           connections to the same destination, from all machines
    room:           what the router's public addresses allow to it
    addresses_wanted: public addresses that it takes; None: more than one gateway can have
    slice_ports:    ports for each machine that must be set, where machines have their own
    """

    router: str
    title: str
    addresses: int
    each_address: int
    each: int
    room: int
    fits: bool
    addresses_wanted: int | None
    slice_ports: int | None
    quiet_s: int
    kept_s: int | None
    source: str


def nat_budget(name: str, addresses: int, wanted: int, destinations: int, machines: int) -> NatBudget:
    """wanted: connections in all, equally to `destinations`, from `machines` behind one router"""
    router = ROUTERS[name]
    each = -(-wanted // destinations)
    slice_ports = None
    if router.slices:
        # Ports of a machine's share serve every destination, so its share is what it wants of any one of them.
        slice_ports = max(LEAST_SLICE, -(-each // machines))
        machines_per_address = router.per_address // slice_ports
        room = slice_ports * machines_per_address * addresses
        needed = -(-machines // machines_per_address) if machines_per_address else None
    else:
        room = router.per_address * addresses
        needed = -(-each // router.per_address)
    if needed is not None and router.most_addresses is not None and needed > router.most_addresses:
        needed = None
    return NatBudget(
        router=name,
        title=router.title,
        addresses=addresses,
        each_address=router.per_address,
        each=each,
        room=room,
        fits=needed is not None and needed <= addresses,
        addresses_wanted=needed,
        slice_ports=slice_ports,
        quiet_s=router.quiet_s,
        kept_s=router.kept_s,
        source=router.source,
    )
