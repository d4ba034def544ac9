"""How much memory a process may still use: that of the host, or of the tightest of its cgroups."""

from pathlib import Path

import pytest

from fourtuple.core.limits.facts import Memory
from fourtuple.kernel.proc.cgroups import read_cpu_quota, read_memory
from tests.kernel.proc.small import GOOD, tree

STAT = "inactive_file 1000\nactive_file 500\ntotal_inactive_file 3000\ntotal_active_file 40\nanon 7\n"


@pytest.mark.parametrize(
    ("cgroup", "files", "free_bytes", "where"),
    [
        ("0::/a/b\n", {"a/b/memory.max": "max", "a/b/memory.current": "5"}, 230 * 1024, "on this host"),
        ("0::/a/b\n", {"a/b/memory.max": "90000", "a/b/memory.current": "20000"}, 70_000, "in the cgroup /a/b"),
        ("0::/a/b\n", {"a/memory.max": "90000", "a/memory.current": "20000"}, 70_000, "in the cgroup /a"),
        ("0::/a\n", {"a/memory.max": "9000", "a/memory.current": "9500"}, 0, "in the cgroup /a"),
        (
            "0::/a\n",
            {"a/memory.max": "9000", "a/memory.current": "8000", "a/memory.stat": STAT},
            2500,
            "in the cgroup /a",
        ),
        (
            "4:memory:/a\n0::/\n",
            {"memory/a/memory.limit_in_bytes": "90000", "memory/a/memory.usage_in_bytes": "80000"},
            10_000,
            "in the cgroup /a",
        ),
        (
            "4:memory:/a\n",
            {
                "memory/a/memory.limit_in_bytes": "9000",
                "memory/a/memory.usage_in_bytes": "8000",
                "memory/a/memory.stat": STAT,
            },
            4040,
            "in the cgroup /a",
        ),
        (
            "4:memory:/a\n",
            {"memory/a/memory.limit_in_bytes": "9223372036854771712", "memory/a/memory.usage_in_bytes": "1"},
            230 * 1024,
            "on this host",
        ),
        # In a container the path is the host's, and only the cgroup's own files are there.
        ("0::/x/y\n", {"memory.max": "90000", "memory.current": "20000"}, 70_000, "in the cgroup /"),
        ("not a line\n", {}, 230 * 1024, "on this host"),
    ],
)
def test_the_tightest_limit_on_memory_counts(
    cgroup: str, files: dict[str, str], free_bytes: int, where: str, tmp_path: Path
) -> None:
    written = {name: text.rstrip("\n") + "\n" for name, text in files.items()}
    proc, cgroups = tree(tmp_path / "proc", GOOD | {"self/cgroup": cgroup}), tree(tmp_path / "cgroup", written)

    assert read_memory(proc, cgroups) == Memory(free_bytes, where)


@pytest.mark.parametrize(
    ("cgroup", "files", "cpus"),
    [
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000"}, None),
        ("0::/a/b\n", {"a/b/cpu.max": "150000 100000"}, 1.5),
        ("0::/a/b\n", {"a/b/cpu.max": "400000 100000", "a/cpu.max": "200000 100000"}, 2.0),
        ("4:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1", "cpu/a/cpu.cfs_period_us": "100000"}, None),
        ("4:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "50000", "cpu/a/cpu.cfs_period_us": "100000"}, 0.5),
        ("0::/a\n", {"a/cpu.max": "0 100000"}, None),
        ("0::/a\n", {"a/cpu.max": "many 100000"}, None),
        ("0::/a\n", {}, None),
    ],
)
def test_the_tightest_quota_of_cpus_counts(
    cgroup: str, files: dict[str, str], cpus: float | None, tmp_path: Path
) -> None:
    """What is no number, or a quota that the kernel does not take, is none."""
    written = {name: f"{text}\n" for name, text in files.items()}
    proc, cgroups = tree(tmp_path / "proc", GOOD | {"self/cgroup": cgroup}), tree(tmp_path / "cgroup", written)

    assert read_cpu_quota(proc, cgroups) == cpus
