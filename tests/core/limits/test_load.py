"""What messages cost: bytes with headers, and how many connections CPUs and links have room for."""

from dataclasses import replace

import pytest

from fourtuple.core.limits.facts import World
from fourtuple.core.limits.load import ETHERNET, GIGABIT, WIRE, Link, Load, link_of, message_bytes
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.verdicts import Case, Verdict
from fourtuple.core.limits.weigh import weigh
from fourtuple.core.plan.traffic import traffic
from fourtuple.core.sockets.role import Role
from tests.core import quiet


@pytest.mark.parametrize(
    ("payload", "timestamps", "link_bytes", "there", "back"),
    [
        (64, True, 0, 64 + 52, 52),  # on loopback
        (64, False, 0, 64 + 40, 40),
        (64, True, ETHERNET, 64 + 66, 66),
        (0, True, ETHERNET + WIRE, 90, 90),
        (1448, True, 0, 1500, 52),
        (1449, True, 0, 1449 + 2 * 52, 52),
        (4 * 1448, True, 0, 4 * 1500, 2 * 52),
    ],
)
def test_a_message_has_headers_and_an_acknowledgement(
    payload: int, timestamps: bool, link_bytes: int, there: int, back: int
) -> None:
    assert message_bytes(payload, timestamps=timestamps, link_bytes=link_bytes) == (there, back)


def test_how_many_connections_have_room() -> None:
    """Two CPUs have 2 s of time in each second; a link of 1 Gbit/s carries 125,000,000 bytes."""
    load = Load.asked(10, 64, 20)

    assert load.given
    assert load.by_cpu(2) == 2 * 10 * 1_000_000 // 20
    assert load.by_link(GIGABIT, timestamps=True) == 125_000_000 * 10 // (64 + 52 + 38)
    assert not Load.asked(None, None, None).given


def test_the_fastest_link_decides_and_an_unknown_speed_is_said() -> None:
    slow, fast, silent = Link("eth0", GIGABIT), Link("eth1", 25 * GIGABIT), Link("eth2", None)

    assert link_of([slow, fast, silent], here=False)[0] == 25 * GIGABIT
    unknown = [link_of(links, here=here) for links, here in (([silent], False), ([], False), ([fast], True))]
    assert [speed for speed, _ in unknown] == [None] * 3
    assert len({why for _, why in unknown}) == 3


GIVEN, CARD = Load.asked(1.0, 64, 100.0), (Link("eth0", GIGABIT),)


def case(load: Load = GIVEN, links: tuple[Link, ...] = CARD, *, here: bool = False, role: Role = Role.SERVER) -> Case:
    world: World = replace(quiet.WORLD, links=links)
    return Case(world=world, role=role, strategy=Strategy.LATE, ports=None, here=here, cpus=2, load=load)


def rows(case: Case) -> dict[str, Verdict]:
    return {each.limit: each for each in weigh(case) if each.limit in ("CPU", "bandwidth")}


@pytest.mark.parametrize("role", Role)
def test_a_load_that_is_given_stops_connections(role: Role) -> None:
    """Two CPUs, a message per second and connection, 100 µs each: 20,000 connections. Timestamps are not known: on."""
    found = rows(case(role=role))

    assert {name: each.stops for name, each in found.items()} == {"CPU": True, "bandwidth": True}
    assert found["CPU"].room is not None
    assert found["CPU"].room.least == found["CPU"].room.most == 20_000
    assert found["bandwidth"].room is not None
    assert found["bandwidth"].room.least == 125_000_000 // (64 + 52 + 38)
    assert not any(each.exact for each in found.values())
    assert all(each.note for each in found.values())


def test_a_load_that_is_only_assumed_stops_none() -> None:
    found = rows(case(Load()))

    assert {each.stops for each in found.values()} == {False}
    assert {each.room for each in found.values()} == {None}
    assert all(each.note for each in found.values())


@pytest.mark.parametrize(("links", "here"), [((), False), ((Link("eth0", None),), False), (CARD, True)])
def test_a_link_of_unknown_speed_stops_none_and_the_reason_is_said(links: tuple[Link, ...], here: bool) -> None:
    found = rows(case(links=links, here=here))["bandwidth"]

    assert (found.stops, found.room, found.value) == (False, None, None)
    assert link_of(links, here=here)[1] in found.note


def test_what_a_plan_sends() -> None:
    """10,000 connections: as many messages per second, each 100 µs and 154 bytes on the wire."""
    found = traffic(10_000, case())

    assert found.cpus == pytest.approx(1.0)
    assert found.bits_per_s == pytest.approx(10_000 * 154 * 8)
    assert found.cpus_here == 2
    assert "eth0" in found.link
