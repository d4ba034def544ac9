"""A number that is known to lie between two: how many there are at least, and how many at most."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Interval:
    """From `least` to `most`, both included. Raises ValueError where there is nothing between them."""

    least: int
    most: int

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise ValueError(f"an interval from {self.least} to {self.most}")

    def __str__(self) -> str:
        """`5`, or `5 to 9`"""
        return f"{self.least}" if self.exact else f"{self.least} to {self.most}"

    @classmethod
    def of(cls, number: int) -> Self:
        """What is known exactly."""
        return cls(number, number)

    @classmethod
    def tightest(cls, intervals: Iterable[Self]) -> Self | None:
        """The smallest of several numbers, each known so well; None: there are none."""
        several = list(intervals)
        if not several:
            return None
        return cls(min(each.least for each in several), min(each.most for each in several))

    @classmethod
    def total(cls, intervals: Iterable[Self]) -> Self:
        several = list(intervals)
        return cls(sum(each.least for each in several), sum(each.most for each in several))

    @property
    def exact(self) -> bool:
        return self.least == self.most

    def scaled(self, factor: float) -> Self:
        """Rounded down."""
        return type(self)(int(self.least * factor), int(self.most * factor))

    def widened(self, by: int) -> Self:
        """By so much at both ends, but not below zero."""
        return type(self)(max(0, self.least - by), self.most + by)


def flat(said: Mapping[str, Any], name: str, keys: Mapping[str, str]) -> dict[str, Any]:
    """The record `said` with the interval under `name` as plain numbers in its place; None gives a None for each.

    keys: {"room": "least", "room_max": "most"}
    """
    found = said[name]
    ends = asdict(found) if isinstance(found, Interval) else found  # what asdict has been through is a dict by now
    numbers = {key: None if ends is None else ends[end] for key, end in keys.items()}
    return {key: value for each in said for key, value in (numbers if each == name else {each: said[each]}).items()}
