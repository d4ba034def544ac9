"""A snapshot in the place of the host: what it answers, and what it cannot."""

import errno
import ipaddress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fourtuple.core.errors import UsageError
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.snapshot.answers import Recorded
from fourtuple.core.snapshot.fold import ListenerRow, SocketGroup, expand, expand_listeners
from fourtuple.core.snapshot.records import (
    Cgroup,
    HostAddress,
    HostNamespace,
    HostProcess,
    HostRoute,
    Snapshot,
)
from fourtuple.core.sockets.table import SOCK_DIAG, State
from fourtuple.core.space.endpoints import Endpoint, EndpointSpec
from fourtuple.core.space.ranges import Ranges

INIT, POD = "net:[1]", "net:[2]"
ADDRESSES = (
    HostAddress("10.0.0.4", 24, "eth0"),
    HostAddress("fd00::4", 64, "eth0"),
    HostAddress("10.8.0.4", 16, "tun"),
)
ROUTES = (
    HostRoute("0.0.0.0/0", "eth0"),
    HostRoute("10.8.0.0/16", "tun"),
    HostRoute("10.8.9.0/24", "eth0", "10.0.0.5", metric=20),
    HostRoute("10.8.9.0/24", "tun", metric=10),
    HostRoute("::/0", "eth0"),
)


def namespace(netns: str = INIT, **other: Any) -> HostNamespace:
    sockets, pids = expand(
        [
            SocketGroup("ESTABLISHED", "10.0.0.4", "40000-40004", 5, "10.0.0.9", 443, uid=7, pid=70),
            SocketGroup("ESTABLISHED", "10.0.0.3", "40000", 1, "10.0.0.9", 443, uid=8, pid=-1),
            SocketGroup("TIME_WAIT", "10.0.0.4", "40010", 1, "10.0.0.9", 443, pid=0, ages_ms=((0, 1),)),
        ]
    )
    listeners, listener_pids = expand_listeners([ListenerRow("10.0.0.4", 80, 1, 4, pid=70)])
    values: dict[str, Any] = {
        "ports": PortFacts(range(40_000, 40_100), Ranges([])),
        "sockets": sockets,
        "socket_pids": pids,
        "listeners": listeners,
        "listener_pids": listener_pids,
        "read_from": SOCK_DIAG,
        "addresses": ADDRESSES,
        "routes": ROUTES,
        "sysctls": {"net.core.somaxconn": "4096"},
    }
    return HostNamespace(netns, **values | other)


def snapshot(**other: Any) -> Snapshot:
    values: dict[str, Any] = {
        "host": "web1",
        "kernel": "6.1.0",
        "uid": 0,
        "source": "web1.snapshot",
        "sysctls": {"fs.file-max": "1000"},
        "namespaces": {INIT: namespace(), POD: namespace(POD, name="blue")},
        "processes": {
            70: HostProcess(70, "proxy", uid=7, netns=INIT, cgroup="/a", files_soft=100, files_open=9, threads=4),
            71: HostProcess(71, "other", uid=7, netns=POD, threads=2),
            72: HostProcess(72, "hidden", netns="net:[3]"),
        },
        "cgroups": {"/a": Cgroup("/a", memory_bytes=60, memory_most_bytes=100, files_bytes=5, pids=3, pids_most=10)},
    }
    return Snapshot(1_767_323_045.0, **values | other)


@pytest.mark.parametrize(
    ("how", "netns"),
    [
        ({}, INIT),
        ({"netns": "blue"}, POD),
        ({"netns": POD}, POD),
        ({"netns": "71"}, POD),
        ({"pid": 71}, POD),
        ({"pid": 70}, INIT),
    ],
)
def test_the_default_is_the_first_namespace_and_others_are_chosen_by_name_or_process(
    how: dict[str, Any], netns: str
) -> None:
    """The name of ip-netns(8), net:[…], a PID as --netns and as --pid."""
    assert Recorded(snapshot(), **how).world().netns == netns


@pytest.mark.parametrize("how", [{"netns": "red"}, {"netns": "5"}, {"pid": 5}])
def test_what_the_snapshot_does_not_have_is_a_wrong_request(how: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="the snapshot"):
        Recorded(snapshot(), **how)


def test_a_namespace_that_its_maker_could_not_see_is_unknown() -> None:
    """Its process's own limits are known all the same."""
    world = Recorded(snapshot(), pid=72).world(72)

    assert world.ports is None
    assert "could not see" in world.why_not["its network"]


def test_the_world_of_a_process_is_its_own_limits_with_its_cgroup_and_namespace() -> None:
    world = Recorded(snapshot(), pid=70).world(70)

    assert (world.process.pid, world.process.files_soft, world.process.files_open) == (70, 100, 9)
    assert world.process.uid_threads == 6
    assert world.process.sockets == frozenset({70})
    assert world.cgroup is not None
    assert (world.cgroup.free_bytes, world.cgroup.where, world.pids_left) == (45, "in the cgroup /a", 7)
    assert (world.sysctls["fs.file-max"], world.sysctls["net.core.somaxconn"]) == ("1000", "4096")


def test_limits_of_a_process_are_unknown_without_one() -> None:
    """A program that would be started there has limits that no snapshot knows."""
    world = Recorded(snapshot()).world()

    assert (world.process.files_soft, world.process.uid, world.process.sockets) == (None, None, None)
    assert any("--pid" in reason for reason in world.why_not.values())


def test_owners_are_named_as_far_as_the_maker_saw_them() -> None:
    """A user sees the processes of others as their users, root sees what is in no process's files."""
    host = Recorded(snapshot())
    rows, _ = host.fold(lambda tables: np.concatenate(list(tables)), {State.ESTABLISHED, State.TIME_WAIT})
    owners = host.holders(rows["inode"]).owners(np.zeros(len(rows), np.int64), rows["inode"], rows["uid"], 1)[0]
    assert [(each.pid, each.name, each.sockets) for each in owners.processes] == [(70, "proxy", 5)]
    assert (owners.no_descriptor, owners.not_visible, owners.kernel) == (1, 0, 1)

    host = Recorded(snapshot(uid=7))
    owners = host.holders(rows["inode"]).owners(np.zeros(len(rows), np.int64), rows["inode"], rows["uid"], 1)[0]
    assert (owners.no_descriptor, owners.not_visible, owners.users) == (0, 1, ("8",))


def test_states_are_chosen() -> None:
    count = Recorded(snapshot()).fold(lambda tables: sum(map(len, tables)), {State.LISTEN, State.TIME_WAIT})

    assert count == (2, SOCK_DIAG)


@pytest.mark.parametrize(
    ("destination", "source"),
    [
        ("192.0.2.1:80", "10.0.0.4"),
        ("10.8.7.1:80", "10.8.0.4"),
        ("10.8.9.1:80", "10.8.0.4"),
        ("127.0.0.9:80", "127.0.0.1"),
        ("10.8.0.4:80", "10.8.0.4"),
        ("[2001:db8::1]:80", "fd00::4"),
        ("[::1]:80", "::1"),
    ],
)
def test_the_route_chooses_the_source(destination: str, source: str) -> None:
    """The most specific network, then the least metric, then the preferred source, else the interface's address."""
    assert str(Recorded(snapshot()).source_towards(Endpoint.parse(destination))) == source


def test_a_preferred_source_is_taken() -> None:
    routes = (HostRoute("0.0.0.0/0", "eth0", "10.0.0.77"),)
    host = Recorded(snapshot(namespaces={INIT: namespace(routes=routes)}))

    assert str(host.source_towards(Endpoint.parse("192.0.2.1:80"))) == "10.0.0.77"


def test_without_a_route_the_errno_is_the_kernels() -> None:
    host = Recorded(snapshot(namespaces={INIT: namespace(routes=ROUTES[1:2])}))

    with pytest.raises(OSError, match="no route") as caught:
        host.source_towards(Endpoint.parse("192.0.2.1:80"))
    assert caught.value.errno == errno.ENETUNREACH


@pytest.mark.parametrize(
    ("other", "source"),
    [
        ({}, "10.0.0.4"),
        ({"addresses": ADDRESSES[2:]}, "10.0.0.4"),
        ({"sockets": namespace().sockets[:0], "listeners": namespace().listeners[:0]}, "10.0.0.4"),
    ],
)
def test_where_routes_are_not_known_the_likeliest_address_is_the_source(other: dict[str, Any], source: str) -> None:
    """That of most connections there, or one on the same network, or the first."""
    inside = replace(namespace(routes=()), **other)

    assert str(Recorded(snapshot(namespaces={INIT: inside})).source_towards(Endpoint.parse("10.0.0.9:443"))) == source


def test_own_addresses_are_those_of_interfaces_and_of_sockets() -> None:
    host = Recorded(snapshot())

    local = [host.is_local(ipaddress.ip_address(text)) for text in ("10.8.0.4", "10.0.0.3", "127.9.9.9", "10.0.0.9")]
    assert local == [True, True, True, False]


def test_names_are_not_resolved() -> None:
    """The laptop's resolver is not that of the host."""
    assert Recorded(snapshot()).resolve(EndpointSpec.parse("10.0.0.9:80")) == [ipaddress.ip_address("10.0.0.9")]
    with pytest.raises(UsageError, match="resolves no names"):
        Recorded(snapshot()).resolve(EndpointSpec.parse("db.example:80"))


def test_a_time_that_no_calendar_has_is_unknown() -> None:
    assert Recorded(replace(snapshot(), at_s=1e18)).origin.time == ""
    assert Recorded(snapshot()).origin.time == "2026-01-02T03:04:05.000+00:00"
