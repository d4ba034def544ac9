"""Records as plain text: the answer first, then the reason, then what to do next. Colour is added elsewhere."""

import errno
import textwrap
from collections.abc import Iterator, Mapping

from fourtuple.core.errors import FourtupleError
from fourtuple.core.fold import Latency
from fourtuple.core.run import Event, HoldRecord, Phase, Sample, ServeRecord
from fourtuple.core.symptoms import symptom_of
from fourtuple.core.units import format_count, format_duration, format_rate, format_size

COLUMNS = 80


def wrapped(first: str, text: str) -> Iterator[str]:
    """`text` behind `first`, in as many lines as it takes, the later ones indented; no word is broken."""
    yield from textwrap.wrap(
        text,
        COLUMNS,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


def error_lines(error: FourtupleError) -> Iterator[str]:
    yield from wrapped("fourtuple: ", error.wanted)
    if error.stopped_by:
        yield from wrapped("  stopped by  ", error.stopped_by)
    if error.do:
        yield from wrapped("  do          ", error.do)


def event_line(event: Event) -> str:
    return f"{event.kind:<9}  {event.four_tuple}{f'  {event.detail}' if event.detail else ''}"


def latency(value: Latency) -> str:
    parts = (("p50", value.p50), ("p90", value.p90), ("p99", value.p99), ("max", value.max))
    return "   ".join(f"{name} {format_duration(us / 1e6)}" for name, us in parts if us is not None)


def counts(by_name: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {format_count(count)}" for name, count in by_name.items())


def hold_lines(record: HoldRecord) -> Iterator[str]:
    """The verdict line, then numbers, then each failure with its meaning."""
    ended = ", interrupted" if record.interrupted else ""
    asked = "" if record.held == record.wanted else f" of {format_count(record.wanted)}"
    lost = f", lost {format_count(record.lost)}"
    held = f"held {format_count(record.held)}{asked} for {format_duration(record.held_s)}{ended}{lost}."
    yield from wrapped("", f"{held if record.held else f'held none{asked}{ended}{lost}.'} {_agreement(record)}")
    if record.held:
        yield f"  opened in {format_duration(record.elapsed_s)}   {format_rate(record.rate_per_s)}"
        yield f"  connect   {latency(record.connect_us)}"
    workers = "1 process" if record.workers == 1 else f"{record.workers} processes"
    cpu = f"CPU {record.cpu_user_s:.2f} s user, {record.cpu_system_s:.2f} s system"
    yield f"  {record.loop} · {record.strategy} · {workers} · {format_size(record.rss_bytes)} · {cpu}"
    if record.lost_by:
        yield f"  lost by   {counts(record.lost_by)}"
    for name, count in record.failed.items():
        symptom = symptom_of(getattr(errno, name, 0))
        yield from wrapped("  ", f"{format_count(count)} failed with {name}: {symptom.limit}")
        if symptom.do:
            yield from wrapped("  do        ", symptom.do)


def _agreement(record: HoldRecord) -> str:
    if record.agree:
        return "Plan, engine and kernel agree."
    if record.census.client != record.held or record.census.server not in (None, record.held):
        return f"The kernel does not agree: {witness(record)}."
    return f"Engine and kernel agree; the plan was {format_count(record.predicted)}."


def witness(record: HoldRecord) -> str:
    census = record.census
    server = "" if census.server is None else f", {format_count(census.server)} at the server"
    queued = (census.server or 0) - (census.accepted or 0)
    waiting = f" ({format_count(queued)} of them not accepted yet)" if census.server is not None and queued > 0 else ""
    return f"the kernel counts {format_count(census.client)} at the client{server}{waiting}"


def hold_ready(sample: Sample, word: str) -> str:
    """Opening has ended, for better or worse."""
    return (
        f"{word} {format_count(sample.open)} of {format_count(sample.wanted)}" if sample.phase and sample.open else ""
    )


def hold_progress(sample: Sample) -> str:
    failed = sum(sample.failed.values())
    parts = [f"{sample.phase.name.lower()} {format_count(sample.open)} of {format_count(sample.wanted)}"]
    parts += [format_rate(sample.rate_per_s)] if sample.phase is Phase.OPENING else []
    parts += [f"failed {counts(sample.failed)}"] if failed else []
    parts += [f"lost {format_count(sample.lost)}"] if sample.lost else []
    return "   ".join(parts)


def serve_lines(record: ServeRecord) -> Iterator[str]:
    yield (
        f"accepted {format_count(record.accepted)}, at most {format_count(record.most_open)} at once,"
        f" {format_count(record.open)} open at the end"
    )
    yield f"  closed by us {format_count(record.closed)}   by the clients {format_count(record.lost)}"
    if record.greeted or record.received_bytes:
        yield (
            f"  greeted {format_count(record.greeted)}   received {format_size(record.received_bytes)}"
            f"   sent {format_size(record.sent_bytes)}"
        )
    if record.listen_overflows:
        yield f"  {format_count(record.listen_overflows)} handshakes were dropped: an accept queue was full"
    if record.workers_killed:
        yield f"  {record.workers_killed} of {record.workers} worker processes died; what they held is lost"
    if record.failed:
        yield f"  accept() failed: {counts(record.failed)}"


def serve_progress(sample: Sample) -> str:
    full = sample.capacity and sample.open >= sample.capacity
    more = f"   full: {format_count(sample.capacity)} is all that fits, others wait in the queue" if full else ""
    return f"accepted {format_count(sample.opened)}   open {format_count(sample.open)}{more}"
