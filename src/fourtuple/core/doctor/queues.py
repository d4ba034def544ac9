"""Queues of connections that wait for a program: accept queues of TCP, backlogs of Unix sockets, SYN queues."""

from collections.abc import Iterator

import numpy as np

from fourtuple.core.doctor.patient import NEAR_SHARE, Patient, of_most, rank_of
from fourtuple.core.doctor.records import Rank, Trouble
from fourtuple.core.limits.cures import Cure, Needs, at_hand_first
from fourtuple.core.snapshot.records import HostNamespace
from fourtuple.core.sockets.table import SOCK_DIAG, State, four_tuples
from fourtuple.core.units import format_count, format_things

SOMAXCONN = "net.core.somaxconn"
HALF_OPEN = (State.SYN_RECV, State.NEW_SYN_RECV)  # sock_diag reports the second as the first (inet_req_diag_fill())
FASTER = Cure("find out why the program does not accept: it is busy, stopped, or out of files")
BACKLOG = Cure(
    f"raise the backlog in its settings, and {SOMAXCONN}; then restart it",
    "more connections wait longer before they are refused",
    Needs.RESTART,
)
COOKIES = Cure("sysctl -w net.ipv4.tcp_syncookies=1", "connections from cookies lack some TCP options", Needs.ROOT)


def accept_queues(patient: Patient) -> Iterator[Trouble]:
    """Listeners whose accept queue is full, or nearly; it holds one connection more than its backlog."""
    for namespace in patient.now.namespaces.values():
        table = namespace.listeners
        waiting, holds = table["recv_q"].astype(np.int64), table["send_q"].astype(np.int64) + 1
        is_known = namespace.read_from == SOCK_DIAG  # /proc/net/tcp does not report backlogs
        for place in np.flatnonzero(is_known & (waiting >= NEAR_SHARE * holds)).tolist():
            yield _full(patient, namespace, place, int(waiting[place]), int(holds[place]))
        yield from _overflows(patient, namespace)


def _pid(namespace: HostNamespace, place: int) -> int | None:
    pids = namespace.listener_pids
    return int(pids[place]) if len(pids) == len(namespace.listeners) else None


def _full(patient: Patient, namespace: HostNamespace, place: int, waiting: int, holds: int) -> Trouble:
    row = namespace.listeners[place : place + 1]
    at = four_tuples(row)[0].source
    drops = int(row["drops"][0])
    somaxconn = namespace.sysctls.get(SOMAXCONN, "")
    evidence = [f"its backlog is {format_count(holds - 1)}" + (f", {SOMAXCONN} is {somaxconn}" if somaxconn else "")]
    if drops:
        evidence.append(_dropped(namespace, place))
    return Trouble(
        key="accept-queue",
        rank=rank_of(waiting, holds) or Rank.NEAR,
        says=f"{of_most(waiting, holds)} connections wait in the accept queue of {at}: new ones are dropped while it is"
        " full, and their clients wait",
        subject=patient.of_namespace(namespace, _pid(namespace, place)),
        evidence=tuple(evidence),
        cause="the program accepts connections more slowly than they arrive, or not at all",
        cures=(FASTER, BACKLOG),
        source="listen(2); include/net/sock.h, sk_acceptq_is_full() (v6.18)",
        used=waiting,
        most=holds,
    )


def _dropped(namespace: HostNamespace, place: int) -> str:
    """How many connections a listener dropped, in one wording: joined findings have equal evidence once."""
    row = namespace.listeners[place : place + 1]
    count = format_things(int(row["drops"][0]), "connection")
    return f"{count} dropped at {four_tuples(row)[0].source} since listen()"


def _overflows(patient: Patient, namespace: HostNamespace) -> Iterator[Trouble]:
    """Accept queues that were full: since the namespace was made, or while --for watched."""
    moved = patient.moved("ListenOverflows", namespace)
    if moved is None:
        return
    rank, count = moved
    table = namespace.listeners
    place = int(table["drops"].argmax()) if len(table) and table["drops"].any() else None
    evidence = [] if place is None else [_dropped(namespace, place)]
    if rank is not Rank.SO_FAR or place is None or int(table["drops"][place]) != count:
        evidence.insert(0, f"ListenOverflows {patient.times(rank, count)}")
    yield Trouble(
        key="accept-queue-overflows",
        rank=rank,
        says=f"handshakes were dropped because an accept queue was full: {patient.times(rank, count)}",
        subject=patient.of_namespace(namespace, _pid(namespace, place) if place is not None else None),
        evidence=tuple(evidence),
        cause="a program accepted connections more slowly than they arrived",
        cures=(FASTER, BACKLOG),
        source="net/ipv4/tcp_input.c, tcp_conn_request(), LINUX_MIB_LISTENOVERFLOWS (v6.18)",
    )


def unix_backlogs(patient: Patient) -> Iterator[Trouble]:
    """Unix sockets that listen and whose queue is full: a connect() that is not to block fails with EAGAIN."""
    for namespace in patient.now.namespaces.values():
        for listener in namespace.unix:
            holds = listener.backlog + 1
            rank = rank_of(listener.waiting, holds)
            if rank is None:
                continue
            yield Trouble(
                key="unix-backlog",
                rank=rank,
                says=f"{of_most(listener.waiting, holds)} connections wait at {listener.path or 'a Unix socket'}: while"
                " it is full, connect() blocks or fails with EAGAIN",
                subject=patient.of_namespace(namespace, listener.pid),
                evidence=(f"its backlog is {format_count(listener.backlog)}",),
                cause="the program accepts connections more slowly than they arrive, or not at all",
                cures=(FASTER, BACKLOG),
                source="net/unix/af_unix.c, unix_recvq_full() (v6.18)",
                used=listener.waiting,
                most=holds,
            )


def syn_queues(patient: Patient) -> Iterator[Trouble]:
    """Handshakes that have not ended, against the backlog of their listener; and SYNs that were dropped for it."""
    for namespace in patient.now.namespaces.values():
        yield from _half_open(patient, namespace)
        for name, says in (
            ("TCPReqQFullDrop", "SYNs were dropped because a SYN queue was full"),
            ("TCPReqQFullDoCookies", "SYN cookies were sent because a SYN queue was full"),
        ):
            moved = patient.moved(name, namespace)
            if moved is None:
                continue
            rank, count = moved
            yield Trouble(
                key="syn-queue-drops",
                rank=rank,
                says=f"{says}: {patient.times(rank, count)}",
                subject=patient.of_namespace(namespace),
                evidence=(f"{name} {patient.times(rank, count)}",),
                cause="a SYN flood, clients that do not answer, or a backlog that is too small for the rate",
                cures=_syn_cures(patient, namespace),
                source="net/ipv4/tcp_input.c, tcp_syn_flood_action() (v6.18)",
            )


def _half_open(patient: Patient, namespace: HostNamespace) -> Iterator[Trouble]:
    sockets, table = namespace.sockets, namespace.listeners
    young = sockets["local_port"][np.isin(sockets["state"], HALF_OPEN)]
    if namespace.read_from != SOCK_DIAG or not len(young):
        return
    counts = np.bincount(young, minlength=65536)
    for place in np.flatnonzero(np.isin(table["local_port"], young)).tolist():
        row = table[place : place + 1]
        port, most = int(row["local_port"][0]), int(row["send_q"][0])
        used = int(counts[port])
        same = int((table["local_port"] == port).sum())  # several listeners share a port by SO_REUSEPORT
        rank = rank_of(used, most * same) if most and used else None
        if rank is None:
            continue
        yield Trouble(
            key="syn-queue",
            rank=rank,
            says=f"{of_most(used, most * same)} handshakes at {four_tuples(row)[0].source} have not ended: SYNs beyond"
            " that are dropped, or answered with cookies",
            subject=patient.of_namespace(namespace, _pid(namespace, place)),
            evidence=(f"net.ipv4.tcp_syncookies = {namespace.sysctls.get('net.ipv4.tcp_syncookies', 'unknown')}",),
            cause="a SYN flood, or clients whose answers do not arrive",
            cures=_syn_cures(patient, namespace),
            source="include/net/inet_connection_sock.h, inet_csk_reqsk_queue_is_full() (v6.18)",
            used=used,
            most=most * same,
        )
        counts[port] = 0


def _syn_cures(patient: Patient, namespace: HostNamespace) -> tuple[Cure, ...]:
    cookies = (COOKIES,) if namespace.sysctls.get("net.ipv4.tcp_syncookies") == "0" else ()
    return at_hand_first((*cookies, BACKLOG), root=patient.now.uid == 0)
