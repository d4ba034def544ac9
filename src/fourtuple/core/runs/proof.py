"""A proof as records: lessons, their predictions and observations, verdicts, and where they ran."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fourtuple.core.backports import Self
from fourtuple.core.errors import EXIT_CANNOT, EXIT_REACHED, EXIT_SHORT
from fourtuple.core.record import dataclass
from fourtuple.core.runs.start import Start

HOLDS = "holds"  # every observation is as predicted
FAILS = "fails"  # refuted: an observation differs from its prediction
SKIPPED = "skipped"  # it could not be tried here: this host or this user lacks something, or does not permit it
BROKEN = "broken"  # it could not be tried to its end: a process died, or the lesson itself has a fault
VERDICTS = (HOLDS, FAILS, SKIPPED, BROKEN)


@dataclass(frozen=True, slots=True)
class Lesson:
    """A claim and the program that tests it."""

    name: str
    claim: str
    source: str  # the text of its own file


@dataclass(frozen=True, slots=True)
class Expected:
    """A prediction of a number that varies, such as a time: from `least` to `most`.

    least, most: None: no bound
    unit:        of the prediction and the observation
    about:       the number that was predicted, with a tolerance; None: only its bounds were
    """

    least: float | None = None
    most: float | None = None
    unit: str = ""
    about: float | None = None

    @classmethod
    def near(cls, number: float, tolerance: float, unit: str) -> Self:
        """About `number`. tolerance: as a share of it"""
        return cls(number * (1 - tolerance), number * (1 + tolerance), unit, number)

    @classmethod
    def read(cls, value: Any) -> Self | None:
        """The prediction that this is, also as JSON has it; None: it is another kind of value."""
        if isinstance(value, Mapping) and value.keys() == set(cls.__match_args__):
            return cls(**value)
        return value if isinstance(value, cls) else None

    def meets(self, observed: Any) -> bool:
        """Whether the observation is a number within the bounds."""
        if not isinstance(observed, int | float):
            return False
        return (self.least is None or observed >= self.least) and (self.most is None or observed <= self.most)


def differing(predicted: Mapping[str, Any], observed: Mapping[str, Any]) -> list[str]:
    """The names of the predictions that the observations do not meet."""

    def met(name: str) -> bool:
        expected = Expected.read(predicted[name])
        return expected.meets(observed.get(name)) if expected else predicted[name] == observed.get(name)

    return [name for name in predicted if not met(name)]


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a lesson.

    predicted, observed: values by name, with the same keys; the verdict is `holds` if `differing` finds none. Instead
                         of a value, a prediction may be an Expected
    verdict:             one of VERDICTS
    evidence:            values by name: numbers and words; lists of words; numbers by name, which are drawn
    """

    name: str
    claim: str
    did: str
    predicted: dict[str, Any]
    observed: dict[str, Any]
    verdict: str
    why: str  # the reason for a verdict other than `holds`, or a note on what was left out
    seconds: float
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a running proof: the lesson, its progress, and its result once there is one."""

    lesson: Lesson
    done: int = 0
    of: int = 0
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the lessons ran.

    refusal: why no private network namespace was available; None: the lessons ran in one
    """

    refusal: str | None
    start: Start


@dataclass(frozen=True, slots=True)
class Proof:
    """The results of all lessons that were run."""

    ground: Ground
    results: tuple[Result, ...]
    seconds: float

    def count(self, verdict: str) -> int:
        return sum(result.verdict == verdict for result in self.results)

    @property
    def exit_code(self) -> int:
        """0: every lesson that could be tried here holds; 1: at least one fails; 77: one broke, or none was tried."""
        if self.count(FAILS):
            return EXIT_SHORT
        return EXIT_REACHED if self.count(HOLDS) and not self.count(BROKEN) else EXIT_CANNOT

    @property
    def why(self) -> str:
        """Which lessons fail and which broke; empty if none did."""
        parts = ((FAILS, "fail"), (BROKEN, "broke"))
        return "; ".join(f"{word}: {', '.join(names)}" for verdict, word in parts if (names := self._names(verdict)))

    def _names(self, verdict: str) -> list[str]:
        return [result.name for result in self.results if result.verdict == verdict]

    def to_json(self) -> dict[str, Any]:
        return {
            "fourtuple": self.ground.start.found.fourtuple,
            "kernel": self.ground.start.found.kernel,
            "namespace": self.ground.refusal or "private",
            "seconds": self.seconds,
            "lessons": [asdict(result) for result in self.results],
        }
