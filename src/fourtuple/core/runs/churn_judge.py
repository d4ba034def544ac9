"""The outcome of a churn: was the rate kept, and did every connection do what it was to do?

A rate is kept if at least KEPT_SHARE of the connections were started within LATE_S of their moments.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from fourtuple.core.runs.churn_orders import KEPT_SHARE, LATE_S
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.judge import as_required, counted, killed_workers, named, outcome_of
from fourtuple.core.runs.machines import Because, machine_reasons, on_machines, without_gone
from fourtuple.core.runs.outcome import Outcome, Reason, Required
from fourtuple.core.runs.require import parse_requirements
from fourtuple.core.units import format_count, format_duration, format_rate


def judge_churn(record: ChurnRecord, require: Sequence[str] = ()) -> Outcome:
    """The outcome of a churn.

    require: the texts of --require; empty: the rate was kept, and every connection was opened, answered as expected and
             closed

    Raises UsageError for requirements that a ChurnRecord cannot have.
    """
    reasons, did = tuple(_reasons(record)), _did(record)
    if not require:
        return outcome_of(tuple(_everything(record)), reasons, f"{did}. The rate was kept.", did)
    return as_required(parse_requirements(require, ChurnRecord), record, record.arrivals, reasons, did)


def keeps(record: ChurnRecord) -> bool:
    """Whether the rate was kept and no connection failed: what `churn max` looks for."""
    whole = not (record.failed or record.lost or record.unexpected or record.unanswered or record.workers_killed)
    return bool(record.arrivals) and whole and _is_kept(record)


def _is_kept(record: ChurnRecord) -> bool:
    return record.late + record.not_started <= (1 - KEPT_SHARE) * record.arrivals


def _did(record: ChurnRecord) -> str:
    asked = "" if record.completed == record.arrivals else f" of {format_count(record.arrivals)}"
    ended = " (interrupted)" if record.interrupted else ""
    time = f" in {format_duration(record.elapsed_s)}" if record.elapsed_s else ""
    rates = f"{format_rate(record.rate_per_s)} of {format_rate(record.planned_per_s)} planned"
    on = on_machines(record.machines)
    return f"completed {format_count(record.completed)}{asked} connections{on}{time}{ended}, started {rates}"


def _everything(record: ChurnRecord) -> Iterator[Required]:
    """What has to be met if the user requires nothing in particular."""
    late = record.late + record.not_started
    yield Required("late", f"<={1 - KEPT_SHARE:.0%}", late, _is_kept(record))
    yield Required("failed", "=0", sum(record.failed.values()), not record.failed)
    yield Required("lost", "=0", record.lost, not record.lost)
    yield Required("unexpected", "=0", record.unexpected, not record.unexpected)
    yield Required("unanswered", "=0", record.unanswered, not record.unanswered)
    yield Required("workers_killed", "=0", record.workers_killed, not record.workers_killed)


def _reasons(record: ChurnRecord) -> Iterator[Because]:
    if record.stopped_by:
        yield Reason.STOPPED, f"It was stopped: {record.stopped_by}."
    yield from machine_reasons(record.machines)
    if record.workers_killed:
        yield Reason.WORKERS_KILLED, killed_workers(record.workers_killed, record.workers)
    if not _is_kept(record):
        yield Reason.RATE, f"The rate was not kept: {_late(record)}."
    if failed := without_gone(record.failed, record.machines):
        yield Reason.FAILED, f"{counted(failed)} failed{named(failed)}."
    by = without_gone(record.lost_by, record.machines)
    if lost := record.lost - sum(record.lost_by.values()) + sum(by.values()):
        words = f' The server had sent "{record.last_words}".' if record.last_words else ""
        yield (
            Reason.LOST,
            f"{format_count(lost)} were lost before they were complete{named(by)}.{words}",
        )
    if record.unexpected:
        yield Reason.UNEXPECTED, f"{format_count(record.unexpected)} answers were not as expected (--log shows them)."
    if record.unanswered:
        yield Reason.UNANSWERED, f"{format_count(record.unanswered)} messages were not answered."


def _late(record: ChurnRecord) -> str:
    """How many were late, and what they waited for."""
    late = f"{format_count(record.late)} were started more than {format_duration(LATE_S)} late"
    never = f", {format_count(record.not_started)} not at all" if record.not_started else ""
    full = record.most_open >= record.at_once * KEPT_SHARE
    why = f"; all {format_count(record.at_once)} slots for connections were in use" if full else ""
    return f"{late}{never}{why}"


def judge_max(record: ChurnRecord, require: Sequence[str] = ()) -> Outcome:
    """The outcome of `churn max`: a rate was kept, and if something is required, at the highest such rate.

    record: of the highest rate that was kept, with its steps; of another rate if none was

    Raises UsageError as judge_churn does.
    """
    if not keeps(record):
        return replace(judge_churn(record, require), reached=False)
    above = min((step.planned_per_s for step in record.steps if not step.kept), default=None)
    not_kept = "no higher one was tried" if above is None else f"{format_rate(above)} is not"
    says = f"the highest rate that is kept is {format_rate(record.planned_per_s)}; {not_kept}."
    if not require:
        return Outcome(True, says)
    outcome = judge_churn(record, require)
    return replace(outcome, says=f"{says} {outcome.says}")
