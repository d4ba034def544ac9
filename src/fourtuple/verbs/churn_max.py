"""`churn max`: the highest rate that is kept, found by short runs at rates that double, then by bisection.

A step keeps its rate if at least KEPT_SHARE of its connections are started within LATE_S of their moments, and none
fails (core/runs/churn_judge.py). Where only this end was late, the rate is tried once more. The record is that of the
highest rate that was kept, with all steps.
"""

from collections.abc import Generator
from dataclasses import replace

from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.core.record import dataclass
from fourtuple.core.runs.churn_judge import is_hopeless, is_late_here, judge_churn, judge_max, keeps, trouble
from fourtuple.core.runs.churn_orders import ChurnOptions, ClosedBy
from fourtuple.core.runs.churn_record import ChurnRecord, ChurnStep
from fourtuple.core.runs.churn_search import RateSearch
from fourtuple.core.runs.histogram import NOT_MEASURED
from fourtuple.core.runs.outcome import Reason
from fourtuple.core.runs.records import Sample
from fourtuple.core.runs.run import Run
from fourtuple.core.space.endpoints import unix_names
from fourtuple.verbs.churn import prepare, start_churn

MOST_SAMPLES = 240  # that are kept of a step, half a megabyte each


@dataclass(frozen=True, slots=True)
class MaxFound:
    """The highest rate that was kept, or the last that was tried if none was.

    samples: of the run at that rate, at most MOST_SAMPLES of them
    """

    record: ChurnRecord
    samples: tuple[Sample, ...]

    def replayed(self) -> Run[Sample, ChurnRecord]:
        """The run at that rate once more, without opening anything: to be stored."""

        def steps() -> Generator[Sample, None, ChurnRecord]:
            yield from self.samples
            return self.record

        return Run(steps())


def churn_max(options: ChurnOptions) -> Run[Sample, MaxFound]:
    """Search for the highest rate that is kept: a run of the samples of all its steps.

    options: each step runs for `run_s`, and `rate_per_s` is the first rate

    Raises UsageError, ShortfallError, CannotError before anything is opened.
    """
    options.check()
    if options.closed_by is ClosedBy.FIN and not unix_names(options.destinations):
        raise UsageError(
            "churn max with --close fin",
            "the ports that one step leaves in TIME_WAIT are missing in the next",
            "Use --close rst or server.",
        )

    def steps() -> Generator[Sample, None, MaxFound]:
        search, tried = RateSearch(options.rate_per_s), list[ChurnStep]()
        best: MaxFound | None = None
        refusal = ShortfallError("churn max", "no rate could be tried")
        while search.rate_per_s is not None:
            try:
                order = prepare(options.at(search.rate_per_s))
            except ShortfallError as error:  # the limit is here, not at the server: ports, memory or files
                refusal = error
                tried.append(_refused(search.rate_per_s, error))
                search.tried(kept=False)
                continue
            run = start_churn(order)
            samples = list[Sample]()
            for sample in run:
                samples.append(sample)
                if len(samples) > MOST_SAMPLES:  # every other one will do: what they count only grows
                    del samples[1:-1:2]
                yield sample
            record = run.record
            if record.interrupted:  # in the middle of a step, which then says nothing about its rate
                found = best.record if best else record
                best = MaxFound(replace(found, interrupted=True), best.samples if best else tuple(samples))
                break
            kept = keeps(record)
            tried.append(_step(record, kept=kept))
            if best is None or not keeps(best.record) or (kept and record.planned_per_s > best.record.planned_per_s):
                best = MaxFound(record, tuple(samples))
            if not kept and is_hopeless(record):
                break
            search.tried(kept=kept, perhaps=tried[-1].late_here)
        if best is None:
            raise refusal
        record = replace(best.record, steps=tuple(tried))
        return replace(best, record=replace(record, outcome=judge_max(record, options.require)))

    return Run(steps())


def _step(record: ChurnRecord, *, kept: bool) -> ChurnStep:
    because = () if kept else judge_churn(record).because
    return ChurnStep(
        planned_per_s=record.planned_per_s,
        rate_per_s=record.rate_per_s,
        kept=kept,
        arrivals=record.arrivals,
        late=record.late + record.not_started,
        failed=sum(record.failed.values()) + record.lost,
        last_us=record.last_us if record.last_us.p50 is not None else record.connect_us,
        because=because,
        trouble="" if kept else trouble(record),
        late_here=because == (Reason.RATE,) and is_late_here(record),
    )


def _refused(rate_per_s: float, error: ShortfallError) -> ChurnStep:
    """A rate for which the host has no room: nothing was opened."""
    why = f"{error.stopped_by}." if error.stopped_by else ""
    return ChurnStep(rate_per_s, 0.0, False, 0, 0, 0, NOT_MEASURED, (Reason.PLAN,), f"{error.wanted}: {why}")
