"""From the samples of a churn to its record. Pure, so that it can be done anywhere, and repeated."""

from collections.abc import Mapping
from dataclasses import fields, replace

from fourtuple.core.record import dataclass
from fourtuple.core.runs.churn_judge import judge_churn
from fourtuple.core.runs.churn_orders import ChurnOrder
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.destinations import by_destination
from fourtuple.core.runs.records import MachineResult, Sample
from fourtuple.core.talk.session import Scheme


@dataclass(frozen=True, slots=True)
class ChurnEnding:
    """The values that are known only after a churn has ended; see ChurnRecord for fields of the same name."""

    elapsed_s: float
    stopped_by: str | None
    time_wait_left: int | None
    listen_overflows: int | None
    syn_retransmits: int | None
    moved: Mapping[str, int]
    interrupted: bool
    workers_killed: int


class ChurnStory:
    """Collects the samples of a churn, then makes its record; it keeps only the first and the last one."""

    def __init__(self, order: ChurnOrder) -> None:
        self._order = order
        self._first: Sample | None = None
        self._last: Sample | None = None
        self._most_open = 0
        self._most_time_wait: int | None = None

    def add(self, sample: Sample) -> None:
        self._first, self._last = self._first or sample, sample
        self._most_open = max(self._most_open, sample.open + sample.opening)
        if sample.seen and sample.seen.time_wait is not None:
            self._most_time_wait = max(self._most_time_wait or 0, sample.seen.time_wait)

    def conclude(self, ending: ChurnEnding, machines: tuple[MachineResult, ...] = ()) -> ChurnRecord:
        """Make the record. Raises ValueError if there was no sample.

        machines: of a fleet, what became of each one's share
        """
        if self._first is None or self._last is None:
            raise ValueError("a run without samples has no record")
        order, last = self._order, self._last
        options, planned = order.options, order.start.planned
        unopened = last.started - last.opened - sum(last.failed.values())  # still being opened when it ended
        completed = last.closed - last.open_at_end
        elapsed_s = ending.elapsed_s
        record = ChurnRecord(
            started_at=order.start.started_at,
            planned_per_s=options.rate_per_s,
            rate_per_s=round(last.started / elapsed_s, 1) if elapsed_s else 0.0,
            completed_per_s=round(completed / elapsed_s, 1) if elapsed_s else 0.0,
            arrivals=last.arrivals,
            started=last.started,
            not_started=last.arrivals - last.started,
            late=last.late,
            completed=completed,
            failed=dict(last.failed),
            lost=last.lost,
            lost_by=dict(last.lost_by),
            open_at_end=last.open_at_end + max(0, unopened),
            expected_open=options.open_expected,
            most_open=self._most_open,
            at_once=order.plan.wanted,
            ports_per_s=round(order.ports.most_per_s, 1) if order.ports else None,
            lag_us=last.lag_us,
            connect_us=last.connect_us,
            connecting_us=last.connecting_us,
            handshake_us=last.handshake_us,
            first_us=last.first_us,
            first_service_us=last.first_service_us,
            last_us=last.last_us,
            last_service_us=last.last_service_us,
            requests=last.requests,
            answers=last.answers,
            unexpected=last.unexpected,
            unanswered=last.unanswered,
            received_bytes=last.received_bytes,
            sent_bytes=last.sent_bytes,
            closed_by=options.closed_by,
            lifetime=str(options.lifetime) if options.lifetime.mean_s else "0s",
            arrivals_by="even" if options.even else "poisson",
            seed=order.seed,
            most_time_wait=self._most_time_wait,
            loop=order.loop,
            loop_because=order.loop_because,
            strategy=order.plan.strategy,
            workers=last.workers,
            rss_bytes=last.rss_bytes,
            cpu_user_s=round(last.cpu_user_s - self._first.cpu_user_s, 3),
            cpu_system_s=round(last.cpu_system_s - self._first.cpu_system_s, 3),
            resolved=planned.resolved if planned else (),
            targets=options.targets,
            last_words=self._words(last.last_words),
            scheme=options.session.scheme,
            sessions=last.sessions,
            reasons=dict(last.reasons),
            tls_us=last.tls_us,
            session_us=last.session_us,
            machines=machines,
            destinations=by_destination(last.destinations, order.start.planned),
            **{each.name: getattr(ending, each.name) for each in fields(ending)},
        )
        return replace(record, outcome=judge_churn(record, options.require))

    def _words(self, words: bytes) -> str:
        """The last data from the peer as printable text; empty if it was just the expected answer."""
        options = self._order.options
        if not words or options.session.scheme is not Scheme.TCP:  # the reason of a session says more
            return ""
        return "" if options.script.has_expected(words) else repr(words.strip())[2:-1]
