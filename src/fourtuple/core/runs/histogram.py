"""Latencies as a log-linear histogram: one small array, and merging is adding.

A bucket's number is the exponent of the value and the first seven bits of its mantissa, read from the bits of the
float64 itself, so that every bucket is at most 1/128 of its value wide: percentiles are accurate to 0.4 %.
"""

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.backports import Self
from fourtuple.core.record import dataclass

SUB_BITS = 7  # 128 buckets per power of two: half a bucket is 0.4 % of the value
OCTAVES = 28  # 1 µs to 2**28 µs = 268 s; a connect() gives up after about 131 s
BUCKETS = OCTAVES << SUB_BITS
_SHIFT = 52 - SUB_BITS  # float64: 52 bits of mantissa
_FIRST = 1023 << SUB_BITS  # the bucket number of 1.0, whose biased exponent is 1023


def buckets_of(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bucket number of each value; values below 1 count as 1, values beyond the last bucket go into it."""
    bits = np.clip(values, 1.0, None).astype(np.float64).view(np.int64)
    numbers: NDArray[np.int64] = np.minimum((bits >> _SHIFT) - _FIRST, BUCKETS - 1)
    return numbers


def counts_of(values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The histogram of these values: an int64 array of BUCKETS."""
    return np.bincount(buckets_of(values), minlength=BUCKETS)


def add_values(histogram: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    """Count `values` in `histogram`, an int64 array of BUCKETS."""
    histogram += counts_of(values)


def add_series(
    histogram: NDArray[np.int64], first: NDArray[np.float64], step: float, counts: NDArray[np.int64]
) -> None:
    """Count, for each i, the counts[i] values first[i], first[i] + step, first[i] + 2 step …, without listing them."""
    pairs, times = np.unique(np.column_stack((first, counts)), axis=0, return_counts=True)
    firsts, most = pairs[:, :1], pairs[:, 1:]
    below = np.clip(np.ceil((bucket_edges()[1:-1] - firsts) / step), 0, most)  # how many lie below each inner edge
    each = np.diff(below, prepend=0, append=most, axis=1)
    histogram += (each * times[:, None]).sum(axis=0).astype(np.int64)


def bucket_edges() -> NDArray[np.float64]:
    """Where each bucket begins, and where the last one ends: shape (BUCKETS + 1,)."""
    return (np.arange(BUCKETS + 1, dtype=np.int64) + _FIRST << _SHIFT).view(np.float64)


def percentile(histogram: NDArray[np.int64], share: float) -> float | None:
    """The value below which `share` (0 to 1) of the values lie: the middle of its bucket. None: empty histogram."""
    total = int(histogram.sum())
    if total == 0:
        return None
    rank = max(1, int(np.ceil(share * total)))
    number = int(np.searchsorted(np.cumsum(histogram), rank))
    return float(bucket_edges()[number : number + 2].mean())


@dataclass(frozen=True, slots=True)
class Latency:
    """Percentiles in microseconds. None: nothing was measured."""

    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None

    @classmethod
    def of(cls, histogram: NDArray[np.int64]) -> Self:
        shares = (0.5, 0.9, 0.99, 1.0)
        return cls(*(None if v is None else round(v, 1) for v in (percentile(histogram, s) for s in shares)))


@dataclass(frozen=True, slots=True)
class Durations:
    """All of a histogram in microseconds: how many values, their mean, and percentiles; accurate to 0.4 %."""

    count: int
    mean: float
    min: float
    p50: float
    p90: float
    p99: float
    max: float

    @classmethod
    def of(cls, histogram: NDArray[np.int64]) -> Self | None:
        """None: an empty histogram."""
        total = int(histogram.sum())
        if not total:
            return None
        edges = bucket_edges()
        mean = float(((edges[:-1] + edges[1:]) / 2 * histogram).sum()) / total
        shares = (0.0, 0.5, 0.9, 0.99, 1.0)
        return cls(total, round(mean, 1), *(round(percentile(histogram, share) or 0.0, 1) for share in shares))


NOT_MEASURED = Latency(None, None, None, None)
