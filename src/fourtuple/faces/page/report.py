"""A stored run, or two side by side, as one self-contained HTML page: a record in, text out.

Everything is there as text and tables; each chart has the table behind it. Needs the extra `report`.
"""

import gzip
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cache
from hashlib import sha256
from types import MappingProxyType
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from fourtuple import __version__
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.compare import Comparison, Row
from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.entry import RunState
from fourtuple.core.runs.records import HoldRecord, ServeRecord
from fourtuple.core.runs.series import histogram, over_time
from fourtuple.core.runs.stored import StoredRun
from fourtuple.core.units import format_count, format_duration, format_rate, format_size
from fourtuple.core.visible import visible, visible_json
from fourtuple.faces.page import drawing, durations, timelines
from fourtuple.faces.page.drawing import Chart
from fourtuple.faces.page.javascript import library
from fourtuple.faces.page.parts import ZOOM, Section, Table, microseconds
from fourtuple.faces.page.sections import sections_of
from fourtuple.faces.page.tables import both_table, percentiles_table
from fourtuple.faces.text import compare, prove, stored

EMPTY: Mapping[str, Any] = MappingProxyType({})
# Styles may be in elements, as Vega sets them; scripts are those whose hashes are listed.
WRAPPED = 20  # characters for which a column has room on a phone
POLICY = (
    "default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data:; connect-src {connect};"
    " base-uri 'none'; form-action 'self'"
)


def run_page(run: StoredRun, downloads: Mapping[str, bytes] = EMPTY, *, follow: str = "", home: str = "") -> str:
    """The page of one run.

    downloads: data that the page offers, by the name of the file
    follow:    the path from which the page asks for what is new (`news`); empty: it asks for nothing
    home:      the path of the list of runs; empty: there is none
    """
    series = over_time(run)
    sections = [section for section in sections_of(run, series) if section is not None]
    return rendered(
        "run.html.j2",
        **_now(run),
        sections=sections,
        samples=timelines.samples_data(series),
        drawn=[chart for section in sections for chart, _, _ in section.all_figures],
        downloads=downloads,
        follow={"path": follow, "shape": shape(run)} if follow else None,
        home=home,
    )


def news(run: StoredRun) -> dict[str, Any]:
    """What a page that follows the run replaces: its first lines, and the samples of its charts.

    shape: if it is another one than before, the page has to be loaded again
    """
    return {"shape": shape(run), "now": first_lines(**_now(run)), "samples": timelines.samples_data(over_time(run))}


def first_lines(**context: Any) -> str:
    """What stands above the sections of a page, as HTML.

    context: title, when, good, verdict and tiles, as in `rendered`
    """
    return _environment().get_template("now.html.j2").render(**context)


def shape(run: StoredRun) -> str:
    """What decides which sections and lines a page of the run has."""
    last = run.series[-1] if len(run.series) else None
    about = [] if last is None else [int(last["phase"]), bool(last["lost"])]
    measured = sorted(name for name, grown in run.growth.items() if len(grown))
    return json.dumps(
        [run.entry.outcome, about, measured, [[each.what, each.name] for each in run.errors], len(run.results)]
    )


def _now(run: StoredRun) -> dict[str, Any]:
    good, verdict = _verdict(run)
    return {
        "title": _title(run),
        "when": _when(run),
        "note": run.entry.note,
        "good": good,
        "verdict": verdict,
        "tiles": list(_tiles(run)),
    }


def compare_page(comparison: Comparison, *, home: str = "") -> str:
    """The page of two runs: numbers and ratios, differing settings, and both over time."""
    both = [(run.entry.title, run) for run in (comparison.first, comparison.second)]
    series = [(name, over_time(run)) for name, run in both]
    names = tuple(name for name, _ in both)
    figures = [
        (timelines.both(series, field=field, title=title, axis=axis), both_table(series, field), "")
        for field, title, axis in (
            ("held", "Connections over time", "connections"),
            ("rate_per_s", "New connections per second", "per second"),
        )
    ]
    if all(len(run.growth["connect_us"]) for _, run in both):
        latencies = durations.both_latencies([(name, histogram(run.growth["connect_us"])[0]) for name, run in both])
        figures.append((latencies, percentiles_table(both), ""))
    rows = [
        (row.name, compare.cell(row, row.first), compare.cell(row, row.second), compare.ratio(row), _marked(row))
        for row in comparison.rows
    ]
    words = [compare.machines(comparison)] if comparison.other_machine else []
    numbers = Table(("", *names, "ratio", ""), rows, frozenset({1, 2, 3}))
    sections = [
        Section("numbers", "Side by side", words, tables=[numbers]),
        Section("time", "Over time", hint=ZOOM, figures=figures),
        Section("repeat", "Commands to repeat the runs", commands=[run.entry.command for _, run in both]),
    ]
    if comparison.differs:
        differs = Table(("setting", *names), comparison.differs)
        sections.insert(1, Section("differs", "What is not the same", tables=[differs]))
    where = "Different machines" if comparison.other_machine else "On one machine"
    return rendered(
        "run.html.j2",
        title=f"{names[0]} and {names[1]} side by side",
        when="; ".join(f"{_title(run)}: {_when(run)}" for _, run in both),
        good=None,
        verdict=f"{where}. {compare.in_short(comparison)}",
        tiles=[],
        sections=sections,
        samples={},
        drawn=[chart for chart, _, _ in figures],
        home=home,
    )


def _marked(row: Row) -> str:
    """Better and worse have a mark and a word, so that the colour does not say it alone."""
    return f"{compare.MARKED[row.tendency]} {row.tendency}" if row.tendency in compare.MARKED else ""


def rendered(
    template: str,
    *,
    drawn: Sequence[Chart],
    samples: Mapping[str, Any],
    downloads: Mapping[str, bytes] = EMPTY,
    follow: Mapping[str, str] | None = None,
    home: str = "",
    **context: Any,
) -> str:
    """A page of its own: the template with the style, and the charts with what draws them.

    Its policy (Content-Security-Policy) lets it run its own scripts and nothing else, and load nothing; a page that
    follows a run may ask where it came from.
    """
    loaded = [_source("page.js"), *([library(), _source("draw.js")] if drawn else [])]
    hashes = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in loaded)
    return (
        _environment()
        .get_template(template)
        .render(
            version=__version__,
            style=Markup(_source("style.css")),  # noqa: S704
            policy=POLICY.format(scripts=hashes, connect="'self'" if follow else "'none'"),
            scripts=[Markup(script) for script in loaded],  # noqa: S704  (none can end its script element)
            charts=_script({chart.name: chart.specification for chart in drawn}),
            samples=_script(samples),
            config=_script(drawing.CONFIG),
            downloads={name: b64encode(gzip.compress(data, mtime=0)).decode() for name, data in downloads.items()},
            follow=_script(follow) if follow else "",
            home=home,
            **context,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fourtuple.faces.page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["in_lines"] = lambda lines: Markup("\n").join(map(visible, lines))
    environment.filters["wrappable"] = _wrappable
    return environment


def _source(name: str) -> str:
    """The text of a file next to the templates."""
    environment = _environment()
    assert environment.loader  # noqa: S101  (for the type checker)
    return environment.loader.get_source(environment, name)[0]


def _visible(value: Any) -> Any:
    """What a template prints: text of others cannot reverse the direction of what follows it."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _wrappable(text: str) -> str:
    """A number of more digits than a phone has room for, which may be wrapped between them; any other text as it is."""
    return Markup(",<wbr>").join(visible(text).split(",")) if len(text) > WRAPPED else text


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
    return None if entry.outcome is RunState.RUNNING else False, f"{entry.outcome}: {stored.why(entry)}"


def _tiles(run: StoredRun) -> Iterator[tuple[str, str, str]]:
    record = run.record
    if isinstance(record, HoldRecord):
        yield "held", format_count(record.held), f"of {format_count(record.wanted)} wanted; {_witnesses(record)}"
        if record.connect_us.p50 is not None:
            yield "opened", format_rate(record.rate_per_s), f"in {format_duration(record.elapsed_s)}"
            yield "connect", microseconds(record.connect_us.p50), f"median; p99 {microseconds(record.connect_us.p99)}"
        if record.memory and record.memory.each_bytes is not None:
            ends = "both ends" if record.memory.ends == 2 else "this end"
            yield "memory", format_size(record.memory.each_bytes), f"per connection, {ends}"
        if record.churn_per_s:
            rates = f"{format_rate(record.replaced_per_s)} of {format_rate(record.churn_per_s)} planned"
            yield "replaced", format_count(record.replaced), rates
        if record.answers:
            yield "answers", format_count(record.answers), f"{format_rate(record.answers_per_s)}"
        yield "failed", format_count(sum(record.failed.values())), "were not opened"
        yield "lost", format_count(record.lost), _lost_when(record)
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
        planned = run.start.planned
        of = f"of {format_count(planned.wanted)} wanted; " if planned and planned.wanted else ""
        yield "open", format_count(int(last["open"])), f"{of}{Phase(int(last['phase'])).name.lower()}"
        yield "opened", format_count(int(last["opened"])), "so far"
        yield "failed", format_count(sum(run.last["failed"].values())), ""
        yield "lost", format_count(int(last["lost"])), ""
        yield "last sample", format_duration(float(run.at_s[-1])), "since the run began"


def _lost_when(record: HoldRecord) -> str:
    """During which part of the run connections were lost, as the first line of the report says it."""
    holding, opening = f"in {format_duration(record.held_s)} of holding", "while connections were being opened"
    if not record.lost_while_opening:
        return holding
    if record.lost == record.lost_while_opening:
        return opening
    return f"{format_count(record.lost_while_opening)} of them {opening}, the others {holding}"


def _witnesses(record: HoldRecord) -> str:
    """Whether the engine and the kernel agree, and what the kernel lists if they do not."""
    if record.agree:
        return "engine and kernel agree"
    census = record.census
    server = "" if census.server is None else f" and {format_count(census.server)} at the server"
    return f"the kernel lists {format_count(census.client)} at the client{server}"
