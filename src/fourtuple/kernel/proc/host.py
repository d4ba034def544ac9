"""/proc as records: `read_x(proc)` touches the files, `parse_x(text)` does not. The root is a value, for tests.

Documentation/networking/ip-sysctl.rst and Documentation/filesystems/proc.rst (v6.18) describe the files.
"""

import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from fourtuple.core.errors import CannotError
from fourtuple.core.limits.facts import (
    TW_REUSE,
    TW_REUSE_DELAY_MS,
    UNPRIVILEGED_START,
    HostFacts,
    Memory,
    PortFacts,
    parse_release,
)
from fourtuple.core.space.ranges import Ranges
from fourtuple.kernel import process
from fourtuple.kernel.proc.files import text_of, whole
from fourtuple.kernel.proc.sysctl import PROC
from fourtuple.kernel.sockopts import port_range_is_quick

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
        return parse_netstat(whole(proc / "thread-self/net/netstat"))
    except ValueError:
        return {}


def read_counters(proc: Path = PROC) -> Mapping[str, int]:
    """As read_netstat, with the Tcp and other counters of /proc/net/snmp."""
    try:
        return {**parse_netstat(whole(proc / "thread-self/net/snmp")), **read_netstat(proc)}
    except ValueError:
        return read_netstat(proc)


def read_memory(proc: Path = PROC, cgroups: Path = CGROUPS) -> Memory:
    """What is free on the host, or in the tightest of the cgroups that this process is in."""
    found = [read_host_memory(proc), *read_cgroup_memories(proc / "self", cgroups)]
    return min(found, key=_tightness)


def read_host_memory(proc: Path = PROC) -> Memory:
    host = parse_meminfo(whole(proc / "meminfo"))
    free_bytes = None
    if "MemFree" in host:
        free_bytes = host["MemFree"] + max(0, host.get("Cached", 0) - host.get("Shmem", 0))
    return Memory(free_bytes)


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
    """(folder, name, version) of each cgroup that may have this controller, from the process's own up to the root.

    Documentation/admin-guide/cgroup-v2.rst, cgroup-v1/memory.rst
    """
    for line in whole(process_folder / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        controllers, is_there, path = rest.partition(":")  # 4:memory:/a in version 1, 0::/a in version 2
        if is_there and (not controllers or controller in controllers.split(",")):
            for parent in (Path(path), *Path(path).parents):
                version = 1 if controllers else 2
                yield cgroups / (controller if controllers else "") / str(parent).lstrip("/"), parent, version


def cpus() -> int:
    """That this process may run on."""
    return len(os.sched_getaffinity(0))


def read_host_facts(proc: Path = PROC, cgroups: Path = CGROUPS) -> HostFacts:
    """Raises CannotError where /proc is not there or does not tell the port range."""
    files = process.read_files()
    return HostFacts(
        kernel=os.uname().release,
        cpus=cpus(),
        memory_bytes=parse_meminfo(text_of(proc / "meminfo")).get("MemTotal"),
        memory=read_memory(proc, cgroups),
        ports=read_port_facts(proc),
        files_soft=files.soft,
        files_hard=files.hard,
        files_open=files.open,
    )


def read_port_facts(proc: Path = PROC) -> PortFacts:
    """Of this thread's network namespace. Raises CannotError where the port range cannot be read, or is cut short."""
    ipv4 = proc / "sys/net/ipv4"
    try:
        port_range = parse_port_range(_setting(ipv4 / "ip_local_port_range"))
        reserved = parse_port_list(_setting(ipv4 / "ip_local_reserved_ports", ""))
        numbers = [int(_setting(ipv4 / name, str(default))) for name, default in BEFORE.items()]
    except (OSError, ValueError) as error:
        raise CannotError("the range of source ports", f"{ipv4 / 'ip_local_port_range'}: {error}") from None
    unprivileged_start, tw_reuse, tw_reuse_delay_ms, timestamps = numbers
    kernel = parse_release(os.uname().release)
    return PortFacts(
        port_range,
        reserved,
        unprivileged_start=unprivileged_start,
        tw_reuse=tw_reuse,
        tw_reuse_delay_ms=tw_reuse_delay_ms,
        timestamps=timestamps != 0,
        range_is_quick=port_range_is_quick(kernel),
        bound_are_listed=kernel >= (6, 8),
    )


# What the kernel did before it had these settings.
BEFORE = {
    "ip_unprivileged_port_start": UNPRIVILEGED_START,
    "tcp_tw_reuse": TW_REUSE,
    "tcp_tw_reuse_delay": TW_REUSE_DELAY_MS,
    "tcp_timestamps": 1,
}


def _setting(file: Path, default: str | None = None) -> str:
    """default: where it is not there. Raises OSError; ValueError where it is cut short, and names it."""
    try:
        text = file.read_text()
    except FileNotFoundError:
        if default is None:
            raise
        return default
    if not text.endswith("\n"):
        raise ValueError(f"{file.name} is cut short: {text!r}")
    return text
