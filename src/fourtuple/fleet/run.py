"""`fleet hold`, `fleet churn` and `fleet serve`: divide what is wanted, prepare all machines, and run them as one.

Each of them takes the options of the command without `fleet`, for all machines together, and gives a run of samples
with the same record.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from fourtuple.core.errors import UsageError
from fourtuple.core.fleet.answers import UnusedMember
from fourtuple.core.fleet.member import Offer
from fourtuple.core.fleet.share import share_of
from fourtuple.core.record import dataclass
from fourtuple.core.runs.churn_orders import ChurnOptions
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.orders import HoldOptions, ServeOptions
from fourtuple.core.runs.records import HoldRecord, Sample, ServeRecord
from fourtuple.core.runs.run import Run
from fourtuple.core.runs.start import Planned
from fourtuple.core.space.endpoints import UNIX, unix_names
from fourtuple.core.space.interval import Interval
from fourtuple.fleet.conclude import concluded
from fourtuple.fleet.coordinator import Coordinator, Heirs
from fourtuple.fleet.divide import Divided, FleetOptions, divided_churn, divided_hold, divided_serve
from fourtuple.fleet.links import Links, WorkerName
from fourtuple.fleet.order import FleetOrder, MachinePart
from fourtuple.fleet.prepare import prepared


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is known about a run of a fleet before it begins.

    unused:        workers that take no part in it
    knows_servers: the kernel of a machine of the fleet, or this one, counts the ends of the servers
    """

    planned: Planned | None
    unused: tuple[UnusedMember, ...]
    knows_servers: bool


def fleet_hold(links: Links, options: HoldOptions, fleet: FleetOptions) -> tuple[Ahead, Run[Sample, HoldRecord]]:
    """(what is known, the hold of all machines together, prepared: it begins with its first sample)

    Raises UsageError, ShortfallError, CannotError before anything is opened.
    """
    options.check()
    refuse_unix(options.destinations)
    if fleet.replace and options.stages:
        what = "a machine that takes over would begin with the first stage"
        raise UsageError("--replace with --stages", what, "Leave one of them out.")
    found = divided_hold(links, options, fleet)
    order = prepared(links, "hold", options, found, fleet)
    heirs = heirs_of(links, found) if fleet.replace else None
    return _ahead(order, found), concluded(order.whole, Run(Coordinator(links, order, heirs).run()))


def fleet_churn(links: Links, options: ChurnOptions, fleet: FleetOptions) -> tuple[Ahead, Run[Sample, ChurnRecord]]:
    """The churn of all machines together, as fleet_hold."""
    options.check()
    refuse_unix(options.destinations)
    found = divided_churn(links, options, fleet)
    order = prepared(links, "churn", options, found, fleet)
    return _ahead(order, found), concluded(order.whole, Run(Coordinator(links, order).run()))


def fleet_serve(links: Links, options: ServeOptions, fleet: FleetOptions) -> tuple[Ahead, Run[Sample, ServeRecord]]:
    """The servers of all machines together, as fleet_hold: each machine listens on the addresses that it has."""
    options.check()
    refuse_unix(options.where)
    found = divided_serve(links, options, fleet)
    order = prepared(links, "serve", options, found, fleet)
    return _ahead(order, found), concluded(order.whole, Run(Coordinator(links, order).run()))


def refuse_unix(texts: Iterable[str]) -> None:
    """Raise UsageError if one of the addresses is a Unix socket."""
    for name in unix_names(texts):
        raise UsageError(f"{UNIX}{name} in a fleet", "a Unix socket is on one host", "Use the command without `fleet`.")


def _ahead(order: FleetOrder, found: Divided) -> Ahead:
    planned = order.whole.start.planned
    return Ahead(planned, found.gathering.hosts.unused, bool(order.counts) or (planned is not None and planned.here))


def heirs_of(links: Links, found: Divided) -> Heirs:
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
        split = share_of(gone.wanted, machines, hoped=True)
        first, *others = split.shares
        shares = (replace(first, wanted=first.wanted + split.lacking), *others)  # what has no room fails there
        used = [(member, share) for (member, _), share in zip(machines, shares, strict=True) if share.wanted]
        seats = links.take([WorkerName(member.name, member.worker) for member, _ in used])
        return [
            MachinePart(
                seat,
                member,
                replace(_part_of(options, share.wanted), anyway=True),
                share.wanted,
                share.sources,
                gone.seat,
            )
            for seat, (member, share) in zip(seats, used, strict=True)
        ]

    return heirs


def _part_of(options: HoldOptions, wanted: int) -> HoldOptions:
    """The options of a share, for so many of its connections, at the rates of these."""
    part = wanted / options.wanted
    rate = options.rate_per_s and options.rate_per_s * part
    return replace(options, wanted=wanted, rate_per_s=rate, churn_per_s=options.churn_per_s * part)


def _left(offer: Offer, taken: int) -> Offer:
    return replace(offer, room=Interval(max(0, offer.room.least - taken), max(0, offer.room.most - taken)))
