"""A row of the list of stored runs, and how a run ended."""

from fourtuple.core.backports import StrEnum
from fourtuple.core.record import dataclass


class RunState(StrEnum):
    """How a run ended; the values are stored."""

    RUNNING = "running"
    REACHED = "reached"
    SHORT = "fell short"
    ENDED = "ended"  # of serve, which has no goal to reach
    BROKEN = "broken off"  # by an error, or by the program that iterated over it
    KILLED = "killed"  # the process that ran it ended without recording a result
    UNFINISHED = (
        "unfinished"  # no result was recorded, and whether the process still runs cannot be determined from here
    )


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the list of runs.

    n:     connections wanted (hold), accepted (serve) or due (churn), or lessons (prove)
    held:  connections held (hold), most open at once (serve), completed (churn), or claims that hold (prove)
    name, note: as its user typed them, see core/runs/label.py
    """

    id: int
    kind: str
    command: str
    started_at: str
    ended_at: str | None
    outcome: RunState
    why: str
    n: int | None
    held: int | None
    samples: int
    host: str
    name: str = ""
    note: str = ""

    @property
    def title(self) -> str:
        """`run 17`, or `run 17 (baseline)` if it has a name."""
        return f"run {self.id} ({self.name})" if self.name else f"run {self.id}"
