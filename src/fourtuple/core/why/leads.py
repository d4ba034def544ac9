"""What a finding leads to: from an errno and the call that failed, or from a number of connections, to causes.

The tables lead to keys of CAUSES (core/why/causes), the likeliest first: ERRORS from an errno, PLATEAUS from a number.

Sources: connect(2), bind(2), accept(2), setrlimit(2), inotify(7), unix(7), udp(7), tcp(7), ip(7); behaviour checked on
Linux 6.18; Windows Sockets error codes (WinSock2.h); numbers as people report them.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from fourtuple.core.errors import UsageError
from fourtuple.core.record import dataclass
from fourtuple.core.space.endpoints import Address, Endpoint, parse_address
from fourtuple.core.why.findings import Finding, System
from fourtuple.core.why.reader import codes
from fourtuple.core.why.scene import rounded


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
    Plateau(16_300, 16_384, ("other-system", "windows-ports"), "the port range of macOS and Windows, 49152-65535"),
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
        ("files", "files-there", "conntrack", "port-numbers"),
        "the port numbers from one source address to one destination, which are no limit of a host or a server; or"
        " 65,536 files or conntrack entries",
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
_NO_PORT_LEFT = ("port-range", "time-wait", "close-wait", "reserved", "bound-first", "no-such-source", "same-tuple")
_NO_DATAGRAM = ("datagram-lost", "conntrack", "firewall")
DNS_PORT = 53
_NO_ANSWER = ("accept-queue", "conntrack", "nat", "firewall", "syn-queue", "neighbours")

# (what failed, errno) → causes. What failed is tried in this order: `CALL/PROTOCOL`, `/PROTOCOL`, `CALL`, and empty for
# anything.
ERRORS: Mapping[tuple[str, str], Sequence[str]] = MappingProxyType(
    {
        ("/udp", "EADDRNOTAVAIL"): ("udp-ports", "no-such-source"),
        ("bind", "EADDRNOTAVAIL"): ("no-such-source",),
        ("listen", "EADDRNOTAVAIL"): ("no-such-source",),
        ("", "EADDRNOTAVAIL"): _NO_PORT_LEFT,
        ("/udp", "EADDRINUSE"): ("port-owned", "udp-ports"),
        ("connect", "EADDRINUSE"): ("same-tuple", "bound-first", "windows-ports"),
        ("bind", "EADDRINUSE"): ("port-owned", "bound-first"),
        ("listen", "EADDRINUSE"): ("port-owned",),
        ("", "EADDRINUSE"): ("port-owned", "bound-first", "same-tuple"),
        ("inotify_init", "EMFILE"): ("inotify-instances", "files"),
        ("", "EMFILE"): ("files", "close-wait"),
        ("", "ENFILE"): ("file-max",),
        ("epoll_ctl", "ENOSPC"): ("watches",),
        ("inotify_add_watch", "ENOSPC"): ("inotify-watches",),
        ("", "ENOSPC"): ("no-space", "inotify-watches", "watches"),
        ("connect/unix", "EAGAIN"): ("unix-backlog",),
        ("/unix", "EAGAIN"): ("unix-backlog", "not-ready"),
        ("recv/udp", "EAGAIN"): ("not-ready",),
        ("/udp", "EAGAIN"): ("udp-ports", "not-ready"),
        ("fork", "EAGAIN"): ("threads", "pids", "pid-max", "max-map-count"),
        ("connect", "EAGAIN"): ("unix-backlog", "udp-ports", "no-answer-yet"),
        ("bind", "EAGAIN"): ("udp-ports",),
        ("recv", "EAGAIN"): ("not-ready",),
        ("send", "EAGAIN"): ("not-ready", "udp-ports"),
        ("accept", "EAGAIN"): ("not-ready",),
        ("", "EAGAIN"): ("not-ready", "threads", "unix-backlog", "udp-ports"),
        ("mmap", "ENOMEM"): ("max-map-count", "memory"),
        ("fork", "ENOMEM"): ("memory", "max-map-count", "pids"),
        ("io_uring_setup", "ENOMEM"): ("ring-memory", "memory"),
        ("", "ENOMEM"): ("memory", "ring-memory", "tcp-mem", "max-map-count"),
        ("recv", "ENOBUFS"): ("netlink-buffer", "memory"),
        ("", "ENOBUFS"): ("neighbours", "memory", "device-queue", "route-cache", "xfrm"),
        ("/udp", "ETIMEDOUT"): _NO_DATAGRAM,
        ("getaddrinfo", "ETIMEDOUT"): ("dns-server", "conntrack", "firewall"),
        ("recv", "ETIMEDOUT"): ("slow-server", "path-lost", "accept-queue", "files-there"),
        ("send", "ETIMEDOUT"): ("path-lost", "slow-server"),
        ("connect", "ETIMEDOUT"): _NO_ANSWER,
        ("", "ETIMEDOUT"): (*_NO_ANSWER[:2], "slow-server", *_NO_ANSWER[2:]),
        ("", "ECONNREFUSED"): ("no-listener", "firewall"),
        ("", "ECONNRESET"): ("reset", "accept-queue", "orphans"),
        ("", "ECONNABORTED"): ("reset",),
        ("", "EPIPE"): ("reset",),
        ("", "EHOSTUNREACH"): ("no-way", "firewall", "neighbours"),
        ("", "EHOSTDOWN"): ("no-way", "neighbours"),
        ("", "ENETUNREACH"): ("no-way", "route-cache"),
        ("bind", "EACCES"): ("privileged",),
        ("listen", "EACCES"): ("privileged",),
        ("connect", "EACCES"): ("firewall", "privileged"),
        ("", "EACCES"): ("privileged", "firewall"),
        ("setrlimit", "EPERM"): ("hard-limit", "nr-open"),
        ("setrlimit", "EINVAL"): ("hard-limit", "nr-open"),
        ("connect", "EPERM"): ("firewall", "conntrack"),
        ("send", "EPERM"): ("firewall", "conntrack"),
        ("", "EPERM"): ("firewall", "hard-limit", "nr-open", "conntrack"),
        ("", "ETOOMANYREFS"): ("in-flight",),
        ("", "EINPROGRESS"): ("no-answer-yet",),
        ("", "EALREADY"): ("no-answer-yet",),
        # No errno: what says only that it could not connect, such as curl's (7)
        ("connect", ""): ("no-listener", *_NO_PORT_LEFT[:5], "firewall"),
        # Windows
        ("bind", "WSAEADDRINUSE"): ("port-owned", "windows-ports"),
        ("listen", "WSAEADDRINUSE"): ("port-owned",),
        ("", "WSAEADDRINUSE"): ("windows-ports", "port-owned"),
        ("connect", "WSAEADDRNOTAVAIL"): ("windows-ports", "no-such-source"),
        ("", "WSAEADDRNOTAVAIL"): ("no-such-source", "windows-ports"),
        ("connect", "WSAEACCES"): ("firewall", "windows-excluded"),
        ("", "WSAEACCES"): ("windows-excluded", "firewall"),
        ("", "WSAENOBUFS"): ("windows-buffers", "windows-ports"),
        ("", "WSAEMFILE"): ("windows-buffers",),
        # macOS, FreeBSD
        ("bind", "BSD:EADDRNOTAVAIL"): ("no-such-source",),
        ("", "BSD:EADDRNOTAVAIL"): ("other-system", "no-such-source", "port-range"),
        ("", "BSD:EMFILE"): ("bsd-files",),
        ("", "BSD:ENFILE"): ("bsd-files",),
    }
)
# Causes that an errno may have as well, but only if the words of the text say so.
WITH_WORDS: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "EADDRNOTAVAIL": (
            "tentative-address",
            "duplicate-address",
            "other-system",
            "windows-ports",
            "ipvs-reuse",
            "nat",
        ),
        "EADDRINUSE": ("docker-ports", "windows-ports", "other-system"),
        "EMFILE": ("inotify-instances", "bsd-files", "hard-limit", "select"),
        "ENFILE": ("bsd-files", "inotify-instances"),
        "ENOSPC": ("inotify-watches", "watches", "max-map-count", "cilium-map", "conntrack"),
        "EAGAIN": ("pids", "pid-max", "threads", "udp-ports", "unix-backlog", "max-map-count", "memory", "hard-limit"),
        "ENOMEM": ("pids", "max-map-count", "threads", "route-cache", "conntrack", "cilium-map", "xfrm"),
        "ENOBUFS": ("netlink-buffer", "windows-ports", "windows-buffers", "tcp-mem", "other-system"),
        "ETIMEDOUT": (
            "tcp-mem",
            "orphans",
            "dns",
            "dns-server",
            "ipvs-reuse",
            "cilium-map",
            "unix-backlog",
            "upstream-down",
            "route-cache",
        ),
        "ECONNREFUSED": ("accept-queue", "upstream-down", "memory", "ipvs-reuse", "dns"),
        "ECONNRESET": ("nat", "conntrack", "tcp-mem", "memory", "syn-queue"),
        "EHOSTUNREACH": ("ipvs-reuse", "dns", "conntrack"),
        "ENETUNREACH": ("xfrm",),
        "EPERM": ("conntrack", "pids"),
        "EACCES": ("windows-excluded",),
    }
)
LOCALHOST = frozenset({"localhost", "ip6-localhost", "localhost.localdomain"})
# Calls that fail for the same reasons.
_SAME_CALL: Mapping[str, str] = MappingProxyType(
    {
        "dial": "connect",
        "accept4": "accept",
        **dict.fromkeys(("clone", "clone3", "vfork", "pthread_create", "execve", "posix_spawn", "spawn"), "fork"),
        **dict.fromkeys(("read", "readv", "recvfrom", "recvmsg", "recvmmsg"), "recv"),
        **dict.fromkeys(("write", "writev", "sendto", "sendmsg", "sendmmsg", "sendfile"), "send"),
        **dict.fromkeys(("prlimit", "prlimit64", "ulimit"), "setrlimit"),
        **dict.fromkeys(("mmap2", "mprotect", "mremap", "brk", "munmap"), "mmap"),
        "inotify_init1": "inotify_init",
    }
)


def plateaus_of(number: int | None) -> tuple[Plateau, ...]:
    """The usual meanings of this number of connections; None: no number."""
    if number is None:
        return ()
    about = rounded(number)
    return tuple(
        each for each in PLATEAUS if each.first in about or each.last in about or each.first <= number <= each.last
    )


def stopped_at(finding: Finding) -> int | None:
    """The number of connections at which they stop; None: unknown.

    A number beside an errno or a limit is that of a setting, such as the size of a pool.
    """
    return None if finding.error or finding.limit or finding.causes else finding.number


def causes_of_code(finding: Finding) -> tuple[str, ...]:
    """What a number that is all of the text may also be: a status of HTTP, a close code, a reason code of MQTT."""
    return tuple(codes.causes_of_number(finding.number)) if finding.number and finding.text.isdecimal() else ()


def call_of(finding: Finding) -> str:
    """The call that failed, by the name under which ERRORS has it."""
    return _SAME_CALL.get(finding.call, finding.call)


def protocol_of(finding: Finding) -> str:
    """The protocol that the finding names, or that its destination shows: a path is a Unix socket's."""
    path = finding.destination.removeprefix("unix:")
    return finding.protocol or ("unix" if path.startswith(("/", "@")) else "")


def errors_of(finding: Finding) -> tuple[str, ...]:
    """The names under which ERRORS has the finding's errno on its system, the particular one first."""
    name, system = finding.error, finding.system
    if not name:
        return () if finding.causes or finding.limit else ("",)
    plain = name.removeprefix("WSA")
    if name != plain or system is System.WINDOWS:
        return f"WSA{plain}", plain
    if system in (System.MACOS, System.FREEBSD):
        return f"BSD:{plain}", plain
    return (plain,)


def causes_of_error(finding: Finding) -> tuple[str, ...]:
    """The causes that the errno leads to, with the call, the protocol and the system; the likeliest first."""
    call, protocol = call_of(finding), protocol_of(finding)
    keys = ([f"{call}/{protocol}", f"/{protocol}"] if protocol in ("udp", "unix") else []) + [call, ""]
    for error in errors_of(finding):
        if found := next((ERRORS[key, error] for key in keys if (key, error) in ERRORS), None):
            extra = ("tentative-address",) if found == ("no-such-source",) and _is_ipv6(finding) else ()
            if error == "ETIMEDOUT" and finding.destination.endswith(f":{DNS_PORT}"):
                return ("dns-server", *(each for each in found if each != "datagram-lost"))
            return (*found, *extra)
    return ()


def agrees(finding: Finding, cause: str) -> bool:
    """Whether the finding's errno can have this cause at all, so that words which suggest it count."""
    if not finding.error:
        return True
    errors = errors_of(finding)
    anywhere = any(cause in causes for (_, error), causes in ERRORS.items() if error in errors)
    return anywhere or any(cause in WITH_WORDS.get(error, ()) for error in errors)


def _is_ipv6(finding: Finding) -> bool:
    return "::" in finding.source + finding.destination or (finding.source or finding.destination).startswith("[")


def target_of(finding: Finding) -> str | None:
    """The destination as ADDRESS:PORT; None: it has none, no port, or a name that nobody asked to resolve."""
    toward = toward_of(finding)
    return str(Endpoint(toward.address, toward.port)) if toward.address and toward.port else None


@dataclass(frozen=True, slots=True)
class NamedDestination:
    """The end that a text names, as far as it does: what a host says of another end is no evidence.

    is_named: it names one at all
    address:  None: none, or a name that nobody asked to resolve
    port:     0: none
    """

    is_named: bool
    address: Address | None = None
    port: int = 0

    def may_be(self, end: Endpoint) -> bool:
        """Whether the end can be the one that is meant. A name without a port is no end that a host lists."""
        if not self.is_named:
            return True
        known = bool(self.address or self.port)
        return known and self.address in (None, end.address) and self.port in (0, end.port)


def toward_of(finding: Finding, target: str | None = None) -> NamedDestination:
    """The destination of the finding. target: ADDRESS:PORT in its place; None: as the text has it"""
    text = target or finding.destination
    host, port = _host_and_port(text)
    host = host.strip("[]")
    try:
        address = parse_address("127.0.0.1" if host in LOCALHOST else host)
    except UsageError:
        address = None
    return NamedDestination(bool(text), address, port)


def _host_and_port(text: str) -> tuple[str, int]:
    """Split HOST:PORT; the port is 0 where there is none."""
    host, _, port = text.rpartition(":")
    if ("]" in text or text.count(":") == 1) and port.isdecimal() and int(port) < 65_536:
        return host, int(port)
    return text, 0
