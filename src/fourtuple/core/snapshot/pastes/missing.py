"""What a paste does not have: the limits that cannot be judged from it, and the output that would tell of each."""

from collections.abc import Iterator

from fourtuple.core.limits.settings import PORT_RANGE
from fourtuple.core.record import dataclass
from fourtuple.core.snapshot.records import HostNamespace, Snapshot
from fourtuple.core.sockets.table import SOCK_DIAG

NEVER = (
    "limits of users and cgroups, UDP ports, Unix sockets: a paste does not have them; `fourtuple snapshot` on that"
    " host does"
)


@dataclass(frozen=True, slots=True)
class Topic:
    """A kind of limit, and what is needed to judge it: each with how it is pasted."""

    name: str
    needed: tuple[tuple[bool, str], ...]

    @property
    def sentence(self) -> str:
        """`NAME: A and B are not in the paste`; empty: nothing is missing."""
        lacking = [how for is_there, how in self.needed if not is_there]
        verb = "is" if len(lacking) == 1 else "are"
        names = " and ".join(filter(None, (", ".join(lacking[:-1]), *lacking[-1:])))
        return f"{self.name}: {names} {verb} not in the paste" if lacking else ""


def missing(snapshot: Snapshot, inside: HostNamespace) -> Iterator[str]:
    """Sentences: which limits a paste does not tell of. inside: its one namespace"""
    yield from filter(None, (topic.sentence for topic in _topics(snapshot, inside)))
    yield NEVER


def _topics(snapshot: Snapshot, inside: HostNamespace) -> Iterator[Topic]:
    sysctls, sockstat = inside.sysctls, inside.sockstat

    def setting(name: str) -> tuple[bool, str]:
        return name in sysctls, name

    def counted(name: str) -> tuple[bool, str]:
        return name in sockstat, "/proc/net/sockstat"

    yield Topic("source ports", (setting(PORT_RANGE), (bool(inside.read_from), "a listing of sockets (ss -tanp)")))
    has_queues = inside.read_from == SOCK_DIAG and len(inside.listeners) > 0
    yield Topic("accept queues", ((has_queues, "a listing of listeners (ss -ltn)"),))
    has_files = any(each.files_open is not None and each.files_soft is not None for each in snapshot.processes.values())
    yield Topic("open files of processes", ((has_files, "/proc/PID/limits with ls /proc/PID/fd | wc -l"),))
    yield Topic("open files of the host", (setting("fs.file-nr"),))
    tracked = setting("net.netfilter.nf_conntrack_count"), setting("net.netfilter.nf_conntrack_max")
    yield Topic("connection tracking", tracked)
    yield Topic("memory of TCP", (counted("TCP.mem"), setting("net.ipv4.tcp_mem")))
    yield Topic("orphans", (counted("TCP.orphan"), setting("net.ipv4.tcp_max_orphans")))
    yield Topic("TIME_WAIT", (counted("TCP.tw"), setting("net.ipv4.tcp_max_tw_buckets")))
    yield Topic("memory of the host", ((snapshot.memory_bytes is not None, "/proc/meminfo"),))
    threads = (snapshot.threads is not None, "/proc/loadavg")
    yield Topic("threads", (threads, setting("kernel.threads-max"), setting("kernel.pid_max")))
    is_listed = inside.neighbours is not None or inside.neighbours6 is not None
    yield Topic("neighbours", ((is_listed, "ip neigh"), setting("net.ipv4.neigh.default.gc_thresh3")))
    yield Topic("counters of failures", (("ListenOverflows" in inside.counters, "nstat -az"),))
    yield Topic("the kernel's log", ((bool(snapshot.log), "dmesg -T"),))
