"""Which failures of a text follow from which: a cause that comes first explains what it brings later.

Only what a text reports later can be a consequence, and only of a cause that brings it (BRINGS).
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from fourtuple.core.why.findings import Finding

_SILENCE = frozenset({"ETIMEDOUT", "ECONNRESET", "ECONNREFUSED", "EPIPE", "upstream-down", "limit", "own-limit"})
_NO_NEW = frozenset({"ETIMEDOUT", "upstream-down", "limit", "own-limit"})

# A cause → what it brings: errnos, causes, and `limit` for any limit of a program, such as that of a pool.
BRINGS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("port-range", "time-wait", "close-wait", "bound-first", "reserved", "udp-ports"), _NO_NEW | {"dns"}
        ),
        **dict.fromkeys(
            ("files", "file-max", "files-there", "hard-limit", "threads", "pids", "pid-max"), _SILENCE | {"dns"}
        ),
        **dict.fromkeys(("accept-queue", "syn-queue", "unix-backlog", "limit", "own-limit"), _SILENCE),
        **dict.fromkeys(("memory", "max-map-count"), _SILENCE | {"EAGAIN", "ENOMEM"}),
        **dict.fromkeys(("tcp-mem", "orphans"), _SILENCE),
        **dict.fromkeys(("conntrack", "cilium-map", "nat"), _SILENCE | {"EPERM", "EHOSTUNREACH", "dns"}),
        **dict.fromkeys(
            ("neighbours", "route-cache", "xfrm"),
            _SILENCE | {"EHOSTUNREACH", "ENETUNREACH", "ENOBUFS", "dns"},
        ),
        **dict.fromkeys(("dns", "no-listener", "firewall", "no-way", "reset"), frozenset({"upstream-down", "limit"})),
    }
)
# Causes that concern one destination, so that they bring failures to that one only.
OF_ONE_DESTINATION = frozenset(
    {"port-range", "time-wait", "close-wait", "accept-queue", "unix-backlog", "no-listener", "nat", "reset"}
)


def follows(finding: Finding, cause: str, earlier: Finding, earlier_cause: str) -> bool:
    """Whether `finding`, which the text reports later and whose likeliest cause is `cause`, is a consequence.

    earlier_cause: the likeliest cause of `earlier`; `limit` if it is a row of the catalogue
    """
    brought = BRINGS.get(earlier_cause, frozenset())
    kinds = {finding.error, cause} | ({"limit"} if finding.limit and not finding.error else set())
    if not brought & kinds or (cause, finding.error) == (earlier_cause, earlier.error):
        return False
    apart = earlier.destination and finding.destination and earlier.destination != finding.destination
    return not (apart and earlier_cause in OF_ONE_DESTINATION)


def first_cause(findings: Sequence[Finding], causes: Sequence[str], at: int) -> int | None:
    """The index of the first finding of which the one at `at` is a consequence; None: of none."""
    return next(
        (
            earlier
            for earlier in range(at)
            if causes[at] and causes[earlier] and follows(findings[at], causes[at], findings[earlier], causes[earlier])
        ),
        None,
    )
