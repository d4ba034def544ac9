"""Meters: each reads a limit, and the amount in use that counts against it, from a World.

The row of the table, the evidence of `why`, the remarks, and the snapshot with its metric all read the same meter. Port
use is in ports.py, and the fill level of accept queues is in Queue.
"""

from collections.abc import Callable

from fourtuple.core.limits.facts import World
from fourtuple.core.numbers import number_of
from fourtuple.core.record import dataclass

Read = Callable[[World], int | None]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a meter reads. None: it cannot be read, or does not exist.

    each_bytes: bytes of one counted unit; None: the unit is not memory
    """

    ceiling: int | None
    in_use: int | None
    each_bytes: int | None

    @property
    def room(self) -> int | None:
        """How many more units are possible; None if either number is unknown."""
        return None if self.ceiling is None or self.in_use is None else max(0, self.ceiling - self.in_use)

    def in_bytes(self, number: int | None) -> int | None:
        """`number` in the unit of the metric: memory in bytes, other units unchanged."""
        return number if number is None or self.each_bytes is None else number * self.each_bytes


@dataclass(frozen=True, slots=True)
class Meter:
    """A limit and the count of what uses it up.

    setting:  the ceiling's name: a sysctl, or RLIMIT_NOFILE
    in_pages: the unit is a page of memory
    counters: counters of core/counters.py that increase when the ceiling is reached
    metric:   as in fourtuple_METRIC and fourtuple_METRIC_max; empty: the limit applies to one process or user, or
              the kernel does not report what is in use
    about:    the metric's help
    of_host:  both numbers are those of the whole host, and the same in every network namespace
    """

    setting: str
    ceiling: Read
    in_use: Read
    in_pages: bool = False
    counters: tuple[str, ...] = ()
    metric: str = ""
    about: str = ""
    of_host: bool = False

    def read(self, world: World) -> Reading:
        return Reading(self.ceiling(world), self.in_use(world), world.page_bytes if self.in_pages else None)


def tcp_mem_pages(world: World) -> tuple[int, int, int] | None:
    """The three numbers of net.ipv4.tcp_mem, in pages: low, pressure, maximum. None if it cannot be read."""
    pages = [number_of(word) for word in world.sysctls.get("net.ipv4.tcp_mem", "").split()]
    if len(pages) != 3:
        return None
    low, pressure, most = pages
    return None if low is None or pressure is None or most is None else (low, pressure, most)


def _sysctl(name: str) -> Read:
    return lambda world: world.number(name)


def _sockstat(name: str) -> Read:
    return lambda world: world.sockstat.get(name)


def _most_pages(world: World) -> int | None:
    pages = tcp_mem_pages(world)
    return pages[2] if pages else None


def _unreported(_: World) -> None:
    """The kernel does not report how many there are."""


TIME_WAITS = Meter(
    "net.ipv4.tcp_max_tw_buckets",
    ceiling=_sysctl("net.ipv4.tcp_max_tw_buckets"),
    in_use=_sockstat("TCP.tw"),
    counters=("TCPTimeWaitOverflow",),
    metric="time_wait_sockets",
    about="Sockets in TIME_WAIT.",
)
ORPHANS = Meter(
    "net.ipv4.tcp_max_orphans",
    ceiling=_sysctl("net.ipv4.tcp_max_orphans"),
    in_use=_sockstat("TCP.orphan"),
    counters=("TCPAbortOnMemory",),
    metric="orphans",
    about="Sockets without a program that are not closed yet, of the host.",
    of_host=True,
)
TCP_MEMORY = Meter(
    "net.ipv4.tcp_mem",
    ceiling=_most_pages,
    in_use=_sockstat("TCP.mem"),
    in_pages=True,
    counters=("TCPRcvQDrop", "PruneCalled", "TCPMemoryPressures"),
    metric="tcp_memory_bytes",
    about="Memory of queued data, of the host.",
    of_host=True,
)
CONNTRACK = Meter(
    "net.netfilter.nf_conntrack_max",
    ceiling=_sysctl("net.netfilter.nf_conntrack_max"),
    in_use=_sysctl("net.netfilter.nf_conntrack_count"),
    counters=("nf_conntrack.drop", "nf_conntrack.early_drop"),
    metric="conntrack_entries",
    about="Connections that are tracked in this namespace.",
)
HOST_FILES = Meter(
    "fs.file-max",
    ceiling=_sysctl("fs.file-max"),
    in_use=lambda world: world.files_in_use,
    metric="host_files",
    about="Open files of the host.",
    of_host=True,
)
THREADS = Meter(
    "kernel.threads-max",
    ceiling=_sysctl("kernel.threads-max"),
    in_use=lambda world: world.threads,
    metric="host_threads",
    about="Threads of the host.",
    of_host=True,
)
NEIGHBOURS = Meter(
    "net.ipv4.neigh.default.gc_thresh3",
    ceiling=_sysctl("net.ipv4.neigh.default.gc_thresh3"),
    in_use=lambda world: world.neighbours,
    counters=("arp_cache.table_fulls", "ndisc_cache.table_fulls"),
    metric="neighbours",
    about="IPv4 neighbours that this namespace sees.",
)
PROCESS_FILES = Meter(
    "RLIMIT_NOFILE",
    ceiling=lambda world: world.process.files_soft,
    in_use=lambda world: world.process.files_open,
)
WATCHES = Meter("fs.epoll.max_user_watches", ceiling=_sysctl("fs.epoll.max_user_watches"), in_use=_unreported)
NR_OPEN = Meter("fs.nr_open", ceiling=_sysctl("fs.nr_open"), in_use=_unreported)

METERS: tuple[Meter, ...] = (
    TIME_WAITS,
    ORPHANS,
    TCP_MEMORY,
    CONNTRACK,
    HOST_FILES,
    THREADS,
    NEIGHBOURS,
    PROCESS_FILES,
    WATCHES,
    NR_OPEN,
)
EXPORTED = tuple(meter for meter in METERS if meter.metric)
