"""/proc trees, good and broken: a clear error or "not there", never a wrong number."""

from pathlib import Path

import pytest

from fourtuple.core.errors import CannotError
from fourtuple.core.limits.facts import Memory, parse_release
from fourtuple.core.space.ranges import Ranges
from fourtuple.kernel.proc import host
from tests.told import ON_HOST, in_cgroup

GOOD = {
    "sys/net/ipv4/ip_local_port_range": "32768\t60999\n",
    "sys/net/ipv4/ip_local_reserved_ports": "33000-33009,40000\n",
    "meminfo": "MemTotal: 1000 kB\nMemFree: 200 kB\nCached:    50 kB\nShmem:  20 kB\nHugePages_Total:   0\n",
    "thread-self/net/netstat": "TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 3 17\nIpExt: InOctets\nIpExt: 9\n",
}


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        root.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        root.joinpath(name).write_text(text)
    return root


def test_a_whole_tree(tmp_path: Path) -> None:
    facts = host.read_host_facts(tree(tmp_path, GOOD), tmp_path)

    assert facts.port_range == range(32768, 61000)
    assert facts.ports.reserved_ports == Ranges([range(33000, 33010), range(40000, 40001)])
    assert facts.automatic_ports.size == 28_232 - 11
    assert (facts.memory_bytes, facts.memory) == (1000 * 1024, Memory(230 * 1024, ON_HOST))
    assert host.read_netstat(tmp_path)["ListenOverflows"] == 17


@pytest.mark.parametrize("name", ["sys/net/ipv4/ip_local_reserved_ports", "meminfo"])
def test_what_is_not_there_is_not_invented(name: str, tmp_path: Path) -> None:
    files = {key: text for key, text in GOOD.items() if key != name}
    facts = host.read_host_facts(tree(tmp_path, files))

    assert facts.ports.reserved_ports.size == (0 if "reserved" in name else 11)
    assert facts.memory_bytes == (None if name == "meminfo" else 1000 * 1024)


@pytest.mark.parametrize("text", ["", "32768", "a b", "1 2 3"])
def test_a_broken_port_range_is_an_error_that_names_the_file(text: str, tmp_path: Path) -> None:
    with pytest.raises(CannotError, match="ip_local_port_range"):
        host.read_host_facts(tree(tmp_path, GOOD | {"sys/net/ipv4/ip_local_port_range": text}))


def test_no_proc_at_all_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(CannotError, match="ip_local_port_range"):
        host.read_host_facts(tmp_path)


@pytest.mark.parametrize("text", ["", "TcpExt: A B", "TcpExt: ListenOverflows\nTcpExt: x\n"])
def test_broken_counters_are_not_there(text: str, tmp_path: Path) -> None:
    assert "ListenOverflows" not in host.read_netstat(tree(tmp_path, {"thread-self/net/netstat": text}))


STAT = "inactive_file 1000\nactive_file 500\ntotal_inactive_file 3000\ntotal_active_file 40\nanon 7\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "free_bytes", "where"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/b/memory.current": "5"}, 230 * 1024, ON_HOST),
        ("0::/a/b\n", {"a/b/memory.max": "90000", "a/b/memory.current": "20000"}, 70_000, in_cgroup("/a/b")),
        ("0::/a/b\n", {"a/memory.max": "90000", "a/memory.current": "20000"}, 70_000, in_cgroup("/a")),
        ("0::/a\n", {"a/memory.max": "9000", "a/memory.current": "9500"}, 0, in_cgroup("/a")),
        (
            "0::/a\n",
            {"a/memory.max": "9000", "a/memory.current": "8000", "a/memory.stat": STAT},
            2500,
            in_cgroup("/a"),
        ),
        (
            "4:memory:/a\n0::/\n",
            {"memory/a/memory.limit_in_bytes": "90000", "memory/a/memory.usage_in_bytes": "80000"},
            10_000,
            in_cgroup("/a"),
        ),
        (
            "4:memory:/a\n",
            {
                "memory/a/memory.limit_in_bytes": "9000",
                "memory/a/memory.usage_in_bytes": "8000",
                "memory/a/memory.stat": STAT,
            },
            4040,
            in_cgroup("/a"),
        ),
        (
            "4:memory:/a\n",
            {"memory/a/memory.limit_in_bytes": "9223372036854771712", "memory/a/memory.usage_in_bytes": "1"},
            230 * 1024,
            ON_HOST,
        ),
        # In a container the path is the host's, and only the cgroup's own files are there.
        ("0::/x/y\n", {"memory.max": "90000", "memory.current": "20000"}, 70_000, in_cgroup("/")),
        ("not a line\n", {}, 230 * 1024, ON_HOST),
    ],
)
def test_the_tightest_limit_on_memory_counts(
    cgroup: str, files: dict[str, str], free_bytes: int, where: str, tmp_path: Path
) -> None:
    written = {name: text.rstrip("\n") + "\n" for name, text in files.items()}
    proc, cgroups = tree(tmp_path / "proc", GOOD | {"self/cgroup": cgroup}), tree(tmp_path / "cgroup", written)

    assert host.read_memory(proc, cgroups) == Memory(free_bytes, where)


@pytest.mark.parametrize(
    ("release", "version"),
    [("6.18.44-fc", (6, 18)), ("5.10-rc1", (5, 10)), ("6.1.0-18-amd64", (6, 1)), ("7.0", (7, 0))],
)
def test_kernel_releases(release: str, version: tuple[int, int]) -> None:
    assert parse_release(release) == version


def test_this_host_can_be_read() -> None:
    facts = host.read_host_facts()

    assert facts.port_range.start >= 1
    assert 0 < facts.files_open < facts.files_soft <= facts.files_hard
