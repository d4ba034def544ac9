"""A stored run, or two side by side, as one HTML page that asks nothing of anybody: a record in, text out.

What is said is text and tables; charts stand in front of the tables they are drawn from. Needs the extra `report`.
"""

import errno
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fourtuple import __version__
from fourtuple.core.compare import Comparison
from fourtuple.core.counters import telling
from fourtuple.core.memory import MemoryUse
from fourtuple.core.proof import Result
from fourtuple.core.run import HoldRecord, ServeRecord
from fourtuple.core.series import Bins, Heat, OverTime, heat, histogram, over_time
from fourtuple.core.spread import Sharing
from fourtuple.core.start import Start
from fourtuple.core.stored import Outcome, StoredRun
from fourtuple.core.symptoms import symptom_of
from fourtuple.core.units import format_count, format_duration, format_rate, format_size
from fourtuple.faces import charts, runs, text
from fourtuple.faces.charts import Chart
from fourtuple.faces.javascript import library
from fourtuple.faces.prove import MARKS, word

ROWS = 60  # of a table behind a chart; the export has them all
ZOOM = "Charts over time: drag to move, Shift and the wheel to zoom, a double click brings all of it back."


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


@dataclass(frozen=True, slots=True)
class Section:
    name: str
    title: str
    words: Sequence[str] = ()
    hint: str = ""
    figures: Sequence[tuple[Chart, Table | None, str]] = ()
    tables: Sequence[Table] = ()
    cards: Sequence[Card] = field(default=())
    commands: Sequence[str] = ()


def run_page(run: StoredRun) -> str:
    """The whole page."""
    series = over_time(run)
    sections = [section for section in _sections(run, series) if section is not None]
    good, verdict = _verdict(run)
    return _render(
        "run.html.j2",
        title=_title(run),
        when=_when(run),
        good=good,
        verdict=verdict,
        tiles=list(_tiles(run)),
        sections=sections,
        samples=charts.samples_data(series),
        drawn=[chart for section in sections for chart, _, _ in section.figures],
    )


def compare_page(comparison: Comparison) -> str:
    first, second = over_time(comparison.first), over_time(comparison.second)
    names = (f"run {comparison.first.entry.id}", f"run {comparison.second.entry.id}")
    figures: list[tuple[Chart, Table | None, str]] = [
        (charts.both(first, second, names, field=name, title=title, axis=axis), None, "")
        for name, title, axis in (
            ("held", "Connections over time", "connections"),
            ("rate_per_s", "New connections a second", "a second"),
        )
    ]
    rows = [
        (row.name, runs.cell(row, row.first), runs.cell(row, row.second), runs.ratio(row)) for row in comparison.rows
    ]
    numbers = Table(("", *names, "second / first"), rows, frozenset({1, 2, 3}))
    differs = Table(("not the same", *names), comparison.differs)
    sections = [
        Section(
            "numbers", "Side by side", [runs.machines(comparison)] if comparison.other_machine else [], tables=[numbers]
        ),
        Section("differs", "What is not the same", tables=[differs]) if comparison.differs else None,
        Section("time", "Over time", hint=ZOOM, figures=figures),
        Section(
            "repeat",
            "To repeat them",
            commands=[comparison.first.entry.command, comparison.second.entry.command],
        ),
    ]
    good = not comparison.other_machine
    return _render(
        "run.html.j2",
        title=f"{_title(comparison.first)} and run {comparison.second.entry.id}",
        when=f"{_when(comparison.first)}; {_when(comparison.second)}",
        good=good,
        verdict="On one machine" if good else "Not on the same machine",
        tiles=[],
        sections=[section for section in sections if section],
        samples={},
        drawn=[chart for chart, _, _ in figures],
    )


def _render(template: str, *, drawn: Sequence[Chart], samples: Mapping[str, Any], **context: Any) -> str:
    loader = PackageLoader("fourtuple.faces")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    style, draw = (Markup(loader.get_source(environment, name)[0]) for name in ("style.css", "draw.js"))  # noqa: S704
    return environment.get_template(template).render(
        version=__version__,
        style=style,
        draw=draw,
        library=Markup(library()) if drawn else "",  # noqa: S704  (a bundle that cannot end its script element)
        charts=_script({chart.name: chart.specification for chart in drawn}) if drawn else "",
        samples=_script(samples),
        config=_script(charts.CONFIG),
        **context,
    )


def _script(value: Any) -> Markup:
    """JSON within a script element, which only `</` could end (HTML, 4.12.1.3)."""
    compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(compact.replace("<", "\\u003c"))  # noqa: S704  (no letter of it can end the script element)


# The head of the page


def _title(run: StoredRun) -> str:
    planned = run.start.planned
    number = f"run {run.entry.id}: "
    if run.entry.kind == "prove":
        return f"{number}{run.entry.n} claims about connections, tried on real sockets"
    to = ", ".join(planned.destinations) if planned else ""
    if run.entry.kind == "serve":
        return f"{number}serve {to}"
    return f"{number}hold {format_count(planned.wanted or 0) if planned else ''} → {to}"


def _when(run: StoredRun) -> str:
    began = datetime.fromisoformat(run.entry.started_at)
    found = run.start.found
    took = ""
    if run.entry.ended_at:
        took = f", {format_duration((datetime.fromisoformat(run.entry.ended_at) - began).total_seconds())}"
    return f"{began:%Y-%m-%d %H:%M:%S} UTC{took}, on {found.host}, Linux {found.kernel}"


def _verdict(run: StoredRun) -> tuple[bool, str]:
    """(is it as wished, the first line of every report)"""
    entry, record = run.entry, run.record
    if isinstance(record, HoldRecord):
        return record.reached and record.agree, text.verdict(record)
    if isinstance(record, ServeRecord):
        return not record.workers_killed, next(text.serve_lines(record))
    if entry.kind == "prove" and entry.ended_at and entry.outcome is not Outcome.BROKEN:
        return entry.outcome is Outcome.REACHED, f"{entry.held} of {entry.n} claims hold"
    return False, f"{entry.outcome}: {runs.why(entry)}"


def _tiles(run: StoredRun) -> Iterator[tuple[str, str, str]]:
    record = run.record
    if isinstance(record, HoldRecord):
        census = record.census
        yield "the plan", format_count(record.predicted), "can be held"
        yield "the engine", format_count(record.held), f"held, of {format_count(record.wanted)} wanted"
        server = "" if census.server is None else f"and {format_count(census.server)} at the server"
        yield "the kernel", format_count(census.client), f"counted at the client {server}".strip()
        yield "opened", format_rate(record.rate_per_s), f"in {format_duration(record.elapsed_s)}"
        if record.connect_us.p50 is not None:
            yield "connect", _us(record.connect_us.p50), f"median; p99 {_us(record.connect_us.p99)}"
        if record.memory and record.memory.measured_bytes is not None:
            ends = "both ends" if record.memory.ends == 2 else "this end"
            yield "memory", format_size(record.memory.measured_bytes), f"a connection, {ends}"
        yield "lost", format_count(record.lost), f"while held for {format_duration(record.held_s)}"
    elif isinstance(record, ServeRecord):
        yield "accepted", format_count(record.accepted), ""
        yield "at most at once", format_count(record.most_open), ""
        yield "closed by us", format_count(record.closed), ""
        yield "by the clients", format_count(record.lost), ""
        yield "received", format_size(record.received_bytes), ""
        yield "sent", format_size(record.sent_bytes), ""
    elif len(run.series):
        last = run.series[-1]
        yield "open", format_count(int(last["open"])), "at the last sample"
        yield "opened", format_count(int(last["opened"])), ""
        yield "lost", format_count(int(last["lost"])), ""


# The sections


def _sections(run: StoredRun, series: OverTime) -> Iterator[Section | None]:
    if run.entry.kind == "prove":
        yield Section("lessons", "The lessons", cards=[_card(result) for result in run.results])
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
    yield _environment(run)


def _time(run: StoredRun, series: OverTime) -> Section:
    planned = run.start.planned
    wanted = planned.wanted if planned else None
    words = "solid: what the engine holds; dashed: what the kernel counts in this network namespace"
    if planned and not planned.here:
        words += ", at this end"
    table = _over_time_table(series)
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
        (charts.latency_histogram(bins, latency, what, "histogram"), _bins_table(bins), text.latency(latency)),
    ]
    if not np.isnan(series.occupancy).all():
        chart = charts.latency_by_occupancy(series)
        figures.append((chart, _occupancy_table(series), _slow_lane(series)))
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
                text.latency(latency),
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
    known = [part.measured_bytes for part in use.parts if part.measured_bytes is not None]
    words = [f"Bytes a connection, {ends}; {format_count(use.connections)} were open."]
    if use.why_not:
        words.append(f"The kernel's parts were not measured: {use.why_not}.")
    beside = {part.name: part.beside for part in use.parts if part.beside}
    words += [
        f"With {name} are counted {', '.join(others)}: the kernel keeps them together."
        for name, others in beside.items()
    ]
    rows = [(part.name, part.what, _bytes(part.model_bytes), _bytes(part.measured_bytes)) for part in use.parts]
    modelled = sum(part.model_bytes or 0 for part in use.parts)
    rows.append(("sum", "", _bytes(modelled), _bytes(sum(known) if known and not use.why_not else None)))
    rows.append(("as planned", "what hold and plan count with", _bytes(use.model_bytes), ""))
    rows.append(("free memory", "by how much it shrank, others' use included", "", _bytes(use.measured_bytes)))
    table = Table(("part", "", "model", "measured"), rows, frozenset({2, 3}))
    return Section("memory", "Memory of a connection", words, figures=[(charts.memory(use), table, "")])


def _failures(run: StoredRun) -> Section | None:
    record = run.record
    failed = dict(record.failed) if record else run.last["failed"]
    lost_by = dict(record.lost_by) if record else run.last["lost_by"]
    rows = [
        (title, name, format_count(count), *_meaning(name))
        for title, by in (("failed", failed), ("lost", lost_by))
        for name, count in by.items()
    ]
    if not rows:
        return None
    table = Table(("", "by", "connections", "what it means", "what to do"), rows, frozenset({2}))
    return Section("failures", "What failed, and what was lost", tables=[table])


def _meaning(name: str) -> tuple[str, str]:
    if name == "FIN":
        return "the peer closed", ""
    symptom = symptom_of(getattr(errno, name, 0))
    return symptom.limit, symptom.do


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
    tables = [Table(("", ""), rows), Table(("setting", "as it stood"), settings)]
    return Section("environment", "To repeat it", tables=tables, commands=[run.entry.command])


def _planned(start: Start) -> list[tuple[str, str]]:
    planned = start.planned
    if planned is None:
        return []
    rows = [("loop", f"{planned.loop}: {planned.loop_because}")]
    if planned.wanted is not None:
        room = f"{format_count(planned.pairs)} pairs × {format_count(planned.usable)} source ports"
        rows += [("from", ", ".join(planned.sources)), ("strategy", f"{planned.strategy}: {room}")]
    return [*rows, ("to" if planned.wanted is not None else "on", ", ".join(planned.destinations))]


def _card(result: Result) -> Card:
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
    )


def _is_list_of_words(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, str) for each in value)


# The tables behind the charts


def _over_time_table(series: OverTime) -> Table:
    count = len(series.at_s)
    chosen = np.unique(np.linspace(0, count - 1, min(count, ROWS)).round().astype(int))
    rows = [
        (
            f"{series.at_s[i]:.2f}", format_count(int(series.held[i])), _maybe(series.kernel[i]),
            format_count(int(series.lost[i])), _maybe(series.rate_per_s[i]),
            _us(series.p50_us[i]), _us(series.p99_us[i]),
        )
        for i in chosen
    ]  # fmt: skip
    heads = ("second", "held", "the kernel counts", "lost", "new a second", "connect p50", "connect p99")
    note = f"{len(chosen)} of {format_count(count)} samples; all: fourtuple runs export" if len(chosen) < count else ""
    return Table(heads, rows, frozenset(range(7)), note)


def _heat_table(cells: Heat) -> Table:
    """By time alone: how many, and between which latencies."""
    rows = []
    for begin in np.unique(cells.from_s):
        of = cells.from_s == begin
        most = np.flatnonzero(of)[cells.count[of].argmax()]
        rows.append(
            (
                f"{begin:.2f}", format_count(int(cells.count[of].sum())), _us(cells.least_us[of].min()),
                f"{_us(cells.least_us[most])} to {_us(cells.below_us[most])}", _us(cells.below_us[of].max()),
            )
        )  # fmt: skip
    note = f"{ROWS} of {len(rows)} rows" if len(rows) > ROWS else ""
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), ROWS)).round().astype(int))
    heads = ("from second", "how many", "all above", "most of them", "all below")
    return Table(heads, [rows[i] for i in chosen], frozenset(range(5)), note)


def _bins_table(bins: Bins) -> Table:
    rows = [
        (_us(least), _us(below), format_count(int(count)))
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
            rows.append((f"{low} to {low + 5} %", _us(float(p50)), _us(float(p99))))
    return Table(("4-tuples in use", "p50", "p99"), rows, frozenset({1, 2}), "medians of the samples")


def _slow_lane(series: OverTime) -> str:
    """What half of the range does to connect(), where it did."""
    known = ~np.isnan(series.p50_us)
    below = series.p50_us[known & (series.occupancy > 25) & (series.occupancy < 49)]
    above = series.p50_us[known & (series.occupancy > 51)]
    if not len(below) or not len(above):
        return ""
    ratio = float(np.median(above) / np.median(below))
    if ratio < SLOW:
        return f"no slow lane: beyond half of the range it took {ratio:.1f} times as long as before"
    return (
        f"the slow lane: beyond half of the range it took {ratio:.0f} times as long as before, for the kernel tries"
        " every second port first; --strategy late avoids that (Linux 6.8)"
    )


SLOW = 3.0  # times: more than what a busy machine makes of it


def _bytes(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _maybe(value: float) -> str:
    return "–" if np.isnan(value) else format_count(round(value))


def _us(value: float | None) -> str:
    return "–" if value is None or np.isnan(value) else format_duration(value / 1e6)
