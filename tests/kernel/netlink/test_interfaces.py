"""Interfaces, addresses and neighbours: what the kernel says of this host, and messages made by hand."""

import socket
import struct
from collections.abc import Callable

import pytest

from fourtuple.core.errors import CannotError
from fourtuple.kernel.netlink import wire
from fourtuple.kernel.netlink.interfaces import (
    IFA_FLAGS,
    IFLA_STATS64,
    NTF_EXT_LEARNED,
    NUD_PERMANENT,
    RTM_NEWNEIGH,
    count_neighbours,
    parse_host_address,
    parse_link,
    read_host_addresses,
    read_interfaces,
)
from fourtuple.kernel.netlink.rtnetlink import IFLA_IFNAME

NUD_REACHABLE = 2
ADDRESS = wire.attribute(1, socket.inet_pton(socket.AF_INET6, "2001:db8::4"))


def test_the_interfaces_are_those_of_this_namespace() -> None:
    assert read_interfaces().names == dict(socket.if_nameindex())


def test_the_loopback_address_is_there_with_its_interface() -> None:
    names = read_interfaces().names
    found = {(each.address, each.prefix, each.interface) for each in read_host_addresses(names)}

    assert ("127.0.0.1", 8, "lo") in found


def test_the_counters_of_an_interface() -> None:
    """Their places in struct rtnl_link_stats64: rx_over_errors is the 12th number, rx_missed_errors the 16th."""
    head = struct.pack("=BxHiII", 0, 1, 7, 0, 0)
    statistics = struct.pack("=24Q", *range(100, 124))
    link = head + wire.attribute(IFLA_IFNAME, b"eth0\0") + wire.attribute(IFLA_STATS64, statistics)

    assert parse_link(link) == (7, "eth0", {"rx_over_errors": 111, "rx_fifo_errors": 114, "rx_missed_errors": 115})
    assert parse_link(head) == (7, "", {})


@pytest.mark.parametrize(
    ("short", "wide", "tentative", "duplicate"),
    [
        (0x80, 0x80, False, False),
        (0xC0, 0xC0, True, False),
        (0xC0, None, True, False),
        (0x44, 0x44, False, False),  # optimistic: it can be used before the detection has ended
        (0xC8, 0xC8, False, True),  # detection failed
    ],
)
def test_the_flags_of_an_address(short: int, wide: int | None, tentative: bool, duplicate: bool) -> None:
    flags = b"" if wide is None else wire.attribute(IFA_FLAGS, struct.pack("=I", wide))
    content = struct.pack("=BBBBI", socket.AF_INET6, 64, short, 0, 7) + ADDRESS + flags
    found = parse_host_address(content, {7: "eth0"})

    assert found is not None
    assert (found.address, found.prefix, found.interface) == ("2001:db8::4", 64, "eth0")
    assert (found.tentative, found.duplicate) == (tentative, duplicate)


def test_neighbours_that_count_against_the_limit() -> None:
    """Permanent ones, and those that a control plane has learned, do not."""

    def neighbour(family: int, state: int, flags: int = 0) -> bytes:
        return struct.pack("=B3xiHBB", family, 2, state, flags, 1)

    entries = [
        neighbour(socket.AF_INET, NUD_REACHABLE),
        neighbour(socket.AF_INET, NUD_REACHABLE),
        neighbour(socket.AF_INET, NUD_PERMANENT),
        neighbour(socket.AF_INET6, NUD_REACHABLE),
        neighbour(socket.AF_INET6, NUD_REACHABLE, NTF_EXT_LEARNED),
        neighbour(socket.AF_BRIDGE if hasattr(socket, "AF_BRIDGE") else 7, NUD_REACHABLE),
    ]

    def ask(message: bytes) -> list[bytes]:
        sequence = struct.unpack_from("=I", message, 8)[0]
        parts = [wire.HEADER.pack(16 + len(each), RTM_NEWNEIGH, 2, sequence, 0) + each for each in entries]
        return [b"".join(parts) + wire.HEADER.pack(20, wire.NLMSG_DONE, 2, sequence, 0) + bytes(4)]

    assert count_neighbours(ask) == {socket.AF_INET: 2, socket.AF_INET6: 1}


@pytest.mark.parametrize("parse", [parse_link, lambda content: parse_host_address(content, {})])
def test_a_message_that_is_too_short(parse: Callable[[bytes], object]) -> None:
    with pytest.raises(CannotError):
        parse(bytes(5))
