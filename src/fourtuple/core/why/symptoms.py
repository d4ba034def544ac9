"""What users see when connections reach a limit, as tables: errnos, numbers of connections, lines of logs.

Each table leads to causes, which are keys of CAUSES (core/why/causes.py), the likeliest first: PLATEAUS from a number
of connections, ERRNOS from an errno and the call that failed, MESSAGES from what kernels and programs log.

Sources: connect(2), bind(2), accept(2), tcp(7), ip(7); behaviour checked on Linux 6.18; numbers as people report them.
"""

import errno
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Plateau:
    """The usual meaning of connections that stop, or become slow, at a number from `first` to `last`."""

    first: int
    last: int
    causes: Sequence[str]
    says: str


PLATEAUS: tuple[Plateau, ...] = (
    Plateau(64, 64, ("nat",), "the ports that Google Cloud NAT gives each machine by default"),
    Plateau(126, 129, ("accept-queue", "nat"), "an accept queue of 128 (somaxconn before Linux 5.4), or NAT ports"),
    Plateau(255, 256, ("browser",), "the connections a browser opens to one host"),
    Plateau(505, 513, ("accept-queue",), "an accept queue of 511, the backlog of nginx, Redis and Node"),
    Plateau(990, 1024, ("files", "files-there", "select", "nat"), "1,024 open files at either end, less a few"),
    Plateau(2000, 2049, ("files", "files-there"), "4,096 open files, two per connection, as in a proxy"),
    Plateau(
        4000,
        4097,
        ("accept-queue", "files", "files-there"),
        "somaxconn since Linux 5.4, or 4,096 open files",
    ),
    Plateau(14_080, 14_120, ("half-range",), "half of the default port range: from there on connect() is slow"),
    Plateau(16_300, 16_384, ("other-system",), "the port range of macOS and Windows, 49152-65535"),
    Plateau(28_180, 28_242, ("port-range", "time-wait", "close-wait"), "the default port range, 32768-60999"),
    Plateau(32_180, 32_768, ("half-range", "nat"), "half of 1024-65535, or a NAT pool of 32768-65535"),
    Plateau(49_900, 50_000, ("nat",), "Azure NAT Gateway, per public address and destination"),
    Plateau(54_900, 55_000, ("nat",), "AWS NAT gateway, per public address and destination"),
    Plateau(
        64_400, 64_512, ("port-range", "nat"), "ports 1024-65535 to one destination, or the ports of one NAT address"
    ),
    Plateau(
        65_400,
        65_536,
        ("files", "files-there", "conntrack", "port-range"),
        "65,536 files or conntrack entries, or all ports",
    ),
    Plateau(261_900, 262_144, ("conntrack",), "the default of nf_conntrack_max"),
    Plateau(
        524_000,
        524_288,
        ("files", "files-there"),
        "systemd's hard limit of files, or 1,048,576 at two per connection",
    ),
    Plateau(
        1_048_000,
        1_048_576,
        ("nr-open", "files", "files-there"),
        "fs.nr_open, the most files a process can open",
    ),
)
_NO_PORT_LEFT = ("port-range", "time-wait", "close-wait", "bound-first", "no-such-source", "same-tuple")
# (call, errno) → causes; the call "" stands for any call.
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
    """A text that a kernel or a program logs.

    pattern: a regular expression, matched without regard to case
    causes:  keys of CAUSES that the text itself suggests
    number:  the errno that the text stands for; 0: none. Names of errnos are recognised without a row
    call:    the system call that the text implies; empty: none
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
