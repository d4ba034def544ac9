"""What the parsers of pasted output have found so far, and the snapshot that it makes."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import field, replace

import numpy as np

from fourtuple.core.limits.behaviours import RULE_OF, Behaviour, KnownBy
from fourtuple.core.limits.facts import Memory
from fourtuple.core.limits.releases import parse_release
from fourtuple.core.limits.settings import PORT_RANGE, port_facts
from fourtuple.core.limits.time_wait import TIME_WAIT_MS, TIME_WAIT_TIMER
from fourtuple.core.numbers import number_of
from fourtuple.core.record import dataclass
from fourtuple.core.snapshot.fold import UNSEEN_INODE, families
from fourtuple.core.snapshot.pastes.missing import missing
from fourtuple.core.snapshot.records import HostAddress, HostNamespace, HostProcess, HostRoute, Snapshot
from fourtuple.core.sockets.table import LISTENER, SOCKET, Sockets, State, mapped

MOST_SOCKETS = 1_000_000  # of a paste


@dataclass(frozen=True, slots=True)
class PastedSocket:
    """A socket as text shows it; expires_ms None: not shown, pid None: not shown. table: as in FoundParts"""

    state: State
    local: bytes
    local_port: int
    remote: bytes
    remote_port: int
    recv_q: int = 0
    send_q: int = 0
    uid: int = 0
    pid: int | None = None
    expires_ms: int | None = None
    table: int = 0

    @property
    def told(self) -> tuple[bool, bool, bool]:
        """What its line tells that lines of other options or tools do not."""
        return self.pid is not None, self.expires_ms is not None, self.state is State.LISTEN and self.send_q > 0


@dataclass(slots=True)
class FoundParts:
    """What was found, to be filled by the parsers.

    command: the words of the last prompt; empty: there was none
    sources: the tools, in the order in which they were found
    tables:  heads of tables and prompts so far: the number of the table that the next line is in
    process: what is known of the process that the last lines are about, by field of HostProcess
    """

    command: tuple[str, ...] = ()
    sources: dict[str, None] = field(default_factory=dict)
    tables: int = 0
    host: str = ""
    kernel: str = ""
    at_s: float = 0.0
    settings: dict[str, str] = field(default_factory=dict)
    sockstat: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    memory_bytes: dict[str, int] = field(default_factory=dict)
    sockets: list[PastedSocket] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)
    by: str = ""
    processes: dict[int, dict[str, int | str | None]] = field(default_factory=dict)
    addresses: list[HostAddress] = field(default_factory=list)
    routes: list[HostRoute] = field(default_factory=list)
    neighbours: int | None = None
    neighbours6: int | None = None
    threads: int | None = None
    log: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    def note(self, source: str) -> None:
        """Remember that output of this tool was found."""
        self.sources.setdefault(source)

    def process(self, pid: int) -> dict[str, int | str | None]:
        """The fields of this process, to be filled."""
        return self.processes.setdefault(pid, {})


def snapshot_of(found: FoundParts) -> Snapshot:
    """The snapshot of what was found: of one namespace, and of its host, since a paste does not tell them apart."""
    known = behaviours_of(found.kernel)
    settings = dict(found.settings)
    file_nr = settings.get("fs.file-nr", "").split()  # allocated, unused, fs.file-max (proc_sys_fs(5))
    if len(file_nr) == 3:
        settings.setdefault("fs.file-max", file_nr[2])
    free = found.memory_bytes.get("free")
    sockets, socket_pids = _table(_once([each for each in found.sockets if each.state is not State.LISTEN]), SOCKET)
    listeners, listener_pids = _table(
        _longest([each for each in found.sockets if each.state is State.LISTEN]), LISTENER
    )
    why_not = {}
    ports = None
    if PORT_RANGE in settings:
        try:
            ports = port_facts(settings, known)
        except ValueError as error:
            why_not["the range of source ports"] = str(error)
    is_listed = bool(found.by)
    waiting = int((sockets["state"] == State.TIME_WAIT).sum())
    inside = HostNamespace(
        "",
        ports=ports,
        sysctls=settings,
        sockstat=({"TCP.tw": waiting} if is_listed else {}) | found.sockstat,
        counters=found.counters,
        tracked=True if settings.get("net.netfilter.nf_conntrack_count", "0") != "0" else None,
        neighbours=found.neighbours,
        neighbours6=found.neighbours6,
        sockets=sockets,
        listeners=listeners,
        socket_pids=socket_pids,
        listener_pids=listener_pids,
        read_from=found.by,
        addresses=tuple(found.addresses),
        routes=tuple(found.routes),
        why_not=why_not,
    )
    processes = {pid: HostProcess(pid, name) for pid, name in found.names.items()}
    for pid, values in found.processes.items():
        name = str(values.get("name") or found.names.get(pid) or "a process")
        processes[pid] = HostProcess(pid, **{**values, "name": name})  # type: ignore[arg-type]
    snapshot = Snapshot(
        at_s=found.at_s,
        host=found.host,
        kernel=found.kernel,
        source=", ".join(found.sources),
        behaviours=known,
        memory_bytes=found.memory_bytes.get("total"),
        memory=Memory(free),
        files_in_use=number_of(file_nr[0]) if file_nr else None,
        threads=found.threads,
        sysctls=settings,
        counters=found.counters,
        namespaces={"": inside},
        processes=processes,
        log=tuple(found.log),
        unseen=tuple(found.unseen),
    )
    return replace(snapshot, unseen=(*snapshot.unseen, *missing(snapshot, inside)))


def behaviours_of(kernel: str) -> tuple[Behaviour, ...]:
    """What the release of a kernel tells of its behaviour; an unknown release tells nothing."""
    version = parse_release(kernel)
    if version == (0, 0):
        return ()
    return tuple(
        Behaviour(name, rule.holds(version), KnownBy.RELEASE, f"Linux {kernel}") for name, rule in RULE_OF.items()
    )


def _once(rows: Sequence[PastedSocket]) -> Sequence[PastedSocket]:
    """Each connection once, though several outputs list it: as the line has it that tells most, the last of those."""
    if {row.table for row in rows} == {1}:  # one output with one head
        return rows
    found: dict[tuple[bytes, int, bytes, int], PastedSocket] = {}
    for row in rows:
        ends = (row.local, row.local_port, row.remote, row.remote_port)
        if ends not in found or row.told >= found[ends].told:
            found[ends] = row
    return list(found.values())


def _longest(rows: Sequence[PastedSocket]) -> Sequence[PastedSocket]:
    """The listeners of each address from the output that lists the most there: several share a port (SO_REUSEPORT)."""
    found: dict[tuple[bytes, int], dict[int, list[PastedSocket]]] = {}
    for row in rows:
        found.setdefault((row.local, row.local_port), {}).setdefault(row.table, []).append(row)
    best = (max(tables.values(), key=lambda each: (len(each), each[0].told)) for tables in found.values())
    return [row for each in best for row in each]


def _table(
    rows: Sequence[PastedSocket], dtype: "np.dtype[np.void]"
) -> tuple[Sockets, "np.ndarray[tuple[int], np.dtype[np.int32]]"]:
    """(the rows as a table, the process of each row; empty if no row shows one)."""
    table: Sockets = np.zeros(len(rows), dtype)
    pids = np.array([-1 if row.pid is None else row.pid for row in rows], np.int32)
    has_owner = np.array([row.state is not State.TIME_WAIT for row in rows], bool)
    for name in ("state", "local", "local_port", "remote", "remote_port", "recv_q", "send_q", "uid"):
        table[name] = np.array([getattr(row, name) for row in rows], SOCKET[name])
    table["family"] = families(table)
    is_waiting = table["state"] == State.TIME_WAIT
    # ss -o shows the same timer of sockets that their program has closed.
    has_timer = np.array([row.expires_ms is not None for row in rows], bool) & (table["state"] == State.FIN_WAIT2)
    table["timer"] = np.where(is_waiting | has_timer, TIME_WAIT_TIMER, 0)
    expires = [TIME_WAIT_MS if row.expires_ms is None else min(row.expires_ms, TIME_WAIT_MS) for row in rows]
    table["expires_ms"] = np.where(is_waiting, np.array(expires, np.int64), 0)
    table["inode"] = np.where(has_owner, np.where(pids > 0, pids, UNSEEN_INODE), 0)
    pids = np.where(has_owner, pids, 0).astype(np.int32)
    return table, pids if any(row.pid for row in rows) else pids[:0]


def packed_of(text: str) -> bytes | None:
    """The address in 16 bytes, IPv4 in its mapped form; None: it is none. A zone (%lo) and brackets are left out."""
    text = text.strip("[]").partition("%")[0].strip("[]")
    if text in ("*", ""):
        return mapped(ipaddress.IPv4Address(0))
    try:
        return mapped(ipaddress.ip_address(text))
    except ValueError:
        return None


def counted(values: Mapping[str, int], into: dict[str, int]) -> None:
    """Add the values up, as of several CPUs or queues."""
    for name, value in values.items():
        into[name] = into.get(name, 0) + value
