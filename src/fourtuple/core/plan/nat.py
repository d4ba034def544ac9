"""How many connections a gateway on the path has ports for: the vendors' rules as a table, with their sources.

A gateway needs one port of a public address for each connection, and can use the same port for another destination
(address, port and protocol). The budget is therefore ports × public addresses, per destination. A port stays in use
for some time after its connection has closed, so that connections opened and closed continuously need rate × that time.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from fourtuple.core.backports import StrEnum
from fourtuple.core.record import dataclass

PORTS, KEPT = "nat.ports", "nat.kept"  # what --assume can fill in a row


class Share(StrEnum):
    """Whose the ports are."""

    ADDRESS = "address"  # a public address's, for all machines together
    SLICE = "slice"  # each machine has its own share of a public address
    MACHINE = "machine"  # each machine's, a fixed number


@dataclass(frozen=True, slots=True)
class Router:
    """One vendor's rules.

    ports:          of one public address, or of each machine if they are fixed (MACHINE); None: not published
    most_addresses: public addresses that one gateway can have; None: no limit
    quiet_s:        a connection without traffic loses its port after this time; None: it differs
    kept_s:         a port stays in use for this time after its connection closes; None: not documented
    source, url:    the vendor's document; read: the day on which it was read
    least:          the smallest share of a machine (SLICE)
    doubles:        shares are powers of two
    one_each:       a port serves one connection, whatever the destination
    by_pool:        ports of each machine, by how many machines there are at most; they multiply by public addresses
    note:           what else to know
    """

    title: str
    ports: int | None
    share: Share
    most_addresses: int | None
    quiet_s: int | None
    kept_s: int | None
    source: str
    url: str
    read: str
    least: int = 1
    doubles: bool = False
    one_each: bool = False
    by_pool: tuple[tuple[int, int], ...] = ()
    note: str = ""


_READ = "2026-11-29"
_GCP = "https://cloud.google.com/nat/docs/ports-and-addresses"
_AZURE = "https://learn.microsoft.com/azure"
ROUTERS: Mapping[str, Router] = MappingProxyType(
    {
        "aws": Router(
            "AWS NAT gateway",
            55_000,
            Share.ADDRESS,
            8,
            350,
            None,
            "VPC user guide, NAT gateway basics; addresses by quota",
            "https://docs.aws.amazon.com/vpc/latest/userguide/nat-gateway-basics.html",
            _READ,
        ),
        "aws-instance": Router(
            "connection tracking of an EC2 instance",
            None,
            Share.MACHINE,
            1,
            None,
            None,
            "EC2 user guide, Monitor network performance for ENA settings",
            "https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/monitoring-network-performance-ena.html",
            _READ,
            one_each=True,
            note="AWS does not publish the allowance of an instance type. On the instance, ethtool -S DEVICE shows"
            " conntrack_allowance_available, how many more it allows, and conntrack_allowance_exceeded",
        ),
        "azure": Router(
            "Azure NAT Gateway",
            50_000,
            Share.ADDRESS,
            16,
            240,
            65,
            "NAT gateway resource: performance, port reuse timers; it has 64,512 ports",
            f"{_AZURE}/nat-gateway/nat-gateway-resource",
            _READ,
            note="65 s after a FIN, 16 s after a RST",
        ),
        "azure-app-service": Router(
            "Azure App Service",
            128,
            Share.MACHINE,
            1,
            240,
            240,
            "App Service, Troubleshooting intermittent outbound connection errors",
            f"{_AZURE}/app-service/troubleshoot-intermittent-outbound-connection-errors",
            _READ,
            note="128 ports of each instance are preallocated; more may be given, and cannot be relied on",
        ),
        "azure-load-balancer": Router(
            "Azure Load Balancer, default SNAT",
            1024,
            Share.MACHINE,
            None,
            240,
            None,
            "Load Balancer, SNAT for outbound connections: default port allocation table",
            f"{_AZURE}/load-balancer/load-balancer-outbound-connections",
            _READ,
            by_pool=((50, 1024), (100, 512), (200, 256), (400, 128), (800, 64), (1000, 32)),
        ),
        "gcp": Router(
            "Google Cloud NAT",
            64_512,
            Share.SLICE,
            None,
            1200,
            120,
            "Cloud NAT, IP addresses and ports; timeouts",
            _GCP,
            _READ,
            least=64,
        ),
        "gcp-dynamic": Router(
            "Google Cloud NAT, dynamic port allocation",
            64_512,
            Share.SLICE,
            None,
            1200,
            120,
            "Cloud NAT, IP addresses and ports: dynamic port allocation; timeouts",
            _GCP,
            _READ,
            least=32,
            doubles=True,
            note="connections can fail while a machine's share is doubled",
        ),
        "gcp-independent": Router(
            "Google Cloud NAT, endpoint-independent mapping",
            64_512,
            Share.SLICE,
            None,
            1200,
            120,
            "Cloud NAT, IP addresses and ports: endpoint-independent mapping; timeouts",
            _GCP,
            _READ,
            least=64,
            one_each=True,
            note="a port belongs to one source address and port, so that different source ports share none",
        ),
        "linux": Router(
            "Linux masquerade",
            64_512,
            Share.ADDRESS,
            None,
            432_000,
            120,
            "net/netfilter/nf_nat_core.c, v6.18: 1024-65535; measured",
            "https://docs.kernel.org/networking/nf_conntrack-sysctl.html",
            _READ,
            note="nf_conntrack_max of that host counts the connections to all destinations",
        ),
    }
)


@dataclass(frozen=True, slots=True)
class NatBudget:
    """What a plan needs of a gateway.

    each_address:     connections of one public address, or of one machine, to the same destination; None: not published
    each:             ports for connections to the same destination, from all machines, closed ones included
    closing:          how many of these are of connections that have closed
    one_each:         a port serves one connection, whatever the destination
    room:             ports for the same destination that the planned public addresses have; None: unknown
    fits:             there are enough for certain
    unknown:          why that is not known; empty: it is
    addresses_wanted: public addresses that are needed; None: more than one gateway can have, or unknown
    slice_ports:      ports per machine that must be set, if each machine has its own share
    """

    router: str
    title: str
    share: Share
    one_each: bool
    addresses: int
    each_address: int | None
    each: int
    closing: int
    room: int | None
    fits: bool
    unknown: str
    addresses_wanted: int | None
    slice_ports: int | None
    quiet_s: int | None
    kept_s: int | None
    source: str
    url: str
    read: str
    note: str

    @property
    def lacks(self) -> bool:
        """There are certainly too few."""
        return not self.fits and not self.unknown


def nat_budget(
    name: str,
    addresses: int,
    wanted: int,
    destinations: int,
    machines: int,
    *,
    churn_per_s: float = 0.0,
    assumed: Mapping[str, int] = MappingProxyType({}),
) -> NatBudget:
    """The budget of one gateway.

    wanted:      connections in total, spread equally over `destinations`, from `machines`
    churn_per_s: connections that each machine opens and closes per second, spread equally too
    assumed:     PORTS and KEPT: values in place of the table's
    """
    router = ROUTERS[name]
    router = replace(router, ports=assumed.get(PORTS, router.ports), kept_s=assumed.get(KEPT, router.kept_s))
    if PORTS in assumed:
        router = replace(router, by_pool=())
    closed = math.ceil(churn_per_s * machines * (router.kept_s or 0))
    among = 1 if router.one_each else destinations
    each, closing = -(-(wanted + closed) // among), -(-closed // among)
    unknown = _unknown(router, machines, churn_per_s)
    each_address = next((ports for most, ports in router.by_pool if machines <= most), router.ports)
    room, needed, slice_ports = None, None, None
    if not unknown and each_address is not None:
        room, needed, slice_ports = _shared(router, each_address, addresses, each, machines)
    return NatBudget(
        router=name,
        title=router.title,
        share=router.share,
        one_each=router.one_each,
        addresses=addresses,
        each_address=each_address,
        each=each,
        closing=closing,
        room=room,
        fits=needed is not None and needed <= addresses,
        unknown=unknown,
        addresses_wanted=needed,
        slice_ports=slice_ports,
        quiet_s=router.quiet_s,
        kept_s=router.kept_s,
        source=router.source,
        url=router.url,
        read=router.read,
        note=router.note,
    )


def _unknown(router: Router, machines: int, churn_per_s: float) -> str:
    """Why the budget cannot be known; empty: it can."""
    if router.ports is None:
        return f"the number is not published (--assume {PORTS}=N)"
    if churn_per_s and router.kept_s is None:
        return f"how long a closed connection keeps its port is not documented (--assume {KEPT}=SECONDS)"
    if router.by_pool and machines > router.by_pool[-1][0]:
        return f"the documented sizes end at {router.by_pool[-1][0]:,} machines (--assume {PORTS}=N)"
    return ""


def _shared(router: Router, ports: int, addresses: int, each: int, machines: int) -> tuple[int, int | None, int | None]:
    """(the room, the public addresses that are needed, the share of a machine), as in NatBudget."""
    of_machine = -(-each // machines)
    if not ports:
        return 0, None, None
    if router.share is Share.MACHINE:
        most = router.by_pool[0][1] // ports if router.by_pool else 1  # addresses that add ports
        needed: int | None = -(-of_machine // ports)
        return ports * min(addresses, most) * machines, needed if needed and needed <= most else None, None
    if router.share is Share.SLICE:
        # Ports of a machine's share serve every destination, so its share is what it wants of any one of them.
        share = max(router.least, of_machine)
        share = 1 << (share - 1).bit_length() if router.doubles else share
        machines_per_address = ports // share
        needed = -(-machines // machines_per_address) if machines_per_address else None
        return share * machines_per_address * addresses, needed, share
    needed = -(-each // ports)
    return ports * addresses, needed if needed <= (router.most_addresses or needed) else None, None
