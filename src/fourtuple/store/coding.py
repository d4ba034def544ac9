"""Conversion of records to text and back.

A stored run may be damaged, so whatever is read back is checked: its types, and that sums of its numbers fit.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec

from fourtuple.core.decoding import from_json

MOST = 2**53  # of any number: whole floats end here, and sums over all samples fit into 64 bits
YEARS = range(1970, 2200)
Count = Annotated[int, msgspec.Meta(ge=0, le=MOST)]
Moment = Annotated[int, msgspec.Meta(ge=0, le=2**62)]  # of CLOCK_MONOTONIC in ns
Measured = Annotated[float, msgspec.Meta(ge=-MOST, le=MOST)]
T = TypeVar("T")


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
