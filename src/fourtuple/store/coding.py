"""Records to text and back, and how a histogram has grown to a few bytes and back."""

from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_PAIR = np.dtype([("bucket", "<u2"), ("count", "<i8")])


def to_text(record: Any) -> str:
    """JSON of a frozen record, or of what it is made of. What JSON has no word for is written as a person reads it."""
    return msgspec.json.encode(record, enc_hook=str).decode()


def from_text(text: str, kind: type[T]) -> T:
    """Raises ValueError where it is not one of these."""
    return msgspec.json.decode(text, type=kind)


def grown_bytes(before: NDArray[np.int64] | None, now: NDArray[np.int64]) -> bytes:
    """What has been added to a histogram: the buckets that have changed. before: None stands for nothing"""
    change = now if before is None else now - before
    buckets = np.flatnonzero(change)
    pairs = np.empty(len(buckets), _PAIR)
    pairs["bucket"], pairs["count"] = buckets, change[buckets]
    return pairs.tobytes()


def grown(blob: bytes) -> NDArray[Any]:
    """(…,) with the fields bucket and count"""
    return np.frombuffer(blob, _PAIR)
