"""The record and the progress of `serve` as plain text."""

from collections.abc import Iterator

from fourtuple.core.runs.records import Sample, ServeRecord
from fourtuple.core.units import format_count, format_size
from fourtuple.faces.text.lines import folded, wrapped
from fourtuple.faces.text.machines import machine_lines, machines_now
from fourtuple.faces.text.words import overflow_lines


@folded
def serve_lines(record: ServeRecord) -> Iterator[str]:
    """The outcome, then the numbers."""
    yield from wrapped("", record.outcome.says)
    yield from machine_lines(record.machines, "serve")
    with_worker = record.lost_by.get("ECANCELED", 0)
    yield f"  closed by server {format_count(record.closed)}   by clients {format_count(record.lost - with_worker)}"
    if record.greeted or record.received_bytes:
        yield (
            f"  {f'greeted {format_count(record.greeted)}   ' if record.greeted else ''}"
            f"received {format_size(record.received_bytes)}   sent {format_size(record.sent_bytes)}"
        )
    if record.scheme != "tcp":
        yield f"  {record.scheme}: {format_count(record.sessions)} sessions established"
    for reason, count in record.reasons.items():
        yield from wrapped("  ", f"{format_count(count)} × {reason}")
    if record.capacity and record.most_open >= record.capacity:
        yield f"  full: it can hold {format_count(record.capacity)} at once; further clients waited in the accept queue"
    yield from overflow_lines(record)


def serve_progress(sample: Sample) -> str:
    """The progress as one line."""
    full = sample.capacity and sample.open >= sample.capacity
    more = f"   full: capacity {format_count(sample.capacity)}, others wait in the queue" if full else ""
    away = "".join(f"   {words}" for words in machines_now(sample))
    return f"accepted {format_count(sample.opened)}   open {format_count(sample.open)}{away}{more}"
