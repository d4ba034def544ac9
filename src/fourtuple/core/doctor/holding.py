"""Why the source ports of a pair are in use: the states of its connections, and who has their other ends.

A port is kept by whoever has to act next: by this end, by the peer, or by the kernel's timers. RFC 9293, 3.3.2, has the
states; tcp(7) and ip-sysctl.rst have the timers.
"""

import math
from collections import Counter as Tally
from collections.abc import Mapping

import numpy as np

from fourtuple.core.doctor.patient import Patient, of_most
from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.time_wait import TIME_WAIT_MS, TIME_WAIT_S, TIME_WAIT_TIMER, permits_reuse
from fourtuple.core.numbers import number_of
from fourtuple.core.record import dataclass
from fourtuple.core.snapshot.fold import UNSEEN_INODE
from fourtuple.core.snapshot.records import HostNamespace
from fourtuple.core.sockets.columns import Mask, is_wildcard
from fourtuple.core.sockets.table import SOCK_DIAG, Sockets, State, unmapped
from fourtuple.core.units import format_count, format_duration, format_things, format_were

PART = 0.25  # of the connections: what fewer do is no cause
MOSTLY = 0.5  # the share of the ports from which on one kind of use is called the cause
SHORT_S = 10  # for net.ipv4.tcp_fin_timeout: what a peer that works needs to close
FIN_TIMEOUT = "net.ipv4.tcp_fin_timeout"
RANGE = "net.ipv4.ip_local_port_range"
RESERVED = "net.ipv4.ip_local_reserved_ports"
WIDE = 60_000  # ports: a range that has so many cannot be widened by much
WIDER = Cure(
    f'reserve the ports of your services ({RESERVED}), then sysctl -w {RANGE}="1024 65535"',
    "a service that restarts may find a port taken that is not reserved",
    Needs.ROOT,
)
POOL = Cure("keep connections open and reuse them (keep-alive, a pool)", "", Needs.SETTING)
FEWER = Cure("use fewer connections: share them (multiplexing, a smaller pool)", "", Needs.SETTING)
ENDS = Cure(
    "connect to more destination addresses or ports, or from more source addresses",
    "the addresses must exist",
    Needs.SETTING,
)
REUSE = Cure(
    "sysctl -w net.ipv4.tcp_tw_reuse=1",
    "it needs TCP timestamps at both ends; ports in TIME_WAIT are reused after 1 s",
    Needs.ROOT,
)
CLOSE = "close the socket when recv() returns 0 bytes"
RETRIES = Cure("sysctl -w net.ipv4.tcp_orphan_retries=2", "data that is late is lost earlier", Needs.ROOT)
SOONER = Cure("let connect() give up sooner: a connect timeout", "a slow destination fails, too", Needs.SETTING)


@dataclass(frozen=True, eq=False, slots=True)
class HeldPorts:
    """The connections of one pair.

    states:  how many of them are in each state
    closed:  those in FIN_WAIT2 that no program has any more: a timer ends them
    kept:    those in FIN_WAIT2 that a program has, as far as that is known
    others:  their other ends, as far as they are on the same host, by state
    waiting: those other ends that no program has accepted
    holder:  the process with the most of the other ends, as `nginx (812)`; empty: none is known
    pid:     its PID
    listener: the process that listens at the destination, if that is on the same host; empty: none is known
    is_full: the accept queue there is full
    closed_s: the ages of the oldest and the youngest of them in TIME_WAIT, in s; None: none is there, or not known
    fin_timeout: net.ipv4.tcp_fin_timeout, in s; empty: unknown
    """

    facts: PortFacts
    is_loopback: bool
    states: Mapping[State, int]
    closed: int
    kept: int
    others: Mapping[State, int]
    waiting: int
    holder: str
    pid: int | None
    listener: str
    is_full: bool
    fin_timeout: str
    closed_s: tuple[float, float] | None

    @property
    def total(self) -> int:
        return max(1, sum(self.states.values()))

    @property
    def pid_that_leaks(self) -> int | None:
        """The process that has the other ends, and does not close them."""
        return self.pid if self.others.get(State.CLOSE_WAIT) else None

    @property
    def evidence(self) -> tuple[str, ...]:
        """Where the other ends are, and what no program has any more."""
        found = []
        if sum(self.others.values()) >= PART * self.total:
            whose = f"; {self.holder} has the most" if self.holder else ""
            found.append(f"the other ends are on the same host: {in_states(self.others)}{whose}")
        if self.closed:
            found.append(
                f"{format_count(self.closed)} in FIN_WAIT2 belong to no program any more and end after a time:"
                f" {FIN_TIMEOUT} = {self.fin_timeout or 'unknown (60 s by default)'}"
            )
        return tuple(found)


def held(patient: Patient, namespace: HostNamespace, facts: PortFacts, mine: Mask) -> HeldPorts:
    """The connections of a pair. mine: (sockets,), which of the namespace's sockets they are"""
    rows = namespace.sockets[mine]
    others, pids = _other_ends(patient, namespace, rows)
    holders = Tally(pids[pids > 0].tolist())
    pid = min(holders, key=lambda each: (-holders[each], each), default=None)
    is_half = rows["state"] == State.FIN_WAIT2
    is_seen = (rows["inode"] != 0) & (rows["inode"] != UNSEEN_INODE)
    listener, is_full = _listener(patient, namespace, rows)
    is_open = np.isin(others["state"], (State.ESTABLISHED, State.CLOSE_WAIT)) & (others["inode"] == 0)
    return HeldPorts(
        facts,
        is_loopback=_is_loopback(rows),
        states=_counted(rows),
        closed=int((is_half & (rows["timer"] == TIME_WAIT_TIMER)).sum()),
        kept=int((is_half & (rows["timer"] != TIME_WAIT_TIMER) & is_seen).sum()),
        others=_counted(others),
        waiting=int((is_open | np.isin(others["state"], (State.SYN_RECV, State.NEW_SYN_RECV))).sum()),
        holder=_name(patient, pid),
        pid=pid,
        listener=listener,
        is_full=is_full,
        fin_timeout=namespace.sysctls.get(FIN_TIMEOUT, ""),
        closed_s=_closed_s(rows),
    )


def _closed_s(rows: Sockets) -> tuple[float, float] | None:
    left_ms = rows["expires_ms"][rows["state"] == State.TIME_WAIT].astype(np.int64)
    if (left_ms >= TIME_WAIT_MS).all():  # there is none, or a paste that shows no timers
        return None
    return tuple(max(0.0, (TIME_WAIT_MS - int(each)) / 1000) for each in (left_ms.min(), left_ms.max()))  # type: ignore[return-value]


def _name(patient: Patient, pid: int | None) -> str:
    """`nginx (812)`; empty: no process is known."""
    process = patient.now.processes.get(pid) if pid is not None else None
    return f"{process.name} ({pid})" if process else ""


def _counted(rows: Sockets) -> dict[State, int]:
    """How many rows are in each state, the most first."""
    counts = Tally(rows["state"].tolist())
    return {State(state): count for state, count in counts.most_common()}


def _is_loopback(rows: Sockets) -> bool:
    ends = (unmapped(rows[name][0].tobytes()) for name in ("local", "remote") if len(rows))
    return any(end.is_loopback for end in ends)


def _other_ends(
    patient: Patient, namespace: HostNamespace, rows: Sockets
) -> tuple[Sockets, "np.ndarray[tuple[int], np.dtype[np.int32]]"]:
    """(the sockets at the other ends, the process of each; -1: not known). rows: connections of one pair"""
    tables, pids = [namespace.sockets[:0]], [np.zeros(0, np.int32)]
    first = rows[:1]
    for each in _reachable(patient, namespace, rows):
        table = each.sockets
        is_other = (table["local"] == first["remote"]) & (table["local_port"] == first["remote_port"])
        is_other &= table["remote"] == first["local"]
        tables.append(table[is_other])
        is_known = len(each.socket_pids) == len(table)
        pids.append(each.socket_pids[is_other] if is_known else np.full(int(is_other.sum()), -1, np.int32))
    return np.concatenate(tables), np.concatenate(pids)


def _listener(patient: Patient, namespace: HostNamespace, rows: Sockets) -> tuple[str, bool]:
    """(the process that listens at the destination of these connections, whether its accept queue is full)."""
    for each in _reachable(patient, namespace, rows):
        table = each.listeners
        is_there = table["local_port"] == rows["remote_port"][0]
        is_there &= (table["local"] == rows["remote"][0]) | (is_wildcard(table["local"]) & _has(each, rows))
        for place in np.flatnonzero(is_there).tolist():
            is_full = each.read_from == SOCK_DIAG and bool(table["recv_q"][place] > table["send_q"][place])
            is_known = len(each.listener_pids) == len(table)
            return _name(patient, int(each.listener_pids[place]) if is_known else None), is_full
    return "", False


def _has(inside: HostNamespace, rows: Sockets) -> bool:
    """Whether the destination of these connections is an address of the namespace."""
    address = unmapped(rows["remote"][0].tobytes())
    known = any(each.address == str(address) for each in inside.addresses)
    return known or address.is_loopback or bool((inside.sockets["local"] == rows["remote"][0]).any())


def _reachable(patient: Patient, namespace: HostNamespace, rows: Sockets) -> list[HostNamespace]:
    """The namespaces in which the other ends of these connections may be; those of loopback are in the same one."""
    if not len(rows):
        return []
    others = [] if _is_loopback(rows) else [each for each in patient.now.namespaces.values() if each is not namespace]
    return [namespace, *others]


def in_states(states: Mapping[State, int]) -> str:
    """`190 TIME_WAIT, 10 ESTABLISHED`"""
    return ", ".join(f"{format_count(count)} {state.name}" for state, count in states.items())


def cause_of(pair: HeldPorts) -> tuple[str, tuple[Cure, ...]]:
    """(why the ports of a pair are in use, what helps against that)."""
    facts = pair.facts
    reserved = len(facts.port_range) - facts.automatic_ports.size
    if reserved >= MOSTLY * len(facts.port_range):
        fewer = Cure(f"reserve fewer ports ({RESERVED})", "a service may find its port taken", Needs.ROOT)
        said = f"{of_most(reserved, len(facts.port_range))} ports of the range are reserved"
        return said, (fewer, POOL, ENDS, *wider(facts))
    causes, cures = [], dict[Cure, None]()
    for states, explain in EXPLAINED:
        count = sum(pair.states.get(state, 0) for state in states)
        if count >= PART * pair.total:
            said, helps = explain(pair, count)
            causes.append((count, said))
            cures |= dict.fromkeys(helps)
    if not causes:  # nine states, none of which has a quarter
        return f"connections in many states: {in_states(pair.states)}", (ENDS, *wider(facts))
    causes.sort(key=lambda each: -each[0])
    return "; ".join(said for _, said in causes), tuple(cures)


def _established(pair: HeldPorts, count: int) -> tuple[str, tuple[Cure, ...]]:
    said = f"{format_were(count, 'connection')} open at once to one destination, on all its source ports"
    cures = (FEWER, ENDS, *wider(pair.facts))
    if pair.waiting >= PART * count:
        said += f"; of {format_count(pair.waiting)} the other end, on the same host, is not accepted yet"
        who = pair.listener or "the program that listens there"
        cures = (Cure(f"find out why {who} does not accept them"), *cures)
    return said, cures


def _time_wait(pair: HeldPorts, count: int) -> tuple[str, tuple[Cure, ...]]:
    """How many, and when, is known; a rate is not: all may have been closed at once."""
    when = f"within the last {TIME_WAIT_S:.0f} s"
    if pair.closed_s is not None:
        oldest_s, youngest_s = math.ceil(pair.closed_s[0]), math.floor(pair.closed_s[1])
        when = f"between {oldest_s} s and {youngest_s} s ago" if youngest_s else f"within the last {max(1, oldest_s)} s"
        if youngest_s and oldest_s - youngest_s <= 1:
            when = f"about {oldest_s} s ago"
    facts = pair.facts
    keeps = f"each keeps its port in TIME_WAIT for {TIME_WAIT_S:.0f} s"
    if permits_reuse(facts, loopback=pair.is_loopback):
        after = format_duration(facts.tw_reuse_delay_ms / 1000)
        keeps = (
            f"connect() may take their ports from TIME_WAIT after {after} (net.ipv4.tcp_tw_reuse = {facts.tw_reuse})"
        )
    return f"this end closed {format_things(count, 'connection')} {when}, and {keeps}", churn_cures(pair)


def _close_wait(pair: HeldPorts, count: int) -> tuple[str, tuple[Cure, ...]]:
    return (
        f"the other end closed {format_count(count)} of them and the program did not (CLOSE_WAIT)",
        (
            Cure("restart the program: its sockets are closed then", "its connections end", Needs.RESTART),
            Cure(f"let the program {CLOSE}", "", Needs.CODE),
        ),
    )


def _fin_wait2(pair: HeldPorts, count: int) -> tuple[str, tuple[Cure, ...]]:
    """This end has closed, or shut down its sending half, and the peer has acknowledged that, but not closed."""
    said = f"{format_count(count)} were closed here, and not by the peer (FIN_WAIT2)"
    cures: list[Cure] = []
    left = pair.others.get(State.CLOSE_WAIT, 0)
    if pair.waiting >= PART * count:
        who = pair.listener or "the program that listens there"
        said += f": {who}, on the same host, has not accepted {format_count(pair.waiting)} of them"
        cures.append(Cure(f"find out why {who} does not accept them"))
    elif pair.holder and left:
        said += f": {pair.holder} has {format_count(left)} of the other ends, in CLOSE_WAIT, and does not close them"
        cures.append(Cure(f"restart {pair.holder}: its sockets are closed then", "its connections end", Needs.RESTART))
        cures.append(Cure(f"let {pair.holder} {CLOSE}", "", Needs.CODE))
    else:
        whose = Needs.CODE if pair.others else Needs.OTHERS
        cures.append(Cure(f"let the program at the other end {CLOSE}", "", whose))
    timeout = number_of(pair.fin_timeout)
    if 2 * pair.kept < count and (timeout is None or timeout > SHORT_S):
        cures.append(
            Cure(f"sysctl -w {FIN_TIMEOUT}={SHORT_S}", "a peer that sends or closes later gets a reset", Needs.ROOT)
        )
    if 2 * pair.kept >= count:
        said += "; a program still has them, so no timer ends them"
        cures.append(Cure("let the program here close them, and not only shut them down (shutdown(2))", "", Needs.CODE))
    return said, (*cures, *(() if pair.others else (ENDS, *wider(pair.facts))))


def _fin_wait1(pair: HeldPorts, count: int) -> tuple[str, tuple[Cure, ...]]:
    """This end has closed, and the peer has acknowledged neither all data nor the end."""
    said = f"{format_count(count)} were closed here, and the peer does not acknowledge what was sent (FIN_WAIT1)"
    if pair.others.get(State.ESTABLISHED):
        said += f": {pair.holder or 'the program at the other end, on the same host,'} does not read"
        first = Cure(f"let {pair.holder or 'the program at the other end'} read what it receives", "", Needs.CODE)
    else:
        said += ": it is gone, packets to it are lost, or it does not read"
        first = Cure("ss -tano state fin-wait-1 shows to whom: look why that host does not answer")
    return said, (first, RETRIES, ENDS, *wider(pair.facts))


def _last_ack(pair: HeldPorts, count: int) -> tuple[str, tuple[Cure, ...]]:
    """Both ends have closed, and the last acknowledgement does not come."""
    said = (
        f"both ends closed {format_count(count)} of them, and the peer's last acknowledgement does not arrive"
        " (LAST_ACK, CLOSING): it is gone, or packets are lost"
    )
    look = Cure("look why packets of the other host do not arrive: a firewall, or connection tracking that forgot them")
    return said, (look, RETRIES, ENDS, *wider(pair.facts))


def _syn_sent(pair: HeldPorts, count: int) -> tuple[str, tuple[Cure, ...]]:
    """connect() was called, and nothing has answered."""
    said = f"connect() of {format_count(count)} of them has no answer (SYN_SENT)"
    look = "look why the destination does not answer"
    if pair.is_full:
        who = pair.listener or "the program that listens there"
        said += f": the accept queue of {who}, on the same host, is full"
        look = f"find out why {who} does not accept"
    else:
        said += ": a firewall drops them, the destination is down, or its accept queue is full"
    return said, (Cure(look), SOONER, Cure("sysctl -w net.ipv4.tcp_syn_retries=2", "the same", Needs.ROOT))


# States → what keeps the ports of connections in them, and what helps. A pair has as many causes as apply.
EXPLAINED = (
    ((State.CLOSE_WAIT,), _close_wait),
    ((State.FIN_WAIT2,), _fin_wait2),
    ((State.FIN_WAIT1,), _fin_wait1),
    ((State.LAST_ACK, State.CLOSING), _last_ack),
    ((State.SYN_SENT, State.SYN_RECV, State.NEW_SYN_RECV), _syn_sent),
    ((State.TIME_WAIT,), _time_wait),
    ((State.ESTABLISHED,), _established),
)


def wider(facts: PortFacts) -> tuple[Cure, ...]:
    """A wider range, where there is one."""
    return () if len(facts.port_range) >= WIDE else (WIDER,)


def churn_cures(pair: HeldPorts) -> tuple[Cure, ...]:
    """What helps where connections are opened and closed too fast."""
    is_cure = pair.facts.timestamps and not permits_reuse(pair.facts, loopback=pair.is_loopback)
    return POOL, *((REUSE,) if is_cure else ()), ENDS, *wider(pair.facts)
