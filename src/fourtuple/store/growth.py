"""Conversion of the growth of a histogram to bytes and back; what is read back is checked, as it may be damaged."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_GROWTH = 2**40  # of one bucket between two samples
_PAIR = np.dtype([("bucket", "<u2"), ("count", "<i8")])


def grown_bytes(before: NDArray[np.int64] | None, now: NDArray[np.int64]) -> bytes:
    """The growth of a histogram as bytes: its changed buckets.

    before: None: an empty histogram
    """
    change = now if before is None else now - before
    (buckets,) = change.nonzero()
    if not len(buckets):  # as of most histograms most of the time
        return b""
    pairs = np.empty(len(buckets), _PAIR)
    pairs["bucket"], pairs["count"] = buckets, change[buckets]
    return pairs.tobytes()


def grown(blob: bytes, size: int) -> NDArray[Any]:
    """The growth as an array with the fields bucket and count. Raises ValueError for any other bytes.

    size: how many buckets the histogram has
    """
    pairs = np.frombuffer(blob, _PAIR)
    if len(pairs) and (pairs["bucket"].max() >= size or pairs["count"].min() < 0 or pairs["count"].max() > MOST_GROWTH):
        raise ValueError("a histogram is damaged")
    return pairs
