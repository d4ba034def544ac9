"""Connection tracking: tables that are full, packets dropped for it, and connections that NAT had no port for."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from fourtuple.core.doctor.patient import Patient, of_most, rank_of
from fourtuple.core.doctor.records import Trouble
from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.snapshot.records import HostNamespace
from fourtuple.core.units import format_count

MOST = "net.netfilter.nf_conntrack_max"
COUNT = "net.netfilter.nf_conntrack_count"
SOURCE = "Documentation/networking/nf_conntrack-sysctl.rst; net/netfilter/nf_conntrack_core.c (v6.18)"
UNTRACKED = Cure(
    "do not track what needs no tracking: a rule with `notrack` in the raw table",
    "NAT and stateful rules no longer see these connections",
    Needs.ROOT,
)
SHORTER = Cure(
    "sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=86400",
    "idle connections are forgotten after a day instead of five",
    Needs.ROOT,
)
FAILURES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "nf_conntrack.drop": (
            "packets were dropped because the connection tracking table was full",
            "the table is full",
        ),
        "nf_conntrack.early_drop": (
            "connection tracking forgot connections to make room for others",
            "the table was full, so unanswered connections were removed from it",
        ),
        "nf_conntrack.insert_failed": (
            "connections could not be entered into the tracking table, and their packets were dropped",
            "NAT had no port left for them, or two packets of one connection raced, as DNS queries of one socket do",
        ),
    }
)


def tracking(patient: Patient) -> Iterator[Trouble]:
    """The table of each namespace against nf_conntrack_max, and its failures."""
    for namespace in patient.now.namespaces.values():
        used, most = (patient.number(name, namespace) for name in (COUNT, MOST))
        rank = rank_of(used, most) if used is not None and most else None
        if rank is not None and used is not None and most:
            yield Trouble(
                key="conntrack",
                rank=rank,
                says=f"the connection tracking table has {of_most(used, most)} entries: packets of new connections are"
                " dropped when it is full",
                subject=patient.of_namespace(namespace),
                evidence=_parts(namespace) or (f"{COUNT} = {used}, {MOST} = {most}",),
                cause="more connections are tracked than the table may hold, many of them perhaps closed or idle",
                cures=_cures(most),
                source=SOURCE,
                used=used,
                most=most,
            )
        for name, (says, cause) in FAILURES.items():
            if (moved := patient.moved(name, namespace)) is None:
                continue
            times = patient.times(*moved)
            yield Trouble(
                key=f"conntrack-{name.partition('.')[2].replace('_', '-')}",
                rank=moved[0],
                says=f"{says}: {times}",
                subject=patient.of_namespace(namespace),
                evidence=(f"{name.partition('.')[2]} in /proc/net/stat/nf_conntrack: {times}", *_parts(namespace)),
                cause=cause,
                cures=_cures(most or 65536) if "insert" not in name else (ADDRESSES, UNTRACKED),
                source=SOURCE,
            )


ADDRESSES = Cure("give NAT more source addresses, or more ports (`masquerade to :1024-65535 random`)", "", Needs.ROOT)


def _cures(most: int) -> tuple[Cure, ...]:
    more = Cure(f"sysctl -w {MOST}={2 * most}", "an entry takes about 300 bytes of kernel memory", Needs.ROOT)
    return more, SHORTER, UNTRACKED


def _parts(namespace: HostNamespace) -> tuple[str, ...]:
    """The entries by protocol and zone, as far as they were counted."""
    parts = sorted(namespace.conntrack.items(), key=lambda each: -each[1])
    return (", ".join(f"{format_count(count)} {name}" for name, count in parts),) if parts else ()
