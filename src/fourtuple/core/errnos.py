"""What an errno means while connections are opened, which connects are pointless after it, and what to do.

Sources: connect(2), bind(2), accept(2), tcp(7), ip(7); behaviour checked on Linux 6.18.
"""

import errno
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from fourtuple.core.errors import CannotError, FourtupleError, ShortfallError, UsageError
from fourtuple.core.record import dataclass


class Extent(Enum):
    """The connects that are pointless once the errno has been seen, so that the engine does not retry them."""

    PAIR = "this source address and this destination"
    DESTINATION = "this source address and this destination, unless a connect between them has succeeded before"
    PROCESS = "every connection of this process"


@dataclass(frozen=True, slots=True)
class Symptom:
    """One errno while connections are opened.

    limit: the limit or failure that it means
    do:    the remedy, as a sentence; empty: none
    ends:  the connects that are pointless after it
    """

    limit: str
    do: str
    ends: Extent


_FULL_PAIR = Symptom(
    "no free source port: every port in ip_local_port_range is in use for this source and destination, or is bound by"
    " another socket",
    "Use more source addresses (--from), more destination ports, or a wider net.ipv4.ip_local_port_range"
    " with the ports of services reserved (`plan` lists both settings).",
    Extent.PAIR,
)
_SYSTEM_FULL = "Close other programs or add memory; each connection takes about 4 KiB of kernel memory at each end."
SYMPTOMS: Mapping[int, Symptom] = MappingProxyType(
    {
        errno.EADDRNOTAVAIL: _FULL_PAIR,
        errno.EADDRINUSE: Symptom(
            "a port: another socket holds it and does not share it, so bind() fails",
            "Use --strategy late, other ports (--from ADDRESS:PORT-PORT), or stop the program that holds the port.",
            Extent.PAIR,
        ),
        errno.EMFILE: Symptom(
            "open files of the process: RLIMIT_NOFILE",
            "Use more processes (--workers), or raise the limit (LimitNOFILE=, or limits.conf and a new login).",
            Extent.PROCESS,
        ),
        errno.ENFILE: Symptom("open files of the host: fs.file-max", "Raise fs.file-max (root).", Extent.PROCESS),
        errno.ENOMEM: Symptom(
            "memory; for io_uring without CAP_IPC_LOCK also the user's RLIMIT_MEMLOCK (ulimit -l)",
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
            "no process listens there, or a firewall refuses",
            "Start the server first (fourtuple serve ADDRESS:PORT), or check the address and the port.",
            Extent.DESTINATION,
        ),
        errno.ETIMEDOUT: Symptom(
            "no answer: a full accept queue (backlog, somaxconn), a firewall that drops, full conntrack or NAT",
            "Check the server's ListenOverflows, then conntrack and firewalls on the path.",
            Extent.DESTINATION,
        ),
        errno.ECONNRESET: Symptom(
            "the peer reset the connection: it closed, or its accept queue was full and tcp_abort_on_overflow is 1",
            "Check the server's log and its ListenOverflows.",
            Extent.DESTINATION,
        ),
        errno.EHOSTUNREACH: Symptom(
            "the host is unreachable: no host answers for the address on the link, or a router refuses",
            "Check the address, the route (ip route get ADDRESS) and the neighbour table.",
            Extent.DESTINATION,
        ),
        errno.ENETUNREACH: Symptom(
            "there is no route to the network",
            "Check the address and the route (ip route get ADDRESS).",
            Extent.DESTINATION,
        ),
        errno.EACCES: Symptom(
            "not permitted: the port is below ip_unprivileged_port_start, or a route or rule prohibits it",
            "Use ports from 1024 on, or run as root.",
            Extent.DESTINATION,
        ),
        errno.EPERM: Symptom(
            "a local firewall rule or security module forbids it",
            "Check the rules for outgoing traffic.",
            Extent.DESTINATION,
        ),
        errno.EINPROGRESS: Symptom(
            "there was no answer yet when the run was stopped",
            "",
            Extent.DESTINATION,
        ),
        errno.ECANCELED: Symptom(
            "the connect was not tried: the run was stopped, or its worker process or machine was gone",
            "",
            Extent.PROCESS,
        ),
    }
)
_DIFFERENT_OVER_UNIX: Mapping[int, Symptom] = MappingProxyType(
    {
        errno.EAGAIN: Symptom(
            "the accept queue stayed full: its limit is the backlog of listen(), at most net.core.somaxconn",
            "See Recv-Q and Send-Q of `ss -xl`. Make the server accept faster, or raise its backlog.",
            Extent.DESTINATION,
        ),
        errno.ENOENT: Symptom(
            "there is no such file",
            "Start the server first (fourtuple serve unix:PATH), or check the path.",
            Extent.DESTINATION,
        ),
        errno.ECONNREFUSED: Symptom(
            "no process listens there; a server that was killed leaves its file behind, and an abstract name is known"
            " in one network namespace only",
            "Start the server first (fourtuple serve unix:PATH), or check the path.",
            Extent.DESTINATION,
        ),
        errno.EACCES: Symptom(
            "not permitted: connect() has to be allowed to write to the socket file, and to search its folders",
            "See `namei -l PATH`; run as a user or a group that may write to it.",
            Extent.DESTINATION,
        ),
        errno.EPROTOTYPE: Symptom(
            "a socket of another type listens there: datagrams, or packets in sequence",
            "Take the path of a stream socket (type SOCK_STREAM).",
            Extent.DESTINATION,
        ),
        errno.ECONNRESET: Symptom(
            "the peer closed before it had read everything, or its listener closed before it accepted",
            "Check the server's log.",
            Extent.DESTINATION,
        ),
        errno.EPIPE: Symptom("the peer closed", "Check the server's log.", Extent.DESTINATION),
    }
)
UNKNOWN = Symptom("an error without a known cause", "See connect(2).", Extent.DESTINATION)


def symptom_of(number: int, *, unix: bool = False) -> Symptom:
    """The symptom of an errno; UNKNOWN if it is not in SYMPTOMS. unix: of a Unix socket"""
    return (_DIFFERENT_OVER_UNIX.get(number) if unix else None) or SYMPTOMS.get(number, UNKNOWN)


def name_of(number: int) -> str:
    """The name of an errno (99 → `EADDRNOTAVAIL`), or its number if this platform has no name for it."""
    return errno.errorcode.get(number, str(number))


def cannot_listen(where: str, error: OSError) -> FourtupleError:
    """Why a server cannot listen: the address is not on this host, another socket has the port, or it is not permitted.

    where: ADDRESS:PORT
    """
    number = error.errno or 0
    wanted, stopped_by = f"cannot listen on {where}", f"{error.strerror} ({name_of(number)} {number})"
    if number == errno.EADDRNOTAVAIL:
        return UsageError(wanted, f"{stopped_by}; this host does not have the address", "See `ip address`.")
    if number == errno.EADDRINUSE:
        return ShortfallError(wanted, f"{stopped_by}; another socket has the port", "See `ss -tlnp`, or take another.")
    kind = CannotError if number in (errno.EACCES, errno.EPERM) else ShortfallError
    return kind(wanted, stopped_by, symptom_of(number).do)
