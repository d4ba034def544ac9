"""What became of the connections to each destination, against counting one by one."""

import errno
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.counters import COUNTERS
from fourtuple.core.runs.destinations import (
    KINDS,
    LOST,
    MOST,
    OTHER,
    PLACES,
    DestinationResult,
    by_destination,
    by_neighbours,
    endpoints_of,
    place_of,
)
from fourtuple.core.runs.failing import elsewhere, failing_from, not_connected
from fourtuple.core.runs.pace import OpeningPace
from fourtuple.core.runs.records import Sample
from fourtuple.core.runs.slices import Plan
from fourtuple.core.runs.start import Planned
from fourtuple.core.runs.together import together
from fourtuple.core.space.endpoints import Resolved
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.tuples import TupleSpace

REFUSED, LATE = KINDS.index(("failed", "ECONNREFUSED")), KINDS.index(("failed", "ETIMEDOUT"))
Events = Sequence[tuple[int, int]]  # (line, destination)


def planned_of(count: int, resolved: tuple[Resolved, ...] = ()) -> Planned:
    space = TupleSpace.of(["10.0.0.4"], range(40_000, 40_001), [f"10.0.0.9:1-{count}"])
    names = endpoints_of(Plan(1, Interval.of(1), space, Strategy.LATE, ()))
    planned = Planned((f"10.0.0.9:1-{count}",), "ring", "", 1, 10, endpoints=names, endpoint_count=count)
    return replace(planned, resolved=resolved)


def sample_of(events: Events, count: int) -> Sample:
    rows = np.zeros(1, COUNTERS)
    for line, destination in events:
        place = int(place_of(np.array([destination]), count)[0])
        rows[0]["destinations"][line * PLACES + place] += 1
    return Sample.of(rows, 0)


def added(results: Sequence[DestinationResult]) -> Mapping[tuple[str, str], int]:
    """All counts of these results together, by kind and errno."""
    found: Counter[tuple[str, str]] = Counter()
    for each in results:
        found["opened", ""] += each.opened
        found.update({("failed", name): count for name, count in each.failed.items()})
        found.update({("lost", name): count for name, count in each.lost.items()})
    return +found


@st.composite
def several(draw: st.DrawFn) -> tuple[int, list[Events]]:
    """How many destinations there are, and what happened on each of a few machines."""
    count = draw(st.sampled_from([1, 2, 40, PLACES, PLACES + 1, 5000, 65_535]))
    event = st.tuples(st.integers(0, len(KINDS) - 1), st.integers(0, count - 1))
    return count, draw(st.lists(st.lists(event, max_size=60), min_size=1, max_size=3))


@given(several())
def test_machines_are_added_exactly(case: tuple[int, list[Events]]) -> None:
    """Every event is in one result, whichever machine counted it; the list is bounded, and the worst come first."""
    count, machines = case
    total = together([sample_of(events, count) for events in machines])
    results = by_destination(total.destinations, planned_of(count))

    assert added(results) == Counter(KINDS[line] for events in machines for line, _ in events)
    assert sum(each.destinations for each in results) == count
    assert len(results) <= MOST + 1
    listed = [each.trouble for each in results if each.destination]
    assert listed == sorted(listed, reverse=True)
    assert min(listed) >= max((1 if each.trouble else 0 for each in results if not each.destination), default=0)


@given(several(), st.integers(1, 80))
def test_neighbours_are_added_exactly(case: tuple[int, list[Events]], most: int) -> None:
    """So that a series of a scrape never becomes smaller: a destination is always counted in the same one."""
    count, machines = case
    total = together([sample_of(events, count) for events in machines])
    results = by_neighbours(total.destinations, planned_of(count), most)

    assert added(results) == Counter(KINDS[line] for events in machines for line, _ in events)
    assert sum(each.destinations for each in results) == count
    assert len(results) <= most


@pytest.mark.parametrize("count", [1, 3, PLACES])
def test_up_to_so_many_destinations_each_is_counted_individually(count: int) -> None:
    sample = sample_of([(REFUSED, count - 1)] * 7, count)
    worst = by_destination(sample.destinations, planned_of(count))[0]

    assert worst == DestinationResult(f"10.0.0.9:{count}", "", 1, 0, {"ECONNREFUSED": 7}, {})


def test_one_of_several_addresses_of_a_name_has_that_name() -> None:
    resolved = Resolved("db.example", ("10.0.0.8", "10.0.0.9"), ("10.0.0.8", "10.0.0.9"))
    found = by_destination(sample_of([(LATE, 0)], 2).destinations, planned_of(2, (resolved,)))

    assert [each.name for each in found] == ["db.example"] * 2


def test_a_run_that_names_no_destinations_has_no_results() -> None:
    """A server's, and one that an older version stored."""
    assert by_destination(sample_of([], 1).destinations, None) == ()
    assert by_destination(sample_of([], 1).destinations, replace(planned_of(1), endpoints=())) == ()


def test_an_errno_without_a_line_is_counted_all_the_same() -> None:
    found = by_destination(sample_of([(KINDS.index(("lost", OTHER)), 0)], 1).destinations, planned_of(1))

    assert errno.errorcode[errno.EBADF] not in LOST
    assert found[0].lost == {OTHER: 1}


def test_words_name_what_is_to_blame_and_no_more() -> None:
    living = DestinationResult("10.0.0.9:1", "", 1, 500, {}, {})
    dead = [DestinationResult(f"10.0.0.9:{port}", "", 1, 0, {"ECONNREFUSED": 1}, {}) for port in range(2, 9)]

    assert failing_from([living]) == "" == elsewhere([living])
    assert [port for port in range(1, 9) if f":{port}" in failing_from([living, *dead[:2]])] == [2, 3]
    assert failing_from(dead).endswith("5 more")
    assert elsewhere([living, dead[0]]) != "" == elsewhere(dead)
    assert not_connected(10, 0, {"ECONNREFUSED": 10}, dead[:1]).startswith("0 of 10 connected: ECONNREFUSED from ")
    assert not_connected(10, 3, {"ECONNREFUSED": 7}, dead[:1]) == "" == not_connected(10, 0, {"ECANCELED": 10}, ())


def test_several_unix_sockets_are_named_as_they_were_given() -> None:
    plan = Plan.of_sockets(10, ("/run/a.sock", "@b"), 1, OpeningPace())
    assert endpoints_of(plan) == ("unix:/run/a.sock", "unix:@b")
