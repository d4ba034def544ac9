"""Have all machines of a fleet make their decisions, and make the order of all of them together."""

import uuid
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fourtuple.core.errors import CannotError
from fourtuple.core.runs.orders import HoldOptions, ServeOptions, ServeOrder
from fourtuple.core.runs.requested import requested
from fourtuple.core.runs.start import Planned
from fourtuple.core.space.endpoints import EndpointSpec
from fourtuple.core.space.interval import Interval
from fourtuple.engine.control import now_ns
from fourtuple.fleet.divide import Divided, FleetOptions
from fourtuple.fleet.gather import asked_all
from fourtuple.fleet.links import Links
from fourtuple.fleet.messages import (
    AskCount,
    CountMade,
    Options,
    Order,
    Prepared,
    Refused,
    ToMachine,
    order_from,
    order_text,
)
from fourtuple.fleet.order import Brief, FleetOrder, MachinePart


def prepared(links: Links, kind: str, options: Options, found: Divided, fleet: FleetOptions) -> FleetOrder:
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
    whole = replace(whole, start=replace(whole.start, order=order_text(whole).decode()))
    destinations = _endpoints(whole)
    before = _before(links, found.servers, destinations)
    return FleetOrder(brief, whole, shares, found.servers, before, destinations)


def _endpoints(whole: Order) -> tuple[str, ...]:
    """The destinations as ADDRESS:PORT[-PORT]."""
    space = None if isinstance(whole, ServeOrder) else whole.plan.space
    if space is None:
        return ()
    return tuple(
        str(EndpointSpec(str(space.address(value)), ports))
        for values, several in space.destinations.parts
        for value in values
        for ports in several.parts
    )


def _before(links: Links, servers: Sequence[int], destinations: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """The connections that the servers' kernels list already, by their other end: (established, accepted)."""
    found: dict[str, tuple[int, int]] = {}
    questions: dict[int, ToMachine] = {seat: AskCount(0, destinations) for seat in servers}
    for answer in asked_all(links, questions, CountMade).values():
        if isinstance(answer, CountMade):
            for source, (established, accepted) in answer.by_source.items():
                first = found.get(source, (0, 0))
                found[source] = (first[0] + established, first[1] + accepted)
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
        destinations=options.targets,
        requested=requested(options),
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
        # Each machine resolves names by itself, and counts are added only where they mean the same destinations.
        endpoints=first.endpoints if all(one.endpoints == first.endpoints for one in each) else (),
        stages=options.stages if isinstance(options, HoldOptions) else None,
        churn_per_s=options.churn_per_s if isinstance(options, HoldOptions) else 0.0,
    )


def _sum(values: Any) -> int | None:
    found = list(values)
    return None if None in found else sum(found)
