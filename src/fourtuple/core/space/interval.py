"""A number that is known only within bounds: how many at least, and how many at most."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from fourtuple.core.backports import Self
from fourtuple.core.record import dataclass


@dataclass(frozen=True, slots=True)
class Interval:
    """The numbers from `least` to `most`, both included. Raises ValueError if `least` is above `most`."""

    least: int
    most: int

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError(f"the interval from {self.least} to {self.most} is empty")

    def __str__(self) -> str:
        """`5`, or `5 to 9`."""
        return f"{self.least}" if self.exact else f"{self.least} to {self.most}"

    @classmethod
    def of(cls, number: int) -> Self:
        """The interval of a number that is known exactly."""
        return cls(number, number)

    @classmethod
    def tightest(cls, intervals: Iterable[Self]) -> Self | None:
        """The interval of the smallest of several numbers that are each known within bounds; None: none are given."""
        several = list(intervals)
        if not several:
            return None
        return cls(min(each.least for each in several), min(each.most for each in several))

    @classmethod
    def total(cls, intervals: Iterable[Self]) -> Self:
        """The interval of the sum of several numbers."""
        several = list(intervals)
        return cls(sum(each.least for each in several), sum(each.most for each in several))

    @property
    def exact(self) -> bool:
        return self.least == self.most

    def scaled(self, factor: float) -> Self:
        """Both bounds times `factor`, rounded down."""
        return type(self)(int(self.least * factor), int(self.most * factor))

    def widened(self, by: int) -> Self:
        """Both bounds moved apart by `by`, but not below zero."""
        return type(self)(max(0, self.least - by), self.most + by)


def flat(record: Mapping[str, Any], name: str, keys: Mapping[str, str]) -> dict[str, Any]:
    """The record with the interval under `name` replaced by plain numbers; None gives None for each of them.

    keys: the new keys and their bounds, as in {"room": "least", "room_max": "most"}
    """
    interval = record[name]
    bounds = asdict(interval) if isinstance(interval, Interval) else interval  # asdict() of the record made it a dict
    numbers = {key: None if bounds is None else bounds[bound] for key, bound in keys.items()}
    return {key: value for each in record for key, value in (numbers if each == name else {each: record[each]}).items()}
