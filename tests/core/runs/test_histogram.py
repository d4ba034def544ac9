"""Histograms: right to 0.4 %, and merging is adding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.runs.histogram import BUCKETS, Latency, add_series, add_values, percentile

values_us = st.lists(st.floats(1, 2e8), min_size=1, max_size=200)


def histogram(values: list[float]) -> np.ndarray:
    counts = np.zeros(BUCKETS, np.int64)
    add_values(counts, np.array(values))
    return counts


@given(values_us, st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_the_value_of_that_rank_to_half_a_percent(values: list[float], share: float) -> None:
    """The oracle is sorting."""
    exact = sorted(values)[max(1, int(np.ceil(share * len(values)))) - 1]

    assert percentile(histogram(values), share) == pytest.approx(exact, rel=0.004)


@given(values_us, values_us)
def test_merging_is_adding(some: list[float], more: list[float]) -> None:
    assert np.array_equal(histogram(some) + histogram(more), histogram(some + more))


def test_what_is_too_small_or_too_large_is_counted_at_the_end_of_the_scale() -> None:
    counts = histogram([0.0, 0.3, 1e30])

    assert counts[0] == 2
    assert counts[-1] == 1


def test_nothing_counted_has_no_percentile() -> None:
    assert Latency.of(np.zeros(BUCKETS, np.int64)) == Latency(None, None, None, None)


@given(st.lists(st.tuples(st.integers(0, 2**29), st.integers(1, 50)), max_size=20), st.integers(1, 2**25))
def test_a_series_is_counted_as_its_values_are(series: list[tuple[int, int]], step: int) -> None:
    """Also values below the first bucket and beyond the last one."""
    counts = np.zeros(BUCKETS, np.int64)
    firsts, numbers = (np.array(column) for column in zip(*series, strict=True)) if series else np.zeros((2, 0))
    add_series(counts, firsts.astype(np.float64), step, numbers.astype(np.int64))

    assert np.array_equal(counts, histogram([first + step * j for first, count in series for j in range(count)]))
