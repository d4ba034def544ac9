"""From the samples of a `hold` to its record. Pure, so that it can be done anywhere, and repeated."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace

from fourtuple.core.record import dataclass
from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.destinations import by_destination
from fourtuple.core.runs.judge import agrees, judge_hold
from fourtuple.core.runs.memory import MemoryUse
from fourtuple.core.runs.orders import HoldOrder
from fourtuple.core.runs.records import HoldRecord, Loss, MachineResult, Sample, Witness
from fourtuple.core.runs.spread import Sharing
from fourtuple.core.runs.stages import StageStory
from fourtuple.core.runs.timetable import Timetable
from fourtuple.core.talk.session import Scheme


@dataclass(frozen=True, slots=True)
class HoldEnding:
    """The values that are known only after a hold has ended; see HoldRecord for fields of the same name.

    began_ns:      when the first connection could be opened, CLOCK_MONOTONIC
    held_until_ns: when the time to hold was over
    """

    began_ns: int

    stopped_by: str | None
    held_until_ns: int
    census_at_end: Witness | None
    closing_s: float
    left: int
    listen_overflows: int | None
    syn_retransmits: int | None
    moved: Mapping[str, int]
    time_wait_left: int
    sharing: Sharing | None
    memory: MemoryUse | None
    interrupted: bool
    workers_killed: int


class HoldStory:
    """Collects the samples of a hold, then makes its record; it keeps only two samples and the times of losses."""

    def __init__(self, order: HoldOrder) -> None:
        self._order = order
        self._full: Sample | None = None
        self._last: Sample | None = None
        self._losses: Counter[tuple[int, str]] = Counter()
        self._lost_before: Mapping[str, int] = {}
        self._first_ns: int | None = None
        self._opened: Sample | None = None  # the first one after opening had ended
        self._lost_ns: tuple[int, int] | None = None  # the first and the last sample with a new loss
        self._stages = StageStory(order.options.stages) if order.options.stages else None

    def add(self, sample: Sample) -> None:
        self._first_ns = self._first_ns or sample.at_ns
        if sample.phase >= Phase.HOLDING:
            self._opened = self._opened or sample
        if sample.lost > (self._last.lost if self._last else 0):
            self._lost_ns = (self._lost_ns[0] if self._lost_ns else sample.at_ns, sample.at_ns)
        for by, number in sample.lost_by.items():
            self._losses[(sample.at_ns - self._first_ns) // 10**9, by] += number - self._lost_before.get(by, 0)
        self._lost_before = sample.lost_by
        if self._full is None and sample.census is not None:
            self._full = sample
        self._last = sample
        if self._stages:
            self._stages.add(sample)

    @property
    def losses(self) -> tuple[Loss, ...]:
        """The lost connections, by second and errno."""
        return tuple(Loss(at_s, by, count) for (at_s, by), count in sorted(self._losses.items()) if count)

    def conclude(self, ending: HoldEnding, machines: tuple[MachineResult, ...] = ()) -> HoldRecord:
        """Make the record. Raises ValueError if there was no sample.

        machines: of a fleet, what became of each one's share
        """
        if self._last is None:
            raise ValueError("a run without samples has no record")
        order, last = self._order, self._last
        full = self._full or last
        held_s = max(0, ending.held_until_ns - (self._opened or full).at_ns) / 1e9
        since_count_s = (ending.held_until_ns - full.at_ns) / 1e9
        census = full.census or Witness(0, None, None, "")
        predicted = order.plan.predicted
        stages = self._stages.results(ending.began_ns) if self._stages else ()
        replaces = order.options.churn_per_s and since_count_s > 0
        record = HoldRecord(
            started_at=order.start.started_at,
            wanted=full.wanted,
            predicted=predicted.most,
            predicted_least=predicted.least,
            held=self._held(full),
            failed=dict(full.failed),
            lost=last.lost,
            lost_while_opening=full.lost - full.reconnected,
            lost_by=dict(last.lost_by),
            losses=self.losses,
            reconnected=last.reconnected,
            reconnect_failed=dict(last.reconnect_failed),
            open_at_end=last.open_at_end,
            census=census,
            agree=False,
            elapsed_s=round(full.elapsed_s, 6),
            rate_per_s=round(full.rate_per_s, 1),
            connect_us=full.connect_us,
            handshake_us=full.handshake_us,
            requests=last.requests,
            answers=last.answers,
            answers_per_s=round((last.answers - full.answers) / since_count_s, 1) if since_count_s > 0 else 0.0,
            answer_us=last.answer_us,
            service_us=last.service_us,
            unexpected=last.unexpected,
            unanswered=last.unanswered,
            late=last.late,
            unsent=last.unsent,
            received_bytes=last.received_bytes,
            held_s=round(held_s, 3),
            loop=order.loop,
            loop_because=order.loop_because,
            strategy=order.plan.strategy,
            watch=order.options.watch,
            workers=full.workers,
            rss_bytes=full.rss_bytes,
            cpu_user_s=round(last.cpu_user_s, 3),
            cpu_system_s=round(last.cpu_system_s, 3),
            last_words=self._words(last.last_words),
            lost_between_s=self._lost_between_s,
            scheme=order.options.session.scheme,
            every_s=order.options.interval_s if order.options.speaks else None,
            sessions=last.sessions,
            reasons=dict(last.reasons),
            tls_us=last.tls_us,
            session_us=last.session_us,
            resolved=order.start.planned.resolved if order.start.planned else (),
            targets=order.options.targets,
            replaced=last.replaced,
            churn_per_s=order.options.churn_per_s,
            replaced_per_s=round((last.replaced - full.replaced) / since_count_s, 1) if replaces else 0.0,
            stages=stages,
            machines=machines,
            destinations=by_destination(last.destinations, order.start.planned),
            **{each.name: getattr(ending, each.name) for each in fields(ending) if not each.name.endswith("_ns")},
        )
        record = replace(record, agree=agrees(record))
        return replace(record, outcome=judge_hold(record, order.options.require))

    def _held(self, full: Sample) -> int:
        """How many were open when they were to be counted; while their number changes, as exactly as they are known."""
        stages = self._order.options.stages
        if stages is None or full.census is None:
            return full.open
        table = Timetable(stages)
        top = table.ends_ns.index(table.top_ns)
        changes = table.top_ns == table.top_until_ns
        return full.stage_open[top] if changes and top < len(full.stage_open) else full.open

    @property
    def _lost_between_s(self) -> tuple[float, float] | None:
        if self._lost_ns is None or self._first_ns is None:
            return None
        opened, full, end = self._opened, self._full, self._last
        if opened and full and end and opened.lost and full.lost == end.lost:  # begun before, and soon over
            return None
        first, last = (round((at_ns - self._first_ns) / 1e9, 3) for at_ns in self._lost_ns)
        return first, last

    def _words(self, words: bytes) -> str:
        """The last data from the peer as printable text; empty if it was just the expected answer."""
        options = self._order.options
        if not words or options.session.scheme is not Scheme.TCP:  # the reason of a session says more
            return ""
        return "" if options.script.has_expected(words) else repr(words.strip())[2:-1]


def conclude(order: HoldOrder, samples: Iterable[Sample], ending: HoldEnding) -> HoldRecord:
    """Make the record of a hold from all its samples. Raises ValueError if there are none."""
    story = HoldStory(order)
    for sample in samples:
        story.add(sample)
    return story.conclude(ending)
