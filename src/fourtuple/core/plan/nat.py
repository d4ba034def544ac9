"""How many connections a NAT gateway has ports for: the vendors' rules as a table, with their sources.

A gateway needs one port of a public address for each connection, and can use the same port for another destination
(address, port and protocol). The budget is therefore ports × public addresses, per destination. A port stays in use
for some time after its connection has ended.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Router:
    """One vendor's rules.

    per_address:    connections of one public address to one destination
    most_addresses: public addresses that one gateway can have; None: no limit
    slices:         each machine has its own share of the ports, for all destinations
    quiet_s:        a connection without traffic loses its port after this time
    kept_s:         a port stays in use for this time after its connection closes; None: the vendor does not document it
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
LEAST_SLICE = 64  # ports that Google gives each machine by default


@dataclass(frozen=True, slots=True)
class NatBudget:
    """What a plan needs of a NAT gateway.

    each_address:     connections of one public address to the same destination
    each:             connections to the same destination, from all machines
    room:             connections to the same destination that the planned public addresses allow
    addresses_wanted: public addresses that are needed; None: more than one gateway can have
    slice_ports:      ports per machine that must be set, if each machine has its own share
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
    """The budget of one gateway. wanted: connections in total, spread equally over `destinations`, from `machines`"""
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
