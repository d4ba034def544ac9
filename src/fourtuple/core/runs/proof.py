"""A proof as records: lessons, their predictions and observations, verdicts, and where they ran."""

from dataclasses import asdict
from typing import Any

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
class Result:
    """The result of a lesson.

    predicted, observed: values by name, with the same keys; the verdict is `holds` if all are equal
    verdict: one of VERDICTS
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
