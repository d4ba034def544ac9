"""A stored run, or two side by side, as one self-contained HTML page: a record in, text out.

Everything is there as text and tables; each chart has the table behind it. Needs the extra `report`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fourtuple import __version__
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.compare import Comparison
from fourtuple.core.runs.records import HoldRecord, ServeRecord
from fourtuple.core.runs.series import histogram, over_time
from fourtuple.core.runs.stored import RunState, StoredRun
from fourtuple.core.units import format_count, format_duration, format_rate, format_size
from fourtuple.core.visible import visible, visible_json
from fourtuple.faces.page import charts
from fourtuple.faces.page.charts import Chart
from fourtuple.faces.page.javascript import library
from fourtuple.faces.page.parts import ZOOM, Section, Table, microseconds
from fourtuple.faces.page.sections import both_table, percentiles_table, sections_of
from fourtuple.faces.text import compare, prove, runs


def run_page(run: StoredRun) -> str:
    """The page of one run."""
    series = over_time(run)
    sections = [section for section in sections_of(run, series) if section is not None]
    good, verdict = _verdict(run)
    return rendered(
        "run.html.j2",
        title=_title(run),
        when=_when(run),
        good=good,
        verdict=verdict,
        note=run.entry.note,
        tiles=list(_tiles(run)),
        sections=sections,
        samples=charts.samples_data(series),
        drawn=[chart for section in sections for chart, _, _ in section.all_figures],
    )


def compare_page(comparison: Comparison) -> str:
    """The page of two runs: numbers and ratios, differing settings, and both over time."""
    both = [(run.entry.title, run) for run in (comparison.first, comparison.second)]
    series = [(name, over_time(run)) for name, run in both]
    names = tuple(name for name, _ in both)
    figures = [
        (charts.both(series, field=field, title=title, axis=axis), both_table(series, field), "")
        for field, title, axis in (
            ("held", "Connections over time", "connections"),
            ("rate_per_s", "New connections per second", "per second"),
        )
    ]
    if all(len(run.growth["connect_us"]) for _, run in both):
        latencies = charts.both_latencies([(name, histogram(run.growth["connect_us"])[0]) for name, run in both])
        figures.append((latencies, percentiles_table(both), ""))
    rows = [
        (row.name, compare.cell(row, row.first), compare.cell(row, row.second), compare.ratio(row))
        for row in comparison.rows
    ]
    words = [compare.machines(comparison)] if comparison.other_machine else []
    numbers = Table(("", *names, "ratio (second / first)"), rows, frozenset({1, 2, 3}))
    sections = [
        Section("numbers", "Side by side", words, tables=[numbers]),
        Section("time", "Over time", hint=ZOOM, figures=figures),
        Section("repeat", "Commands to repeat the runs", commands=[run.entry.command for _, run in both]),
    ]
    if comparison.differs:
        differs = Table(("", *names), comparison.differs)
        sections.insert(1, Section("differs", "Differences", tables=[differs]))
    good = not comparison.other_machine
    return rendered(
        "run.html.j2",
        title=f"{names[0]} and {names[1]} side by side",
        when="; ".join(f"{_title(run)}: {_when(run)}" for _, run in both),
        good=good,
        verdict="Same machine: results are comparable" if good else "Different machines",
        tiles=[],
        sections=sections,
        samples={},
        drawn=[chart for chart, _, _ in figures],
    )


def rendered(template: str, *, drawn: Sequence[Chart], samples: Mapping[str, Any], **context: Any) -> str:
    """A page of its own: the template with the style, and the charts with what draws them."""
    loader = PackageLoader("fourtuple.faces.page")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["in_lines"] = lambda lines: Markup("\n").join(map(visible, lines))
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


def _visible(value: Any) -> Any:
    """What a template prints: text of others cannot reverse the direction of what follows it."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _script(value: Any) -> Markup:
    """JSON for a script element, which only `</` could end (HTML, 4.12.1.3)."""
    compact = visible_json(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False))
    return Markup(compact.replace("<", "\\u003c"))  # noqa: S704  (it has no character that could end the script element)


# The head of the page


def _title(run: StoredRun) -> str:
    planned = run.start.planned
    number = f"{run.entry.title}: " if run.entry.id else ""  # 0: the run was not stored
    if run.entry.kind == "prove":
        return f"{number}{run.entry.n} claims about connections, tested on real sockets"
    to = ", ".join(planned.targets) if planned else ""
    if run.entry.kind == "serve":
        return f"{number}serve {to}"
    if run.entry.kind == "churn":
        return f"{number}churn {format_rate(planned.rate_per_s or 0) if planned else ''} → {to}"
    return f"{number}hold {format_count(planned.wanted or 0) if planned else ''} → {to}"


def _when(run: StoredRun) -> str:
    began = datetime.fromisoformat(run.entry.started_at)
    found = run.start.found
    took = ""
    if run.entry.ended_at:
        took = f", {format_duration((datetime.fromisoformat(run.entry.ended_at) - began).total_seconds())}"
    return f"{began:%Y-%m-%d %H:%M:%S} UTC{took}, on {found.host}, Linux {found.kernel}"


def _verdict(run: StoredRun) -> tuple[bool | None, str]:
    """Whether the result is as intended (None: the run has not ended), and the first line of the report."""
    entry, record = run.entry, run.record
    if record is not None:
        return record.outcome.reached, record.outcome.says
    if entry.kind == "prove" and entry.ended_at and entry.outcome is not RunState.BROKEN:
        return entry.outcome is RunState.REACHED, prove.counts(run.results)
    return None if entry.outcome is RunState.RUNNING else False, f"{entry.outcome}: {runs.why(entry)}"


def _tiles(run: StoredRun) -> Iterator[tuple[str, str, str]]:
    record = run.record
    if isinstance(record, HoldRecord):
        census = record.census
        yield "the plan", format_count(record.predicted), "predicted"
        yield "the engine", format_count(record.held), f"held, of {format_count(record.wanted)} wanted"
        server = "" if census.server is None else f"and {format_count(census.server)} at the server"
        yield "the kernel", format_count(census.client), f"counted at the client {server}".strip()
        if record.connect_us.p50 is not None:
            yield "opened", format_rate(record.rate_per_s), f"in {format_duration(record.elapsed_s)}"
            yield "connect", microseconds(record.connect_us.p50), f"median; p99 {microseconds(record.connect_us.p99)}"
        if record.memory and record.memory.each_bytes is not None:
            ends = "both ends" if record.memory.ends == 2 else "this end"
            yield "memory", format_size(record.memory.each_bytes), f"per connection, {ends}"
        if record.churn_per_s:
            rates = f"{format_rate(record.replaced_per_s)} of {format_rate(record.churn_per_s)} planned"
            yield "replaced", format_count(record.replaced), rates
        yield "lost", format_count(record.lost), f"held for {format_duration(record.held_s)}"
    elif isinstance(record, ChurnRecord):
        yield "completed", format_count(record.completed), f"of {format_count(record.arrivals)} that were due"
        yield "started", format_rate(record.rate_per_s), f"of {format_rate(record.planned_per_s)} planned"
        yield "late", format_count(record.late), f"{format_count(record.not_started)} not started"
        yield "connect", microseconds(record.connect_us.p50), f"median; p99 {microseconds(record.connect_us.p99)}"
        if record.last_us.p50 is not None:
            yield "answered", microseconds(record.last_us.p50), f"median; p99 {microseconds(record.last_us.p99)}"
        yield "most open at once", format_count(record.most_open), f"{format_count(record.expected_open)} expected"
        yield "failed", format_count(sum(record.failed.values())), f"{format_count(record.lost)} lost"
    elif isinstance(record, ServeRecord):
        yield "accepted", format_count(record.accepted), ""
        yield "most open at once", format_count(record.most_open), ""
        yield "closed by server", format_count(record.closed), ""
        yield "closed by clients", format_count(record.lost), ""
        yield "received", format_size(record.received_bytes), ""
        yield "sent", format_size(record.sent_bytes), ""
    elif len(run.series):
        last = run.series[-1]
        yield "open", format_count(int(last["open"])), "at the last sample"
        yield "opened", format_count(int(last["opened"])), ""
        yield "lost", format_count(int(last["lost"])), ""
