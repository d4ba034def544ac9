"""Conversion of records to text and back, and of the growth of a histogram to bytes and back.

A stored run may be damaged, so whatever is read back is checked: its types, and that sums of its numbers fit.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from fourtuple.core.decoding import from_json

MOST = 2**53  # of any number: whole floats end here, and sums over all samples fit into 64 bits
YEARS = range(1970, 2200)
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST)]
Moment = Annotated[int, msgspec.Meta(ge=0, le=2**62)]  # of CLOCK_MONOTONIC in ns
Measured = Annotated[float, msgspec.Meta(ge=-MOST, le=MOST)]
MOST_GROWTH = 2**40  # of one bucket between two samples
T = TypeVar("T")

_PAIR = np.dtype([("bucket", "<u2"), ("count", "<i8")])


def to_text(record: Any) -> str:
    """JSON of a frozen record, or of its parts. Values that JSON does not support are written as str() gives them."""
    return msgspec.json.encode(record, enc_hook=str).decode()


def from_text(text: str, kind: type[T]) -> T:
    """The record of this kind. Raises ValueError for any other text, or a number beyond MOST in it."""
    record = from_json(text, kind)
    _check_numbers([from_json(text, object)])
    return record


def _check_numbers(values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, dict | list):
            _check_numbers(value.values() if isinstance(value, dict) else value)
        elif isinstance(value, int | float) and not -MOST <= value <= MOST:
            raise ValueError(f"{value} is out of range")


def stamp(text: str) -> str:
    """The moment, as it was written: ISO 8601 with a time zone. Raises ValueError for any other text."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None or moment.year not in YEARS:
        raise ValueError(f"{text!r} is not a moment")
    return text


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
