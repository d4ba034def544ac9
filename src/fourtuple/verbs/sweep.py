"""`sweep`: everything that `doctor`, `snapshot` and others ask this host, read once, as far as this user may see it."""

import os
import socket
import time
from collections import Counter as Tally
from collections.abc import Mapping, Set
from pathlib import PurePosixPath

import numpy as np

from fourtuple.core.limits.table import SYSCTLS
from fourtuple.core.numbers import number_of
from fourtuple.core.snapshot.records import HostNamespace, Snapshot, UnixListener
from fourtuple.core.sockets.columns import distinct
from fourtuple.core.units import format_things
from fourtuple.kernel.netns import own_netns
from fourtuple.kernel.probes import behaviours
from fourtuple.kernel.proc.alive import oldest_first
from fourtuple.kernel.proc.meminfo import read_host_memory, read_total_bytes
from fourtuple.kernel.proc.netstat import read_drops
from fourtuple.kernel.proc.pid import usable_cpus
from fourtuple.kernel.proc.processes import LINKS_MOST, SeenProcesses, read_processes
from fourtuple.kernel.proc.root import read_ancestors
from fourtuple.kernel.proc.sysctl import OF_THE_HOST as OF_THE_HOST_ALONE
from fourtuple.kernel.proc.sysctl import host_sysctls
from fourtuple.kernel.proc.world import read_threads
from fourtuple.kernel.process import PAGE_BYTES
from fourtuple.kernel.runtimes import cgroups_of
from fourtuple.kernel.visit import Inside, known_places, visit

# What the limit model does not read, but a sweep does.
MORE_SYSCTLS = (
    "fs.inotify.max_user_instances",
    "fs.inotify.max_user_watches",
    "vm.max_map_count",
    "net.ipv6.neigh.default.gc_thresh3",
    "net.ipv6.route.max_size",
    "net.unix.max_dgram_qlen",
    "net.netfilter.nf_conntrack_buckets",
)
SWEPT = (*SYSCTLS, *MORE_SYSCTLS)
OF_THE_HOST = ("softnet_stat.dropped", "vmstat.oom_kill")


def sweep(*, arguments: bool = False, attributed: bool = False, links_most: int = LINKS_MOST) -> Snapshot:
    """Read every network namespace, process and cgroup that this user may see. Nothing is changed.

    arguments:  also read the command lines of processes
    attributed: find out of every socket whether bind() named its port; otherwise only where many ports are in use
    links_most: descriptors whose links are read, to find the owners of sockets

    300 namespaces and 5,000 processes take less than 3 s of CPU (bench/sweeping.py).
    Raises OSError if there is no /proc.
    """
    at_s, known = time.time(), tuple(behaviours())
    sysctls = host_sysctls(SWEPT)
    seen = read_processes(
        max_map_count=number_of(sysctls.get("vm.max_map_count", "")), arguments=arguments, links_most=links_most
    )
    pids_of: dict[str, list[int]] = {}
    for pid, process in seen.processes.items():
        if process.netns:
            pids_of.setdefault(process.netns, []).append(pid)
    family = frozenset(read_ancestors(os.getpid()))
    pids_of = {netns: oldest_first(pids, last=family) for netns, pids in pids_of.items()}
    insides = visit(known_places(pids_of), SWEPT, known, attributed=attributed)
    paths = dict.fromkeys(process.cgroup for process in seen.processes.values() if process.cgroup)
    above = dict.fromkeys(str(each) for path in paths for each in PurePosixPath(path).parents)
    return Snapshot(
        at_s=at_s,
        host=os.uname().nodename,
        kernel=os.uname().release,
        uid=os.geteuid(),
        netns=own_netns(),
        source="this host",
        behaviours=known,
        cpus=usable_cpus(),
        page_bytes=PAGE_BYTES,
        memory_bytes=read_total_bytes(),
        memory=read_host_memory(),
        files_in_use=number_of(sysctls.get("fs.file-nr", "").partition("\t")[0]),
        threads=read_threads(),
        sysctls=sysctls,
        counters={name: value for name, value in read_drops() if name in OF_THE_HOST},
        inotify_instances=seen.inotify_instances,
        inotify_watches=seen.inotify_watches,
        namespaces={inside.place.netns: _namespace(inside, seen, family) for inside in insides},
        processes=seen.processes,
        cgroups=cgroups_of([*paths, *above]),
        unseen=tuple(_unseen(seen, insides, sysctls)),
    )


def _namespace(inside: Inside, seen: SeenProcesses, family: Set[int]) -> HostNamespace:
    pid = inside.place.pid
    process = seen.processes.get(pid) if pid is not None else None
    alloc, in_use = (inside.sockstat.get(name) for name in ("TCP.alloc", "TCP.inuse"))
    unlisted = None
    if alloc is not None and in_use is not None:
        unlisted = max(0, alloc - in_use - inside.sockstat.get("TCP6.inuse", 0))
    inodes = np.array([each[0] for each in inside.unix], np.uint32)
    unix = tuple(
        UnixListener(path, waiting, backlog, owner if owner > 0 else None)
        for (_, path, waiting, backlog), owner in zip(inside.unix, seen.pids_of(inodes).tolist(), strict=True)
    )
    udp_ports, udp_pids = None, Tally[int]()
    if inside.udp is not None:
        bound = inside.udp[inside.udp["local_port"] > 0]
        udp_ports = tuple(distinct(bound["local_port"]).tolist())
        udp_pids.update(owner for owner in seen.pids_of(bound["inode"]).tolist() if owner > 0)
    tracked = number_of(inside.sysctls.get("net.netfilter.nf_conntrack_count", ""))
    return HostNamespace(
        netns=inside.place.netns,
        name=inside.place.name,
        pid=None if pid in family else pid,
        cgroup=process.cgroup if process else "",
        ports=inside.ports,
        sysctls=inside.sysctls,
        sockstat=inside.sockstat,
        counters=inside.counters,
        unlisted=unlisted,
        tracked=True if tracked else None,
        neighbours=inside.neighbours.get(socket.AF_INET),
        neighbours6=inside.neighbours.get(socket.AF_INET6),
        sockets=inside.sockets,
        listeners=inside.listeners,
        socket_pids=seen.pids_of(inside.sockets["inode"]),
        listener_pids=seen.pids_of(inside.listeners["inode"]),
        read_from=inside.read_from,
        unix=unix,
        udp_ports=udp_ports,
        udp_pids=udp_pids,
        addresses=inside.addresses,
        routes6=inside.routes6,
        conntrack=inside.conntrack,
        why_not=inside.why_not,
    )


def _processes(count: int) -> str:
    return format_things(count, "process")


def _unseen(seen: SeenProcesses, insides: list[Inside], sysctls: Mapping[str, str]) -> list[str]:
    """Sentences: what this user could not see. sysctls: those of the host"""
    sentences = list(seen.unseen)
    if missing := sorted(OF_THE_HOST_ALONE - sysctls.keys()):
        sentences.append(f"{', '.join(missing)}: only the host's own network namespace has them")
    if seen.hidden:
        hidden = _processes(seen.hidden)
        sentences.append(f"the sockets and inotify instances of {hidden} that this user may not inspect")
    elsewhere = sum(not process.netns for process in seen.processes.values())
    if elsewhere:
        sentences.append(f"the network namespaces of {_processes(elsewhere)} that this user may not inspect")
    outside = [inside for inside in insides if not inside.entered]
    if outside:
        sentences.append(
            f"the sockets and settings of {format_things(len(outside), 'network namespace')} that you may not enter"
        )
    return sentences
