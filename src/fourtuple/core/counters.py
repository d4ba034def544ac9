"""The kernel's counters that this program reads: what each one means, and what `export` calls it.

This is the one table of them; every other list of counters is derived from it. Names are the kernel's. A name with a
dot stands in a file of its own (`nf_conntrack.drop`: /proc/net/stat/nf_conntrack), the others stand in /proc/net/snmp
and /proc/net/netstat. Counters of mere traffic are left out.
Documentation/networking/snmp_counter.rst, net/ipv4/proc.c (v6.18).
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counter:
    """A row of COUNTERS.

    meaning: what happened as often as the counter says
    metric:  as in fourtuple_METRIC_total
    silent:  what it counts goes wrong in silence: no program is told
    """

    name: str
    meaning: str
    metric: str
    silent: bool = False


COUNTERS: tuple[Counter, ...] = (
    Counter(
        "ListenOverflows",
        "an accept queue was full: handshakes were dropped, and their SYNs come again after 1 s",
        "listen_overflows",
        silent=True,
    ),
    Counter(
        "ListenDrops",
        "handshakes that were dropped at a listener, for whatever reason",
        "listen_drops",
        silent=True,
    ),
    Counter("TCPReqQFullDrop", "SYNs that were dropped: the SYN queue was full", "syn_queue_drops", silent=True),
    Counter(
        "TCPReqQFullDoCookies",
        "SYNs that were answered by cookies: the SYN queue was full",
        "syn_queue_cookies",
        silent=True,
    ),
    Counter("SyncookiesSent", "SYN cookies that were sent", "syncookies_sent", silent=True),
    Counter("SyncookiesFailed", "SYN cookies that came back wrong", "syncookies_failed"),
    Counter("TCPSynRetrans", "SYNs, or answers to them, that were sent again", "syn_retransmits"),
    Counter("TCPTimeouts", "times that a retransmission timer ran out", "retransmission_timeouts"),
    Counter("RetransSegs", "segments that were sent again", "retransmitted_segments"),
    Counter("AttemptFails", "connects that failed, and handshakes that were broken off", "connect_failures"),
    Counter("EstabResets", "connections that ended by a reset, of either side", "resets"),
    Counter("OutRsts", "resets that were sent", "resets_sent"),
    Counter("EmbryonicRsts", "handshakes that the other side reset", "handshake_resets"),
    Counter(
        "TCPAbortOnClose",
        "connections that were reset: they were closed with data nobody had read",
        "close_aborts",
    ),
    Counter(
        "TCPAbortOnData",
        "connections that were reset: closed without waiting (SO_LINGER 0), or data came after it",
        "data_aborts",
    ),
    Counter("TCPAbortOnLinger", "connections that were reset: they stayed in FIN_WAIT2 for too long", "linger_aborts"),
    Counter(
        "TCPAbortOnMemory",
        "connections that were reset: too many orphans, or too little memory (tcp_mem)",
        "memory_aborts",
        silent=True,
    ),
    Counter(
        "TCPAbortOnTimeout",
        "connections that were given up: too many retransmissions or probes",
        "timeout_aborts",
    ),
    Counter("TCPAbortFailed", "resets that could not be sent: no memory", "abort_failures"),
    Counter("TCPMemoryPressures", "times that TCP came under memory pressure (tcp_mem)", "memory_pressures"),
    Counter(
        "TCPRcvQDrop",
        "segments that were dropped: no room in a receive buffer",
        "receive_queue_drops",
        silent=True,
    ),
    Counter("TCPBacklogDrop", "segments that were dropped: a socket's backlog was full", "socket_backlog_drops"),
    Counter(
        "PruneCalled",
        "times that a receive queue was pruned for lack of room",
        "receive_queue_prunes",
        silent=True,
    ),
    Counter("TW", "connections that ended in TIME_WAIT, and waited it out", "time_waits"),
    Counter("TWRecycled", "TIME_WAITs whose 4-tuple was taken by a new connection", "time_waits_reused"),
    Counter(
        "TCPTimeWaitOverflow",
        "TIME_WAITs that were cut short: tcp_max_tw_buckets was reached",
        "time_wait_overflows",
        silent=True,
    ),
    Counter("TCPChallengeACK", "challenge ACKs that were sent: a packet did not fit its connection", "challenge_acks"),
    Counter("ActiveOpens", "connects that were begun", "connects"),
    Counter("PassiveOpens", "connections that listeners took", "accepts"),
    Counter(
        "nf_conntrack.drop",
        "packets that connection tracking dropped: its table was full",
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
        "connections that were not tracked: NAT had no port",
        "conntrack_insert_failures",
        silent=True,
    ),
    Counter(
        "arp_cache.table_fulls",
        "times that the IPv4 neighbour table was full",
        "neighbour_table_fulls",
        silent=True,
    ),
    Counter(
        "ndisc_cache.table_fulls",
        "times that the IPv6 neighbour table was full",
        "neighbour6_table_fulls",
        silent=True,
    ),
    Counter(
        "softnet_stat.dropped",
        "packets of the host that were dropped before any queue: netdev_max_backlog",
        "backlog_drops",
        silent=True,
    ),
    Counter("vmstat.oom_kill", "processes of the host that the kernel killed for lack of memory", "oom_kills"),
)
_FILES = {
    "nf_conntrack": "/proc/net/stat/nf_conntrack",
    "arp_cache": "/proc/net/stat/arp_cache",
    "ndisc_cache": "/proc/net/stat/ndisc_cache",
    "vmstat": "/proc/vmstat",
}
SILENT = tuple(counter.name for counter in COUNTERS if counter.silent)


def in_tables() -> Mapping[str, tuple[str, ...]]:
    """Those that stand in a file of their own: its name → the counters' names in it."""
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
    """Those of the counters that say something: name, by how much, what it means; in the order of COUNTERS."""
    return [(each.name, moved[each.name], each.meaning) for each in COUNTERS if each.name in moved]
