"""What a census gives reason to say: which pairs are named, with which cause, and which queues are full."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.census.records import By, Census, DestinationCount, Holding, Listener, PairCount, Row, Source
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.sockets.owners import Owners, Process
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import SOCK_DIAG
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.why.alarms import alarms, cause_of
from fourtuple.core.why.causes import CAUSES
from tests.told import numbers

QUICK = PortFacts(range(40_000, 50_000), Ranges([]))
SLOW = replace(QUICK, range_is_quick=False)


def pair(percent: float | None, number: int = 9, **counts: int) -> PairCount:
    """Of 10,000 ports so many percent; all of them established where nothing else is said."""
    used = round((percent or 0) * 100)
    known = {"established": 0, "time_wait": 0, "other": 0, "close_wait": 0} | (counts or {"established": used})
    return PairCount(
        role=Role.SERVER if percent is None else Role.CLIENT,
        source="10.0.0.4",
        destination=f"10.0.0.{number}:80",
        used=known["established"] + known["time_wait"] + known["other"],
        usable=None if percent is None else 10_000,
        percent=percent,
        left=None if percent is None else Interval.of(10_000 - used),
        owners=Owners(),
        **known,
    )


def census(rows: Sequence[Row], *listeners: Listener, by: By = By.PAIR) -> Census:
    return Census(
        taken=Source("web1", "2026-01-02T03:04:05.678+00:00", "net:[7]", "6.18.1", SOCK_DIAG, 0, 0.5),
        approximate=False,
        range=(40_000, 49_999),
        reserved=0,
        blocked=0,
        usable=10_000,
        unattributed_ports=0,
        hidden_ports=0,
        can_probe=True,
        sockets={},
        by=by,
        rows=rows,
        total=len(rows),
        listeners=listeners,
        holdings=(),
        shared_ports=0,
        busiest_port=None,
        leaks=(),
        counters={},
    )


def listener(recv_q: int, backlog: int | None) -> Listener:
    return Listener("0.0.0.0:80", recv_q, backlog, 0, False, Owners())


@given(st.lists(st.one_of(st.none(), st.floats(0, 100)), max_size=12))
def test_a_pair_is_named_if_half_is_used_and_the_rest_is_counted(percents: list[float | None]) -> None:
    pairs = [pair(percent, number) for number, percent in enumerate(percents)]
    worth = [each for each in pairs if each.percent is not None and each.percent >= 50]

    said = alarms(census(pairs), QUICK)

    assert len(said) == min(len(worth), 5) + (len(worth) > 5)
    for each, sentence in zip(worth[:5], said, strict=False):
        assert each.percent is not None
        assert sentence.startswith(f"10.0.0.4 → {each.destination} ")
        assert ("fourtuple why" in sentence) == (each.percent >= 80)
        assert ("IP_LOCAL_PORT_RANGE" in sentence) == (each.percent < 80)
    if len(worth) > 5:
        assert numbers(said[-1]) == [len(worth) - 5]


@pytest.mark.parametrize(("crowded", "more"), [(5, []), (7, [[2]])])
def test_five_pairs_are_named(crowded: int, more: list[list[int]]) -> None:
    said = alarms(census([pair(99 - number, number) for number in range(crowded)]), QUICK)

    assert [sentence.split()[2] for sentence in said[:5]] == [f"10.0.0.{number}:80" for number in range(5)]
    assert [numbers(each) for each in said[5:]] == more


def test_a_pair_that_is_nearly_full_says_what_is_left_and_why_and_where_to_ask() -> None:
    (said,) = alarms(census([pair(87.5)]), QUICK)

    assert said.startswith("10.0.0.4 → 10.0.0.9:80 ")
    assert numbers(said)[0] == 1_250
    assert CAUSES["port-range"].says in said
    assert "fourtuple why EADDRNOTAVAIL --dest 10.0.0.9:80" in said


def test_a_pair_whose_connections_are_neither_open_nor_in_time_wait_is_not_called_full_of_open_ones() -> None:
    """As in FIN_WAIT2 or SYN_SENT, which a census of pairs counts together: doctor knows which, and why."""
    closing, leaking = pair(100, other=10_000), pair(100, other=10_000, close_wait=9_000)

    assert "fourtuple doctor" in alarms(census([closing]), QUICK)[0]
    assert CAUSES["port-range"].says not in alarms(census([closing]), QUICK)[0]
    assert CAUSES["close-wait"].says in alarms(census([leaking]), QUICK)[0]


def test_half_a_range_has_another_cure_before_linux_6_8() -> None:
    (quick,), (slow,), (unknown,) = (alarms(census([pair(60)]), facts) for facts in (QUICK, SLOW, None))

    assert "6.8" not in quick
    assert "Linux 6.8" in slow
    assert slow == unknown
    assert all("IP_LOCAL_PORT_RANGE" in said for said in (quick, slow))


@pytest.mark.parametrize(
    ("counts", "cause"),
    [
        ({"established": 9_000}, "port-range"),
        ({"established": 4_500, "time_wait": 4_500}, "time-wait"),
        ({"established": 4_501, "time_wait": 4_499}, "port-range"),
        ({"established": 1_000, "other": 8_000, "close_wait": 4_500}, "close-wait"),
        ({"established": 1_000, "other": 8_000, "close_wait": 4_499}, "port-range"),
        ({"other": 4_500, "time_wait": 4_500, "close_wait": 4_500}, "time-wait"),
    ],
)
def test_the_cause_is_what_most_of_the_ports_are_in_use_for(counts: dict[str, int], cause: str) -> None:
    crowded = pair(90, **counts)

    assert cause_of(crowded) == cause
    assert CAUSES[cause].says in alarms(census([crowded]), QUICK)[0]


def test_nothing_is_said_of_servers_nor_of_what_is_half_empty() -> None:
    assert alarms(census([pair(None), pair(49.9)]), QUICK) == ()
    assert alarms(census([]), None) == ()


def test_of_a_destination_the_worst_source_is_named() -> None:
    destination = DestinationCount(
        role=Role.CLIENT,
        destination="10.0.0.9:80",
        sources=3,
        source="10.0.0.5",
        established=10_000,
        time_wait=0,
        other=0,
        close_wait=0,
        used=10_000,
        usable=10_000,
        percent=100.0,
        left=Interval.of(0),
        owners=Owners(),
    )
    (said,) = alarms(census([destination], by=By.DESTINATION), QUICK)

    assert said.startswith("10.0.0.5 → 10.0.0.9:80 ")
    assert numbers(said)[0] == 0


def perhaps(number: int) -> PairCount:
    """A pair whose remaining ports may be gone."""
    return replace(pair(20, number), left=Interval(0, 8_000))


def test_pairs_that_may_have_no_port_left_are_named_once_though_little_is_used() -> None:
    """The command tests the ports from the source of the pair."""
    (one,) = alarms(census([perhaps(9)]), QUICK)
    (all_,) = alarms(census([perhaps(number) for number in range(9)]), QUICK)

    assert one.startswith("10.0.0.4 → 10.0.0.9:80 ")
    assert "fourtuple limits 10.0.0.9:80 --from 10.0.0.4 --probe" in one
    assert 8 in numbers(all_)


@pytest.mark.parametrize("state", ["time_wait", "established", "other"])
@pytest.mark.parametrize("percent", [0, 100])
def test_a_pair_that_fills_the_range_is_no_alarm_for_the_others(state: str, percent: int) -> None:
    """In every state, and also where connect() may reuse its ports, so that none is taken."""
    full = replace(pair(percent, 1, **{state: 10_000}), left=Interval(0, 10_000 - 100 * percent))

    said = alarms(census([full, *(perhaps(number) for number in range(2, 9))]), QUICK)

    assert len(said) == (percent == 100)
    assert not any("10.0.0.2:80" in each for each in said)


@pytest.mark.parametrize(("blocked", "is_said"), [(1_999, False), (2_000, True)])
def test_a_range_that_is_held_by_bind_is_said_to_be(blocked: int, is_said: bool) -> None:
    held = tuple(Holding(40_000 + n, "bound", Owners((Process(7, "app", 1),))) for n in range(3))
    said = alarms(replace(census([]), blocked=blocked, usable=10_000 - blocked, holdings=held), QUICK)

    assert ["app (7)" in each for each in said] == [True] * is_said


@pytest.mark.parametrize(
    ("recv_q", "backlog", "is_full"), [(1_000, 999, True), (1_001, 999, True), (999, 999, False), (5, None, False)]
)
def test_a_full_accept_queue_is_named(recv_q: int, backlog: int | None, is_full: bool) -> None:
    for by in By:
        said = alarms(census([], listener(recv_q, backlog), by=by), QUICK)
        assert len(said) == is_full
        assert [("0.0.0.0:80" in each, numbers(each)) for each in said] == [(True, [recv_q, 1_000])] * is_full


def test_pairs_come_before_queues() -> None:
    said = alarms(census([pair(90), pair(60, 8)], listener(6, 5), listener(0, 5), listener(7, 5)), QUICK)

    assert [each.split()[0] == "10.0.0.4" for each in said] == [True, True, False, False]
    assert [numbers(each) for each in said[2:]] == [[6, 6], [7, 6]]
