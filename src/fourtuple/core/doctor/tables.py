"""Tables of neighbours and routes that are full, packets that were dropped, and addresses that cannot be used."""

import ipaddress
from collections.abc import Iterator

from fourtuple.core.doctor.patient import Patient, of_most, rank_of, so
from fourtuple.core.doctor.records import Rank, Subject, Trouble
from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.limits.releases import ROUTES6_FREE, parse_release
from fourtuple.core.snapshot.records import HostAddress, HostNamespace

DROPS = (
    ("rx_missed_errors", "the network card had no room for packets", "ethtool -G {name} rx MAXIMUM"),
    ("rx_fifo_errors", "the network card's buffer overflowed", "ethtool -G {name} rx MAXIMUM"),
)


def neighbours(patient: Patient) -> Iterator[Trouble]:
    """The neighbours of all namespaces together against gc_thresh3; those that an administrator made do not count."""
    spaces = patient.now.namespaces.values()
    for version, family, counts, counter in (
        (4, "ipv4", [each.neighbours for each in spaces], "arp_cache.table_fulls"),
        (6, "ipv6", [each.neighbours6 for each in spaces], "ndisc_cache.table_fulls"),
    ):
        setting = f"net.{family}.neigh.default.gc_thresh3"
        used, most = sum(count or 0 for count in counts), patient.number(setting)
        cure = Cure(f"sysctl -w {setting}={4 * (most or 1024)}", "an entry takes about 400 bytes", Needs.ROOT)
        rank = rank_of(used, most) if most else None
        if rank is not None and most is not None:
            yield Trouble(
                key=f"neighbours{version}",
                rank=rank,
                says=f"the IPv{version} neighbour table of the host has {of_most(used, most)} entries: packets to new"
                " addresses of the local networks are dropped when it is full",
                subject=Subject(),
                evidence=(f"{setting} = {most}",),
                cause="more addresses on directly connected networks than the table may hold",
                cures=(cure,),
                source="Documentation/networking/ip-sysctl.rst, gc_thresh3; net/core/neighbour.c (v6.18)",
                used=used,
                most=most,
            )
        holder = next((each for each in spaces if counter in each.counters), None)
        moved = patient.moved(counter, holder) if holder else None
        if moved is not None:
            yield Trouble(
                key=f"neighbours{version}-full",
                rank=moved[0],
                says=f"the IPv{version} neighbour table was full: {patient.times(*moved)}",
                subject=Subject(),
                evidence=(f"{counter.replace('.', ': ')} {patient.times(*moved)}",),
                cause="more addresses on directly connected networks than the table may hold",
                cures=(cure,),
                source="net/core/neighbour.c, neigh_alloc() (v6.18)",
            )


def routes6(patient: Patient) -> Iterator[Trouble]:
    """IPv6 routes against net.ipv6.route.max_size, on kernels that it limits."""
    if ROUTES6_FREE.holds(parse_release(patient.now.kernel)):
        return
    for namespace in patient.now.namespaces.values():
        used, most = namespace.routes6, patient.number("net.ipv6.route.max_size", namespace)
        rank = rank_of(used, most) if used is not None and most else None
        if rank is None or used is None or most is None:
            continue
        yield Trouble(
            key="routes6",
            rank=rank,
            says=f"the IPv6 routing cache has {of_most(used, most)} entries"
            + so(rank, "connect() and sendto() {now}fail with ENETUNREACH or ENOMEM"),
            subject=patient.of_namespace(namespace),
            evidence=(f"net.ipv6.route.max_size = {most}",),
            cause="many IPv6 peers, or packets to unreachable addresses, each of which takes an entry",
            cures=(Cure(f"sysctl -w net.ipv6.route.max_size={16 * most}", "takes memory", Needs.ROOT),),
            source="Documentation/networking/ip-sysctl.rst, route/max_size (v6.1)",
            used=used,
            most=most,
        )


def drops(patient: Patient) -> Iterator[Trouble]:
    """Packets that were dropped before any socket: by the kernel's backlog, or by a network card."""
    if (moved := patient.moved("softnet_stat.dropped")) is not None:
        yield Trouble(
            key="softnet-drops",
            rank=moved[0],
            says=f"packets were dropped because a CPU's backlog was full: {patient.times(*moved)}",
            subject=Subject(),
            evidence=(f"second column of /proc/net/softnet_stat: {patient.times(*moved)}",),
            cause="packets arrived faster than the CPUs handled them",
            cures=(
                Cure("sysctl -w net.core.netdev_max_backlog=10000", "packets may wait longer", Needs.ROOT),
                Cure("spread the interrupts, or RPS, over more CPUs", "", Needs.ROOT),
            ),
            source="Documentation/admin-guide/sysctl/net.rst, netdev_max_backlog (v6.18)",
        )
    for namespace in patient.now.namespaces.values():
        names = [name for name in namespace.counters if name.endswith(tuple(each[0] for each in DROPS))]
        for name in names:
            interface, _, counter = name.rpartition(".")
            says, cure = next((each[1], each[2]) for each in DROPS if each[0] == counter)
            if (moved := patient.moved(name, namespace)) is None:
                continue
            yield Trouble(
                key="interface-drops",
                rank=moved[0],
                says=f"{says} at {interface}: {patient.times(*moved)}",
                subject=patient.of_namespace(namespace),
                evidence=(f"{interface} {counter}: {patient.times(*moved)}",),
                cause="packets arrived faster than the CPUs took them from the card",
                cures=(Cure(cure.format(name=interface), "the link may go down for a moment", Needs.ROOT),),
                source="Documentation/networking/statistics.rst, rtnl_link_stats64 (v6.18)",
            )


def addresses(patient: Patient) -> Iterator[Trouble]:
    """IPv6 addresses that another host has, or whose uniqueness is not checked yet: bind() to them fails."""
    for namespace in patient.now.namespaces.values():
        for address in namespace.addresses:
            if address.duplicate or (address.tentative and _stays(patient, namespace, address)):
                yield _unusable(patient, namespace, address)


def _stays(patient: Patient, namespace: HostNamespace, address: HostAddress) -> bool:
    """A tentative address that matters: not that of a link, which no program binds to, and not one of this moment."""
    if ipaddress.ip_address(address.address).is_link_local:
        return False
    earlier = patient.earlier(namespace)
    if earlier is None:
        return True
    return any(each.address == address.address and each.tentative for each in earlier.addresses)


def _unusable(patient: Patient, namespace: HostNamespace, address: HostAddress) -> Trouble:
    on, flag = f"{address.address} on {address.interface}", "dadfailed" if address.duplicate else "tentative"
    if address.duplicate:
        says, cause = f"{on} is a duplicate", "duplicate address detection found another host that has this address"
        cures: tuple[Cure, ...] = (Cure("give one of the two another address", "", Needs.ROOT),)
    else:
        says = f"{on} is tentative"
        cause = "duplicate address detection has not ended: it takes about 1 s, and cannot end without a link"
        cures = (
            Cure("wait until `ip -6 address show tentative` is empty before the program starts", "", Needs.NOTHING),
            Cure(
                f"sysctl -w net.ipv6.conf.{address.interface}.accept_dad=0, and add the address with `nodad`",
                "an address that two hosts have is not noticed",
                Needs.ROOT,
            ),
        )
    return Trouble(
        key="address-duplicate" if address.duplicate else "address-tentative",
        rank=Rank.FAILS,
        says=f"{says}: bind() and connect() from it fail with EADDRNOTAVAIL",
        subject=patient.of_namespace(namespace),
        evidence=(f"{address.address}/{address.prefix} has the flag {flag}",),
        cause=cause,
        cures=cures,
        source="RFC 4862, 5.4; net/ipv6/addrconf.c, ipv6_chk_addr() (v6.18)",
    )
