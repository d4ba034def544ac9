"""The plan, the progress and the record of `churn` as plain text."""

from collections.abc import Iterator

from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.churn_judge import TIMEOUT, server_keeps_open
from fourtuple.core.runs.churn_orders import LATE_S, ChurnOrder, ClosedBy
from fourtuple.core.runs.churn_record import ChurnRecord, ChurnStep
from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.histogram import NOT_MEASURED, Latency
from fourtuple.core.runs.outcome import Reason
from fourtuple.core.runs.records import Sample
from fourtuple.core.units import format_count, format_duration, format_rate, format_size, format_things
from fourtuple.faces.text.destinations import destination_lines
from fourtuple.faces.text.lines import folded, wrapped
from fourtuple.faces.text.machines import machine_lines, machines_now
from fourtuple.faces.text.tables import Column, TableRow, table_lines
from fourtuple.faces.text.words import (
    counts,
    latency,
    lost_by,
    meaning,
    namespaces,
    overflow_lines,
    reason_lines,
    retransmit_lines,
    several_addresses,
    target_lines,
)

MEANINGS = {
    "ETIMEDOUT": "the answer, or the end of the connection, did not come in time (--timeout)",
    "EPROTO": "the session failed, for the reason below",
}
NOT_CLOSED = "the server did not close the connection in time (--timeout)"
WHY: dict[str, str] = {
    Reason.RATE: "late",
    Reason.PLAN: "no room",
}  # why a rate was not kept, in one word; others by their own names
STEPS = (
    *(Column("tried", 10), Column("started", 9), Column("late", 8), Column("failed", 6), Column("p99", 7)),
    Column(is_text=True),
)
CLOSES = {
    ClosedBy.RST: "this end closes by reset, which keeps no port",
    ClosedBy.FIN: "this end closes by FIN, and an explicit bind() can use its ports again at once",
    ClosedBy.SERVER: "the server closes, which keeps no port of this end",
}


def plan_words(order: ChurnOrder) -> str:
    """What the plan says before the first connection."""
    options, plan = order.options, order.plan
    expected = options.open_expected
    at_once = f"{options.product}: about {format_things(expected, 'connection')} at once"
    if plan.sockets:
        return f"plan: {at_once}; there are slots for {format_count(plan.wanted)}; a Unix socket has no ports"
    room = f"the ports allow {format_count(plan.room.most)}, and there are slots for {format_count(plan.wanted)}"
    if order.ports is None:
        return f"plan: {at_once}; {room}; {CLOSES[options.closed_by]}"
    kept = f"each port stays in TIME_WAIT for {format_duration(order.ports.kept_s)}"
    most = f"at most {format_rate(order.ports.most_per_s)} in the long run"
    return f"plan: {at_once}; {room}; this end closes by FIN, and {kept}: {most}"


@folded
def churn_lines(record: ChurnRecord) -> Iterator[str]:
    """The outcome, every connection accounted for, the times, and each failure with its meaning."""
    yield from wrapped("", record.outcome.says)
    yield from _accounts(record)
    yield from machine_lines(record.machines, "churn")
    yield from _times(record)
    planned = f"planned about {format_count(record.expected_open)}"
    yield f"  open      {format_count(record.most_open)} at once, opening ones included, as sampled; {planned}"
    if record.most_time_wait is not None:
        ports = f"; ports allow {format_rate(record.ports_per_s)}" if record.ports_per_s is not None else ""
        where = namespaces(record)
        yield f"  TIME_WAIT {format_things(record.most_time_wait, 'socket')} at most in {where}{ports}"
    ours = "this end" if record.strategy == Strategy.UNIX else "FIN"
    closed_by = {ClosedBy.RST: "reset", ClosedBy.FIN: ours}.get(ClosedBy(record.closed_by), "the server")
    how = f"{record.arrivals_by} · seed {record.seed} · lifetime {record.lifetime} · closed by {closed_by}"
    yield f"  {how}"
    workers = "1 process" if record.workers == 1 else f"{record.workers} processes"
    cpu = f"CPU {record.cpu_user_s:.2f} s user, {record.cpu_system_s:.2f} s system"
    yield f"  {record.loop} · {record.strategy} · {workers} · {format_size(record.rss_bytes)} · {cpu}"
    yield from target_lines(record.targets)
    for resolved in record.resolved:
        yield from wrapped("  name      ", several_addresses(resolved))
    yield from _failures(record)
    yield from _steps(record.steps)


def _accounts(record: ChurnRecord) -> Iterator[str]:
    never = f" + {format_count(record.not_started)} not started" if record.not_started else ""
    late = f"; {format_count(record.late)} more than {format_duration(LATE_S)} late" if record.late else ""
    yield f"  due       {format_count(record.arrivals)} = {format_count(record.started)} started{never}{late}"
    failed = sum(record.failed.values())
    parts = [f"{format_count(record.completed)} completed"]
    parts += [f"{format_count(failed)} failed"] if failed else []
    parts += [f"{format_count(record.lost)} lost"] if record.lost else []
    parts += [f"{format_count(record.open_at_end)} open at the end"] if record.open_at_end else []
    yield f"  started   {format_count(record.started)} = {' + '.join(parts)}"
    yield f"  completed {format_rate(record.completed_per_s)}"
    if record.requests or record.answers:
        yield f"  answers   {format_count(record.answers)} to {format_things(record.requests, 'message')}"


def _times(record: ChurnRecord) -> Iterator[str]:
    """Each time from the intended start, and beneath it the same from the real one."""
    yield from _time("start", record.lag_us)
    yield from _time("connect", record.connect_us)
    yield from _time("", record.connecting_us)
    if record.first_us != record.last_us:
        yield from _time("first", record.first_us)
        yield from _time("", record.first_service_us)
    yield from _time("answered", record.last_us)
    yield from _time("", record.last_service_us)
    if record.tls_us != NOT_MEASURED:
        yield from _time("TLS", record.tls_us)
    if record.connect_us != NOT_MEASURED:
        yield "            times count from the intended start; beneath, from the real start"


def _time(what: str, value: Latency) -> Iterator[str]:
    if value != NOT_MEASURED:
        yield f"  {what:<9} {latency(value)}"


def _failures(record: ChurnRecord) -> Iterator[str]:
    yield from overflow_lines(record)
    yield from retransmit_lines(record)
    for name, count in record.lost_by.items():
        keeps_open = name == TIMEOUT and server_keeps_open(record)
        because = MEANINGS.get(name) or lost_by(name, of_server=False, strategy=record.strategy)[0]
        yield from wrapped("  ", f"{format_count(count)} lost by {name}: {NOT_CLOSED if keeps_open else because}")
        if keeps_open:
            yield from wrapped("  do        ", "Use --close rst or fin: then this end closes.")
    yield from reason_lines(record)
    yield from destination_lines(record.destinations, sum(record.failed.values()))
    for name, count in record.failed.items():
        means, do = meaning(name, record.strategy)
        yield from wrapped("  ", f"{format_count(count)} failed with {name}: {means}")
        if do:
            yield from wrapped("  do        ", do)


def _steps(steps: tuple[ChurnStep, ...]) -> Iterator[str]:
    """The rates that `churn max` tried, in order."""
    if not steps:
        return
    yield from table_lines(STEPS, [_step(step) for step in steps], indent="  ")


def _step(step: ChurnStep) -> TableRow:
    p99 = "–" if step.last_us.p99 is None else format_duration(step.last_us.p99 / 1e6)
    because = ", ".join(WHY.get(name, name) for name in step.because if name != Reason.SESSION)
    because += " at this end" if step.late_here else ""
    kept = "kept" if step.kept else f"not kept: {because}" if because else "not kept"
    rates = (format_rate(step.planned_per_s), format_rate(step.rate_per_s))
    return TableRow((*rates, format_count(step.late), format_count(step.failed), p99, kept))


def churn_progress(sample: Sample) -> str:
    """The progress as one line."""
    planned = sample.start.planned if sample.start else None
    rate = f"{format_rate(planned.rate_per_s)}: " if planned and planned.rate_per_s else ""
    waiting = sample.arrivals - sample.started
    parts = [f"{rate}{'closing ' if sample.phase > Phase.OPENING else ''}{format_count(sample.closed)} completed"]
    parts += [f"open {format_count(sample.open)}"]
    parts += machines_now(sample)
    parts += [f"late {format_count(sample.late)}"] if sample.late else []
    parts += [f"waiting {format_count(waiting)}"] if waiting else []
    parts += [f"failed {counts(sample.failed)}"] if sample.failed else []
    parts += [f"lost {counts(sample.lost_by)}"] if sample.lost else []
    if sample.seen and sample.seen.time_wait:
        parts += [f"TIME_WAIT {format_count(sample.seen.time_wait)}"]
    return "   ".join(parts)
