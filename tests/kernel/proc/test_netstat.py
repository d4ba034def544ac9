"""Counters of the kernel: by name, and missing if a file is broken."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from fourtuple.kernel.proc.netstat import read_counters, read_motion, read_netstat, read_unlisted
from tests.kernel.proc.small import GOOD, tree

SNMP = "Tcp: ActiveOpens PassiveOpens\nTcp: 7 4\n"
SOCKSTAT = "TCP: inuse 3 orphan 0 tw 2 alloc 5 mem 1\n"


def test_both_files_are_read(tmp_path: Path) -> None:
    found = read_counters(tree(tmp_path, GOOD | {"thread-self/net/snmp": SNMP}))

    assert (found["ListenOverflows"], found["ActiveOpens"], found["InOctets"]) == (17, 7, 9)


@pytest.mark.parametrize("text", ["", "TcpExt: A B", "TcpExt: ListenOverflows\nTcpExt: x\n"])
def test_broken_counters_are_not_there(text: str, tmp_path: Path) -> None:
    assert "ListenOverflows" not in read_netstat(tree(tmp_path, {"thread-self/net/netstat": text}))


@pytest.mark.parametrize(("sockstat6", "there"), [("", 5), ("TCP6: inuse 4\n", 9)])
def test_motion_counts_what_was_opened_and_what_is_there(sockstat6: str, there: int, tmp_path: Path) -> None:
    """A kernel without IPv6 has no sockstat6."""
    net = {"snmp": SNMP, "sockstat": SOCKSTAT, "sockstat6": sockstat6}
    motion = read_motion(tree(tmp_path, {f"thread-self/net/{name}": text for name, text in net.items() if text}))

    assert (motion.opened, motion.there) == (11, there)


@pytest.mark.parametrize("missing", ["snmp", "sockstat"])
def test_without_either_of_its_files_motion_is_not_known(missing: str, tmp_path: Path) -> None:
    net = {"snmp": SNMP, "sockstat": SOCKSTAT}
    del net[missing]

    assert read_motion(tree(tmp_path, {f"thread-self/net/{name}": text for name, text in net.items()})).opened is None


@pytest.mark.parametrize(
    ("sockstat", "sockstat6", "unlisted"),
    [
        (SOCKSTAT, "", 2),
        (SOCKSTAT, "TCP6: inuse 1\n", 1),
        (SOCKSTAT, "TCP6: inuse 4\n", 0),  # some were closed between the two reads
        ("TCP: inuse 3 orphan 0\n", "", None),
        ("", "", None),
    ],
)
def test_what_is_allocated_and_neither_connected_nor_listening_may_be_bound(
    sockstat: str, sockstat6: str, unlisted: int | None, tmp_path: Path
) -> None:
    net = {"sockstat": sockstat, "sockstat6": sockstat6}

    assert read_unlisted(tree(tmp_path, {f"thread-self/net/{name}": text for name, text in net.items()})) == unlisted


def test_sockets_that_are_only_bound_are_among_the_unlisted() -> None:
    """By the kernel's own count of this host."""
    with ExitStack() as sockets:
        for _ in range(7):
            sockets.enter_context(socket.socket()).bind(("127.0.0.1", 0))

        assert (read_unlisted() or 0) >= 7
