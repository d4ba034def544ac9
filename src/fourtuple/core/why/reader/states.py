"""Which TCP state a short text is about, such as `CLOSE_WAIT` or `12,000 sockets in TIME_WAIT`, and its causes.

Sources: RFC 9293, 3.3.2; tcp(7); include/net/tcp_states.h (v6.18). ss writes the names with `-`, netstat with `_`.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

from fourtuple.core.late import late_pattern

# A state → what a socket that stays in it tells.
CAUSES_OF: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "close_wait": ("close-wait",),
        "time_wait": ("time-wait", "tw-buckets"),
        "fin_wait1": ("path-lost", "orphans"),
        "fin_wait2": ("fin-wait-2",),
        "last_ack": ("path-lost",),
        "closing": ("path-lost",),
        "syn_sent": ("accept-queue", "conntrack", "nat", "firewall"),
        "syn_recv": ("syn-queue", "accept-queue"),
    }
)
_NAMES = {"finwait1": "fin_wait1", "finwait2": "fin_wait2", "timewait": "time_wait", "closewait": "close_wait"}
_ABOUT = late_pattern(
    r"(?:(?:too )?many |a lot of |lots of |thousands of |about |state )?(?:\d[\d,.]*k? )?"
    r"(?:(?:tcp )?(?:sockets?|connections?) )?(?:(?:are |is )?(?:stuck |hanging )?in )?(?:the )?(?:state )?"
    r"(?P<state>close[_ -]?wait|time[_ -]?wait|fin[_ -]?wait[_ -]?[12]|last[_-]ack|closing|syn[_-]sent|syn[_-]recv)"
    r"(?: state)?(?: (?:sockets?|connections?))?[ .!?]*"
)


def causes_of(folded: str) -> tuple[str, ...]:
    """The causes of the state that the folded text asks about; none: it asks about something else."""
    if folded == "eof":  # where an errno would be
        return ("closed-early",)
    match = _ABOUT.fullmatch(folded)
    if not match:
        return ()
    plain = re.sub(r"[_ -]", "", match["state"])
    name = _NAMES.get(plain, match["state"].replace("-", "_").replace(" ", "_"))
    return CAUSES_OF[name]
