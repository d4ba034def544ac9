"""Facts read from a host: frozen records, with a unit in every name. None means unknown."""

from collections.abc import Mapping
from functools import cached_property

from fourtuple.core.limits.behaviours import Behaviour
from fourtuple.core.limits.load import Link
from fourtuple.core.limits.releases import parse_release
from fourtuple.core.numbers import signed_number_of
from fourtuple.core.record import dataclass
from fourtuple.core.space.ranges import Ranges

# The kernel's fixed values before these settings existed (Documentation/networking/ip-sysctl.rst, v6.18).
TW_REUSE, TW_REUSE_DELAY_MS, UNPRIVILEGED_START = 0, 1000, 1024
ALL_PORTS = 65536
CAP_NET_BIND_SERVICE, CAP_IPC_LOCK, CAP_SYS_ADMIN = 10, 14, 21  # include/uapi/linux/capability.h


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory that sockets can still use before the kernel kills processes, and the scope of that limit.

    free_bytes: MemFree + Cached − Shmem, or what a cgroup leaves if that is less; None: unknown.
                Not MemAvailable: it counts the inodes of open sockets as reclaimable
    where:      `on this host`, or `in the cgroup /x`
    """

    free_bytes: int | None
    where: str = "on this host"


@dataclass(frozen=True)
class PortFacts:
    """The settings that determine the usable source ports, for one network namespace and one process.

    tw_reuse:         net.ipv4.tcp_tw_reuse: 0 no, 1 yes, 2 only with a loopback address
    tw_reuse_in_ms:   connect() measures the delay in ms; False: in whole seconds, so it may reuse a 4-tuple earlier
    fin_wait2_reused: connect() may reuse a 4-tuple whose closed socket waits in FIN_WAIT2, too
    range_can_be_set: IP_LOCAL_PORT_RANGE narrows the range of one socket
    range_is_quick:   IP_LOCAL_PORT_RANGE makes connect() try all ports in turn
    bind_is_released: once the socket that bind() gave a port to has closed, connect() can choose the port again
    bound_are_listed: sock_diag lists sockets that are only bound
    any_port:         ports below unprivileged_start may be bound too (CAP_NET_BIND_SERVICE)

    The flags of the kernel's behaviour come from core/limits/behaviours.py; their defaults are those of Linux 6.18.
    """

    port_range: range  # net.ipv4.ip_local_port_range, last port included
    reserved_ports: Ranges  # net.ipv4.ip_local_reserved_ports
    unprivileged_start: int = UNPRIVILEGED_START
    tw_reuse: int = 2
    tw_reuse_delay_ms: int = TW_REUSE_DELAY_MS
    timestamps: bool = True  # net.ipv4.tcp_timestamps
    tw_reuse_in_ms: bool = True
    fin_wait2_reused: bool = False
    range_can_be_set: bool = True
    range_is_quick: bool = True
    bind_is_released: bool = True
    bound_are_listed: bool = True
    any_port: bool = False

    def can_probe(self, unattributed: int, hidden: int) -> bool:
        """Whether testing ports (`limits --probe`) can tell more.

        unattributed: ports in use that are in question
        hidden:       how many of the unused ports are
        """
        return hidden > 0 or (unattributed > 0 and self.range_can_be_set)

    @cached_property
    def automatic_ports(self) -> Ranges:
        """The source ports among which the kernel chooses: the range without the reserved ports."""
        return Ranges([self.port_range]).without(self.reserved_ports)


@dataclass(frozen=True, slots=True)
class ProcessFacts:
    """A running process, or one that would be started from here; None: absent, not readable, or not requested.

    files_open:   descriptors numbered below the soft limit; None: may not be read
    files_unsure: some of files_open may be at or above the soft limit: their numbers may not be read
    files_most:   upper bound of files_open if that is None: the size of the descriptor table (FDSize)
    uid_threads:  threads of all processes of the user
    capabilities: effective capabilities, as bits
    of_host:      the capabilities apply to the host, not only to a user namespace; None: unknown
    sockets:      inodes of its sockets; None: may not be read
    rings:        io_uring instances, whose sockets need no descriptor; None: may not be read
    epolls:       epoll instances; None: may not be read
    """

    pid: int
    name: str
    uid: int | None
    files_soft: int | None
    files_hard: int | None
    files_open: int | None
    files_most: int | None
    memlock_soft_bytes: int | None  # RLIMIT_MEMLOCK; None also where unlimited
    processes_soft: int | None  # RLIMIT_NPROC; None also where unlimited
    uid_threads: int | None
    capabilities: int
    of_host: bool | None
    sockets: frozenset[int] | None
    rings: int | None
    epolls: int | None
    files_unsure: bool = False

    @property
    def may_bind_any_port(self) -> bool:
        return bool(self.capabilities >> CAP_NET_BIND_SERVICE & 1)

    @property
    def is_beyond_memlock(self) -> bool:
        return bool(self.of_host) and bool(self.capabilities >> CAP_IPC_LOCK & 1)

    @property
    def is_beyond_file_max(self) -> bool:
        return bool(self.of_host) and bool(self.capabilities >> CAP_SYS_ADMIN & 1)


@dataclass(frozen=True, slots=True)
class World:
    """All inputs of the limit model for one process: its own limits, its cgroup, its namespace, its host.

    ports:    None if the port range could not be read
    sysctls:  text by name; a missing name does not exist, or belongs to the host and is not available
    sockstat: /proc/net/sockstat, as {"TCP.tw": 3}; `orphan`, `alloc` and `mem` count the whole host
    counters: TcpExt and others since the namespace was created
    netns:    the name in /proc/PID/ns/net
    files_in_use, threads: counts of the whole host
    pids_left: room under pids.max in the tightest cgroup; None: no limit
    neighbours: entries of the IPv4 neighbour table that this namespace sees
    unlisted: at most so many TCP sockets of this namespace are neither connected nor listening; None: unknown
    behaviours: what is known of this kernel's behaviour
    links:    network cards of this namespace; none: it has only virtual interfaces, or they cannot be read
    tracked:  connection tracking is active for this namespace's connections; None: unknown, it counts none
    why_not:  reasons, by the name of what could not be read
    """

    kernel: str
    netns: str
    process: ProcessFacts
    ports: PortFacts | None
    cpus: int  # CPUs that the reading process may use
    page_bytes: int  # the unit of net.ipv4.tcp_mem
    memory_bytes: int | None  # MemTotal
    memory: Memory  # of the host
    cgroup: Memory | None  # the tightest cgroup; None: no limit, or not readable
    pids_left: int | None
    files_in_use: int | None
    threads: int | None
    neighbours: int | None
    sysctls: Mapping[str, str]
    sockstat: Mapping[str, int]
    counters: Mapping[str, int]
    tracked: bool | None
    why_not: Mapping[str, str]
    unlisted: int | None = None
    behaviours: tuple[Behaviour, ...] = ()
    links: tuple[Link, ...] = ()

    @property
    def kernel_version(self) -> tuple[int, int]:
        return parse_release(self.kernel)

    def most_hidden(self, read_from: str) -> int:
        """At most so many sockets are only bound, and missing from a listing. read_from: the source of the listing"""
        from fourtuple.core.sockets.table import SOCK_DIAG  # with NumPy, which whoever asks has

        if read_from == SOCK_DIAG and self.ports and self.ports.bound_are_listed:
            return 0
        return ALL_PORTS if self.unlisted is None else self.unlisted

    @property
    def free_memory(self) -> Memory:
        """Free memory of the host, or of the tightest cgroup if that is less; an unknown value is no limit."""
        if self.cgroup is None or self.cgroup.free_bytes is None:
            return self.memory
        if self.memory.free_bytes is None or self.cgroup.free_bytes < self.memory.free_bytes:
            return self.cgroup
        return self.memory

    def number(self, name: str) -> int | None:
        """The value of a sysctl that is one number; None if it is missing or is not one number."""
        text = self.sysctls.get(name, "").strip()
        return signed_number_of(text)


@dataclass(frozen=True, slots=True)
class Motion:
    """Two counts that show how much a namespace's connections change.

    opened: connections that this namespace has opened or accepted so far; None: unknown
    there:  its sockets now
    """

    opened: int | None
    there: int

    def until(self, later: "Motion") -> int | None:
        """How many sockets were opened or closed between this reading and `later`; None: unknown."""
        if self.opened is None or later.opened is None:
            return None
        came = later.opened - self.opened
        return came + max(0, came - (later.there - self.there))
