"""What a machine offers, of recorded hosts and of this one; its sources, and what listens there."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest

from fourtuple.core.errors import CannotError, ShortfallError, UsageError
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.snapshot.answers import Recorded
from fourtuple.core.snapshot.fold import ListenerRow, expand_listeners
from fourtuple.core.snapshot.records import HostRoute
from fourtuple.core.space.interval import Interval
from fourtuple.fleet.offer import cpus_of, member_of, offer_of, own_sources
from fourtuple.kernel.netns import Namespace
from tests.conftest import need_namespace
from tests.core.snapshot.test_answers import INIT, namespace, snapshot

FAR, OWN = "10.0.0.9:443", "10.0.0.4:80"


def recorded(**other: Any) -> Recorded:
    """A host with 100 source ports, of which five are in use to FAR, and one waits; a proxy listens at OWN."""
    return Recorded(snapshot(**other))


def with_listeners(*rows: ListenerRow, **other: Any) -> Recorded:
    listeners, pids = expand_listeners(rows)
    return recorded(namespaces={INIT: namespace(listeners=listeners, listener_pids=pids, **other)})


# Room


def test_the_room_is_that_of_the_tightest_limit() -> None:
    """Of 100 ports, six are in use towards this destination; other limits that are known have more room."""
    offer = offer_of("m1", [FAR], host=recorded())

    assert offer.room == Interval.tightest(each.room for each in offer.bounds if each.room)
    assert offer.room.most == 94
    assert (offer.machine, offer.bounds[0].title, offer.bounds[0].room) == ("m1", "source ports", offer.room)
    assert (offer.sources, offer.owns, offer.servers) == (("10.0.0.4",), (), ())


def test_limits_are_the_tightest_first_and_unknown_ones_last() -> None:
    offer = offer_of("m1", [FAR], host=recorded())
    rooms = [each.room for each in offer.bounds]
    known = [room.least for room in rooms if room is not None]

    assert known == sorted(known)
    assert None in rooms
    assert None not in rooms[: len(known)]


def test_without_source_ports_there_is_no_offer() -> None:
    with pytest.raises(CannotError, match="the range of source ports"):
        offer_of("m1", [FAR], host=recorded(namespaces={INIT: namespace(ports=None)}))


def test_a_strategy_that_hold_does_not_have_and_a_way_that_is_missing_are_refused() -> None:
    lonely = namespace(routes=(HostRoute("10.8.0.0/16", "tun"),))

    with pytest.raises(UsageError, match="bind0"):
        offer_of("m1", [FAR], strategy=Strategy.BIND0, host=recorded())
    with pytest.raises(ShortfallError, match="no way there"):
        offer_of("m1", ["192.0.2.9:80"], host=recorded(namespaces={INIT: lonely}))


def test_ways_are_sought_only_if_more_are_wanted_than_there_is_room_for() -> None:
    """Without root first, with the options and commands of `plan`."""
    few, many = (offer_of("m1", [FAR], wanted=wanted, host=recorded()) for wanted in (10, 5000))

    assert few.ways == ()
    assert few.room == many.room
    assert many.ways[0].endswith("more destination ports, if the server can listen there: 10.0.0.9:443-496")
    assert any(way.endswith('sysctl -w net.ipv4.ip_local_port_range="1024 65535"') for way in many.ways)
    assert "perhaps enough" in many.ways[-1]
    assert not any("--machines" in way for way in many.ways)


# Sources


def test_a_machine_takes_those_of_the_sources_that_it_has() -> None:
    """Each machine of a fleet is given the same ones."""
    host = recorded()

    assert own_sources(["10.0.0.0/24"], host) == ("10.0.0.3-4",)
    assert own_sources(["10.0.0.4-9", "10.8.0.1-10.8.0.9"], host) == ("10.0.0.4", "10.8.0.4")
    assert own_sources(["10.0.0.4-9:5000-5009"], host) == ("10.0.0.4:5000-5009",)
    assert own_sources(["fd00::1-9"], host) == ("fd00::4",)
    assert own_sources([], host) == ()
    assert offer_of("m1", [FAR], sources=["10.0.0.4-9"], host=host).sources == ("10.0.0.4",)


def test_of_a_large_network_the_addresses_of_interfaces_are_found() -> None:
    assert own_sources(["10.0.0.0/8"], recorded()) == ("10.0.0.4", "10.8.0.4")


def test_loopback_is_every_machines_own() -> None:
    assert own_sources(["127.0.0.0/8", "127.0.0.2-9"], recorded()) == ("127.0.0.0/8", "127.0.0.2-9")


def test_none_of_the_sources_is_a_mistake() -> None:
    with pytest.raises(UsageError, match="this machine has none of them"):
        own_sources(["10.0.0.100-120"], recorded())


# Servers


def test_a_machine_owns_destinations_and_names_what_listens_there() -> None:
    """The proxy has 91 of 100 files left, and one of two destinations."""
    offer = offer_of("m1", [OWN, FAR], host=recorded())
    (server,) = offer.servers

    assert offer.owns == ("10.0.0.4",)
    assert (server.pid, server.process, server.listening, server.share) == (70, "proxy", ("10.0.0.4:80",), 0.5)
    files = next(each for each in server.bounds if each.limit == "RLIMIT_NOFILE")
    assert files.room == Interval.of(91)
    assert [each.room.least for each in server.bounds if each.room] == sorted(
        each.room.least for each in server.bounds if each.room
    )


def test_a_listener_at_every_address_serves_only_those_of_its_machine() -> None:
    """One of four destination addresses is here."""
    host = with_listeners(ListenerRow("0.0.0.0", 80, 1, 4, pid=70))
    (server,) = offer_of("s1", ["10.0.0.4:80", "10.0.0.7:80", "10.0.0.8:80", "10.0.0.9:80"], host=host).servers

    assert server.share == 0.25


def test_a_server_with_many_listeners_is_named_with_a_few() -> None:
    host = with_listeners(*(ListenerRow("10.0.0.4", port, 1, 4, pid=70) for port in range(80, 90)))
    (server,) = offer_of("s1", ["10.0.0.4:80-89"], host=host).servers

    assert server.listening == ("10.0.0.4:80", "10.0.0.4:81", "10.0.0.4:82")
    assert server.share == pytest.approx(1.0)


# This machine


@pytest.fixture
def listening() -> Iterator[list[socket.socket]]:
    """Two listeners of this process."""
    with ExitStack() as stack:
        yield [stack.enter_context(socket.create_server((f"127.0.0.{n}", 0), backlog=1)) for n in (1, 2)]


def test_this_machine_offers_what_it_has(listening: list[socket.socket]) -> None:
    """Both destinations are its own, and this process is the server of both."""
    names = [f"{host}:{port}" for host, port in (each.getsockname() for each in listening)]
    offer = offer_of("here", names)
    (server,) = offer.servers

    assert 0 < offer.room.least <= offer.room.most
    assert offer.owns == ("127.0.0.1-2",)
    assert (server.pid, server.share, set(server.listening)) == (os.getpid(), 1.0, set(names))
    assert {"orphaned sockets", "TIME_WAIT sockets"}.isdisjoint(each.title for each in server.bounds)
    assert not any(each.limit == "RLIMIT_NOFILE" and each.room is None for each in offer.bounds)


def test_what_only_more_machines_make_fit_is_left_to_the_plan_of_the_fleet(listening: list[socket.socket]) -> None:
    """More than any memory has room for."""
    ways = offer_of("here", [f"127.0.0.1:{listening[0].getsockname()[1]}"], wanted=10**10).ways

    assert ways
    assert not any("--machines" in way for way in ways)


LIMITED = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from fourtuple.fleet.offer import offer_of
offer = offer_of("here", ["127.0.0.1:8000-8999"], sources=["127.0.0.1-99"])
ports = next(each.room.least for each in offer.bounds if each.title == "source ports")
print(offer.bounds[0].limit, offer.room.most < ports)
"""


def test_the_room_is_what_the_loop_can_hold() -> None:
    """Where processes may open few files, this is less than there are ports."""
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True)

    assert done.stdout.split() in (["RLIMIT_NOFILE", "True"], ["RLIMIT_MEMLOCK", "True"])


def test_a_quota_counts_as_the_cpus_that_it_keeps_busy() -> None:
    assert [cpus_of(4, quota) for quota in (None, 0.5, 1.5, 4.0, 16.0)] == [4, 1, 2, 4, 4]


def test_this_machine_says_what_it_is() -> None:
    member = member_of("m1", "tcp://10.0.0.1:9")

    assert (member.name, member.worker, member.host) == ("m1", "tcp://10.0.0.1:9", os.uname().nodename)
    assert member.namespace.endswith(os.readlink("/proc/thread-self/ns/net"))
    assert member.boot
    assert member.boot == replace(member, name="m2").boot
    assert 1 <= member.cpus <= len(os.sched_getaffinity(0))
    assert not any(each.startswith(("127.", "::1", "fe80")) for each in member.addresses)
    assert member.free_bytes
    assert member.memory_bytes
    assert member.free_bytes < member.memory_bytes


# The room, and what can be opened

FILLS = """
import sys
from fourtuple.core.errors import ShortfallError
from fourtuple.fleet.offer import member_of, offer_of
from fourtuple.verbs.hold import hold
from fourtuple.verbs.serve import serve
to = ["127.0.0.1:8000-8001"]
with serve(to) as server:
    next(iter(server))
    offer = offer_of("m1", to, wanted=1)
    refused = ""
    try:
        hold(offer.room.most + 1, to)
    except ShortfallError as error:
        refused = error.wanted
    record = hold(offer.room.least, to, hold_s=0.1).finish()
    (end,) = offer.servers
    print(offer.room.least, record.held, record.lost, refused, end.share, member_of("m1", "").namespace, sep="|")
"""


def test_the_room_of_an_offer_can_be_opened_and_no_more() -> None:
    """In a network namespace of 97 ports, all of both destinations; one more is refused."""
    need_namespace()
    with Namespace(settings={"net.ipv4.ip_local_port_range": "40000 40096"}) as place:
        done = place.start([sys.executable, "-c", FILLS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out, errors = done.communicate(timeout=60)

    room, held, lost, refused, share, namespace = (out.strip() or f"|||||{errors}").split("|")
    assert (int(held), int(lost), float(share)) == (int(room), 0, 1.0)
    assert 190 <= int(room) <= 194
    assert "195 connections" in refused
    assert namespace.rpartition(" ")[2] != os.readlink("/proc/thread-self/ns/net")
