"""Which rate of short connections a host allows: what each of them occupies, and for how long.

By Little's law (Little 1961), connections that come at a rate and occupy a place for some time occupy rate × time
places on average. An open connection occupies a file, memory and a source port; a port longer, if this end closes
first by FIN: TIME_WAIT keeps its 4-tuple (core/limits/time_wait.py).
"""

import math
from collections.abc import Sequence
from enum import StrEnum

from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.ports import PortRoom
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.time_wait import TIME_WAIT_S, kept_ms
from fourtuple.core.plan.fit import PORT_LIMITS, WORST_FIRST, Check, Says
from fourtuple.core.record import dataclass
from fourtuple.core.space.interval import Interval
from fourtuple.core.units import format_count, format_duration

SOURCE_PORTS, CONNTRACK = PORT_LIMITS[0], "net.netfilter.nf_conntrack_max"
# A number with the Poisson distribution is above what `_most` gives with a probability below exp(-RARE), 1 in 160,000.
RARE = 12
# nf_conntrack_tcp_timeout_time_wait and _close, nf_conntrack_proto_tcp.c (6.18).
TRACKED_S, TRACKED_AFTER_RST_S = 120.0, 10.0


class ClosedBy(StrEnum):
    """How a connection ends: which end closes first, and by what."""

    FIN = "fin"
    RST = "rst"
    PEER = "peer"


@dataclass(frozen=True, slots=True)
class Turnover:
    """What is to be churned.

    rate_per_s: None: as many as possible
    open_s:     how long a connection is open, on average
    steady:     starts at equal distances and all lifetimes the same; otherwise the number of open ones varies
    held:       connections that are open besides
    """

    rate_per_s: float | None
    open_s: float
    closed_by: ClosedBy = ClosedBy.FIN
    steady: bool = False
    held: int = 0


@dataclass(frozen=True, slots=True)
class RateCheck:
    """A limit compared with the rate.

    room:   connections that it leaves; None: it does not apply here, or is unknown
    kept_s: how long each connection occupies its place
    needed: places that are occupied at the rate, on average; None: no rate was given
    per_s:  the most per second for which it certainly has room; None: any, or `says` is UNKNOWN
    """

    limit: str
    title: str
    room: Interval | None
    kept_s: float
    needed: float | None
    per_s: float | None
    says: Says
    note: str


@dataclass(frozen=True, slots=True)
class ChurnBudget:
    """The rate that a host allows.

    open, waiting: connections that are open, or that have closed and keep their ports, at the rate, on average
    ceiling_per_s: the most per second, as far as it is known; None: any
    because:       what determines it, with the numbers
    """

    turnover: Turnover
    open: float | None
    waiting: float | None
    ceiling_per_s: float | None
    because: str
    checks: tuple[RateCheck, ...]

    @property
    def says(self) -> Says:
        """The worst of the checks."""
        return self.checks[0].says


def kept_s(turnover: Turnover, facts: PortFacts, strategy: Strategy, *, loopback: bool) -> float:
    """How long a closed connection keeps its 4-tuple from the next connect() at this end.

    An explicit bind() reuses one in TIME_WAIT at once if timestamps are on; bind(address, 0) does not reuse its port.
    """
    if turnover.closed_by is not ClosedBy.FIN:
        return 0.0
    if strategy is Strategy.EXPLICIT:
        return 0.0 if facts.timestamps else TIME_WAIT_S
    return TIME_WAIT_S if strategy is Strategy.BIND0 else kept_ms(facts, loopback=loopback) / 1000


def churn_budget(
    turnover: Turnover,
    ports: PortRoom | None,
    facts: PortFacts | None,
    found: Sequence[Check],
    *,
    strategy: Strategy,
    loopback: bool,
    buckets: int | None = None,
) -> ChurnBudget:
    """The rate that the ports and every other limit allow. Pure: of what `plan` has found.

    ports:    their room; None: unknown
    found:    the checks of the plan, whose rooms count connections
    loopback: all 4-tuples have an address of 127.0.0.0/8 or ::1
    buckets:  net.ipv4.tcp_max_tw_buckets; None: unknown
    """
    checks = [_other(check, turnover, ports) for check in found if check.limit not in (*PORT_LIMITS, "4-tuple")]
    waits_s = 0.0
    if ports is None or facts is None:
        note = next((check.note for check in found if check.limit == SOURCE_PORTS), "the port range is unknown")
        checks.append(RateCheck(SOURCE_PORTS, "source ports", None, 0.0, None, None, Says.UNKNOWN, note))
    else:
        waits_s = kept_s(turnover, facts, strategy, loopback=loopback)
        checks.append(_port_check(turnover, ports, waits_s, buckets))
    checks.sort(key=lambda check: (WORST_FIRST.index(check.says), math.inf if check.per_s is None else check.per_s))
    rate = turnover.rate_per_s
    limited = [check for check in checks if check.per_s is not None]
    tightest = min(limited, key=lambda check: check.per_s or 0.0, default=checks[0])
    return ChurnBudget(
        turnover,
        None if rate is None else rate * turnover.open_s,
        None if rate is None else rate * waits_s,
        tightest.per_s,
        tightest.note,
        tuple(checks),
    )


def _port_check(turnover: Turnover, ports: PortRoom, waits_s: float, buckets: int | None) -> RateCheck:
    free = Interval(*(max(0, bound - turnover.held) for bound in (ports.room.least, ports.room.most)))
    each_s = waits_s + turnover.open_s
    per_s = _per_s(free, each_s)
    most_waiting = math.inf
    if buckets is not None and per_s and waits_s == TIME_WAIT_S and per_s * waits_s > buckets:
        most_waiting = buckets  # what is more than that has no TIME_WAIT
        per_s = (free.least - buckets) / turnover.open_s if turnover.open_s else None
    needed = None
    if turnover.rate_per_s is not None:
        needed = turnover.rate_per_s * turnover.open_s + min(turnover.rate_per_s * waits_s, most_waiting)
    says = _says(needed, free, steady=turnover.steady)
    note = _ports_note(turnover, ports, free, per_s, waits_s, most_waiting)
    return RateCheck(SOURCE_PORTS, "source ports", free, each_s, needed, per_s, says, note)


def _ports_note(
    turnover: Turnover, ports: PortRoom, free: Interval, per_s: float | None, waits_s: float, most_waiting: float
) -> str:
    """`470 connections per second per destination: 28,232 ports / 60 s of TIME_WAIT`."""
    if not free.least:
        return "no source port is free"
    if most_waiting < math.inf:
        most = f"at most {format_count(int(most_waiting))} connections are in TIME_WAIT (net.ipv4.tcp_max_tw_buckets)"
        return f"{_rate(per_s)}: {most}; others skip it, and late segments may disturb new connections"
    if per_s is None:
        return "any rate: a source port is free again as soon as its connection is closed"
    times = [f"{format_duration(waits_s)} of TIME_WAIT"] * bool(waits_s)
    times += [f"{format_duration(turnover.open_s)} open"] * bool(turnover.open_s)
    time = " + ".join(times) if len(times) == 1 else f"({' + '.join(times)})"
    if free.least == ports.ceiling and ports.ceiling % ports.pairs == 0:
        sources = len({route.source for route in ports.routes})
        whose = "per destination" if sources == 1 else "per source and destination"
        total = f"; {_rate(per_s)} in total" if ports.pairs > 1 else ""
        share = ports.ceiling // ports.pairs
        return f"{_rate(per_s / ports.pairs)} {whose}: {format_count(share)} ports / {time}{total}"
    return f"{_rate(per_s)}: {format_count(free.least)} of {format_count(ports.ceiling)} ports are free / {time}"


def _per_s(room: Interval, each_s: float) -> float | None:
    """The most per second if each occupies a place for that long; None: any."""
    if not room.least:
        return 0.0
    return room.least / each_s if each_s else None


def _rate(per_s: float | None) -> str:
    if per_s is None:
        return "any rate"
    number = format_count(math.floor(per_s)) if per_s >= 10 else f"{per_s:.2g}"
    return f"{number} connection{'s' * (number != '1')} per second"


def _other(check: Check, turnover: Turnover, ports: PortRoom | None) -> RateCheck:
    """A limit that counts open connections, or tracked ones."""
    stays_s = turnover.open_s
    if check.limit == CONNTRACK:
        stays_s += TRACKED_AFTER_RST_S if turnover.closed_by is ClosedBy.RST else TRACKED_S
    if check.room is None:
        return RateCheck(check.limit, check.title, None, stays_s, None, None, check.says, check.note)
    room = Interval(*(max(0, bound - turnover.held) for bound in (check.room.least, check.room.most)))
    per_s = _per_s(room, stays_s)
    needed = None if turnover.rate_per_s is None else turnover.rate_per_s * stays_s
    if check.limit == CONNTRACK and ports is not None:  # the next connection with the same ends takes the same entry
        needed = None if needed is None else min(needed, ports.ceiling)
        per_s = None if room.least >= ports.ceiling else per_s
    note = f"{_rate(per_s)}: {check.title}, room for {format_count(room.least)} / {format_duration(stays_s)} each"
    steady = turnover.steady or (needed is not None and ports is not None and needed == ports.ceiling)
    return RateCheck(check.limit, check.title, room, stays_s, needed, per_s, _says(needed, room, steady=steady), note)


def _says(needed: float | None, room: Interval, *, steady: bool) -> Says:
    """Whether there is room: surely, only if the number does not vary above its mean, or not even then."""
    if needed is None:
        return Says.OK if room.least else Says.PERHAPS if room.most else Says.BLOCKS
    if needed > room.most:
        return Says.BLOCKS
    return Says.OK if (needed if steady else _most(needed)) <= room.least else Says.PERHAPS


def _most(mean: float) -> float:
    """How large a number with the Poisson distribution is at most, but for rare moments (Bernstein's inequality)."""
    return mean + RARE / 3 + math.sqrt((RARE / 3) ** 2 + 2 * RARE * mean) if mean else 0.0
