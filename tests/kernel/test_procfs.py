"""/proc trees, good and broken: a clear error or "not there", never a wrong number."""

from pathlib import Path

import pytest

from fourtuple.core.errors import CannotError
from fourtuple.core.facts import parse_release
from fourtuple.core.ranges import Ranges
from fourtuple.kernel import procfs

GOOD = {
    "sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
    "sys/net/ipv4/ip_local_reserved_ports": "33000-33009,40000\n",
    "meminfo": "MemTotal:       1000 kB\nMemFree:         200 kB\nCached:           50 kB\nHugePages_Total:   0\n",
    "thread-self/net/netstat": "TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 3 17\nIpExt: InOctets\nIpExt: 9\n",
}


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        root.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        root.joinpath(name).write_text(text)
    return root


def test_a_whole_tree(tmp_path: Path) -> None:
    facts = procfs.read_host_facts(tree(tmp_path, GOOD))

    assert facts.port_range == range(32768, 61000)
    assert facts.reserved_ports == Ranges([range(33000, 33010), range(40000, 40001)])
    assert facts.automatic_ports.size == 28_232 - 11
    assert (facts.memory_bytes, facts.memory_free_bytes) == (1000 * 1024, 250 * 1024)
    assert procfs.read_listen_overflows(tmp_path) == 17


@pytest.mark.parametrize("name", ["sys/net/ipv4/ip_local_reserved_ports", "meminfo"])
def test_what_is_not_there_is_not_invented(name: str, tmp_path: Path) -> None:
    files = {key: text for key, text in GOOD.items() if key != name}
    facts = procfs.read_host_facts(tree(tmp_path, files))

    assert facts.reserved_ports.size == (0 if "reserved" in name else 11)
    assert facts.memory_bytes == (None if name == "meminfo" else 1000 * 1024)


@pytest.mark.parametrize("text", ["", "32768", "a b", "1 2 3"])
def test_a_broken_port_range_is_an_error_that_names_the_file(text: str, tmp_path: Path) -> None:
    with pytest.raises(CannotError, match="ip_local_port_range"):
        procfs.read_host_facts(tree(tmp_path, GOOD | {"sys/net/ipv4/ip_local_port_range": text}))


def test_no_proc_at_all_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(CannotError, match="ip_local_port_range"):
        procfs.read_host_facts(tmp_path)


@pytest.mark.parametrize("text", ["", "TcpExt: A B", "TcpExt: ListenOverflows\nTcpExt: x\n"])
def test_broken_counters_are_not_there(text: str, tmp_path: Path) -> None:
    assert procfs.read_listen_overflows(tree(tmp_path, {"thread-self/net/netstat": text})) is None


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.18.44-fc", (6, 18)), ("5.10-rc1", (5, 10)), ("6.1.0-18-amd64", (6, 1)), ("7.0", (7, 0))],
)
def test_kernel_releases(release: str, version: tuple[int, int]) -> None:
    assert parse_release(release) == version


def test_this_host_can_be_read() -> None:
    facts = procfs.read_host_facts()

    assert facts.port_range.start >= 1
    assert 0 < facts.files_open < facts.files_soft <= facts.files_hard
