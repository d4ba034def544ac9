"""What a measure is and what it finds: figures, goals beside them, and how often contestants run."""

import inspect
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class NotMeasuredError(Exception):
    """Why there is no figure."""


@dataclass(frozen=True, slots=True)
class Goal:
    sense: str  # ≥ or ≤
    value: float

    def is_met_by(self, value: float) -> bool:
        return value >= self.value if self.sense == "≥" else value <= self.value

    def told(self, value: float) -> str:
        """Is it met, and if not, by how much is it missed?"""
        return "yes" if self.is_met_by(value) else f"**no**, {value / self.value:.3g} × the goal"


def at_least(value: float) -> Goal:
    return Goal("≥", value)


def at_most(value: float) -> Goal:
    return Goal("≤", value)


@dataclass(frozen=True, slots=True)
class Finding:
    """what: one line; unit: × for a ratio"""

    what: str
    value: float
    unit: str
    goal: Goal | None = None

    def cells(self) -> tuple[str, str, str, str]:
        value = f"{number(self.value)} {self.unit}"
        if self.goal is None:
            return self.what, value, "", ""
        goal = f"{self.goal.sense} {self.goal.value:g} {self.unit}"
        return self.what, value, goal, self.goal.told(self.value)


@dataclass(frozen=True, slots=True)
class Result:
    """figures: of each contestant, a line each"""

    findings: Sequence[Finding]
    commands: Sequence[str]
    figures: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Measure:
    """run: takes the number of rounds; rounds: where none are asked for"""

    run: Callable[[int], Result]
    rounds: int

    @property
    def about(self) -> str:
        return inspect.getdoc(self.run) or ""


def alternate(contestants: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """All of them in each round, every second one in reverse, so that no one always follows the same other."""
    found: dict[str, list[T]] = {name: [] for name in contestants}
    for turn in range(rounds):
        for name in list(contestants)[:: 1 - turn % 2 * 2]:
            found[name].append(contestants[name]())
    return found


def median_ratio(above: Iterable[float], below: Iterable[float]) -> float:
    """Round by round, so that what slows a whole round cancels."""
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def spread(values: Sequence[float], unit: str) -> str:
    """The median, and the least and most where there are several."""
    middle = f"{number(median(values)):>9} {unit}"
    return middle if len(values) == 1 else f"{middle} ({number(min(values))} to {number(max(values))})"


def number(value: float) -> str:
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2}f}"
