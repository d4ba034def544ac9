"""The sections of a report: text, charts with the tables behind them, tables, and cards of lessons."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.counters import telling
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.memory import MemoryUse
from fourtuple.core.runs.proof import Result
from fourtuple.core.runs.records import HoldRecord, ServeRecord
from fourtuple.core.runs.series import Bins, Heat, OverTime, evenly, heat, histogram
from fourtuple.core.runs.spread import Sharing
from fourtuple.core.runs.start import Start
from fourtuple.core.runs.stored import LessonProgress, StoredRun
from fourtuple.core.units import format_count, format_duration, format_size
from fourtuple.faces.page import charts
from fourtuple.faces.page.charts import Chart
from fourtuple.faces.page.machines import machines_section
from fourtuple.faces.page.parts import ROWS, ZOOM, Card, Section, Table, maybe, microseconds
from fourtuple.faces.text import churn, hold, serve
from fourtuple.faces.text.prove import MARKS, where, word
from fourtuple.faces.text.runs import fleet_words
from fourtuple.faces.text.words import latency as latency_words
from fourtuple.faces.text.words import lost_by, meaning

FEW = 5  # points; with fewer, a line chart is not useful
SEARCHING = ("plain", "noport")  # strategies with which the kernel tries every second port first
SLOW = 3.0  # times slower; more than the noise of a busy machine


def sections_of(run: StoredRun, series: OverTime) -> Iterator[Section | None]:
    """The sections in order; None for one without content."""
    if run.entry.kind == "prove":
        ground = where(run.ground) if run.ground else ""
        cards = [_card(result, [each for each in run.progress if each.lesson == result.name]) for result in run.results]
        yield Section(
            "lessons",
            "The lessons",
            [ground, "fourtuple prove LESSON --show-code prints the source code of a lesson."],
            cards=cards,
        )
    elif len(series.at_s):
        yield _time(run, series)
        if isinstance(run.record, HoldRecord):
            yield _stages(run.record)
        yield machines_section(run)
        yield _latency(run, series)
    record = run.record
    if isinstance(record, HoldRecord):
        if record.answers:
            yield _answers(run)
        yield _ports(record.sharing)
        yield _memory(record.memory)
    elif isinstance(record, ChurnRecord) and record.last_us.p50 is not None:
        yield _exchanges(run)
    yield _failures(run)
    yield _counters(run)
    yield _in_words(run)
    yield _environment(run)


def _time(run: StoredRun, series: OverTime) -> Section:
    planned = run.start.planned
    wanted = planned.wanted if planned else None
    words = ""
    if wanted is not None:
        ends = "" if planned and planned.here else " at this end"
        words = "solid: held by the engine; dashed: approximate count of the kernel"
        words += f"{ends}, which includes other programs in this network namespace"
    if series.target.any():
        words += "; black, dotted: target of the stages"
    if series.lost.any():
        words += f"{'; ' if words else ''}red, dotted: lost so far"
    of_server = run.entry.kind == "serve"
    table = _over_time_table(series, run.entry.kind)
    opening = "Accepted" if of_server else "Opened"
    figures = [
        (charts.held(series, wanted, f", {format_count(wanted)} wanted" if wanted else ""), table, words),
        (charts.rate(series, opening), None, "between consecutive samples; see the table above"),
    ]
    if run.entry.kind == "churn" and not np.isnan(series.time_wait).all():
        figures.append((charts.time_wait(series), None, "of the whole network namespace; see the table above"))
    return Section("time", "Over time", hint=ZOOM, figures=figures)


def _stages(record: HoldRecord) -> Section | None:
    if not record.stages:
        return None
    heads = ("stage", "target", "within", "open at its end", "reached after", "failed", "lost", "")
    rows = [
        (
            str(number),
            format_count(stage.target),
            format_duration(stage.within_s),
            "–" if stage.open_at_end is None else format_count(stage.open_at_end),
            "–" if stage.reached_s is None else format_duration(stage.reached_s),
            format_count(stage.failed),
            format_count(stage.lost),
            "" if stage.reached else "not reached",
        )
        for number, stage in enumerate(record.stages, 1)
    ]
    return Section("stages", "Stages", tables=[Table(heads, rows, frozenset(range(7)))])


def _latency(run: StoredRun, series: OverTime) -> Section | None:
    if not len(run.growth["connect_us"]):
        return None
    figures = _durations(run, run.growth["connect_us"], "time to connect")
    if not np.isnan(series.occupancy).all():
        chart = charts.latency_by_occupancy(series)
        figures.append((chart, _occupancy_table(series), _slow_lane(series, run.start)))
    words = "From the start of a batch of connects until the completion was seen: longer than the time in the kernel."
    if run.entry.kind == "churn":
        words = "From the moment when a connection was due, even if it was started later, until it was open."
    return Section("connect", "Time to connect", [words], figures=figures)


def _answers(run: StoredRun) -> Section:
    figures = _durations(run, run.growth["answer_us"], "time to answer", "answer-")
    words = ["From the moment when a message was sent until its whole answer was seen."]  # in files of version 1
    if len(run.growth["service_us"]):
        words = ["From the moment when a message was due, even if it was sent later, until its whole answer was seen."]
        words.append("Service time is counted from the moment when the message was sent.")
        figures += _durations(run, run.growth["service_us"], "service time", "service-")[1:]
    return Section("answers", "Time to answer", words, figures=figures)


def _exchanges(run: StoredRun) -> Section:
    figures = _durations(run, run.growth["last_us"], "time to the last answer", "last-")
    figures += _durations(run, run.growth["last_service_us"], "service time", "last-service-")[1:]
    words = ["From the moment when a connection was due, even if it was started later, until its last answer was seen."]
    words.append("Service time is counted from the moment when the connection was started.")
    return Section("answers", "Time to the last answer", words, figures=figures)


def _durations(
    run: StoredRun, grown: NDArray[Any], what: str, prefix: str = ""
) -> list[tuple[Chart, Table | None, str]]:
    """A histogram over time, and the whole of it. prefix: of the names of the charts"""
    cells, (bins, latency) = heat(grown, run.at_s), histogram(grown)
    return [
        (charts.latency_over_time(cells, what, f"{prefix}latency"), _heat_table(cells), ""),
        (
            charts.latency_histogram(bins, latency, what, f"{prefix}histogram"),
            _bins_table(bins),
            latency_words(latency),
        ),
    ]


def _ports(sharing: Sharing | None) -> Section | None:
    if sharing is None or not sharing.ports:
        return None
    most = max(sharing.carrying)
    words = (
        f"{format_count(sum(c * n for c, n in sharing.carrying.items()))} connections use {format_count(sharing.ports)}"
        f" local ports; port {sharing.busiest} alone carries {format_count(most)}. Counted in the kernel's table when"
        " all were open."
    )
    carrying = [(format_count(c), format_count(n)) for c, n in sharing.carrying.items()]
    usable = [
        (charts.pair_name(pair), format_count(pair.used), format_count(pair.pairs * sharing.usable),
         f"{100 * pair.used / max(1, pair.pairs * sharing.usable):.1f} %")
        for pair in sharing.pairs
    ]  # fmt: skip
    return Section(
        "ports",
        "How local ports are shared",
        [words],
        figures=[
            (
                charts.carrying(sharing),
                Table(("connections on one port", "number of local ports"), carrying, frozenset({0, 1})),
                "one local port can serve one connection per destination",
            ),
            (charts.pairs(sharing), Table(("pair", "used", "usable", ""), usable, frozenset({1, 2, 3})), ""),
        ],
    )


def _memory(use: MemoryUse | None) -> Section | None:
    if use is None:
        return None
    ends = "both ends" if use.ends == 2 else "this end"
    words = [f"Bytes per connection, {ends}; {format_count(use.connections)} were open."]
    if use.why_not:
        words.append(f"The parts in the kernel were not measured: {use.why_not}.")
    beside = {part.name: part.beside for part in use.parts if part.beside}
    words += [
        f"The part {name!r} includes {', '.join(others)}: the kernel allocates them from the same slab."
        for name, others in beside.items()
    ]
    rows = [(part.name, part.what, _bytes(part.model_bytes), _bytes(part.measured_bytes)) for part in use.parts]
    modelled = sum(part.model_bytes or 0 for part in use.kernel_parts)
    measured = None if use.why_not else use.each_bytes
    rows.append(("sum", "of the kernel's parts, excluding the hash table", _bytes(modelled), _bytes(measured)))
    rows.append(("as planned", "the value that hold and plan use", _bytes(use.model_bytes), ""))
    rows.append(("free memory", "decrease, including other programs", "", _bytes(use.measured_bytes)))
    table = Table(("part", "", "model", "measured"), rows, frozenset({2, 3}))
    return Section("memory", "Memory of a connection", words, figures=[(charts.memory(use), table, "")])


def _failures(run: StoredRun) -> Section | None:
    record, of_server = run.record, run.entry.kind == "serve"
    failed = dict(record.failed) if record else run.last["failed"]
    lost = dict(record.lost_by) if record else run.last["lost_by"]
    strategy = run.start.planned.strategy if run.start.planned else None
    gone = "gone" if of_server else "lost"
    rows = [
        *(("failed", name, format_count(n), *meaning(name, strategy)) for name, n in failed.items()),
        *((gone, name, format_count(n), *lost_by(name, of_server=of_server, strategy=strategy))
          for name, n in lost.items()),
    ]  # fmt: skip
    if isinstance(record, HoldRecord | ChurnRecord):
        for count, what in ((record.unexpected, "unexpected"), (record.unanswered, "missing")):
            if count:
                rows.append(("answers", "", format_count(count), what, f"{run.entry.kind} --log shows them."))
    if not rows:
        return None
    table = Table(("", "errno", "count", "meaning", "what to do"), rows, frozenset({2}))
    title = "Closed by clients" if of_server and not failed else "Failed and lost connections"
    return Section("failures", title, tables=[table])


def _in_words(run: StoredRun) -> Section | None:
    """The summary that the command printed at its end."""
    if isinstance(run.record, HoldRecord):
        lines = hold.hold_lines(run.record)
    elif isinstance(run.record, ChurnRecord):
        lines = churn.churn_lines(run.record)
    elif isinstance(run.record, ServeRecord):
        lines = serve.serve_lines(run.record)
    else:
        return None
    return Section("words", "Summary", lines=list(lines))


def _counters(run: StoredRun) -> Section | None:
    moved = run.record.moved if run.record else run.last["moved"]
    rows = [(name, format_count(count), meaning) for name, count, meaning in telling(moved)]
    if isinstance(run.record, HoldRecord):
        rows.append(
            ("TIME_WAIT", format_count(run.record.time_wait_left), "sockets of these connections, left at the end")
        )
    if not rows:
        return None
    words = "Kernel counters of this network namespace that changed during the run; other programs contribute to them."
    table = Table(("counter", "increase", "meaning"), rows, frozenset({1}))
    return Section("counters", "Kernel counters that changed", [words], tables=[table])


def _environment(run: StoredRun) -> Section:
    found = run.start.found
    rows = [
        ("host", f"{found.host}, Linux {found.kernel}"),
        ("processors", f"{found.cpus} × {found.cpu}"),
        (
            "memory",
            f"{format_size(found.memory_bytes or 0)}, {format_size(found.free_bytes or 0)} free {found.free_where}",
        ),
        ("open files", f"{format_count(found.files_soft)} per process (hard limit {format_count(found.files_hard)})"),
        ("user", f"uid {found.uid}{', root' * (found.uid == 0)}"),
        ("software", f"fourtuple {found.fourtuple}, Python {found.python}"),
        *((f"changed: {change.what}", f"{change.before} → {change.after}") for change in run.start.changed),
    ]
    if run.start.planned:
        rows += _planned(run.start)
    if fleet := fleet_words(run):
        rows.append(("fleet", fleet))
    settings = [(name, " ".join(value.split()) or "(empty)") for name, value in found.sysctls.items()]
    return Section(
        "environment",
        "Command and environment",
        commands=[run.entry.command],
        tables=[Table(("", ""), rows)],
        behind=Table(("kernel setting", "value"), settings, note="those that limit connections"),
    )


def _planned(start: Start) -> list[tuple[str, str]]:
    planned = start.planned
    if planned is None:
        return []
    rows = [("loop", f"{planned.loop}: {planned.loop_because}")]
    of_server = start.kind == "serve"
    if planned.sources:
        room = f"{format_count(planned.pairs)} pairs × {format_count(planned.usable)} source ports"
        rows += [("from", ", ".join(planned.sources)), ("strategy", f"{planned.strategy}: {room}")]
    return [*rows, ("on" if of_server else "to", ", ".join(planned.targets))]


def _card(result: Result, progress: Sequence[LessonProgress]) -> Card:
    figure = None
    if len(progress) >= FEW:
        points = [(f"{each.at_s - progress[0].at_s:.2f}", format_count(each.done)) for each in progress]
        table = Table(("second", "connections"), [points[i] for i in evenly(len(points), ROWS)], frozenset({0, 1}))
        figure = (charts.progress(result.name, progress), table, "")
    rows = [(name, word(predicted), word(result.observed.get(name))) for name, predicted in result.predicted.items()]
    lists = [
        (name, [str(line) for line in value]) for name, value in result.evidence.items() if _is_list_of_words(value)
    ]
    others = [(name, word(value)) for name, value in result.evidence.items() if value and not _is_list_of_words(value)]
    return Card(
        result=result,
        mark=MARKS[result.verdict],
        took=format_duration(result.seconds),
        table=Table(("", "predicted", "observed"), rows, frozenset({1, 2})),
        lists=lists,
        others=Table(("", "observed"), others, frozenset({1})),
        figure=figure,
    )


def _is_list_of_words(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


# Tables behind the charts


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


def _over_time_table(series: OverTime, kind: str) -> Table:
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


def _heat_table(cells: Heat) -> Table:
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


def _bins_table(bins: Bins) -> Table:
    rows = [
        (microseconds(least), microseconds(below), format_count(int(count)))
        for least, below, count in zip(bins.least_us, bins.below_us, bins.count, strict=True)
        if count
    ]
    return Table(("from", "below", "count"), rows, frozenset({0, 1, 2}))


def _occupancy_table(series: OverTime) -> Table:
    """Median latencies by occupancy, in steps of five percent."""
    rows = []
    known = ~np.isnan(series.p50_us) & ~np.isnan(series.occupancy)
    for low in range(0, 100, 5):
        of = known & (series.occupancy >= low) & (series.occupancy < low + 5 + (low == 95))
        if of.any():
            p50, p99 = np.median(series.p50_us[of]), np.median(series.p99_us[of])
            rows.append((f"{low} to {low + 5} %", microseconds(float(p50)), microseconds(float(p99))))
    return Table(("4-tuples in use", "p50", "p99"), rows, frozenset({1, 2}), "medians of the samples")


def _slow_lane(series: OverTime, start: Start) -> str:
    """How much slower connect() was past half of the range; empty: no data."""
    known = ~np.isnan(series.p50_us)
    below = series.p50_us[known & (series.occupancy > 25) & (series.occupancy < 49)]
    above = series.p50_us[known & (series.occupancy > 51)]
    if not len(below) or not len(above):
        return ""
    ratio = float(np.median(above) / np.median(below))
    if ratio < SLOW or start.planned is None or start.planned.strategy not in SEARCHING:
        return f"past half of the range, connect() took {ratio:.1f} times as long"
    return (
        f"past half of the range, connect() took {ratio:.0f} times as long, because the kernel tries every second port"
        " first; --strategy late avoids this (Linux 6.8)"
    )


def _bytes(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"
