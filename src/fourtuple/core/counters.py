"""What the kernel's counters of /proc/net/snmp and netstat say when they move while connections are opened and held.

Names and meanings: Documentation/networking/snmp_counter.rst, net/ipv4/proc.c (v6.18). Those that only count traffic
are left out.
"""

from collections.abc import Mapping
from types import MappingProxyType

MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        "ListenOverflows": "an accept queue was full: handshakes were dropped, and their SYNs come again after 1 s",
        "ListenDrops": "handshakes that were dropped at a listener, for whatever reason",
        "TCPReqQFullDrop": "SYNs that were dropped: the SYN queue was full",
        "TCPReqQFullDoCookies": "SYNs that were answered by cookies: the SYN queue was full",
        "SyncookiesSent": "SYN cookies that were sent",
        "SyncookiesFailed": "SYN cookies that came back wrong",
        "TCPSynRetrans": "SYNs, or answers to them, that were sent again",
        "TCPTimeouts": "times that a retransmission timer ran out",
        "RetransSegs": "segments that were sent again",
        "AttemptFails": "connects that failed, and handshakes that were broken off",
        "EstabResets": "connections that ended by a reset, of either side",
        "OutRsts": "resets that were sent",
        "EmbryonicRsts": "handshakes that the other side reset",
        "TCPAbortOnClose": "connections that were reset: they were closed with data nobody had read",
        "TCPAbortOnData": "connections that were reset: closed without waiting (SO_LINGER 0), or data came after it",
        "TCPAbortOnLinger": "connections that were reset: they stayed in FIN_WAIT2 for too long",
        "TCPAbortOnMemory": "connections that were reset: too many orphans, or too little memory (tcp_mem)",
        "TCPAbortOnTimeout": "connections that were given up: too many retransmissions or probes",
        "TCPAbortFailed": "resets that could not be sent: no memory",
        "TCPMemoryPressures": "times that TCP came under memory pressure (tcp_mem)",
        "TCPRcvQDrop": "segments that were dropped: no room in a receive buffer",
        "TCPBacklogDrop": "segments that were dropped: a socket's backlog was full",
        "PruneCalled": "times that a receive queue was pruned for lack of room",
        "TW": "connections that ended in TIME_WAIT, and waited it out",
        "TWRecycled": "TIME_WAITs whose 4-tuple was taken by a new connection",
        "TCPTimeWaitOverflow": "TIME_WAITs that were cut short: tcp_max_tw_buckets was reached",
        "TCPChallengeACK": "challenge ACKs that were sent: a packet did not fit its connection",
        "ActiveOpens": "connects that were begun",
        "PassiveOpens": "connections that listeners took",
    }
)


def telling(moved: Mapping[str, int]) -> list[tuple[str, int, str]]:
    """Those of the counters that say something: name, by how much, what it means; in the order of MEANINGS."""
    return [(name, moved[name], meaning) for name, meaning in MEANINGS.items() if name in moved]
