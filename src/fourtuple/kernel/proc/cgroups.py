"""What cgroups use and allow: memory and tasks, by the tightest limit of a cgroup and those above it.

Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst (v6.18)
"""

import math
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fourtuple.core.limits.facts import Memory
from fourtuple.core.numbers import complete_lines, number_of
from fourtuple.core.snapshot.belonging import path_of
from fourtuple.kernel.proc.files import PROC, text_of, whole
from fourtuple.kernel.proc.meminfo import read_host_memory

if TYPE_CHECKING:  # it comes with NumPy, which the memory alone does not need
    from fourtuple.core.snapshot.records import Cgroup

CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 2**60  # cgroup v1 reports "no limit" as a value above this


def read_memory(proc: Path = PROC, cgroups: Path = CGROUPS) -> Memory:
    """Free memory of the host, or of the tightest cgroup of this process if that has less."""
    memories = [read_host_memory(proc), *read_cgroup_memories(proc / "self", cgroups)]
    return min(memories, key=_tightness)


def _tightness(memory: Memory) -> float:
    return math.inf if memory.free_bytes is None else memory.free_bytes


def read_cgroup_memories(process_folder: Path, cgroups: Path = CGROUPS) -> list[Memory]:
    """The memory that each limited cgroup of a process still allows, the tightest first; empty if none has a limit.

    A cgroup with a limit that cannot be read has free_bytes None, and comes first.
    """
    found = []
    for folder, parent, version in _cgroups(process_folder, cgroups, "memory"):
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if version == 1 else ("memory.max", "memory.current")
        text = whole(folder / names[0]).strip()
        limit, used = number_of(text), number_of(whole(folder / names[1]).strip())
        if text == "max" or (limit is not None and limit >= UNLIMITED) or not os.path.exists(folder / names[0]):
            continue
        files = _page_cache_bytes(folder / "memory.stat", "total_" if version == 1 else "")
        where = f"in the cgroup {parent}"
        if limit is None or used is None or files is None:
            found.append(Memory(None, where))
        else:
            found.append(Memory(max(0, limit - used + files), where))
    return sorted(found, key=lambda memory: -1 if memory.free_bytes is None else memory.free_bytes)


def _page_cache_bytes(statistics: Path, prefix: str) -> int | None:
    """The bytes of files in memory that a cgroup can give back; 0: the kernel does not count them. None: unreadable."""
    if not os.path.exists(statistics):
        return 0
    lines = dict(line.split(" ") for line in complete_lines(whole(statistics)) if line.count(" ") == 1)
    parts = [number_of(lines.get(f"{prefix}{kind}_file", "0")) for kind in ("active", "inactive")]
    return sum(part or 0 for part in parts) if lines and None not in parts else None


def read_pids_left(process_folder: Path, cgroups: Path = CGROUPS) -> int | None:
    """How many tasks pids.max of its cgroups still allows a process; None: no limit, or one that cannot be read."""
    found = []
    for folder, _, _ in _cgroups(process_folder, cgroups, "pids"):
        text = whole(folder / "pids.max").strip()
        limit, used = number_of(text), number_of(whole(folder / "pids.current").strip())
        if text == "max" or not os.path.exists(folder / "pids.max"):
            continue
        if limit is None or used is None:
            return None
        found.append(max(0, limit - used))
    return min(found, default=None)


def read_cpu_quota(proc: Path = PROC, cgroups: Path = CGROUPS) -> float | None:
    """How many CPUs the cgroups of this process let it use on average; None: no limit, or one that cannot be read.

    Documentation/admin-guide/cgroup-v2.rst (cpu.max), scheduler/sched-bwc.rst (v6.18)
    """
    found = []
    for folder, _, version in _cgroups(proc / "self", cgroups, "cpu"):
        if version == 1:
            words = [whole(folder / name).strip() for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]
        else:
            words = whole(folder / "cpu.max").split()
        numbers = [number for word in words if (number := number_of(word))]
        if len(numbers) == 2:
            found.append(numbers[0] / numbers[1])
    return min(found, default=None)


def _cgroups(process_folder: Path, cgroups: Path, controller: str) -> Iterator[tuple[Path, Path, int]]:
    """Each cgroup that may have this controller, from the process's own up to the root: (folder, path, version)."""
    for line in whole(process_folder / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, is_there, path = rest.partition(":")  # 4:memory:/a in version 1, 0::/a in version 2
        if is_there and (not controllers or controller in controllers.split(",")):
            for parent in (Path(path), *Path(path).parents):
                version = 1 if controllers else 2
                yield cgroups / (controller if controllers else "") / str(parent).lstrip("/"), parent, version


def cgroup_path(pid: int, proc: Path = PROC) -> str:
    """The path of a process's cgroup, a key of `read_cgroups`; empty: it has ended, or is not visible."""
    return path_of(whole(proc / str(pid) / "cgroup"))


def read_cgroups(paths: Iterable[str], cgroups: Path = CGROUPS) -> "dict[str, Cgroup]":
    """What these cgroups, and all above them, use and allow, by path; None: it cannot be read, or has no limit.

    paths: as `cgroup_path` gives them. Nothing is read of one outside this process's cgroup namespace (`/../x`)
    """
    from fourtuple.core.snapshot.records import Cgroup

    version = 2 if os.path.exists(cgroups / "cgroup.controllers") else 1
    found: dict[str, Cgroup] = {}
    for path in filter(None, paths):
        above: Cgroup | None = None
        for each in (*reversed(PurePosixPath(path).parents), PurePosixPath(path)):
            name = str(each)
            if name not in found:
                is_outside = ".." in each.parts
                found[name] = Cgroup(name) if is_outside else _below(above, _read_cgroup(name, cgroups, version))
            above = found[name]
    return found


def _below(above: "Cgroup | None", cgroup: "Cgroup") -> "Cgroup":
    """The cgroup with the limits of the one above it, too."""
    if above is None:
        return cgroup
    memory = [each.memory_most_bytes for each in (above, cgroup) if each.memory_most_bytes is not None]
    pids = [each.pids_most for each in (above, cgroup) if each.pids_most is not None]
    return replace(cgroup, memory_most_bytes=min(memory, default=None), pids_most=min(pids, default=None))


def _read_cgroup(path: str, cgroups: Path, version: int) -> "Cgroup":
    from fourtuple.core.snapshot.records import Cgroup

    memory, tasks = (_folder(path, cgroups / (name if version == 1 else "")) for name in ("memory", "pids"))
    statistics = numbers_of(text_of(memory / "memory.stat"))
    if version == 2:
        used, most, events, total = "memory.current", "memory.max", "memory.events", ""
        sockets = statistics.get("sock")
    else:
        used, most, events, total = "memory.usage_in_bytes", "memory.limit_in_bytes", "memory.oom_control", "total_"
        sockets = _number(memory / "memory.kmem.tcp.usage_in_bytes")
    limit = _number(memory / most)
    files = [statistics.get(f"{total}{kind}_file") for kind in ("active", "inactive")]
    return Cgroup(
        path,
        memory_bytes=_number(memory / used),
        memory_most_bytes=None if limit is None or limit >= UNLIMITED else limit,
        files_bytes=None if None in files else sum(part or 0 for part in files),
        sockets_bytes=sockets,
        oom_kills=numbers_of(text_of(memory / events)).get("oom_kill"),
        pids=_number(tasks / "pids.current"),
        pids_most=_number(tasks / "pids.max"),
        pids_refused=numbers_of(text_of(tasks / "pids.events")).get("max"),
    )


def _folder(path: str, top: Path) -> Path:
    """The folder of the cgroup. In version 1, a path of another controller may go further down than this one does."""
    folder = top / path.lstrip("/")
    while folder != top and not folder.is_dir():
        folder = folder.parent
    return folder


def _number(file: Path) -> int | None:
    return number_of(whole(file).strip())


def numbers_of(text: str) -> dict[str, int]:
    """Lines of a name and a number, as in memory.stat."""
    lines = (line.split(" ") for line in complete_lines(text) if line.count(" ") == 1)
    return {name: number for name, word in lines if (number := number_of(word)) is not None}
