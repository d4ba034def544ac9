"""What the cgroups of a process leave to it: memory and tasks, by the tightest of its limits.

Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst (v6.18)
"""

import math
from collections.abc import Iterator
from pathlib import Path

from fourtuple.core.limits.facts import Memory
from fourtuple.kernel.proc.files import PROC, whole
from fourtuple.kernel.proc.meminfo import read_host_memory

CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 2**60  # a limit beyond that is how version 1 says that there is none


def read_memory(proc: Path = PROC, cgroups: Path = CGROUPS) -> Memory:
    """What is free on the host, or in the tightest of the cgroups that this process is in."""
    memories = [read_host_memory(proc), *read_cgroup_memories(proc / "self", cgroups)]
    return min(memories, key=_tightness)


def _tightness(memory: Memory) -> float:
    return math.inf if memory.free_bytes is None else memory.free_bytes


def read_cgroup_memories(process_folder: Path, cgroups: Path = CGROUPS) -> list[Memory]:
    """What the limits of its cgroups leave to a process: the tightest first, none where there is no limit.

    One that is there and cannot be read leaves nobody knows what, and comes first of all.
    """
    found = []
    for folder, parent, version in _cgroups(process_folder, cgroups, "memory"):
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if version == 1 else ("memory.max", "memory.current")
        limit, used = (whole(folder / name).strip() for name in names)
        if limit == "max" or (limit.isdecimal() and int(limit) >= UNLIMITED) or not (folder / names[0]).exists():
            continue
        where, statistics = f"in the cgroup {parent}", folder / "memory.stat"
        if not (limit.isdecimal() and used.isdecimal()) or (statistics.exists() and not whole(statistics)):
            found.append(Memory(None, where))
            continue
        lines = dict(line.split(" ") for line in whole(statistics).splitlines() if line.count(" ") == 1)
        prefix = "total_" if version == 1 else ""
        files = sum(int(lines.get(f"{prefix}{kind}_file", 0)) for kind in ("active", "inactive"))
        found.append(Memory(max(0, int(limit) - int(used) + files), where))
    return sorted(found, key=lambda memory: -1 if memory.free_bytes is None else memory.free_bytes)


def read_pids_left(process_folder: Path, cgroups: Path = CGROUPS) -> int | None:
    """What pids.max of its cgroups leaves to a process; None: there is no limit, or one that cannot be read."""
    found = []
    for folder, _, _ in _cgroups(process_folder, cgroups, "pids"):
        limit, used = (whole(folder / name).strip() for name in ("pids.max", "pids.current"))
        if limit == "max" or not (folder / "pids.max").exists():
            continue
        if not (limit.isdecimal() and used.isdecimal()):
            return None
        found.append(max(0, int(limit) - int(used)))
    return min(found, default=None)


def _cgroups(process_folder: Path, cgroups: Path, controller: str) -> Iterator[tuple[Path, Path, int]]:
    """(folder, name, version) of each cgroup that may have this controller, from the process's own up to the root."""
    for line in whole(process_folder / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, is_there, path = rest.partition(":")  # 4:memory:/a in version 1, 0::/a in version 2
        if is_there and (not controllers or controller in controllers.split(",")):
            for parent in (Path(path), *Path(path).parents):
                version = 1 if controllers else 2
                yield cgroups / (controller if controllers else "") / str(parent).lstrip("/"), parent, version
