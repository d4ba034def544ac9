"""`fleet collect`: one run again, of what each machine recorded, after the coordinator or the scheduler was lost."""

from bisect import bisect_right
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from fourtuple.core.errors import CannotError
from fourtuple.core.fleet.member import Member
from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.orders import HoldOrder, from_text
from fourtuple.core.runs.records import HoldRecord, MachineResult, Sample
from fourtuple.core.runs.run import Run
from fourtuple.core.runs.stored import StoredRun
from fourtuple.core.runs.together import witnesses
from fourtuple.fleet.conclude import concluded
from fourtuple.fleet.gather import asked_all, gathered
from fourtuple.fleet.links import Links
from fourtuple.fleet.messages import AskParts, Order, PartsMade, StoredPart, order_from, sample_from
from fourtuple.fleet.order import MachinePart
from fourtuple.fleet.seats import FleetEnding, Seats
from fourtuple.store.reading import KINDS

MOST_MOMENTS = 2000  # of the collected run
UNKNOWN = "other machines"
WHOLE = "A run with --local, or with --no-store, has no other records than this one."
NOT_COLLECTED = "its own record was not found"


def collect(links: Links, run: StoredRun, on: Sequence[str] = ()) -> Run[Sample, Any]:
    """The run of a fleet once more, from the machines' own records: a run that opens nothing, to be stored.

    run: as the coordinator stored it, which need not have a record
    on:  names of the machines to ask; none: all

    Raises CannotError if no machine has a part of it, or if its order is not that of this version.
    """
    try:
        whole = order_from(run.start.kind, run.start.order.encode())
    except (ValueError, KeyError) as error:
        why = f"its order cannot be read: {error}" if run.start.order else "its order was not stored"
        raise CannotError(f"cannot collect run {run.entry.id}", why) from None
    whole = replace(whole, start=run.start)
    gathering = gathered(links, on)
    found: list[tuple[Member, StoredPart]] = []
    questions = dict.fromkeys(gathering.seats, AskParts(run.start.fleet))
    for seat, answer in asked_all(links, {**questions}, PartsMade).items():
        if isinstance(answer, PartsMade):
            found += [(gathering.seats[seat], part) for part in answer.parts]
    if not found:
        raise CannotError(f"cannot collect run {run.entry.id}", "no machine that is there has a part of it", WHOLE)
    return concluded(whole, Run(_replayed(run, whole, found)))


def _replayed(
    run: StoredRun, whole: Order, found: Sequence[tuple[Member, StoredPart]]
) -> Generator[Sample, None, FleetEnding]:
    """The samples of all machines along one clock."""
    samples = {
        part.part.number: [sample_from(each, member.offset_ns) for each in part.samples] for member, part in found
    }
    missing = [each for each in _machines(run) if each.number not in samples]
    members = {part.part.number: (member, part) for member, part in found}
    seats = Seats(run.start, _parts(whole, members, samples, missing), untried=run.start.kind == "hold")
    for seat in seats:
        number = seat.share.seat
        if number in members:
            _, part = members[number]
            seat.record = from_text(part.record, KINDS[run.start.kind]) if part.record else None
            seat.run, seat.gone = part.run, "" if part.record else part.outcome
        else:
            seat.gone = next((each.why for each in missing if each.number == number and each.why), NOT_COLLECTED)
    moments = _moments(samples)
    held_until_ns = moments[-1] if moments else run.start.at_ns
    for at_ns in moments:
        for seat in seats:
            seat.sample = _latest(samples.get(seat.share.seat, []), at_ns)
        living = [seat for seat in seats if seat.record]
        if seats.census is None and living:
            seats.census = witnesses([seat.sample.census if seat.sample else None for seat in living])
        yield (sample := seats.sample(at_ns))
        if sample.phase <= Phase.HOLDING:
            held_until_ns = at_ns
    interrupted = any(isinstance(seat.record, HoldRecord) and seat.record.interrupted for seat in seats)
    return FleetEnding(tuple(seats), min(moments, default=run.start.at_ns), held_until_ns, None, interrupted)


def _machines(run: StoredRun) -> tuple[MachineResult, ...]:
    return run.record.machines if run.record else ()


def _parts(
    whole: Order,
    members: Mapping[int, tuple[Member, StoredPart]],
    samples: Mapping[int, Sequence[Sample]],
    missing: Sequence[MachineResult],
) -> list[MachinePart]:
    """Each machine's part, by its number in the run."""
    there = {part.machine: number for number, (_, stored) in members.items() if not (part := stored.part).instead_of}
    parts = [
        MachinePart(
            number,
            replace(member, name=stored.part.machine),
            whole.options,
            samples[number][-1].wanted if samples[number] else 0,
            (),
            there.get(stored.part.instead_of, 0),
        )
        for number, (member, stored) in members.items()
    ]
    parts += [
        MachinePart(each.number, _unknown(each.name, each.host), whole.options, each.wanted, each.sources)
        for each in missing
    ]
    asked = whole.plan.wanted if isinstance(whole, HoldOrder) else 0
    lacking = asked - sum(each.wanted for each in parts if not each.instead_of)
    if lacking > 0:  # of machines that nobody knows any more
        number = max(each.seat for each in parts) + 1
        parts.append(MachinePart(number, _unknown(UNKNOWN, ""), whole.options, lacking, ()))
    return sorted(parts, key=lambda part: part.seat)


def _unknown(name: str, host: str) -> Member:
    """A machine of which only its result is known, or not even that."""
    return Member(name, "", host, f"{name} 0", (), 0, None, None, 0, "", "", "")


def _moments(samples: Mapping[int, Sequence[Sample]]) -> list[int]:
    """When any machine took a sample; evenly thinned."""
    every = sorted({sample.at_ns for several in samples.values() for sample in several})
    step = -(-len(every) // MOST_MOMENTS) or 1
    return sorted({*every[::step], *every[-1:]})


def _latest(samples: Sequence[Sample], at_ns: int) -> Sample | None:
    """The last one until then."""
    place = bisect_right(samples, at_ns, key=lambda sample: sample.at_ns)
    return samples[place - 1] if place else None
