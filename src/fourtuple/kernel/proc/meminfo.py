"""/proc/meminfo: how much memory the host has, and how much of it sockets can still use (proc_meminfo(5))."""

from collections.abc import Mapping
from pathlib import Path

from fourtuple.core.limits.facts import Memory
from fourtuple.core.numbers import complete_lines, number_of
from fourtuple.kernel.proc.files import PROC, whole


def parse_meminfo(text: str) -> Mapping[str, int]:
    """/proc/meminfo → bytes by name; lines that are counts or unreadable are omitted."""
    fields = (line.replace(":", " ").split() for line in complete_lines(text))
    kib = {field[0]: number_of(field[1]) for field in fields if len(field) == 3 and field[2] == "kB"}
    return {name: value * 1024 for name, value in kib.items() if value is not None}


def read_total_bytes(proc: Path = PROC) -> int | None:
    """MemTotal; None: not available."""
    return parse_meminfo(whole(proc / "meminfo")).get("MemTotal")


def read_slab_bytes(proc: Path = PROC) -> int | None:
    """Memory of all slabs of the host, which every user may read; None: not available."""
    return parse_meminfo(whole(proc / "meminfo")).get("Slab")


def read_host_memory(proc: Path = PROC) -> Memory:
    """Free memory of the host, including what the page cache can give back."""
    host = parse_meminfo(whole(proc / "meminfo"))
    free_bytes = None
    if "MemFree" in host:
        free_bytes = host["MemFree"] + max(0, host.get("Cached", 0) - host.get("Shmem", 0))
    return Memory(free_bytes)
