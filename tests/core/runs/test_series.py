"""What samples say over time, against the samples themselves."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.runs.histogram import BUCKETS, bucket_edges, buckets_of
from fourtuple.core.runs.series import TIME_BINS, evenly, heat, histogram, over_time
from fourtuple.core.runs.stored import GROWN, StoredRun
from fourtuple.store import reading
from fourtuple.store.file import open_store
from fourtuple.store.writing import Writer
from tests.made import samples, start


def stored(tmp_path: Path, **options: Any) -> StoredRun:
    with closing(open_store(None, new=True)) as base:
        writer = Writer(base, "fourtuple hold", "me")
        writer.begin(start())
        for sample in samples(every_s=0.1, **options):
            writer.sample(sample)
        return reading.read_run(base, 1, lambda _: False)


def test_over_time_has_each_sample_and_what_it_adds(tmp_path: Path) -> None:
    """40 samples, 50 connections each in the first 20: 500 per second, and none afterwards."""
    found = over_time(stored(tmp_path))

    assert len(found.at_s) == 40
    assert found.at_s[0] == pytest.approx(0.1)
    assert found.held[:20].tolist() == list(range(50, 1001, 50))
    assert found.rate_per_s[:20] == pytest.approx([500] * 20)
    assert found.rate_per_s[20:] == pytest.approx([0] * 20)
    assert all(15 <= us <= 30 for us in found.p50_us[:20])
    assert np.isnan(found.p50_us[20:]).all()
    assert found.occupancy[0] == pytest.approx(100 * 25 / 2000)
    assert found.kernel[19] == 1000


def test_the_slow_lane_is_seen_by_how_full_the_ports_were(tmp_path: Path) -> None:
    found = over_time(stored(tmp_path, slow_from=0.5))
    slow = found.p50_us[:20] > 500

    assert slow.tolist() == [False] * 10 + [True] * 10


def test_many_samples_are_thinned_out_and_nothing_between_them_is_lost(tmp_path: Path) -> None:
    """7 of 40: what was opened between two of them counts to the later one."""
    run = stored(tmp_path)
    found = over_time(run, most=7)
    whole = over_time(run)
    opened = np.nancumsum(found.rate_per_s * np.diff(found.at_s, prepend=0))

    assert len(found.at_s) == 7
    assert (found.at_s[0], found.at_s[-1]) == (whole.at_s[0], whole.at_s[-1])
    assert opened[-1] == pytest.approx(1000)


def test_what_is_spent_at_the_end_of_a_run_is_spread_over_the_time_since_the_last_reading(tmp_path: Path) -> None:
    """A reading half a second old, and 20 ms later the last one: a quarter of a processor all the time."""
    run = stored(tmp_path)
    series = run.series.copy()
    at_s = 0.1 * np.arange(2, len(series) + 2)
    at_s[-1] = at_s[-2] + 0.02
    series["at_ns"] = run.start.at_ns + (1e9 * at_s).astype(np.int64)
    series["cpu_user_s"], series["cpu_system_s"] = np.maximum(0, 0.25 * (np.floor(at_s + 1e-6) - 0.5)), 0
    series["cpu_user_s"][-1] = 0.25 * at_s[-1]
    user = over_time(replace(run, series=series)).user

    assert np.nanmax(user) < 0.5
    assert not np.isnan(user[-1])


def test_a_run_without_a_sample_has_nothing_to_say() -> None:
    with closing(open_store(None, new=True)) as base:
        Writer(base, "fourtuple hold", "me").begin(start())
        found = over_time(reading.read_run(base, 1, lambda _: False))

        assert len(found.at_s) == len(found.rate_per_s) == 0


@given(st.integers(0, 5000), st.integers(1, 300))
def test_evenly_chosen_numbers_are_few_enough_and_reach_from_end_to_end(count: int, most: int) -> None:
    chosen = evenly(count, most).tolist()

    assert len(chosen) == min(count, most)
    assert chosen == sorted(set(chosen))
    assert not count or chosen[0] == 0
    assert not count or most == 1 or chosen[-1] == count - 1


Values = st.lists(st.tuples(st.integers(0, 39), st.floats(1, 1e8)), min_size=1, max_size=200)


def grown(values: list[tuple[int, float]]) -> np.ndarray:
    rows = np.zeros(len(values), GROWN)
    rows["sample"] = [sample for sample, _ in values]
    rows["bucket"] = buckets_of(np.array([us for _, us in values]))
    rows["count"] = 1
    return np.sort(rows, order=("sample", "bucket"))


def middles_of(values: list[tuple[int, float]]) -> list[float]:
    """What is left of them once they are counted in fine buckets: the middle of each one's."""
    edges, buckets = bucket_edges(), buckets_of(np.array([us for _, us in values]))
    middles: list[float] = ((edges[buckets] + edges[buckets + 1]) / 2).tolist()
    return middles


@given(Values)
def test_a_histograms_bins_hold_every_value_once(values: list[tuple[int, float]]) -> None:
    """Bins without gaps; each value lies in the one that counts it."""
    bins, latency = histogram(grown(values))
    middles = middles_of(values)
    counted = [
        sum(least <= us < below for us in middles) for least, below in zip(bins.least_us, bins.below_us, strict=True)
    ]

    assert bins.count.tolist() == counted
    assert bins.count.sum() == len(values)
    assert bins.below_us[:-1].tolist() == bins.least_us[1:].tolist()
    assert np.allclose(bins.below_us / bins.least_us, 2 ** (1 / 8))
    assert latency.max == pytest.approx(max(us for _, us in values), rel=0.01, abs=0.1)


@given(Values)
def test_a_heat_maps_cells_hold_every_value_once(values: list[tuple[int, float]]) -> None:
    """Each value is counted in the cell of its time and its latency; cells do not overlap."""
    at_s = np.arange(1, 41) / 4
    cells = heat(grown(values), at_s)
    corners = set(zip(cells.from_s.round(9), cells.least_us, strict=True))

    assert cells.count.sum() == len(values)
    assert len(corners) == len(cells.count)
    assert len(np.unique(cells.from_s)) <= TIME_BINS
    for (sample, _), us in zip(values, middles_of(values), strict=True):
        middle = (sample + 0.5) / 4
        inside = (cells.from_s - 1e-9 <= middle) & (middle <= cells.to_s + 1e-9)
        inside &= (cells.least_us <= us) & (us < cells.below_us)
        assert inside.any()
    assert np.allclose(cells.below_us / cells.least_us, 2 ** (1 / 4))


def test_edges_begin_and_end_each_bucket() -> None:
    edges = bucket_edges()

    assert len(edges) == BUCKETS + 1
    assert edges[0] == 1
    assert buckets_of(edges[:-1]).tolist() == list(range(BUCKETS))


def test_a_heat_maps_columns_are_no_narrower_than_samples_are_apart() -> None:
    """Twenty samples per second at first, later one: a column without a sample would be empty."""
    at_s = np.concatenate((np.arange(1, 101) / 20, np.arange(6.0, 16.0)))
    rows = np.zeros(len(at_s), GROWN)
    rows["sample"], rows["bucket"], rows["count"] = np.arange(len(at_s)), 1000, 1
    cells = heat(rows, at_s)

    assert np.all(cells.to_s - cells.from_s >= 0.99)
    assert len(cells.count) == len(np.unique(cells.from_s)) == 15
