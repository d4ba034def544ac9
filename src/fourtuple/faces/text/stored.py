"""A stored run as text: what was asked, found, changed and planned, and its result."""

from collections.abc import Iterator

from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.entry import Entry, RunState
from fourtuple.core.runs.records import HoldRecord, ServeRecord
from fourtuple.core.runs.start import Start
from fourtuple.core.runs.stored import StoredRun
from fourtuple.core.units import format_count, format_duration, format_rate, format_size, format_things
from fourtuple.faces.text import churn, hold, serve
from fourtuple.faces.text.lines import wrapped
from fourtuple.faces.text.prove import MARKS
from fourtuple.faces.text.runs import local

NAMES = 8  # machines of a fleet that are named


def show_lines(run: StoredRun) -> Iterator[str]:
    """One run: what was asked, found, changed and planned, and the result."""
    entry = run.entry
    ended = f", until {local(entry.ended_at):%H:%M:%S}" if entry.ended_at else ""
    yield from wrapped("", f"{entry.title}: {entry.kind}, {local(entry.started_at):%Y-%m-%d %H:%M:%S %Z}{ended}")
    if entry.note:
        yield from wrapped("  note      ", entry.note)
    yield f"  asked     {entry.command}"  # on one line, so that it can be pasted
    yield from start_lines(run.start)
    if fleet := fleet_words(run):
        yield from wrapped("  fleet     ", fleet)
    if entry.samples:
        yield from wrapped(
            "  samples   ", f"{format_count(entry.samples)}, over {format_duration(float(run.at_s[-1]))}"
        )
    yield ""
    yield from _result(run)


def fleet_words(run: StoredRun) -> str:
    """The fleet that the run belongs to, or that it is the run of; empty: none."""
    part = run.start.part
    if part is not None:
        instead = f", in the place of {part.instead_of}" if part.instead_of else ""
        return f"{part.fleet}: this is the part of machine {part.number}, {part.machine}{instead}"
    if not run.start.fleet:
        return ""
    names = ", ".join(each.name for each in run.machines[:NAMES])
    more = f" and {format_count(len(run.machines) - NAMES)} more" if len(run.machines) > NAMES else ""
    count = f"{format_count(len(run.machines))} machine{'s' * (len(run.machines) != 1)}"
    return f"{run.start.fleet}, {count}{': ' * bool(names)}{names}{more}"


def start_lines(start: Start) -> Iterator[str]:
    """What the run found, changed and planned."""
    found, planned = start.found, start.planned
    memory = f", {format_size(found.free_bytes)} free {found.free_where}" if found.free_bytes else ""
    host = f"{found.host}: Linux {found.kernel}, {found.cpus} × {found.cpu}, {format_size(found.memory_bytes or 0)}"
    yield from wrapped("  found     ", f"{host}{memory}")
    files = f"files per process {format_count(found.files_soft)}, {format_count(found.files_open)} in use"
    ports = " ".join(found.sysctls.get("net.ipv4.ip_local_port_range", "?").split())
    yield from wrapped("            ", f"port range {ports}; {files}; uid {found.uid}; fourtuple {found.fourtuple}")
    for change in start.changed:
        yield from wrapped("  changed   ", f"{change.what}: {change.before} → {change.after}")
    if planned is None:
        return
    to = ", ".join(planned.targets)
    way = f"from {', '.join(planned.sources)} to {to}" if planned.sources else f"to {to}"
    if start.kind == "churn":
        rate = f"{format_rate(planned.rate_per_s or 0)} for {format_duration(planned.run_s or 0)}"
        yield from wrapped("  planned   ", f"{rate} {way}; {planned.strategy}; {planned.loop}: {planned.loop_because}")
        return
    if planned.wanted is None:
        yield from wrapped("  planned   ", f"listen on {to}; {planned.loop}: {planned.loop_because}")
        return
    pairs = format_things(planned.pairs, "pair")
    ports = format_things(planned.usable, "port")
    room = f"{pairs} of source and destination × {ports}; " if planned.usable else ""
    yield from wrapped(
        "  planned   ",
        f"{format_count(planned.predicted or 0)} of {format_count(planned.wanted)} {way}: {room}{planned.strategy};"
        f" {planned.loop}: {planned.loop_because}",
    )


def _result(run: StoredRun) -> Iterator[str]:
    entry = run.entry
    if isinstance(run.record, HoldRecord):
        yield from hold.hold_lines(run.record)
    elif isinstance(run.record, ChurnRecord):
        yield from churn.churn_lines(run.record)
    elif isinstance(run.record, ServeRecord):
        yield from serve.serve_lines(run.record)
    for result in run.results:
        yield from wrapped(f"{MARKS[result.verdict]} ", f"{result.name}: {result.claim}")
    if entry.kind == "prove":
        yield f"{entry.held or 0} of {entry.n or 0} claims hold, {entry.outcome}"
    elif run.record is None:
        yield from wrapped("", f"{entry.outcome}: {why(entry)}")
        if len(run.series):
            last = run.series[-1]
            then = f"last sample, after {format_duration(float(run.at_s[-1]))}"
            counts = f"{format_count(int(last['open']))} open, {format_count(int(last['lost']))} lost"
            yield from wrapped("  ", f"{then}: {counts}")


def why(entry: Entry) -> str:
    """Why the run has this outcome, or what its outcome means."""
    return {
        RunState.RUNNING: f"follow it with fourtuple runs show {entry.id} --follow",
        RunState.KILLED: "the process ended without recording a result; the samples stored until then are kept",
        RunState.UNFINISHED: "no result was recorded; whether it is still running cannot be seen from here",
    }.get(entry.outcome, entry.why)
