"""Two runs side by side: the numbers of each, their ratios, and the differences that make them hard to compare."""

from collections.abc import Iterator
from typing import Any

from fourtuple.core.backports import StrEnum
from fourtuple.core.errors import UsageError
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.record import dataclass
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.histogram import Latency
from fourtuple.core.runs.machines import count_of
from fourtuple.core.runs.pace import MANY
from fourtuple.core.runs.records import HoldRecord, ServeRecord
from fourtuple.core.runs.stored import StoredRun
from fourtuple.core.units import format_count, format_duration, format_rate, format_size


class Unit(StrEnum):
    """The unit of a compared number."""

    COUNT = "count"
    RATE = "rate"
    SECONDS = "seconds"
    BYTES = "bytes"

    @property
    def is_the_machines(self) -> bool:
        """Whether such a number depends on the machine as much as on the run."""
        return self in (Unit.RATE, Unit.SECONDS)

    def text(self, value: float) -> str:
        if self is Unit.COUNT:
            return format_count(int(value))
        return {Unit.RATE: format_rate, Unit.SECONDS: format_duration, Unit.BYTES: format_size}[self](value)


class Tendency(StrEnum):
    """What the second number is, next to the first."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "about the same"


@dataclass(frozen=True, slots=True)
class Row:
    """One compared number.

    ratio:    second to first; None: undefined, or it would compare the machines, or what was requested
    tendency: None: neither more nor less is better, or as for the ratio
    """

    name: str
    first: float | None
    second: float | None
    unit: Unit
    ratio: float | None
    tendency: Tendency | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs compared.

    differs:       settings that differ: (name, first, second)
    other_machine: the machines differ, so ratios of rates and times are withheld unless asked for
    """

    first: StoredRun
    second: StoredRun
    rows: tuple[Row, ...]
    differs: tuple[tuple[str, str, str], ...]
    other_machine: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "runs": [self.first.entry.id, self.second.entry.id],
            "names": [self.first.entry.name, self.second.entry.name],
            "other_machine": self.other_machine,
            "differs": [{"what": what, "first": one, "second": two} for what, one, two in self.differs],
            "numbers": [
                {
                    "name": row.name,
                    "unit": row.unit,
                    "first": row.first,
                    "second": row.second,
                    "ratio": row.ratio,
                    "tendency": row.tendency,
                }
                for row in self.rows
            ],
        }


def compare(first: StoredRun, second: StoredRun, *, anyway: bool = False) -> Comparison:
    """Compare two runs.

    anyway: give the ratios of rates and times even for different machines

    Raises UsageError if the runs cannot be compared: different kinds, a proof, or no result.
    """
    for run in (first, second):
        if run.record is None:
            why = "it is a proof" if run.entry.kind == "prove" else f"it has no result: {run.entry.outcome}"
            raise UsageError(f"cannot compare run {run.entry.id}", why)
    if first.entry.kind != second.entry.kind:
        kinds = f"one is {first.entry.kind}, the other {second.entry.kind}"
        raise UsageError(f"cannot compare runs {first.entry.id} and {second.entry.id}", kinds)
    differs = tuple(_differences(first, second))
    other = any(what in MACHINE for what, _, _ in differs)
    withheld = other and not anyway
    rows = []
    incomparable = tuple(_incomparable(first, second))
    for (name, one, unit), (_, two, _) in zip(_numbers(first), _numbers(second), strict=True):
        if one is None and two is None:
            continue
        apart = (withheld and unit.is_the_machines) or name.startswith(incomparable)
        ratio = two / one if one and two is not None and not apart else None
        rows.append(Row(name, one, two, unit, ratio, None if apart else _tendency(name, unit, one, two)))
    return Comparison(first, second, tuple(rows), differs, other)


MORE_IS_BETTER = frozenset(
    {"held", "completed", "opening rate", "starting rate", "completing rate", "answers", "answers per second"}
)
LESS_IS_BETTER = frozenset(
    {
        *("failed", "lost", "late", "not started", "accept queue overflows", "SYN retransmissions"),
        *("left in TIME_WAIT", "most in TIME_WAIT", "memory per connection", "client RSS", "server RSS"),
    }
)
NEUTRAL = frozenset({"served for"})
NOISE = 0.05  # numbers that differ by less are about the same: two runs of one machine do, too


def _tendency(name: str, unit: Unit, one: float | None, two: float | None) -> Tendency | None:
    """Whether the second number is better; any duration but that of a server is better if it is shorter."""
    is_less = name in LESS_IS_BETTER or (unit is Unit.SECONDS and name not in NEUTRAL)
    if one is None or two is None or not (one or two) or not (is_less or name in MORE_IS_BETTER):
        return None
    if abs(two - one) <= NOISE * max(one, two):
        return Tendency.SAME
    return Tendency.BETTER if (two < one) == is_less else Tendency.WORSE


MACHINE = ("machine", "processors", "memory", "kernel")


def _incomparable(first: StoredRun, second: StoredRun) -> Iterator[str]:
    """What the names begin with of numbers that follow from what was requested, and not from how it went."""
    batches = [_batches(run) for run in (first, second)]
    if any(pace != (None, None) for _, pace in batches):
        yield from ("opened in", "opening rate")
    if batches[0] != batches[1]:
        yield "connect "


def _batches(run: StoredRun) -> tuple[object, tuple[object, object]]:
    """What decides how many connects are begun together, with which each is timed; and the pace of `hold`."""
    if run.entry.kind == "serve" or (planned := run.start.planned) is None:
        return (), (None, None)
    hows = (planned.loop, planned.strategy == Strategy.UNIX, (planned.wanted or 0) >= MANY)
    return hows, (planned.rate_per_s, planned.stages) if run.entry.kind == "hold" else (None, None)


def _differences(first: StoredRun, second: StoredRun) -> Iterator[tuple[str, str, str]]:
    left, right = dict(_settings(first)), dict(_settings(second))
    for what in left:
        if what in right and left[what] != right[what]:
            yield what, left[what], right[what]
    left, right = _sysctls(first), _sysctls(second)
    for name in sorted(left.keys() & right.keys()):
        if left[name] != right[name]:
            yield name, left[name], right[name]


def _settings(run: StoredRun) -> Iterator[tuple[str, str]]:
    """What should be equal for a fair comparison: what was found, requested, and then decided, which comes last."""
    found, planned = run.start.found, run.start.planned
    yield "machine", found.host if found.machine is None else f"{found.host} ({found.machine[:6]})"
    yield "processors", f"{found.cpus} × {found.cpu}"
    yield "memory", format_size(found.memory_bytes or 0)
    yield "kernel", found.kernel
    yield "fourtuple", found.fourtuple
    if planned:
        yield from planned.requested.items()
        yield "wanted", "–" if planned.wanted is None else format_count(planned.wanted)
        yield "to", ", ".join(planned.targets)
        yield "from", ", ".join(planned.sources) or "–"
        yield "loop", planned.loop
        yield "strategy", planned.strategy or "–"
        yield "workers", str(planned.workers)
        yield "stages", "–" if planned.stages is None else str(planned.stages)
        yield "churn", format_rate(planned.churn_per_s) if planned.churn_per_s else "–"
        yield "rate", "as fast as possible" if planned.rate_per_s is None else format_rate(planned.rate_per_s)


def _sysctls(run: StoredRun) -> dict[str, str]:
    """The recorded settings. A lab has no host-wide ones, so two runs may have recorded different names."""
    found = run.start.found.sysctls
    return {name: " ".join(value.split()) for name, value in found.items() if name not in COUNTING}


COUNTING = frozenset({"fs.file-nr", "net.netfilter.nf_conntrack_count"})  # counts, not settings


def _numbers(run: StoredRun) -> Iterator[tuple[str, float | None, Unit]]:
    yield "machines", count_of(run.record.machines) or None if run.record else None, Unit.COUNT
    if isinstance(run.record, HoldRecord):
        yield from _of_hold(run.record)
    elif isinstance(run.record, ChurnRecord):
        yield from _of_churn(run.record)
    elif isinstance(run.record, ServeRecord):
        yield from _of_serve(run.record)


def _of_hold(record: HoldRecord) -> Iterator[tuple[str, float | None, Unit]]:
    yield "held", record.held, Unit.COUNT
    yield "failed", sum(record.failed.values()), Unit.COUNT
    yield "lost", record.lost, Unit.COUNT
    yield "replaced", record.replaced if record.churn_per_s else None, Unit.COUNT
    yield "replaced per second", record.replaced_per_s if record.churn_per_s else None, Unit.RATE
    yield "opened in", record.elapsed_s, Unit.SECONDS
    yield "opening rate", record.rate_per_s, Unit.RATE
    yield from _latency("connect", record.connect_us)
    yield from _latency("handshake", record.handshake_us)
    talked = bool(record.requests or record.answers)
    yield "answers", record.answers if talked else None, Unit.COUNT
    yield "answers per second", record.answers_per_s if talked else None, Unit.RATE
    yield from _latency("answer", record.answer_us)
    yield from _latency("service", record.service_us)
    yield "closed in", record.closing_s, Unit.SECONDS
    yield "memory per connection", record.memory.each_bytes if record.memory else None, Unit.BYTES
    yield "client RSS", record.rss_bytes, Unit.BYTES
    yield "CPU user", record.cpu_user_s, Unit.SECONDS
    yield "CPU system", record.cpu_system_s, Unit.SECONDS
    yield "accept queue overflows", record.listen_overflows, Unit.COUNT
    yield "SYN retransmissions", record.syn_retransmits, Unit.COUNT
    yield "left in TIME_WAIT", record.time_wait_left, Unit.COUNT


def _of_churn(record: ChurnRecord) -> Iterator[tuple[str, float | None, Unit]]:
    yield "due", record.arrivals, Unit.COUNT
    yield "completed", record.completed, Unit.COUNT
    yield "late", record.late, Unit.COUNT
    yield "not started", record.not_started, Unit.COUNT
    yield "failed", sum(record.failed.values()), Unit.COUNT
    yield "lost", record.lost, Unit.COUNT
    yield "starting rate", record.rate_per_s, Unit.RATE
    yield "completing rate", record.completed_per_s, Unit.RATE
    yield from _latency("start late by", record.lag_us)
    yield from _latency("connect", record.connect_us)
    yield from _latency("first answer", record.first_us)
    yield from _latency("last answer", record.last_us)
    yield from _latency("service", record.last_service_us)
    yield "most open at once", record.most_open, Unit.COUNT
    yield "most in TIME_WAIT", record.most_time_wait, Unit.COUNT
    yield "client RSS", record.rss_bytes, Unit.BYTES
    yield "CPU user", record.cpu_user_s, Unit.SECONDS
    yield "CPU system", record.cpu_system_s, Unit.SECONDS
    yield "accept queue overflows", record.listen_overflows, Unit.COUNT
    yield "SYN retransmissions", record.syn_retransmits, Unit.COUNT


def _of_serve(record: ServeRecord) -> Iterator[tuple[str, float | None, Unit]]:
    yield "accepted", record.accepted, Unit.COUNT
    yield "most open at once", record.most_open, Unit.COUNT
    yield "closed by clients", record.lost, Unit.COUNT
    yield "received", record.received_bytes, Unit.BYTES
    yield "sent", record.sent_bytes, Unit.BYTES
    yield "served for", record.elapsed_s, Unit.SECONDS
    yield "server RSS", record.rss_bytes, Unit.BYTES
    yield "CPU user", record.cpu_user_s, Unit.SECONDS
    yield "CPU system", record.cpu_system_s, Unit.SECONDS
    yield "accept queue overflows", record.listen_overflows, Unit.COUNT


def _latency(what: str, value: Latency) -> Iterator[tuple[str, float | None, Unit]]:
    for name, us in (("p50", value.p50), ("p90", value.p90), ("p99", value.p99), ("max", value.max)):
        yield f"{what} {name}", None if us is None else us / 1e6, Unit.SECONDS
