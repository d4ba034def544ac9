"""`hold` before anything is opened: what follows from options and a world, without a socket."""

import ipaddress
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fourtuple.core.errors import ShortfallError, UsageError
from fourtuple.core.limits.facts import Memory, PortFacts, World
from fourtuple.core.limits.ports import PortRoom, PortUse
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.verdicts import Case
from fourtuple.core.limits.weigh import weigh
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.core.runs.orders import HoldOrder
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import SOCKET
from fourtuple.core.space.endpoints import Address
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.engine.loops.choose import Choice
from fourtuple.engine.loops.room import FILES, LOCKED, Room
from fourtuple.verbs.hold import MEMORY_LIMITS, job_of, order_of, planned, targets_of
from fourtuple.verbs.survey import Look
from tests import made
from tests.core.quiet import WORLD

RING = Choice(LoopName.RING, "io_uring is available", Room(2**22, 1, 2**22, FILES, ""))
EPOLL = Choice(LoopName.EPOLL, "asked for", Room(59_928, 3, 19_976, FILES, "ulimit -n 20,000: 19,976 sockets"))
FREE = replace(WORLD, memory=Memory(8 * 2**30))


def look(world: World, space: TupleSpace, strategy: Strategy = Strategy.LATE, *, here: bool = True) -> Look:
    """What a survey finds on a quiet host: no other socket."""
    facts = world.ports or PortFacts(range(32768, 61000), Ranges([]))
    use = PortUse.of([np.zeros(0, SOCKET)], space)
    ports = PortRoom.together([use.room(facts, strategy)])
    case = Case(world=world, role=Role.CLIENT, strategy=strategy, ports=ports, here=here)
    return Look(world, Role.CLIENT, space, strategy, (use,), ports, (), None, case, weigh(case))


def order(
    wanted: int = 1000,
    destinations: Sequence[str] = ("127.0.0.1:8000-8003",),
    *,
    source: str = "127.0.0.1",
    here: bool = True,
    choice: Choice = RING,
    world: World = FREE,
    strategy: Strategy = Strategy.LATE,
    **options: Any,
) -> HoldOrder:
    facts = world.ports or PortFacts(range(32768, 61000), Ranges([]))
    space = TupleSpace.of([source], facts.automatic_ports, destinations)
    local: set[Address] = set(targets_of(space)) if here else set()
    asked = made.options(wanted=wanted, destinations=tuple(destinations), **options)
    return order_of(asked, look(world, space, strategy, here=here), space, local, choice, made.start())


def test_the_slices_are_exactly_what_is_wanted() -> None:
    """As many workers as the loop takes, each with its share of the space."""
    slices = order(50_000, choice=EPOLL).plan.slices

    assert len(slices) == 3
    assert sum(each.wanted for each in slices) == 50_000
    assert [each.stop for each in slices[:-1]] == [each.start for each in slices[1:]]


@pytest.mark.parametrize("limit", [FILES, LOCKED])
def test_more_than_the_loop_can_hold_is_refused_with_its_limit_unless_it_is_wanted_anyway(limit: str) -> None:
    short = replace(RING, room=Room(999, 1, 999, limit, "there is room for no more"))

    with pytest.raises(ShortfallError) as refused:
        order(1000, choice=short)
    assert "room for 999" in refused.value.wanted
    assert limit in refused.value.stopped_by
    assert "there is room for no more" in refused.value.stopped_by
    assert order(1000, choice=short, anyway=True).plan.wanted == 1000
    assert order(999, choice=short).plan.wanted == 999


def test_memory_is_judged_for_both_ends_where_both_are_here() -> None:
    """10,000 connections take 80 MB with both ends and 41 MB with one; 90 % of 60 MB lie between."""
    small = replace(WORLD, memory=Memory(60_000_000))

    assert order(10_000, world=small, here=False).ends == 1
    with pytest.raises(ShortfallError) as refused:
        order(10_000, world=small)
    assert "memory" in refused.value.stopped_by


def test_the_tightest_memory_counts_and_its_share_can_be_raised() -> None:
    tight = replace(FREE, cgroup=Memory(8_400_000, "in the cgroup /small"))

    with pytest.raises(ShortfallError) as refused:
        order(1000, world=tight)
    assert "in the cgroup /small" in refused.value.stopped_by
    assert order(1000, world=tight, fill_memory=True).free == Memory(8_400_000, "in the cgroup /small")


def test_more_than_the_ports_allow_is_refused_unless_it_is_wanted_anyway() -> None:
    with pytest.raises(ShortfallError) as refused:
        order(28_233, ["127.0.0.1:8000"])
    assert "net.ipv4.ip_local_port_range" in refused.value.stopped_by
    assert order(28_233, ["127.0.0.1:8000"], anyway=True).plan.predicted == Interval.of(28_232)


@pytest.mark.parametrize(
    ("wanted", "target", "ours", "allowed"),
    [
        (1001, "8.8.8.8:80", False, False),
        (1000, "8.8.8.8:80", False, True),
        (1001, "8.8.8.8:80", True, True),
        (1001, "10.0.0.9:80", False, True),
    ],
)
def test_many_connections_to_a_public_address_need_a_word(wanted: int, target: str, ours: bool, allowed: bool) -> None:
    if allowed:
        assert order(wanted, [target], source="10.0.0.4", here=False, i_own_this_target=ours).plan.wanted == wanted
        return
    with pytest.raises(UsageError) as refused:
        order(wanted, [target], source="10.0.0.4", here=False)
    assert target.partition(":")[0] in refused.value.wanted


def test_the_socket_options_follow_from_strategy_and_sources() -> None:
    late, explicit = order(), order(strategy=Strategy.EXPLICIT, sources=("127.0.0.1:33000-33999",))

    assert (late.bind, late.port_range) == (False, range(32768, 61000))
    assert (explicit.bind, explicit.port_range) == (True, None)
    assert order(sources=("127.0.0.1",)).bind


def test_a_kernel_without_the_quick_range_does_not_get_the_option() -> None:
    old = replace(FREE, ports=PortFacts(range(32768, 61000), Ranges([]), range_is_quick=False))

    assert order(world=old).port_range is None


def test_several_targets_without_sources_may_be_reached_from_any_source() -> None:
    several = ["127.0.0.1:80", "127.0.0.2:80"]

    assert order(destinations=several).any_source
    assert not order(destinations=several, sources=("127.0.0.1",)).any_source
    assert not order(destinations=["127.0.0.1:80-89"]).any_source


def test_the_plan_that_is_stored_is_that_of_the_order() -> None:
    made_of = order(1000, rate_per_s=500.0)
    plan = made_of.start.planned

    assert plan == planned(made_of)
    assert plan is not None
    assert (plan.wanted, plan.predicted, plan.workers, plan.loop) == (1000, 1000, 1, LoopName.RING)
    assert (plan.pairs, plan.usable, plan.rate_per_s, plan.sources) == (4, 28_232, 500.0, ("127.0.0.1",))


def test_the_engine_is_told_to_talk_only_where_something_is_sent_or_expected() -> None:
    quiet, asking, listening = job_of(order()), job_of(order(send=b"PING")), job_of(order(expect=b"hello"))

    assert quiet.talk is None
    assert asking.talk is not None
    assert asking.talk.every_s == 30.0
    assert listening.talk is not None
    assert (asking.how.timeout_s, listening.how.timeout_s) == (30.0, None)


def test_memory_is_left_to_this_judgement_by_the_plan() -> None:
    """The plan knows the same limits by these names; otherwise they would be judged twice."""
    names = {verdict.limit for verdict in weigh(Case(FREE, Role.CLIENT, Strategy.LATE, None))}

    assert set(MEMORY_LIMITS) & names == {"memory"}
    space = order().plan.space
    assert space is not None
    assert ipaddress.ip_address("127.0.0.1") in targets_of(space)
