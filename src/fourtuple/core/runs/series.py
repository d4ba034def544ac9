"""A stored run over time: rates, latencies and port occupancy, by column."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass
from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.histogram import BUCKETS, Durations, Latency, bucket_edges, percentile
from fourtuple.core.runs.stored import StoredRun

MOST_POINTS = 3600  # of a chart; of more samples, evenly spaced ones are used
MOST_OF_MACHINES = 5000  # of a chart with a line for each machine, all lines together
LEAST_OF_MACHINE = 20  # of each line
TIME_BINS = 120
ERROR_BINS = 60
READ_S = 0.9  # processor time is read once per second
FINE, COARSE = 8, 4  # bins per octave: of a histogram, of a heat map

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OverTime:
    """Columns of equal length, one row per sample. NaN: no value.

    rate_per_s:     connections opened per second since the previous sample
    p50_us, p99_us: of the connects completed since then; NaN: there were none
    occupancy:      percentage of the 4-tuples in use, averaged over the two samples
    kernel:         Seen.connections
    target:         connections that were to be open, by stages; otherwise 0
    time_wait:      Seen.time_wait
    user, system:   processors in use by this program, since it was last read; NaN: it was not read at this sample
    rss_bytes:      resident memory of this program
    taken_bytes:    Seen.memory_bytes
    """

    at_s: Floats
    held: NDArray[np.int64]
    lost: NDArray[np.int64]
    rate_per_s: Floats
    p50_us: Floats
    p99_us: Floats
    occupancy: Floats
    kernel: Floats
    target: NDArray[np.int64]
    time_wait: Floats
    user: Floats
    system: Floats
    rss_bytes: Floats
    taken_bytes: Floats


@dataclass(frozen=True, slots=True)
class PhaseSpan:
    """A phase of a run, in seconds since the run began."""

    phase: Phase
    from_s: float
    to_s: float


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """New errors of one kind in intervals of equal length; those without are left out.

    what, name: as in ErrorSeries
    from_s:     when each interval begins
    """

    what: str
    name: str
    from_s: Floats
    width_s: float
    count: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class MachineOverTime:
    """A machine of a fleet over time, as in OverTime."""

    number: int
    name: str
    at_s: Floats
    held: NDArray[np.int64]
    rate_per_s: Floats


@dataclass(frozen=True, slots=True)
class Bins:
    """Bins of a histogram: `count` values from `least_us` up to `below_us`."""

    least_us: Floats
    below_us: Floats
    count: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Heat:
    """The non-empty cells of a heat map; times in seconds since the run began."""

    from_s: Floats
    to_s: Floats
    least_us: Floats
    below_us: Floats
    count: NDArray[np.int64]


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` evenly spaced numbers from 0 to `count` − 1, including the first and the last."""
    chosen: NDArray[np.int64] = np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(np.int64))
    return chosen[chosen >= 0]


def over_time(run: StoredRun, most: int = MOST_POINTS) -> OverTime:
    """The run over time, at most `most` evenly spaced samples, including the first and the last.

    Everything between two of them is attributed to the later one.
    """
    chosen = evenly(len(run.series), most)
    rows = run.series[chosen]
    at_s = run.at_s[chosen]
    p50, p99 = np.full(len(chosen), np.nan), np.full(len(chosen), np.nan)
    numbers, firsts = np.unique(np.searchsorted(chosen, run.growth["connect_us"]["sample"]), return_index=True)
    for number, grown in zip(numbers.tolist(), np.split(run.growth["connect_us"], firsts[1:]), strict=False):
        counts = _counts(grown)
        p50[number], p99[number] = percentile(counts, 0.5) or np.nan, percentile(counts, 0.99) or np.nan
    used = rows["cpu_user_s"] + rows["cpu_system_s"]  # read once per second, and repeated until then
    read = np.flatnonzero((np.diff(used, prepend=0.0) > 0) | (np.diff(at_s, prepend=0.0) >= READ_S))
    read = _apart(read, at_s)
    planned = run.start.planned
    room = planned.pairs * planned.usable if planned else 0
    between = (rows["open"] + np.concatenate(([0], rows["open"][:-1]))) / 2 if len(rows) else np.zeros(0)
    return OverTime(
        at_s=at_s,
        held=rows["open"],
        lost=rows["lost"],
        rate_per_s=_per_second(rows["opened"], at_s),
        p50_us=p50,
        p99_us=p99,
        occupancy=100 * between / room if room else np.full(len(chosen), np.nan),
        kernel=rows["connections"],
        target=rows["target"],
        time_wait=rows["time_wait"],
        user=_processors(rows["cpu_user_s"], read, at_s),
        system=_processors(rows["cpu_system_s"], read, at_s),
        rss_bytes=rows["rss_bytes"].astype(np.float64),
        taken_bytes=rows["memory_bytes"],
    )


def phases(run: StoredRun) -> tuple[PhaseSpan, ...]:
    """The phases of a run in order. A sample belongs to the phase that it names, and ends what was before it."""
    names, at_s = run.series["phase"], run.at_s
    changes = np.flatnonzero(np.diff(names, prepend=-1))
    ends = [*at_s[changes[1:]].tolist(), *at_s[-1:].tolist()]
    begins = [0.0, *ends[:-1]]
    spans = zip(names[changes].tolist(), begins, ends, strict=True)
    return tuple(PhaseSpan(Phase(phase), begin, end) for phase, begin, end in spans if end > begin)


def errors_over_time(run: StoredRun, most: int = ERROR_BINS) -> tuple[ErrorRate, ...]:
    """What failed and was lost, the most frequent first, in at most `most` intervals of the run.

    An interval is not shorter than the time between two samples; a shorter one could be empty by chance.
    """
    if not run.errors:
        return ()
    at_s = run.at_s
    whole_s = max(1e-6, float(at_s[-1]))
    bins = max(1, min(most, int(whole_s / max(1e-6, np.diff(at_s, prepend=0.0).max()))))
    # What a sample counts happened before it.
    place = np.clip(np.ceil(at_s * bins / whole_s - 1e-6) - 1, 0, bins - 1).astype(np.int64)
    found = []
    for each in sorted(run.errors, key=lambda each: -int(each.count[-1])):
        grown = np.bincount(place, np.maximum(0, np.diff(each.count, prepend=0)), bins).astype(np.int64)
        there = np.flatnonzero(grown)
        found.append(ErrorRate(each.what, each.name, there * whole_s / bins, whole_s / bins, grown[there]))
    return tuple(found)


def machines_over_time(run: StoredRun, most: int = MOST_OF_MACHINES) -> tuple[MachineOverTime, ...]:
    """The machines of a fleet, with at most `most` samples of all together, but LEAST_OF_MACHINE of each."""
    found = []
    for machine in run.machines:
        chosen = evenly(len(machine.series), max(LEAST_OF_MACHINE, most // len(run.machines)))
        rows, at_s = machine.series[chosen], run.at_s_of(machine.series)[chosen]
        rate = _per_second(rows["opened"], at_s)
        found.append(MachineOverTime(machine.number, machine.name, at_s, rows["open"], rate))
    return tuple(found)


def _per_second(counted: NDArray[Any], at_s: Floats) -> Floats:
    """The growth per second since the sample before; of the first since the run began. NaN: at the same moment."""
    since_s = np.diff(at_s, prepend=0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(since_s > 0, np.diff(counted, prepend=0) / since_s, np.nan)


def _apart(read: NDArray[np.int64], at_s: Floats) -> NDArray[np.int64]:
    """Those of the samples that are far enough from each other, and the last one.

    Workers read their processor time at different moments, and once more at the end: in a short interval between two
    readings is what was spent in a longer one.
    """
    kept = read[:1].tolist()
    for number in read[1:].tolist():
        if at_s[number] - at_s[kept[-1]] >= READ_S / 2:
            kept.append(number)
    if len(kept) > 1:
        kept[-1] = read[-1]
    return np.array(kept, np.int64)


def _processors(spent_s: Floats, read: NDArray[np.int64], at_s: Floats) -> Floats:
    """Processor time per second between the samples at which it was read; NaN at the first of them and at the others.

    What was spent before the first one was spent on the start of processes.
    """
    found = np.full(len(at_s), np.nan)
    found[read[1:]] = np.diff(spent_s[read]) / np.diff(at_s[read])
    return found


def _bins(buckets: NDArray[Any], octave: int) -> NDArray[np.int64]:
    """The number of the bin that contains the middle of each bucket; bin n begins at 2 ** (n / octave).

    Bins are drawn on a logarithmic scale and must be equally wide there to be compared by eye.
    """
    edges = bucket_edges()
    middles = (edges[:-1] + edges[1:]) / 2
    bins: NDArray[np.int64] = np.floor(np.log2(middles[buckets.astype(np.int64)]) * octave).astype(np.int64)
    return bins


def _counts(grown: NDArray[Any]) -> NDArray[np.int64]:
    """All growth of a histogram together, as one histogram."""
    return np.bincount(grown["bucket"], grown["count"], BUCKETS).astype(np.int64)


def durations(grown: NDArray[Any]) -> Durations | None:
    """All growth of a histogram together in numbers; None: nothing was measured."""
    return Durations.of(_counts(grown))


def histogram(grown: NDArray[Any]) -> tuple[Bins, Latency]:
    """All growth of a histogram together, as bins without gaps from the first to the last non-empty one."""
    fine = _counts(grown)
    counts = np.bincount(_bins(grown["bucket"], FINE), grown["count"]).astype(np.int64)
    there = np.flatnonzero(counts)
    numbers = np.arange(there[0], there[-1] + 1) if len(there) else np.zeros(0, np.int64)
    return Bins(2 ** (numbers / FINE), 2 ** ((numbers + 1) / FINE), counts[numbers]), Latency.of(fine)


def heat(grown: NDArray[Any], at_s: Floats) -> Heat:
    """The growth of a histogram over time.

    at_s: the times of all samples
    """
    if not len(grown):
        nothing = np.zeros(0)
        return Heat(nothing, nothing, nothing, nothing, np.zeros(0, np.int64))
    began_s = np.concatenate(([0.0], at_s[:-1]))
    first_s, last_s = began_s[grown["sample"].min()], at_s[grown["sample"].max()]
    # A column is at least as wide as the interval between two samples; a narrower one could be empty by chance.
    apart_s = (at_s - began_s)[np.unique(grown["sample"])].max()
    bins = max(1, min(TIME_BINS, round((last_s - first_s) / max(1e-6, apart_s))))
    width_s = max(1e-6, (last_s - first_s) / bins)
    middle_s = ((began_s + at_s) / 2)[grown["sample"]]
    column = np.clip(((middle_s - first_s) / width_s).astype(np.int64), 0, bins - 1)
    keys, inverse = np.unique(column * BUCKETS + _bins(grown["bucket"], COARSE), return_inverse=True)
    columns, rows = np.divmod(keys, BUCKETS)
    return Heat(
        from_s=first_s + columns * width_s,
        to_s=first_s + (columns + 1) * width_s,
        least_us=2 ** (rows / COARSE),
        below_us=2 ** ((rows + 1) / COARSE),
        count=np.bincount(inverse, grown["count"]).astype(np.int64),
    )
