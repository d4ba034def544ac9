"""Conversion of records to text and back, and of the growth of a histogram to bytes and back."""

from typing import Any, TypeVar

import msgspec
import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

_PAIR = np.dtype([("bucket", "<u2"), ("count", "<i8")])


def to_text(record: Any) -> str:
    """JSON of a frozen record, or of its parts. Values that JSON does not support are written as str() gives them."""
    return msgspec.json.encode(record, enc_hook=str).decode()


def from_text(text: str, kind: type[T]) -> T:
    """The record of this kind. Raises ValueError for any other text."""
    return msgspec.json.decode(text, type=kind)


def grown_bytes(before: NDArray[np.int64] | None, now: NDArray[np.int64]) -> bytes:
    """The growth of a histogram as bytes: its changed buckets.

    before: None: an empty histogram
    """
    change = now if before is None else now - before
    buckets = np.flatnonzero(change)
    pairs = np.empty(len(buckets), _PAIR)
    pairs["bucket"], pairs["count"] = buckets, change[buckets]
    return pairs.tobytes()


def grown(blob: bytes) -> NDArray[Any]:
    """The growth as an array with the fields bucket and count."""
    return np.frombuffer(blob, _PAIR)
