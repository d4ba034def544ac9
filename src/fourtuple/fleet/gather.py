"""The machines of a cluster that take part, what each of them offers, and why others do not take part."""

import platform
import time
from collections.abc import Sequence
from dataclasses import replace

from fourtuple import __version__
from fourtuple.core.errors import CannotError, FourtupleError, UsageError
from fourtuple.core.fleet.answers import FleetHosts, UnusedMember, hosts_of
from fourtuple.core.fleet.member import Member, Offer
from fourtuple.core.record import dataclass
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.fleet.links import Links
from fourtuple.fleet.messages import AskOffer, FromMachine, Gone, Joined, OfferMade, Refused, ToMachine

ANSWER_S = 60.0  # how long a machine may take to answer
MOST_NAMED = 5  # machines in an error


@dataclass(frozen=True, slots=True)
class Gathering:
    """The machines that answered.

    seats: by seat, in the order of their names
    hosts: the same, and the workers that take no part
    """

    seats: dict[int, Member]
    hosts: FleetHosts


def gathered(links: Links, on: Sequence[str] = (), *, sharing: bool = False) -> Gathering:
    """Take a seat at each worker of the cluster, or at those named.

    on:      names of workers; none: all
    sharing: several workers of one network namespace take part, which share its ports

    Raises UsageError for a name that is not there, CannotError if no machine can take part.
    """
    there = links.workers()
    known = {each.name for each in there}
    if unknown := [name for name in on if name not in known]:
        listed = ", ".join(sorted(known)) or "none"
        raise UsageError(f"--on {','.join(unknown)}", f"there is no such machine; there are: {listed}")
    chosen = [each for each in there if not on or each.name in on]
    if not chosen:
        raise CannotError("a fleet needs machines", "the cluster has no worker", "Start `dask worker` on each machine.")
    names = dict(zip(links.take(chosen), (each.name for each in chosen), strict=True))
    joined = answers(links, list(names), Joined)
    silent = [UnusedMember(names[seat], _reason(each)) for seat, each in joined.items() if not isinstance(each, Joined)]
    members = {seat: each.member for seat, each in joined.items() if isinstance(each, Joined)}
    version = platform.python_version()
    hosts = hosts_of(members.values(), fourtuple=__version__, python=version, several=sharing, silent=silent)
    links.leave([seat for seat, member in members.items() if member not in hosts.members])
    used = {seat: _timed(links, seat, member) for seat, member in members.items() if member in hosts.members}
    if not used:
        why = "; ".join(f"{each.name}: {each.why}" for each in hosts.unused[:MOST_NAMED])
        raise CannotError("no machine of the cluster can take part", why)
    return Gathering(used, replace(hosts, members=tuple(used.values())))


def _timed(links: Links, seat: int, member: Member) -> Member:
    offset_ns, error_ns = links.offset(seat)
    return replace(member, offset_ns=offset_ns, error_ns=error_ns)


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


@dataclass(frozen=True, slots=True)
class Offered:
    """What the machines could do. hosts: with those that can do nothing among the unused ones"""

    offers: dict[int, Offer]  # by seat
    machines: tuple[tuple[Member, Offer], ...]
    hosts: FleetHosts


def offered(
    links: Links,
    gathering: Gathering,
    destinations: Sequence[str],
    *,
    sources: Sequence[str] = (),
    strategy: str | None = None,
    first_address: bool = False,
    wanted: int = 1,
    loop: LoopName = LoopName.AUTO,
    workers: int | None = None,
) -> Offered:
    """What each machine could do for connections to these destinations.

    sources: addresses, as `hold --from` takes them; each machine takes those that it has
    wanted:  connections of all machines together
    loop, workers: as in HoldOptions; workers on each machine

    Raises the error of the first machine if none can do anything.
    """
    each = -(-wanted // len(gathering.seats))
    question = AskOffer(tuple(destinations), tuple(sources), strategy, first_address, each, loop, workers)
    questions: dict[int, ToMachine] = dict.fromkeys(gathering.seats, question)
    found: dict[int, Offer] = {}
    unused: list[UnusedMember] = []
    errors: list[FourtupleError] = []
    for seat, answer in asked_all(links, questions, OfferMade).items():
        if isinstance(answer, OfferMade):
            found[seat] = answer.offer
        else:
            unused.append(UnusedMember(gathering.seats[seat].name, _reason(answer)))
            errors += [answer.error("")] if isinstance(answer, Refused) else []
    if not found:
        raise errors[0] if errors else CannotError("no machine can take part", unused[0].why)
    machines = tuple((gathering.seats[seat], offer) for seat, offer in found.items())
    return Offered(found, machines, replace(gathering.hosts, unused=(*gathering.hosts.unused, *unused)))


def _reason(answer: FromMachine) -> str:
    match answer:
        case Gone(why):
            return why
        case Refused():
            error = answer.error("")
            return f"{error.wanted}: {error.stopped_by}" if error.stopped_by else error.wanted
    return "it gave no answer"
