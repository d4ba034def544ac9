"""From all witnesses of a run to its one outcome: was it reached, in which words, and why not?

The witnesses are what was wanted, what the plan predicted, what the engine counted, what the kernel lists at both ends
when opening ended and when closing began, and the answers. Everything else that says how a run ended comes from here.
"""

import errno
from collections.abc import Iterator, Mapping, Sequence

from fourtuple.core.errnos import symptom_of
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.destinations import DestinationResult
from fourtuple.core.runs.failing import elsewhere, failing_from, not_connected
from fourtuple.core.runs.listener import PROTOCOL, about_losses, about_queue, gone
from fourtuple.core.runs.machines import Because, machine_reasons, on_machines, untried_there, witness_reasons
from fourtuple.core.runs.orders import Watch
from fourtuple.core.runs.outcome import Outcome, Reason, Required
from fourtuple.core.runs.records import AcceptQueue, HoldRecord, ServeRecord, Witness
from fourtuple.core.runs.require import Requirement, got_words, parse_requirements
from fourtuple.core.runs.stages import churn_reasons, stage_reasons
from fourtuple.core.runs.together import NOT_TRIED
from fourtuple.core.units import format_count, format_duration, format_rate, format_size, format_things, format_were

FELL_SHORT = "fell short"
CONTRADICTIONS = frozenset({Reason.WITNESSES, Reason.PLAN})  # never reached, whatever is required
DISAGREEMENTS = CONTRADICTIONS | {Reason.NOT_AT_SERVER, Reason.NOT_ACCEPTED}
OUT_OF_PORTS = tuple(errno.errorcode[number] for number in (errno.EADDRNOTAVAIL, errno.EADDRINUSE))
UNANSWERED = errno.errorcode[errno.EINPROGRESS]  # connects that the end of the run left without an answer
TOGETHER_S = 1.0  # losses within this time are said to have happened at one moment, unless the first came much earlier
RESET, QUEUE_FULL, LATE = (errno.errorcode[number] for number in (errno.ECONNRESET, errno.EAGAIN, errno.ETIMEDOUT))


def judge_hold(record: HoldRecord, require: Sequence[str] = ()) -> Outcome:
    """The outcome of a hold.

    require: the texts of --require; empty: all connections were open at the same time and until the end, were accepted
             where that can be seen, and were answered as expected

    Raises UsageError for requirements that a HoldRecord cannot have.
    """
    reasons = tuple(_hold_reasons(record))
    met = f"{_held(record)}. Plan, engine and kernel agree."
    if not require:
        return outcome_of(tuple(_everything(record)), reasons, met, _short(record))
    requirements = parse_requirements(require, HoldRecord)
    none = bool(_none_connected(record))
    return as_required(requirements, record, record.wanted, reasons, _held(record), _short(record), none=none)


def agrees(record: HoldRecord) -> bool:
    """Whether the plan, the engine and the kernel, at both ends, have the same number."""
    return not any(reason in DISAGREEMENTS for reason, _ in _hold_reasons(record))


def judge_serve(record: ServeRecord, require: Sequence[str] = ()) -> Outcome:
    """The outcome of a serve; without `require`, no client had to wait for a worker that died or was full.

    Raises UsageError as judge_hold does.
    """
    reasons = tuple(_serve_reasons(record))
    served = (
        f"accepted {format_count(record.accepted)}{on_machines(record.machines)},"
        f" at most {format_count(record.most_open)} open at once (as sampled),"
        f" {format_count(record.open)} open at the end"
    )
    if not require:
        return outcome_of((), reasons, served, f"{FELL_SHORT}: {served}.")
    return as_required(
        parse_requirements(require, ServeRecord), record, record.accepted, reasons, served, f"{FELL_SHORT}: {served}."
    )


def judge_stored(record: HoldRecord | ServeRecord, *, reached: bool) -> Outcome:
    """The outcome of a record that was stored before outcomes were, with the verdict of that time."""
    now = judge_hold(record) if isinstance(record, HoldRecord) else judge_serve(record)
    if reached == now.reached:
        return now
    says = _held(record) if isinstance(record, HoldRecord) else now.says
    return Outcome(reached, says, () if reached else now.because)


def outcome_of(required: tuple[Required, ...], reasons: Sequence[Because], met: str, short: str) -> Outcome:
    """The outcome if the user requires nothing in particular.

    required: what has to be met; reasons: why the run fell short
    met, short: what the run did, in a sentence: if it was reached, and if it fell short
    """
    unmet = [each.name for each in required if not each.met]
    because: tuple[str, ...] = tuple(dict.fromkeys(reason for reason, _ in reasons)) or tuple(unmet)
    if not because:
        return Outcome(True, met, (), required)
    says = " ".join([short, *(sentence for _, sentence in reasons if sentence)])
    return Outcome(False, says, because, required)


def as_required(
    requirements: Sequence[Requirement],
    record: HoldRecord | ServeRecord | ChurnRecord,
    whole: int,
    reasons: Sequence[Because],
    held: str,
    short: str,
    *,
    none: bool = False,
) -> Outcome:
    """The outcome that the user's requirements decide; a contradiction between witnesses is never reached.

    held: what the run did, in words; short: the same as a sentence that says that it fell short
    none: no connection was opened, which only meets requirements on how many there were
    """
    at_end = record.wanted_at_end if isinstance(record, HoldRecord) else whole
    required = tuple(each.judged(record, at_end if each.is_of_end else whole) for each in requirements)
    unmet = [each for each in required if not each.met]
    because = (*(each.name for each in unmet), *(reason for reason, _ in reasons if reason in CONTRADICTIONS))
    if none and not any(each.is_of_connections for each in requirements):
        because = (*because, Reason.FAILED)
    sentences = [sentence for _, sentence in reasons if sentence]
    if because:
        listed = ", ".join(f"{each.name}{each.wanted} ({got_words(each, type(record))})" for each in unmet)
        says = " ".join([short, *([f"Not met: {listed}."] if unmet else []), *sentences])
        return Outcome(False, says, because, required)
    listed = ", ".join(f"{each.name}{each.wanted}" for each in required)
    return Outcome(True, " ".join([f"{held}. As required: {listed}.", *sentences]), (), required)


# hold


def _held(record: HoldRecord) -> str:
    ended = " (interrupted)" if record.interrupted else ""
    asked = "" if record.held == record.wanted else f" of {format_count(record.wanted)}"
    asked += on_machines(record.machines)
    again = f", reopened {format_count(record.reconnected)}" if record.reconnected else ""
    lost = f"{_replaced(record)}, lost {format_count(record.lost)}{again}"
    if not record.held:
        return f"held none{asked}{ended}{lost}"
    time = f" for {format_duration(record.held_s)}" if record.held_s else ""
    if record.stages:
        reached = sum(stage.reached for stage in record.stages)
        time = f" at the peak{ended}, reached {reached} of {len(record.stages)} stages"
        ended = ""
    return f"held {format_count(record.held)}{asked}{time}{ended}{lost}"


def _none_connected(record: HoldRecord) -> str:
    """The cause, if no connection was opened at all; otherwise empty."""
    return not_connected(record.wanted, record.held + record.lost, record.failed, record.destinations)


def _short(record: HoldRecord) -> str:
    return _none_connected(record) or f"{FELL_SHORT}: {_held(record)}."


def _replaced(record: HoldRecord) -> str:
    if not record.churn_per_s:
        return ""
    rates = f"{format_rate(record.replaced_per_s)} of {format_rate(record.churn_per_s)} planned"
    return f", replaced {format_count(record.replaced)} ({rates})"


def _everything(record: HoldRecord) -> Iterator[Required]:
    """What has to be met if the user requires nothing in particular."""
    at_end = record.census_at_end or record.census
    yield Required("held", "=all", record.held, record.held == record.wanted)
    yield Required("open_at_end", "=all", record.open_at_end, record.open_at_end == record.wanted_at_end)
    if at_end.accepted is not None:
        yield Required("accepted", "=all", at_end.accepted, at_end.accepted == record.wanted_at_end)
    if record.requests or record.answers or record.unexpected or record.unanswered:
        yield Required("unexpected", "=0", record.unexpected, not record.unexpected)
        yield Required("unanswered", "=0", record.unanswered, not record.unanswered)
        yield Required("unsent", "=0", record.unsent, not record.unsent)
    yield Required("workers_killed", "=0", record.workers_killed, not record.workers_killed)


def _hold_reasons(record: HoldRecord) -> Iterator[Because]:
    untried = record.failed.get(NOT_TRIED, 0) - untried_there(record.machines)
    if record.stopped_by:
        yield Reason.STOPPED, f"Opening was stopped: {record.stopped_by}."
    elif record.interrupted and (untried or UNANSWERED in record.failed):
        cut = ((untried, "were not tried"), (record.failed.get(UNANSWERED, 0), "had no answer yet"))
        parts = " and ".join(f"{format_count(count)} {what}" for count, what in cut if count)
        yield Reason.INTERRUPTED, f"{parts} because of the interruption."
    elif record.interrupted and _none_connected(record):
        yield Reason.INTERRUPTED, "The run was interrupted."
    yield from machine_reasons(record.machines)
    if record.workers_killed:
        yield Reason.WORKERS_KILLED, killed_workers(record.workers_killed, record.workers)
    said = {NOT_TRIED, UNANSWERED} if record.interrupted else {NOT_TRIED}
    failed = {name: count for name, count in record.failed.items() if name not in said}
    if failed:
        words = failed_words(failed, record.destinations) + elsewhere(record.destinations)
        yield Reason.FAILED, "" if _none_connected(record) else words  # which says the same
        yield from _full_queue(record, failed)
    yield from stage_reasons(record)
    lost = tuple(_lost(record))
    yield from lost
    yield from churn_reasons(record)
    yield from _not_accepted(record.census_at_end or record.census)
    if record.unexpected:
        yield Reason.UNEXPECTED, f"{format_were(record.unexpected, 'answer')} not as expected."
        if not lost:  # which has said them
            yield from by_reason(record.reasons)
    if record.unanswered:
        some = record.received_bytes if not (record.answers or record.sessions) else 0  # not of a handshake
        part = f" in full: only {format_size(some)} arrived" if some else ""
        yield Reason.UNANSWERED, f"{format_were(record.unanswered, 'message')} not answered{part}."
    if record.unsent:
        unsent = f"{format_were(record.unsent, 'message')} due and could not be sent"
        yield Reason.UNSENT, f"{unsent}, because earlier ones were not answered yet."
    yield from _contradictions(record)


def _lost(record: HoldRecord) -> Iterator[Because]:
    """Losses that were not made up for by reopening; those of a worker's death are said by `killed_workers`."""
    lost = {name: count for name, count in record.lost_by.items() if name != NOT_TRIED}
    made_up = record.reconnected >= record.lost if record.stages else record.open_at_end == record.wanted
    if not lost or made_up:
        return
    words = f' It had sent "{record.last_words}".' if record.last_words else ""
    at_end = record.census_at_end or record.census
    everything = record.held + record.lost_while_opening
    for name, count in lost.items():
        number = f"all {format_count(count)}" if count == everything else format_count(count)
        how = {"FIN": "The server closed", RESET: "The server reset"}.get(name)
        others = f"{number} sessions failed" if name == PROTOCOL else f"{number} were lost"
        what = f"{how} {number}" if how else others
        yield Reason.LOST, f"{what[0].upper()}{what[1:]} {_when(record)} ({name}).{words if how else ''}"
        words = ""
    if record.reconnect_failed and record.open_at_end < record.wanted_at_end:
        of = f"{format_count(record.open_at_end)} of {format_count(record.wanted_at_end)}"
        yield Reason.LOST, f"{of} were open at the end."
    yield from by_reason(record.reasons)
    if record.census.queues and not at_end.queues:
        yield Reason.LOST, gone(record.census.queues)
    yield from ((Reason.LOST, sentence) for sentence in about_losses(record, lost, at_end.queues))


def by_reason(reasons: Mapping[str, int]) -> Iterator[Because]:
    """Why sessions ended or answers were wrong, in the words of their protocol."""
    for reason, count in reasons.items():
        yield Reason.SESSION, f"{format_count(count)} × {reason}."


def _when(record: HoldRecord) -> str:
    if record.lost == record.lost_while_opening:
        between = record.lost_between_s
        return f"within {format_duration(between[1])}" if between else "while connections were being opened"
    if record.watch == Watch.OFF:
        return "before the end"  # noticed only then
    if record.lost_between_s is None:
        return "during the run"
    first, last = record.lost_between_s
    if last - first <= min(TOGETHER_S, last / 2):
        return f"after {format_duration(last)}"
    return f"between {format_duration(first)} and {format_duration(last)}"


def _not_accepted(census: Witness) -> Iterator[Because]:
    """Connections that exist at the client and not, or not yet, in the hands of the server."""
    if census.server is None or census.accepted is None:
        return
    queue = _queue(census.queues)
    if census.server < census.client:
        there = f"{format_count(census.server)} of {format_count(census.client)}"
        full = any(each.backlog and each.waiting > each.backlog for each in census.queues)
        why = ": it dropped the last step of the other handshakes, because the accept queue was full" if full else ""
        yield Reason.NOT_AT_SERVER, f"At the server, the kernel lists only {there} connections{why}."
    if waiting := max(0, census.server - census.accepted):
        accepted = f"{format_count(census.accepted)} of {format_count(census.client)}"
        where = f"its accept queue{f' ({queue})' if queue else ''}"
        yield Reason.NOT_ACCEPTED, f"The server accepted {accepted}; {format_count(waiting)} wait in {where}."
    if census.server < census.client or waiting:
        reason = Reason.NOT_ACCEPTED if waiting else Reason.NOT_AT_SERVER
        yield from ((reason, sentence) for sentence in about_queue(census.queues, census.accepted))


def _full_queue(record: HoldRecord, failed: Mapping[str, int]) -> Iterator[Because]:
    """The accept queue that left no room, where no connection of the run waits in it, which `_not_accepted` says."""
    full = [each for each in record.census.queues if each.backlog and each.waiting > each.backlog]
    if full and not record.held and failed.keys() & {QUEUE_FULL, LATE}:
        yield Reason.FAILED, f"Its accept queue is full ({_queue(full)})."
        yield from ((Reason.FAILED, sentence) for sentence in about_queue(full, 0))


def _queue(queues: Sequence[AcceptQueue]) -> str:
    if not any(each.backlog for each in queues):
        return ""
    waiting, backlog = sum(each.waiting for each in queues), sum(each.backlog for each in queues)
    return f"Recv-Q {format_count(waiting)} of {format_count(backlog)}"


def _contradictions(record: HoldRecord) -> Iterator[Because]:
    for census, held in ((record.census, record.held), (record.census_at_end, record.open_at_end)):
        if census is None:
            continue
        least, most = (held if bound is None else bound for bound in (census.least, census.most))
        if not least <= census.client <= most:
            counts = f"{format_count(census.client)} at the client, and the engine {format_count(held)}"
            yield Reason.WITNESSES, f"The kernel counts {counts}."
            break
    yield from witness_reasons(record.machines)
    whole = record.held + sum(record.failed.values()) + record.lost_while_opening
    twice = any(each.instead_of for each in record.machines)  # some connections are in two shares
    if whole != record.wanted and not (record.workers_killed or record.reconnected or record.stages or twice):
        sums = f"held, failed and lost are {format_count(whole)}, not {format_count(record.wanted)}"
        yield Reason.WITNESSES, f"The engine's counts do not add up: {sums}."
    opened = record.held + (0 if record.stages or twice else record.lost_while_opening)
    has_no_port = any(name in record.failed for name in OUT_OF_PORTS)
    if opened > record.predicted or (opened < record.predicted_least and has_no_port and not record.interrupted):
        yield Reason.PLAN, f"The plan predicted {_between(record.predicted_least, record.predicted)}."


def _between(least: int, most: int) -> str:
    return format_count(most) if least == most else f"{format_count(least)} to {format_count(most)}"


def failed_words(failed: Mapping[str, int], destinations: Sequence[DestinationResult]) -> str:
    """`3 failed with ECONNREFUSED from 127.0.0.1:8202.`; of several errnos, only how many."""
    return f"{counted(failed)} failed{named(failed)}{failing_from(destinations) if len(failed) == 1 else ''}."


# serve


def _serve_reasons(record: ServeRecord) -> Iterator[Because]:
    yield from machine_reasons(record.machines, of_server=True)
    if record.workers_killed:
        yield Reason.WORKERS_KILLED, killed_workers(record.workers_killed, record.workers)
    if record.failed:
        meaning = symptom_of(getattr(errno, next(iter(record.failed)), 0)).limit
        yield Reason.FAILED, f"accept() failed {counted(record.failed)} times{named(record.failed)}: {meaning}."
    if record.waiting and record.capacity and record.most_open >= record.capacity:
        full = f"the server was full, with {format_things(record.capacity, 'connection')}"
        yield Reason.FULL, f"{format_count(record.waiting)} clients were waiting at the end: {full}."


def killed_workers(killed: int, workers: int) -> str:
    return f"{killed} of {workers} worker processes died; the connections held there were lost."


def counted(by_name: Mapping[str, int]) -> str:
    return format_count(sum(by_name.values()))


def named(by_name: Mapping[str, int]) -> str:
    """` with EMFILE`, or each with its count if there are several: `: EMFILE 7, ENFILE 3`."""
    if len(by_name) == 1:
        return f" with {next(iter(by_name))}"
    return ": " + ", ".join(f"{name} {format_count(count)}" for name, count in by_name.items())
