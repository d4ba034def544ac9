"""Intended starts are the same in whatever windows they are asked for, and come at the rate."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.talk.arrivals import Arrivals

S = 10**9
ARRIVALS = st.builds(
    Arrivals,
    st.one_of(st.floats(1, 10_000), st.sampled_from([0.5, 3.0, 1000.0, 1e6 / 7])),
    even=st.booleans(),
    seed=st.integers(0, 3),
    worker=st.integers(0, 2),
    workers=st.just(3),
)


@given(ARRIVALS, st.integers(0, 10**15), st.lists(st.integers(0, 3 * 10**8), max_size=5), st.randoms())
def test_each_start_is_in_exactly_one_window(arrivals: Arrivals, begin: int, cuts: list[int], random: object) -> None:
    """However time is cut, in whatever order the windows are asked for."""
    places = sorted({begin, *(begin + cut for cut in cuts), begin + 3 * 10**8})
    windows = list(itertools.pairwise(places))
    whole = arrivals.between(places[0], places[-1])
    random.shuffle(windows)  # type: ignore[attr-defined]
    parts = {window: arrivals.between(*window) for window in windows}

    assert whole.tolist() == np.concatenate([parts[window] for window in sorted(windows)]).tolist()
    assert (np.diff(whole) >= 0).all()
    assert whole.dtype == np.int64
    for (start, end), starts in parts.items():
        assert ((starts >= start) & (starts < end)).all()


@given(st.floats(0.01, 10**6), st.integers(0, 10**6))
def test_even_starts_are_at_equal_distances_from_zero(rate_per_s: float, number: int) -> None:
    arrivals = Arrivals(rate_per_s, even=True)
    at = int(number * (1e9 / rate_per_s))

    assert at in arrivals.between(at, at + 1)
    assert arrivals.between(0, 1).tolist() == [0]
    found = arrivals.between(at, at + int(100e9 / rate_per_s))
    assert len(found) in (99, 100, 101)
    assert np.abs(np.diff(found) - 1e9 / rate_per_s).max() <= 1


@given(st.floats(1, 10_000), st.integers(1, 5))
def test_workers_take_turns_with_even_starts(rate_per_s: float, workers: int) -> None:
    """Together they have each start once."""
    whole = Arrivals(rate_per_s, even=True)
    shares = [whole.of_worker(worker, workers).between(S, S + S // 10) for worker in range(workers)]

    assert sorted(np.concatenate(shares).tolist()) == whole.between(S, S + S // 10).tolist()


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("rate_per_s", [50.0, 5_000.0])
def test_a_poisson_process_has_the_rate_and_its_variance(rate_per_s: float, workers: int) -> None:
    """Counts in 2,000 windows of 20 starts: mean and variance are both 20, and distances are exponential."""
    whole = Arrivals(rate_per_s, seed=5)
    width = round(20 * S / rate_per_s)
    shares = [whole.of_worker(worker, workers).between(0, 2000 * width) for worker in range(workers)]
    starts = np.sort(np.concatenate(shares))
    counts = np.bincount(starts // width, minlength=2000)

    assert counts.mean() == pytest.approx(20, abs=0.5)  # five standard errors
    assert counts.var() == pytest.approx(20, abs=3.2)
    distances = np.diff(starts) * rate_per_s / 1e9
    assert np.mean(distances > 1) == pytest.approx(np.exp(-1), abs=0.013)


def test_seeds_and_workers_differ() -> None:
    starts = [
        Arrivals(1000, seed=seed, worker=worker, workers=2).between(0, S).tolist()
        for seed in (1, 2)
        for worker in (0, 1)
    ]

    assert len(set(map(tuple, starts))) == 4
    assert starts[0] == Arrivals(1000, seed=1, worker=0, workers=2).between(0, S).tolist()


def test_rates_that_are_very_small_or_large_work() -> None:
    assert len(Arrivals(1e-6, even=True).between(0, 10**18)) == 1000
    assert 800 < len(Arrivals(1e-6).between(0, 10**18)) < 1200
    assert 990_000 < len(Arrivals(1e12).between(0, 1000)) < 1_010_000
    assert len(Arrivals(5).between(S, S)) == len(Arrivals(5).between(-S, 0)) == 0
