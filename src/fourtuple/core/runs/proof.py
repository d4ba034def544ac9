"""A proof as records: lessons, what each predicted and observed, the verdict, and on what ground they stood."""

from dataclasses import asdict, dataclass
from typing import Any

from fourtuple.core.errors import EXIT_CANNOT, EXIT_REACHED, EXIT_SHORT
from fourtuple.core.runs.start import Start

HOLDS, FAILS, SKIPPED = "holds", "fails", "skipped"


@dataclass(frozen=True, slots=True)
class Lesson:
    name: str
    claim: str
    source: str  # the text of its own file


@dataclass(frozen=True, slots=True)
class Result:
    """predicted, observed: the same keys; the verdict is `holds` where they are equal"""

    name: str
    claim: str
    did: str
    predicted: dict[str, Any]
    observed: dict[str, Any]
    verdict: str
    why: str  # of a failure or a skip, or what was left out
    seconds: float
    evidence: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Step:
    """Something to look at while a proof goes on: the lesson, how far it is, and its result once it has one."""

    lesson: Lesson
    done: int = 0
    of: int = 0
    result: Result | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """Where the lessons ran: refusal is why there was no private namespace, None where there was one."""

    refusal: str | None
    start: Start


@dataclass(frozen=True, slots=True)
class Proof:
    ground: Ground
    results: tuple[Result, ...]
    seconds: float

    def count(self, verdict: str) -> int:
        return sum(result.verdict == verdict for result in self.results)

    @property
    def exit_code(self) -> int:
        """0 where what could be tried holds, 1 where something fails, 77 where nothing could be tried."""
        if self.count(FAILS):
            return EXIT_SHORT
        return EXIT_REACHED if self.count(HOLDS) else EXIT_CANNOT

    def to_json(self) -> dict[str, Any]:
        return {
            "fourtuple": self.ground.start.found.fourtuple,
            "kernel": self.ground.start.found.kernel,
            "namespace": self.ground.refusal or "private",
            "seconds": self.seconds,
            "lessons": [asdict(result) for result in self.results],
        }
