"""Source ports: which source and destination have none left, what holds them, and which are about to run out.

The numbers are those of `census`: ports that connect() can choose, for each source address and destination.
"""

from collections import Counter as Tally
from collections.abc import Iterator

import numpy as np

from fourtuple.core.census.usage import Usage
from fourtuple.core.census.view import left_of
from fourtuple.core.doctor.holding import MOSTLY, RANGE, RESERVED, WIDER, cause_of, churn_cures, held, in_states, wider
from fourtuple.core.doctor.patient import NEAR_SHARE, Patient, of_most, rank_of, so
from fourtuple.core.doctor.records import Rank, Trouble
from fourtuple.core.limits.cures import Cure, Needs, at_hand_first
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.time_wait import TIME_WAIT_S
from fourtuple.core.record import dataclass
from fourtuple.core.snapshot.records import HostNamespace
from fourtuple.core.sockets.columns import Mask, Numbers
from fourtuple.core.sockets.filter import EVERYWHERE
from fourtuple.core.sockets.table import State
from fourtuple.core.units import format_count, format_duration, format_rate, format_things

MOST_PAIRS = 3  # of one namespace that are reported one by one
CHURN_SHARE = 0.5  # of the ports in TIME_WAIT: a rate is not judged before
WINDOWS_S = ((0, 10), (10, 20), (20, 30))  # ages in TIME_WAIT: a rate that lasted through all three is no burst
SOURCE = "net/ipv4/inet_hashtables.c, __inet_hash_connect() (v6.18)"
FREE = Cure(
    "let connect() choose the port: no bind() before it, or IP_BIND_ADDRESS_NO_PORT",
    "to one destination it gains nothing if all its ports are in use",
    Needs.CODE,
)


@dataclass(frozen=True, eq=False, slots=True)
class Crowd:
    """The sockets of a namespace whose ports are in question."""

    namespace: HostNamespace
    facts: PortFacts
    usage: Usage

    def pair(self, number: int) -> Mask:
        """(sockets,): those of this pair, which were opened here."""
        sockets, row = self.namespace.sockets, self.usage.pairs[number]
        of_pair: Mask = sockets["local"] == row["source"]
        of_pair &= (sockets["remote"] == row["destination"]) & (sockets["remote_port"] == row["port"])
        return of_pair

    def holders(self, sockets: Mask) -> Tally[int]:
        """How many of these sockets each process has; 0 and -1: none that is known."""
        pids = self.namespace.socket_pids
        if len(pids) != len(self.namespace.sockets):
            return Tally()
        values, counts = np.unique(pids[sockets], return_counts=True)
        return Tally(dict(zip(values.tolist(), counts.tolist(), strict=True)))


def source_ports(patient: Patient) -> Iterator[Trouble]:
    """Pairs of source and destination that have no port left, or few; and those that will run out at this rate."""
    for namespace in patient.now.namespaces.values():
        facts = namespace.ports
        if facts is None:
            continue
        automatic = facts.automatic_ports.size
        if not automatic:
            yield _all_reserved(patient, namespace, facts)
            continue
        # Ports that pairs and bind() take are those of sockets, so with fewer sockets none can be short.
        own = _inside(namespace.sockets["local_port"], facts) + _inside(namespace.listeners["local_port"], facts)
        if own < min(NEAR_SHARE, CHURN_SHARE) * automatic:
            continue
        usage = Usage.of([namespace.sockets], namespace.listeners, facts, EVERYWHERE)
        crowd = Crowd(namespace, facts, usage)
        yield from _held(patient, crowd)
        yield from _pairs(patient, crowd)


def _inside(ports: Numbers, facts: PortFacts) -> int:
    return int(((ports >= facts.port_range.start) & (ports < facts.port_range.stop)).sum())


def _all_reserved(patient: Patient, namespace: HostNamespace, facts: PortFacts) -> Trouble:
    return Trouble(
        key="reserved-ports",
        rank=Rank.FAILS,
        says="every port of the range is reserved: connect() fails with EADDRNOTAVAIL",
        subject=patient.of_namespace(namespace),
        evidence=(f"{RANGE} = {_span(facts.port_range)}", f"{RESERVED} = {facts.reserved_ports}"),
        cause="the reservation covers the whole range",
        cures=(Cure(f"reserve fewer ports: sysctl -w {RESERVED}=…", "", Needs.ROOT), WIDER),
        source="Documentation/networking/ip-sysctl.rst, ip_local_reserved_ports (v6.18)",
        used=len(facts.port_range),
        most=len(facts.port_range),
    )


def _held(patient: Patient, crowd: Crowd) -> Iterator[Trouble]:
    """Ports that no connect() can choose, since bind() or listen() has them."""
    usage, facts, namespace = crowd.usage, crowd.facts, crowd.namespace
    blocked, automatic = usage.blocked, facts.automatic_ports.size
    rank = rank_of(blocked, automatic)
    if rank is None:
        return
    bound = usage.bound & usage.automatic
    holders = crowd.holders(bound[namespace.sockets["local_port"]])
    if len(namespace.listener_pids) == len(namespace.listeners):
        mine = bound[namespace.listeners["local_port"]]
        holders.update(namespace.listener_pids[mine].tolist())
    yield Trouble(
        key="bound-ports",
        rank=rank,
        says=f"bind() and listen() hold {of_most(blocked, automatic)} source ports: connect() can choose none of them,"
        " for any destination",
        subject=patient.of_namespace(namespace, _first(holders)),
        evidence=_facts_about(patient, facts, holders),
        cause="a program calls bind() before connect(), or many listeners are inside the range",
        cures=at_hand_first((FREE, *wider(facts)), root=patient.now.uid == 0),
        source=SOURCE,
        used=blocked,
        most=automatic,
    )


def _pairs(patient: Patient, crowd: Crowd) -> Iterator[Trouble]:
    usage = crowd.usage
    usable = usage.usable
    if not usable:
        return
    order = usage.worst()
    order = order[~usage.pairs["is_server"][order]]
    taken = usage.pairs["taken"][order].astype(np.int64)
    short = order[taken >= NEAR_SHARE * usable]
    for pair in short[:MOST_PAIRS].tolist():
        yield _short(patient, crowd, pair, len(short))
    waiting = usage.pairs["time_wait"][order].astype(np.int64)
    for pair in order[(taken < NEAR_SHARE * usable) & (waiting >= CHURN_SHARE * usable)][:MOST_PAIRS].tolist():
        yield from _churning(patient, crowd, pair)


def _short(patient: Patient, crowd: Crowd, pair: int, several: int) -> Trouble:
    """several: how many pairs of the namespace are short of ports"""
    usage, facts, row = crowd.usage, crowd.facts, crowd.usage.pairs[pair]
    usable, taken = usage.usable, int(row["taken"])
    left = left_of(usable - taken, int(usage.unsure[pair]))
    rank = rank_of(taken, usable) or Rank.NEAR
    mine = crowd.pair(pair)
    holders = crowd.holders(mine)
    connections = held(patient, crowd.namespace, facts, mine)
    cause, cures = cause_of(connections)
    evidence = [f"{in_states(connections.states)} on {format_count(usable)} usable ports"]
    evidence += [*_facts_about(patient, facts, holders), *connections.evidence]
    if several > 1:
        evidence.append(f"{format_count(several)} pairs of this namespace are short of ports")
    ends = f"{usage.source(pair)} to {usage.destination(pair)}"
    says = f"no source port is left from {ends}: connect() fails with EADDRNOTAVAIL"
    if rank is Rank.NEAR:
        says = f"{of_most(taken, usable)} source ports from {ends} are taken; {left} are left"
    return Trouble(
        key="source-ports",
        rank=rank,
        says=says,
        subject=patient.of_namespace(crowd.namespace, _first(holders) or connections.pid_that_leaks),
        evidence=tuple(evidence),
        cause=cause,
        cures=at_hand_first(cures, root=patient.now.uid == 0),
        source=SOURCE,
        used=taken,
        most=usable,
    )


def _churning(patient: Patient, crowd: Crowd, pair: int) -> Iterator[Trouble]:
    """A pair that will be short of ports if connections go on being closed as in the last 30 s."""
    usage, facts, usable = crowd.usage, crowd.facts, crowd.usage.usable
    waits = usage.in_state(State.TIME_WAIT)
    ages = waits["age_s"][waits["pair"] == pair]
    per_s = min(int(((ages >= low) & (ages < high)).sum()) / (high - low) for low, high in WINDOWS_S)
    row = usage.pairs[pair]
    alive = sum(int(row[name]) for name in ("established", "close_wait", "other"))
    kept = int(row["taken"]) >= MOSTLY * (alive + int(row["time_wait"]))  # otherwise connect() may reuse them
    if not kept or alive + per_s * TIME_WAIT_S < usable:
        return
    left_s = (usable - int(row["taken"])) / per_s
    mine = crowd.pair(pair)
    holders = crowd.holders(mine)
    yield Trouble(
        key="churn",
        rank=Rank.GROWS,
        says=f"source ports from {usage.source(pair)} to {usage.destination(pair)} will run out within"
        f" {format_duration(min(left_s, TIME_WAIT_S))}: {format_rate(per_s)} are closed here, and each keeps its port"
        " for 60 s",
        subject=patient.of_namespace(crowd.namespace, _first(holders)),
        evidence=(
            f"{format_count(int(row['time_wait']))} in TIME_WAIT, {format_count(alive)} others, on"
            f" {format_count(usable)} usable ports",
            *_facts_about(patient, facts, holders),
        ),
        cause="this end closes connections faster than TIME_WAIT gives ports back",
        cures=at_hand_first(churn_cures(held(patient, crowd.namespace, facts, mine)), root=patient.now.uid == 0),
        source="include/net/tcp.h, TCP_TIMEWAIT_LEN (v6.18)",
        used=int(row["taken"]),
        most=usable,
    )


def close_waits(patient: Patient) -> Iterator[Trouble]:
    """Programs that do not close what the other end has closed: sockets in CLOSE_WAIT, by process."""
    for namespace in patient.now.namespaces.values():
        sockets, pids = namespace.sockets, namespace.socket_pids
        left = sockets["state"] == State.CLOSE_WAIT
        if not left.any() or len(pids) != len(sockets):
            continue
        if patient.before is not None:  # with two looks, only those that are still there count
            earlier = patient.earlier(namespace)
            was = earlier.sockets if earlier else sockets[:0]
            left &= np.isin(sockets["cookie"], was["cookie"][was["state"] == State.CLOSE_WAIT])
        for pid, count in zip(*(each.tolist() for each in np.unique(pids[left], return_counts=True)), strict=True):
            if pid > 0:
                yield from _leaking(patient, namespace, pid, count, int((pids == pid).sum()))


LEAK_SHARE = 0.1  # of the soft limit of files: a program that is slow to close has fewer


def _leaking(patient: Patient, namespace: HostNamespace, pid: int, count: int, sockets: int) -> Iterator[Trouble]:
    process = patient.now.processes.get(pid)
    soft = process.files_soft if process else None
    if not soft or count < LEAK_SHARE * soft or count < MOSTLY * sockets:
        return
    name = process.name if process else "process"
    yield Trouble(
        key="close-wait",
        rank=Rank.GROWS,
        says=f"{name} ({pid}) has {format_things(count, 'connection')} in CLOSE_WAIT: it does not close what the other"
        " end has closed",
        subject=patient.of_namespace(namespace, pid),
        evidence=(
            f"{of_most(count, sockets)} of its connections are in CLOSE_WAIT",
            f"they are {round(100 * count / soft)} % of its {format_things(soft, 'file')}",
        ),
        cause="the program leaks connections; each holds a file and a source port until the process ends",
        cures=(
            Cure("restart the program: its sockets are closed then", "its connections end", Needs.RESTART),
            Cure("let it close the socket when recv() returns 0 bytes", "", Needs.CODE),
        ),
        source="RFC 9293, 3.3.2; tcp(7)",
        used=count,
        most=soft,
    )


def udp_ports(patient: Patient) -> Iterator[Trouble]:
    """UDP sockets with a port of the range: a socket that asks for no port gets one that no other socket has."""
    for namespace in patient.now.namespaces.values():
        facts = namespace.ports
        if facts is None or namespace.udp_ports is None:
            continue
        ports = np.fromiter(namespace.udp_ports, np.int64)
        used, most = int(facts.automatic_ports.mask[ports].sum()), facts.automatic_ports.size
        rank = rank_of(used, most) if most else None
        if rank is None:
            continue
        holders = Tally(namespace.udp_pids)
        yield Trouble(
            key="udp-ports",
            rank=rank,
            says=f"UDP sockets have {of_most(used, most)} source ports"
            + so(rank, "sendto(), connect() and bind() of new ones {now}fail with EAGAIN or EADDRINUSE"),
            subject=patient.of_namespace(namespace, _first(holders)),
            evidence=_facts_about(patient, facts, holders),
            cause="UDP sockets that nobody closes, or one socket for each request, as resolvers do",
            cures=(Cure("use one UDP socket for many requests, and close unused ones", "", Needs.CODE), *wider(facts)),
            source="net/ipv4/udp.c, udp_lib_get_port() (v6.18)",
            used=used,
            most=most,
        )


def _first(holders: "Tally[int]") -> int | None:
    """The process with the most; None: none is known."""
    known = [(count, -pid) for pid, count in holders.items() if pid > 0]
    return -max(known)[1] if known else None


def _facts_about(patient: Patient, facts: PortFacts, holders: "Tally[int]") -> tuple[str, ...]:
    reserved = len(facts.port_range) - facts.automatic_ports.size
    words = [f"{RANGE} = {_span(facts.port_range)}"]
    if reserved:
        words.append(f"{format_count(reserved)} of these ports are reserved")
    if named := patient.named(holders):
        words.append(f"held by {named}")
    if holders[0]:
        words.append(f"{format_count(holders[0])} are the kernel's (TIME_WAIT, or closed by their program)")
    return tuple(words)


def _span(ports: range) -> str:
    return f"{ports.start} {ports.stop - 1}"
