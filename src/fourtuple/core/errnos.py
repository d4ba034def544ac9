"""What an errno means while connections are opened, what is over once it has been seen, and what to do.

Sources: connect(2), bind(2), accept(2), tcp(7), ip(7); behaviour checked on Linux 6.18.
"""

import errno
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType


class Extent(Enum):
    """What is over once the errno has been seen, so that nobody retries blindly."""

    PAIR = "this source address and this destination"
    DESTINATION = "this source address and this destination, unless they connected before"
    PROCESS = "everything this process wants to open"


@dataclass(frozen=True, slots=True)
class Symptom:
    limit: str
    do: str
    ends: Extent


_FULL_PAIR = Symptom(
    "source ports: every port of the range is taken for this source address and destination, or held by another socket",
    "Use more source addresses (--from), more destination ports, or a wider net.ipv4.ip_local_port_range.",
    Extent.PAIR,
)
_SYSTEM_FULL = "Close other programs or add memory; every connection costs about 4 KiB of kernel memory at each end."
SYMPTOMS: Mapping[int, Symptom] = MappingProxyType(
    {
        errno.EADDRNOTAVAIL: _FULL_PAIR,
        errno.EADDRINUSE: Symptom(
            "a port: bind() found it held by a socket that does not share it",
            "Use --strategy late, other ports (--from ADDRESS:PORT-PORT), or stop the program that holds them.",
            Extent.PAIR,
        ),
        errno.EMFILE: Symptom(
            "open files of the process: RLIMIT_NOFILE",
            "Use more processes (--workers), or raise the limit (LimitNOFILE=, limits.conf) and log in again.",
            Extent.PROCESS,
        ),
        errno.ENFILE: Symptom("open files of the host: fs.file-max", "Raise fs.file-max (root).", Extent.PROCESS),
        errno.ENOMEM: Symptom(
            "memory; for a ring without CAP_IPC_LOCK also RLIMIT_MEMLOCK (ulimit -l) of the user",
            _SYSTEM_FULL,
            Extent.PROCESS,
        ),
        errno.ENOBUFS: Symptom("memory for network buffers", _SYSTEM_FULL, Extent.PROCESS),
        errno.ENOSPC: Symptom(
            "epoll watches of the user: fs.epoll.max_user_watches",
            "Raise fs.epoll.max_user_watches (root).",
            Extent.PROCESS,
        ),
        errno.ECONNREFUSED: Symptom(
            "nobody listens there, or a firewall refuses",
            "Start the server first (fourtuple serve ADDRESS:PORT), or check address and port.",
            Extent.DESTINATION,
        ),
        errno.ETIMEDOUT: Symptom(
            "no answer: a full accept queue (backlog, somaxconn), a firewall that drops, full conntrack or NAT",
            "Look at the server's ListenOverflows, then at conntrack and firewalls on the way.",
            Extent.DESTINATION,
        ),
        errno.ECONNRESET: Symptom(
            "the peer reset the connection: its listener closed, or its accept queue overflowed",
            "Look at the server's log and at ListenOverflows.",
            Extent.DESTINATION,
        ),
        errno.EHOSTUNREACH: Symptom(
            "no way to the host: nobody answers for the address on the link, or a router refuses",
            "Check the address, the route (ip route get ADDRESS) and the neighbour table.",
            Extent.DESTINATION,
        ),
        errno.ENETUNREACH: Symptom(
            "there is no route to the network", "Check the address and ip route get ADDRESS.", Extent.DESTINATION
        ),
        errno.EACCES: Symptom(
            "not permitted: a port below net.ipv4.ip_unprivileged_port_start, or a prohibiting route or rule",
            "Use ports from 1024 on, or root.",
            Extent.DESTINATION,
        ),
        errno.EPERM: Symptom(
            "a local firewall rule or security module forbids it",
            "Check the rules for outgoing traffic.",
            Extent.DESTINATION,
        ),
        errno.ECANCELED: Symptom("ended before it was tried: stopped, or its worker process died", "", Extent.PROCESS),
    }
)
UNKNOWN = Symptom("the kernel's own words are all we know", "See connect(2).", Extent.DESTINATION)


def symptom_of(number: int) -> Symptom:
    return SYMPTOMS.get(number, UNKNOWN)


def name_of(number: int) -> str:
    """99 → `EADDRNOTAVAIL`; an errno this platform does not name gives its number."""
    return errno.errorcode.get(number, str(number))
