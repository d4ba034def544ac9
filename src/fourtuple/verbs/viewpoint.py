"""What one network namespace, of this host or of a snapshot, says about the findings of a text: their scenes."""

import ipaddress
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial

import numpy as np

from fourtuple.core.census.records import By, Census, PairCount, Source
from fourtuple.core.census.usage import Usage
from fourtuple.core.census.view import View
from fourtuple.core.errors import CannotError, ShortfallError, UsageError
from fourtuple.core.limits.facts import World
from fourtuple.core.numbers import number_of
from fourtuple.core.snapshot.host import Host
from fourtuple.core.snapshot.records import HostNamespace, HostProcess, Snapshot
from fourtuple.core.sockets.columns import Numbers, is_in
from fourtuple.core.sockets.filter import EVERYWHERE
from fourtuple.core.sockets.owners import Owners
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import SOCKET, Sockets, State, four_tuples, full_queues, mapped, recast
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.why.causes import ADVISED
from fourtuple.core.why.findings import Finding
from fourtuple.core.why.leads import NamedDestination, call_of, toward_of
from fourtuple.core.why.scene import FULL, HALF, Bearing, Scene, UnixQueue
from fourtuple.verbs.census import CONNECTED
from fourtuple.verbs.survey import Look, look, queue_of

IPV6_OFF = "net.ipv6.conf.all.disable_ipv6"
CEILINGS = ("net.core.somaxconn", "net.ipv4.tcp_max_syn_backlog", "fs.nr_open", "kernel.pid_max", "kernel.threads-max")
MOST_PAIRS = 1000  # pairs that are searched for the target
HERE = "this host"  # the source of a sweep
MOST_HOLDERS, MOST_OWNERS, MOST_FULL = 4, 3, 4


class Viewpoint:
    """One network namespace, read once for all findings.

    pid:      the process in question; None: unknown
    snapshot: the whole host
    inside:   the namespace in the snapshot; None: the snapshot does not have it
    ports:    the local ports that findings name
    subject:  the namespace in words; empty: it is this one
    ask:      also ask programs for their settings, by their own protocols
    """

    def __init__(
        self,
        host: Host,
        snapshot: Snapshot,
        inside: HostNamespace | None,
        ports: frozenset[int],
        pid: int | None = None,
        subject: str = "",
        *,
        ask: bool = False,
    ) -> None:
        self._ask = ask
        self._host, self._snapshot, self._inside, self._ports = host, snapshot, inside, ports
        self.pid, self.subject = pid, subject
        self._looks: dict[tuple[str | None, int | None], tuple[Look, str | None]] = {}

    def scene(self, finding: Finding, bearing: Bearing, target: str | None) -> Scene:
        """The scene of the finding here. target: ADDRESS:PORT of its destination, if it has an address"""
        pid = self._process(finding, target) if bearing is not Bearing.THEN else self.pid
        seen, target = self._look(target, pid)
        toward = toward_of(finding, target)
        found, pair = self._census, self._pair(toward)
        end = Endpoint.parse(target) if target else None
        arriving = NamedDestination(True, None, finding.port) if finding.port and not toward.is_named else toward
        listening = self._listening_at(arriving)
        full = full_queues(listening)
        return Scene(
            world=replace(seen.world, sysctls={**self._settings_of_host, **seen.world.sysctls}),
            finding=finding,
            bearing=bearing,
            subject=self.subject,
            target=target,
            pair=pair,
            owners=str(pair.owners) if pair else "",
            ports=seen.ports,
            destinations=sum(isinstance(row, PairCount) and row.role is Role.CLIENT for row in found.rows)
            if self._read_from
            else None,
            single=self._single(seen.world),
            queue=queue_of(listening, self._read_from),
            full=full[:MOST_FULL],
            full_elsewhere=len(full_queues(self._listeners)) > len(full),
            unix=self._unix(finding),
            local=None if end is None else self._host.is_local(end.address),
            listens=bool(len(listening))
            if end is not None and self._read_from and self._host.is_local(end.address)
            else None,
            has_source=self._has_source(finding),
            tentative=self._tentative(finding),
            holders=tuple(self._holders(finding.port)),
            close_wait=found.sockets.get(State.CLOSE_WAIT.name, 0) if self._read_from else None,
            close_wait_owners=", ".join(filter(None, (str(leak.owners) for leak in found.leaks[:MOST_OWNERS]))),
            asked=pid is not None,
            limits=dict(self._limits(seen.world, pid)),
            settings=self._settings(finding, pid) if bearing is not Bearing.THEN else {},
        )

    def may_fit(self, finding: Finding) -> bool:
        """Whether a limit of this namespace is near enough to be looked at closely; quick, for hundreds of them."""
        inside = self._inside
        if inside is None:
            return False
        facts, udp = inside.ports, len(inside.udp_ports or ())
        size = facts.automatic_ports.size if facts else 0
        tracked = [number_of(inside.sysctls.get(f"net.netfilter.nf_conntrack_{name}", "")) for name in ("count", "max")]
        listeners = inside.listeners
        return (
            (facts is not None and max(len(inside.sockets), udp, len(facts.port_range) - size) >= HALF * size)
            or bool((listeners["recv_q"] > listeners["send_q"]).any())
            or (tracked[0] or 0) >= FULL * (tracked[1] or np.inf)
            or self._unix(finding) is not None
        )

    def has(self, address: str) -> bool:
        """Whether connections can come from this address here."""
        with suppress(ValueError):
            return self._host.is_source(ipaddress.ip_address(address))
        return False

    def ceilings(self) -> dict[str, int]:
        """The limits here, by name."""
        seen, _ = self._look(None, self.pid)
        settings = {name: value for name in CEILINGS if (value := seen.world.number(name))}
        return settings | {verdict.limit: verdict.ceiling for verdict in seen.verdicts if verdict.ceiling}

    def unknown(self) -> dict[str, str]:
        """What could not be read here, and why."""
        return dict(self._world.why_not)

    @property
    def _world(self) -> World:
        """The world of the given process, or of any, as a survey has seen it, whatever its target."""
        seen = next((seen for (_, pid), (seen, _) in self._looks.items() if pid == self.pid), None)
        return (seen or self._look(None, self.pid)[0]).world

    @cached_property
    def _settings_of_host(self) -> dict[str, str]:
        """The settings that causes ask for beside those of the limits."""
        return {name: text for name in (IPV6_OFF, *ADVISED) if (text := self._host.sysctl(name))}

    @cached_property
    def _listeners(self) -> Sockets:
        return self._host.listeners()

    @cached_property
    def _folded(self) -> tuple[tuple[Usage, Sockets, Numbers], str]:
        fold = partial(self._fold, self._listeners)
        try:
            return self._host.fold(fold, CONNECTED)
        except CannotError:  # a paste without the sockets, which tells other things
            return fold(()), ""

    @property
    def _read_from(self) -> str:
        return self._folded[1]

    @cached_property
    def _census(self) -> Census:
        """The busiest pairs; the owners of the sockets that a finding may be about are looked for once."""
        usage, _, _ = self._folded[0]
        view = View.of(usage, By.PAIR, MOST_PAIRS)
        world = self._world
        taken = Source("", "", world.netns, world.kernel, self._read_from, None, 0)
        return view.census(taken, world, self._owned)

    @cached_property
    def _owned(self):  # type: ignore[no-untyped-def]
        (usage, on_port, _), _ = self._folded
        view = View.of(usage, By.PAIR, MOST_PAIRS)
        return self._host.holders(np.concatenate([view.inodes, on_port["inode"], self._listeners["inode"]]))

    def _fold(self, listeners: Sockets, tables: Iterable[Sockets]) -> tuple[Usage, Sockets, Numbers]:
        """The usage; the sockets with the local ports in question, listeners first; how many sockets each port has."""
        ports = np.array(sorted(self._ports), np.int64)
        kept = [recast(listeners[is_in(listeners["local_port"], ports)], SOCKET)]
        counts = np.zeros(65_536, np.int64)

        def passed() -> Iterator[Sockets]:
            for table in tables:
                counts[:] += np.bincount(table["local_port"], minlength=65_536)
                if len(ports):
                    kept.append(table[is_in(table["local_port"], ports)])
                yield table

        usage = Usage.of(passed(), listeners, None, EVERYWHERE)
        return usage, np.concatenate(kept), counts

    def _single(self, world: World) -> int | None:
        """How many ports of the range have exactly one socket; None: unknown."""
        (_, _, counts), read_from = self._folded
        return int((counts[world.ports.automatic_ports.mask] == 1).sum()) if world.ports and read_from else None

    def _look(self, target: str | None, pid: int | None) -> tuple[Look, str | None]:
        """Survey with the target if it is reachable, otherwise without it; once for each target and process."""
        if (target, pid) not in self._looks:
            self._looks[target, pid] = self._looked(target, pid)
        return self._looks[target, pid]

    def _looked(self, target: str | None, pid: int | None) -> tuple[Look, str | None]:
        if target is not None:
            with suppress(ShortfallError, UsageError, OSError):
                return look([target], pid=pid, host=self._host), target
        return look(pid=pid, host=self._host), target

    def _pair(self, toward: NamedDestination) -> PairCount | None:
        """The busiest pair that this namespace opened to what the text names; None: there is none."""
        pairs = (row for row in self._census.rows if isinstance(row, PairCount) and row.role is Role.CLIENT)
        return next((pair for pair in pairs if toward.may_be(Endpoint.parse(pair.destination))), None)

    def _process(self, finding: Finding, target: str | None) -> int | None:
        """The process in question: the one that is given, that the text names, or that listens where files ran out."""
        if self.pid is not None:
            return self.pid
        if finding.error == "EMFILE" and call_of(finding) in ("", "accept") and (pid := self._server(target)):
            return pid
        named = [each for each in self._snapshot.processes.values() if _is(each, finding)]
        if (
            finding.pid is not None
            and (process := self._snapshot.processes.get(finding.pid))
            and (process in named or not finding.program)
        ):
            return process.pid if process.name else None
        return named[0].pid if len(named) == 1 else None

    def _server(self, target: str | None) -> int | None:
        """The PID of the process that listens at the target; None: there is none, or this user may not see it."""
        if target is None:
            return None
        found = self._owners_of(self._listening_at(toward_of(Finding(), target))).processes
        return found[0].pid if found else None

    def _owners_of(self, sockets: Sockets) -> Owners:
        """The owners of all these sockets together."""
        owners: Owners = self._owned.owners(np.zeros(len(sockets), np.int64), sockets["inode"], sockets["uid"], 1)[0]
        return owners

    def _listening_at(self, toward: NamedDestination) -> Sockets:
        """The listeners at which connections to what the text names arrive; all, if it names nothing."""
        rows = self._listeners
        if toward.is_named and not (toward.address or toward.port):
            return rows[:0]
        if toward.port:
            rows = rows[rows["local_port"] == toward.port]
        if toward.address is None:
            return rows
        theirs = {mapped(toward.address)}
        if self._host.is_local(toward.address) or not self._host.addresses():  # a paste may not have the addresses
            theirs |= {bytes(16), mapped(ipaddress.IPv4Address(0))}
        return rows[[row.tobytes() in theirs for row in rows["local"]]]

    def _holders(self, port: int | None) -> Iterator[str]:
        """Describe the first sockets that hold the port, and count the others."""
        if port is None:
            return
        (_, on_ports, _), _ = self._folded
        on_port = on_ports[on_ports["local_port"] == port]
        for number, ends in enumerate(four_tuples(on_port[:MOST_HOLDERS])):
            state = State(int(on_port["state"][number]))
            where = f"{ends.source}" if state in (State.LISTEN, State.CLOSE) else f"{ends}"
            who = str(self._owners_of(on_port[number : number + 1]))
            yield f"{'bound' if state is State.CLOSE else state.name} {where}{f', {who}' if who else ''}"
        if len(on_port) > MOST_HOLDERS:
            yield f"{len(on_port) - MOST_HOLDERS:,} more"

    def _unix(self, finding: Finding) -> UnixQueue | None:
        """The queue of the Unix socket that the text names; of EAGAIN without an end, the longest full one."""
        path = finding.destination.removeprefix("unix:")
        queues = [UnixQueue(row.path, row.waiting, row.backlog) for row in (self._inside.unix if self._inside else ())]
        if path.startswith(("/", "@")):
            return next((queue for queue in queues if queue.path == path), None)
        may_be = finding.error == "EAGAIN" and call_of(finding) in ("", "connect") and not finding.destination
        if not may_be or finding.protocol not in ("", "unix"):
            return None
        return max((queue for queue in queues if queue.is_full), key=lambda queue: queue.waiting, default=None)

    def _source(self, finding: Finding) -> str:
        """The source address that could be missing: that of bind(), or that of a connection; empty: none."""
        text = finding.source or (finding.destination if call_of(finding) in ("bind", "listen") else "")
        host = text.rpartition(":")[0] if text.count(":") == 1 or "]" in text else text
        address = host.strip("[]")
        try:
            return "" if ipaddress.ip_address(address).is_unspecified else address
        except ValueError:
            return ""

    def _has_source(self, finding: Finding) -> bool | None:
        if finding.error != "EADDRNOTAVAIL":
            return None
        source = self._source(finding)
        return self.has(source) if source else None

    def _tentative(self, finding: Finding) -> bool | None:
        source = self._source(finding)
        rows = [row for row in self._inside.addresses if row.address == source] if self._inside and source else []
        return rows[0].tentative if rows else None

    def _settings(self, finding: Finding, pid: int | None) -> dict[str, list[str]]:
        """What the program whose limit the text names has set, if it runs on this host now."""
        from fourtuple.core.why.catalogue.rows import program_of

        program = finding.limit.partition(".")[0] or finding.program
        if not program or self._snapshot.source != HERE:
            return {}
        pids = [each.pid for each in self._snapshot.processes.values() if program_of(each.name) == program]
        if pid is None and not pids:
            return {}
        from fourtuple.verbs.program_settings import settings_of

        found: dict[str, list[str]] = {}
        for setting in settings_of(pid or min(pids), program, ask=self._ask):
            has = f"{setting.key} is {setting.value}" if setting.value else f"{setting.key} could not be read"
            found.setdefault(setting.key, []).append(f"{has} ({setting.where})")
        return found

    def _limits(self, world: World, pid: int | None) -> Iterator[tuple[str, tuple[int, int | None]]]:
        """Ceilings beside those of the World, and what is in use of each."""
        process = self._snapshot.processes.get(pid) if pid is not None else None
        uid = process.uid if process else None
        instances = self._snapshot.inotify_instances
        used: dict[str, int | None] = {
            "fs.inotify.max_user_instances": instances.get(uid)
            if uid is not None
            else max(instances.values(), default=None),
            "fs.inotify.max_user_watches": None,
            "vm.max_map_count": process.maps if process else None,
            "net.ipv6.route.max_size": self._inside.routes6 if self._inside else None,
        }
        for name, count in used.items():
            most = number_of((self._snapshot.sysctls.get(name) or self._host.sysctl(name)).strip())
            if most:
                yield name, (most, count)
        if world.ports and self._inside and self._inside.udp_ports is not None:
            automatic = world.ports.automatic_ports
            yield "UDP ports", (automatic.size, sum(port in automatic for port in self._inside.udp_ports))


def _is(process: HostProcess, finding: Finding) -> bool:
    """Whether the process can be the program that the text names: its name, or what a process's name is cut to."""
    from fourtuple.core.why.catalogue.rows import program_of

    return bool(finding.program) and finding.program in (process.name.lower(), program_of(process.name))
