"""The record of `hold` as plain text: first the answer, then the reason, then what to do next."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.histogram import NOT_MEASURED
from fourtuple.core.runs.records import HoldRecord, Sample
from fourtuple.core.units import format_count, format_duration, format_rate, format_size, format_things
from fourtuple.faces.text.destinations import destination_lines
from fourtuple.faces.text.lines import folded, wrapped
from fourtuple.faces.text.machines import machine_lines, machines_now
from fourtuple.faces.text.stages import stage_lines, stage_now
from fourtuple.faces.text.words import (
    counts,
    latency,
    meaning,
    overflow_lines,
    reason_lines,
    retransmit_lines,
    several_addresses,
    target_lines,
)

LOSSES = 5  # seconds with losses that are listed


@folded
def hold_lines(record: HoldRecord) -> Iterator[str]:
    """The outcome, the numbers, and each failure with its meaning."""
    yield from wrapped("", record.outcome.says)
    yield from stage_lines(record)
    yield from machine_lines(record.machines, "hold")
    if record.held:
        yield f"  opened in {format_duration(record.elapsed_s)}   {format_rate(record.rate_per_s)}"
        yield f"  connect   {latency(record.connect_us)}"
        if record.handshake_us != NOT_MEASURED:
            yield f"  handshake {latency(record.handshake_us)}"
            yield "            connect: with its batch; handshake: SYN to SYN-ACK, by the kernel"
        yield _closing(record)
    workers = "1 process" if record.workers == 1 else f"{record.workers} processes"
    cpu = f"CPU {record.cpu_user_s:.2f} s user, {record.cpu_system_s:.2f} s system"
    yield f"  {record.loop} · {record.strategy} · {workers} · {format_size(record.rss_bytes)} · {cpu}"
    yield from target_lines(record.targets)
    for resolved in record.resolved:
        yield from wrapped("  name      ", several_addresses(resolved))
    yield from _talk(record)
    yield from _losses(record)
    yield from _findings(record)
    yield from destination_lines(record.destinations, sum(record.failed.values()))
    for name, count in record.failed.items():
        means, do = meaning(name, record.strategy)
        yield from wrapped("  ", f"{format_count(count)} failed with {name}: {means}")
        if do:
            yield from wrapped("  do        ", do)


def _talk(record: HoldRecord) -> Iterator[str]:
    if record.requests:
        late = f"; {format_count(record.late)} late because the previous one was not finished" if record.late else ""
        yield f"  sent      {format_count(record.requests)}{late}"
    elif record.every_s and record.held:
        yield f"  sent      none: the first message of each is due within {format_duration(record.every_s)} (--every)"
    if record.unsent:
        yield f"  not sent  {format_count(record.unsent)}, due for more than a second when the connection ended"
    if record.tls_us != NOT_MEASURED:
        yield f"  TLS       {latency(record.tls_us)}"
    if record.session_us != NOT_MEASURED:
        yield f"  session   {latency(record.session_us)}   from connected to established"
    yield from reason_lines(record)
    if record.answers:
        rate = f"   {format_rate(record.answers_per_s)}" if record.requests else ""
        yield f"  answers   {format_count(record.answers)}{rate}"
    if record.answer_us != NOT_MEASURED:
        yield f"  latency   {latency(record.answer_us)}"
    if record.late and record.service_us != NOT_MEASURED:
        yield f"  service   {latency(record.service_us)}"
        yield "            latency: from when a message was due; service: from when it was sent"


def _losses(record: HoldRecord) -> Iterator[str]:
    if record.lost_by:
        again = f"; {format_count(record.reconnected)} reopened" if record.reconnected else ""
        yield f"  lost by   {counts(record.lost_by)}{again}"
    started_at = datetime.fromisoformat(record.started_at).astimezone()
    for loss in record.losses[:LOSSES]:
        at = started_at + timedelta(seconds=loss.at_s)
        yield f"            {at:%H:%M:%S}   {format_count(loss.count)} by {loss.by}"
    if len(record.losses) > LOSSES:
        yield f"            … and in {format_things(len(record.losses) - LOSSES, 'more second')}"
    if record.reconnect_failed:
        yield f"  failed attempts to reopen: {counts(record.reconnect_failed)}"


def _findings(record: HoldRecord) -> Iterator[str]:
    yield from overflow_lines(record)
    if record.time_wait_left:
        left = f"{format_things(record.time_wait_left, 'socket')} in TIME_WAIT for 60 s"
        yield f"  {left}, at the end that closed first"
    yield from retransmit_lines(record)


def _closing(record: HoldRecord) -> str:
    left = (
        f"; {format_things(record.left, 'socket')} left (both ends counted): one end does not close"
        if record.left
        else ""
    )
    return f"  closing   {format_duration(record.closing_s)}{left}"


def hold_ready(sample: Sample, word: str) -> str:
    """The line that says that opening has ended and was counted; empty before, or if nothing is open."""
    most = max(sample.open, *sample.stage_open, 0)
    if sample.census is None or not most:
        return ""
    return f"{word} {format_count(most)} of {format_count(sample.wanted)}"


def hold_progress(sample: Sample) -> str:
    """The progress as one line."""
    failed = sum(sample.failed.values())
    phase = f"{sample.phase.name.lower()} {format_count(sample.open)} of {format_count(sample.wanted)}"
    parts = [stage_now(sample) or phase]
    parts += [format_rate(sample.rate_per_s)] if sample.phase is Phase.OPENING else []
    parts += machines_now(sample)
    parts += [f"replaced {format_count(sample.replaced)}"] if sample.replaced else []
    parts += [f"failed {counts(sample.failed)}"] if failed else []
    parts += [f"lost {counts(sample.lost_by)}"] if sample.lost else []
    parts += [f"answers {format_count(sample.answers)}"] if sample.answers else []
    return "   ".join(parts)
