"""Which limit of the servers stops a run first, counted by hand."""

from collections.abc import Sequence

import pytest

from fourtuple.core.fleet.far import EndStop, stops_of
from fourtuple.core.fleet.member import LimitRoom, ServerEnd
from fourtuple.core.fleet.share import MachineOffer, share_of
from tests.core.fleet.made import bound, machine, server

FILES, CONNTRACK, MEMORY = "RLIMIT_NOFILE", "net.netfilter.nf_conntrack_max", "memory"


def end(pid: int, *bounds: LimitRoom, share: float = 1.0) -> ServerEnd:
    return ServerEnd(pid, "nginx", ("10.0.9.9:80",), bounds, share)


def stops(wanted: int, machines: Sequence[MachineOffer]) -> list[tuple[str, str, str, int, int, int]]:
    return [
        (stop.machine, stop.process, stop.limit, stop.arriving, stop.room, stop.at)
        for stop in stops_of(share_of(wanted, machines), machines)
    ]


CLIENTS = [machine("m1"), machine("m2")]


def test_the_limit_that_is_reached_first_is_the_first() -> None:
    """Of four destinations s1 has one and s2 has three: 300 arrive at s1, which has room for 200 of them."""
    machines = [
        *CLIENTS,
        server("s1", servers=(end(7, bound(FILES, 200), share=0.25),)),
        server("s2", "10.0.9.10", servers=(end(8, bound(FILES, 1500), share=0.75),)),
    ]

    assert stops(1200, machines) == [
        ("s1", "nginx (7)", FILES, 300, 200, 800),
        ("s2", "nginx (8)", FILES, 900, 1500, 2000),
    ]


def test_the_number_does_not_depend_on_how_many_are_wanted() -> None:
    """Also if fewer fit than are wanted."""
    machines = [*CLIENTS, server("s1", servers=(end(7, bound(FILES, 200), share=0.25),))]

    assert [stops(wanted, machines)[0][-1] for wanted in (40, 1200, 10**6)] == [800] * 3


def test_processes_have_their_files_each_and_other_limits_together() -> None:
    """Two workers share a port: each has half of the files' load, both together that of connection tracking."""
    bounds = bound(FILES, 600), bound(CONNTRACK, 900)
    machines = [*CLIENTS, server("s1", servers=(end(7, *bounds, share=0.5), end(8, *bounds, share=0.5)))]

    assert stops(1000, machines) == [
        ("s1", "", CONNTRACK, 1000, 900, 900),
        ("s1", "nginx (7)", FILES, 500, 600, 1200),
        ("s1", "nginx (8)", FILES, 500, 600, 1200),
    ]


def test_every_end_on_a_kernel_uses_its_memory() -> None:
    """Clients and server are namespaces of one kernel: with 300 connections each has half of its memory."""
    memory = bound(MEMORY, 600)
    clients = [machine(name, bounds=[memory], boot="b", space=name) for name in ("m1", "m2")]
    beside = server("s1", servers=(end(7, memory),), boot="b", space="s")
    apart = server("s1", servers=(end(7, memory),))

    assert stops(300, [*clients, beside])[0][-1] == 300
    assert stops(300, [*clients, apart])[0][-1] == 600


def test_a_client_beside_its_server_has_counted_the_memory_of_both_ends() -> None:
    """Its own room says it, and the server's memory is not counted again."""
    memory = bound(MEMORY, 600)
    both = machine("m1", room=600, bounds=[memory], owns=("127.0.0.1",), servers=(end(7, bound(MEMORY, 1200)),))

    assert stops(300, [both]) == [("m1", "", MEMORY, 0, 1200, 600)]


def test_connections_to_loopback_stay_on_their_machine() -> None:
    """Each of two machines has its own server at 127.0.0.1, at which half of all connections arrive."""
    machines = [
        machine(name, owns=("127.0.0.1",), servers=(end(7, bound(FILES, room)),))
        for name, room in (("m1", 100), ("m2", 400))
    ]

    assert stops(300, machines) == [
        ("m1", "nginx (7)", FILES, 150, 100, 200),
        ("m2", "nginx (7)", FILES, 150, 400, 800),
    ]


def test_machines_that_serve_each_other_reach_each_other() -> None:
    machines = [
        machine(name, owns=(f"10.0.9.{number}",), servers=(end(7, bound(FILES, 100), share=0.5),))
        for number, name in enumerate(("m1", "m2"))
    ]

    assert [each[3:] for each in stops(300, machines)] == [(150, 100, 200)] * 2


def test_workers_of_one_namespace_see_the_same_server() -> None:
    ends = (end(7, bound(FILES, 100)),)
    machines = [machine(name, owns=("127.0.0.1",), servers=ends, boot="b") for name in ("a", "b")]

    assert stops(300, machines) == [("a", "nginx (7)", FILES, 300, 100, 100)]


def test_no_room_stops_the_first_connection_and_what_is_unknown_none() -> None:
    ends = (end(7, bound(FILES, 0), bound(CONNTRACK, None)),)

    assert stops(300, [*CLIENTS, server("s1", servers=ends)]) == [("s1", "nginx (7)", FILES, 300, 0, 0)]


@pytest.mark.parametrize("machines", [CLIENTS, [*CLIENTS, server("s1", servers=(end(7, bound(FILES, 9), share=0.0),))]])
def test_without_servers_or_arrivals_nothing_stops(machines: Sequence[MachineOffer]) -> None:
    assert stops(300, machines) == []


def test_nothing_stops_a_run_without_connections() -> None:
    machines = [machine("m1", room=0), server("s1", servers=(end(7, bound(FILES, 9)),))]

    assert stops_of(share_of(10, machines), machines) == ()


def test_a_stop_has_the_title_of_its_limit() -> None:
    ends = (end(7, bound(FILES, 9, title="open files of the process")),)
    (stop,) = stops_of(share_of(10, [*CLIENTS, server("s1", servers=ends)]), [*CLIENTS, server("s1", servers=ends)])

    assert stop == EndStop("s1", "nginx (7)", FILES, "open files of the process", 10, 9, 9)
