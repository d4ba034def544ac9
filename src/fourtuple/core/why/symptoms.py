"""What people see when connections meet a limit, as tables: errnos, numbers where things stop, lines of logs.

SYMPTOMS says what an errno ends while connections are opened. The others lead to causes, which are rows of
core/why/causes.py, the likeliest first: PLATEAUS from a number of connections, ERRNOS from an errno and the call that
gave it, MESSAGES from what kernels and programs write.

Sources: connect(2), bind(2), accept(2), tcp(7), ip(7); behaviour checked on Linux 6.18; numbers as people report them.
"""

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType


class Ends(Enum):
    """What is over once the errno has been seen, so that nobody retries blindly."""

    PAIR = "this source address and this destination"
    DESTINATION = "this source address and this destination, unless they connected before"
    PROCESS = "everything this process wants to open"


@dataclass(frozen=True, slots=True)
class Symptom:
    limit: str
    do: str
    ends: Ends


_FULL_PAIR = Symptom(
    "source ports: every port of the range is taken for this source address and destination, or held by another socket",
    "Use more source addresses (--from), more destination ports, or a wider net.ipv4.ip_local_port_range.",
    Ends.PAIR,
)
_SYSTEM_FULL = "Close other programs or add memory; every connection costs about 4 KiB of kernel memory at each end."

SYMPTOMS: Mapping[int, Symptom] = MappingProxyType(
    {
        errno.EADDRNOTAVAIL: _FULL_PAIR,
        errno.EADDRINUSE: Symptom(
            "a port: bind() found it held by a socket that does not share it",
            "Use --strategy late, other ports (--from ADDRESS:PORT-PORT), or stop the program that holds them.",
            Ends.PAIR,
        ),
        errno.EMFILE: Symptom(
            "open files of the process: RLIMIT_NOFILE",
            "Use more processes (--workers), or raise the limit (LimitNOFILE=, limits.conf) and log in again.",
            Ends.PROCESS,
        ),
        errno.ENFILE: Symptom("open files of the host: fs.file-max", "Raise fs.file-max (root).", Ends.PROCESS),
        errno.ENOMEM: Symptom(
            "memory; for a ring without CAP_IPC_LOCK also RLIMIT_MEMLOCK (ulimit -l) of the user",
            _SYSTEM_FULL,
            Ends.PROCESS,
        ),
        errno.ENOBUFS: Symptom("memory for network buffers", _SYSTEM_FULL, Ends.PROCESS),
        errno.ENOSPC: Symptom(
            "epoll watches of the user: fs.epoll.max_user_watches",
            "Raise fs.epoll.max_user_watches (root).",
            Ends.PROCESS,
        ),
        errno.ECONNREFUSED: Symptom(
            "nobody listens there, or a firewall refuses",
            "Start the server first (fourtuple serve ADDRESS:PORT), or check address and port.",
            Ends.DESTINATION,
        ),
        errno.ETIMEDOUT: Symptom(
            "no answer: a full accept queue (backlog, somaxconn), a firewall that drops, full conntrack or NAT",
            "Look at the server's ListenOverflows, then at conntrack and firewalls on the way.",
            Ends.DESTINATION,
        ),
        errno.ECONNRESET: Symptom(
            "the peer reset the connection: its listener closed, or its accept queue overflowed",
            "Look at the server's log and at ListenOverflows.",
            Ends.DESTINATION,
        ),
        errno.EHOSTUNREACH: Symptom(
            "no way to the host: nobody answers for the address on the link, or a router refuses",
            "Check the address, the route (ip route get ADDRESS) and the neighbour table.",
            Ends.DESTINATION,
        ),
        errno.ENETUNREACH: Symptom(
            "there is no route to the network", "Check the address and ip route get ADDRESS.", Ends.DESTINATION
        ),
        errno.EACCES: Symptom(
            "not permitted: a port below net.ipv4.ip_unprivileged_port_start, or a prohibiting route or rule",
            "Use ports from 1024 on, or root.",
            Ends.DESTINATION,
        ),
        errno.EPERM: Symptom(
            "a local firewall rule or security module forbids it",
            "Check the rules for outgoing traffic.",
            Ends.DESTINATION,
        ),
        errno.ECANCELED: Symptom("ended before it was tried: stopped, or its worker process died", "", Ends.PROCESS),
    }
)
UNKNOWN = Symptom("the kernel's own words are all we know", "See connect(2).", Ends.DESTINATION)


def symptom_of(number: int) -> Symptom:
    return SYMPTOMS.get(number, UNKNOWN)


def name_of(number: int) -> str:
    """99 → `EADDRNOTAVAIL`; an errno this platform does not name gives its number."""
    return errno.errorcode.get(number, str(number))


@dataclass(frozen=True, slots=True)
class Plateau:
    """Connections stop, or become slow, at a number from `first` to `last`: what that usually is."""

    first: int
    last: int
    causes: Sequence[str]
    says: str


PLATEAUS: tuple[Plateau, ...] = (
    Plateau(64, 64, ("nat",), "ports that Google Cloud NAT gives each machine unless told otherwise"),
    Plateau(126, 129, ("accept-queue", "nat"), "an accept queue of 128 (somaxconn before Linux 5.4), or NAT ports"),
    Plateau(255, 256, ("browser",), "the connections a browser opens to one host"),
    Plateau(505, 513, ("accept-queue",), "an accept queue of 511, as nginx, Redis and Node ask for"),
    Plateau(990, 1024, ("files", "files-there", "select", "nat"), "1,024 open files less a few, at either end"),
    Plateau(2000, 2049, ("files", "files-there"), "4,096 open files and two for each connection, as in a proxy"),
    Plateau(4000, 4097, ("accept-queue", "files", "files-there"), "somaxconn since Linux 5.4, or 4,096 open files"),
    Plateau(14_080, 14_120, ("half-range",), "half of the default port range: slow from there on"),
    Plateau(16_300, 16_384, ("other-system",), "the port range of macOS and Windows, 49152-65535"),
    Plateau(28_180, 28_242, ("port-range", "time-wait", "close-wait"), "the default port range, 32768-60999"),
    Plateau(32_180, 32_768, ("half-range", "nat"), "half of 1024-65535, or a NAT pool of 32768-65535"),
    Plateau(49_900, 50_000, ("nat",), "Azure NAT Gateway, for each public address and destination"),
    Plateau(54_900, 55_000, ("nat",), "AWS NAT gateway, for each public address and destination"),
    Plateau(64_400, 64_512, ("port-range", "nat"), "ports 1024-65535 to one destination; as many has a NAT address"),
    Plateau(65_400, 65_536, ("files", "files-there", "conntrack", "port-range"), "65,536 of something else"),
    Plateau(261_900, 262_144, ("conntrack",), "nf_conntrack_max by default"),
    Plateau(524_000, 524_288, ("files", "files-there"), "systemd's hard limit of files, or two for each of 1,048,576"),
    Plateau(1_048_000, 1_048_576, ("nr-open", "files", "files-there"), "fs.nr_open, the most files a process may have"),
)

_NO_PORT_LEFT = ("port-range", "time-wait", "close-wait", "bound-first", "no-such-source", "same-tuple")
# (call, errno) → causes. An errno without its call stands under "".
ERRNOS: Mapping[tuple[str, int], Sequence[str]] = MappingProxyType(
    {
        ("connect", errno.EADDRNOTAVAIL): _NO_PORT_LEFT,
        ("bind", errno.EADDRNOTAVAIL): ("no-such-source",),
        ("", errno.EADDRNOTAVAIL): _NO_PORT_LEFT,
        ("bind", errno.EADDRINUSE): ("port-owned", "bound-first"),
        ("listen", errno.EADDRINUSE): ("port-owned",),
        ("", errno.EADDRINUSE): ("port-owned", "bound-first"),
        ("", errno.EMFILE): ("files", "close-wait"),
        ("", errno.ENFILE): ("file-max",),
        ("epoll_ctl", errno.ENOSPC): ("watches",),
        ("", errno.ENOSPC): ("watches", "no-space"),
        ("", errno.EAGAIN): ("not-ready", "threads", "udp-ports"),
        ("", errno.ENOMEM): ("memory", "ring-memory"),
        ("", errno.ENOBUFS): ("neighbours", "memory"),
        ("", errno.ETIMEDOUT): ("accept-queue", "conntrack", "nat", "firewall", "syn-queue", "neighbours"),
        ("", errno.ECONNREFUSED): ("no-listener", "firewall"),
        ("", errno.ECONNRESET): ("accept-queue", "reset", "orphans"),
        ("", errno.EPIPE): ("reset",),
        ("", errno.EHOSTUNREACH): ("no-way", "firewall", "neighbours"),
        ("", errno.ENETUNREACH): ("no-way",),
        ("", errno.EACCES): ("privileged", "firewall"),
        ("setrlimit", errno.EPERM): ("nr-open",),
        ("", errno.EPERM): ("firewall", "nr-open"),
        ("", errno.ETOOMANYREFS): ("in-flight",),
        ("", errno.EINPROGRESS): ("no-answer-yet",),
    }
)


@dataclass(frozen=True, slots=True)
class Message:
    """A text that a kernel or a program writes, as a regular expression without regard to case.

    number: the errno that it stands for; 0: none. Names of errnos are known without
    """

    pattern: str
    causes: Sequence[str]
    number: int = 0
    call: str = ""


MESSAGES: tuple[Message, ...] = (
    Message(r"nf_conntrack: .*table full", ("conntrack",)),
    Message(r"neighbou?r.{0,20}table overflow|arp_cache.*overflow|ndisc_cache.*overflow", ("neighbours",)),
    Message(r"worker_connections are not enough|too many connections|max_?connections|maxclients", ("own-limit",)),
    Message(r"possible syn flooding", ("syn-queue", "accept-queue")),
    Message(r"listen queue of a socket overflowed|listenoverflows", ("accept-queue",)),
    Message(r"time wait bucket table overflow|tcptimewaitoverflow", ("tw-buckets",)),
    Message(r"too many orphaned sockets|tcpabortonmemory", ("orphans",)),
    Message(r"tcp: out of memory", ("tcp-mem",)),
    Message(r"out of memory: killed|oom-?kill|oomkilled|memory cgroup out of memory", ("memory",)),
    Message(r"file-max limit", ("file-max",)),
    Message(r"setrlimit|rlimit.*(not permitted|operation)", ("nr-open",), errno.EPERM, "setrlimit"),
    Message(r"can'?t start new thread|unable to create (new )?native thread|pthread_create|fork: retry", ("threads",)),
    Message(r"out of range in select|fd_setsize", ("select",)),
    Message(r"wsaeaddrinuse|\b10048\b", ("other-system",)),
    Message(r"wsaenobufs|\b10055\b", ("other-system",)),
    Message(r"snat.*exhaust|errorportallocation|no mapping for nat|out_of_resources", ("nat",)),
    Message(r"can'?t assign requested address", ("other-system", "port-range", "no-such-source"), errno.EADDRNOTAVAIL),
    Message(r"cannot assign requested address|no free ports", (), errno.EADDRNOTAVAIL),
    Message(r"address already in use|port is already allocated", (), errno.EADDRINUSE),
    Message(r"too many open files in system", (), errno.ENFILE),
    Message(r"too many open files", (), errno.EMFILE),
    Message(r"no space left on device", (), errno.ENOSPC),
    Message(r"resource temporarily unavailable", (), errno.EAGAIN),
    Message(r"connection timed out|i/o timeout|connect timeout|timed out", (), errno.ETIMEDOUT),
    Message(r"connection refused", (), errno.ECONNREFUSED),
    Message(r"connection reset", (), errno.ECONNRESET),
    Message(r"broken pipe", (), errno.EPIPE),
    Message(r"no route to host", (), errno.EHOSTUNREACH),
    Message(r"network is unreachable", (), errno.ENETUNREACH),
    Message(r"permission denied", (), errno.EACCES),
    Message(r"operation not permitted", (), errno.EPERM),
    Message(r"cannot allocate memory", (), errno.ENOMEM),
    Message(r"no buffer space", (), errno.ENOBUFS),
    Message(r"operation now in progress", (), errno.EINPROGRESS),
    Message(r"too many references", (), errno.ETOOMANYREFS),
    Message(r"curl: \(28\)", (), errno.ETIMEDOUT),
    Message(r"curl: \(7\)", (), errno.ECONNREFUSED),
)
