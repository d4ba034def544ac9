"""The sections of a report in order, each from the parts of a stored run that it shows."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.counters import telling
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.memory import MemoryUse, PartUse
from fourtuple.core.runs.proof import Result
from fourtuple.core.runs.records import HoldRecord, ServeRecord
from fourtuple.core.runs.require import got_words
from fourtuple.core.runs.series import OverTime, errors_over_time, evenly, heat, histogram, phases
from fourtuple.core.runs.spread import Sharing
from fourtuple.core.runs.start import Start
from fourtuple.core.runs.stored import LessonProgress, RunRecord, StoredRun
from fourtuple.core.units import format_count, format_duration, format_rate, format_size, format_things
from fourtuple.faces.page import charts, durations, timelines
from fourtuple.faces.page.drawing import Chart
from fourtuple.faces.page.machines import machines_section
from fourtuple.faces.page.parts import MET, ROWS, UNMET, ZOOM, Card, Section, Table
from fourtuple.faces.page.tables import (
    bins_table,
    errors_table,
    heat_table,
    latencies_table,
    occupancy_table,
    over_time_table,
    resources_table,
)
from fourtuple.faces.text import churn, hold, serve
from fourtuple.faces.text.destinations import title, trouble_words
from fourtuple.faces.text.lines import COLUMNS, in_columns
from fourtuple.faces.text.prove import MARKS, SAYS, bars_of, compared, where, word
from fourtuple.faces.text.stored import fleet_words
from fourtuple.faces.text.words import latency as latency_words
from fourtuple.faces.text.words import lost_by, meaning

LEAST_OCCUPANCY = 5.0  # percent; below, the time to connect does not depend on it
FEW = 5  # points; with fewer, a line chart is not useful
SEARCHING = ("plain", "noport")  # strategies with which the kernel tries every second port first
SLOW = 3.0  # times slower; more than the noise of a busy machine


def sections_of(run: StoredRun, series: OverTime) -> Iterator[Section | None]:
    """The sections in order; None for one without content."""
    record = run.record
    if record:
        yield _requirements(record)
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
        yield _latencies(run)
        yield _time(run, series)
        if isinstance(record, HoldRecord):
            yield _stages(record)
        yield machines_section(run)
        yield _latency(run, series)
    if isinstance(record, HoldRecord):
        if record.answers:
            yield _answers(run)
        yield _ports(record.sharing)
        yield _memory(record.memory)
    elif isinstance(record, ChurnRecord) and record.last_us.p50 is not None:
        yield _exchanges(run)
    yield _resources(series)
    yield _failures(run)
    if isinstance(record, HoldRecord | ChurnRecord):
        yield _destinations(record)
    yield _counters(run)
    yield _in_words(run)
    yield _environment(run)


def _requirements(record: RunRecord) -> Section | None:
    rows = [
        (f"{MET if each.met else UNMET}", f"{each.name}{each.wanted}", got_words(each, type(record)))
        for each in record.outcome.required
    ]
    if not rows:
        return None
    return Section("requirements", "Requirements", tables=[Table(("", "required", "observed"), rows, frozenset({2}))])


def _latencies(run: StoredRun) -> Section | None:
    table = latencies_table(run)
    return Section("latencies", "Latencies", tables=[table]) if table.rows else None


def _time(run: StoredRun, series: OverTime) -> Section:
    planned, kind = run.start.planned, run.entry.kind
    wanted, of_server = planned.wanted if planned else None, kind == "serve"
    spans = phases(run) if kind == "hold" else ()
    words = []
    if wanted is not None:
        ends = "" if planned and planned.here else " at this end"
        words = [f"The kernel's count{ends} includes other programs in this network namespace."]
    table = over_time_table(series, kind)
    named = f", {format_count(wanted)} wanted" if wanted else ""
    figures: list[tuple[Chart, Table | None, str]] = [
        (timelines.held(series, spans if len(spans) > 1 else (), wanted, named, of_server=of_server), table, ""),
    ]
    if np.nanmax(series.rate_per_s, initial=0) > 0:
        figures.append((timelines.rate(series, "Accepted" if of_server else "Opened"), None, "see the table above"))
    if kind == "churn" and np.nanmax(series.time_wait, initial=0) > 0:
        figures.append((timelines.time_wait(series), None, "of the whole network namespace; see the table above"))
    if rates := errors_over_time(run):
        rates = tuple(replace(each, what="closed") for each in rates) if of_server else rates
        width = format_duration(rates[0].width_s)
        chart = timelines.errors(rates, spans, of_server=of_server)
        figures.append((chart, errors_table(rates), f"new ones in intervals of {width}"))
    return Section("time", "Over time", words, hint=ZOOM, figures=figures)


def _resources(series: OverTime) -> Section | None:
    """Processors and memory of the program over time; None: they were never read."""
    if np.count_nonzero(~np.isnan(series.user)) < 2:
        return None
    figures = [
        (timelines.processors(series), resources_table(series), "by this program; 1 is one processor all the time"),
        (timelines.memory_over_time(series), None, "see the table above"),
    ]
    return Section("resources", "Processor and memory over time", figures=figures)


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
    if np.nanmax(series.occupancy, initial=0) >= LEAST_OCCUPANCY:
        chart = durations.latency_by_occupancy(series)
        figures.append((chart, occupancy_table(series), _slow_lane(series, run.start)))
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
        (durations.latency_over_time(cells, what, f"{prefix}latency"), heat_table(cells), "colour: how many in a cell"),
        (
            durations.latency_histogram(bins, latency, what, f"{prefix}histogram"),
            bins_table(bins),
            latency_words(latency),
        ),
    ]


def _ports(sharing: Sharing | None) -> Section | None:
    if sharing is None or not sharing.ports:
        return None
    most = max(sharing.carrying)
    counted = format_count(sum(c * n for c, n in sharing.carrying.items()))
    words = (
        f"{counted} connections use {format_count(sharing.ports)} local ports, {format_count(most)} at most on one port"
        f" ({sharing.busiest}). Counted in the kernel's table when all were open."
    )
    usable = [
        (charts.pair_name(pair), format_count(pair.used), format_count(pair.pairs * sharing.usable),
         f"{100 * pair.used / max(1, pair.pairs * sharing.usable):.1f} %")
        for pair in sharing.pairs
    ]  # fmt: skip
    figures = [(charts.pairs(sharing), Table(("pair", "used", "usable", ""), usable, frozenset({1, 2, 3})), "")]
    if len(sharing.carrying) > 1:
        rows = [(format_count(c), format_count(n)) for c, n in sharing.carrying.items()]
        table = Table(("connections on one port", "number of local ports"), rows, frozenset({0, 1}))
        figures.insert(0, (charts.carrying(sharing), table, "one local port can serve one connection per destination"))
    return Section("ports", "How local ports are shared", [words], figures=figures)


def _memory(use: MemoryUse | None) -> Section | None:
    if use is None:
        return None
    ends = "both ends" if use.ends == 2 else "this end"
    words = [f"Bytes per connection, {ends}; {format_count(use.connections)} were open."]
    if use.why_not:
        words.append(f"The parts in the kernel were not measured: {use.why_not}.")
    rows = [(part.name, _what(part), _bytes(part.model_bytes), _bytes(part.measured_bytes)) for part in use.parts]
    modelled = sum(part.model_bytes or 0 for part in use.kernel_parts)
    measured = None if use.why_not else use.each_bytes
    rows.append(("sum", "of the kernel's parts, excluding the hash table", _bytes(modelled), _bytes(measured)))
    rows.append(("as planned", "the value that hold and plan use", _bytes(use.model_bytes), ""))
    rows.append(("free memory", "decrease, including other programs", "", _bytes(use.measured_bytes)))
    table = Table(("part", "", "model", "measured"), rows, frozenset({2, 3}))
    return Section("memory", "Memory of a connection", words, figures=[(charts.memory(use), table, "")])


def _what(part: PartUse) -> str:
    """What a part of the memory is, with what cannot be told from it."""
    beside = ", ".join(part.beside)
    return f"{part.what}, and {beside}, which the kernel allocates from the same slab" if beside else part.what


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
        do = "" if strategy == Strategy.UNIX else f"{run.entry.kind} --log shows them."
        for count, what in ((record.unexpected, "unexpected"), (record.unanswered, "missing")):
            if count:
                rows.append(("answers", "", format_count(count), what, do))
    if not rows:
        return None
    table = Table(("", "errno", "count", "meaning", "what to do"), rows, frozenset({2}))
    title = "Closed by clients" if of_server and not failed else "Failed and lost connections"
    return Section("failures", title, tables=[table])


def _destinations(record: HoldRecord | ChurnRecord) -> Section | None:
    """What became of the connections to each destination; None: there is only one, or they were not recorded."""
    found = record.destinations
    if sum(each.destinations for each in found) < 2:
        return None
    heads = ("destination", "opened", "per second", "failed", "lost", "by errno")
    rows = [
        (
            title(each),
            format_count(each.opened),
            format_rate(each.opened / record.elapsed_s if record.elapsed_s else 0.0),
            format_count(sum(each.failed.values())),
            format_count(sum(each.lost.values())),
            trouble_words(each),
        )
        for each in found
    ]
    return Section("destinations", "By destination", tables=[Table(heads, rows, frozenset(range(1, 5)))])


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
    with in_columns(COLUMNS):
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
        room = f"{format_things(planned.pairs, 'pair')} × {format_things(planned.usable, 'source port')}"
        rows += [("from", ", ".join(planned.sources)), ("strategy", f"{planned.strategy}: {room}")]
    return [*rows, ("on" if of_server else "to", ", ".join(planned.targets))]


def _card(result: Result, progress: Sequence[LessonProgress]) -> Card:
    figures: list[tuple[Chart, Table | None, str]] = []
    lists, others = [], []
    for name, value in result.evidence.items():
        if bars := bars_of(value):
            numbers = [(each, number, word(number)) for each, number in bars.items()]
            table = Table(("", "observed"), [(each, text) for each, _, text in numbers], frozenset({1}))
            figures.append((charts.named(f"{result.name}-{len(figures)}", name, numbers), table, ""))
        elif isinstance(value, list) and value:
            lists.append((name, [str(line) for line in value]))
        elif isinstance(value, (int, float, str)):
            others.append((name, word(value)))
    if len(progress) >= FEW:
        points = [(f"{each.at_s - progress[0].at_s:.2f}", format_count(each.done)) for each in progress]
        table = Table(("second", "connections"), [points[i] for i in evenly(len(points), ROWS)], frozenset({0, 1}))
        figures.append((charts.progress(result.name, progress), table, ""))
    return Card(
        result=result,
        mark=MARKS[result.verdict],
        says=SAYS[result.verdict],
        took=format_duration(result.seconds),
        table=Table(("", "predicted", "observed"), list(compared(result)), frozenset({1, 2})),
        lists=lists,
        others=Table(("", "observed"), others, frozenset({1})),
        figures=figures,
    )


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
