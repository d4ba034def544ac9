"""The sections of a report: words, charts with the tables behind them, tables, cards of lessons."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fourtuple.core.counters import telling
from fourtuple.core.runs.memory import MemoryUse
from fourtuple.core.runs.proof import Result
from fourtuple.core.runs.records import HoldRecord, ServeRecord
from fourtuple.core.runs.series import Bins, Heat, OverTime, evenly, heat, histogram
from fourtuple.core.runs.spread import Sharing
from fourtuple.core.runs.start import Start
from fourtuple.core.runs.stored import Progress, StoredRun
from fourtuple.core.units import format_count, format_duration, format_size
from fourtuple.faces.page import charts
from fourtuple.faces.page.charts import Chart
from fourtuple.faces.text import hold, serve
from fourtuple.faces.text.prove import MARKS, where, word
from fourtuple.faces.text.words import latency as latency_words
from fourtuple.faces.text.words import lost_by, meaning

ROWS = 60  # of a table behind a chart; the export has them all
ZOOM = (
    "Charts over time: drag to move, Shift and the wheel to zoom, a double click brings all of it back."
    " By keyboard: arrows move, + and - zoom, 0 brings it back."
)
FEW = 5  # moments: of fewer, a line says nothing
SEARCHING = ("plain", "noport")  # strategies by which the kernel tries every second port first
SLOW = 3.0  # times: more than what a busy machine makes of it


@dataclass(frozen=True, slots=True)
class Table:
    """numbers: which columns are numbers, and stand to the right; note: what is left out"""

    heads: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """A lesson. lists: 4-tuples and the like, under their names; others: more numbers"""

    result: Result
    mark: str
    took: str
    table: Table
    lists: Sequence[tuple[str, Sequence[str]]]
    others: Table
    figure: tuple[Chart, Table | None, str] | None


@dataclass(frozen=True, slots=True)
class Section:
    """behind: a table that is shown when somebody asks for it"""

    name: str
    title: str
    words: Sequence[str] = ()
    hint: str = ""
    figures: Sequence[tuple[Chart, Table | None, str]] = ()
    tables: Sequence[Table] = ()
    behind: Table | None = None
    cards: Sequence[Card] = ()
    commands: Sequence[str] = ()

    @property
    def all_figures(self) -> list[tuple[Chart, Table | None, str]]:
        """Those in its cards, too."""
        return [*self.figures, *(card.figure for card in self.cards if card.figure)]


def sections_of(run: StoredRun, series: OverTime) -> Iterator[Section | None]:
    if run.entry.kind == "prove":
        ground = f"{where(run.ground)}." if run.ground else ""
        cards = [_card(result, [each for each in run.progress if each.lesson == result.name]) for result in run.results]
        yield Section("lessons", "The lessons", [ground, "fourtuple prove LESSON --show-code prints one."], cards=cards)
    elif len(series.at_s):
        yield _time(run, series)
        yield _latency(run, series)
    record = run.record
    if isinstance(record, HoldRecord):
        if record.answers:
            yield _answers(run)
        yield _ports(record.sharing)
        yield _memory(record.memory)
    yield _failures(run)
    yield _counters(run)
    yield _in_words(run)
    yield _environment(run)


def _time(run: StoredRun, series: OverTime) -> Section:
    planned = run.start.planned
    wanted = planned.wanted if planned else None
    words = ""
    if wanted is not None:
        ends = "" if planned and planned.here else ", at this end"
        words = "solid: what the engine holds; dashed: about what the kernel counts in this network namespace"
        words += f"{ends}, where others' sockets come and go, too"
    if series.lost.any():
        words += f"{'; ' if words else ''}red, dotted: lost so far"
    table = _over_time_table(series, of_server=wanted is None)
    opening = "Opened" if wanted is not None else "Accepted"
    return Section(
        "time",
        "Over time",
        hint=ZOOM,
        figures=[
            (charts.held(series, wanted, f", {format_count(wanted)} wanted" if wanted else ""), table, words),
            (charts.rate(series, opening), None, "between one sample and the next; the table is the one above"),
        ],
    )


def _latency(run: StoredRun, series: OverTime) -> Section | None:
    if not len(run.connects):
        return None
    cells = heat(run.connects, run.at_s)
    bins, latency = histogram(run.connects)
    what = "time to connect"
    figures: list[tuple[Chart, Table | None, str]] = [
        (charts.latency_over_time(cells, what, "latency"), _heat_table(cells), ""),
        (charts.latency_histogram(bins, latency, what, "histogram"), _bins_table(bins), latency_words(latency)),
    ]
    if not np.isnan(series.occupancy).all():
        chart = charts.latency_by_occupancy(series)
        figures.append((chart, _occupancy_table(series), _slow_lane(series, run.start)))
    words = "From the moment a batch of connects was begun until the completion was seen: more than the kernel took."
    return Section("connect", "Time to connect", [words], figures=figures)


def _answers(run: StoredRun) -> Section:
    cells = heat(run.answers, run.at_s)
    bins, latency = histogram(run.answers)
    what = "time to answer"
    return Section(
        "answers",
        "Time to answer",
        figures=[
            (charts.latency_over_time(cells, what, "answer-latency"), _heat_table(cells), ""),
            (
                charts.latency_histogram(bins, latency, what, "answer-histogram"),
                _bins_table(bins),
                latency_words(latency),
            ),
        ],
    )


def _ports(sharing: Sharing | None) -> Section | None:
    if sharing is None or not sharing.ports:
        return None
    most = max(sharing.carrying)
    words = (
        f"{format_count(sum(c * n for c, n in sharing.carrying.items()))} connections use {format_count(sharing.ports)}"
        f" local ports; port {sharing.busiest} alone carries {format_count(most)}. As the kernel listed them once all"
        " were open."
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
                Table(("connections on one port", "ports that carry so many"), carrying, frozenset({0, 1})),
                "one local port serves as many connections as there are destinations",
            ),
            (charts.pairs(sharing), Table(("pair", "used", "usable", ""), usable, frozenset({1, 2, 3})), ""),
        ],
    )


def _memory(use: MemoryUse | None) -> Section | None:
    if use is None:
        return None
    ends = "both ends" if use.ends == 2 else "this end"
    words = [f"Bytes a connection, {ends}; {format_count(use.connections)} were open."]
    if use.why_not:
        words.append(f"The kernel's parts were not measured: {use.why_not}.")
    beside = {part.name: part.beside for part in use.parts if part.beside}
    words += [
        f"With {name} are counted {', '.join(others)}: the kernel keeps them together."
        for name, others in beside.items()
    ]
    rows = [(part.name, part.what, _bytes(part.model_bytes), _bytes(part.measured_bytes)) for part in use.parts]
    modelled = sum(part.model_bytes or 0 for part in use.kernel_parts)
    measured = None if use.why_not else use.each_bytes
    rows.append(("sum", "of the kernel's parts, the hash table aside", _bytes(modelled), _bytes(measured)))
    rows.append(("as planned", "what hold and plan count with", _bytes(use.model_bytes), ""))
    rows.append(("free memory", "by how much it shrank, others' use included", "", _bytes(use.measured_bytes)))
    table = Table(("part", "", "model", "measured"), rows, frozenset({2, 3}))
    return Section("memory", "Memory of a connection", words, figures=[(charts.memory(use), table, "")])


def _failures(run: StoredRun) -> Section | None:
    record, of_server = run.record, run.entry.kind == "serve"
    failed = dict(record.failed) if record else run.last["failed"]
    lost = dict(record.lost_by) if record else run.last["lost_by"]
    rows = [
        *(("failed", name, format_count(n), *meaning(name)) for name, n in failed.items()),
        *(("gone" if of_server else "lost", name, format_count(n), *lost_by(name, of_server=of_server))
          for name, n in lost.items()),
    ]  # fmt: skip
    if isinstance(record, HoldRecord):
        for count, what in ((record.unexpected, "not what was expected"), (record.unanswered, "never answered")):
            if count:
                rows.append(("answers", "", format_count(count), what, "hold --log shows them."))
    if not rows:
        return None
    table = Table(("", "by", "how many", "what it means", "what to do"), rows, frozenset({2}))
    title = "Who has gone" if of_server and not failed else "What failed, and what was lost"
    return Section("failures", title, tables=[table])


def _in_words(run: StoredRun) -> Section | None:
    """All that the command said at its end."""
    if isinstance(run.record, HoldRecord):
        lines = hold.hold_lines(run.record)
    elif isinstance(run.record, ServeRecord):
        lines = serve.serve_lines(run.record)
    else:
        return None
    return Section("words", "In words", commands=["\n".join(lines)])


def _counters(run: StoredRun) -> Section | None:
    moved = run.record.moved if run.record else run.last["moved"]
    rows = [(name, format_count(count), meaning) for name, count, meaning in telling(moved)]
    if isinstance(run.record, HoldRecord):
        rows.append(("TIME_WAIT", format_count(run.record.time_wait_left), "of these connections, left at the end"))
    if not rows:
        return None
    words = "The kernel's counters of this network namespace that moved meanwhile, whoever moved them."
    table = Table(("counter", "by", "what it means"), rows, frozenset({1}))
    return Section("counters", "Counters that moved", [words], tables=[table])


def _environment(run: StoredRun) -> Section:
    found = run.start.found
    rows = [
        ("host", f"{found.host}, Linux {found.kernel}"),
        ("processors", f"{found.cpus} × {found.cpu}"),
        (
            "memory",
            f"{format_size(found.memory_bytes or 0)}, {format_size(found.free_bytes or 0)} free {found.free_where}",
        ),
        ("open files", f"{format_count(found.files_soft)} a process, at most {format_count(found.files_hard)}"),
        ("user", f"uid {found.uid}{', root' * (found.uid == 0)}"),
        ("software", f"fourtuple {found.fourtuple}, Python {found.python}"),
        *((f"changed: {change.what}", f"{change.before} → {change.after}") for change in run.start.changed),
    ]
    if run.start.planned:
        rows += _planned(run.start)
    settings = [(name, " ".join(value.split()) or "(empty)") for name, value in found.sysctls.items()]
    return Section(
        "environment",
        "To repeat it",
        commands=[run.entry.command],
        tables=[Table(("", ""), rows)],
        behind=Table(("setting", "as it stood"), settings, note="the kernel's, that decide how many there can be"),
    )


def _planned(start: Start) -> list[tuple[str, str]]:
    planned = start.planned
    if planned is None:
        return []
    rows = [("loop", f"{planned.loop}: {planned.loop_because}")]
    if planned.wanted is not None:
        room = f"{format_count(planned.pairs)} pairs × {format_count(planned.usable)} source ports"
        rows += [("from", ", ".join(planned.sources)), ("strategy", f"{planned.strategy}: {room}")]
    return [*rows, ("to" if planned.wanted is not None else "on", ", ".join(planned.destinations))]


def _card(result: Result, progress: Sequence[Progress]) -> Card:
    figure = None
    if len(progress) >= FEW:
        moments = [(f"{each.at_s - progress[0].at_s:.2f}", format_count(each.done)) for each in progress]
        table = Table(("second", "connections"), [moments[i] for i in evenly(len(moments), ROWS)], frozenset({0, 1}))
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


# The tables behind the charts


def both_table(runs: Sequence[tuple[str, OverTime]], field: str) -> Table:
    """One quantity of two runs over time."""
    rows = [
        (name, f"{series.at_s[i]:.2f}", _maybe(float(getattr(series, field)[i])))
        for name, series in runs
        for i in evenly(len(series.at_s), ROWS // 2)
    ]
    return Table(("run", "second", field.split("_")[0]), rows, frozenset({1, 2}), "some of the samples")


def percentiles_table(runs: Sequence[tuple[str, StoredRun]]) -> Table:
    """Time to connect of two runs."""
    latencies = [(name, histogram(run.connects)[1]) for name, run in runs]
    rows = [(name, *map(microseconds, (each.p50, each.p90, each.p99, each.max))) for name, each in latencies]
    return Table(("run", "p50", "p90", "p99", "max"), rows, frozenset({1, 2, 3, 4}))


def _over_time_table(series: OverTime, *, of_server: bool) -> Table:
    """of_server: without what only a client knows: its clients may be in the same namespace, and be counted with it"""
    count = len(series.at_s)
    columns: dict[str, Callable[[int], str]] = {
        "second": lambda i: f"{series.at_s[i]:.2f}",
        "held": lambda i: format_count(int(series.held[i])),
        "the kernel counts about": lambda i: _maybe(series.kernel[i]),
        "lost": lambda i: format_count(int(series.lost[i])),
        "new a second": lambda i: _maybe(series.rate_per_s[i]),
        "connect p50": lambda i: microseconds(series.p50_us[i]),
        "connect p99": lambda i: microseconds(series.p99_us[i]),
    }
    heads = tuple(columns)
    if of_server:
        heads = ("second", "held", "lost", "new a second")
    chosen = evenly(count, ROWS).tolist()
    rows = [[columns[head](i) for head in heads] for i in chosen]
    note = f"{len(chosen)} of {format_count(count)} samples; all: fourtuple runs export" if len(chosen) < count else ""
    return Table(heads, rows, frozenset(range(len(heads))), note)


def _heat_table(cells: Heat) -> Table:
    """By time alone: how many, and between which latencies."""
    rows = []
    for begin in np.unique(cells.from_s):
        of = cells.from_s == begin
        most = np.flatnonzero(of)[cells.count[of].argmax()]
        fullest = f"{microseconds(cells.least_us[most])} to {microseconds(cells.below_us[most])}"
        least, below = microseconds(cells.least_us[of].min()), microseconds(cells.below_us[of].max())
        rows.append((f"{begin:.2f}", format_count(int(cells.count[of].sum())), least, fullest, below))
    note = f"by time alone{f', {ROWS} of {len(rows)} rows' if len(rows) > ROWS else ''}"
    heads = ("from second", "how many", "all above", "most of them", "all below")
    return Table(heads, [rows[i] for i in evenly(len(rows), ROWS)], frozenset(range(5)), note)


def _bins_table(bins: Bins) -> Table:
    rows = [
        (microseconds(least), microseconds(below), format_count(int(count)))
        for least, below, count in zip(bins.least_us, bins.below_us, bins.count, strict=True)
        if count
    ]
    return Table(("from", "below", "how many"), rows, frozenset({0, 1, 2}))


def _occupancy_table(series: OverTime) -> Table:
    """By steps of five percent."""
    rows = []
    known = ~np.isnan(series.p50_us) & ~np.isnan(series.occupancy)
    for low in range(0, 100, 5):
        of = known & (series.occupancy >= low) & (series.occupancy < low + 5 + (low == 95))
        if of.any():
            p50, p99 = np.median(series.p50_us[of]), np.median(series.p99_us[of])
            rows.append((f"{low} to {low + 5} %", microseconds(float(p50)), microseconds(float(p99))))
    return Table(("4-tuples in use", "p50", "p99"), rows, frozenset({1, 2}), "medians of the samples")


def _slow_lane(series: OverTime, start: Start) -> str:
    """What half of the range does to connect(), where it did."""
    known = ~np.isnan(series.p50_us)
    below = series.p50_us[known & (series.occupancy > 25) & (series.occupancy < 49)]
    above = series.p50_us[known & (series.occupancy > 51)]
    if not len(below) or not len(above):
        return ""
    ratio = float(np.median(above) / np.median(below))
    if ratio < SLOW or start.planned is None or start.planned.strategy not in SEARCHING:
        return f"beyond half of the range it took {ratio:.1f} times as long as before"
    return (
        f"the slow lane: beyond half of the range it took {ratio:.0f} times as long as before, for the kernel tries"
        " every second port first; --strategy late avoids that (Linux 6.8)"
    )


def _bytes(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _maybe(value: float) -> str:
    return "–" if np.isnan(value) else format_count(round(value))


def microseconds(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else format_duration(value / 1e6)
