"""A run as it was kept: how it began, its samples by column, what became of it."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs.counters import COLUMN, Phase
from fourtuple.core.runs.histogram import bucket_edges
from fourtuple.core.runs.proof import Ground, Result
from fourtuple.core.runs.records import HoldRecord, ServeRecord
from fourtuple.core.runs.start import Start

# One bucket of a histogram that has grown from one sample to the next.
GROWN = np.dtype([("sample", "<i4"), ("bucket", "<u2"), ("count", "<i8")])


class Outcome(StrEnum):
    RUNNING = "running"
    REACHED = "reached"
    SHORT = "fell short"
    ENDED = "ended"  # of serve, which does not set out to reach anything
    BROKEN = "broken off"  # by an error, or by who pulled it
    KILLED = "killed"  # whoever ran it is gone, and has not said what became of it
    UNFINISHED = "unfinished"  # nothing was said, and nobody can tell from here whether it still runs


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of the list of runs.

    n:     connections wanted (hold), accepted so far (serve), or lessons (prove)
    held:  of them: held, open at most, or held true
    """

    id: int
    kind: str
    command: str
    started_at: str
    ended_at: str | None
    outcome: Outcome
    why: str
    n: int | None
    held: int | None
    samples: int
    host: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a lesson was, so many seconds after the proof began."""

    lesson: str
    at_s: float
    done: int
    wanted: int


@dataclass(frozen=True)
class StoredRun:
    """series: (samples,) of COLUMN; connects, answers: how the histograms grew, (…,) of GROWN, in order of samples

    record:  None where none came, and of a proof
    ground, results, progress: of a proof
    """

    entry: Entry
    start: Start
    series: NDArray[Any]
    connects: NDArray[Any]
    answers: NDArray[Any]
    last: dict[str, dict[str, int]]  # of the last sample: failed, lost_by, reconnect_failed, moved
    record: HoldRecord | ServeRecord | None = None
    ground: Ground | None = None
    results: tuple[Result, ...] = ()
    progress: tuple[Progress, ...] = ()

    @property
    def at_s(self) -> NDArray[np.float64]:
        """When each sample was taken, in seconds since the run began."""
        seconds: NDArray[np.float64] = (self.series["at_ns"] - self.start.at_ns) / 1e9
        return seconds

    def columns(self) -> dict[str, list[Any]]:
        """The samples as columns of Python's own numbers; None where the kernel did not say."""
        columns: dict[str, list[Any]] = {"at_s": self.at_s.round(6).tolist()}
        columns["phase"] = [Phase(number).name.lower() for number in self.series["phase"].tolist()]
        for name in COLUMN.names or ():
            if name not in ("at_ns", "phase"):
                values = self.series[name].tolist()
                columns[name] = [None if value != value else value for value in values]  # NaN alone is not itself
        for name in ("connections", "memory_bytes"):
            columns[name] = [None if value is None else int(value) for value in columns[name]]
        return columns

    def to_json(self, *, samples: bool) -> dict[str, Any]:
        """samples: with all of them, as objects, and how the histograms grew from one to the next"""
        found: dict[str, Any] = asdict(self.entry) | {
            "start": asdict(self.start),
            "record": asdict(self.record) if self.record else None,
            "namespace": (self.ground.refusal or "private") if self.ground else None,
            "lessons": [asdict(result) for result in self.results],
            "progress": [asdict(moment) for moment in self.progress],
            "last": self.last,
        }
        if samples:
            columns = self.columns()
            rows = zip(*columns.values(), strict=True)
            found["samples"] = [dict(zip(columns, row, strict=True)) for row in rows]
            found["connect_us"], found["answer_us"] = _listed(self.connects), _listed(self.answers)
        return found


def _listed(grown: NDArray[Any]) -> list[dict[str, Any]]:
    """Each bucket that grew: at which sample, by how many, and from how many microseconds on it counts."""
    least_us = bucket_edges()[grown["bucket"].astype(np.int64)].round(3).tolist()
    rows = zip(grown["sample"].tolist(), least_us, grown["count"].tolist(), strict=True)
    return [{"sample": sample, "least_us": least, "count": count} for sample, least, count in rows]
