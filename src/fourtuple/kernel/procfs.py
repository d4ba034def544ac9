"""/proc as records: `read_x(proc)` touches the files, `parse_x(text)` does not. The root is a value, for tests.

Documentation/networking/ip-sysctl.rst and Documentation/filesystems/proc.rst (v6.18) describe the files.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from fourtuple.core.errors import CannotError
from fourtuple.core.facts import HostFacts
from fourtuple.core.ranges import Ranges
from fourtuple.kernel import process

PROC = Path("/proc")


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


def read_listen_overflows(proc: Path = PROC) -> int | None:
    """TcpExt ListenOverflows of this network namespace; None where it cannot be read."""
    try:
        return parse_netstat((proc / "thread-self/net/netstat").read_text()).get("ListenOverflows")
    except (OSError, ValueError):
        return None


def read_host_facts(proc: Path = PROC) -> HostFacts:
    """Raises CannotError where /proc is not there or does not tell the port range."""
    sysctl = proc / "sys/net"
    try:
        port_range = parse_port_range((sysctl / "ipv4/ip_local_port_range").read_text())
        reserved = parse_port_list(_text(sysctl / "ipv4/ip_local_reserved_ports"))
    except (OSError, ValueError) as error:
        raise CannotError("the range of source ports", f"{sysctl / 'ipv4/ip_local_port_range'}: {error}") from None
    memory = parse_meminfo(_text(proc / "meminfo"))
    files = process.read_files()
    return HostFacts(
        kernel=os.uname().release,
        cpus=len(os.sched_getaffinity(0)),
        memory_bytes=memory.get("MemTotal"),
        memory_free_bytes=memory["MemFree"] + memory.get("Cached", 0) if "MemFree" in memory else None,
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


def write_sysctl(name: str, value: str, proc: Path = PROC) -> None:
    """`net.ipv4.ip_local_port_range`, `40000 40099`. Raises OSError: not permitted, read-only, or refused."""
    (proc / "sys" / name.replace(".", "/")).write_text(value)
