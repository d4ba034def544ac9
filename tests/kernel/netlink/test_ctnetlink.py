"""Tracked connections by protocol and zone: as the kernel lists real ones, and messages made by hand."""

import os
import shutil
import struct
import sys
from pathlib import Path

import pytest

from fourtuple.core.errors import CannotError
from fourtuple.kernel.netlink import wire
from fourtuple.kernel.netlink.ctnetlink import (
    CT_GET_STATS_CPU,
    CT_NEW,
    CTA_PROTO_NUM,
    CTA_STATS,
    CTA_TUPLE_ORIG,
    CTA_TUPLE_PROTO,
    CTA_ZONE,
    count_entries,
    parse_entry,
    read_losses,
)
from tests.conftest import Ground, need

HEAD = struct.pack("=BBH", 2, 0, 0)
NESTED = 0x8000  # a flag of attribute types, which the kernel sets here
CODE = """
import socket, subprocess
rules = "add table ip t; add chain ip t c { type filter hook output priority 0; }; add rule ip t c ct state new accept"
subprocess.run(["nft", rules], check=True)
server = socket.create_server(("127.0.0.1", 8000), backlog=64)
kept = [socket.create_connection(("127.0.0.1", 8000)) for _ in range(23)]
socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 8000))
from fourtuple.kernel.netlink.ctnetlink import count_entries, read_losses
print(sorted(count_entries().items()), sum(count_entries(5).values()), sorted(read_losses().items()))
"""


def entry(protocol: int, zone: int = 0) -> bytes:
    number = wire.attribute(CTA_PROTO_NUM, bytes([protocol]))
    tuple_ = wire.attribute(CTA_TUPLE_PROTO | NESTED, number)
    zones = wire.attribute(CTA_ZONE, zone.to_bytes(2, "big")) if zone else b""
    return HEAD + wire.attribute(CTA_TUPLE_ORIG | NESTED, tuple_) + zones


def test_real_connections_are_counted_by_protocol(ground: Ground) -> None:
    """23 of TCP and one of UDP; a count that ends early is one of a part; nothing was lost."""
    need(os.geteuid() == 0 and shutil.which("nft"), "root and nft (nftables)")
    need(Path("/proc/sys/net/netfilter/nf_conntrack_max").exists(), "connection tracking in this kernel")
    done = ground.run(sys.executable, "-c", CODE)

    losses = "[('drop', 0), ('early_drop', 0), ('insert_failed', 0)]"
    assert done.stdout == f"[('tcp', 23), ('udp', 1)] 5 {losses}\n", done.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (entry(6), ["tcp"]),
        (entry(17, 3), ["udp", "zone 3"]),
        (entry(47), ["protocol 47"]),
        (HEAD, ["protocol 0"]),
    ],
)
def test_an_entry(content: bytes, said: list[str]) -> None:
    assert parse_entry(content) == said


def test_the_losses_of_all_cpus_are_added_up() -> None:
    def ask(message: bytes) -> list[bytes]:
        sequence = struct.unpack_from("=I", message, 8)[0]
        values = {"insert_failed": 2, "drop": 3, "early_drop": 4}
        attributes = b"".join(wire.attribute(CTA_STATS[name], struct.pack(">I", values[name])) for name in values)
        one = wire.HEADER.pack(20 + len(attributes), CT_GET_STATS_CPU, 2, sequence, 0) + HEAD + attributes
        return [one * 2 + wire.HEADER.pack(20, wire.NLMSG_DONE, 2, sequence, 0) + bytes(4)]

    assert read_losses(ask) == {"insert_failed": 4, "drop": 6, "early_drop": 8}


def test_messages_that_are_cut() -> None:
    with pytest.raises(CannotError):
        parse_entry(b"\2")
    with pytest.raises(CannotError):
        parse_entry(HEAD + entry(6)[4:-4])


def test_a_dump_without_an_end_is_an_error() -> None:
    def ask(message: bytes) -> list[bytes]:
        sequence = struct.unpack_from("=I", message, 8)[0]
        content = entry(6)
        return [wire.HEADER.pack(16 + len(content), CT_NEW, 2, sequence, 0) + content]

    assert count_entries(1, ask) == {"tcp": 1}
    with pytest.raises(CannotError):
        count_entries(2, ask)
