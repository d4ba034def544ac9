"""Stored runs as text: the list, newest first, and a single run."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.records import HoldRecord, ServeRecord
from fourtuple.core.runs.start import Start
from fourtuple.core.runs.stored import Entry, RunState, StoredRun
from fourtuple.core.units import format_count, format_duration, format_rate, format_size, format_things
from fourtuple.faces.text import churn, hold, serve
from fourtuple.faces.text.lines import COLUMNS, wrapped
from fourtuple.faces.text.prove import MARKS

WAYS = {"hold": "held", "serve": "open at once", "churn": "completed", "prove": "claims"}
NUMBERS = 24, 40  # the least and the largest width of the column of numbers
NAMES = 8  # machines of a fleet that are named
NAME, CELL = 22, 16  # columns of a comparison


def list_lines(entries: Sequence[Entry], columns: int | None = COLUMNS) -> Iterator[str]:
    """The list of runs.

    columns: width at which lines are cut; None: they are not cut
    """
    if not entries:
        yield "no stored runs; hold, churn, serve and prove store one each"
        return
    width = max(NUMBERS[0], min(NUMBERS[1], max(len(result_words(entry)) for entry in entries)))
    yield f"{'run':>5}  {'started':<16}  {'outcome':<10}  {'':<{width}}  command"
    for entry in entries:
        began = f"{local(entry.started_at):%Y-%m-%d %H:%M}"
        number = f"{cut(result_words(entry), width):<{width}}"
        named = f"{entry.name}: " if entry.name else ""
        line = f"{entry.id:>5}  {began}  {entry.outcome:<10}  {number}  {named}{entry.command}"
        yield line if columns is None else cut(line, columns)


def cut(text: str, room: int) -> str:
    """The text, at most `room` characters of it."""
    return text if len(text) <= room else f"{text[: room - 1]}…"


def show_lines(run: StoredRun) -> Iterator[str]:
    """One run: what was asked, found, changed and planned, and the result."""
    entry = run.entry
    ended = f", until {local(entry.ended_at):%H:%M:%S}" if entry.ended_at else ""
    yield f"{entry.title}: {entry.kind}, {local(entry.started_at):%Y-%m-%d %H:%M:%S %Z}{ended}"
    if entry.note:
        yield from wrapped("  note      ", entry.note)
    yield f"  asked     {entry.command}"  # on one line, so that it can be pasted
    yield from start_lines(run.start)
    if fleet := fleet_words(run):
        yield from wrapped("  fleet     ", fleet)
    if entry.samples:
        yield f"  samples   {format_count(entry.samples)}, over {format_duration(float(run.at_s[-1]))}"
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
    if start.kind == "churn":
        sources = ", ".join(planned.sources)
        rate = f"{format_rate(planned.rate_per_s or 0)} for {format_duration(planned.run_s or 0)}"
        yield from wrapped(
            "  planned   ", f"{rate} from {sources} to {to}; {planned.strategy}; {planned.loop}: {planned.loop_because}"
        )
        return
    if planned.wanted is None:
        yield from wrapped("  planned   ", f"listen on {to}; {planned.loop}: {planned.loop_because}")
        return
    pairs = format_things(planned.pairs, "pair")
    room = f"{pairs} of source and destination × {format_things(planned.usable, 'port')}"
    yield from wrapped(
        "  planned   ",
        f"{format_count(planned.predicted or 0)} of {format_count(planned.wanted)} from {', '.join(planned.sources)} to"
        f" {to}: {room}; {planned.strategy}; {planned.loop}: {planned.loop_because}",
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
            yield f"  {then}: {format_count(int(last['open']))} open, {format_count(int(last['lost']))} lost"


def why(entry: Entry) -> str:
    """Why the run has this outcome, or what its outcome means."""
    return {
        RunState.RUNNING: f"follow it with fourtuple runs show {entry.id} --follow",
        RunState.KILLED: "the process ended without recording a result; the samples stored until then are kept",
        RunState.UNFINISHED: "no result was recorded; whether it is still running cannot be seen from here",
    }.get(entry.outcome, entry.why)


def result_words(entry: Entry) -> str:
    """How many connections were held, or what its kind counts: `2,644 of 3,000 held, 479 lost`"""
    held = format_count(entry.held or 0)
    of = f" of {format_count(entry.n)}" if entry.kind != "serve" and entry.n not in (None, entry.held) else ""
    why = f", {entry.why}" if entry.why and entry.outcome in (RunState.REACHED, RunState.SHORT) else ""
    way = "claim" if (entry.kind, held, of) == ("prove", "1", "") else WAYS[entry.kind]
    return f"{held}{of} {way}{why}"


def local(stamp: str) -> datetime:
    """A stored moment in the time zone of this machine."""
    return datetime.fromisoformat(stamp).astimezone()
