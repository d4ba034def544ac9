"""`fleet hold`, `fleet churn` and `fleet serve`: divide what is wanted, prepare all machines, and run them as one.

Each of them takes the options of the command without `fleet`, for all machines together, and gives a run of samples
with the same record.
"""

import uuid
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from fourtuple.core.errors import CannotError, ShortfallError, UsageError
from fourtuple.core.fleet.member import Member, Offer
from fourtuple.core.fleet.share import Split, divided, rates_of, share_of, stages_of
from fourtuple.core.record import dataclass
from fourtuple.core.runs.churn_conclude import ChurnStory
from fourtuple.core.runs.churn_orders import ChurnOptions, ChurnOrder
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.conclude import HoldStory
from fourtuple.core.runs.orders import HoldOptions, HoldOrder, ServeOptions, ServeOrder
from fourtuple.core.runs.records import HoldRecord, Sample, ServeRecord
from fourtuple.core.runs.run import Run
from fourtuple.core.runs.start import Planned
from fourtuple.core.space.endpoints import EndpointSpec, parse_addresses
from fourtuple.core.space.interval import Interval
from fourtuple.core.units import format_count
from fourtuple.engine.control import now_ns
from fourtuple.fleet.conclude import churn_ending, hold_ending, machine_results
from fourtuple.fleet.coordinator import Coordinator, FleetEnding, Heirs
from fourtuple.fleet.gather import Gathering, asked_all, gathered, offered, sources_of
from fourtuple.fleet.links import Links, WorkerName
from fourtuple.fleet.messages import (
    AskCount,
    CountMade,
    Options,
    Order,
    Prepared,
    Refused,
    ToMachine,
    order_from,
)
from fourtuple.fleet.order import Brief, FleetOrder, MachinePart
from fourtuple.verbs.serve import ServeEnding
from fourtuple.verbs.serve import conclude as serve_conclude

R = TypeVar("R")
SEEDS = 2**32
LONGER_S = 3600.0  # a machine that is not told to close does so by itself after this time


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """What a run of a fleet needs besides the options of its command.

    on:      names of the machines; none: all
    replace: the share of a machine that is gone is given to others
    sharing: several workers of one network namespace take part
    command: the command line, for the machines' own stores
    store:   the machines keep their own records
    """

    on: tuple[str, ...] = ()
    replace: bool = False
    sharing: bool = False
    command: str = ""
    store: bool = True


@dataclass(frozen=True, slots=True)
class Divided:
    """Which machine is to do what: its offer, and its options, by seat; and the machines that have the servers."""

    gathering: Gathering
    offers: Mapping[int, Offer]
    split: Split
    options: Mapping[int, Options]
    servers: tuple[int, ...]


# Dividing


def fleet_hold(
    links: Links, options: HoldOptions, fleet: FleetOptions
) -> tuple[Planned | None, Run[Sample, HoldRecord]]:
    """(what is planned, the hold of all machines together, prepared: it begins with its first sample)

    Raises UsageError, ShortfallError, CannotError before anything is opened.
    """
    options.check()
    found = divided_hold(links, options, fleet)
    order, heirs = _prepared(links, "hold", options, found, fleet), None
    assert isinstance(order.whole, HoldOrder)  # noqa: S101  (for the type checker)
    whole = order.whole
    if fleet.replace:
        heirs = _heirs(links, found)

    def conclude(samples: Run[Sample, FleetEnding]) -> Generator[Sample, None, HoldRecord]:
        story = HoldStory(whole)
        for sample in samples:
            story.add(sample)
            last = sample
            yield sample
        ending = samples.record
        return story.conclude(hold_ending(ending), machine_results(ending, last))

    return whole.start.planned, Run(conclude(Run(Coordinator(links, order, heirs).run())))


def fleet_churn(links: Links, options: ChurnOptions, fleet: FleetOptions) -> Run[Sample, ChurnRecord]:
    """The churn of all machines together, as fleet_hold."""
    options.check()
    found = divided_churn(links, options, fleet)
    order = _prepared(links, "churn", options, found, fleet)
    assert isinstance(order.whole, ChurnOrder)  # noqa: S101  (for the type checker)
    whole = order.whole

    def conclude(samples: Run[Sample, FleetEnding]) -> Generator[Sample, None, ChurnRecord]:
        story = ChurnStory(whole)
        for sample in samples:
            story.add(sample)
            last = sample
            yield sample
        ending = samples.record
        return story.conclude(churn_ending(ending), machine_results(ending, last))

    return Run(conclude(Run(Coordinator(links, order).run())))


def fleet_serve(links: Links, options: ServeOptions, fleet: FleetOptions) -> Run[Sample, ServeRecord]:
    """The servers of all machines together, as fleet_hold: each machine listens on the addresses that it has."""
    options.check()
    gathering = gathered(links, fleet.on, sharing=fleet.sharing)
    parts: dict[int, Options] = {}
    for seat, member in gathering.seats.items():
        if where := tuple(text for text in options.where if _listens(member, text)):
            parts[seat] = replace(options, where=where, require=())
    if not parts:
        raise UsageError(f"listening on {', '.join(options.where)}", "no machine of the fleet has such an address")
    missing = [text for text in options.where if not any(text in part.where for part in parts.values())]  # type: ignore[union-attr]
    if missing:
        raise UsageError(f"listening on {', '.join(missing)}", "no machine of the fleet has such an address")
    nothing = Split(0, (), (), Interval(0, 0), 0, "")
    found = Divided(gathering, {}, nothing, parts, ())
    order = _prepared(links, "serve", options, found, fleet)
    assert isinstance(order.whole, ServeOrder)  # noqa: S101  (for the type checker)
    whole = order.whole

    def conclude(samples: Run[Sample, FleetEnding]) -> Generator[Sample, None, ServeRecord]:
        most_open = 0
        for sample in samples:
            most_open = max(most_open, sample.open)
            last = sample
            yield sample
        ending = samples.record
        return serve_conclude(whole, serve_ending(ending, last, most_open), machine_results(ending, last))

    return Run(conclude(Run(Coordinator(links, order).run())))


def serve_ending(ending: FleetEnding, last: Sample, most_open: int) -> ServeEnding:
    """What is known at the end of a serve, of all machines that ended in order."""
    from fourtuple.core.runs.together import counts, total_of

    records = [each.record for each in ending.seats if isinstance(each.record, ServeRecord)]
    return ServeEnding(
        last=last,
        most_open=most_open,
        waiting=total_of(each.waiting for each in records),
        moved=counts(each.moved for each in records),
        listen_overflows=total_of(each.listen_overflows for each in records),
        interrupted=ending.interrupted,
        workers_killed=sum(each.workers_killed for each in records),
    )


def _listens(member: Member, text: str) -> bool:
    """Whether a machine is to listen there: it has the address, or any machine has."""
    version, values = parse_addresses(EndpointSpec.parse(text).host)
    first = values.start
    if first == 0 or (version == 4 and first >> 24 == 127) or (version == 6 and first == 1):
        return True
    return any(parse_addresses(address)[1].start == first for address in member.addresses)


def divided_hold(links: Links, options: HoldOptions, fleet: FleetOptions) -> Divided:
    """Divide the connections, and with them the rates and stages. Raises ShortfallError if they do not fit."""
    gathering, offers, split, servers = _split(links, options.wanted, options, fleet)
    if split.lacking and not options.anyway:
        raise _shortfall(split, offers)
    wanted = {share.machine: share.wanted for share in split.shares}
    seats = _seats(gathering, split)
    used = [(seat, share) for seat, share in zip(seats, split.shares, strict=True) if share.wanted]
    stages = dict(zip(seats, stages_of(options.stages, split), strict=True)) if options.stages else {}
    rates = dict(zip(seats, rates_of(options.rate_per_s, split), strict=True)) if options.rate_per_s else {}
    churns = dict(zip(seats, rates_of(options.churn_per_s, split), strict=True)) if options.churn_per_s else {}
    parts: dict[int, Options] = {
        seat: replace(
            options,
            wanted=stages[seat].most if stages else wanted[share.machine],
            sources=sources_of(gathering.seats[seat], options.sources),
            hold_s=None if options.stages else options.run_s + LONGER_S,
            stages=stages.get(seat),
            rate_per_s=rates.get(seat),
            churn_per_s=churns.get(seat, 0.0),
            require=(),
        )
        for seat, share in used
    }
    return Divided(gathering, offers, split, parts, servers)


def divided_churn(links: Links, options: ChurnOptions, fleet: FleetOptions) -> Divided:
    """Divide the rate, in the proportion of the connections that each machine can have at once."""
    gathering, offers, split, servers = _split(links, options.slots, options, fleet)
    if split.lacking and not options.anyway:
        raise _shortfall(split, offers)
    seats = _seats(gathering, split)
    used = [(seat, share.wanted) for seat, share in zip(seats, split.shares, strict=True) if share.wanted]
    rates = dict(zip(seats, rates_of(options.rate_per_s, split), strict=True))
    at_once = divided(options.at_once, [w for _, w in used]) if options.at_once else [None] * len(used)
    seed = now_ns() % SEEDS if options.seed is None else options.seed
    parts: dict[int, Options] = {
        seat: replace(
            options,
            rate_per_s=rates[seat],
            sources=sources_of(gathering.seats[seat], options.sources),
            at_once=most,
            seed=(seed + number) % SEEDS,
            require=(),
        )
        for number, ((seat, _), most) in enumerate(zip(used, at_once, strict=True))
        if most is None or most
    }
    return Divided(gathering, offers, split, parts, servers)


def _split(
    links: Links, wanted: int, options: HoldOptions | ChurnOptions, fleet: FleetOptions
) -> tuple[Gathering, dict[int, Offer], Split, tuple[int, ...]]:
    gathering = gathered(links, fleet.on, sharing=fleet.sharing)
    found = offered(
        links,
        gathering,
        options.destinations,
        sources=options.sources,
        strategy=options.strategy,
        first_address=options.first_address,
        wanted=wanted,
    )
    split = share_of(wanted, found.machines)
    names = {member.name: seat for seat, member in gathering.seats.items()}
    gathering = replace(gathering, hosts=found.hosts)
    return gathering, found.offers, split, tuple(names[name] for name in split.servers)


def _seats(gathering: Gathering, split: Split) -> list[int]:
    """The seat of each share."""
    names = {member.name: seat for seat, member in gathering.seats.items()}
    return [names[share.machine] for share in split.shares]


def _shortfall(split: Split, offers: Mapping[int, Offer]) -> ShortfallError:
    room = format_count(split.wanted - split.lacking)
    what = f"{format_count(split.wanted)} connections from {len(split.shares)} machines"
    ways = [f"{offer.machine}: {offer.ways[0]}" for offer in offers.values() if offer.ways]
    do = f"{ways[0]} Or see --anyway." if ways else "See `fourtuple fleet plan`, or --anyway."
    return ShortfallError(what, f"{room} fit; {split.because}", do)


# Preparing


def _prepared(links: Links, kind: str, options: Options, found: Divided, fleet: FleetOptions) -> FleetOrder:
    """Have all machines make their decisions. Raises the error of the first machine that refuses."""
    shares = tuple(
        MachinePart(
            seat,
            found.gathering.seats[seat],
            part,
            part.wanted if isinstance(part, HoldOptions) else 0,
            tuple(EndpointSpec.parse(each).host for each in found.offers[seat].sources) if seat in found.offers else (),
        )
        for seat, part in found.options.items()
    )
    brief = Brief(uuid.uuid4().hex[:12], kind, fleet.command, fleet.store)
    questions = {share.seat: brief.message(share, number) for number, share in enumerate(shares, 1)}
    orders: dict[int, Order] = {}
    for seat, answer in asked_all(links, dict(questions), Prepared).items():
        name = found.gathering.seats[seat].name
        if isinstance(answer, Refused):
            raise answer.error(name)
        if not isinstance(answer, Prepared):
            raise CannotError(f"machine {name} cannot take part", getattr(answer, "why", "it gave no answer"))
        orders[seat] = order_from(kind, answer.order)
    whole = _whole(options, [orders[share.seat] for share in shares], brief.fleet)
    destinations = _endpoints(whole)
    before = _before(links, found.servers, destinations)
    return FleetOrder(brief, whole, shares, found.servers, before, destinations)


def _endpoints(whole: Order) -> tuple[str, ...]:
    """The destinations as ADDRESS:PORT[-PORT]."""
    if isinstance(whole, ServeOrder):
        return ()
    space = whole.plan.space
    return tuple(
        str(EndpointSpec(str(space.address(value)), ports))
        for values, several in space.destinations.parts
        for value in values
        for ports in several.parts
    )


def _before(links: Links, servers: Sequence[int], destinations: tuple[str, ...]) -> dict[str, int]:
    """The connections that the servers' kernels list already, by their other end."""
    found: dict[str, int] = {}
    questions: dict[int, ToMachine] = {seat: AskCount(destinations) for seat in servers}
    for answer in asked_all(links, questions, CountMade).values():
        if isinstance(answer, CountMade):
            for source, (number, _) in answer.by_source.items():
                found[source] = found.get(source, 0) + number
    return found


def _whole(options: Options, orders: Sequence[Order], fleet: str) -> Order:
    """The order of all machines together, from those of each."""
    first = orders[0]
    planned = [each.start.planned for each in orders if each.start.planned]
    start = replace(first.start, at_ns=now_ns(), fleet=fleet, planned=_planned(options, planned))
    if isinstance(first, ServeOrder):
        return replace(first, options=options, start=start)  # type: ignore[arg-type]
    plans = [each.plan for each in orders if not isinstance(each, ServeOrder)]
    plan = replace(
        first.plan,
        wanted=sum(each.wanted for each in plans),
        room=Interval.total(each.room for each in plans),
        slices=tuple(part for each in plans for part in each.slices),
    )
    here = all(each.here for each in orders if not isinstance(each, ServeOrder))
    return replace(first, options=options, start=start, plan=plan, here=here)  # type: ignore[arg-type]


def _planned(options: Options, each: Sequence[Planned]) -> Planned:
    """What all machines intend to do, from what each one does."""
    first = each[0]
    loops = ", ".join(dict.fromkeys(one.loop for one in each))
    return replace(
        first,
        destinations=options.where if isinstance(options, ServeOptions) else options.destinations,
        sources=tuple(dict.fromkeys(source for one in each for source in one.sources)),
        loop=loops,
        workers=_sum(one.workers for one in each),
        wanted=_sum(one.wanted for one in each),
        predicted=_sum(one.predicted for one in each),
        predicted_least=_sum(one.predicted_least for one in each),
        pairs=sum(one.pairs for one in each),
        rate_per_s=None if isinstance(options, ServeOptions) else options.rate_per_s,
        run_s=options.serve_s if isinstance(options, ServeOptions) else options.run_s,
        here=all(one.here for one in each),
        stages=options.stages if isinstance(options, HoldOptions) else None,
        churn_per_s=options.churn_per_s if isinstance(options, HoldOptions) else 0.0,
    )


def _sum(values: Any) -> int | None:
    found = list(values)
    return None if None in found else sum(found)


# Replacing


def _heirs(links: Links, found: Divided) -> Heirs:
    """Who takes over the share of a machine that is gone: the others, by the room that they have left."""

    def heirs(gone: MachinePart, living: Sequence[MachinePart]) -> Sequence[MachinePart]:
        options = gone.options
        assert isinstance(options, HoldOptions)  # noqa: S101  (only a hold has heirs)
        taken: dict[str, int] = {}
        for share in living:
            taken[share.member.name] = taken.get(share.member.name, 0) + share.wanted
        machines = [
            (found.gathering.seats[seat], _left(offer, taken[offer.machine]))
            for seat, offer in found.offers.items()
            if offer.machine in taken
        ]
        if not machines:
            return ()
        split = share_of(gone.wanted, machines)
        used = [(member, share) for (member, _), share in zip(machines, split.shares, strict=True) if share.wanted]
        seats = links.take([WorkerName(member.name, member.worker) for member, _ in used])
        return [
            MachinePart(
                seat,
                member,
                replace(options, wanted=share.wanted, sources=sources_of(member, options.sources)),
                share.wanted,
                share.sources,
                gone.seat,
            )
            for seat, (member, share) in zip(seats, used, strict=True)
        ]

    return heirs


def _left(offer: Offer, taken: int) -> Offer:
    return replace(offer, room=Interval(max(0, offer.room.least - taken), max(0, offer.room.most - taken)))
