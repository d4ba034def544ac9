"""A stored run: how it began, its samples by column, and its result."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.counters import COLUMN, Phase
from fourtuple.core.runs.entry import Entry
from fourtuple.core.runs.histogram import bucket_edges
from fourtuple.core.runs.proof import Ground, Result
from fourtuple.core.runs.records import HoldRecord, ServeRecord
from fourtuple.core.runs.start import Start

RunRecord = HoldRecord | ServeRecord | ChurnRecord

# The growth of one bucket of a histogram from one sample to the next.
GROWN = np.dtype([("sample", "<i4"), ("bucket", "<u2"), ("count", "<i8")])


@dataclass(frozen=True, slots=True)
class ErrorSeries:
    """One kind of error over time.

    what:  failed or lost
    name:  errno; FIN: the peer closed
    count: so far, one number for each sample
    """

    what: str
    name: str
    count: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class LessonProgress:
    """The progress of a lesson, `at_s` seconds after the proof began."""

    lesson: str
    at_s: float
    done: int
    wanted: int


@dataclass(frozen=True)
class MachineSeries:
    """The samples of a machine of a fleet, as in StoredRun; `number` is as in MachineMoment."""

    number: int
    name: str
    series: NDArray[Any]
    growth: Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class StoredRun:
    """A run as read from the store.

    series:            the samples: (samples,) of COLUMN; of a fleet those of all machines together
    growth:            of each histogram of durations (`connect_us` …), in order of samples: (…,) of GROWN
    machines:          of a fleet, by number
    errors:            what failed and was lost, over time
    record:            None: the run has no result (yet), or is a proof
    ground, results, progress: of a proof
    """

    entry: Entry
    start: Start
    series: NDArray[Any]
    growth: Mapping[str, NDArray[Any]]
    last: dict[str, dict[str, int]]  # of the last sample: failed, lost_by, reconnect_failed, reasons, moved
    record: RunRecord | None = None
    ground: Ground | None = None
    results: tuple[Result, ...] = ()
    progress: tuple[LessonProgress, ...] = ()
    machines: tuple[MachineSeries, ...] = ()
    errors: tuple[ErrorSeries, ...] = ()

    @property
    def at_s(self) -> NDArray[np.float64]:
        """When each sample was taken, in seconds since the run began."""
        return self.at_s_of(self.series)

    def at_s_of(self, series: NDArray[Any]) -> NDArray[np.float64]:
        """The same for other samples of the run, such as a machine's."""
        seconds: NDArray[np.float64] = (series["at_ns"] - self.start.at_ns) / 1e9
        return seconds

    def columns(self) -> dict[str, list[Any]]:
        """The samples as columns of Python numbers. None: the kernel did not report it.

        A fleet has one more, `machine`: first all samples of all machines together (0), then those of each machine.
        """
        if not self.machines:
            return self._columns(self.series)
        parts = [(0, self.series), *((each.number, each.series) for each in self.machines)]
        numbers = [number for number, series in parts for _ in range(len(series))]
        return {"machine": numbers} | self._columns(np.concatenate([series for _, series in parts]))

    def _columns(self, series: NDArray[Any]) -> dict[str, list[Any]]:
        columns: dict[str, list[Any]] = {"at_s": self.at_s_of(series).round(6).tolist()}
        columns["phase"] = [Phase(number).name.lower() for number in series["phase"].tolist()]
        for name in COLUMN.names or ():
            if name not in ("at_ns", "phase"):
                values = series[name].tolist()
                columns[name] = [None if value != value else value for value in values]  # NaN alone is not itself
        for name in ("connections", "memory_bytes", "time_wait"):
            columns[name] = [None if value is None else int(value) for value in columns[name]]
        return columns

    def to_json(self, *, samples: bool) -> dict[str, Any]:
        """The run as JSON objects.

        samples: include all samples and the growth of the histograms from one to the next, and those of each machine
        """
        found: dict[str, Any] = asdict(self.entry) | {
            "start": asdict(self.start),
            "record": asdict(self.record) if self.record else None,
            "namespace": (self.ground.refusal or "private") if self.ground else None,
            "lessons": [asdict(result) for result in self.results],
            "progress": [asdict(moment) for moment in self.progress],
            "last": self.last,
        }
        if samples:
            found |= self._samples(self.series, self.growth)
            if self.machines:
                found["machines"] = [
                    {"number": each.number, "name": each.name} | self._samples(each.series, each.growth)
                    for each in self.machines
                ]
        return found

    def _samples(self, series: NDArray[Any], growth: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        columns = self._columns(series)
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        return {"samples": rows} | {name: _listed(grown) for name, grown in growth.items()}


def _listed(grown: NDArray[Any]) -> list[dict[str, Any]]:
    """Each bucket that grew: the number of the sample, the bucket's lower bound in microseconds, and the increase."""
    least_us = bucket_edges()[grown["bucket"].astype(np.int64)].round(3).tolist()
    rows = zip(grown["sample"].tolist(), least_us, grown["count"].tolist(), strict=True)
    return [{"sample": sample, "least_us": least, "count": count} for sample, least, count in rows]
