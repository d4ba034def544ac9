"""Which machine of a fleet does what: what is wanted in all, divided by what each machine has room for."""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import replace

from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.core.fleet.answers import tightest_of
from fourtuple.core.fleet.member import Member, Offer
from fourtuple.core.fleet.share import MachineOffer, Split, divided, rates_of, share_of, stages_of
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.record import dataclass
from fourtuple.core.runs.churn_orders import ChurnOptions
from fourtuple.core.runs.orders import HoldOptions, ServeOptions
from fourtuple.core.space.endpoints import EndpointSpec, parse_addresses
from fourtuple.core.units import format_count, format_things
from fourtuple.engine.control import now_ns
from fourtuple.fleet.gather import MOST_NAMED, Gathering, gathered, offered
from fourtuple.fleet.links import Links
from fourtuple.fleet.messages import Options

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
    options: Mapping[int, Options]
    servers: tuple[int, ...]


def divided_hold(links: Links, options: HoldOptions, fleet: FleetOptions) -> Divided:
    """Divide the connections, and with them the rates and stages. Raises ShortfallError if they do not fit."""
    gathering, offers, split, servers = _split(links, options.wanted, options, fleet)
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
            hold_s=None if options.stages else options.run_s + LONGER_S,
            stages=stages.get(seat),
            rate_per_s=rates.get(seat),
            churn_per_s=churns.get(seat, 0.0),
            require=(),
        )
        for seat, share in used
    }
    return Divided(gathering, offers, parts, servers)


def divided_churn(links: Links, options: ChurnOptions, fleet: FleetOptions) -> Divided:
    """Divide the rate, in the proportion of the connections that each machine can have at once."""
    gathering, offers, split, servers = _split(links, options.slots, options, fleet)
    seats = _seats(gathering, split)
    used = [(seat, share.wanted) for seat, share in zip(seats, split.shares, strict=True) if share.wanted]
    rates = dict(zip(seats, rates_of(options.rate_per_s, split), strict=True))
    at_once = divided(options.at_once, [w for _, w in used]) if options.at_once else [None] * len(used)
    seed = now_ns() % SEEDS if options.seed is None else options.seed
    parts: dict[int, Options] = {
        seat: replace(
            options,
            rate_per_s=rates[seat],
            at_once=most,
            seed=(seed + number) % SEEDS,
            require=(),
        )
        for number, ((seat, _), most) in enumerate(zip(used, at_once, strict=True))
        if most is None or most
    }
    return Divided(gathering, offers, parts, servers)


def _split(
    links: Links, wanted: int, options: HoldOptions | ChurnOptions, fleet: FleetOptions
) -> tuple[Gathering, dict[int, Offer], Split, tuple[int, ...]]:
    with_ports = any(EndpointSpec.parse(source).ports for source in options.sources)
    if fleet.sharing and (with_ports or options.strategy is Strategy.EXPLICIT):
        what = "--local with --strategy explicit"
        raise UsageError(what, "all workers would bind the same ports", "Let the kernel choose the ports.")
    gathering = gathered(links, fleet.on, sharing=fleet.sharing)
    found = offered(
        links,
        gathering,
        options.destinations,
        sources=options.sources,
        strategy=options.strategy,
        first_address=options.first_address,
        wanted=wanted,
        loop=options.loop,
        workers=options.workers,
    )
    split = share_of(wanted, found.machines)
    if split.lacking:  # as `hold`, which opens what may fit
        split = share_of(wanted, found.machines, hoped=True)
    if split.lacking:
        if not options.anyway:
            raise _shortfall(split, found.offers)
        more = divided(split.lacking, [max(1, member.cpus) for member, _ in _openers(split, found.machines)])
        shares = [replace(each, wanted=each.wanted + one) for each, one in zip(split.shares, more, strict=True)]
        split = replace(split, shares=tuple(shares), lacking=0)
    names = {member.name: seat for seat, member in gathering.seats.items()}
    gathering = replace(gathering, hosts=found.hosts)
    return gathering, found.offers, split, tuple(names[name] for name in split.servers)


def _openers(split: Split, machines: Sequence[MachineOffer]) -> list[MachineOffer]:
    names = {share.machine for share in split.shares}
    return [each for each in machines if each[0].name in names]


def _seats(gathering: Gathering, split: Split) -> list[int]:
    """The seat of each share."""
    names = {member.name: seat for seat, member in gathering.seats.items()}
    return [names[share.machine] for share in split.shares]


def _shortfall(split: Split, offers: Mapping[int, Offer]) -> ShortfallError:
    room = format_count(split.wanted - split.lacking)
    what = f"{format_things(split.wanted, 'connection')} from {len(split.shares)} machines"
    limits = tightest_of(offer for offer in offers.values() if offer.machine not in split.servers)
    because = "; ".join(f"{title} on {_listed(machines)}" for title, machines in limits.items())
    return ShortfallError(
        what, f"there is room for {room}: {because}", "See what makes them fit (fourtuple fleet plan), or --anyway."
    )


def _listed(machines: Sequence[str]) -> str:
    more = len(machines) - MOST_NAMED
    return ", ".join(machines[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def divided_serve(links: Links, options: ServeOptions, fleet: FleetOptions) -> Divided:
    """Each machine listens on the addresses that it has. Raises UsageError if no machine has one of them."""
    gathering = gathered(links, fleet.on, sharing=fleet.sharing)
    if fleet.sharing and len(gathering.seats) > 1:
        why = "these workers share one network namespace, in which one of them can listen"
        raise UsageError(f"fleet serve --local {len(gathering.seats)}", why, "Use --local 1 --workers N.")
    where = {seat: _of_machine(member, options.where) for seat, member in gathering.seats.items()}
    listened = {text for texts in where.values() for text in texts}
    if missing := [text for text in options.where if text not in listened]:
        raise UsageError(f"listening on {', '.join(missing)}", "no machine of the fleet has such an address")
    parts: dict[int, Options] = {
        seat: replace(options, where=texts, require=()) for seat, texts in where.items() if texts
    }
    return Divided(gathering, {}, parts, ())


def _of_machine(member: Member, where: Sequence[str]) -> tuple[str, ...]:
    """The addresses to listen on that the machine has; every machine has the wildcard and the loopback addresses."""
    own = {parse_addresses(address)[1].start for address in member.addresses}
    found = []
    for text in where:
        address = ipaddress.ip_address(EndpointSpec.parse(text).host)
        if address.is_unspecified or address.is_loopback or int(address) in own:
            found.append(text)
    return tuple(found)
