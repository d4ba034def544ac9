"""What control groups use of their limits: memory with the sockets' share, processes killed for lack of it, and tasks.

Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst, cgroup-v1/pids.rst (v6.18)
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

from fourtuple.core.numbers import number_of
from fourtuple.core.snapshot.records import Cgroup
from fourtuple.kernel.proc.cgroups import CGROUPS, UNLIMITED
from fourtuple.kernel.proc.files import read_at

# For each version: where the limit, the use, the events and the tasks are, and how memory.stat calls its parts.
MEMORY = {1: ("memory.limit_in_bytes", "memory.usage_in_bytes"), 2: ("memory.max", "memory.current")}
EVENTS = {1: "memory.oom_control", 2: "memory.events"}
CACHED = {1: ("total_active_file", "total_inactive_file"), 2: ("active_file", "inactive_file")}


def read_cgroups(paths: Iterable[str], cgroups: Path = CGROUPS) -> dict[str, Cgroup]:
    """The cgroups with these paths, and all those above them, by path; empty where none are mounted.

    What cannot be read is None: the root has no limits, and version 1 does not count a part of it.
    """
    wanted: dict[str, None] = {}
    for path in dict.fromkeys(filter(None, paths)):
        for each in (*reversed(PurePosixPath(path).parents), PurePosixPath(path)):
            wanted.setdefault(str(each))
    folders = {name: _open(cgroups / name) for name in ("", "memory", "pids", "unified")}
    try:
        found: dict[str, Cgroup] = {}
        for path in wanted:  # those above come first
            above = found.get(str(PurePosixPath(path).parent)) if path != "/" else None
            found[path] = _read(path, above, folders)
        return found
    finally:
        for handle in folders.values():
            if handle is not None:
                os.close(handle)


def _open(folder: Path) -> int | None:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None


def _read(path: str, above: Cgroup | None, folders: Mapping[str, int | None]) -> Cgroup:
    """above: the cgroup that this one is in; its limit applies, too."""
    cgroup = Cgroup(path)
    for controller in ("memory", "pids"):
        version, folder = (1, folders[controller]) if folders[controller] is not None else (2, folders[""])
        if folder is None:
            continue
        here = path.strip("/") or "."
        if controller == "memory":
            cgroup = _with_memory(cgroup, version, here, folder)
        else:
            most = number_of(_text(f"{here}/pids.max", folder))
            refused = _numbers(f"{here}/pids.events", folder).get("max")
            used = number_of(_text(f"{here}/pids.current", folder))
            cgroup = replace(cgroup, pids=used, pids_most=most, pids_refused=refused)
    if above is None:
        return cgroup
    return replace(
        cgroup,
        memory_most_bytes=_least(cgroup.memory_most_bytes, above.memory_most_bytes),
        pids_most=_least(cgroup.pids_most, above.pids_most),
    )


def _with_memory(cgroup: Cgroup, version: int, here: str, folder: int) -> Cgroup:
    limit, use = MEMORY[version]
    most = number_of(_text(f"{here}/{limit}", folder))
    parts = _numbers(f"{here}/memory.stat", folder)
    files = [parts[name] for name in CACHED[version] if name in parts]
    sockets = parts.get("sock") if version == 2 else number_of(_text(f"{here}/memory.kmem.tcp.usage_in_bytes", folder))
    return replace(
        cgroup,
        memory_bytes=number_of(_text(f"{here}/{use}", folder)),
        memory_most_bytes=None if most is None or most >= UNLIMITED else most,
        files_bytes=sum(files) if files else None,
        sockets_bytes=sockets,
        oom_kills=_numbers(f"{here}/{EVENTS[version]}", folder).get("oom_kill"),
    )


def _text(path: str, folder: int) -> str:
    return read_at(path, folder).decode("latin-1").strip()


def _numbers(path: str, folder: int) -> dict[str, int]:
    """A file of lines `NAME NUMBER` → values by name."""
    pairs = (line.partition(" ") for line in _text(path, folder).splitlines())
    values = {name: number_of(value) for name, _, value in pairs}
    return {name: value for name, value in values.items() if value is not None}


def _least(own: int | None, above: int | None) -> int | None:
    known = [value for value in (own, above) if value is not None]
    return min(known, default=None)
