"""Which failures of a text may follow from which: a failure explains a later one only if something connects the two.

A cause reaches as far as what ran out: the program whose files ran out, the clients of that program, or every program
of the host whose table is full. That a program's own files ran out tells nothing of the servers it calls: its own call
would have failed with EMFILE. Nor does it explain what happens much later.

Sources: accept(2), socket(2), connect(2), tcp(7) (tcp_syn_retries: a client gives up after 127 s); nf_conntrack_in() in
net/netfilter/nf_conntrack_core.c (v6.18), which drops, and never resets.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from types import MappingProxyType

from fourtuple.core.why.findings import Finding
from fourtuple.core.why.when import written_at

LATER_S = 130.0  # from the last report of the cause: connect() gives up after 127 s
_SILENCE = frozenset({"ETIMEDOUT", "ECONNRESET", "ECONNABORTED", "EPIPE"})  # of a server that accepts no more
_GONE = _SILENCE | {"ECONNREFUSED"}  # of a server that was killed or could not start
_WAITERS = frozenset({"upstream-down", "pool"})  # what fails in a program that gets no connection

# What a cause, or an errno, brings to the same program: errnos, causes, and `pool` for a pool that has no connection.
IN_PROGRAM: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("port-range", "time-wait", "close-wait", "bound-first", "reserved", "no-such-source", "same-tuple"),
            _WAITERS,
        ),
        **dict.fromkeys(("files", "file-max"), _WAITERS | {"dns"}),
        **dict.fromkeys(("threads", "pids", "pid-max", "max-map-count", "memory", "limit", "own-limit"), _WAITERS),
        **dict.fromkeys(
            ("ETIMEDOUT", "ECONNREFUSED", "ECONNRESET", "EHOSTUNREACH", "ENETUNREACH", "dns", "dns-server"), _WAITERS
        ),
    }
)
# What it brings to the clients of the program that reports it, wherever they are.
TO_CLIENTS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("files", "file-max", "threads", "pids", "pid-max", "max-map-count", "accept-queue", "syn-queue"), _SILENCE
        ),
        "unix-backlog": _SILENCE | {"EAGAIN"},
        **dict.fromkeys(("limit", "own-limit"), _SILENCE),
        "memory": _GONE,
    }
)
# What it brings to every program of the host.
ON_HOST: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "conntrack": frozenset({"ETIMEDOUT", "EPERM", "dns", "dns-server"}),
        "cilium-map": frozenset({"ETIMEDOUT", "dns", "dns-server"}),
        "nat": frozenset({"ETIMEDOUT"}),
        "neighbours": frozenset({"EHOSTUNREACH", "ENOBUFS", "ETIMEDOUT", "dns", "dns-server"}),
        "route-cache": frozenset({"ENETUNREACH", "ENOBUFS", "ENOMEM"}),
        "xfrm": frozenset({"ENETUNREACH", "ENOBUFS"}),
        "udp-ports": frozenset({"dns", "dns-server"}),
        "file-max": frozenset({"ENFILE", "dns"}),
        "memory": frozenset({"ENOMEM"}),
        "tcp-mem": frozenset({"ETIMEDOUT", "ECONNRESET", "EPIPE", "ENOBUFS"}),
        "orphans": frozenset({"ECONNRESET", "ETIMEDOUT"}),
    }
)
# The ports at which clients meet a program where nothing is configured; /etc/services and the programs' documentation.
PORTS: Mapping[str, frozenset[int]] = MappingProxyType(
    {
        **dict.fromkeys(("postgres", "postgresql"), frozenset({5432})),
        **dict.fromkeys(("mysql", "mysqld", "mariadb", "mariadbd"), frozenset({3306})),
        **dict.fromkeys(("redis", "redis-server"), frozenset({6379})),
        **dict.fromkeys(("mongod", "mongodb"), frozenset({27017})),
        **dict.fromkeys(("nginx", "haproxy", "apache", "apache2", "httpd", "caddy", "traefik"), frozenset({80, 443})),
        **dict.fromkeys(("memcached",), frozenset({11211})),
        **dict.fromkeys(("pgbouncer",), frozenset({6432})),
        **dict.fromkeys(("rabbitmq", "beam.smp"), frozenset({5672, 5671})),
        **dict.fromkeys(("kafka",), frozenset({9092})),
        **dict.fromkeys(("mosquitto", "emqx"), frozenset({1883, 8883})),
        **dict.fromkeys(("elasticsearch",), frozenset({9200, 9300})),
        **dict.fromkeys(("etcd",), frozenset({2379})),
        **dict.fromkeys(("sshd",), frozenset({22})),
    }
)
_TODAY = datetime(2000, 1, 1, tzinfo=timezone.utc)  # for times without a date, of which only the difference counts
_OF_ANY = ("", "0.0.0.0", "::")  # noqa: S104 - addresses that texts name, not what is bound


def follows(finding: Finding, cause: str, earlier: Finding, earlier_cause: str) -> bool:
    """Whether `finding`, which the text reports later and whose likeliest cause is `cause`, may be a consequence.

    earlier_cause: the likeliest cause of `earlier`; `limit` if it is a row of the catalogue
    """
    kinds = {finding.error, cause, *finding.causes} | ({"pool"} if _is_pool(finding) else set())
    brings = (earlier_cause, *earlier.causes)
    if (cause, finding.error) == (earlier_cause, earlier.error) or not _is_soon(earlier, finding):
        return False
    is_here = finding.host == earlier.host or not (finding.host and earlier.host)
    if _brought(IN_PROGRAM, earlier.error, *brings) & kinds and is_here and _is_same_program(finding, earlier):
        return not (finding.destination and earlier.destination and finding.destination != earlier.destination)
    if _brought(TO_CLIENTS, *brings) & kinds and _is_client(finding, earlier):
        return True
    return is_here and bool(_brought(ON_HOST, *brings) & kinds)


def _brought(table: Mapping[str, frozenset[str]], *brings: str) -> frozenset[str]:
    return frozenset[str]().union(*(table.get(each, frozenset()) for each in brings))


def _is_pool(finding: Finding) -> bool:
    return bool(finding.limit or finding.causes) and "pool" in f"{finding.limit} {finding.text.lower()}"


def _is_same_program(one: Finding, other: Finding) -> bool:
    """Whether the same process reports both, as far as the text tells: lines without a name are of one program."""
    return one.program == other.program and (one.pid == other.pid or None in (one.pid, other.pid))


def _is_soon(earlier: Finding, later: Finding) -> bool:
    """Whether the later one begins while the earlier one goes on, or soon after; True where the text has no times."""
    ended, began = _moment(earlier.last or earlier.first), _moment(later.first)
    if isinstance(ended, float) and isinstance(began, float):
        return began - ended <= LATER_S
    if isinstance(ended, datetime) and isinstance(began, datetime) and (ended.tzinfo is None) == (began.tzinfo is None):
        return (began - ended).total_seconds() <= LATER_S
    return True


def _moment(text: str) -> datetime | float | None:
    """The time of a log line, or the seconds since boot as dmesg writes them; None: it has none."""
    return float(text) if re.fullmatch(r"\d{1,9}\.\d{6}", text) else written_at(text, _TODAY)


def _is_client(finding: Finding, server: Finding) -> bool:
    """Whether the finding's destination is the program that reports the other: by its name, or where it listens."""
    if not finding.destination or (server.program and finding.program == server.program):
        return False
    if finding.destination == server.destination and server.protocol == "unix":
        return True
    host, port = _split(finding.destination)
    if server.program and host == server.program:
        return True
    listens = server.destination if server.call == "accept" else server.source if server.port else ""
    address, at = _split(listens)
    ports = {at or server.port} - {None, 0} or PORTS.get(server.program, frozenset())
    return port in ports and (address in _OF_ANY or address == host)


def _split(end: str) -> tuple[str, int]:
    host, _, port = end.rpartition(":")
    return (host.strip("[]"), int(port)) if port.isdecimal() and host else (end, 0)


def first_cause(findings: Sequence[Finding], causes: Sequence[str], at: int) -> int | None:
    """The index of the first finding of which the one at `at` may be a consequence; None: of none."""
    return next(
        (
            earlier
            for earlier in range(at)
            if causes[at] and causes[earlier] and follows(findings[at], causes[at], findings[earlier], causes[earlier])
        ),
        None,
    )
