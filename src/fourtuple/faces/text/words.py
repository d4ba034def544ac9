"""Text that several screens share: counts, latencies, events, and the meaning of an errno."""

import errno
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from fourtuple.core.errnos import symptom_of
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.space.endpoints import Resolved, is_wildcard
from fourtuple.core.space.interval import Interval
from fourtuple.core.units import format_count, format_duration, format_things, format_were
from fourtuple.faces.text.lines import wrapped

if TYPE_CHECKING:
    from fourtuple.core.runs.churn_record import ChurnRecord
    from fourtuple.core.runs.histogram import Latency
    from fourtuple.core.runs.records import Event, HoldRecord
    from fourtuple.core.runs.stored import RunRecord

MOST_STEPS = 3  # what to do about reasons; there are up to 32 of these
MOST_ADDRESSES = 8  # of a name, and of the destinations of a run


def event_line(event: "Event") -> str:
    return f"{event.kind:<9}  {event.four_tuple}{f'  {event.detail}' if event.detail else ''}"


def format_interval(interval: Interval) -> str:
    """`28,232`, or `960 to 1,000`"""
    least, most = format_count(interval.least), format_count(interval.most)
    return least if interval.exact else f"{least} to {most}"


def target_lines(targets: Sequence[str]) -> Iterator[str]:
    """Where the connections of a run went; nothing for a record that does not say."""
    if targets:
        more = f", … {format_count(len(targets) - MOST_ADDRESSES)} more" * (len(targets) > MOST_ADDRESSES)
        yield from wrapped("  to        ", f"{', '.join(targets[:MOST_ADDRESSES])}{more}")


def several_addresses(resolved: Resolved) -> str:
    """`db has 3 addresses: 10.0.0.1, 10.0.0.2, 10.0.0.3`, or `db has 3 addresses, 1 used: 10.0.0.1`

    Of a wildcard: which address a connection to it goes to.
    """
    if is_wildcard(resolved.host):
        return f"{resolved.host} is no destination by itself: connect() takes it for {', '.join(resolved.used)}"
    count, used = len(resolved.addresses), len(resolved.used)
    some = "" if used == count else f", {format_count(used)} used"
    listed = f"{', '.join(resolved.used[:MOST_ADDRESSES])}{' …' * (used > MOST_ADDRESSES)}"
    return f"{resolved.host} has {format_things(count, 'address')}{some}: {listed}"


def full_queue(listener: str) -> str:
    """What it means that the accept queue of this listener is full. listener: as `full_queues` names it"""
    return f"the accept queue of {listener} is full: new connections are dropped until it accepts"


def latency(value: "Latency") -> str:
    parts = (("p50", value.p50), ("p90", value.p90), ("p99", value.p99), ("max", value.max))
    return "   ".join(f"{name} {format_duration(us / 1e6)}" for name, us in parts if us is not None)


def counts(by_name: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {format_count(count)}" for name, count in by_name.items())


def overflow_lines(record: "RunRecord") -> Iterator[str]:
    """The growth of ListenOverflows, to which every listener of the namespace adds; nothing if it did not grow."""
    if record.listen_overflows:
        dropped = f"{format_were(record.listen_overflows, 'handshake')} dropped at full accept queues"
        yield from wrapped("  ", f"{dropped} of {namespaces(record)}")


def retransmit_lines(record: "HoldRecord | ChurnRecord") -> Iterator[str]:
    """The growth of TCPSynRetrans, to which every program of the namespace adds; nothing if it did not grow."""
    if record.syn_retransmits:
        sent = f"{format_were(record.syn_retransmits, 'SYN')} retransmitted"
        yield from wrapped("  ", f"{sent} in {namespaces(record)}, the first time after 1 s")


def reason_lines(record: "HoldRecord | ChurnRecord") -> Iterator[str]:
    """Why sessions ended or answers were wrong; and what to do about it, if the run fell short."""
    if not record.reasons:
        return
    from fourtuple.core.why.next_step import next_step  # the reader of texts, which takes 0.1 s

    done = set[str]()
    for reason, count in record.reasons.items():
        yield from wrapped("  why       ", f"{format_count(count)} × {reason}")
        step = None if record.outcome.reached or len(done) == MOST_STEPS else next_step(reason)
        if step and step.do not in done:
            done.add(step.do)
            yield from wrapped("  do        ", step.do)
            yield from wrapped("  more      ", step.more)


def clock_offset(offset_s: float, error_s: float) -> str:
    """`+1.23 ms ± 40 µs`: how the clock of a machine differs from that of the one that runs the fleet."""
    sign = "−" if offset_s < 0 else "+"
    return f"{sign}{format_duration(abs(offset_s))} ± {format_duration(error_s)}"


def namespaces(record: "RunRecord") -> str:
    """Where the kernel counts what it reports of a run."""
    return "the machines' network namespaces" if record.machines else "this network namespace"


def meaning(name: str, strategy: str | None = None) -> tuple[str, str]:
    """The meaning of an errno, and what to do. strategy: of a run, from which follows what it connects"""
    symptom = symptom_of(getattr(errno, name, 0), unix=strategy == Strategy.UNIX)
    return symptom.limit, symptom.do


def lost_by(name: str, *, of_server: bool, strategy: str | None = None) -> tuple[str, str]:
    """The meaning of losing connections by this errno, and what to do. FIN: no error, the peer closed."""
    if name == "FIN":
        return "the client closed" if of_server else "the server closed", ""
    if of_server and name == "ECONNRESET":
        return "the client reset the connection; fourtuple hold does so by default", ""
    return meaning(name, strategy)
