"""Why connections stop: the known causes, each with the evidence for and against it on this host, and the remedies.

Each cause weighs its evidence against a `Scene`: the question, and the present state of the host. What this host cannot
observe counts neither for nor against a cause.
"""

import errno
import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fourtuple.core.census.records import PairCount
from fourtuple.core.limits import meters
from fourtuple.core.limits.facts import World
from fourtuple.core.limits.meters import Meter
from fourtuple.core.limits.ports import PortRoom
from fourtuple.core.limits.releases import IN_TURN
from fourtuple.core.limits.remarks import NR_OPEN
from fourtuple.core.limits.time_wait import TIME_WAIT_S
from fourtuple.core.limits.verdicts import Queue
from fourtuple.core.units import format_count, format_rate, format_size

NEAR = 64  # a count this close below a limit stopped at that limit: listeners, pipes and libraries use a few
HALF, FULL = 0.5, 0.97  # share of the usable ports from which connect() is slow, and from which it fails
NEARLY = 0.9  # share of a limit that is used in bursts: part of the use is over before it is read
MANY = 100  # sockets in TIME_WAIT from which they are reported
FEW = 10  # sockets in CLOSE_WAIT from which they are reported: none should stay


@dataclass(frozen=True, slots=True)
class Scene:
    """The question, and the state of this host against which the causes are weighed.

    number:     the number of connections at which they stop; None: not given
    errno:      the error number; 0: not given
    call:       the system call that failed, lower case; empty: not given
    port:       the local port that the message names; None: it names none
    target:     the destination in question, as ADDRESS:PORT; None: not given
    pair:       the busiest (source, destination), or the busiest to the target; None: there is no connection
    owners:     the processes that own the pair's sockets, as far as this user may see them
    ports:      what the port range leaves for the target, or for any new destination; None: unknown
    queue:      the accept queues of this namespace's listeners, together; None: unknown
    full:       the listeners whose accept queue is full, as text
    local:      whether the target is an address of this host; None: no target, or unknown
    listens:    whether a socket listens at the target; None: no target, or it is on another host
    holders:    the sockets that hold `port`, as text
    close_wait: the number of sockets of the namespace in CLOSE_WAIT
    close_wait_owners: the processes that own them, as text
    asked:      whether `world.process` is the process in question; False: it is this program
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
    def up_to(self) -> str:
        """The words before a number of free ports: it is an upper bound where some may be held unseen."""
        return "up to " if self.ports and self.ports.unattributed + self.ports.hidden else ""

    @property
    def can_search_in_turn(self) -> bool:
        """Whether IN_TURN_CURE may help on this host."""
        return self.world.ports is None or self.world.ports.range_is_quick

    @property
    def range_size(self) -> int | None:
        return len(self.world.ports.port_range) if self.world.ports else None

    @property
    def usable(self) -> int | None:
        """The number of ports that connect() can choose for each destination; None: unknown."""
        return self.ports.ceiling // self.ports.pairs if self.ports and self.ports.pairs else None

    def counter(self, name: str) -> int:
        return self.world.counters.get(name, 0)

    def moved(self, meter: Meter) -> int:
        """The number of times the meter's ceiling was reached since the namespace was made."""
        return sum(map(self.counter, meter.counters))


@dataclass(frozen=True, slots=True)
class Evidence:
    """One observation on this host that bears on a cause.

    weight: above 0 it supports the cause, below 0 it contradicts it, 0 it is only a note
    text:   the observation, as a sentence or phrase
    """

    weight: int
    text: str


Numbers = Sequence[int | None]


def nowhere(_: Scene) -> Numbers:
    """Return no numbers: the cause has none of its own, or its number is another host's."""
    return ()


@dataclass(frozen=True, slots=True)
class Cause:
    """One known cause.

    says:     the cause in one line
    do:       remedies, the best first
    evidence: yields what supports and what contradicts the cause in a scene
    stops_at: the numbers of connections at which this cause stops them on this host
    """

    says: str
    do: Sequence[str]
    evidence: Callable[[Scene], Iterator[Evidence]]
    stops_at: Callable[[Scene], Numbers] = nowhere


def near(number: int | None, limit: int | None) -> bool:
    """Whether `number` is close enough to `limit` to have stopped there; the margin is smaller for small limits."""
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
    """Yield how much of the meter's ceiling is in use. weights: from `share` of the ceiling on, and below it."""
    reading = meter.read(scene.world)
    if reading.ceiling is not None and reading.in_use is not None:
        full, other = weights
        weight = full if reading.in_use >= share * reading.ceiling else other
        yield Evidence(weight, f"{format_count(reading.in_use)} of {format_count(reading.ceiling)} {what}")


def _same(scene: Scene, limit: int | None, what: str, *, against: bool = True) -> Iterator[Evidence]:
    """Yield whether the scene's number is near this limit."""
    if scene.number is None or limit is None:
        return
    if near(scene.number, limit):
        yield Evidence(4, f"{what}: {format_count(limit)}")
    elif against:
        yield Evidence(-2, f"{what} is {format_count(limit)}")


def _counted(scene: Scene, names: Sequence[str]) -> Iterator[Evidence]:
    """Yield each counter: above zero it supports the cause, at zero it contradicts it."""
    for name in names:
        count = scene.counter(name)
        yield Evidence(2 if count else -1, f"{name} {format_count(count)} in this namespace so far")


def _use(scene: Scene) -> Iterator[Evidence]:
    """Yield how much of the port range is used towards the target, or towards the busiest destination."""
    pair, usable = scene.pair, scene.usable
    if pair is None:
        if scene.errno == errno.EADDRNOTAVAIL and scene.target:
            yield Evidence(-2, f"no socket of this namespace is connected to {scene.target} now")
        return
    if not usable:
        return
    share = pair.used / usable
    who = f" (owner: {scene.owners})" if scene.owners else ""
    text = (
        f"{format_count(pair.used)} of {format_count(usable)} ports are in use from {pair.source} to"
        f" {pair.destination}{who}"
    )
    waits = f", {format_count(pair.time_wait)} of them in TIME_WAIT" if pair.time_wait else ""
    weight = 4 if share >= FULL else 1 if share >= HALF else -2 if scene.errno or scene.target else 0
    yield Evidence(weight, text + waits)


def port_range(scene: Scene) -> Iterator[Evidence]:
    facts = scene.world.ports
    if facts:
        what = f"the port range here is {facts.port_range.start}-{facts.port_range.stop - 1}; usable ports"
        yield from _same(scene, scene.usable or scene.range_size, what)
    yield from _use(scene)


def time_wait(scene: Scene) -> Iterator[Evidence]:
    pair, usable = scene.pair, scene.usable
    if pair and pair.time_wait >= MANY:
        full = usable is not None and pair.used >= FULL * usable
        yield Evidence(
            0
            if pair.time_wait < HALF * pair.used
            else 9
            if full
            else 3,  # the range is full of TIME_WAIT: short connections are the cause
            f"{format_count(pair.time_wait)} of {format_count(pair.used)} sockets to {pair.destination} in TIME_WAIT",
        )
    elif pair:
        yield Evidence(-2, f"{format_count(pair.time_wait)} sockets to {pair.destination} are in TIME_WAIT")
    if usable:
        most = format_rate(usable / TIME_WAIT_S)
        yield Evidence(0, f"if this end closes first, one destination allows at most {most} new connections")


def close_wait(scene: Scene) -> Iterator[Evidence]:
    pair, usable = scene.pair, scene.usable
    if pair and usable and pair.close_wait >= HALF * pair.used and pair.close_wait >= FEW:
        count = f"{format_count(pair.close_wait)} of {format_count(pair.used)}"
        text = f"{count} sockets to {pair.destination} are in CLOSE_WAIT"
        yield Evidence(9 if pair.used >= FULL * usable else 3, text)
    elif scene.close_wait >= FEW:
        who = f" (owner: {scene.close_wait_owners})" if scene.close_wait_owners else ""
        files = scene.world.process.files_soft if scene.errno == errno.EMFILE else None
        weight = 5 if files and scene.close_wait >= HALF * files else 1
        yield Evidence(weight, f"{format_count(scene.close_wait)} sockets of this namespace are in CLOSE_WAIT{who}")
    else:
        yield Evidence(-2, f"{format_count(scene.close_wait)} sockets of this namespace are in CLOSE_WAIT")


def bound_first(scene: Scene) -> Iterator[Evidence]:
    ports = scene.ports
    if scene.call == "bind" and scene.errno == errno.EADDRINUSE and scene.port is None:
        yield Evidence(2, "bind() failed, and the message names no port")
    if ports is None or not scene.range_size:
        return
    share = ports.blocked / scene.range_size
    unknown, facts = ports.unattributed + ports.hidden, scene.world.ports
    checks = " (limits --probe checks)" if facts and facts.can_probe(ports.unattributed, ports.hidden) else ""
    perhaps = f"; {format_count(unknown)} more may be{checks}" if unknown else ""
    text = f"{format_count(ports.blocked)} ports of the range are held by bind() or listen(){perhaps}"
    yield Evidence(3 if share >= HALF else 1 if share >= 0.1 else 0 if unknown else -2, text)


def half_range(scene: Scene) -> Iterator[Evidence]:
    size = scene.range_size
    if size is not None:
        yield from _same(scene, size // 2, "half of the range here")
    if scene.world.ports:
        tries = "tries all ports in turn" if scene.can_search_in_turn else "tries every second port first, also"
        yield Evidence(0, f"this kernel {tries} if IP_LOCAL_PORT_RANGE is set on the socket")


def files(scene: Scene) -> Iterator[Evidence]:
    process = scene.world.process
    whose = f"{process.name} ({process.pid})"
    yield from _same(scene, process.files_soft, f"RLIMIT_NOFILE of {whose}")
    if process.files_soft and near(scene.number and 2 * scene.number, process.files_soft):
        yield Evidence(2, f"RLIMIT_NOFILE of {whose} is {format_count(process.files_soft)}: two files per connection")
    if process.files_open is not None and process.files_soft:
        free = process.files_soft - process.files_open
        text = f"{format_count(process.files_open)} of {format_count(process.files_soft)} are open in {whose}"
        if scene.asked:
            yield Evidence(3 if free < NEAR else -1 if scene.errno == errno.EMFILE else 0, text)
        else:
            yield Evidence(0, "the process is not given; --pid PID shows how many files it has open")


def files_there(scene: Scene) -> Iterator[Evidence]:
    soft = scene.world.process.files_soft
    if scene.number and soft and scene.number + NEAR < soft:
        yield Evidence(1, f"a process here may open {format_count(soft)} files, so the client's limit is not reached")
    yield Evidence(0, "the server's limit cannot be read from here")


def file_max(scene: Scene) -> Iterator[Evidence]:
    return _filled(scene, meters.HOST_FILES, HALF, (3, -2), "files are open on this host")


def accept_queue(scene: Scene) -> Iterator[Evidence]:
    if scene.full:
        yield Evidence(4, f"the accept queue is full now: {', '.join(scene.full)}")
    if scene.queue:
        yield from _same(
            scene, scene.queue.backlog_most + 1, "the longest accept queue of a listener here", against=False
        )
    yield from _same(
        scene, (scene.world.number("net.core.somaxconn") or 0) + 1, "net.core.somaxconn + 1", against=False
    )
    dropped = scene.counter("ListenOverflows")
    text = f"ListenOverflows {format_count(dropped)} in this namespace so far"
    if scene.local is not False:  # the counter does not include another host's listeners
        yield Evidence(2 if dropped and scene.local else -1 if scene.local else 0, text)


def syn_queue(scene: Scene) -> Iterator[Evidence]:
    return _counted(scene, ("TCPReqQFullDrop", "TCPReqQFullDoCookies"))


def conntrack(scene: Scene) -> Iterator[Evidence]:
    found = meters.CONNTRACK.read(scene.world)
    if found.room is None:
        yield Evidence(-1, "this host has no connection tracking; a device on the path may have")
        return
    yield from _same(scene, found.ceiling, "nf_conntrack_max here", against=False)
    empty = 0 if found.in_use else -1
    yield from _filled(scene, meters.CONNTRACK, FULL, (4, empty), "entries are in use in this namespace")
    if dropped := scene.moved(meters.CONNTRACK):
        yield Evidence(3, f"connection tracking has dropped {format_count(dropped)} packets")


def nat(scene: Scene) -> Iterator[Evidence]:
    if scene.target and ipaddress.ip_address(_host(scene.target)).is_global:
        yield Evidence(1, f"{scene.target} is a public address")
    elif scene.target:
        yield Evidence(-1, f"{scene.target} is not a public address")
    failed = scene.counter("nf_conntrack.insert_failed")
    if failed:
        yield Evidence(2, f"insert_failed of this host's own connection tracking is {format_count(failed)}")
    yield Evidence(0, "a router's ports cannot be seen from here; fourtuple plan N DEST --nat calculates them")


def neighbours(scene: Scene) -> Iterator[Evidence]:
    yield from _filled(scene, meters.NEIGHBOURS, NEARLY, (3, -2), "neighbour entries are in use")
    if fulls := scene.moved(meters.NEIGHBOURS):
        yield Evidence(3, f"the neighbour table was full {format_count(fulls)} times")


def memory(scene: Scene) -> Iterator[Evidence]:
    for available in (scene.world.memory, scene.world.cgroup):
        if available and available.free_bytes is not None:
            little = available.free_bytes < 256 * 2**20
            yield Evidence(2 if little else -1, f"{format_size(available.free_bytes)} are free {available.where}")
    killed = scene.counter("vmstat.oom_kill")
    if killed:
        yield Evidence(2, f"the kernel has killed {format_count(killed)} processes of this host for lack of memory")


def tcp_mem(scene: Scene) -> Iterator[Evidence]:
    found = meters.TCP_MEMORY.read(scene.world)
    size = format_size(found.in_bytes(found.ceiling) or 0)
    what = f"pages ({size}) hold data that is not yet read or acknowledged"
    yield from _filled(scene, meters.TCP_MEMORY, NEARLY, (3, -2), what)
    for name in ("TCPMemoryPressures", "TCPRcvQDrop"):
        if count := scene.counter(name):
            yield Evidence(1, f"{name} {format_count(count)} in this namespace so far")


def threads(scene: Scene) -> Iterator[Evidence]:
    left = scene.world.pids_left
    if left is not None:
        yield Evidence(3 if left < NEAR else -1, f"pids.max of the cgroup allows {format_count(left)} more threads")
    yield from _filled(scene, meters.THREADS, FULL, (3, -1), f"threads exist ({meters.THREADS.setting})")


def watches(scene: Scene) -> Iterator[Evidence]:
    limit = meters.WATCHES.ceiling(scene.world)
    yield from _same(scene, limit, "fs.epoll.max_user_watches")
    if limit is not None and scene.number is None:
        yield Evidence(0, f"fs.epoll.max_user_watches is {format_count(limit)} for each user")


def nr_open(scene: Scene) -> Iterator[Evidence]:
    limit = meters.NR_OPEN.ceiling(scene.world)
    yield from _same(scene, limit, "fs.nr_open")
    if limit is not None and limit < NR_OPEN:
        yield Evidence(2, f"fs.nr_open is {format_count(limit)}, below the kernel's default of {format_count(NR_OPEN)}")


def orphans(scene: Scene) -> Iterator[Evidence]:
    yield from _filled(scene, meters.ORPHANS, NEARLY, (3, -1), "orphaned sockets exist on this host")
    yield from _counted(scene, meters.ORPHANS.counters)


def tw_buckets(scene: Scene) -> Iterator[Evidence]:
    yield from _filled(scene, meters.TIME_WAITS, NEARLY, (2, 0), "sockets of this namespace are in TIME_WAIT")
    yield from _counted(scene, meters.TIME_WAITS.counters)


def no_listener(scene: Scene) -> Iterator[Evidence]:
    if scene.listens is not None:
        socket = "a socket listens" if scene.listens else "no socket listens"
        yield Evidence(-3 if scene.listens else 3, f"{socket} at {scene.target}")


def no_such_source(scene: Scene) -> Iterator[Evidence]:
    usable = scene.usable
    if scene.pair is None and usable:
        yield Evidence(1, f"ports are not short now: {scene.up_to}{format_count(usable)} are free")
    elif scene.pair and usable and scene.pair.used < HALF * usable:
        yield Evidence(1, f"ports are not short now: {scene.up_to}{format_count(usable - scene.pair.used)} are free")
    elif scene.pair:
        yield Evidence(-2, "the ports are exhausted")
    if scene.target and ":" in _host(scene.target):
        off = scene.world.sysctls.get("net.ipv6.conf.all.disable_ipv6", "").strip()
        yield Evidence(
            3 if off == "1" else 0,
            f"{scene.target} is IPv6; net.ipv6.conf.all.disable_ipv6 is {off or 'unknown'}",
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
        yield Evidence(1, f"port {scene.port} is in net.ipv4.ip_local_port_range, from which connect() takes ports")


def udp_ports(_: Scene) -> Iterator[Evidence]:
    yield Evidence(0, "UDP: sockets without bind() share one port range for all destinations")


def select(scene: Scene) -> Iterator[Evidence]:
    soft = scene.world.process.files_soft
    if soft is not None and scene.number is not None:
        above = soft > 1024
        word = "more" if above else "no more"
        yield Evidence(1 if above else -1, f"{format_count(soft)} files may be open, {word} than select() supports")


def quiet(_: Scene) -> Iterator[Evidence]:
    """Yield nothing: no observation on this host supports or contradicts such a cause."""
    return iter(())


def _host(target: str) -> str:
    return target.rpartition(":")[0].strip("[]")


IN_TURN_CURE = f"set IP_LOCAL_PORT_RANGE on the socket ({IN_TURN.linux} and later)"
_MORE_PORTS = "add destination ports or source addresses: fourtuple plan N DEST shows which"
_REUSE = "reuse connections (keep-alive, a pool)"
_NO_PORT = (
    "set IP_BIND_ADDRESS_NO_PORT before bind(address, 0), or do not call bind(): libraries call it for options such"
    " as local_addr or source_address"
)

CAUSES: Mapping[str, Cause] = MappingProxyType(
    {
        "port-range": Cause(
            "connections from one source address to one destination use up the port range",
            (_REUSE, _MORE_PORTS, 'widen the range: sysctl -w net.ipv4.ip_local_port_range="1024 65535" (root)'),
            port_range,
            stops_at=_range_sizes,
        ),
        "time-wait": Cause(
            "short connections: this end closes first, so each connection keeps its port for 60 s in TIME_WAIT",
            (
                _REUSE,
                "let the server close first",
                "sysctl -w net.ipv4.tcp_tw_reuse=1 (root; reuses a port after 1 s, outgoing only)",
            ),
            time_wait,
        ),
        "close-wait": Cause(
            "a leak: the other end has closed, this program has not; a socket in CLOSE_WAIT stays until it does",
            ("find the error in the program: it must close() what the other end has closed", "until then, restart it"),
            close_wait,
        ),
        "bound-first": Cause(
            "a program calls bind() before connect(), so each of its ports serves only one connection",
            (
                _NO_PORT,
                "fourtuple census shows which processes hold ports; fourtuple check -- COMMAND tests one program",
            ),
            bound_first,
        ),
        "no-such-source": Cause(
            "not a lack of ports: this host does not have the source address, or the IP version is disabled",
            ("use an address that `ip address` shows; 127.0.0.1 instead of localhost", "enable IPv6, or use IPv4"),
            no_such_source,
        ),
        "same-tuple": Cause(
            "the program chose the source port itself, and a connection with this 4-tuple already exists",
            ("choose another port, or let the kernel choose",),
            quiet,
        ),
        "port-owned": Cause(
            "another socket holds the port and does not share it",
            (
                "stop the process that holds it; for a listener set SO_REUSEADDR, which ignores TIME_WAIT",
                "give servers ports below the range, or reserve theirs in net.ipv4.ip_local_reserved_ports",
            ),
            port_owned,
        ),
        "files": Cause(
            "the process has reached its limit of open files (RLIMIT_NOFILE)",
            (
                "raise it: ulimit -n up to the hard limit, LimitNOFILE= for services, --ulimit for containers",
                "use more processes",
            ),
            files,
            stops_at=_file_limits,
        ),
        "files-there": Cause(
            "the server has reached its limit of open files: accept() fails, but the client believes it is connected",
            ("run fourtuple limits --pid PID on the server", "raise LimitNOFILE= on the server"),
            files_there,
        ),
        "file-max": Cause(
            "the whole host has reached its limit of open files (fs.file-max)",
            ("sysctl -w fs.file-max=… (root)", "find the process that leaks files"),
            file_max,
        ),
        "select": Cause("select() does not support descriptors of 1,024 and above", ("use epoll",), select),
        "conntrack": Cause(
            "connection tracking is full (nf_conntrack_max), here or on the path",
            ("sysctl -w net.netfilter.nf_conntrack_max=… (root on that host)", "add a NOTRACK rule for these ports"),
            conntrack,
            stops_at=_ceiling(meters.CONNTRACK),
        ),
        "accept-queue": Cause(
            "the accept queue is full: the server accepts too slowly, or listens with a short backlog",
            ("raise the backlog in the server, then net.core.somaxconn", "accept faster", "connect at a lower rate"),
            accept_queue,
            stops_at=_queue_sizes,
        ),
        "half-range": Cause(
            "half of the port range is used: nothing fails, but each connect() tries thousands of ports",
            (IN_TURN_CURE, _MORE_PORTS),
            half_range,
            stops_at=_half_range_sizes,
        ),
        "nr-open": Cause(
            "the process has reached fs.nr_open, the highest possible limit of open files",
            (
                "sysctl -w fs.nr_open=…, then raise RLIMIT_NOFILE (root)",
                "use more processes",
                "use io_uring, as hold and serve do",
            ),
            nr_open,
            stops_at=_ceiling(meters.NR_OPEN),
        ),
        "syn-queue": Cause(
            "the SYN queue is full, or this is a SYN flood",
            ("set net.ipv4.tcp_syncookies=1", "raise the backlog and net.ipv4.tcp_max_syn_backlog"),
            syn_queue,
        ),
        "nat": Cause(
            "a NAT router on the path has no port left for this destination",
            (
                _REUSE,
                "add public addresses, or use a private route to the destination",
                "fourtuple plan N DEST --nat calculates the need",
            ),
            nat,
        ),
        "neighbours": Cause(
            "the neighbour table is full: too many addresses on one link",
            ("sysctl -w net.ipv4.neigh.default.gc_thresh3=… (root on the host)", "use a routed network"),
            neighbours,
        ),
        "memory": Cause(
            "the host or the cgroup is out of memory: the kernel kills processes",
            ("raise memory.max", "hold fewer connections: each takes about 4 KB, and its unread data"),
            memory,
        ),
        "ring-memory": Cause(
            "the user has reached the limit of locked memory (ulimit -l), which io_uring needs without CAP_IPC_LOCK",
            ("raise it: ulimit -l unlimited, or LimitMEMLOCK=", "use --loop epoll"),
            quiet,
        ),
        "tcp-mem": Cause(
            "the queued data of all connections has reached net.ipv4.tcp_mem (in pages): a program does not read",
            ("find the program that does not read: ss -tm", "raise tcp_mem, in pages (getconf PAGESIZE)"),
            tcp_mem,
        ),
        "threads": Cause(
            "no more threads: pids.max, RLIMIT_NPROC or kernel.threads-max is reached",
            ("use an event loop instead of a thread per connection", "raise TasksMax= or ulimit -u"),
            threads,
        ),
        "udp-ports": Cause(
            "the UDP source ports, which all destinations share, are exhausted", ("use fewer sockets",), udp_ports
        ),
        "watches": Cause(
            "the user has reached the limit of epoll watches (fs.epoll.max_user_watches)",
            ("sysctl -w fs.epoll.max_user_watches=… (root)",),
            watches,
            stops_at=_ceiling(meters.WATCHES),
        ),
        "orphans": Cause(
            "too many orphaned sockets, closed but not finished (tcp_max_orphans): the kernel resets them",
            ("sysctl -w net.ipv4.tcp_max_orphans=… (root)", "close fewer connections at once"),
            orphans,
        ),
        "tw-buckets": Cause(
            "more sockets in TIME_WAIT than tcp_max_tw_buckets: connections then close without it; nothing fails",
            ("restore the kernel's default of tcp_max_tw_buckets", _REUSE),
            tw_buckets,
        ),
        "in-flight": Cause(
            "too many descriptors were sent over Unix sockets and are not yet received", ("receive them",), quiet
        ),
        "no-listener": Cause(
            "no process listens there, or a firewall answers with a reset",
            ("start the server", "check the address and the port"),
            no_listener,
        ),
        "firewall": Cause(
            "a firewall: no answer means that it drops, EHOSTUNREACH or EPERM that it rejects",
            ("list the rules: nft list ruleset, iptables -S (root)", "ask the administrator of the firewall"),
            quiet,
        ),
        "no-way": Cause(
            "the destination is unreachable: no route, or no host answers for the address on the link",
            ("ip route get ADDRESS", "ip neighbour"),
            quiet,
        ),
        "reset": Cause(
            "the peer closed or reset the connection: it exited, closed its listener, or had dropped the connection",
            ("read the other end's log", "send keep-alives more often than its idle timeout, or a router's"),
            quiet,
        ),
        "privileged": Cause(
            "the port is below net.ipv4.ip_unprivileged_port_start, or a route prohibits the connection",
            ("use ports from 1024 on", "grant CAP_NET_BIND_SERVICE, or lower ip_unprivileged_port_start"),
            quiet,
        ),
        "no-answer-yet": Cause(
            "not an error: a non-blocking connect() is in progress; if it stays so, the destination does not answer",
            ("wait until the socket is writable, then read SO_ERROR", "fourtuple why ETIMEDOUT"),
            quiet,
        ),
        "own-limit": Cause(
            "the program has reached its own limit: worker_connections, max_connections, maxclients",
            ("raise it in the program's settings, along with its limit of open files",),
            quiet,
        ),
        "no-space": Cause(
            "not connections: the disk is full, or inotify watches are exhausted (fs.inotify.max_user_watches)",
            ("df -h, df -i", "sysctl -w fs.inotify.max_user_watches=… (root)"),
            quiet,
        ),
        "not-ready": Cause(
            "not an error: a non-blocking socket has no data to read, or no room to write",
            ("wait until the socket is ready, then try again",),
            quiet,
        ),
        "browser": Cause("a browser's own limit for one host", ("use fourtuple hold instead of a browser",), quiet),
        "other-system": Cause(
            "macOS or Windows: they have 16,384 ports, from 49152 on, and TIME_WAIT lasts 30 s to 4 min",
            (_REUSE, "macOS: sysctl net.inet.ip.portrange.first", "Windows: netsh int ipv4 set dynamicport tcp"),
            quiet,
        ),
    }
)
