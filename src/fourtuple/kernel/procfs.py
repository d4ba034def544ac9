"""/proc as records: `read_x(proc)` touches the files, `parse_x(text)` does not. The root is a value, for tests.

Documentation/networking/ip-sysctl.rst and Documentation/filesystems/proc.rst (v6.18) describe the files.
"""

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from fourtuple.core.errors import CannotError
from fourtuple.core.facts import HostFacts, Memory
from fourtuple.core.ranges import Ranges
from fourtuple.kernel import process
from fourtuple.kernel.sysctl import PROC

CGROUPS = Path("/sys/fs/cgroup")
UNLIMITED = 2**60  # a limit beyond that is how version 1 says that there is none


def parse_port_range(text: str) -> range:
    """net.ipv4.ip_local_port_range, `32768\\t60999`: both bounds belong to it. Raises ValueError."""
    low, high = map(int, text.split())
    return range(low, high + 1)


def parse_port_list(text: str) -> Ranges:
    """net.ipv4.ip_local_reserved_ports, `8080,9000-9010`, often empty. Raises ValueError."""
    parts = []
    for item in text.strip().split(",") if text.strip() else []:
        low, _, high = item.partition("-")
        parts.append(range(int(low), int(high or low) + 1))
    return Ranges(parts)


def parse_meminfo(text: str) -> Mapping[str, int]:
    """/proc/meminfo → bytes by name; lines that are counts or unreadable are left out."""
    fields = (line.replace(":", " ").split() for line in text.splitlines())
    return {f[0]: int(f[1]) * 1024 for f in fields if len(f) == 3 and f[1].isdecimal() and f[2] == "kB"}


def parse_netstat(text: str) -> Mapping[str, int]:
    """/proc/net/netstat → TcpExt counters and the others by name; lines come in pairs of names and values."""
    lines = [line.split() for line in text.splitlines()]
    counters: dict[str, int] = {}
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        if names[:1] == values[:1]:
            counters.update(zip(names[1:], map(int, values[1:]), strict=False))
    return counters


def read_netstat(proc: Path = PROC) -> Mapping[str, int]:
    """The TcpExt counters and others of this network namespace; none where they cannot be read."""
    try:
        return parse_netstat((proc / "thread-self/net/netstat").read_text())
    except (OSError, ValueError):
        return {}


def grown(name: str, before: Mapping[str, int], after: Mapping[str, int]) -> int | None:
    """By how much a counter has grown; None where it cannot be read."""
    return after[name] - before[name] if name in before and name in after else None


def read_memory(proc: Path = PROC, cgroups: Path = CGROUPS) -> Memory:
    """What is free on the host, or in the tightest of the cgroups that this process is in."""
    host = parse_meminfo(_text(proc / "meminfo"))
    free_bytes = None
    if "MemFree" in host:
        free_bytes = host["MemFree"] + max(0, host.get("Cached", 0) - host.get("Shmem", 0))
    found = [Memory(free_bytes)]
    for line in _text(proc / "self/cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, is_there, path = rest.partition(":")  # 4:memory:/a in version 1, 0::/a in version 2
        if is_there and (not controllers or "memory" in controllers.split(",")):
            found += _cgroup_memory(cgroups, "memory" if controllers else "", path)
    return min(found, key=lambda memory: math.inf if memory.free_bytes is None else memory.free_bytes)


def _cgroup_memory(cgroups: Path, controller: str, path: str) -> Iterator[Memory]:
    """What each limit from this cgroup up to the root leaves.

    controller: empty in version 2, else version 1 (Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst)
    """
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controller else ("memory.max", "memory.current")
    for parent in (Path(path), *Path(path).parents):
        folder = cgroups / controller / str(parent).lstrip("/")
        limit, used = (_text(folder / name).strip() for name in names)
        if limit.isdecimal() and used.isdecimal() and int(limit) < UNLIMITED:
            statistics = dict(
                line.split() for line in _text(folder / "memory.stat").splitlines() if line.count(" ") == 1
            )
            files = sum(
                int(statistics.get(f"{'total_' * bool(controller)}{kind}_file", 0)) for kind in ("active", "inactive")
            )
            yield Memory(max(0, int(limit) - int(used) + files), f"in the cgroup {parent}")


def read_host_facts(proc: Path = PROC, cgroups: Path = CGROUPS) -> HostFacts:
    """Raises CannotError where /proc is not there or does not tell the port range."""
    sysctl = proc / "sys/net"
    try:
        port_range = parse_port_range((sysctl / "ipv4/ip_local_port_range").read_text())
        reserved = parse_port_list(_text(sysctl / "ipv4/ip_local_reserved_ports"))
    except (OSError, ValueError) as error:
        raise CannotError("the range of source ports", f"{sysctl / 'ipv4/ip_local_port_range'}: {error}") from None
    files = process.read_files()
    return HostFacts(
        kernel=os.uname().release,
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=parse_meminfo(_text(proc / "meminfo")).get("MemTotal"),
        memory=read_memory(proc, cgroups),
        port_range=port_range,
        reserved_ports=reserved,
        files_soft=files.soft,
        files_hard=files.hard,
        files_open=files.open,
    )


def _text(file: Path) -> str:
    """Empty where the file is not there: an old kernel, or a container that hides it."""
    try:
        return file.read_text()
    except OSError:
        return ""
