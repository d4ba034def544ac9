"""What each network namespace of the host says: its sockets, settings, counters, addresses and tables.

A namespace that this user may not enter is read from outside, as far as
/proc/PID/net shows it.

Sources: setns(2), proc_pid_net(5); Documentation/networking/ip-sysctl.rst (v6.18).
"""

import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from fourtuple.core.counters import in_tables
from fourtuple.core.errors import CannotError
from fourtuple.core.limits.behaviours import Behaviour
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.numbers import number_of
from fourtuple.core.record import dataclass
from fourtuple.core.snapshot.records import HostAddress
from fourtuple.core.sockets.table import LISTENER, SOCK_DIAG, SOCKET, Sockets, State
from fourtuple.kernel.netlink import ctnetlink
from fourtuple.kernel.netlink.interfaces import count_neighbours, read_host_addresses, read_interfaces
from fourtuple.kernel.netlink.reading import NoSuchDumpError
from fourtuple.kernel.netlink.sockdiag import ALL, Asked, fold_sockets, read_listeners, read_sockets
from fourtuple.kernel.netlink.unixdiag import UnixQueue, read_unix_listeners
from fourtuple.kernel.netns import NAMED, NamespaceGoneError, Place, in_namespace, own_netns
from fourtuple.kernel.proc.files import PROC, read_at
from fourtuple.kernel.proc.netstat import parse_netstat, parse_sockstat, parse_softnet_stat, parse_stat_table
from fourtuple.kernel.proc.ports import read_port_facts

CONNECTED = frozenset(State) - {State.LISTEN}
ATTRIBUTED_SHARE = 0.5  # of the range in use: from there on, it is worth a second dump to ask which ports bind() named
TRACKED, TRACKED_MOST = "net.netfilter.nf_conntrack_count", "net.netfilter.nf_conntrack_max"
TRACKED_SHARE = 0.5  # of nf_conntrack_max: from there on, entries are counted by protocol and zone
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Inside:
    """What one namespace says; sockets and listeners by inode, whose processes others know.

    udp:      (port, inode) of each UDP socket with a port; None: not readable
    entered:  False: only what /proc/PID/net shows from outside is known
    why_not:  reasons, by the name of what could not be read
    """

    place: Place
    entered: bool
    ports: PortFacts | None
    sysctls: Mapping[str, str]
    sockstat: Mapping[str, int]
    counters: Mapping[str, int]
    sockets: Sockets
    listeners: Sockets
    read_from: str
    unix: Sequence[UnixQueue]
    udp: Sockets | None
    addresses: tuple[HostAddress, ...]
    neighbours: Mapping[int, int]
    conntrack: Mapping[str, int]
    routes6: int | None
    why_not: Mapping[str, str] = field(default_factory=dict)


def known_places(pids_of: Mapping[str, Sequence[int]], named: Path = Path(NAMED)) -> list[Place]:
    """The namespaces of these processes, and those with a name, this process's own first.

    pids_of: the processes in each, by the name of the namespace. The name of a place is empty if ip-netns(8) has none
    """
    names = {}
    with contextlib.suppress(OSError):
        names = {f"net:[{os.stat(entry).st_ino}]": entry.name for entry in sorted(named.iterdir(), reverse=True)}
    found = [Place(netns, names.get(netns, ""), pids[0], tuple(pids)) for netns, pids in pids_of.items()]
    found += [Place(netns, name, None) for netns, name in names.items() if netns not in pids_of]
    here = own_netns()
    return sorted(found, key=lambda place: place.netns != here)


def visit(
    places: Iterable[Place],
    names: Iterable[str],
    known: Sequence[Behaviour],
    *,
    attributed: bool = False,
    proc: Path = PROC,
) -> list[Inside]:
    """Read every namespace, one after the other; those that have ended are left out.

    places:     this process's own first: it needs no privilege
    names:      the sysctls to read (net.*)
    known:      the behaviour of this kernel (kernel/probes.py)
    attributed: find out of every socket whether bind() named its port; otherwise only where many ports are in use
    """
    wanted = tuple(name for name in names if name.startswith("net."))
    found: list[Inside | None] = []
    folder = os.open(proc, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for place in places:
            read = partial(_read, place, folder, "thread-self/net", wanted, known, attributed=attributed)
            try:
                found.append(in_namespace(place, read))
            except PermissionError:
                found.append(_read_outside(place, folder))
            except NamespaceGoneError:
                continue
    finally:
        os.close(folder)
    return [inside for inside in found if inside is not None]


def _read_outside(place: Place, folder: int) -> Inside | None:
    """What /proc/PID/net shows to others."""
    net = f"{place.pid}/net"
    sockstat = _sockstat(folder, net)
    if place.pid is None or not sockstat:
        return None
    why = {"its sockets and settings": "entering the namespace needs root"}
    nothing, counters = np.zeros(0, SOCKET), _counters(folder, net)
    return Inside(
        place, False, None, {}, sockstat, counters, nothing, np.zeros(0, LISTENER), "", (), None, (), {}, {}, None, why
    )


def _read(
    place: Place, folder: int, net: str, names: Sequence[str], known: Sequence[Behaviour], *, attributed: bool
) -> Inside:
    why_not: dict[str, str] = {}
    sysctls = _sysctls(folder, names)
    ports = None
    try:
        ports = read_port_facts(known)
    except CannotError as error:
        why_not[error.wanted] = error.stopped_by
    sockstat = _sockstat(folder, net)
    listeners, sockets, by = _tcp(sockstat, ports, why_not, attributed=attributed)
    interfaces = _tried(read_interfaces, None, "interfaces", why_not)
    counters, can_track = _counters(folder, net), _can_track(sysctls, folder)
    if can_track:
        lost: dict[str, int] = _tried(lambda: _losses(counters), {}, "nf_conntrack", why_not)
        counters |= lost
    return Inside(
        place=place,
        entered=True,
        ports=ports,
        sysctls=sysctls,
        sockstat=sockstat,
        counters=counters | dict(interfaces.counters if interfaces else {}),
        sockets=sockets,
        listeners=listeners,
        read_from=by,
        unix=_tried(_unix, (), "Unix sockets", why_not),
        udp=_tried(lambda: _udp(sockstat), None, "UDP sockets", why_not),
        addresses=_tried(lambda: read_host_addresses(interfaces.names if interfaces else {}), (), "addresses", why_not),
        neighbours=_tried(count_neighbours, {}, "neighbours", why_not),
        conntrack=_tried(lambda: _tracked(sysctls, why_not), {}, "tracked connections", why_not) if can_track else {},
        routes6=_routes6(read_at(f"{net}/rt6_stats", folder)),
        why_not=why_not,
    )


def _tried(read: Callable[[], T], nothing: T, what: str, why_not: dict[str, str]) -> T:
    """What `read` gives; if the kernel refuses, or the table changes too fast, nothing, with the reason."""
    try:
        return read()
    except (OSError, CannotError, ValueError) as error:
        why_not[what] = str(error)
        return nothing


def _tcp(
    sockstat: Mapping[str, int], ports: PortFacts | None, why_not: dict[str, str], *, attributed: bool
) -> tuple[Sockets, Sockets, str]:
    """(listeners, other sockets, the source of the listing).

    The kernel walks the tables of the whole host for each listing, so a namespace without connections and listeners is
    asked only for sockets that are only bound, which /proc/net/sockstat does not count.
    """
    in_use = sum(sockstat.get(name, 1) for name in ("TCP.inuse", "TCP.tw")) + sockstat.get("TCP6.inuse", 0)
    states = CONNECTED if in_use else frozenset({State.BOUND_INACTIVE})
    nothing = np.zeros(0, SOCKET)

    def listed(asked: Asked) -> tuple[Sockets, str]:
        return fold_sockets(lambda tables: np.concatenate([nothing, *tables]), states, asked)

    def read() -> tuple[Sockets, str]:
        if ports and attributed and in_use:
            return listed(Asked(ports.port_range, unconnected=True))
        try:
            found = read_sockets(states)
        except NoSuchDumpError:
            return listed(ALL)
        if ports and len(found):
            own = (found["local_port"] >= ports.port_range.start) & (found["local_port"] < ports.port_range.stop)
            if own.sum() >= max(1, ATTRIBUTED_SHARE * len(ports.port_range)):
                return listed(Asked(ports.port_range, unconnected=True))
        return found, SOCK_DIAG

    sockets, by = _tried(read, (nothing, SOCK_DIAG), "TCP sockets", why_not)
    no_listeners = np.zeros(0, LISTENER)
    listeners = _tried(read_listeners, no_listeners, "listeners", why_not) if in_use else no_listeners
    return listeners, sockets, by


def _unix() -> Sequence[UnixQueue]:
    return read_unix_listeners() or ()


def _udp(sockstat: Mapping[str, int]) -> Sockets:
    found = [np.zeros(0, SOCKET)]
    for family, name in ((socket.AF_INET, "UDP.inuse"), (socket.AF_INET6, "UDP6.inuse")):
        if sockstat.get(name, int(family == socket.AF_INET)):
            found.append(read_sockets(CONNECTED - {State.BOUND_INACTIVE}, family, socket.IPPROTO_UDP))
    return np.concatenate(found)


def _can_track(sysctls: Mapping[str, str], folder: int) -> bool:
    """The table has entries, and asking for them loads no module: it is there, or the kernel has no modules."""
    modules = read_at("modules", folder)
    return sysctls.get(TRACKED, "0") != "0" and (not modules or b"\nnf_conntrack_netlink " in b"\n" + modules)


def _tracked(sysctls: Mapping[str, str], why_not: dict[str, str]) -> dict[str, int]:
    """The entries of a tracking table that is half full or more, by protocol and zone."""
    used, most = (number_of(sysctls.get(name, "")) for name in (TRACKED, TRACKED_MOST))
    if not used or not most or used < TRACKED_SHARE * most:
        return {}
    if used > ctnetlink.MOST:
        why_not["tracked connections"] = f"only the first {ctnetlink.MOST:,} were counted by protocol and zone"
    return ctnetlink.count_entries()


def _losses(counters: Mapping[str, int]) -> dict[str, int]:
    """What tracking lost, where the kernel has no /proc/net/stat/nf_conntrack (CONFIG_NF_CONNTRACK_PROCFS)."""
    if "nf_conntrack.drop" in counters:
        return {}
    return {f"nf_conntrack.{name}": value for name, value in ctnetlink.read_losses().items()}


def _sysctls(folder: int, names: Iterable[str]) -> dict[str, str]:
    texts = ((name, read_at(f"sys/{name.replace('.', '/')}", folder)) for name in names)
    return {name: text.decode("utf-8", "replace").strip() for name, text in texts if text.endswith(b"\n")}


def _text(folder: int, path: str) -> str:
    text = read_at(path, folder).decode(errors="backslashreplace")
    return text if text.endswith("\n") else ""


def _sockstat(folder: int, net: str) -> dict[str, int]:
    return parse_sockstat(_text(folder, f"{net}/sockstat") + _text(folder, f"{net}/sockstat6"))


def _counters(folder: int, net: str) -> dict[str, int]:
    """Those of /proc/net/snmp, netstat and stat/*; of tables, also how many entries the whole host has."""
    found = {**parse_netstat(_text(folder, f"{net}/snmp")), **parse_netstat(_text(folder, f"{net}/netstat"))}
    for table, names in in_tables().items():
        if table == "vmstat":
            continue
        if table == "softnet_stat":
            counts = parse_softnet_stat(_text(folder, f"{net}/softnet_stat"))
        else:
            counts = parse_stat_table(_text(folder, f"{net}/stat/{table}"))
        found |= {f"{table}.{name}": counts[name] for name in names if name in counts}
    return found


def _routes6(text: bytes) -> int | None:
    """The entries that count against net.ipv6.route.max_size: the sixth number of /proc/net/rt6_stats.

    rt6_stats_seq_show() in net/ipv6/route.c (v6.18)
    """
    words = text.decode("latin-1").split()
    return number_of(words[5], 16) if len(words) == 7 else None
