"""A snapshot in the place of the host: each answer that the host would have given, from what was kept of it. Pure."""

import errno
import ipaddress
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.limits.facts import Memory, Motion, PortFacts, ProcessFacts, World
from fourtuple.core.limits.settings import PORT_RANGE
from fourtuple.core.numbers import number_of
from fourtuple.core.plan.claims import Claim
from fourtuple.core.snapshot.host import Origin
from fourtuple.core.snapshot.records import HostNamespace, HostProcess, HostRoute, Snapshot
from fourtuple.core.sockets.columns import Mask, distinct, in_states, is_in
from fourtuple.core.sockets.filter import EVERYWHERE, Where
from fourtuple.core.sockets.owners import Holders
from fourtuple.core.sockets.table import SOCKET, Chosen, Sockets, State, mapped, recast, unmapped
from fourtuple.core.space.endpoints import Address, Endpoint, EndpointSpec
from fourtuple.core.units import quoted

T = TypeVar("T")
ANY_PROGRAM = "a program started there"
SHELL = 0  # the PID of the program that a paste's `ulimit -a` speaks of
NO_ROUTE = "the snapshot has no route there"
NOT_THERE = "the snapshot does not have it"
NO_PROCESS = "the snapshot has no such process"
NO_LISTING, LISTING = "the snapshot does not list them", "Paste the output of ss -tanp, too."
# What a paste may lack for `limits`, each with the commands whose output tells it.
PORT_SETTINGS = (PORT_RANGE, "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_tw_reuse", "net.ipv4.tcp_timestamps")
OF_PORTS, OF_FILES, OF_MEMORY = f"sysctl {' '.join(PORT_SETTINGS)}", "ulimit -a", "cat /proc/meminfo"


class Recorded:
    """A Host that is one network namespace of a snapshot."""

    can_test = False

    def __init__(self, snapshot: Snapshot, *, pid: int | None = None, netns: str | None = None) -> None:
        """pid, netns: whose namespace; a name, a PID or `net:[…]`; neither: that of the snapshot's init.

        Raises UsageError if the snapshot has no such process or namespace.
        """
        self.snapshot = snapshot
        self._namespace = _namespace_of(snapshot, pid, netns)

    @property
    def origin(self) -> Origin:
        snapshot, inside = self.snapshot, self._namespace
        _, time = self.taken()
        netns = f"{inside.netns} ({inside.name})" if inside.name else inside.netns
        return Origin(snapshot.source, snapshot.host, time, snapshot.kernel, snapshot.uid, netns)

    def taken(self) -> tuple[str, str]:
        at_s = self.snapshot.at_s
        if not 0 < at_s < datetime(9999, 1, 1, tzinfo=timezone.utc).timestamp():
            return self.snapshot.host, ""
        return self.snapshot.host, datetime.fromtimestamp(at_s, timezone.utc).isoformat(timespec="milliseconds")

    def world(self, pid: int | None = None, *, details: bool = True) -> World:
        return world_of(self.snapshot, self._namespace, pid)

    def sysctl(self, name: str) -> str:
        return self._namespace.sysctls.get(name) or self.snapshot.sysctls.get(name, "")

    def motion(self) -> Motion:
        return Motion(0, 0)

    def listeners(self) -> Sockets:
        return self._namespace.listeners

    def fold(
        self,
        fold: Callable[[Iterable[Sockets]], T],
        states: Iterable[State],
        *,
        where: Where = EVERYWHERE,
        automatic: range | None = None,
        others: bool = True,
    ) -> tuple[T, str]:
        if not self._namespace.read_from:
            raise CannotError("the TCP sockets", NO_LISTING, LISTING)
        wanted = [int(state) for state in states]
        tables = []
        for table in (recast(self._namespace.listeners, SOCKET), self._namespace.sockets):
            chosen = in_states(table["state"], wanted)
            if automatic is not None and not others:
                own = (table["local_port"] >= automatic.start) & (table["local_port"] < automatic.stop)
                is_named = (table["chosen"] == Chosen.BOUND) | (table["state"] == State.LISTEN)
                chosen &= own | is_named
            tables.append(table[chosen])
        return fold(tables), self._namespace.read_from

    def holders(self, inodes: NDArray[np.uint32], *, rings: bool = False) -> Holders:
        inside = self._namespace
        tables = ((inside.sockets, inside.socket_pids), (inside.listeners, inside.listener_pids))
        known = [(table["inode"], pids) for table, pids in tables if len(pids)]
        if not known:  # nobody looked for owners
            nothing = np.zeros(0, np.uint32)
            return Holders((), nothing, np.zeros(0, np.int64), visible=None, users={}, listed=True)
        own, pids = (np.concatenate(columns) for columns in zip(*known, strict=True))
        own, first = np.unique(own[pids > 0], return_index=True)
        found, numbers = np.unique(pids[pids > 0][first], return_inverse=True)
        uid = self.snapshot.uid
        return Holders(
            processes=tuple((pid, self._name(pid)) for pid in found.tolist()),
            inodes=own,
            numbers=numbers.astype(np.int64),
            visible=None if uid == 0 else frozenset(() if uid is None else (uid,)),
            users={},
            shared=frozenset(own[is_in(pids[pids > 0][first], self._namesakes)].tolist()),
            listed=uid is None,
        )

    def resolve(self, spec: EndpointSpec) -> list[Address]:
        try:
            return [ipaddress.ip_address(spec.host)]
        except ValueError:
            raise UsageError(
                f"the host {quoted(spec.host)}", "a snapshot resolves no names", "Write its address."
            ) from None

    def is_local(self, address: Address) -> bool:
        return address.is_loopback or address.is_unspecified or mapped(address) in self._own

    def is_source(self, address: Address) -> bool:
        return self.is_local(address) and not address.is_unspecified

    def source_towards(self, destination: Endpoint) -> Address:
        address = destination.address
        if address.is_loopback:
            return ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
        if self.is_local(address):
            return address
        for route in self._routes_to(address):
            found = route.source or self._first_address(route.interface, address.version)
            if found:
                return ipaddress.ip_address(found)
        if self._namespace.routes:
            raise OSError(errno.ENETUNREACH, NO_ROUTE)
        if likely := self._likely_source(address):
            return likely
        raise UsageError(
            f"the source address towards {address}",
            "the snapshot has neither routes nor addresses",
            "Name it: --from ADDRESS; or paste the output of ip address and ip route, too.",
        )

    def addresses(self) -> list[Address]:
        return [ipaddress.ip_address(each.address) for each in self._namespace.addresses]

    def claims(self) -> tuple[list[Claim], list[str]]:
        inside = self._namespace
        listening = [Claim(port, port, "TCP listener") for port in distinct(inside.listeners["local_port"]).tolist()]
        automatic = inside.ports.port_range if inside.ports else range(0)
        udp = [Claim(port, port, "UDP socket") for port in inside.udp_ports or () if port not in automatic]
        why_not = ["what files of that host name (services, systemd sockets, Kubernetes)"]
        why_not.append("the UDP sockets" if inside.udp_ports is None else "which UDP ports of its range are fixed ones")
        return [*listening, *udp], why_not

    def tested(self, unsure: Mask, connected: Mask, facts: PortFacts) -> tuple[Mask, Mask]:
        raise UsageError("--probe", "ports of a snapshot cannot be tested", "Leave it out, or ask the host itself.")

    @cached_property
    def _own(self) -> frozenset[bytes]:
        """The addresses of this namespace: those of its interfaces, and those of its sockets."""
        inside = self._namespace
        locals_ = np.unique(np.concatenate([inside.sockets["local"], inside.listeners["local"]]))
        return frozenset((*(mapped(each) for each in self.addresses()), *(each.tobytes() for each in locals_)))

    @cached_property
    def _namesakes(self) -> NDArray[np.int64]:
        """The processes that are not alone with their name: a snapshot keeps one owner of a socket, and these fork."""
        pids: dict[str, list[int]] = {}
        for pid, process in self.snapshot.processes.items():
            pids.setdefault(process.name, []).append(pid)
        return np.array(sorted(pid for each in pids.values() if len(each) > 1 for pid in each), np.int64)

    def _name(self, pid: int) -> str:
        process = self.snapshot.processes.get(pid)
        return process.name if process else ""

    def _routes_to(self, address: Address) -> list[HostRoute]:
        """The routes to the address, the most specific first, of equal ones that with the least metric."""
        fitting = []
        for route in self._namespace.routes:
            network = _network(route.destination)
            if address.version == network.version and address in network:
                fitting.append((-network.prefixlen, route.metric, route))
        return [route for *_, route in sorted(fitting, key=lambda each: each[:2])]

    def _first_address(self, interface: str, version: int) -> str:
        own = (each.address for each in self._namespace.addresses if each.interface == interface)
        return next((each for each in own if ipaddress.ip_address(each).version == version), "")

    def _likely_source(self, destination: Address) -> Address | None:
        """The source without routes: what most connections there have, on the same network, or of most at all.

        None: there is no address.
        """
        rows, inside = self._namespace.sockets, self._namespace
        near = [each for each in inside.addresses if destination in _network(f"{each.address}/{each.prefix}")]
        candidates = [
            *_most_common(rows["local"][rows["remote"] == np.void(mapped(destination))]),
            *(ipaddress.ip_address(each.address) for each in near),
            *_most_common(rows["local"]),
            *self.addresses(),
        ]
        fitting = (each for each in candidates if each.version == destination.version)
        return next((each for each in fitting if not (each.is_loopback or each.is_unspecified)), None)


def world_of(snapshot: Snapshot, inside: HostNamespace, pid: int | None) -> World:
    """The World of a process in a namespace; None: of a program that is started there. Raises UsageError."""
    process = snapshot.processes.get(SHELL if pid is None else pid)
    if pid is not None and process is None:
        raise UsageError(f"--pid {pid}", NO_PROCESS)
    cgroup = snapshot.cgroups.get(process.cgroup) if process else None
    sysctls = {**snapshot.sysctls, **inside.sysctls}
    why_not = dict(inside.why_not)
    if process is None:
        by_process = "a snapshot knows them by process (--pid)"
        why_not["open files, locked memory and processes"] = _lacking(snapshot, by_process, OF_FILES)
    ports = inside.ports if inside.read_from else None
    if inside.ports is None:
        why_not.setdefault("the port range", _lacking(snapshot, NOT_THERE, OF_PORTS))
    if not inside.read_from:
        why_not.setdefault("source ports", f"{NO_LISTING}. {LISTING}")
    if snapshot.memory.free_bytes is None:
        why_not["memory of the host"] = _lacking(snapshot, NOT_THERE, OF_MEMORY)
    memory = None
    if cgroup and cgroup.memory_most_bytes is not None and cgroup.memory_bytes is not None:
        free_bytes = cgroup.memory_most_bytes - cgroup.memory_bytes + (cgroup.files_bytes or 0)
        memory = Memory(max(0, free_bytes), f"in the cgroup {cgroup.path}")
    pids_left = None
    if cgroup and cgroup.pids_most is not None and cgroup.pids is not None:
        pids_left = max(0, cgroup.pids_most - cgroup.pids)
    return World(
        kernel=snapshot.kernel,
        netns=inside.netns,
        process=_facts(snapshot, inside, process),
        ports=ports,
        cpus=snapshot.cpus,
        page_bytes=snapshot.page_bytes,
        memory_bytes=snapshot.memory_bytes,
        memory=snapshot.memory,
        cgroup=memory,
        pids_left=pids_left,
        files_in_use=snapshot.files_in_use,
        threads=snapshot.threads,
        neighbours=inside.neighbours,
        sysctls=sysctls,
        sockstat=inside.sockstat,
        counters={**snapshot.counters, **inside.counters},
        tracked=inside.tracked,
        why_not=why_not,
        unlisted=inside.unlisted,
        behaviours=snapshot.behaviours,
    )


def _lacking(snapshot: Snapshot, why: str, command: str) -> str:
    """Why something is not known; of a paste, which has no user, also the command whose output would tell it."""
    return f"{why}. Paste the output of {command}, too." if snapshot.uid is None else why


def origin_of_all(snapshot: Snapshot) -> Origin:
    """Whose and of when the whole snapshot is, with all of its namespaces."""
    return replace(Recorded(snapshot).origin, netns="")


def of_one_namespace(snapshot: Snapshot, netns: str) -> Snapshot:
    """The snapshot with one network namespace only, its processes and their cgroups. Raises UsageError."""
    inside = _namespace_of(snapshot, None, netns)
    processes = {pid: each for pid, each in snapshot.processes.items() if each.netns == inside.netns}
    paths = {inside.cgroup, *(each.cgroup for each in processes.values())}
    cgroups = {path: each for path, each in snapshot.cgroups.items() if path in paths}
    return replace(snapshot, namespaces={inside.netns: inside}, processes=processes, cgroups=cgroups)


def _facts(snapshot: Snapshot, inside: HostNamespace, process: HostProcess | None) -> ProcessFacts:
    """What is known of the process; None: nothing, it would be a new one."""
    found = process or HostProcess(SHELL, ANY_PROGRAM)
    threads = [each.threads or 1 for each in snapshot.processes.values() if each.uid == found.uid]
    return ProcessFacts(
        pid=found.pid,
        name=found.name,
        uid=found.uid,
        files_soft=found.files_soft,
        files_hard=found.files_hard,
        files_open=found.files_open,
        files_most=found.files_most,
        memlock_soft_bytes=found.memlock_soft_bytes,
        processes_soft=found.processes_soft,
        uid_threads=sum(threads) if found.uid is not None else None,
        capabilities=found.capabilities,
        of_host=found.of_host,
        sockets=_inodes(inside, found.pid),
        rings=found.rings,
        epolls=found.epolls,
        files_unsure=found.files_unsure,
    )


def _inodes(inside: HostNamespace, pid: int) -> frozenset[int] | None:
    """The inodes of the sockets of a process in this namespace; None: nobody looked for the owners."""
    tables = ((inside.sockets, inside.socket_pids), (inside.listeners, inside.listener_pids))
    found = [table["inode"][pids == pid] for table, pids in tables if len(pids)]
    return frozenset(np.concatenate(found).tolist()) if found and pid != SHELL else None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text, strict=False)


def _most_common(packed: NDArray[np.void]) -> list[Address]:
    """The addresses, the most common first."""
    values, counts = np.unique(packed, return_counts=True)
    return [unmapped(values[place].tobytes()) for place in np.argsort(-counts, kind="stable").tolist()]


def _namespace_of(snapshot: Snapshot, pid: int | None, netns: str | None) -> HostNamespace:
    """The namespace with this name, PID or `net:[…]`; else that of the process; else init's. Raises UsageError."""
    names: Mapping[str, HostNamespace] = snapshot.namespaces
    option = "--pid" if netns is None else "--netns"
    if netns is not None and (number := number_of(netns)) is not None:
        pid, netns = number, None
    if netns is not None:
        for inside in names.values():
            if netns in (inside.netns, inside.name):
                return inside
        known = ", ".join(each.name or each.netns for each in _first(names.values()))
        raise UsageError(f"--netns {quoted(netns)}", "the snapshot does not have it", f"It has {known}.")
    if pid is not None:
        process = snapshot.processes.get(pid)
        if process is None:
            raise UsageError(f"{option} {pid}", NO_PROCESS)
        if process.netns in names:
            return names[process.netns]
        hidden = "its network namespace is not in the snapshot; its maker could not see it"
        return HostNamespace(process.netns, why_not={"its network": hidden})
    return next(iter(names.values()), HostNamespace("", why_not={"its network": "the snapshot has no namespace"}))


def _first(namespaces: Iterable[HostNamespace], most: int = 5) -> Iterator[HostNamespace]:
    """Yield the first of them, for a text."""
    for _, inside in zip(range(most), namespaces, strict=False):
        yield inside
