"""The kernel counters that this program reads: the meaning of each, and its name in `export`.

Every other list of counters is derived from this table. Names are the kernel's. A name with a dot is in a file of its
own (`nf_conntrack.drop`: /proc/net/stat/nf_conntrack); the others are in /proc/net/snmp and /proc/net/netstat. Counters
that only measure traffic are left out.
Documentation/networking/snmp_counter.rst, net/ipv4/proc.c (v6.18).
"""

from collections.abc import Mapping

from fourtuple.core.record import dataclass


@dataclass(frozen=True, slots=True)
class Counter:
    """A row of COUNTERS.

    meaning: the event that is counted
    metric:  METRIC in the exported name fourtuple_METRIC_total
    silent:  the event is a failure that the kernel reports to no program
    """

    name: str
    meaning: str
    metric: str
    silent: bool = False


COUNTERS: tuple[Counter, ...] = (
    Counter(
        "ListenOverflows",
        "handshakes dropped because an accept queue was full; their SYNs are retransmitted after 1 s",
        "listen_overflows",
        silent=True,
    ),
    Counter(
        "ListenDrops",
        "handshakes dropped at a listener, for any reason",
        "listen_drops",
        silent=True,
    ),
    Counter("TCPReqQFullDrop", "SYNs dropped because the SYN queue was full", "syn_queue_drops", silent=True),
    Counter(
        "TCPReqQFullDoCookies",
        "SYNs answered with cookies because the SYN queue was full",
        "syn_queue_cookies",
        silent=True,
    ),
    Counter("SyncookiesSent", "SYN cookies sent", "syncookies_sent", silent=True),
    Counter("SyncookiesFailed", "invalid SYN cookies received", "syncookies_failed"),
    Counter("TCPSynRetrans", "SYNs and SYN-ACKs retransmitted", "syn_retransmits"),
    Counter("TCPTimeouts", "expired retransmission timers", "retransmission_timeouts"),
    Counter("RetransSegs", "segments retransmitted", "retransmitted_segments"),
    Counter("AttemptFails", "failed connects and aborted handshakes", "connect_failures"),
    Counter("EstabResets", "connections ended by a reset from either side", "resets"),
    Counter("OutRsts", "resets sent", "resets_sent"),
    Counter("EmbryonicRsts", "handshakes reset by the other side", "handshake_resets"),
    Counter(
        "TCPAbortOnClose",
        "connections reset because they were closed with unread data",
        "close_aborts",
    ),
    Counter(
        "TCPAbortOnData",
        "connections reset: closed with SO_LINGER 0, or data arrived after the close",
        "data_aborts",
    ),
    Counter("TCPAbortOnLinger", "connections reset after too long in FIN_WAIT2", "linger_aborts"),
    Counter(
        "TCPAbortOnMemory",
        "connections reset: too many orphans, or too little memory (tcp_mem)",
        "memory_aborts",
        silent=True,
    ),
    Counter(
        "TCPAbortOnTimeout",
        "connections given up after too many retransmissions or probes",
        "timeout_aborts",
    ),
    Counter("TCPAbortFailed", "resets not sent for lack of memory", "abort_failures"),
    Counter("TCPMemoryPressures", "times TCP entered memory pressure (tcp_mem)", "memory_pressures"),
    Counter(
        "TCPRcvQDrop",
        "segments dropped because a receive buffer was full",
        "receive_queue_drops",
        silent=True,
    ),
    Counter("TCPBacklogDrop", "segments dropped because a socket's backlog was full", "socket_backlog_drops"),
    Counter(
        "PruneCalled",
        "receive queues pruned for lack of space",
        "receive_queue_prunes",
        silent=True,
    ),
    Counter("TW", "connections that completed TIME_WAIT", "time_waits"),
    Counter("TWRecycled", "TIME_WAITs whose 4-tuple was reused by a new connection", "time_waits_reused"),
    Counter(
        "TCPTimeWaitOverflow",
        "TIME_WAITs skipped because tcp_max_tw_buckets was reached",
        "time_wait_overflows",
        silent=True,
    ),
    Counter("TCPChallengeACK", "challenge ACKs sent: a packet did not match its connection", "challenge_acks"),
    Counter("ActiveOpens", "connects started", "connects"),
    Counter("PassiveOpens", "connections accepted by listeners", "accepts"),
    Counter(
        "nf_conntrack.drop",
        "packets dropped because the connection tracking table was full",
        "conntrack_drops",
        silent=True,
    ),
    Counter(
        "nf_conntrack.early_drop",
        "connections that tracking forgot to make room",
        "conntrack_early_drops",
        silent=True,
    ),
    Counter(
        "nf_conntrack.insert_failed",
        "connections not tracked because NAT had no port",
        "conntrack_insert_failures",
        silent=True,
    ),
    Counter(
        "arp_cache.table_fulls",
        "times the IPv4 neighbour table was full",
        "neighbour_table_fulls",
        silent=True,
    ),
    Counter(
        "ndisc_cache.table_fulls",
        "times the IPv6 neighbour table was full",
        "neighbour6_table_fulls",
        silent=True,
    ),
    Counter(
        "softnet_stat.dropped",
        "packets of the whole host dropped before any queue (netdev_max_backlog)",
        "backlog_drops",
        silent=True,
    ),
    Counter("vmstat.oom_kill", "processes of the whole host killed by the kernel for lack of memory", "oom_kills"),
)
_FILES = {
    "nf_conntrack": "/proc/net/stat/nf_conntrack",
    "arp_cache": "/proc/net/stat/arp_cache",
    "ndisc_cache": "/proc/net/stat/ndisc_cache",
    "vmstat": "/proc/vmstat",
}
# Tables of the whole host; of the neighbour tables, only the host's own network namespace has the file.
_OF_HOST = frozenset({"softnet_stat", "vmstat", "arp_cache", "ndisc_cache"})
SILENT = tuple(counter.name for counter in COUNTERS if counter.silent)


def is_of_host(name: str) -> bool:
    """Whether the counter counts for the whole host, and not for one network namespace."""
    return name.partition(".")[0] in _OF_HOST


def in_tables() -> Mapping[str, tuple[str, ...]]:
    """Counters in files of their own: the file's name → the names of the counters in it."""
    tables: dict[str, tuple[str, ...]] = {}
    for counter in COUNTERS:
        table, dot, name = counter.name.partition(".")
        if dot:
            tables[table] = (*tables.get(table, ()), name)
    return tables


def spelled(name: str) -> str:
    """Where a person finds it: `ListenDrops`, `oom_kill in /proc/vmstat`."""
    table, dot, name_there = name.partition(".")
    if table == "softnet_stat":
        return "second column of /proc/net/softnet_stat"
    return f"{name_there} in {_FILES[table]}" if dot else name


def telling(moved: Mapping[str, int]) -> list[tuple[str, int, str]]:
    """The known counters among `moved`, in the order of COUNTERS: (name, increase, meaning)."""
    return [(each.name, moved[each.name], each.meaning) for each in COUNTERS if each.name in moved]
