"""Garbled files of /proc: what cannot be read is not known, and nothing but our own errors is raised."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from fourtuple.core.errors import CannotError
from fourtuple.kernel.proc import alive, cgroups, interfaces, meminfo, net_tcp, netstat, owners, pid, ports, slab
from tests.kernel.proc.small import GOOD, tree

HUGE = "9" * 5000
WRONG = ["", "-1", "x", HUGE, "1\0", "٣", "1_0", "0x1"]
HEADING = "  sl  local_address rem_address\n"
LINE = "0: 0100007F:{port} 00000000:0000 0A 00000000:{queue} 00:{timer} 00000000 {uid} 0 {inode} 1 0\n"
RIGHT = {"port": "1F40", "queue": "00000000", "timer": "00000000", "uid": "0", "inode": "1"}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (meminfo.parse_meminfo, "MemTotal: {} kB\n"),
        (netstat.parse_netstat, "TcpExt: A\nTcpExt: {}\n"),
        (netstat.parse_sockstat, "TCP: inuse {}\n"),
        (netstat.parse_stat_table, "drop\n{}\n"),
        (netstat.parse_softnet_stat, "1 {}\n"),
        (netstat.parse_vmstat, "oom_kill {}\n"),
        (slab.parse_slabinfo, "TCP 1 1 1 1 1 : tunables 0 0 0 : slabdata 1 {} 0\n"),
        (interfaces.parse_net_dev, "lo: 1 1 0 0 0 0 0 0 {}\n"),
        (pid.parse_limits, "Limit\nMax open files  {} 1024 files\n"),
    ],
)
def test_a_number_that_is_none_is_left_out(parse: Callable[[str], object], text: str, wrong: str) -> None:
    assert parse(text.format("1"))
    assert not parse(text.format(wrong))


@pytest.mark.parametrize(
    ("parse", "whole"),
    [
        (meminfo.parse_meminfo, "MemTotal: 1 kB\nMemFree: 123 kB\n"),
        (netstat.parse_netstat, "TcpExt: A\nTcpExt: 123\n"),
        (netstat.parse_vmstat, "a 1\nb 123\n"),
    ],
)
def test_a_number_that_was_cut_is_not_taken_for_a_smaller_one(
    parse: Callable[[str], Mapping[str, int]], whole: str
) -> None:
    right = parse(whole).items()

    assert all(parse(whole[:length]).items() <= right for length in range(len(whole)))


def test_counters_of_unequal_number_are_left_out() -> None:
    assert netstat.parse_netstat("Tcp: A B\nTcp: 1\nIp: C\nIp: 2\n") == {"C": 2}


@pytest.mark.parametrize("field", RIGHT)
@pytest.mark.parametrize("wrong", [*WRONG, "FFFFFFFFFFFFFFFFF", "18446744073709551615"])
def test_a_broken_number_of_proc_net_tcp_is_refused(field: str, wrong: str) -> None:
    """A table without that socket would be a wrong count."""
    net_tcp.parse_proc_net_tcp(HEADING + LINE.format(**RIGHT))

    with pytest.raises(CannotError, match="line 2 of"):
        net_tcp.parse_proc_net_tcp(HEADING + LINE.format(**RIGHT | {field: wrong}))


@pytest.mark.parametrize("text", ["32768 99999\n", "60999 32768\n", "-1 5\n", "1 2\0\n", f"1 {HUGE}\n"])
def test_what_is_no_range_of_ports_is_an_error_that_names_the_file(text: str, tmp_path: Path) -> None:
    with pytest.raises(CannotError, match="ip_local_port_range"):
        ports.read_port_facts((), tree(tmp_path, GOOD | {"sys/net/ipv4/ip_local_port_range": text}))


@pytest.mark.parametrize("text", ["1-99999999999\n", "9-8\n", "-5\n", "1-\n", "1,,2\n"])
def test_what_is_no_list_of_ports_is_an_error_too(text: str, tmp_path: Path) -> None:
    with pytest.raises(CannotError):
        ports.read_port_facts((), tree(tmp_path, GOOD | {"sys/net/ipv4/ip_local_reserved_ports": text}))


@pytest.mark.parametrize("statistics", ["", "active_file x\n", "active_file 1\nactive_file", f"inactive_file {HUGE}\n"])
def test_a_cgroup_with_statistics_that_cannot_be_read_leaves_nothing_known(statistics: str, tmp_path: Path) -> None:
    files = {"memory.max": "1000\n", "memory.current": "1\n", "memory.stat": statistics}
    tree(tmp_path / "cgroup", files)
    found = cgroups.read_cgroup_memories(tree(tmp_path / "self", {"cgroup": "0::/\n"}), tmp_path / "cgroup")

    assert [memory.free_bytes for memory in found] == [None]


@pytest.mark.parametrize(
    "marked", ["", "a b", "boot ns ../../etc 5", "boot ns 1\0 5", "boot ns x 5", f"boot ns {HUGE} 5"]
)
def test_what_is_no_mark_of_a_process_is_not_known_to_be_alive(marked: str) -> None:
    assert alive.living()(marked.replace("boot", alive.boot_id())) is None


@pytest.mark.parametrize("link", ["socket:[", "socket:[]", "socket:[x]", "socket:[-1]", f"socket:[{HUGE}]", "pipe:[1]"])
def test_what_is_no_link_of_a_socket_has_no_inode(link: str) -> None:
    assert pid.inode_of(link) is None
    assert pid.inode_of("socket:[4711]") == 4711


def test_without_proc_nobody_owns_anything(tmp_path: Path) -> None:
    assert owners.read_holders(np.array([7], np.uint32), proc=tmp_path / "none").processes == ()


def test_capabilities_that_cannot_be_read_are_none_and_named(tmp_path: Path) -> None:
    why_not: dict[str, str] = {}
    tree(tmp_path, {"7/status": f"Name: x\nPid: {HUGE}\nCapEff: zz\n", "7/uid_map": "0 0 4294967295\n"})
    process = pid.read_process(tmp_path / "7", why_not)

    assert (process.pid, process.capabilities) == (0, 0)
    assert "CapEff" in why_not["capabilities"]


def test_a_process_may_have_any_bytes_in_its_name(tmp_path: Path) -> None:
    """Its other facts are read as usual."""
    tree(tmp_path, {"7/uid_map": "0 0 4294967295\n"})
    (tmp_path / "7/status").write_bytes(b"Name:\tx\xff\xfe\nPid:\t7\nCapEff:\t0400\n")
    process = pid.read_process(tmp_path / "7", {})

    assert (process.pid, process.name, process.may_bind_any_port) == (7, "x\\xff\\xfe", True)
