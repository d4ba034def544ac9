"""What the kernel counts: network counters, sockets and silent drops, of a network namespace and of the host.

Documentation/networking/snmp_counter.rst, proc_net(5), net/core/net-procfs.c (v6.18)
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from fourtuple.core.counters import in_tables
from fourtuple.core.limits.facts import Motion
from fourtuple.kernel.proc.files import PROC, whole


def parse_netstat(text: str) -> Mapping[str, int]:
    """/proc/net/netstat → its counters (TcpExt and others) by name. Lines come in pairs: names, then values."""
    lines = [line.split() for line in text.splitlines()]
    counters: dict[str, int] = {}
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        if names[:1] == values[:1]:
            counters.update(zip(names[1:], map(int, values[1:]), strict=False))
    return counters


def read_netstat(proc: Path = PROC) -> Mapping[str, int]:
    """The TcpExt and other counters of this network namespace; empty if they cannot be read."""
    try:
        return parse_netstat(whole(proc / "thread-self/net/netstat"))
    except ValueError:
        return {}


def read_counters(proc: Path = PROC) -> Mapping[str, int]:
    """The counters of read_netstat, and also the Tcp and other counters of /proc/net/snmp."""
    try:
        return {**parse_netstat(whole(proc / "thread-self/net/snmp")), **read_netstat(proc)}
    except ValueError:
        return read_netstat(proc)


def parse_sockstat(text: str) -> dict[str, int]:
    """/proc/net/sockstat → counts by name: `TCP: inuse 1 orphan 0 …` becomes {"TCP.inuse": 1, …}."""
    found = {}
    for line in text.splitlines():
        section, _, rest = line.partition(":")
        words = rest.split()
        for name, value in zip(words[::2], words[1::2], strict=False):
            if value.isdecimal():
                found[f"{section}.{name}"] = int(value)
    return found


def read_sockstat(proc: Path = PROC) -> dict[str, int]:
    """Counts of sockets in this thread's network namespace, without IPv6, and the TCP memory of the whole host."""
    return parse_sockstat(whole(proc / "thread-self/net/sockstat"))


def read_open_sockets(proc: Path = PROC) -> int | None:
    """The number of TCP sockets in this thread's network namespace, excluding TIME_WAIT; None: not readable."""
    counts = read_sockstat(proc) | parse_sockstat(whole(proc / "thread-self/net/sockstat6"))
    return None if "TCP.inuse" not in counts else counts["TCP.inuse"] + counts.get("TCP6.inuse", 0)


def read_motion(proc: Path = PROC) -> Motion:
    """Counts that show whether sockets were opened or closed between two reads.

    A kernel without IPv6 has no sockstat6. Motion(None, 0) if the counts cannot be read.
    """
    net = proc / "thread-self/net"
    counters = read_counters(proc)
    there = read_sockstat(proc) | parse_sockstat(whole(net / "sockstat6"))
    if not {"ActiveOpens", "PassiveOpens"} <= counters.keys() or not {"TCP.inuse", "TCP.tw"} <= there.keys():
        return Motion(None, 0)
    return Motion(
        opened=counters["ActiveOpens"] + counters["PassiveOpens"],
        there=there["TCP.inuse"] + there["TCP.tw"] + there.get("TCP6.inuse", 0),
    )


def read_drops(proc: Path) -> Iterator[tuple[str, int]]:
    """The counters that have a file of their own, as (TABLE.NAME, value)."""
    net = proc / "thread-self/net"
    for table, names in in_tables().items():
        file = {"vmstat": proc / "vmstat", "softnet_stat": net / "softnet_stat"}.get(table, net / "stat" / table)
        parse = {"vmstat": parse_vmstat, "softnet_stat": parse_softnet_stat}.get(table, parse_stat_table)
        counts = parse(whole(file))
        yield from ((f"{table}.{name}", counts[name]) for name in names if name in counts)


def parse_stat_table(text: str) -> dict[str, int]:
    """/proc/net/stat/* → sums over all CPUs by name. The first line has the names, the others one CPU each, in hex."""
    names, *lines = text.splitlines() or [""]
    rows = [line.split() for line in lines]
    return {
        name: sum(int(row[column], 16) for row in rows)
        for column, name in enumerate(names.split())
        if all(len(row) > column and _is_hexadecimal(row[column]) for row in rows)
    }


def parse_softnet_stat(text: str) -> dict[str, int]:
    """/proc/net/softnet_stat → dropped packets over all CPUs: one line per CPU, in hex, second column."""
    columns = [line.split()[1:2] for line in text.splitlines()]
    if not columns or not all(column and _is_hexadecimal(column[0]) for column in columns):
        return {}
    return {"dropped": sum(int(column[0], 16) for column in columns)}


def parse_vmstat(text: str) -> dict[str, int]:
    """/proc/vmstat → values by name."""
    pairs = (line.partition(" ") for line in text.splitlines())
    return {name: int(value) for name, _, value in pairs if value.isdecimal()}


def _is_hexadecimal(text: str) -> bool:
    return bool(text) and set(text) <= set("0123456789abcdef")
