"""The gauges of all network namespaces of a host at one time, bounded in all, with whom each namespace belongs to."""

from collections import Counter as Tally
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, TypeVar

from fourtuple.core.backports import Self
from fourtuple.core.census.gauges import REST, Gauges, Limited, ListenerGauge, PairGauge
from fourtuple.core.census.records import StateCount
from fourtuple.core.counters import is_of_host
from fourtuple.core.limits.meters import EXPORTED
from fourtuple.core.record import dataclass
from fourtuple.core.snapshot.records import Cgroup
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.interval import Interval

T = TypeVar("T")
OF_HOST = frozenset(meter.metric for meter in EXPORTED if meter.of_host)


@dataclass(frozen=True, slots=True)
class Whose:
    """A network namespace, and whom it belongs to as a whole; what is empty is unknown, or several.

    netns:     as /proc/PID/ns/net names it; REST: the sum of those that are not reported by themselves
    container: its name, or its ID where the name cannot be read
    namespace, pod: of Kubernetes; pod: its name, or its UID where the name cannot be read
    service:   the unit of systemd
    """

    netns: str
    container: str = ""
    namespace: str = ""
    pod: str = ""
    service: str = ""

    @classmethod
    def of(cls, netns: str, cgroups: Sequence[Cgroup]) -> Self:
        """cgroups: that of each process in the namespace.

        A container of a pod without a name is the sandbox that holds the pod's namespaces (the `pause` process).
        """
        named = [cgroup for cgroup in cgroups if not cgroup.pod or cgroup.name or not cgroup.container]
        namespace, slash, name = _common([cgroup.pod for cgroup in cgroups]).partition("/")
        return cls(
            netns,
            container=_common([cgroup.name or cgroup.container for cgroup in named or cgroups]),
            namespace=namespace if slash else "",
            pod=name if slash else namespace,
            service=_common([cgroup.service for cgroup in cgroups]),
        )


def _common(values: Sequence[str]) -> str:
    """The value that at least half have while no other one does; a program that only looks in may have none."""
    counts = Tally(filter(None, values))
    value, count = next(iter(counts.items())) if len(counts) == 1 else ("", 0)
    return value if 2 * count >= len(values) else ""


@dataclass(frozen=True, slots=True)
class CountedNamespace:
    """The gauges of one namespace."""

    whose: Whose
    gauges: Gauges


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that a round reports by itself: namespaces, and pairs and listeners in all of them."""

    namespaces: int
    rows: int


@dataclass(frozen=True)
class Round:
    """One count of every network namespace.

    at_s:          seconds since the epoch
    took_s, cpu_s: to count in all of them; CPU time of this process, in kernel and user space
    counted:       the namespaces with the fullest pairs first, then the sum of the others, whose netns is REST
    limited, counters: of the whole host
    idle:          namespaces without a TCP socket
    closed:        namespaces that this user may not enter
    left_out:      namespaces that are part of the sum
    pairs_left_out, listeners_left_out: those of their own series in the counts, which are part of sums for the bound
                   on all namespaces
    failures:      why namespaces could not be counted
    """

    kernel: str
    at_s: float
    took_s: float
    cpu_s: float
    counted: tuple[CountedNamespace, ...]
    limited: tuple[Limited, ...] = ()
    counters: Mapping[str, int] = field(default_factory=dict)
    idle: int = 0
    closed: int = 0
    left_out: int = 0
    pairs_left_out: int = 0
    listeners_left_out: int = 0
    failures: tuple[str, ...] = ()

    @property
    def namespaces(self) -> int:
        """How many were counted."""
        return sum(each.whose.netns != REST for each in self.counted) + self.left_out

    @classmethod
    def of(cls, counted: Sequence[CountedNamespace], **fields: Any) -> Self:
        """The round of these counts, with what they say of the whole host once and apart. fields: the others"""
        limited: dict[str, Limited] = {}
        counters: dict[str, int] = {}
        for each in counted:
            limited |= {one.name: one for one in each.gauges.limited if one.name in OF_HOST and one.name not in limited}
            counters |= {name: value for name, value in each.gauges.counters.items() if is_of_host(name)}
        inside = [
            replace(
                each,
                gauges=replace(
                    each.gauges,
                    limited=tuple(one for one in each.gauges.limited if one.name not in OF_HOST),
                    counters={name: value for name, value in each.gauges.counters.items() if not is_of_host(name)},
                ),
            )
            for each in counted
        ]
        return cls(counted=tuple(inside), limited=tuple(limited.values()), counters=counters, **fields)

    def bounded(self, bounds: Bounds, before: frozenset[str] = frozenset()) -> Self:
        """The round with at most this many series; what is beyond is summed.

        before: the namespaces that the round before reported by themselves. They stay until another one is twice as
                full, because a series that comes and goes is of no use.
        """
        order = sorted(self.counted, key=lambda each: _fullness(each, before), reverse=True)
        first, others = order[: bounds.namespaces], order[bounds.namespaces :]
        pairs = sorted(
            (
                (pair.used, number, pair)
                for number, each in enumerate(first)
                for pair in each.gauges.pairs
                if _is_own(pair)
            ),
            key=lambda row: row[0],
            reverse=True,
        )
        listeners = sorted(
            (
                (row.recv_q, number, row)
                for number, each in enumerate(first)
                for row in each.gauges.listeners
                if _is_own(row)
            ),
            key=lambda row: row[0],
            reverse=True,
        )
        summed_pairs, summed_listeners = _by_number(pairs[bounds.rows :]), _by_number(listeners[bounds.rows :])
        counted = [
            replace(each, gauges=_shorter(each.gauges, summed_pairs.get(number, []), summed_listeners.get(number, [])))
            for number, each in enumerate(first)
        ]
        if others:
            counted.append(CountedNamespace(Whose(REST), _sum_of([each.gauges for each in others])))
        return replace(
            self,
            counted=tuple(counted),
            left_out=len(others),
            pairs_left_out=max(0, len(pairs) - bounds.rows),
            listeners_left_out=max(0, len(listeners) - bounds.rows),
        )


def _fullness(counted: CountedNamespace, before: frozenset[str]) -> tuple[int, int]:
    """(sockets of its fullest pair, all sockets), twice as many for one that was reported before."""
    weight = 2 if counted.whose.netns in before else 1
    used = [pair.used for pair in counted.gauges.pairs if pair.role is Role.CLIENT and pair.destination != REST]
    return weight * max(used, default=0), weight * sum(each.sockets for each in counted.gauges.states)


def _is_own(row: PairGauge | ListenerGauge) -> bool:
    """Whether it is one pair, or listener, and not a sum."""
    return (row.destination if isinstance(row, PairGauge) else row.address) != REST


def _by_number(rows: Iterable[tuple[int, int, T]]) -> dict[int, list[T]]:
    found: dict[int, list[T]] = {}
    for _, number, row in rows:
        found.setdefault(number, []).append(row)
    return found


def _shorter(gauges: Gauges, pairs: Sequence[PairGauge], listeners: Sequence[ListenerGauge]) -> Gauges:
    """The gauges with these pairs and listeners in the sums."""
    without, unheard = set(pairs), set(listeners)
    return replace(
        gauges,
        pairs=tuple(_with_rest(gauges.pairs, without)),
        listeners=tuple(_with_rest_of_listeners(gauges.listeners, unheard)),
    )


def _with_rest(pairs: Iterable[PairGauge], without: Container[PairGauge] | None) -> Iterator[PairGauge]:
    """Each pair by itself but those without (None: all), whose sum comes last for each role."""
    summed: dict[Role, list[PairGauge]] = {}
    for pair in pairs:
        if without is not None and _is_own(pair) and pair not in without:
            yield pair
        else:
            summed.setdefault(pair.role, []).append(pair)
    yield from (_pairs_together(role, rows) for role, rows in summed.items())


def _pairs_together(role: Role, rows: Sequence[PairGauge]) -> PairGauge:
    lefts = [row.left for row in rows if row.left is not None]
    left = Interval(sum(left.least for left in lefts), sum(left.most for left in lefts))
    return PairGauge(
        role,
        REST,
        REST,
        used=sum(row.used for row in rows),
        time_wait=sum(row.time_wait for row in rows),
        close_wait=sum(row.close_wait for row in rows),
        usable=_sum(row.usable for row in rows),
        left=left if len(lefts) == len(rows) else None,
    )


def _with_rest_of_listeners(
    listeners: Iterable[ListenerGauge], without: Container[ListenerGauge] | None
) -> Iterator[ListenerGauge]:
    summed = []
    for listener in listeners:
        if without is not None and _is_own(listener) and listener not in without:
            yield listener
        else:
            summed.append(listener)
    if summed:
        yield ListenerGauge(
            REST,
            recv_q=sum(each.recv_q for each in summed),
            backlog=sum(each.backlog for each in summed),
            drops=_sum(each.drops for each in summed),
        )


def _sum(numbers: Iterable[int | None]) -> int | None:
    """None: one of them is unknown."""
    total = 0
    for number in numbers:
        if number is None:
            return None
        total += number
    return total


def _sum_of(several: Sequence[Gauges]) -> Gauges:
    """The gauges of several namespaces as one. Counters are left out: the sum of a changing set may go down."""
    states = {state.state: [0, 0, 0] for each in several for state in each.states}
    for state in (state for each in several for state in each.states):
        for place, number in enumerate((state.sockets, state.clients, state.servers)):
            states[state.state][place] += number
    limited: dict[str, list[Limited]] = {}
    for one in (one for each in several for one in each.limited):
        limited.setdefault(one.name, []).append(one)
    pairs = (pair for each in several for pair in each.pairs)
    listeners = (listener for each in several for listener in each.listeners)
    return Gauges(
        netns=REST,
        kernel=several[0].kernel,
        at_s=max(each.at_s for each in several),
        took_s=sum(each.took_s for each in several),
        changed=_sum(each.changed for each in several),
        pairs=tuple(_with_rest(pairs, None)),
        pairs_total={role: sum(each.pairs_total.get(role, 0) for each in several) for role in Role},
        states=tuple(StateCount(name, *counts) for name, counts in states.items()),
        listeners=tuple(replace(row, drops=None) for row in _with_rest_of_listeners(listeners, None)),
        range=_sum(each.range for each in several),
        reserved=sum(each.reserved for each in several),
        blocked=sum(each.blocked for each in several),
        usable=_sum(each.usable for each in several),
        unattributed_ports=sum(each.unattributed_ports for each in several),
        hidden_ports=sum(each.hidden_ports for each in several),
        limited=tuple(
            Limited(name, sum(one.value for one in ones), _sum(one.most for one in ones))
            for name, ones in limited.items()
        ),
        counters={},
    )
