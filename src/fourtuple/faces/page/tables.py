"""The tables behind the charts of a page, and others that are made of samples."""

from collections.abc import Callable, Sequence

import numpy as np

from fourtuple.core.runs.histogram import Durations
from fourtuple.core.runs.series import Bins, ErrorRate, Heat, OverTime, durations, evenly, histogram
from fourtuple.core.runs.stored import StoredRun
from fourtuple.core.units import format_count, format_size
from fourtuple.faces.page.parts import ROWS, Table, maybe, microseconds
from fourtuple.faces.page.timelines import error_name

# The latencies of a run, in the order in which they happen to a connection.
LATENCIES = {
    "lag_us": "start of a connect, after it was due",
    "connect_us": "connect",
    "connecting_us": "connect, from its start",
    "handshake_us": "handshake: SYN to SYN-ACK, some of them",
    "tls_us": "TLS handshake",
    "session_us": "connected to session established",
    "answer_us": "answer",
    "service_us": "answer, from when the message was sent",
    "first_us": "first answer",
    "first_service_us": "first answer, from the start of the connect",
    "last_us": "last answer",
    "last_service_us": "last answer, from the start of the connect",
}


def latencies_table(run: StoredRun) -> Table:
    """Every latency that was measured, in numbers; no rows: none was."""
    measured = {name: each for name in LATENCIES if (each := durations(run.growth[name])) is not None}
    heads = ("", "count", "average", "min", "median", "p90", "p99", "max")
    return Table(
        heads, [_latency_row(LATENCIES[name], each) for name, each in measured.items()], frozenset(range(1, 8))
    )


def _latency_row(name: str, each: Durations) -> list[str]:
    times = (each.mean, each.min, each.p50, each.p90, each.p99, each.max)
    return [name, format_count(each.count), *map(microseconds, times)]


def errors_table(rates: Sequence[ErrorRate]) -> Table:
    """New errors of each kind in the intervals in which there were any."""
    rows = [
        (f"{at_s:.2f}", error_name(each), format_count(count))
        for each in rates
        for at_s, count in zip(each.from_s.tolist(), each.count.tolist(), strict=True)
    ]
    rows.sort(key=lambda row: float(row[0]))
    note = f"{ROWS} of {format_count(len(rows))} rows" if len(rows) > ROWS else ""
    return Table(("from second", "error", "count"), [rows[i] for i in evenly(len(rows), ROWS)], frozenset({0, 2}), note)


def resources_table(series: OverTime) -> Table:
    """Processors and memory at some of the samples at which they were read."""
    read = np.flatnonzero(~np.isnan(series.user))
    rows = [
        (
            f"{series.at_s[i]:.2f}",
            f"{series.user[i]:.2f}",
            f"{series.system[i]:.2f}",
            format_size(series.rss_bytes[i]),
            "–" if np.isnan(series.taken_bytes[i]) else format_size(max(0.0, series.taken_bytes[i])),
        )
        for i in read[evenly(len(read), ROWS)].tolist()
    ]
    heads = ("second", "user space", "kernel", "resident memory", "less free memory")
    return Table(heads, rows, frozenset(range(5)), "some of the samples")


def both_table(runs: Sequence[tuple[str, OverTime]], field: str) -> Table:
    """One quantity of two runs over time, some of the samples."""
    rows = [
        (name, f"{series.at_s[i]:.2f}", maybe(float(getattr(series, field)[i])))
        for name, series in runs
        for i in evenly(len(series.at_s), ROWS // 2)
    ]
    return Table(("run", "second", field.split("_")[0]), rows, frozenset({1, 2}), "some of the samples")


def percentiles_table(runs: Sequence[tuple[str, StoredRun]]) -> Table:
    """Percentiles of the time to connect of two runs."""
    latencies = [(name, histogram(run.growth["connect_us"])[1]) for name, run in runs]
    rows = [(name, *map(microseconds, (each.p50, each.p90, each.p99, each.max))) for name, each in latencies]
    return Table(("run", "p50", "p90", "p99", "max"), rows, frozenset({1, 2, 3, 4}))


def over_time_table(series: OverTime, kind: str) -> Table:
    """The samples as a table, some of them.

    kind: of the run; a server has no columns of a client, which may be in the same namespace and counted with it
    """
    count = len(series.at_s)
    columns: dict[str, Callable[[int], str]] = {
        "second": lambda i: f"{series.at_s[i]:.2f}",
        "held": lambda i: format_count(int(series.held[i])),
        "target": lambda i: format_count(int(series.target[i])),
        "kernel (approx.)": lambda i: maybe(series.kernel[i]),
        "TIME_WAIT": lambda i: maybe(series.time_wait[i]),
        "lost": lambda i: format_count(int(series.lost[i])),
        "new per second": lambda i: maybe(series.rate_per_s[i]),
        "connect p50": lambda i: microseconds(series.p50_us[i]),
        "connect p99": lambda i: microseconds(series.p99_us[i]),
    }
    left_out = {"TIME_WAIT"} if kind != "churn" else set()
    left_out |= set() if series.target.any() else {"target"}
    heads = tuple(head for head in columns if head not in left_out)
    if kind == "serve":
        heads = ("second", "held", "lost", "new per second")
    chosen = evenly(count, ROWS).tolist()
    rows = [[columns[head](i) for head in heads] for i in chosen]
    note = f"{len(chosen)} of {format_count(count)} samples; all: fourtuple runs export" if len(chosen) < count else ""
    return Table(heads, rows, frozenset(range(len(heads))), note)


def heat_table(cells: Heat) -> Table:
    """For each interval of time: how many, and between which latencies."""
    rows = []
    for begin in np.unique(cells.from_s):
        of = cells.from_s == begin
        most = np.flatnonzero(of)[cells.count[of].argmax()]
        fullest = f"{microseconds(cells.least_us[most])} to {microseconds(cells.below_us[most])}"
        least, below = microseconds(cells.least_us[of].min()), microseconds(cells.below_us[of].max())
        rows.append((f"{begin:.2f}", format_count(int(cells.count[of].sum())), least, fullest, below))
    note = f"per interval of time{f', {ROWS} of {len(rows)} rows' if len(rows) > ROWS else ''}"
    heads = ("from second", "count", "all above", "most frequent", "all below")
    return Table(heads, [rows[i] for i in evenly(len(rows), ROWS)], frozenset(range(5)), note)


def bins_table(bins: Bins) -> Table:
    rows = [
        (microseconds(least), microseconds(below), format_count(int(count)))
        for least, below, count in zip(bins.least_us, bins.below_us, bins.count, strict=True)
        if count
    ]
    return Table(("from", "below", "count"), rows, frozenset({0, 1, 2}))


def occupancy_table(series: OverTime) -> Table:
    """Median latencies by occupancy, in steps of five percent."""
    rows = []
    known = ~np.isnan(series.p50_us) & ~np.isnan(series.occupancy)
    for low in range(0, 100, 5):
        of = known & (series.occupancy >= low) & (series.occupancy < low + 5 + (low == 95))
        if of.any():
            p50, p99 = np.median(series.p50_us[of]), np.median(series.p99_us[of])
            rows.append((f"{low} to {low + 5} %", microseconds(float(p50)), microseconds(float(p99))))
    return Table(("4-tuples in use", "p50", "p99"), rows, frozenset({1, 2}), "medians of the samples")
