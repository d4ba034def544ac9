"""Shares, workers and pace: arithmetic that must come out even."""

import itertools
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.limits.cost import (
    FILES_RESERVED,
    MEMORY_SHARE,
    MEMORY_SHARE_OF_AN_EMPTY_HOST,
    memory_exhausted,
    memory_lacking,
    workers_needed,
)
from fourtuple.core.limits.facts import Memory
from fourtuple.core.runs.pace import OpeningPace
from fourtuple.core.runs.slices import split


@given(st.integers(1, 10**7), st.integers(0, 10**9), st.integers(1, 200))
def test_the_slices_are_all_of_the_space_and_all_of_the_wanted(wanted: int, size: int, workers: int) -> None:
    """No gap, no overlap, nothing lost, and no worker has two more than another."""
    slices = split(wanted, size, workers, OpeningPace())

    assert sum(s.wanted for s in slices) == wanted
    assert max(s.wanted for s in slices) - min(s.wanted for s in slices) <= 1
    assert (slices[0].start, slices[-1].stop) == (0, size)
    assert all(a.stop == b.start for a, b in itertools.pairwise(slices))


@given(st.integers(1, 10**7), st.integers(FILES_RESERVED + 1, 10**6))
def test_as_few_processes_as_have_room(wanted: int, files: int) -> None:
    count = workers_needed(wanted, files)
    room = files - FILES_RESERVED

    assert (count - 1) * room < wanted <= count * room


def test_no_room_at_all_is_refused() -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        workers_needed(1, FILES_RESERVED)


def test_without_a_rate_only_what_is_in_flight_counts() -> None:
    assert OpeningPace(None, in_flight=10).start_now(0.0, opening=4, started=1000) == 6


@given(st.floats(0.5, 1e5), st.lists(st.floats(0, 0.1), min_size=1, max_size=100))
def test_a_pace_never_runs_ahead_of_its_rate(rate: float, steps: list[float]) -> None:
    """At any time at most rate * elapsed + 1 have been started, and where slots are free no fewer than that floor."""
    pace, elapsed_s, started = OpeningPace(rate, in_flight=10**9), 0.0, 0
    for step_s in steps:
        elapsed_s += step_s
        started += pace.start_now(elapsed_s, opening=0, started=started)
        due = int(elapsed_s * rate + 1e-6) + 1  # a product that is a whole number but for its rounding counts as whole
        assert started == pytest.approx(due, abs=1e-5 * rate)
        assert pace.wait_s(elapsed_s, 0, started) <= 1 / rate + 1e-5


def test_a_full_flight_waits_for_a_completion_not_for_the_clock() -> None:
    assert OpeningPace(1000.0, in_flight=4).wait_s(9.0, opening=4, started=4) == inf


def test_workers_share_rate_and_flight() -> None:
    """Together they start at n / rate, in turn: none starts with the others."""
    total = OpeningPace(1000.0, 512)
    shares = [total.of_worker(number, 4) for number in range(4)]

    assert [share.in_flight for share in shares] == [128] * 4
    for elapsed_s in (0.0, 0.0005, 0.001, 0.0035, 1.0):
        due = sum(share.start_now(elapsed_s, 0, 0) for share in shares)
        assert due == min(512, total.start_now(elapsed_s, 0, 0))


GIB = 2**30


@pytest.mark.parametrize(
    ("wanted", "free_bytes", "both_ends", "share", "fits"),
    [
        (1000, 9_000_000, True, 0.9, True),  # 8 MB of 9
        (1000, 8_500_000, True, 0.9, False),
        (1000, 8_500_000, True, 0.98, True),
        (1000, 8_500_000, False, 0.9, True),  # 4.1 MB
        (10**9, None, True, 0.9, True),  # nobody says
        (3_000_000, 24_600_000_000, True, MEMORY_SHARE, False),
        (3_000_000, 24_600_000_000, True, MEMORY_SHARE_OF_AN_EMPTY_HOST, True),
    ],
)
def test_memory_is_weighed_before(
    wanted: int, free_bytes: int | None, both_ends: bool, share: float, fits: bool
) -> None:
    lacking = memory_lacking(wanted, Memory(free_bytes, "in the cgroup /a"), both_ends=both_ends, share=share)

    assert (lacking is None) == fits
    assert fits or "in the cgroup /a" in str(lacking)


def test_memory_is_weighed_while_opening() -> None:
    """Of 10 GiB at the start 1 GiB stays free, whoever took the rest."""
    start = Memory(10 * GIB)

    assert memory_exhausted(Memory(GIB + 1), start, 0.9) is None
    assert "1 GiB" in str(memory_exhausted(Memory(GIB - 1), start, 0.9))
    assert memory_exhausted(Memory(None), start, 0.9) is None


def test_many_are_opened_in_larger_flights() -> None:
    assert OpeningPace.of(1000, None) == OpeningPace(None, 512)
    assert OpeningPace.of(10**6, 5.0) == OpeningPace(5.0, 4096)
