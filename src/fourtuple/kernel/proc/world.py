"""The world of a process: everything that the limit model needs to know, collected from /proc and its cgroups.

The paths of /proc, of the cgroups and of the network cards are arguments. A value that is missing, not permitted or
truncated is omitted and named with the reason; nothing is guessed. Files of /proc end with a newline, so a text without
one is truncated.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fourtuple.core.errors import CannotError
from fourtuple.core.limits.behaviours import Behaviour
from fourtuple.core.limits.facts import PortFacts, World
from fourtuple.core.numbers import number_of
from fourtuple.kernel.proc.cgroups import CGROUPS, read_cgroup_memories, read_pids_left
from fourtuple.kernel.proc.files import PROC, first_number, link_of, whole
from fourtuple.kernel.proc.interfaces import CLASS_NET, read_links
from fourtuple.kernel.proc.meminfo import read_host_memory, read_total_bytes
from fourtuple.kernel.proc.netstat import read_counters, read_drops, read_sockstat, read_unlisted
from fourtuple.kernel.proc.pid import read_process, usable_cpus
from fourtuple.kernel.proc.ports import read_port_facts
from fourtuple.kernel.proc.sysctl import NOTHING, read_sysctls
from fourtuple.kernel.process import PAGE_BYTES


def read_world(
    names: Iterable[str],
    pid: int | None = None,
    *,
    known: Sequence[Behaviour],
    network: bool = True,
    details: bool = True,
    outside: Mapping[str, str] = NOTHING,
    proc: Path = PROC,
    cgroups: Path = CGROUPS,
    cards: Path = CLASS_NET,
) -> World:
    """The world of a process, as it is now.

    names:   the sysctls to read
    known:   the behaviour of this kernel (kernel/probes.py)
    pid:     the process; None: this process, and processes that it would start
    network: this thread is in the network namespace of the process; otherwise nothing is read from that namespace
    details: also read facts that take a read per process of the host or per descriptor (read_process)
    outside: sysctls read before entering that namespace, for those that only the host has

    Raises UsageError if there is no such process, CannotError without /proc.
    """
    why_not: dict[str, str] = {}
    folder = proc / ("self" if pid is None else str(pid))
    process = read_process(folder, why_not, details=details)
    if not network:
        why_not["its network"] = "its network namespace could not be entered; this needs root"
    memories = read_cgroup_memories(folder, cgroups)
    if memories and memories[0].free_bytes is None:
        why_not["memory.max"] = f"the limit {memories[0].where} cannot be read"
    world = World(
        kernel=os.uname().release,
        netns="" if network else link_of(folder / "ns/net"),
        process=process,
        ports=None,
        cpus=usable_cpus(),
        page_bytes=PAGE_BYTES,
        memory_bytes=read_total_bytes(proc),
        memory=read_host_memory(proc),
        cgroup=memories[0] if memories and memories[0].free_bytes is not None else None,
        pids_left=read_pids_left(folder, cgroups),
        files_in_use=first_number(whole(proc / "sys/fs/file-nr")),
        threads=read_threads(proc),
        neighbours=None,
        sysctls=outside,
        sockstat={},
        counters={},
        tracked=_is_tracked(outside),
        why_not=why_not,
        unlisted=None,
        behaviours=tuple(known),
    )
    if not network:
        return world
    return replace(read_inside(world, names, outside=outside, proc=proc), links=read_links(cards))


def read_inside(
    world: World, names: Iterable[str], *, outside: Mapping[str, str] = NOTHING, proc: Path = PROC
) -> World:
    """The world with what is different in this thread's network namespace: its settings, sockets and counters.

    world: that of a process, with or without a network; names, outside: as for read_world
    """
    why_not = dict(world.why_not)
    ports: PortFacts | None = None
    try:
        ports = read_port_facts(world.behaviours, proc)
    except CannotError as error:
        why_not[error.wanted] = error.stopped_by
    sysctls = dict(outside) | dict(read_sysctls(names, proc, why_not, outside))
    return replace(
        world,
        netns=link_of(proc / "thread-self/ns/net"),
        ports=ports,
        neighbours=_entries(whole(proc / "thread-self/net/arp")),
        sysctls=sysctls,
        sockstat=read_sockstat(proc),
        counters={**read_counters(proc), **dict(read_drops(proc))},
        tracked=_is_tracked(sysctls),
        why_not=why_not,
        unlisted=read_unlisted(proc),
    )


def _is_tracked(sysctls: Mapping[str, str]) -> bool | None:
    return True if sysctls.get("net.netfilter.nf_conntrack_count", "0") != "0" else None


def read_threads(proc: Path = PROC) -> int | None:
    """The number of threads on the host, from /proc/loadavg: 234 in `0.00 0.01 0.05 1/234 5678`."""
    words = whole(proc / "loadavg").split()
    _, _, total = words[3].partition("/") if len(words) > 3 else ("", "", "")
    return number_of(total)


def _entries(table: str) -> int | None:
    """The number of lines below the heading; None if there is no table."""
    return max(0, len(table.splitlines()) - 1) if table else None
