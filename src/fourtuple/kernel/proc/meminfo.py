"""/proc/meminfo: how much memory the host has, and how much of it sockets can still use (proc_meminfo(5))."""

from collections.abc import Mapping
from pathlib import Path

from fourtuple.core.limits.facts import Memory
from fourtuple.kernel.proc.files import PROC, whole


def parse_meminfo(text: str) -> Mapping[str, int]:
    """/proc/meminfo → bytes by name; lines that are counts or unreadable are omitted."""
    fields = (line.replace(":", " ").split() for line in text.splitlines())
    return {f[0]: int(f[1]) * 1024 for f in fields if len(f) == 3 and f[1].isdecimal() and f[2] == "kB"}


def read_total_bytes(proc: Path = PROC) -> int | None:
    """MemTotal; None: not available."""
    return parse_meminfo(whole(proc / "meminfo")).get("MemTotal")


def read_host_memory(proc: Path = PROC) -> Memory:
    """Free memory of the host, including what the page cache can give back."""
    host = parse_meminfo(whole(proc / "meminfo"))
    free_bytes = None
    if "MemFree" in host:
        free_bytes = host["MemFree"] + max(0, host.get("Cached", 0) - host.get("Shmem", 0))
    return Memory(free_bytes)
