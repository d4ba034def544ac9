"""The outcome of a churn: was the rate kept, and did every connection do what it was to do?

A rate is kept if at least KEPT_SHARE of the connections were started within LATE_S of their moments.
"""

import errno
from collections.abc import Iterator, Sequence
from math import ceil

from fourtuple.core.runs.churn_orders import KEPT_SHARE, LATE_S, ClosedBy
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.failing import not_connected
from fourtuple.core.runs.judge import (
    FELL_SHORT,
    as_required,
    by_reason,
    failed_words,
    killed_workers,
    named,
    outcome_of,
)
from fourtuple.core.runs.machines import Because, is_gone, machine_reasons, on_machines, without_gone
from fourtuple.core.runs.outcome import Outcome, Reason, Required
from fourtuple.core.runs.require import parse_requirements
from fourtuple.core.units import format_count, format_duration, format_rate, format_things, format_were

TIMEOUT = errno.errorcode[errno.ETIMEDOUT]
FREE_SHARE = 0.5  # of the slots: where no more were seen in use, the others were free, also between two samples


def judge_churn(record: ChurnRecord, require: Sequence[str] = ()) -> Outcome:
    """The outcome of a churn.

    require: the texts of --require; empty: the rate was kept, and every connection was opened, answered as expected and
             closed

    Raises UsageError for requirements that a ChurnRecord cannot have.
    """
    reasons, did = tuple(_reasons(record)), _did(record)
    short = _none_connected(record) or f"{FELL_SHORT}: {did}."
    if not require:
        kept = " The rate was kept." if record.arrivals else ""
        return outcome_of(tuple(_everything(record)), reasons, f"{did}.{kept}", short)
    requirements, none = parse_requirements(require, ChurnRecord), bool(_none_connected(record))
    return as_required(requirements, record, record.arrivals, reasons, did, short, none=none)


def _none_connected(record: ChurnRecord) -> str:
    """The cause, if no connection was opened at all; otherwise empty."""
    opened = record.completed + record.lost + record.open_at_end
    return not_connected(record.started, opened, record.failed, record.destinations)


def keeps(record: ChurnRecord) -> bool:
    """Whether the rate was kept and no connection failed: what `churn max` looks for."""
    whole = not (record.failed or record.lost or record.unexpected or record.unanswered or record.workers_killed)
    return bool(record.arrivals) and whole and _is_kept(record)


def is_hopeless(record: ChurnRecord) -> bool:
    """Whether no connection at all did what it was to do, so that a lower rate would not help either."""
    none = not (record.completed or record.open_at_end)
    return none or bool(record.unexpected and not record.answers)


def trouble(record: ChurnRecord) -> str:
    """Why the rate was not kept, or what failed, in sentences; empty if nothing did."""
    return " ".join(filter(None, [_none_connected(record), *(sentence for _, sentence in _reasons(record))]))


def is_late_here(record: ChurnRecord) -> bool:
    """Whether the rate was not kept although slots were free: this end itself was late."""
    gone = record.workers_killed or record.stopped_by or any(map(is_gone, record.machines))
    waited = record.most_open > record.at_once * FREE_SHARE
    return not (_is_kept(record) or waited or _none_connected(record) or gone)


def server_keeps_open(record: ChurnRecord) -> bool:
    """Whether what did not come in time was only the end of the connection, which the server was to close."""
    all_came = record.answers + record.unexpected >= record.requests and not record.unanswered
    established = not any(reason.startswith("session:") for reason in record.reasons)
    return record.closed_by == ClosedBy.SERVER and all_came and established


def _is_kept(record: ChurnRecord) -> bool:
    return record.late + _overdue(record) <= (1 - KEPT_SHARE) * record.arrivals


def _overdue(record: ChurnRecord) -> int:
    """Connections that were not started in time, or never: Ctrl-C finds some that have just become due."""
    just_due = ceil(record.planned_per_s * LATE_S) if record.interrupted else 0
    return max(0, record.not_started - just_due)


def _did(record: ChurnRecord) -> str:
    asked = "" if record.completed == record.arrivals else f" of {format_count(record.arrivals)}"
    ended = " (interrupted)" if record.interrupted else ""
    time = f" in {format_duration(record.elapsed_s)}" if record.elapsed_s else ""
    rates = f"{format_rate(record.rate_per_s)} of {format_rate(record.planned_per_s)} planned"
    still = f", {format_count(record.open_at_end)} still open at the end" if record.open_at_end else ""
    what = f"{format_count(record.completed)}{asked} connection{'s' * (record.arrivals != 1)}"
    what += on_machines(record.machines)
    return f"completed {what}{time}{ended}, started {rates}{still}"


def _everything(record: ChurnRecord) -> Iterator[Required]:
    """What has to be met if the user requires nothing in particular."""
    late = record.late + _overdue(record)
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
    if not (record.arrivals or record.interrupted):
        yield Reason.RATE, "No connection was due: try a higher rate, or a longer --for."
    if not (_is_kept(record) or _none_connected(record)):  # to wait for what refuses makes others late
        yield Reason.RATE, f"The rate was not kept: {_late(record)}."
    if failed := without_gone(record.failed, record.machines):
        yield Reason.FAILED, "" if _none_connected(record) else failed_words(failed, record.destinations)
    by = without_gone(record.lost_by, record.machines)
    if not_closed := by.pop(TIMEOUT, 0) if server_keeps_open(record) else 0:
        yield Reason.LOST, f"The server did not close {format_count(not_closed)} in time: use --close rst or fin."
    if lost := record.lost - sum(record.lost_by.values()) + sum(by.values()):
        words = f' The server had sent "{record.last_words}".' if record.last_words else ""
        yield (
            Reason.LOST,
            f"{format_were(lost)} lost before being complete{named(by)}.{words}",
        )
    if record.unexpected:
        yield Reason.UNEXPECTED, f"{format_were(record.unexpected, 'answer')} not as expected."
    if record.unanswered:
        yield Reason.UNANSWERED, f"{format_were(record.unanswered, 'message')} not answered."
    if record.lost or record.unexpected:
        yield from by_reason(record.reasons)


def _late(record: ChurnRecord) -> str:
    """How many were late, and what they waited for."""
    late = f"{format_were(record.late)} started more than {format_duration(LATE_S)} late" if record.late else ""
    never = f"{format_were(record.not_started)} not started at all" if record.not_started else ""
    slots = "the only slot for a connection was" if record.at_once == 1 else ""
    slots = slots or f"all {format_things(record.at_once, 'slot')} for connections were"
    why = f"; {slots} in use" if record.most_open >= record.at_once * KEPT_SHARE else ""
    why = "; slots were free, so this end was late (its CPUs are busy), not the server" if is_late_here(record) else why
    return f"{', and '.join(part for part in (late, never) if part)}{why}"


def judge_max(record: ChurnRecord, require: Sequence[str] = ()) -> Outcome:
    """The outcome of `churn max`: a rate was kept, and if something is required, at the highest such rate.

    record: of the highest rate that was kept, with its steps; of another rate if none was

    Raises UsageError as judge_churn does.
    """
    tried = ", when it was interrupted" if record.interrupted else ""
    kept = {step.planned_per_s for step in record.steps if step.kept}  # one may have been tried twice
    others = [step for step in record.steps if step.planned_per_s not in kept]
    not_kept = min(others, key=lambda step: step.planned_per_s, default=None)
    why = f"At {format_rate(not_kept.planned_per_s)}: {not_kept.trouble}" if not_kept else ""
    if not kept:
        because = not_kept.because if not_kept else (Reason.INTERRUPTED,)
        return Outcome(
            False,
            f"{FELL_SHORT}: {f'no rate is kept. {why}' if why else f'no rate was tried to the end{tried}.'}",
            because,
        )
    above = f"{format_rate(not_kept.planned_per_s)} is not{tried}" if not_kept else f"no higher one was tried{tried}"
    here = "this end, not the server, limits the rate: " if not_kept and not_kept.late_here else ""
    says = f"{here}the highest rate that is kept is {format_rate(record.planned_per_s)}; {above}"
    if not require:
        return Outcome(True, f"{says}. {why}".rstrip())
    reasons = [(Reason.RATE, why)] if why else []
    return as_required(
        parse_requirements(require, ChurnRecord), record, record.arrivals, reasons, says, f"{FELL_SHORT}: {says}."
    )
