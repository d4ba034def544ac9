"""The rate that is allowed is the one at which a simulation just does not run out of ports."""

import heapq
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.ports import PortRoom, Route
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.plan.churn import ChurnBudget, ClosedBy, Turnover, churn_budget, kept_s
from fourtuple.core.plan.fit import Check, Says
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.ranges import Ranges

FACTS = PortFacts(range(32768, 61000), Ranges([]), tw_reuse=0)
FILES, TRACKED, RANGE = "RLIMIT_NOFILE", "net.netfilter.nf_conntrack_max", "net.ipv4.ip_local_port_range"


def room_of(least: int, *, most: int | None = None, ceiling: int | None = None, pairs: int = 1) -> PortRoom:
    """The ports from one source to several destinations."""
    ceiling = least if ceiling is None else ceiling
    room = Interval(least, least if most is None else most)
    routes = tuple(
        Route("127.0.0.1", f"127.0.0.1:{port}", Strategy.LATE, ceiling // pairs, 0, room) for port in range(pairs)
    )
    return PortRoom(pairs, ceiling, ceiling - least, room, routes, (), 0, 0, 0, 0)


def budget(
    turnover: Turnover,
    ports: PortRoom | None,
    *found: Check,
    facts: PortFacts = FACTS,
    strategy: Strategy = Strategy.LATE,
    loopback: bool = True,
    buckets: int | None = None,
) -> ChurnBudget:
    return churn_budget(turnover, ports, facts, found, strategy=strategy, loopback=loopback, buckets=buckets)


def check(limit: str, room: int | None, says: Says = Says.OK) -> Check:
    return Check(limit, f"the {limit}", None if room is None else Interval.of(room), says, f"of {limit}")


def test_the_default_range_allows_470_per_second() -> None:
    found = budget(Turnover(400, 0.0), room_of(28_232))

    assert found.ceiling_per_s == 28_232 / 60
    assert found.because == "470 connections per second per destination: 28,232 ports / 60 s of TIME_WAIT"
    assert (found.open, found.waiting, found.says) == (0, 24_000, Says.OK)
    assert budget(Turnover(471, 0.0), room_of(28_232)).says is Says.BLOCKS
    assert budget(Turnover(470, 0.0), room_of(28_232)).says is Says.PERHAPS
    assert budget(Turnover(470, 0.0, steady=True), room_of(28_232)).says is Says.OK


@pytest.mark.parametrize(
    ("turnover", "ports", "because"),
    [
        (
            Turnover(None, 0.0),
            room_of(112_928, pairs=4),
            "470 connections per second per destination: 28,232 ports / 60 s of TIME_WAIT;"
            " 1,882 connections per second in total",
        ),
        (
            Turnover(None, 2.0),
            room_of(28_232),
            "455 connections per second per destination: 28,232 ports / (60 s of TIME_WAIT + 2 s open)",
        ),
        (
            Turnover(None, 0.0),
            room_of(22_232, ceiling=28_232),
            "370 connections per second: 22,232 of 28,232 ports are free / 60 s of TIME_WAIT",
        ),
        (
            Turnover(None, 0.0, held=6_000),
            room_of(28_232),
            "370 connections per second: 22,232 of 28,232 ports are free / 60 s of TIME_WAIT",
        ),
        (
            Turnover(None, 2.0, ClosedBy.RST),
            room_of(28_232),
            "14,116 connections per second per destination: 28,232 ports / 2 s open",
        ),
        (
            Turnover(None, 0.0, ClosedBy.PEER),
            room_of(28_232),
            "any rate: a source port is free again as soon as its connection is closed",
        ),
        (Turnover(None, 0.0), room_of(20), "0.33 connections per second per destination: 20 ports / 60 s of TIME_WAIT"),
        (Turnover(None, 0.0), room_of(60), "1 connection per second per destination: 60 ports / 60 s of TIME_WAIT"),
        (Turnover(None, 0.0, held=20), room_of(20), "no source port is free"),
        (Turnover(None, 0.0, ClosedBy.RST), room_of(0, ceiling=9), "no source port is free"),
    ],
)
def test_the_sentence_has_the_numbers(turnover: Turnover, ports: PortRoom, because: str) -> None:
    assert budget(turnover, ports).because == because


def test_several_sources_are_named() -> None:
    ports = room_of(200, pairs=2)
    two = replace(ports, routes=(ports.routes[0], replace(ports.routes[1], source="127.0.0.2")))

    assert "per source and destination: 100 ports" in budget(Turnover(None, 0.0), two).because


@pytest.mark.parametrize(
    ("closed_by", "strategy", "facts", "loopback", "seconds"),
    [
        (ClosedBy.FIN, Strategy.LATE, FACTS, True, 60),
        (ClosedBy.FIN, Strategy.LATE, replace(FACTS, tw_reuse=2), True, 1),
        (ClosedBy.FIN, Strategy.LATE, replace(FACTS, tw_reuse=2), False, 60),
        (ClosedBy.FIN, Strategy.LATE, replace(FACTS, tw_reuse=1, tw_reuse_delay_ms=200), False, 0.2),
        (ClosedBy.FIN, Strategy.LATE, replace(FACTS, tw_reuse=1, timestamps=False), True, 60),
        (ClosedBy.FIN, Strategy.EXPLICIT, FACTS, False, 0),
        (ClosedBy.FIN, Strategy.EXPLICIT, replace(FACTS, timestamps=False), False, 60),
        (ClosedBy.FIN, Strategy.BIND0, replace(FACTS, tw_reuse=1), True, 60),
        (ClosedBy.RST, Strategy.LATE, FACTS, True, 0),
        (ClosedBy.PEER, Strategy.BIND0, FACTS, True, 0),
    ],
)
def test_a_port_is_kept_where_this_end_closes_first_by_fin(
    closed_by: ClosedBy, strategy: Strategy, facts: PortFacts, loopback: bool, seconds: float
) -> None:
    """For 60 s, unless connect() may reuse it earlier; an explicit bind() does so at once."""
    turnover = Turnover(None, 0.0, closed_by)

    assert kept_s(turnover, facts, strategy, loopback=loopback) == seconds
    found = budget(turnover, room_of(120), facts=facts, strategy=strategy, loopback=loopback)
    assert found.ceiling_per_s == (120 / seconds if seconds else None)


def test_open_ones_occupy_files_and_memory_by_littles_law() -> None:
    """1,000 per second for 2 s are 2,000 at the same time: 1,999 files are too few."""
    turnover = Turnover(1000, 2.0, ClosedBy.RST, steady=True)
    fits, lacks = (
        budget(turnover, room_of(9_000), check(FILES, files), check("memory", 5_000)) for files in (2000, 1999)
    )

    assert (fits.says, lacks.says) == (Says.OK, Says.BLOCKS)
    assert fits.open == 2000
    assert lacks.ceiling_per_s == 999.5
    assert lacks.because == f"999 connections per second: the {FILES}, room for 1,999 / 2 s each"
    assert [each.limit for each in lacks.checks] == [FILES, "memory", RANGE]
    assert [each.needed for each in lacks.checks] == [2000] * 3


def test_tracking_remembers_connections_after_they_have_closed() -> None:
    """120 s by FIN, 10 s by RST; never more than there are 4-tuples."""
    by_fin, by_rst = (
        budget(Turnover(10, 0.0, closed_by), room_of(28_232), check(TRACKED, 240)).ceiling_per_s
        for closed_by in (ClosedBy.PEER, ClosedBy.RST)
    )

    assert (by_fin, by_rst) == (2, 24)
    plenty = budget(Turnover(10_000, 0.0, ClosedBy.PEER), room_of(240), check(TRACKED, 240))
    assert plenty.ceiling_per_s is None
    assert plenty.says is Says.OK


def test_what_is_held_leaves_less_for_what_comes_and_goes() -> None:
    found = budget(Turnover(10, 1.0, ClosedBy.RST, held=100), room_of(1000), check(FILES, 150))

    assert found.ceiling_per_s == 50


def test_the_ceiling_is_the_lowest_of_all_limits() -> None:
    """10 open ones vary more than 6,010 ports in use: the files are in doubt, and yet the ports end first."""
    found = budget(Turnover(100, 0.1), room_of(6500), check(FILES, 25))

    assert [(each.limit, each.says) for each in found.checks] == [(FILES, Says.PERHAPS), (RANGE, Says.OK)]
    assert found.ceiling_per_s == 6500 / 60.1
    assert found.because.startswith("108 connections per second per destination: 6,500 ports")


def test_only_tracking_ends_with_the_number_of_4_tuples() -> None:
    found = budget(Turnover(1000, 2.0, ClosedBy.RST), room_of(100), check(FILES, 150))

    assert [(each.needed, each.says) for each in found.checks] == [(2000, Says.BLOCKS)] * 2


def test_what_is_unknown_is_not_said_to_fit() -> None:
    """The rows of the plan keep what they say; a limit that is known still counts."""
    found = budget(
        Turnover(10, 1.0), None, check("net.ipv4.ip_local_port_range", None, Says.UNKNOWN), check(FILES, 100)
    )

    assert found.says is Says.UNKNOWN
    assert found.ceiling_per_s == 100
    assert found.checks[0].note == f"of {RANGE}"
    assert budget(Turnover(10, 1.0), room_of(10_000), check("memory", None, Says.UNKNOWN)).says is Says.UNKNOWN
    assert budget(Turnover(10, 1.0), room_of(10_000), check(FILES, None)).says is Says.OK


def test_a_range_of_room_may_be_enough() -> None:
    ports = room_of(600, most=1200, ceiling=1200)
    said = [budget(Turnover(rate, 0.0, steady=True), ports).says for rate in (10, 11, 20, 21)]

    assert said == [Says.OK, Says.PERHAPS, Says.PERHAPS, Says.BLOCKS]
    assert budget(Turnover(None, 0.0), room_of(0, most=5, ceiling=5)).says is Says.PERHAPS
    assert budget(Turnover(None, 0.0), room_of(0, ceiling=5)).says is Says.BLOCKS


def test_beyond_tcp_max_tw_buckets_there_is_no_time_wait() -> None:
    """Of 1,200 ports 600 can be in TIME_WAIT; the other 600 are occupied only while open."""
    few = budget(Turnover(100, 2.0, steady=True), room_of(1200), buckets=600)

    assert few.ceiling_per_s == 300
    assert few.says is Says.OK
    assert few.because.startswith(
        "300 connections per second: at most 600 connections are in TIME_WAIT (net.ipv4.tcp_max"
    )
    assert budget(Turnover(301, 2.0, steady=True), room_of(1200), buckets=600).says is Says.BLOCKS
    assert budget(Turnover(10, 0.0), room_of(1200), buckets=1200).ceiling_per_s == 20
    assert budget(Turnover(10**6, 0.0), room_of(1200), buckets=600).ceiling_per_s is None


def occupied(starts: list[Fraction], stays: list[Fraction]) -> int:
    """The most places that are occupied at the same time."""
    ends: list[Fraction] = []
    most = 0
    for start, stay in zip(starts, stays, strict=True):
        while ends and ends[0] <= start:
            heapq.heappop(ends)
        heapq.heappush(ends, start + stay)
        most = max(most, len(ends))
    return most


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 8), st.booleans())
def test_a_steady_rate_blocks_exactly_where_a_simulation_runs_out(
    ports: int, rate: int, open_quarters: int, by_fin: bool
) -> None:
    """Starts at equal distances, each port free again after its connection and the delay for reuse, here 1 s."""
    facts = replace(FACTS, tw_reuse=1)
    turnover = Turnover(rate, open_quarters / 4, ClosedBy.FIN if by_fin else ClosedBy.RST, steady=True)
    stay = Fraction(open_quarters, 4) + (1 if by_fin else 0)
    starts = [Fraction(number, rate) for number in range(200)]
    found = budget(turnover, room_of(ports), facts=facts)

    assert (found.says is Says.OK) == (occupied(starts, [stay] * 200) <= ports or not stay)
    assert found.says is not Says.PERHAPS


@pytest.mark.parametrize("rate", [5.0, 50.0])
def test_where_a_poisson_process_is_said_to_fit_it_fits(rate: float) -> None:
    """50,000 starts with exponential lifetimes of 1 s, and 1 s until the port is free: at the least room that is OK."""
    facts, turnover = replace(FACTS, tw_reuse=1), Turnover(rate, 1.0)
    room = next(room for room in range(1000) if budget(turnover, room_of(room), facts=facts).says is Says.OK)
    random = np.random.default_rng(3)
    starts = np.cumsum(random.exponential(1 / rate, 50_000))
    stays = random.exponential(1, 50_000) + 1
    busy = occupied(starts.tolist(), stays.tolist())

    assert 2.3 * rate < busy <= room
