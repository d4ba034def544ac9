"""The machines of a fleet on the page of its run: what became of each, and each over time."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fourtuple.core.runs.machines import gone_words, is_as_planned, is_gone
from fourtuple.core.runs.records import MachineResult
from fourtuple.core.runs.series import MachineOverTime, evenly, machines_over_time
from fourtuple.core.runs.stored import StoredRun
from fourtuple.core.units import format_count, format_duration, format_rate, format_size
from fourtuple.faces.page import timelines
from fourtuple.faces.page.parts import ROWS, Section, Table, maybe, microseconds
from fourtuple.faces.text.machines import HELD, MOST, clock
from fourtuple.faces.text.words import counts


def machines_section(run: StoredRun) -> Section | None:
    """The section; None for a run without a fleet."""
    if not run.machines:
        return None
    results = run.record.machines if run.record else ()
    troubled = [each for each in results if not is_as_planned(each, run.entry.kind)]
    whole = _results(results, run.entry.kind) if results else _at_the_end(run)
    shown, behind = [whole], None
    if len(results) > MOST:
        first = [*troubled, *(each for each in results if each not in troubled)][:MOST]
        shown, behind = [_results(first, run.entry.kind)], replace(whole, note=f"all {format_count(len(results))}")
    series = machines_over_time(run)
    red = {each.number for each in troubled}
    lines = [
        timelines.by_machine(series, field=field, name=name, title=title, axis=axis, troubled=red)
        for field, name, title, axis in (
            ("held", "machines-held", "Connections of each machine", "connections"),
            ("rate_per_s", "machines-rate", "New connections of each machine per second", "per second"),
        )
    ]
    figures = [(lines[0], _over_time(series), ""), (lines[1], None, "between consecutive samples; see the table above")]
    return Section(
        "machines",
        "Machines",
        _words(run, troubled),
        figures=figures,
        tables=[*_became(results), *shown],
        behind=behind,
    )


def _words(run: StoredRun, troubled: Sequence[MachineResult]) -> list[str]:
    count = len(run.machines)
    what = f"{format_count(count)} machine{'s' * (count != 1)}"
    if not run.record:
        return [f"{what}; the table has their last samples."]
    return [
        f"{what}, {format_count(len(troubled))} of them not as planned." if troubled else f"{what}, all as planned."
    ]


def _results(results: Sequence[MachineResult], kind: str) -> Table:
    counted = (*HELD[kind], "lost", "failed", "at servers")
    heads = ("machine", "host", *counted, "rate", "connect p99", "CPU", "memory", "clock")
    return Table(heads, [tuple(_row(each)) for each in results], frozenset(range(2, len(heads))))


def _row(each: MachineResult) -> Iterator[str]:
    yield each.name
    yield each.host
    yield format_count(each.held)
    yield format_count(each.wanted)
    yield format_count(each.lost)
    yield counts(each.failed) or "0"
    yield "–" if each.at_servers is None else format_count(each.at_servers)
    yield format_rate(each.rate_per_s)
    yield microseconds(each.connect_us.p99)
    yield format_duration(each.cpu_user_s + each.cpu_system_s)
    yield format_size(each.rss_bytes)
    yield clock(each)


def _became(results: Sequence[MachineResult]) -> Iterator[Table]:
    """Which machines are gone, and which took over the share of another; no table if there is none."""
    rows = [(each.name, gone_words(each)) for each in results if is_gone(each)]
    rows += [(each.name, f"in the place of {each.instead_of}") for each in results if each.instead_of]
    if rows:
        yield Table(("machine", "what became of it"), rows)


def _over_time(series: Sequence[MachineOverTime]) -> Table:
    """Some of the samples of each machine."""
    each_of = max(2, ROWS // max(1, len(series)))
    rows = [
        (each.name, f"{each.at_s[i]:.2f}", format_count(int(each.held[i])), maybe(each.rate_per_s[i]))
        for each in series
        for i in evenly(len(each.at_s), each_of)
    ]
    heads = ("machine", "second", "open", "new per second")
    return Table(heads, rows, frozenset({1, 2, 3}), "some of the samples; all: fourtuple runs export")


def _at_the_end(run: StoredRun) -> Table:
    """Where each machine was at its last sample, of a run without a result."""
    last = [(each.name, each.series[-1]) for each in run.machines if len(each.series)]
    rows = [(name, *(format_count(int(row[column])) for column in ("open", "opened", "lost"))) for name, row in last]
    return Table(("machine", "open", "opened", "lost"), rows, frozenset({1, 2, 3}))
