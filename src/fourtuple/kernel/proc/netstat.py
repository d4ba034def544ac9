"""What the kernel counts: network counters, sockets and silent drops, of a network namespace and of the host.

Documentation/networking/snmp_counter.rst, proc_net(5), net/core/net-procfs.c (v6.18)
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from fourtuple.core.counters import in_tables
from fourtuple.core.limits.facts import Motion
from fourtuple.core.numbers import complete_lines, number_of
from fourtuple.kernel.proc.files import PROC, whole

PROTOCOL_SOCKETS = 2  # the column of /proc/net/protocols with the number of sockets


def parse_netstat(text: str) -> Mapping[str, int]:
    """/proc/net/netstat → its counters (TcpExt and others) by name. Lines come in pairs: names, then values.

    A pair of unequal length is omitted, as are values that are no counts: some of /proc/net/snmp are negative.
    """
    lines = [line.split() for line in complete_lines(text)]
    found: dict[str, int | None] = {}
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        if names[:1] == values[:1] and len(names) == len(values):
            found.update(zip(names[1:], map(number_of, values[1:]), strict=True))
    return {name: value for name, value in found.items() if value is not None}


def read_netstat(proc: Path = PROC) -> Mapping[str, int]:
    """The TcpExt and other counters of this network namespace; empty if they cannot be read."""
    return parse_netstat(whole(proc / "thread-self/net/netstat"))


def read_counters(proc: Path = PROC) -> Mapping[str, int]:
    """The counters of read_netstat, and also the Tcp and other counters of /proc/net/snmp."""
    return {**parse_netstat(whole(proc / "thread-self/net/snmp")), **read_netstat(proc)}


def parse_sockstat(text: str) -> dict[str, int]:
    """/proc/net/sockstat → counts by name: `TCP: inuse 1 orphan 0 …` becomes {"TCP.inuse": 1, …}."""
    found = {}
    for line in complete_lines(text):
        section, _, rest = line.partition(":")
        words = rest.split()
        for name, value in zip(words[::2], words[1::2], strict=False):
            if (number := number_of(value)) is not None:
                found[f"{section}.{name}"] = number
    return found


def read_sockstat(proc: Path = PROC) -> dict[str, int]:
    """Counts of sockets in this thread's network namespace, without IPv6, and the TCP memory of the whole host."""
    return parse_sockstat(whole(proc / "thread-self/net/sockstat"))


def read_open_sockets(proc: Path = PROC) -> int | None:
    """The number of TCP sockets in this thread's network namespace, excluding TIME_WAIT; None: not readable."""
    return read_sockets(proc)[0]


def read_sockets(proc: Path = PROC) -> tuple[int | None, int | None]:
    """How many TCP sockets this thread's network namespace has, and how many more in TIME_WAIT; None: not readable."""
    counts = _both_sockstats(proc)
    return _open_sockets(counts), counts.get("TCP.tw")


def read_unix_sockets(proc: Path = PROC) -> int | None:
    """How many Unix stream sockets this thread's network namespace has; None: not readable.

    /proc/net/protocols, net/core/sock.c (v6.18); before Linux 5.15, UNIX has those of every type.
    """
    lines = [line.split() for line in complete_lines(whole(proc / "thread-self/net/protocols"))]
    counts = {words[0]: number_of(words[PROTOCOL_SOCKETS]) for words in lines if len(words) > PROTOCOL_SOCKETS}
    return counts.get("UNIX-STREAM", counts.get("UNIX"))


def read_unlisted(proc: Path = PROC) -> int | None:
    """At most so many TCP sockets of this network namespace are neither connected nor listening; None: unknown.

    `alloc` counts the TCP sockets of the whole host, `inuse` those of this namespace that are connected or listen; so
    sockets of other namespaces are part of the result (net/ipv4/proc.c, sockstat_seq_show(), v6.18).
    """
    counts = _both_sockstats(proc)
    known, allocated = _open_sockets(counts), counts.get("TCP.alloc")
    return None if known is None or allocated is None else max(0, allocated - known)


def _both_sockstats(proc: Path) -> dict[str, int]:
    """The counts of both IP versions; a kernel without IPv6 has no sockstat6."""
    return read_sockstat(proc) | parse_sockstat(whole(proc / "thread-self/net/sockstat6"))


def _open_sockets(counts: Mapping[str, int]) -> int | None:
    return None if "TCP.inuse" not in counts else counts["TCP.inuse"] + counts.get("TCP6.inuse", 0)


def read_motion(proc: Path = PROC) -> Motion:
    """Counts that show whether sockets were opened or closed between two reads.

    Motion(None, 0) if the counts cannot be read.
    """
    counters, counts = read_counters(proc), _both_sockstats(proc)
    there = _open_sockets(counts)
    if there is None or "TCP.tw" not in counts or not {"ActiveOpens", "PassiveOpens"} <= counters.keys():
        return Motion(None, 0)
    return Motion(opened=counters["ActiveOpens"] + counters["PassiveOpens"], there=there + counts["TCP.tw"])


def read_there(proc: Path = PROC) -> int | None:
    """How many TCP sockets this network namespace has, connected, listening or in TIME_WAIT; None: not readable.

    Sockets that are only bound do not count (/proc/net/sockstat).
    """
    counts = _both_sockstats(proc)
    there, waiting = _open_sockets(counts), counts.get("TCP.tw")
    return None if there is None or waiting is None else there + waiting


def read_drops(proc: Path = PROC) -> Iterator[tuple[str, int]]:
    """The counters that have a file of their own, as (TABLE.NAME, value)."""
    net = proc / "thread-self/net"
    for table, names in in_tables().items():
        file = {"vmstat": proc / "vmstat", "softnet_stat": net / "softnet_stat"}.get(table, net / "stat" / table)
        parse = {"vmstat": parse_vmstat, "softnet_stat": parse_softnet_stat}.get(table, parse_stat_table)
        counts = parse(whole(file))
        yield from ((f"{table}.{name}", counts[name]) for name in names if name in counts)


def parse_stat_table(text: str) -> dict[str, int]:
    """/proc/net/stat/* → sums over all CPUs by name. The first line has the names, the others one CPU each, in hex."""
    names, *lines = complete_lines(text) or [""]
    rows = [line.split() for line in lines]
    return _sums({name: [row[column : column + 1] for row in rows] for column, name in enumerate(names.split())})


def parse_softnet_stat(text: str) -> dict[str, int]:
    """/proc/net/softnet_stat → dropped packets over all CPUs: one line per CPU, in hex, second column."""
    return _sums({"dropped": [line.split()[1:2] for line in complete_lines(text)]})


def parse_vmstat(text: str) -> dict[str, int]:
    """/proc/vmstat → values by name."""
    pairs = (line.partition(" ") for line in complete_lines(text))
    values = {name: number_of(value) for name, _, value in pairs}
    return {name: value for name, value in values.items() if value is not None}


def _sums(cells: Mapping[str, list[list[str]]]) -> dict[str, int]:
    """The sums of hexadecimal columns by name; a column with a missing or unreadable cell is omitted.

    cells: the cells of each column, one for each CPU: one word, or none
    """
    columns = {name: [number_of(word, 16) for cell in each for word in cell or [""]] for name, each in cells.items()}
    known = {name: [value for value in column if value is not None] for name, column in columns.items()}
    return {name: sum(column) for name, column in known.items() if column and len(column) == len(columns[name])}
