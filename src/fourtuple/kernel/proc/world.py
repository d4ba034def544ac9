"""Everything the limit model wants to know of a process's world, from /proc and its cgroups. The roots are values.

What is not there, not allowed or cut short is left out and named, with the reason: nothing is guessed. The files of
/proc end with a line end, so a text without one is not whole. proc(5), Documentation/filesystems/proc.rst (v6.18).
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from fourtuple.core.counters import in_tables
from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.limits.facts import Motion, PortFacts, ProcessFacts, World
from fourtuple.kernel.proc import host
from fourtuple.kernel.proc.files import text_of, whole
from fourtuple.kernel.proc.host import CGROUPS
from fourtuple.kernel.proc.sysctl import PROC
from fourtuple.kernel.process import PAGE_BYTES

WHOLE_HOST = "0 0 4294967295"  # /proc/PID/uid_map of the initial user namespace
OF_THE_HOST = frozenset(
    {
        "net.ipv4.tcp_mem",
        "net.ipv4.tcp_max_orphans",
        "net.ipv4.neigh.default.gc_thresh3",
        "net.core.netdev_max_backlog",
    }
)
NOTHING: Mapping[str, str] = MappingProxyType({})


def read_world(
    names: Iterable[str],
    pid: int | None = None,
    *,
    network: bool = True,
    outside: Mapping[str, str] = NOTHING,
    proc: Path = PROC,
    cgroups: Path = CGROUPS,
) -> World:
    """names: the sysctls to read

    pid:     whose world; None: this process's, and of what it would start
    network: this thread is in its network namespace; else nothing of that is read
    outside: sysctls read before that was entered, for those that only the host has

    Raises UsageError where there is no such process, CannotError where there is no /proc.
    """
    why_not: dict[str, str] = {}
    folder = proc / ("self" if pid is None else str(pid))
    facts = read_process(folder, why_not)
    ports: PortFacts | None = None
    if network:
        try:
            ports = host.read_port_facts(proc)
        except CannotError as error:
            why_not[error.wanted] = error.stopped_by
    else:
        why_not["its network"] = "its network namespace could not be entered, which takes root"
    net = proc / "thread-self/net"
    sysctls = dict(outside) | dict(_sysctls(names if network else (), proc, why_not, outside))
    memories = host.read_cgroup_memories(folder, cgroups)
    if memories and memories[0].free_bytes is None:
        why_not["memory.max"] = f"the limit {memories[0].where} cannot be read"
    return World(
        kernel=os.uname().release,
        netns=_link(proc / "thread-self/ns/net") if network else _link(folder / "ns/net"),
        process=facts,
        ports=ports,
        cpus=host.cpus(),
        page_bytes=PAGE_BYTES,
        memory_bytes=host.parse_meminfo(whole(proc / "meminfo")).get("MemTotal"),
        memory=host.read_host_memory(proc),
        cgroup=memories[0] if memories and memories[0].free_bytes is not None else None,
        pids_left=host.read_pids_left(folder, cgroups),
        files_in_use=_first(whole(proc / "sys/fs/file-nr")),
        threads=_threads(whole(proc / "loadavg")),
        neighbours=max(0, len(whole(net / "arp").splitlines()) - 1) if network and whole(net / "arp") else None,
        sysctls=sysctls,
        sockstat=parse_sockstat(whole(net / "sockstat")) if network else {},
        counters={**host.read_counters(proc), **dict(_drops(proc))} if network else {},
        tracked=True if sysctls.get("net.netfilter.nf_conntrack_count", "0") != "0" else None,
        why_not=why_not,
    )


def read_process(folder: Path, why_not: dict[str, str]) -> ProcessFacts:
    """Raises UsageError where there is none."""
    status = parse_status(whole(folder / "status"))
    if not status:
        raise UsageError(f"process {folder.name}", "there is none of that number, or it is hidden")
    limits = parse_limits(whole(folder / "limits"))
    soft, hard = limits.get("Max open files", (None, None))
    if soft is None:
        why_not["RLIMIT_NOFILE"] = f"{folder / 'limits'} does not tell"
    descriptors = _descriptors(folder, why_not)
    links = None if descriptors is None else [_link(folder / "fd" / str(number)) for number in descriptors]
    uid = _first(status.get("Uid", ""))
    processes_soft, _ = limits.get("Max processes", (None, None))
    return ProcessFacts(
        pid=int(status.get("Pid", "0")),
        name=status.get("Name", ""),
        uid=uid,
        files_soft=soft,
        files_hard=hard,
        files_open=None if descriptors is None or soft is None else _open_below(soft, descriptors, folder),
        files_most=_first(status.get("FDSize", "")),
        processes_soft=processes_soft,
        uid_threads=_threads_of(uid, folder.parent) if processes_soft is not None and uid else None,
        capabilities=int(status.get("CapEff", "0"), 16),
        of_host=_is_of_host(folder / "uid_map"),
        sockets=None if links is None else frozenset(map(_inode, filter(_is_socket, links))),
        rings=None if links is None else links.count("anon_inode:[io_uring]"),
        epolls=None if links is None else links.count("anon_inode:[eventpoll]"),
    )


def same_network(pid: int, proc: Path = PROC) -> bool:
    """Is the process in this thread's network namespace?

    /proc/PID/ns/net is closed to other users, /proc/PID/net is not: its entries have inodes of their own in each
    namespace (fs/proc/proc_net.c).
    """
    try:
        return os.stat(proc / str(pid) / "net/tcp").st_ino == os.stat(proc / "thread-self/net/tcp").st_ino
    except OSError:
        return False


def host_sysctls(names: Iterable[str], proc: Path = PROC) -> dict[str, str]:
    """Those of the sysctls that are there in this thread's network namespace, to be taken along into another."""
    return dict(_sysctls(names, proc, {}, NOTHING))


def read_sysctl(name: str, proc: Path = PROC) -> str:
    """Empty where it is not there."""
    return text_of(proc / "sys" / name.replace(".", "/")).strip()


def parse_status(text: str) -> dict[str, str]:
    """/proc/PID/status → values by name."""
    return {name: value.strip() for name, colon, value in (line.partition(":") for line in text.splitlines()) if colon}


def parse_limits(text: str) -> dict[str, tuple[int | None, int | None]]:
    """/proc/PID/limits → (soft, hard) by name; None: unlimited. Names have spaces; two or more end them."""
    found = {}
    for line in text.splitlines()[1:]:
        name, _, rest = line.partition("  ")
        values = rest.split()[:2]
        if len(values) == 2 and all(value == "unlimited" or value.isdecimal() for value in values):
            soft, hard = (None if value == "unlimited" else int(value) for value in values)
            found[name] = (soft, hard)
    return found


def parse_sockstat(text: str) -> dict[str, int]:
    """/proc/net/sockstat, `TCP: inuse 1 orphan 0 …` → {"TCP.inuse": 1, …}"""
    found = {}
    for line in text.splitlines():
        section, _, rest = line.partition(":")
        words = rest.split()
        for name, value in zip(words[::2], words[1::2], strict=False):
            if value.isdecimal():
                found[f"{section}.{name}"] = int(value)
    return found


def _sysctls(
    names: Iterable[str], proc: Path, why_not: dict[str, str], outside: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    for name in names:
        file = proc / "sys" / name.replace(".", "/")
        try:
            text = file.read_text()
        except FileNotFoundError:  # older kernels lack some, and what a module brings
            if name in OF_THE_HOST and name not in outside:
                why_not[name] = "only the host's own network namespace has it"
        except (OSError, UnicodeDecodeError) as error:
            why_not[name] = f"{file}: {getattr(error, 'strerror', None) or error}"
        else:
            if text.endswith("\n"):
                yield name, text.strip()
            else:
                why_not[name] = f"{file} is cut short: {text!r}"


def _open_below(soft: int, descriptors: Iterable[int], folder: Path) -> int:
    """Less the one that listed them, where they are our own."""
    return sum(number < soft for number in descriptors) - (folder.name in ("self", str(os.getpid())))


def _descriptors(folder: Path, why_not: dict[str, str]) -> list[int] | None:
    try:
        return [int(name) for name in os.listdir(folder / "fd")]
    except OSError as error:
        why_not["open files"] = f"{folder / 'fd'}: {error.strerror}; root may read it"
        return None


def _is_socket(link: str) -> bool:
    return link.startswith("socket:[")


def _inode(link: str) -> int:
    return int(link[8:-1])


def _link(file: Path) -> str:
    try:
        return os.readlink(file)
    except OSError:
        return ""


def parse_stat_table(text: str) -> dict[str, int]:
    """/proc/net/stat/*: a line of names, then one for each CPU in hexadecimal → sums by name."""
    names, *lines = text.splitlines() or [""]
    rows = [line.split() for line in lines]
    return {
        name: sum(int(row[column], 16) for row in rows)
        for column, name in enumerate(names.split())
        if all(len(row) > column and _is_hexadecimal(row[column]) for row in rows)
    }


def _is_hexadecimal(text: str) -> bool:
    return bool(text) and set(text) <= set("0123456789abcdef")


def _drops(proc: Path) -> Iterator[tuple[str, int]]:
    """The counters that stand in files of their own, as TABLE.NAME."""
    net = proc / "thread-self/net"
    for table, names in in_tables().items():
        file = {"vmstat": proc / "vmstat", "softnet_stat": net / "softnet_stat"}.get(table, net / "stat" / table)
        parse = {"vmstat": parse_vmstat, "softnet_stat": parse_softnet_stat}.get(table, parse_stat_table)
        found = parse(whole(file))
        yield from ((f"{table}.{name}", found[name]) for name in names if name in found)


def parse_softnet_stat(text: str) -> dict[str, int]:
    """A line for each CPU in hexadecimal; the second column counts what was dropped (net/core/net-host.c)."""
    columns = [line.split()[1:2] for line in text.splitlines()]
    if not columns or not all(column and _is_hexadecimal(column[0]) for column in columns):
        return {}
    return {"dropped": sum(int(column[0], 16) for column in columns)}


def parse_vmstat(text: str) -> dict[str, int]:
    """Values by name."""
    pairs = (line.partition(" ") for line in text.splitlines())
    return {name: int(value) for name, _, value in pairs if value.isdecimal()}


def _is_of_host(uid_map: Path) -> bool | None:
    """Without CONFIG_USER_NS there is no such file, and no other user namespace."""
    if not uid_map.exists():
        return True
    words = whole(uid_map).split()
    return " ".join(words) == WHOLE_HOST if words else None


def _first(text: str) -> int | None:
    words = text.split()
    return int(words[0]) if words and words[0].isdecimal() else None


def _threads(loadavg: str) -> int | None:
    """`0.00 0.01 0.05 1/234 5678`: 234 threads"""
    words = loadavg.split()
    _, _, total = words[3].partition("/") if len(words) > 3 else ("", "", "")
    return int(total) if total.isdecimal() else None


def _threads_of(uid: int, proc: Path) -> int | None:
    """What counts against RLIMIT_NPROC: threads of all processes with this real user id."""
    total = 0
    for name in os.listdir(proc):
        if name.isdecimal():
            file = proc / name / "status"
            status = parse_status(whole(file))
            if not status and file.exists():
                return None
            if _first(status.get("Uid", "")) == uid:
                total += _first(status.get("Threads", "")) or 0
    return total or None


def read_motion(proc: Path = PROC) -> Motion:
    """What tells whether sockets came or went between two looks; a kernel without IPv6 has no sockstat6."""
    net = proc / "thread-self/net"
    counters = host.read_counters(proc)
    there = parse_sockstat(whole(net / "sockstat")) | parse_sockstat(whole(net / "sockstat6"))
    if not {"ActiveOpens", "PassiveOpens"} <= counters.keys() or not {"TCP.inuse", "TCP.tw"} <= there.keys():
        return Motion(None, 0)
    return Motion(
        opened=counters["ActiveOpens"] + counters["PassiveOpens"],
        there=there["TCP.inuse"] + there["TCP.tw"] + there.get("TCP6.inuse", 0),
    )
