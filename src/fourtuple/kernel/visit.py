"""What each network namespace of the host says: its sockets, settings, counters, addresses and tables.

One thread goes from namespace to namespace (setns(2) moves a thread, and needs no process of its own) and reads there;
the caller's own thread stays where it is. A namespace that this user may not enter is read from outside, as far as
/proc/PID/net shows it.

Sources: setns(2), proc_pid_net(5); Documentation/networking/ip-sysctl.rst (v6.18).
"""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from fourtuple.core.counters import in_tables
from fourtuple.core.errors import CannotError
from fourtuple.core.limits.behaviours import Behaviour
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.numbers import number_of
from fourtuple.core.snapshot.records import HostAddress
from fourtuple.core.sockets.table import LISTENER, SOCK_DIAG, SOCKET, Sockets, State
from fourtuple.kernel.netlink.interfaces import count_neighbours, read_host_addresses, read_interfaces
from fourtuple.kernel.netlink.reading import NoSuchDumpError
from fourtuple.kernel.netlink.sockdiag import ALL, Asked, fold_sockets, read_listeners, read_sockets
from fourtuple.kernel.netlink.unixdiag import UnixQueue, read_unix_listeners
from fourtuple.kernel.netns import NAMED
from fourtuple.kernel.proc.files import PROC, read_at
from fourtuple.kernel.proc.netstat import parse_netstat, parse_sockstat, parse_softnet_stat, parse_stat_table
from fourtuple.kernel.proc.ports import read_port_facts
from fourtuple.kernel.syscalls import CLONE_NEWNET, setns

CONNECTED = frozenset(State) - {State.LISTEN}
ATTRIBUTED_SHARE = 0.5  # of the range in use: from there on, it is worth a second dump to ask which ports bind() named
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Door:
    """The way into a network namespace. pid: a process inside; None: only its name in ip-netns(8) is known."""

    netns: str
    name: str
    pid: int | None

    def open(self) -> int:
        """A handle for setns(2). Raises OSError."""
        path = f"/proc/{self.pid}/ns/net" if self.pid is not None else f"{NAMED}/{self.name}"
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


@dataclass(frozen=True, eq=False)
class Inside:
    """What one namespace says; sockets and listeners by inode, whose processes others know.

    udp:      (port, inode) of each UDP socket with a port; None: not readable
    entered:  False: only what /proc/PID/net shows from outside is known
    why_not:  reasons, by the name of what could not be read
    """

    door: Door
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
    routes6: int | None
    why_not: Mapping[str, str] = field(default_factory=dict)


def doors(pids_of: Mapping[str, int], named: Path = Path(NAMED)) -> list[Door]:
    """The namespaces that are known. pids_of: a process in each, by the name of the namespace"""
    names = {}
    with contextlib.suppress(OSError):
        names = {f"net:[{os.stat(entry).st_ino}]": entry.name for entry in sorted(named.iterdir(), reverse=True)}
    inside = [Door(netns, names.get(netns, ""), pid) for netns, pid in pids_of.items()]
    return inside + [Door(netns, name, None) for netns, name in names.items() if netns not in pids_of]


def visit(
    places: Iterable[Door],
    names: Iterable[str],
    known: Sequence[Behaviour],
    *,
    attributed: bool = False,
    proc: Path = PROC,
) -> list[Inside]:
    """Read every namespace, in a thread of its own; those that have ended meanwhile are left out.

    names:      the sysctls to read (net.*)
    known:      the behaviour of this kernel (kernel/probes.py)
    attributed: find out of every socket whether bind() named its port; otherwise only where many ports are in use
    """
    found: list[Inside] = []
    failed: list[BaseException] = []
    here = os.readlink(proc / "self/ns/net")
    wanted = tuple(name for name in names if name.startswith("net."))

    def walk() -> None:
        try:
            folder = os.open(proc, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                # The thread's own namespace comes first: there it needs no privilege, and it cannot always come back.
                for place in sorted(places, key=lambda place: place.netns != here):
                    inside = _visit_one(
                        place, folder, wanted, known, is_here=place.netns == here, attributed=attributed
                    )
                    if inside is not None:
                        found.append(inside)
            finally:
                os.close(folder)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=walk, name="visit")
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found


def _visit_one(
    place: Door, folder: int, names: Sequence[str], known: Sequence[Behaviour], *, is_here: bool, attributed: bool
) -> Inside | None:
    """None: the namespace has ended."""
    if is_here:
        return _read(place, folder, "thread-self/net", names, known, attributed=attributed)
    try:
        handle = place.open()
    except PermissionError:
        return _read_outside(place, folder)
    except OSError:
        return None
    try:
        setns(handle, CLONE_NEWNET)
    except PermissionError:
        return _read_outside(place, folder)
    except OSError:
        return None
    finally:
        os.close(handle)
    return _read(place, folder, "thread-self/net", names, known, attributed=attributed)


def _read_outside(place: Door, folder: int) -> Inside | None:
    """What /proc/PID/net shows to others."""
    net = f"{place.pid}/net"
    sockstat = _sockstat(folder, net)
    if place.pid is None or not sockstat:
        return None
    why = {"its sockets and settings": "entering the namespace needs root"}
    nothing, counters = np.zeros(0, SOCKET), _counters(folder, net)
    return Inside(
        place, False, None, {}, sockstat, counters, nothing, np.zeros(0, LISTENER), "", (), None, (), {}, None, why
    )


def _read(
    place: Door, folder: int, net: str, names: Sequence[str], known: Sequence[Behaviour], *, attributed: bool
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
    return Inside(
        door=place,
        entered=True,
        ports=ports,
        sysctls=sysctls,
        sockstat=sockstat,
        counters=_counters(folder, net) | dict(interfaces.counters if interfaces else {}),
        sockets=sockets,
        listeners=listeners,
        read_from=by,
        unix=_tried(_unix, (), "Unix sockets", why_not),
        udp=_tried(lambda: _udp(sockstat), None, "UDP sockets", why_not),
        addresses=_tried(lambda: read_host_addresses(interfaces.names if interfaces else {}), (), "addresses", why_not),
        neighbours=_tried(count_neighbours, {}, "neighbours", why_not),
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
            return listed(Asked(automatic=ports.port_range))
        try:
            found = read_sockets(states)
        except NoSuchDumpError:
            return listed(ALL)
        if ports and len(found):
            own = (found["local_port"] >= ports.port_range.start) & (found["local_port"] < ports.port_range.stop)
            if own.sum() >= max(1, ATTRIBUTED_SHARE * len(ports.port_range)):
                return listed(Asked(automatic=ports.port_range))
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


def _sysctls(folder: int, names: Iterable[str]) -> dict[str, str]:
    texts = ((name, read_at(f"sys/{name.replace('.', '/')}", folder)) for name in names)
    return {name: text.decode("utf-8", "replace").strip() for name, text in texts if text.endswith(b"\n")}


def _text(folder: int, path: str) -> str:
    text = read_at(path, folder).decode("utf-8", "backslashreplace")
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
