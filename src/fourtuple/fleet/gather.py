"""The machines of a cluster that take part, what each of them offers, and why others do not take part."""

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from fourtuple import __version__
from fourtuple.core.errors import CannotError, FourtupleError, UsageError
from fourtuple.core.fleet.member import Member, NotUsed, Offer
from fourtuple.core.record import dataclass
from fourtuple.core.space.endpoints import EndpointSpec, parse_addresses
from fourtuple.fleet.links import Links, WorkerName
from fourtuple.fleet.messages import AskOffer, FromMachine, Gone, Joined, OfferMade, Refused, ToMachine

ANSWER_S = 60.0  # how long a machine may take to answer


@dataclass(frozen=True, slots=True)
class Gathering:
    """The machines that answered.

    seats:  by seat, in the order of their names
    unused: workers that take no part, and why
    """

    seats: dict[int, Member]
    unused: tuple[NotUsed, ...]


def gathered(links: Links, on: Sequence[str] = (), *, sharing: bool = False) -> Gathering:
    """Take a seat at each worker of the cluster, or at those named.

    on:      names of workers; none: all
    sharing: several workers of one network namespace take part, which share its ports

    Raises UsageError for a name that is not there, CannotError if no machine can take part.
    """
    there = links.workers()
    if unknown := [name for name in on if name not in {each.name for each in there}]:
        names = ", ".join(each.name for each in there) or "none"
        raise UsageError(f"--on {','.join(unknown)}", f"there is no such machine; there are: {names}")
    chosen = [each for each in there if not on or each.name in on]
    if not chosen:
        raise CannotError("a fleet needs machines", "the cluster has no worker", "Start `dask worker` on each machine.")
    seats = links.take(chosen)
    found, unused = _joined(links, dict(zip(seats, chosen, strict=True)))
    members: dict[int, Member] = {}
    for seat, member in found.items():
        why = _why_not(member, members.values(), sharing=sharing)
        if why:
            unused.append(NotUsed(member.name, why))
            links.leave([seat])
        else:
            offset_ns, error_ns = links.offset(seat)
            members[seat] = replace(member, offset_ns=offset_ns, error_ns=error_ns)
    if not members:
        raise CannotError("no machine of the cluster can take part", f"{unused[0].name}: {unused[0].why}")
    return Gathering(members, tuple(unused))


def _joined(links: Links, chosen: dict[int, WorkerName]) -> tuple[dict[int, Member], list[NotUsed]]:
    """Those that say who they are, and those that do not."""
    found: dict[int, Member] = {}
    unused: list[NotUsed] = []
    for seat, answer in answers(links, list(chosen), Joined).items():
        if isinstance(answer, Joined):
            found[seat] = answer.member
        else:
            unused.append(NotUsed(chosen[seat].name, _reason(answer)))
    return found, unused


def _why_not(member: Member, others: Iterable[Member], *, sharing: bool) -> str:
    if member.fourtuple != __version__:
        return f"it has fourtuple {member.fourtuple}; this is {__version__}"
    twin = next((each for each in others if each.namespace == member.namespace), None)
    if twin is not None and not sharing:
        return f"it is in the same network namespace as {twin.name}, and shares its ports"
    twin = next((each for each in others if each.name == member.name), None)
    return "another machine has this name" if twin is not None else ""


def answers(
    links: Links, seats: Sequence[int], kind: type[FromMachine], wait_s: float = ANSWER_S
) -> dict[int, FromMachine]:
    """The answer of each seat, of this kind, or Refused, or Gone; one that says nothing in time is given up as Gone."""
    found: dict[int, FromMachine] = {}
    until_s = time.monotonic() + wait_s
    while len(found) < len(seats) and (left_s := until_s - time.monotonic()) > 0:
        for seat, message in links.receive(left_s):
            if seat in seats and seat not in found and isinstance(message, (kind, Refused, Gone)):
                found[seat] = message
    late = [seat for seat in seats if seat not in found]
    links.leave(late)
    found |= {seat: Gone(f"it did not answer within {wait_s:g} s") for seat in late}
    return {seat: found[seat] for seat in seats}


def asked_all(links: Links, questions: dict[int, ToMachine], kind: type[FromMachine]) -> dict[int, FromMachine]:
    """Ask each seat its question → its answer, as `answers` gives it."""
    for seat, question in questions.items():
        links.send(seat, question)
    return answers(links, list(questions), kind)


def offers(
    links: Links,
    gathering: Gathering,
    destinations: Sequence[str],
    *,
    sources: Sequence[str] = (),
    strategy: str | None = None,
    first_address: bool = False,
    wanted: int = 1,
) -> tuple[dict[int, Offer], tuple[NotUsed, ...]]:
    """What each machine could do for connections to these destinations, and who can do nothing, with the reason.

    sources: addresses, as `hold --from` takes them; each machine takes those that it has

    Raises the error of the first machine if none can do anything.
    """
    of_seat = {seat: sources_of(member, sources) for seat, member in gathering.seats.items()}
    has_none = [NotUsed(gathering.seats[s].name, "it has none of the addresses of --from") for s in of_seat if sources]
    unused = [each for each, mine in zip(has_none, of_seat.values(), strict=False) if not mine]
    questions: dict[int, ToMachine] = {
        seat: AskOffer(tuple(destinations), mine, strategy, first_address, wanted)
        for seat, mine in of_seat.items()
        if mine or not sources
    }
    found: dict[int, Offer] = {}
    errors: list[FourtupleError] = []
    for seat, answer in asked_all(links, questions, OfferMade).items():
        if isinstance(answer, OfferMade):
            found[seat] = answer.offer
        else:
            unused.append(NotUsed(gathering.seats[seat].name, _reason(answer)))
            errors += [answer.error("")] if isinstance(answer, Refused) else []
    if not found:
        raise errors[0] if errors else CannotError("no machine can take part", unused[0].why if unused else "")
    return found, tuple(unused)


def sources_of(member: Member, sources: Sequence[str]) -> tuple[str, ...]:
    """Those of the machine's addresses that are among these sources, each with the ports that are named."""
    found = []
    for text in sources:
        spec = EndpointSpec.parse(text)
        version, values = parse_addresses(spec.host)
        for address in member.addresses:
            mine, value = parse_addresses(address)
            if mine == version and value[0] in values:
                found.append(str(EndpointSpec(address, spec.ports)))
    return tuple(dict.fromkeys(found))


def _reason(answer: FromMachine) -> str:
    match answer:
        case Gone(why):
            return why
        case Refused():
            error = answer.error("")
            return f"{error.wanted}: {error.stopped_by}" if error.stopped_by else error.wanted
    return "it gave no answer"
