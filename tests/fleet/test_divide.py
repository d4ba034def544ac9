"""What is wanted, divided among machines that say what they have room for: exact, and refused where it must be."""

import platform
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from fourtuple import __version__
from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.core.fleet.share import MachineOffer
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.orders import HoldOptions, ServeOptions
from fourtuple.core.talk.stages import parse_stages
from fourtuple.fleet.divide import Divided, FleetOptions, divided_churn, divided_hold, divided_serve
from fourtuple.fleet.links import WorkerName
from fourtuple.fleet.messages import AskOffer, FromMachine, Joined, OfferMade
from fourtuple.fleet.order import MachinePart
from fourtuple.fleet.run import fleet_hold, heirs_of
from tests import made, made_churn
from tests.core.fleet.made import machine
from tests.fleet.fakes import FakeLinks, FakeMachine


class Offers(FakeMachine):
    """A machine that joins with this offer."""

    def __init__(self, offer: MachineOffer) -> None:
        super().__init__(0)
        member, self.offer = offer
        self.member = replace(member, fourtuple=__version__, python=platform.python_version())

    def hear(self, message: Any) -> None:
        self.said.append(message)
        if isinstance(message, AskOffer):
            self.steps.append([OfferMade(self.offer)])


class Offering(FakeLinks):
    """Links to machines with these offers."""

    def __init__(self, *offers: MachineOffer) -> None:
        super().__init__(())
        self.there = {each.name: Offers((each, offer)) for each, offer in offers}

    def workers(self) -> list[WorkerName]:
        return [WorkerName(name, each.member.worker) for name, each in self.there.items()]

    def take(self, workers: Sequence[WorkerName]) -> list[int]:
        first = len(self.machines) + 1
        for seat, worker in enumerate(workers, first):
            self.machines[seat] = self.there[worker.name]
            joined: list[FromMachine] = [Joined(self.there[worker.name].member)]
            self.machines[seat].steps.append(joined)
        return list(range(first, len(self.machines) + 1))


def three() -> Offering:
    """Machines of 1, 2 and 4 CPUs, with different room, each with an address of its own; m3 has two."""
    made_up = [("m1", 1, 500, ("10.0.0.1",)), ("m2", 2, 100, ("10.0.0.2",)), ("m3", 4, 1000, ("10.0.0.3", "10.0.1.3"))]
    offers = [(machine(name, cpus, room, sources=own[:1]), own) for name, cpus, room, own in made_up]
    return Offering(*((replace(member, addresses=own), offer) for (member, offer), own in offers))


def holds(found: Divided) -> dict[int, HoldOptions]:
    return {seat: each for seat, each in found.options.items() if isinstance(each, HoldOptions)}


@pytest.mark.parametrize("wanted", [1, 2, 23, 997, 1599, 1600])
def test_the_shares_sum_to_what_is_wanted_and_fit(wanted: int) -> None:
    found = divided_hold(three(), made.options(wanted=wanted, require=("lost<=1%",)), FleetOptions())
    shares = holds(found)

    assert sum(each.wanted for each in shares.values()) == wanted
    assert all(each.wanted <= found.offers[seat].room.least for seat, each in shares.items())
    assert all(each.require == () and each.run_s > 3600 for each in shares.values())


def test_what_does_not_fit_is_refused_or_opened_anyway() -> None:
    with pytest.raises(ShortfallError, match=r"1,601|1601"):
        divided_hold(three(), made.options(wanted=1601), FleetOptions())
    found = divided_hold(three(), made.options(wanted=2003, anyway=True), FleetOptions())

    assert sum(each.wanted for each in holds(found).values()) == 2003


def test_rates_sum_to_the_rate() -> None:
    found = divided_hold(three(), made.options(wanted=997, rate_per_s=1000.0, churn_per_s=10.0), FleetOptions())
    parts = list(holds(found).values())

    assert sum(each.rate_per_s or 0.0 for each in parts) == pytest.approx(1000)
    assert sum(each.churn_per_s for each in parts) == pytest.approx(10)
    assert all(each.rate_per_s == pytest.approx(1000 * each.wanted / 997) for each in parts)


def test_stages_sum_to_each_target_and_every_part_is_valid() -> None:
    stages = parse_stages("100@1s, 997@2s, 23@1s, 0@1s")
    found = divided_hold(three(), made.options(wanted=997, hold_s=None, stages=stages), FleetOptions())
    parts = list(holds(found).values())
    for each in parts:
        each.check()

    targets = [
        sum(ramps) for ramps in zip(*([r.target for r in p.stages.ramps] for p in parts if p.stages), strict=True)
    ]
    assert targets == [100, 997, 23, 0]


def test_a_churn_is_divided_with_different_seeds() -> None:
    options = made_churn.churn_options(at_once=100, seed=2**32 - 1)
    found = divided_churn(three(), options, FleetOptions())
    parts: list[Any] = list(found.options.values())

    assert sum(each.rate_per_s for each in parts) == pytest.approx(options.rate_per_s)
    assert sum(each.at_once for each in parts) == 100
    assert len({each.seed for each in parts}) == len(parts)


@pytest.mark.parametrize("other", [{"strategy": Strategy.EXPLICIT}, {"sources": ("127.0.0.1:1000-2000",)}])
def test_workers_of_one_namespace_cannot_all_bind_the_same_ports(other: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="the same ports"):
        divided_hold(three(), made.options(wanted=10, **other), FleetOptions(sharing=True))


def test_each_machine_listens_where_it_is() -> None:
    where = ("10.0.0.1:80", "10.0.1.3:81", "0.0.0.0:82")
    links = three()
    found = divided_serve(links, ServeOptions(where), FleetOptions())

    assert [each.where for each in found.options.values() if isinstance(each, ServeOptions)] == [
        ("10.0.0.1:80", "0.0.0.0:82"), ("0.0.0.0:82",), ("10.0.1.3:81", "0.0.0.0:82"),
    ]  # fmt: skip
    with pytest.raises(UsageError, match=r"10\.9\.9\.9:80"):
        divided_serve(three(), ServeOptions((*where, "10.9.9.9:80")), FleetOptions())


@pytest.mark.parametrize("gone_wanted", [1, 100, 3000])
def test_a_share_is_taken_over_by_those_that_have_room(gone_wanted: int) -> None:
    """All of it, with its rates; what has no room is tried all the same, and fails there."""
    links = three()
    found = divided_hold(links, made.options(wanted=700), FleetOptions(replace=True))
    parts = [
        MachinePart(seat, found.gathering.seats[seat], each, each.wanted, found.offers[seat].sources)
        for seat, each in holds(found).items()
    ]
    gone, *living = parts
    asked = made.options(wanted=gone_wanted, rate_per_s=100.0, churn_per_s=3.0)
    heirs = heirs_of(links, found)(replace(gone, wanted=gone_wanted, options=asked), living)
    options = [each.options for each in heirs if isinstance(each.options, HoldOptions)]

    assert sum(each.wanted for each in heirs) == sum(each.wanted for each in options) == gone_wanted
    assert sum(each.rate_per_s or 0.0 for each in options) == pytest.approx(100)
    assert sum(each.churn_per_s for each in options) == pytest.approx(3)
    assert all(each.anyway for each in options)
    assert {each.instead_of for each in heirs} == {gone.seat}
    assert {each.member.name for each in heirs} <= {each.member.name for each in living}
    assert {each.seat for each in heirs}.isdisjoint(each.seat for each in parts)
    assert heirs_of(links, found)(gone, []) == ()


def test_stages_cannot_be_taken_over() -> None:
    options = made.options(wanted=10, hold_s=None, stages=parse_stages("10@1s"))
    with pytest.raises(UsageError, match="--replace with --stages"):
        fleet_hold(three(), options, FleetOptions(replace=True))
