"""Which workers are used, what all machines have room for, and whether N connections fit at both ends."""

from collections.abc import Sequence
from typing import Any

import pytest

from fourtuple.core.fleet.answers import RATE_PER_CPU_PER_S, FleetWay, UnusedMember, hosts_of, limits_of, plan_of
from fourtuple.core.fleet.member import ServerEnd
from fourtuple.core.fleet.share import MachineOffer
from fourtuple.core.plan.fit import RATE_PER_S, Says
from fourtuple.core.space.interval import Interval
from tests.core.fleet.made import bound, machine, member, server

DESTINATION = ["10.0.9.9:80"]


def nginx(room: int) -> MachineOffer:
    ends = (ServerEnd(7, "nginx", ("10.0.9.9:80",), (bound("RLIMIT_NOFILE", room),)),)
    return server("s1", servers=ends)


# Hosts


def test_one_worker_of_each_network_namespace_is_used() -> None:
    """The first of them; of `--local` workers, all."""
    workers = [member("a", boot="b"), member("b", boot="b"), member("c", boot="b", space="2")]
    one, all_of_them = (hosts_of(workers, fourtuple="1.0", python="3.11.1", several=each) for each in (False, True))

    assert [each.name for each in one.members] == ["a", "c"]
    assert one.unused == (UnusedMember("b", "it is in the network namespace of a, which has its addresses and ports"),)
    assert [each.name for each in all_of_them.members] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"fourtuple": "0.9"}, "it has fourtuple 0.9, and not 1.0"),
        ({"python": "3.12.1"}, "it has Python 3.12, and not 3.11"),
        ({"python": "3.1.1"}, "it has Python 3.1, and not 3.11"),
    ],
)
def test_a_worker_with_another_version_is_not_used_nor_does_it_stand_for_its_namespace(
    other: dict[str, Any], why: str
) -> None:
    workers = [member("a", boot="b", **other), member("b", boot="b", python="3.11.0")]
    found = hosts_of(workers, fourtuple="1.0", python="3.11.9")

    assert [each.name for each in found.members] == ["b"]
    assert found.unused == (UnusedMember("a", why),)


def test_workers_that_did_not_answer_are_named_first() -> None:
    silent = (UnusedMember("x", "it did not answer"),)
    found = hosts_of([member("a", fourtuple="0.9")], fourtuple="1.0", python="3.11.9", silent=silent)

    assert [each.name for each in found.unused] == ["x", "a"]


# Limits


def test_the_limits_of_all_that_would_open_connections() -> None:
    machines = [machine("m1", room=10, most=12), nginx(5), machine("m2", room=0)]
    found = limits_of(DESTINATION, machines)

    assert [offer.machine for offer in found.offers] == ["m1", "m2"]
    assert [offer.machine for offer in found.servers] == ["s1"]
    assert found.room == Interval(10, 12)
    assert not found.is_used_up
    assert limits_of(DESTINATION, [machine("m2", room=0)]).is_used_up
    assert not limits_of(DESTINATION, [machine("m2", room=0, most=1)]).is_used_up


def test_the_limits_that_decide_are_those_of_most_machines_first() -> None:
    memory = [bound("memory", 5, title="memory"), bound("ports", 6)]
    machines = [machine("m1", room=5, bounds=memory), machine("m2"), machine("m3"), machine("m4", bounds=[])]

    assert limits_of(DESTINATION, machines).tightest == {"source ports": ("m2", "m3"), "memory": ("m1",)}


# Plan


@pytest.mark.parametrize(
    ("wanted", "says", "fits"),
    [(20, Says.OK, True), (21, Says.PERHAPS, False), (24, Says.PERHAPS, False), (25, Says.BLOCKS, False)],
)
def test_a_plan_says_whether_the_connections_fit_for_certain(wanted: int, says: Says, fits: bool) -> None:
    plan = plan_of(wanted, DESTINATION, [machine("m1", room=10, most=12), machine("m2", room=10, most=12)])

    assert (plan.says, plan.fits) == (says, fits)
    assert (plan.to_json()["says"], plan.to_json()["fits"]) == (says, fits)


@pytest.mark.parametrize(("wanted", "fits"), [(100, True), (101, False)])
def test_a_plan_fits_only_if_the_servers_have_room_too(wanted: int, fits: bool) -> None:
    plan = plan_of(wanted, DESTINATION, [machine("m1"), nginx(100)])

    assert (plan.says, plan.fits, plan.stopped_by is None) == (Says.OK, fits, fits)
    assert [way.machines for way in plan.server_ways] == [("s1",)] * (not fits)
    assert all("nginx (7): ulimit -n" in way.text for way in plan.server_ways)


def test_what_makes_it_fit_is_the_best_way_of_each_machine_without_room_or_more_machines() -> None:
    """The same way on several machines is said once; nothing is said of a machine that has room."""
    machines = [
        machine("m1", room=10, ways=("x", "y")),
        machine("m2", room=20, ways=("z",)),
        machine("m3", room=15, ways=("x",)),
        machine("m4", room=0),
    ]

    assert plan_of(88, DESTINATION, machines).ways == (
        FleetWay(("m1", "m3"), "x"),
        FleetWay(("m2",), "z"),
        FleetWay((), "3 more machines like m2, which has room for 20"),
    )
    assert plan_of(45, DESTINATION, machines).ways == ()


def test_workers_of_one_namespace_are_without_room_together() -> None:
    workers = [machine(name, room=10, ways=("x",), boot="b") for name in ("a", "b")]

    assert plan_of(15, DESTINATION, workers).ways[0] == FleetWay(("a", "b"), "x")


def test_a_way_to_more_ports_is_no_help_where_the_kernel_has_no_more_memory() -> None:
    """Two network namespaces of one kernel, each with ports for 10, and memory for 15 together. A server opens none."""
    bounds = [bound("ports", 10), bound("memory", 15)]
    machines = [machine(name, room=10, bounds=bounds, ways=("x",), boot="b", space=name) for name in ("m1", "m2")]

    assert [way.machines for way in plan_of(20, DESTINATION, machines).ways] == [()]
    assert [way.machines for way in plan_of(20, DESTINATION, [server("s", room=0, ways=("x",)), *machines]).ways] == [
        ()
    ]


def test_no_machine_is_a_model_for_others_if_none_has_room() -> None:
    assert plan_of(10, DESTINATION, [machine("m1", room=0)]).ways == ()
    assert plan_of(10, DESTINATION, []).ways == ()


@pytest.mark.parametrize(
    ("machines", "rate_per_s", "elapsed_s"),
    [
        ([machine("m1", 2, 10**6), machine("m2", 6, 10**6)], None, 1.0),
        ([machine("m1", 2, 10**6), machine("m2", 6, 40_000)], None, 3.0),
        ([machine("m1", 2, 10**6), machine("m2", 6, 10**6)], 1000.0, 160.0),
        ([machine("a", 4, 10**6, boot="b"), machine("b", 4, 10**6, boot="b", space="2")], None, 2.0),
        ([], None, 0.0),
    ],
)
def test_opening_takes_as_long_as_the_slowest_machine(
    machines: Sequence[MachineOffer], rate_per_s: float | None, elapsed_s: float
) -> None:
    """At 20,000 per second and CPU, half of what `plan` assumes for two; machines of one kernel share its CPUs."""
    plan = plan_of(160_000, DESTINATION, machines, rate_per_s)

    assert RATE_PER_CPU_PER_S * 2 == RATE_PER_S
    assert plan.elapsed_s == pytest.approx(elapsed_s)
