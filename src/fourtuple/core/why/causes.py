"""Why connections stop: causes, one row each, with what this host says for and against them, and what to do.

A row's evidence is weighed against a `Scene`: what was asked, and what the host tells at this moment. What cannot be
seen from here says nothing for or against.
"""

import errno
import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fourtuple.core.census.records import PairCount
from fourtuple.core.limits import meters
from fourtuple.core.limits.attribution import TIME_WAIT_S
from fourtuple.core.limits.facts import World
from fourtuple.core.limits.meters import Meter
from fourtuple.core.limits.ports import PortRoom
from fourtuple.core.limits.releases import IN_TURN
from fourtuple.core.limits.remarks import NR_OPEN
from fourtuple.core.limits.verdicts import Queue
from fourtuple.core.units import format_count, format_rate, format_size

NEAR = 64  # a count that stopped so little below a limit stopped there: listeners, pipes and libraries take a few
HALF, FULL = 0.5, 0.97  # of the usable ports: from there on it is slow, and used up
NEARLY = 0.9  # of what comes and goes in bursts: some of it is gone by the time it is read
MANY = 100  # TIME_WAITs that are worth a word
FEW = 10  # CLOSE_WAITs that are: none should stay


@dataclass(frozen=True, slots=True)
class Scene:
    """number:   where connections stop; None: not told
    errno, call: 0 and empty: not told
    port:     the local port that a message names; None: none
    target:   the destination in question, as ADDRESS:PORT; None: not told
    pair:     the busiest (source, destination), or that of the target; None: nobody is connected
    owners:   who has its sockets, as far as this user may see
    ports:    what the range leaves to the target, or to any new destination; None: unknown
    queue:    of the listeners of this namespace; full: names of those that are full
    local:    the target is an address of this host; None: not told, or not known
    listens:  somebody listens at the target; None as above
    holders:  who has `port`, in words
    close_wait: sockets of the namespace in CLOSE_WAIT; close_wait_owners: who has them
    asked:    the process is the one in question; else it is only this program
    """

    world: World
    number: int | None = None
    errno: int = 0
    call: str = ""
    port: int | None = None
    target: str | None = None
    pair: PairCount | None = None
    owners: str = ""
    ports: PortRoom | None = None
    queue: Queue | None = None
    full: Sequence[str] = ()
    local: bool | None = None
    listens: bool | None = None
    holders: Sequence[str] = ()
    close_wait: int = 0
    close_wait_owners: str = ""
    asked: bool = True

    @property
    def range_size(self) -> int | None:
        return len(self.world.ports.port_range) if self.world.ports else None

    @property
    def usable(self) -> int | None:
        """Ports towards each destination."""
        return self.ports.ceiling // self.ports.pairs if self.ports and self.ports.pairs else None

    def counter(self, name: str) -> int:
        return self.world.counters.get(name, 0)

    def moved(self, meter: Meter) -> int:
        """How often its ceiling was met so far."""
        return sum(map(self.counter, meter.counters))


@dataclass(frozen=True, slots=True)
class Evidence:
    """weight: above 0 it speaks for the cause, below 0 against it; 0 is only said"""

    weight: int
    text: str


Numbers = Sequence[int | None]


def nowhere(_: Scene) -> Numbers:
    """At no number of its own, or not at one of this host."""
    return ()


@dataclass(frozen=True, slots=True)
class Cause:
    """says: the cause in a line; do: what helps, the best first; stops_at: where connections stop on this host by it"""

    says: str
    do: Sequence[str]
    evidence: Callable[[Scene], Iterator[Evidence]]
    stops_at: Callable[[Scene], Numbers] = nowhere


def near(number: int | None, limit: int | None) -> bool:
    """Did it stop there? Of a small limit less is near."""
    return number is not None and limit is not None and limit - min(NEAR, limit // 10) <= number <= limit + 1


def _ceiling(meter: Meter) -> Callable[[Scene], Numbers]:
    return lambda scene: (meter.ceiling(scene.world),)


def _range_sizes(scene: Scene) -> Numbers:
    return scene.range_size, scene.usable


def _half_range_sizes(scene: Scene) -> Numbers:
    return (scene.range_size and scene.range_size // 2,)


def _file_limits(scene: Scene) -> Numbers:
    soft = meters.PROCESS_FILES.ceiling(scene.world)
    return soft, soft and soft // 2


def _queue_sizes(scene: Scene) -> Numbers:
    somaxconn = scene.world.number("net.core.somaxconn")
    return scene.queue.backlog_most + 1 if scene.queue else None, somaxconn and somaxconn + 1


def _filled(scene: Scene, meter: Meter, share: float, weights: tuple[int, int], what: str) -> Iterator[Evidence]:
    """How much of it is in use. weights: where that is this share of the ceiling or more, and else"""
    found = meter.read(scene.world)
    if found.ceiling is not None and found.in_use is not None:
        full, other = weights
        weight = full if found.in_use >= share * found.ceiling else other
        yield Evidence(weight, f"{format_count(found.in_use)} of {format_count(found.ceiling)} {what}")


def _same(scene: Scene, limit: int | None, what: str, *, against: bool = True) -> Iterator[Evidence]:
    """Is the number that of this limit?"""
    if scene.number is None or limit is None:
        return
    if near(scene.number, limit):
        yield Evidence(4, f"{what}: {format_count(limit)}")
    elif against:
        yield Evidence(-2, f"{what} is {format_count(limit)}")


def _counted(scene: Scene, names: Sequence[str]) -> Iterator[Evidence]:
    """Counters that speak for it once they have moved, and against it while they have not."""
    for name in names:
        count = scene.counter(name)
        yield Evidence(2 if count else -1, f"{format_count(count)} {name} in this namespace so far")


def _use(scene: Scene) -> Iterator[Evidence]:
    """How much of the range is used towards the target, or the busiest destination."""
    pair, usable = scene.pair, scene.usable
    if pair is None:
        if scene.errno == errno.EADDRNOTAVAIL and scene.target:
            yield Evidence(-2, f"no socket of this namespace goes to {scene.target} now")
        return
    if not usable:
        return
    share = pair.used / usable
    who = f", of {scene.owners}" if scene.owners else ""
    text = (
        f"{format_count(pair.used)} of {format_count(usable)} ports are in use {pair.source} → {pair.destination}{who}"
    )
    waits = f", {format_count(pair.time_wait)} of them in TIME_WAIT" if pair.time_wait else ""
    weight = 4 if share >= FULL else 1 if share >= HALF else -2 if scene.errno or scene.target else 0
    yield Evidence(weight, text + waits)


def port_range(scene: Scene) -> Iterator[Evidence]:
    facts = scene.world.ports
    if facts:
        what = f"the range here is {facts.port_range.start}-{facts.port_range.stop - 1}, usable ports"
        yield from _same(scene, scene.usable or scene.range_size, what)
    yield from _use(scene)


def time_wait(scene: Scene) -> Iterator[Evidence]:
    pair, usable = scene.pair, scene.usable
    if pair and pair.time_wait >= MANY:
        full = usable is not None and pair.used >= FULL * usable
        yield Evidence(
            0 if pair.time_wait < HALF * pair.used else 9 if full else 3,  # full of them: the range is not the cause
            f"{format_count(pair.time_wait)} of {format_count(pair.used)} to {pair.destination} are in TIME_WAIT",
        )
    elif pair:
        yield Evidence(-2, f"{format_count(pair.time_wait)} in TIME_WAIT to {pair.destination}")
    if usable:
        most = format_rate(usable / TIME_WAIT_S)
        yield Evidence(0, f"{most} is the most to one destination, where this end closes first")


def close_wait(scene: Scene) -> Iterator[Evidence]:
    pair, usable = scene.pair, scene.usable
    if pair and usable and pair.close_wait >= HALF * pair.used and pair.close_wait >= FEW:
        text = f"{format_count(pair.close_wait)} of {format_count(pair.used)} to {pair.destination} are in CLOSE_WAIT"
        yield Evidence(9 if pair.used >= FULL * usable else 3, text)
    elif scene.close_wait >= FEW:
        who = f", of {scene.close_wait_owners}" if scene.close_wait_owners else ""
        files = scene.world.process.files_soft if scene.errno == errno.EMFILE else None
        weight = 5 if files and scene.close_wait >= HALF * files else 1
        yield Evidence(weight, f"{format_count(scene.close_wait)} sockets of this namespace are in CLOSE_WAIT{who}")
    else:
        yield Evidence(-2, f"{format_count(scene.close_wait)} sockets of this namespace are in CLOSE_WAIT")


def bound_first(scene: Scene) -> Iterator[Evidence]:
    ports = scene.ports
    if scene.call == "bind" and scene.errno == errno.EADDRINUSE and scene.port is None:
        yield Evidence(2, "it was bind() that failed, without a port of its own")
    if ports is None or not scene.range_size:
        return
    share = ports.blocked / scene.range_size
    perhaps = f", {format_count(ports.unattributed)} more perhaps: limits --probe tells" if ports.unattributed else ""
    text = f"{format_count(ports.blocked)} ports of the range are held by bind() or listen(){perhaps}"
    yield Evidence(3 if share >= HALF else 1 if share >= 0.1 else 0 if ports.unattributed else -2, text)


def half_range(scene: Scene) -> Iterator[Evidence]:
    size = scene.range_size
    if size is not None:
        yield from _same(scene, size // 2, "half of the range here")
    if scene.world.ports and scene.world.ports.range_is_quick:
        yield Evidence(0, "this kernel looks at all ports in turn where IP_LOCAL_PORT_RANGE is set")


def files(scene: Scene) -> Iterator[Evidence]:
    process = scene.world.process
    whose = f"{process.name} ({process.pid})"
    yield from _same(scene, process.files_soft, f"RLIMIT_NOFILE of {whose}")
    if process.files_soft and near(scene.number and 2 * scene.number, process.files_soft):
        yield Evidence(2, f"RLIMIT_NOFILE of {whose} is {format_count(process.files_soft)}: two files for each")
    if process.files_open is not None and process.files_soft:
        free = process.files_soft - process.files_open
        text = f"{format_count(process.files_open)} of {format_count(process.files_soft)} are open in {whose}"
        if scene.asked:
            yield Evidence(3 if free < NEAR else -1 if scene.errno == errno.EMFILE else 0, text)
        else:
            yield Evidence(0, "which process is it? --pid tells how many files it has open")


def files_there(scene: Scene) -> Iterator[Evidence]:
    soft = scene.world.process.files_soft
    if scene.number and soft and scene.number + NEAR < soft:
        yield Evidence(1, f"here {format_count(soft)} files may be open, so it is not this end")
    yield Evidence(0, "the other end's limit is not to be seen from here")


def file_max(scene: Scene) -> Iterator[Evidence]:
    return _filled(scene, meters.HOST_FILES, HALF, (3, -2), "files are open on this host")


def accept_queue(scene: Scene) -> Iterator[Evidence]:
    if scene.full:
        yield Evidence(4, f"full now: {', '.join(scene.full)}")
    if scene.queue:
        yield from _same(scene, scene.queue.backlog_most + 1, "the longest queue of a listener here", against=False)
    yield from _same(
        scene, (scene.world.number("net.core.somaxconn") or 0) + 1, "net.core.somaxconn + 1", against=False
    )
    dropped = scene.counter("ListenOverflows")
    text = f"{format_count(dropped)} ListenOverflows in this namespace so far"
    if scene.local is not False:  # it says nothing of another host's listeners
        yield Evidence(2 if dropped and scene.local else -1 if scene.local else 0, text)


def syn_queue(scene: Scene) -> Iterator[Evidence]:
    return _counted(scene, ("TCPReqQFullDrop", "TCPReqQFullDoCookies"))


def conntrack(scene: Scene) -> Iterator[Evidence]:
    found = meters.CONNTRACK.read(scene.world)
    if found.room is None:
        yield Evidence(-1, "connection tracking is not there on this host; there may be some on the way")
        return
    yield from _same(scene, found.ceiling, "nf_conntrack_max here", against=False)
    empty = 0 if found.in_use else -1
    yield from _filled(scene, meters.CONNTRACK, FULL, (4, empty), "entries are in use in this namespace")
    if dropped := scene.moved(meters.CONNTRACK):
        yield Evidence(3, f"it has dropped {format_count(dropped)} packets")


def nat(scene: Scene) -> Iterator[Evidence]:
    if scene.target and ipaddress.ip_address(_host(scene.target)).is_global:
        yield Evidence(1, f"{scene.target} is a public address")
    elif scene.target:
        yield Evidence(-1, f"{scene.target} is not a public address")
    failed = scene.counter("nf_conntrack.insert_failed")
    if failed:
        yield Evidence(2, f"{format_count(failed)} insert_failed of this host's own connection tracking")
    yield Evidence(0, "a router's ports are not to be seen from here: fourtuple plan N DEST --nat calculates them")


def neighbours(scene: Scene) -> Iterator[Evidence]:
    yield from _filled(scene, meters.NEIGHBOURS, NEARLY, (3, -2), "neighbours are in the table")
    if fulls := scene.moved(meters.NEIGHBOURS):
        yield Evidence(3, f"the table was full {format_count(fulls)} times")


def memory(scene: Scene) -> Iterator[Evidence]:
    for found in (scene.world.memory, scene.world.cgroup):
        if found and found.free_bytes is not None:
            little = found.free_bytes < 256 * 2**20
            yield Evidence(2 if little else -1, f"{format_size(found.free_bytes)} are free {found.where}")
    killed = scene.counter("vmstat.oom_kill")
    if killed:
        yield Evidence(2, f"{format_count(killed)} processes were killed for memory on this host so far")


def tcp_mem(scene: Scene) -> Iterator[Evidence]:
    found = meters.TCP_MEMORY.read(scene.world)
    size = format_size(found.in_bytes(found.ceiling) or 0)
    what = f"pages ({size}) hold data that was not read or acknowledged yet"
    yield from _filled(scene, meters.TCP_MEMORY, NEARLY, (3, -2), what)
    for name in ("TCPMemoryPressures", "TCPRcvQDrop"):
        if count := scene.counter(name):
            yield Evidence(1, f"{format_count(count)} {name} in this namespace so far")


def threads(scene: Scene) -> Iterator[Evidence]:
    left = scene.world.pids_left
    if left is not None:
        yield Evidence(3 if left < NEAR else -1, f"pids.max of the cgroup leaves {format_count(left)} threads")
    yield from _filled(scene, meters.THREADS, FULL, (3, -1), f"threads ({meters.THREADS.setting})")


def watches(scene: Scene) -> Iterator[Evidence]:
    limit = meters.WATCHES.ceiling(scene.world)
    yield from _same(scene, limit, "fs.epoll.max_user_watches")
    if limit is not None and scene.number is None:
        yield Evidence(0, f"fs.epoll.max_user_watches is {format_count(limit)} for each user")


def nr_open(scene: Scene) -> Iterator[Evidence]:
    limit = meters.NR_OPEN.ceiling(scene.world)
    yield from _same(scene, limit, "fs.nr_open")
    if limit is not None and limit < NR_OPEN:
        yield Evidence(2, f"fs.nr_open is {format_count(limit)}, below the kernel's own {format_count(NR_OPEN)}")


def orphans(scene: Scene) -> Iterator[Evidence]:
    yield from _filled(scene, meters.ORPHANS, NEARLY, (3, -1), "orphans on this host")
    yield from _counted(scene, meters.ORPHANS.counters)


def tw_buckets(scene: Scene) -> Iterator[Evidence]:
    yield from _filled(scene, meters.TIME_WAITS, NEARLY, (2, 0), "TIME_WAITs in this namespace")
    yield from _counted(scene, meters.TIME_WAITS.counters)


def no_listener(scene: Scene) -> Iterator[Evidence]:
    if scene.listens is not None:
        word = "somebody listens" if scene.listens else "nobody listens"
        yield Evidence(-3 if scene.listens else 3, f"{word} at {scene.target}")


def no_such_source(scene: Scene) -> Iterator[Evidence]:
    usable = scene.usable
    if scene.pair is None and usable:
        yield Evidence(1, f"ports are not it now: {format_count(usable)} are free")
    elif scene.pair and usable and scene.pair.used < HALF * usable:
        yield Evidence(1, f"ports are not it now: {format_count(usable - scene.pair.used)} are free")
    elif scene.pair:
        yield Evidence(-2, "ports are used up")
    if scene.target and ":" in _host(scene.target):
        off = scene.world.sysctls.get("net.ipv6.conf.all.disable_ipv6", "").strip()
        yield Evidence(
            3 if off == "1" else 0, f"{scene.target} is IPv6; net.ipv6.conf.all.disable_ipv6 is {off or 'not there'}"
        )


def port_owned(scene: Scene) -> Iterator[Evidence]:
    if scene.port is None:
        return
    for holder in scene.holders:
        yield Evidence(4, f"port {scene.port}: {holder}")
    if not scene.holders:
        yield Evidence(-2, f"no socket of this namespace has port {scene.port} now")
    facts = scene.world.ports
    if facts and scene.port in facts.automatic_ports:
        yield Evidence(1, f"port {scene.port} lies in the range that outgoing connections are given")


def udp_ports(_: Scene) -> Iterator[Evidence]:
    yield Evidence(0, "for UDP: connect() or sendto() without bind() shares one range over all destinations")


def select(scene: Scene) -> Iterator[Evidence]:
    soft = scene.world.process.files_soft
    if soft is not None and scene.number is not None:
        word = "more" if soft > 1024 else "no more"
        yield Evidence(
            1 if soft > 1024 else -1, f"{format_count(soft)} files may be open, {word} than select() can take"
        )


def quiet(_: Scene) -> Iterator[Evidence]:
    """What nothing on this host speaks for or against."""
    return iter(())


def _host(target: str) -> str:
    return target.rpartition(":")[0].strip("[]")


_MORE_PORTS = "more destination ports or source addresses: fourtuple plan N DEST shows which"
_REUSE = "use connections again: keep-alive, a pool; that is the cure for short ones"
_NO_PORT = "IP_BIND_ADDRESS_NO_PORT before bind(address, 0), or no bind(): most libraries' local_addr, source_address"

CAUSES: Mapping[str, Cause] = MappingProxyType(
    {
        "port-range": Cause(
            "the port range, used up for one source address and one destination",
            (_REUSE, _MORE_PORTS, 'a wider range: sysctl -w net.ipv4.ip_local_port_range="1024 65535" (root)'),
            port_range,
            stops_at=_range_sizes,
        ),
        "time-wait": Cause(
            "short connections: this end closes first, and each keeps its port for 60 s",
            (_REUSE, "let the server close first", "sysctl -w net.ipv4.tcp_tw_reuse=1 (root; outgoing, after 1 s)"),
            time_wait,
        ),
        "close-wait": Cause(
            "a leak: the other end has closed, and this program does not: CLOSE_WAIT stays for ever",
            ("close() what the other end has closed: find the program's error", "restart it, until then"),
            close_wait,
        ),
        "bound-first": Cause(
            "a program binds before it connects, so its ports serve one connection each, and nobody else's",
            (_NO_PORT, "fourtuple census shows who holds ports, fourtuple check -- COMMAND whether a program does"),
            bound_first,
        ),
        "no-such-source": Cause(
            "not ports: the source address is not this host's, or the IP version is switched off",
            ("an address that `ip address` shows; 127.0.0.1 instead of localhost", "switch IPv6 on, or use IPv4"),
            no_such_source,
        ),
        "same-tuple": Cause(
            "the program chose the port itself, and this very 4-tuple exists",
            ("another port, or let the kernel choose it",),
            quiet,
        ),
        "port-owned": Cause(
            "the port is another socket's, which does not share it",
            (
                "stop what holds it; SO_REUSEADDR for a listener over TIME_WAIT",
                "ports below the range for servers, or net.ipv4.ip_local_reserved_ports",
            ),
            port_owned,
        ),
        "files": Cause(
            "open files of this process (RLIMIT_NOFILE)",
            ("ulimit -n up to the hard limit; LimitNOFILE= for services, --ulimit for containers", "more processes"),
            files,
            stops_at=_file_limits,
        ),
        "files-there": Cause(
            "open files at the other end, whose accept() fails while this end believes to be connected",
            ("look there: fourtuple limits --pid PID", "raise LimitNOFILE= there"),
            files_there,
        ),
        "file-max": Cause(
            "open files of the whole host (fs.file-max)", ("sysctl -w fs.file-max=… (root)", "find who leaks"), file_max
        ),
        "select": Cause("select() takes no descriptor from 1,024 on", ("epoll",), select),
        "conntrack": Cause(
            "connection tracking is full (nf_conntrack_max), here or on the way",
            ("sysctl -w net.netfilter.nf_conntrack_max=… (root on that host)", "a NOTRACK rule for these ports"),
            conntrack,
            stops_at=_ceiling(meters.CONNTRACK),
        ),
        "accept-queue": Cause(
            "a full accept queue: the program accepts too slowly, or asked for a short backlog",
            ("a longer backlog in the program, then net.core.somaxconn", "accept faster", "open at a lower rate"),
            accept_queue,
            stops_at=_queue_sizes,
        ),
        "half-range": Cause(
            "half of the port range: nothing fails, but each connect() looks at thousands of ports",
            (f"IP_LOCAL_PORT_RANGE on the socket ({IN_TURN.linux} and later)", _MORE_PORTS),
            half_range,
            stops_at=_half_range_sizes,
        ),
        "nr-open": Cause(
            "fs.nr_open: no process may have more files",
            ("sysctl -w fs.nr_open=…, then raise the limit (root)", "more processes", "io_uring: hold and serve"),
            nr_open,
            stops_at=_ceiling(meters.NR_OPEN),
        ),
        "syn-queue": Cause(
            "a full SYN queue, or a flood",
            ("net.ipv4.tcp_syncookies=1", "a longer backlog, net.ipv4.tcp_max_syn_backlog"),
            syn_queue,
        ),
        "nat": Cause(
            "a router that translates has no port left for this destination",
            (_REUSE, "more public addresses, or a private way to the destination", "fourtuple plan N DEST --nat"),
            nat,
        ),
        "neighbours": Cause(
            "the neighbour table is full: too many addresses on one link",
            ("sysctl -w net.ipv4.neigh.default.gc_thresh3=… (root on the host)", "a routed network"),
            neighbours,
        ),
        "memory": Cause(
            "memory of the host or the cgroup: the kernel ends processes",
            ("raise memory.max", "fewer connections: some 4 KB each, and what waits to be read"),
            memory,
        ),
        "ring-memory": Cause(
            "locked memory of the user (ulimit -l), for rings of users without CAP_IPC_LOCK",
            ("ulimit -l unlimited, LimitMEMLOCK=", "--loop epoll"),
            quiet,
        ),
        "tcp-mem": Cause(
            "queued data of all connections (net.ipv4.tcp_mem, in pages): somebody does not read",
            ("find who does not read: ss -tm", "raise tcp_mem, which counts in pages (getconf PAGESIZE)"),
            tcp_mem,
        ),
        "threads": Cause(
            "threads: pids.max, RLIMIT_NPROC or kernel.threads-max",
            ("an event loop instead of a thread for each connection", "TasksMax=, ulimit -u"),
            threads,
        ),
        "udp-ports": Cause("source ports of UDP, which all destinations share", ("bind fewer sockets",), udp_ports),
        "watches": Cause(
            "epoll watches of the user (fs.epoll.max_user_watches)",
            ("sysctl -w fs.epoll.max_user_watches=… (root)",),
            watches,
            stops_at=_ceiling(meters.WATCHES),
        ),
        "orphans": Cause(
            "too many sockets that are closed and not finished (tcp_max_orphans): they are reset",
            ("sysctl -w net.ipv4.tcp_max_orphans=… (root)", "close fewer at once"),
            orphans,
        ),
        "tw-buckets": Cause(
            "more TIME_WAITs than tcp_max_tw_buckets: connections close without, nothing fails",
            ("the kernel's own value instead of a small one", _REUSE),
            tw_buckets,
        ),
        "in-flight": Cause(
            "descriptors that were sent over Unix sockets and not received yet", ("receive them",), quiet
        ),
        "no-listener": Cause(
            "nobody listens there, or a firewall answers with a reset",
            ("start the server; check address and port",),
            no_listener,
        ),
        "firewall": Cause(
            "a firewall: silence is a drop, EHOSTUNREACH and EPERM are a reject",
            ("ask who runs it; nft list ruleset, iptables -S (root)",),
            quiet,
        ),
        "no-way": Cause(
            "no way there: no route, or nobody answers for the address on the link",
            ("ip route get ADDRESS", "ip neighbour"),
            quiet,
        ),
        "reset": Cause(
            "the peer closed or reset it: it ended, its listener closed, or it thought the connection gone",
            ("the other end's log", "keep-alive shorter than its idle timeout, or a router's"),
            quiet,
        ),
        "privileged": Cause(
            "a port below net.ipv4.ip_unprivileged_port_start, or a prohibiting route",
            ("ports from 1024 on", "CAP_NET_BIND_SERVICE, or a lower ip_unprivileged_port_start"),
            quiet,
        ),
        "no-answer-yet": Cause(
            "not an error: a non-blocking connect() is under way; if it stays so, nothing answers",
            ("wait for writability, then ask SO_ERROR", "fourtuple why ETIMEDOUT"),
            quiet,
        ),
        "own-limit": Cause(
            "the program's own limit: worker_connections, max_connections, maxclients",
            ("raise it in the program's settings, and its open files with it",),
            quiet,
        ),
        "no-space": Cause(
            "not connections: a full disk, or inotify watches (fs.inotify.max_user_watches)",
            ("df -h, df -i", "sysctl -w fs.inotify.max_user_watches=… (root)"),
            quiet,
        ),
        "not-ready": Cause(
            "not an error: a non-blocking socket has nothing to read, or no room to write",
            ("wait until it is ready, and try again",),
            quiet,
        ),
        "browser": Cause("a browser's own limit for one host", ("not a browser: fourtuple hold",), quiet),
        "other-system": Cause(
            "macOS or Windows: 16,384 ports from 49152 on, and TIME_WAIT of 30 s to 4 min",
            (_REUSE, "macOS: sysctl net.inet.ip.portrange.first", "Windows: netsh int ipv4 set dynamicport tcp"),
            quiet,
        ),
    }
)
