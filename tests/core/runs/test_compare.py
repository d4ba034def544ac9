"""Two runs side by side: ratios where they say something, and what is not the same."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fourtuple.core.errors import UsageError
from fourtuple.core.runs.compare import Comparison, Row, Tendency, Unit, compare
from fourtuple.core.runs.counters import COLUMN
from fourtuple.core.runs.entry import Entry, RunState
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.core.runs.orders import HoldOptions
from fourtuple.core.runs.requested import requested
from fourtuple.core.runs.stored import StoredRun
from fourtuple.core.talk.stages import parse_stages
from tests.made import hold_record, serve_record, start
from tests.made_fleet import fleet_record, machine_result


def run(number: int, record: Any, kind: str = "hold", **found: Any) -> StoredRun:
    entry = Entry(
        number, kind, "fourtuple …", "2026-11-20T12:00:00+00:00", None, RunState.REACHED, "", 1, 1, 0, "loadbox"
    )
    return StoredRun(entry, start(kind, **found), np.zeros(0, COLUMN), {}, {}, record)


def row(comparison: Comparison, name: str) -> Row:
    return next(each for each in comparison.rows if each.name == name)


def intending(number: int, planned: dict[str, Any]) -> StoredRun:
    found = run(number, FAST)
    assert found.start.planned
    return replace(found, start=replace(found.start, planned=replace(found.start.planned, **planned)))


def asking(number: int, options: HoldOptions) -> StoredRun:
    return intending(number, {"destinations": options.targets, "requested": requested(options)})


FOUR = tuple(map(machine_result, range(1, 5)))
FAST, SLOW = hold_record(rate_per_s=40_000.0, held=1000), hold_record(rate_per_s=10_000.0, held=500)


def test_ratios_are_the_second_to_the_first() -> None:
    found = compare(run(1, FAST), run(2, SLOW))

    assert row(found, "opening rate").ratio == 0.25
    assert row(found, "held").ratio == 0.5
    assert row(found, "lost").ratio is None  # nothing to divide by
    assert (found.differs, found.other_machine) == ((), False)


@pytest.mark.parametrize("other", [{"machine": "fedcba"}, {"cpus": 8}, {"kernel": "6.1.0"}, {"memory_bytes": 2**30}])
def test_rates_and_times_of_another_machine_are_not_compared_unless_asked_for(other: dict[str, Any]) -> None:
    """Counts are compared; differences are reported in every case."""
    found = compare(run(1, FAST), run(2, SLOW, **other))
    anyway = compare(run(1, FAST), run(2, SLOW, **other), anyway=True)

    assert found.other_machine
    assert row(found, "opening rate").ratio is None
    assert row(found, "opened in").ratio is None
    assert row(found, "held").ratio == 0.5
    assert row(anyway, "opening rate").ratio == 0.25
    assert len(anyway.differs) == 1
    assert found.to_json()["other_machine"] is True


def test_what_was_asked_otherwise_is_told() -> None:
    """Settings, too; numbers that only count what is there are no settings."""
    settings = {"net.core.somaxconn": "128", "net.ipv4.ip_local_port_range": "32768 60999", "fs.file-nr": "7 0 9"}
    found = compare(run(1, FAST), run(2, FAST, sysctls=settings))
    other = run(2, FAST)
    planned = replace(other.start.planned, loop="epoll", workers=4)  # type: ignore[type-var]
    second = compare(run(1, FAST), replace(other, start=replace(other.start, planned=planned)))

    assert found.differs == (("net.core.somaxconn", "4096", "128"),)
    assert second.differs == (("loop", "ring", "epoll"), ("workers", "1", "4"))
    assert not second.other_machine


def test_every_option_that_differs_is_told() -> None:
    """By name; what was decided stands for what was requested, and a run that kept no options has none to compare."""
    typed = {"keepalive_s": 5, "mqtt_version": 4}
    one = HoldOptions.of(10, ["mqtt://127.0.0.1"], session=typed, hold_s=8.0)
    two = HoldOptions.of(10, ["127.0.0.1:6379"], send=b"PING", every_s=2.0, reconnect=True, loop=LoopName.EPOLL)
    found = compare(asking(1, one), asking(2, two))
    differs = {what: (first, second) for what, first, second in found.differs}

    assert differs.keys() == {
        *("to", "for", "reconnect", "every", "scheme", "host", "message"),
        *("mqtt keepalive", "mqtt version"),
    }
    assert differs["for"] == ("8 s", "–")
    assert differs["to"] == ("mqtt://127.0.0.1:1883", "127.0.0.1:6379")
    assert "reconnect" not in [what for what, _, _ in compare(asking(1, one), run(2, FAST)).differs]


@pytest.mark.parametrize(
    ("first", "second", "without"),
    [
        ({}, {"strategy": "unix"}, {"connect"}),
        ({}, {"loop": "epoll"}, {"connect"}),
        ({"wanted": 1000}, {"wanted": 200_000}, {"connect"}),
        ({"rate_per_s": 100.0}, {}, {"connect", "opened", "opening"}),
        ({"rate_per_s": 100.0}, {"rate_per_s": 100.0}, {"opened", "opening"}),
        ({}, {"stages": parse_stages("1k@1s")}, {"connect", "opened", "opening"}),
        ({"workers": 1}, {"workers": 2}, set()),
    ],
)
def test_what_follows_from_the_request_has_no_ratio(
    first: dict[str, Any], second: dict[str, Any], without: set[str]
) -> None:
    """Connects are timed with their batches, whose sizes follow from the loop, the pace and the kind of socket."""
    found = compare(intending(1, first), intending(2, second))
    missing = {row.name.split()[0] for row in found.rows if row.first and row.second and row.ratio is None}

    assert missing == without
    assert all(row.tendency is None for row in found.rows if row.ratio is None)


def test_a_setting_that_only_one_run_recorded_is_no_difference() -> None:
    """A run in a lab cannot read settings that only the host has."""
    host = {"net.core.somaxconn": "4096", "net.ipv4.tcp_mem": "1 2 3"}
    found = compare(run(1, FAST, sysctls=host), run(2, FAST, sysctls={"net.core.somaxconn": "4096"}))

    assert found.differs == ()


def test_servers_are_compared_with_servers() -> None:
    found = compare(run(1, serve_record(), "serve"), run(2, serve_record(accepted=250), "serve"))

    assert row(found, "accepted").ratio == 0.25


@pytest.mark.parametrize(
    ("first", "second", "named", "why"),
    [
        (run(1, FAST), run(2, serve_record(), "serve"), r"\b1 .*\b2$", "hold.*serve"),
        (run(1, FAST), run(2, None, "prove"), r"\b2$", ""),
        (run(1, None), run(2, FAST), r"\b1$", ""),
    ],
)
def test_what_cannot_be_compared_is_refused(first: StoredRun, second: StoredRun, named: str, why: str) -> None:
    """The runs that are in the way are named."""
    with pytest.raises(UsageError) as caught:
        compare(first, second)

    assert re.search(named, caught.value.wanted)
    assert re.search(why, caught.value.stopped_by)


def test_two_that_sent_and_one_that_did_not_have_the_same_rows() -> None:
    talked = hold_record(requests=10, answers=10, answers_per_s=5.0)
    found = compare(run(1, talked), run(2, FAST))

    assert (row(found, "answers").first, row(found, "answers").second, row(found, "answers").ratio) == (10, None, None)
    assert row(found, "closed in").ratio == 1.0


def test_two_that_did_not_and_one_that_did_have_names_and_units() -> None:
    """In either order."""
    talked = hold_record(requests=10, answers=10, answers_per_s=5.0)
    found = compare(run(1, FAST), run(2, talked))

    assert (row(found, "answers").first, row(found, "answers").second) == (None, 10)
    assert [(each.name, each.unit) for each in found.rows] == [
        (each.name, each.unit) for each in compare(run(1, talked), run(2, FAST)).rows
    ]


def test_fleets_say_how_many_machines_each_had_and_others_have_no_such_row() -> None:
    fleet, smaller = (run(number, fleet_record(*machines)) for number, machines in ((1, FOUR), (2, FOUR[:2])))
    names = {each.name for each in compare(run(1, FAST), run(2, SLOW)).rows}

    assert row(compare(fleet, smaller), "machines") == Row("machines", 4, 2, Unit.COUNT, 0.5)
    assert row(compare(fleet, fleet), "machines").ratio == 1
    assert row(compare(fleet, run(2, FAST)), "machines").second is None
    assert row(compare(run(1, FAST), fleet), "machines") == Row("machines", None, 4, Unit.COUNT, None)
    assert "machines" not in names


def test_a_number_is_better_or_worse_by_what_it_counts() -> None:
    """Also where there is no ratio, because the first one is 0; a difference of less than 5 % is none."""
    worse = replace(FAST, lost=7, held=FAST.held // 2, cpu_user_s=FAST.cpu_user_s * 1.04, closing_s=FAST.closing_s / 2)
    found = compare(run(1, FAST), run(2, worse))

    assert [row(found, name).tendency for name in ("lost", "held", "closed in")] == [
        Tendency.WORSE,
        Tendency.WORSE,
        Tendency.BETTER,
    ]
    assert row(found, "opening rate").tendency is row(found, "CPU user").tendency is Tendency.SAME
    assert row(found, "failed").tendency is None  # 0 and 0


def test_a_tendency_of_rates_and_times_compares_no_machines() -> None:
    found = compare(run(1, FAST), run(2, replace(FAST, rate_per_s=1.0, lost=7), machine="other"))

    assert row(found, "opening rate").tendency is None
    assert row(found, "lost").tendency is Tendency.WORSE
