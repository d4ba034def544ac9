"""Sockets counted: which end is whose, who mirrors whom, what was accepted."""

import ipaddress

import numpy as np

from fourtuple.core.sockets.ends import Ends, Tally
from fourtuple.core.sockets.table import SOCKET, State, four_tuples, mapped
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import Destinations


def table(*rows: tuple[str, int, str, int, int]) -> np.ndarray:
    """(local address, port, remote address, port, inode) each"""
    sockets = np.zeros(len(rows), SOCKET)
    for number, (local, local_port, remote, remote_port, inode) in enumerate(rows):
        ends = (mapped(ipaddress.ip_address(local)), mapped(ipaddress.ip_address(remote)))
        for name, value in (("local", ends[0]), ("remote", ends[1]), ("local_port", local_port), ("inode", inode)):
            sockets[name][number] = value
        sockets["remote_port"][number], sockets["state"][number] = remote_port, State.ESTABLISHED
    return sockets


def to(address: str, ports: range) -> Destinations:
    value = int(ipaddress.ip_address(address))
    return Destinations.of([(range(value, value + 1), ports)])


SOCKETS = table(
    ("127.0.0.1", 40000, "127.0.0.1", 8000, 1),
    ("127.0.0.1", 40000, "127.0.0.1", 8001, 2),
    ("127.0.0.2", 40001, "127.0.0.1", 8000, 3),
    ("127.0.0.1", 8000, "127.0.0.1", 40000, 4),
    ("127.0.0.1", 8001, "127.0.0.1", 40000, 0),
    ("127.0.0.1", 40000, "127.0.0.1", 9000, 6),
    ("::1", 40000, "::1", 8000, 7),
)


def test_both_ends_are_told_apart_and_strangers_left_out() -> None:
    ends = Ends.of([SOCKETS[:3], SOCKETS[3:]], to("127.0.0.1", range(8000, 8002)))

    assert sorted(map(str, four_tuples(ends.client))) == [
        "127.0.0.1:40000 → 127.0.0.1:8000",
        "127.0.0.1:40000 → 127.0.0.1:8001",
        "127.0.0.2:40001 → 127.0.0.1:8000",
    ]
    assert sorted(map(str, four_tuples(ends.server))) == [
        "127.0.0.1:8000 → 127.0.0.1:40000",
        "127.0.0.1:8001 → 127.0.0.1:40000",
    ]


def test_what_follows_from_them() -> None:
    ends = Ends.of([SOCKETS], to("127.0.0.1", range(8000, 8002)))

    assert ends.accepted == 1
    assert ends.distinct == 3
    assert ends.mirrored == 2
    assert ends.busiest_client_port == (40000, 2)
    assert ends.server_ports == [8000, 8001]


def test_a_tally_is_the_lengths_of_the_ends_less_what_was_there_before() -> None:
    everybody, ports = Ranges([range(2**128)]), Ranges([range(1, 65536)])
    destinations = to("127.0.0.1", range(8000, 8002))
    nothing, before = Ends.of([], destinations), Ends.of([SOCKETS[[1, 3]]], destinations)

    assert Tally.of([SOCKETS[:4], SOCKETS[4:]], destinations, everybody, ports, nothing) == Tally(3, 2, 1)
    assert Tally.of([SOCKETS[:4], SOCKETS[4:]], destinations, everybody, ports, before) == Tally(2, 1, 0)


def test_a_tuple_listed_twice_is_not_distinct() -> None:
    ends = Ends.of([SOCKETS[:1], SOCKETS[:1]], to("127.0.0.1", range(8000, 8001)))

    assert (len(ends.client), ends.distinct) == (2, 1)


def test_sources_narrow_both_ends() -> None:
    only = int(ipaddress.ip_address("127.0.0.2"))
    ends = Ends.of([SOCKETS], to("127.0.0.1", range(8000, 8002)), Ranges([range(only, only + 1)]))

    assert [str(t) for t in four_tuples(ends.client)] == ["127.0.0.2:40001 → 127.0.0.1:8000"]
    assert len(ends.server) == 0


def test_ipv6_addresses_are_compared_in_full() -> None:
    ends = Ends.of([SOCKETS], to("::1", range(8000, 8001)))

    assert [str(t) for t in four_tuples(ends.client)] == ["[::1]:40000 → [::1]:8000"]


def test_nothing_there_is_nothing_counted() -> None:
    ends = Ends.of([], to("127.0.0.1", range(8000, 8001)))

    assert (len(ends.client), ends.distinct, ends.mirrored, ends.busiest_client_port) == (0, 0, 0, (0, 0))
