"""Which rows of a plan are unknown: each fact that decides whether N connections fit, and cannot be read.

A limit that cannot be read is not a limit that does not exist. Settings that every supported kernel has are unknown if
they are missing; modules and cgroups may be absent.
"""

from collections.abc import Callable, Iterator, Sequence

from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.table import LIMITS
from fourtuple.core.limits.verdicts import Case
from fourtuple.core.plan.assume import CGROUP_MEMORY, FILES, MEMORY, NEIGHBOURS, OWN_FILES
from fourtuple.core.plan.fit import WORST_FIRST, Check, Says
from fourtuple.core.plan.settings import RANGE, RESERVED
from fourtuple.core.record import dataclass

CONNTRACK = ("net.netfilter.nf_conntrack_max", "net.netfilter.nf_conntrack_count")
THRESHOLD, WATCHES, NR_OPEN = "net.ipv4.neigh.default.gc_thresh3", "fs.epoll.max_user_watches", "fs.nr_open"
TITLES = {limit.name: limit.title for limit in LIMITS}
CHURN = ("net.ipv4.tcp_tw_reuse", "net.ipv4.tcp_timestamps")


@dataclass(frozen=True, slots=True)
class PlanCase:
    """What is planned. counted: limits that count for the program; churns: TIME_WAIT matters"""

    case: Case
    wanted: int
    counted: frozenset[str]
    churns: bool

    @property
    def port_range(self) -> bool:
        """The kernel chooses the ports."""
        return self.case.strategy is not Strategy.EXPLICIT

    def lacks(self, name: str) -> bool:
        return name in self.case.world.why_not or not self.case.world.sysctls.get(name, "").strip()


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact that decides a limit. names: what --assume calls it; is_missing: it matters and is unknown"""

    limit: str
    names: tuple[str, ...]
    is_missing: Callable[[PlanCase], bool]
    why: str = ""


def _conntrack(planned: PlanCase) -> bool:
    """It cannot be read; or it would be too small, and nothing tells whether it counts.

    Where it counts nothing although such connections exist, it does not count them.
    """
    world, (most, count) = planned.case.world, CONNTRACK
    if any(name in world.why_not for name in CONNTRACK) or planned.lacks(most) != planned.lacks(count):
        return True
    if planned.lacks(most):  # no module, unless its counters are there
        return any(name.startswith("nf_conntrack.") for name in world.counters)
    ceiling, used = world.number(most), world.number(count)
    is_open = world.tracked is None and not planned.case.tuples_in_use
    return bool(ceiling) and used is not None and is_open and (ceiling or 0) - used < planned.wanted


def _files(planned: PlanCase) -> bool:
    world = planned.case.world
    return not world.process.is_beyond_file_max and (world.number("fs.file-max") is None or world.files_in_use is None)


def _neighbours(planned: PlanCase) -> bool:
    """One address needs one entry, which the kernel makes room for."""
    world = planned.case.world
    return planned.case.peers > 1 and (world.number(THRESHOLD) is None or world.neighbours is None)


FACTS: tuple[Fact, ...] = (
    Fact(RANGE, (RANGE,), lambda planned: planned.case.world.ports is None),
    Fact(RESERVED, (RESERVED,), lambda planned: planned.port_range and _unread(planned, RESERVED)),
    Fact(
        "net.ipv4.ip_unprivileged_port_start",
        ("net.ipv4.ip_unprivileged_port_start",),
        lambda planned: not planned.port_range and planned.lacks("net.ipv4.ip_unprivileged_port_start"),
    ),
    Fact(CHURN[0], CHURN, lambda planned: planned.churns and any(map(planned.lacks, CHURN))),
    Fact("fs.file-max", ("fs.file-max", FILES), _files),
    Fact(
        OWN_FILES,
        (OWN_FILES,),
        lambda planned: OWN_FILES in planned.counted and planned.case.world.process.files_soft is None,
        "the limit of the program that is to open them is not known",
    ),
    Fact(NR_OPEN, (NR_OPEN,), lambda planned: planned.lacks(NR_OPEN)),
    Fact(
        WATCHES,
        (WATCHES,),
        lambda planned: WATCHES in planned.counted and planned.lacks(WATCHES),
    ),
    Fact("memory", (MEMORY,), lambda planned: planned.case.world.memory.free_bytes is None),
    Fact(
        "memory.max",
        (CGROUP_MEMORY,),
        lambda planned: "memory.max" in planned.case.world.why_not,
    ),
    Fact(
        CONNTRACK[0],
        CONNTRACK,
        _conntrack,
        "whether connection tracking counts these connections is not visible, or its numbers cannot be read",
    ),
    Fact(THRESHOLD, (THRESHOLD, NEIGHBOURS), _neighbours),
)


def _unread(planned: PlanCase, name: str) -> bool:
    """A setting whose value may be empty cannot be read."""
    return name in planned.case.world.why_not or name not in planned.case.world.sysctls


def unknown_checks(planned: PlanCase) -> Iterator[Check]:
    """A check for each fact that decides, and is unknown."""
    why_not = planned.case.world.why_not
    for fact in FACTS:
        if fact.is_missing(planned):
            title = TITLES[fact.limit]
            reasons = [why_not[name] for name in (*fact.names, fact.limit, f"the range of {title}") if name in why_not]
            why = reasons[0] if reasons else fact.why or f"{fact.names[0]} cannot be read here"
            assume = " ".join(f"--assume {name}=…" for name in fact.names)
            yield Check(fact.limit, title, None, Says.UNKNOWN, f"{why} ({assume})")


def with_unknown(found: Sequence[Check], planned: PlanCase) -> tuple[Check, ...]:
    """The checks, with those that are unknown in the place of what was found for the same limit."""
    unknown = list(unknown_checks(planned))
    limits = {check.limit for check in unknown}
    kept = [check for check in found if check.limit not in limits]
    return tuple(sorted([*unknown, *kept], key=lambda check: WORST_FIRST.index(check.says)))
