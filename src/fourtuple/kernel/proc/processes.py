"""Every process that this user may see: limits, files, threads, cgroup, network namespace, and which sockets it has.

A host has thousands of processes, so each costs five small reads and no search. The number of descriptors is the size
of /proc/PID/fd (Linux 6.2), which every user may ask for; older kernels list them. The links of descriptors, which
tell sockets and inotify instances, are read within a budget, and `unseen` says for which processes they were not.

Sources: proc_pid_status(5), proc_pid_limits(5), proc_pid_fd(5), proc_pid_fdinfo(5); fs/proc/fd.c (v6.18).
"""

import contextlib
import os
from collections import Counter as Tally
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cmp_to_key, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.numbers import number_of
from fourtuple.core.record import dataclass
from fourtuple.core.snapshot.belonging import path_of
from fourtuple.core.snapshot.records import HostProcess
from fourtuple.core.units import format_count
from fourtuple.kernel.proc.files import PROC, read_at
from fourtuple.kernel.proc.pid import WHOLE_HOST, counted_at_most
from fourtuple.kernel.syscalls import compare_files

LINKS_MOST = 250_000  # descriptors whose links are read in one sweep: about 0.6 s of CPU
NEARLY_FULL = 0.9  # of its files: from there on, descriptors at and above the soft limit are told apart
NOT_VISIBLE: Mapping[str, Any] = MappingProxyType(
    {"rings": None, "epolls": None, "inotify_instances": None, "inotify_watches": None}
)
MAPS_MOST = 64  # processes whose mappings are counted, those with the largest page tables first
MAPPED_SHARE = 0.8  # of vm.max_map_count: a process with less address space than so many pages cannot be near it
SAME = 1024  # texts of which many processes have the same
INOTIFY, RING, EPOLL = "anon_inode:inotify", "anon_inode:[io_uring]", "anon_inode:[eventpoll]"


@dataclass(frozen=True)
class SeenProcesses:
    """What one look at all processes gives.

    processes: by PID; no kernel threads
    inodes:    (n,), uint64, ascending: the inodes of sockets in descriptors that were read
    pids:      (n,), int32: the process that has each; of several the one with the lowest PID
    inotify_instances, inotify_watches: by user ID; what processes share counts once
    hidden:    processes whose descriptors this user may not read
    unseen:    sentences
    """

    processes: Mapping[int, HostProcess]
    inodes: NDArray[np.uint64]
    pids: NDArray[np.int32]
    inotify_instances: Mapping[int, int]
    inotify_watches: Mapping[int, int]
    hidden: int
    unseen: tuple[str, ...]

    def pids_of(self, inodes: NDArray[np.uint32]) -> NDArray[np.int32]:
        """(n,): the process of each inode; 0: the kernel's (inode 0); -1: not visible."""
        found = np.full(len(inodes), -1, np.int32)
        if len(self.inodes):
            places = np.minimum(np.searchsorted(self.inodes, inodes), len(self.inodes) - 1)
            known = self.inodes[places] == inodes
            found[known] = self.pids[places[known]]
        found[inodes == 0] = 0
        return found


def read_processes(
    *, max_map_count: int | None, arguments: bool = False, links_most: int = LINKS_MOST, proc: Path = PROC
) -> SeenProcesses:
    """Look at every process of this PID namespace.

    max_map_count: vm.max_map_count; None: mappings are not counted
    arguments:     also read command lines
    """
    folder = os.open(proc, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        pids = sorted(number for number in map(number_of, os.listdir(folder)) if number is not None)
        read = (_read_process(folder, pid, arguments=arguments) for pid in pids)
        found = {each.process.pid: each for each in read if each is not None}
        processes = {pid: each.process for pid, each in found.items()}
        descriptors = _Descriptors.read(folder, processes, links_most)
        processes |= descriptors.processes
        counted, uncounted = _counted_maps(folder, found, max_map_count)
        processes |= {pid: replace(processes[pid], maps=maps) for pid, maps in counted.items()}
    finally:
        os.close(folder)
    inodes, firsts = np.unique(descriptors.inodes, return_index=True)
    distinct = _distinct(descriptors.watchers)
    watches = Tally[int]()
    for watcher in distinct:
        watches[watcher.uid] += watcher.watches
    return SeenProcesses(
        processes=processes,
        inodes=inodes,
        pids=descriptors.pids[firsts],
        inotify_instances=Tally(watcher.uid for watcher in distinct),
        inotify_watches=watches,
        hidden=descriptors.hidden,
        unseen=tuple(_unseen(descriptors, uncounted)),
    )


@dataclass(frozen=True, slots=True)
class _Read:
    """One process, and how much address space and page tables it has."""

    process: HostProcess
    mapped_bytes: int
    tables_bytes: int


def _read_process(folder: int, pid: int, *, arguments: bool) -> _Read | None:
    """None: it has ended, or is a kernel thread."""
    status = read_at(f"{pid}/status", folder)
    mapped_kib = _number(_field(status, b"\nVmSize:"))
    if not status or (mapped_kib is None and b"\nState:\tZ" not in status):
        return None
    soft, hard, processes_soft, memlock_soft_bytes = _limits(read_at(f"{pid}/limits", folder))
    table = _number(_field(status, b"\nFDSize:"))
    files, files_unsure = _count_files(folder, pid, soft, table)
    netns = ""
    with contextlib.suppress(OSError):
        netns = os.readlink(f"{pid}/ns/net", dir_fd=folder)
    process = HostProcess(
        pid=pid,
        name=_field(status, b"Name:").decode(errors="backslashreplace"),
        uid=_number(_field(status, b"\nUid:")),
        cgroup=_cgroup(read_at(f"{pid}/cgroup", folder)),
        netns=netns,
        threads=_number(_field(status, b"\nThreads:")),
        files_open=files,
        files_soft=soft,
        files_hard=hard,
        files_most=table,
        files_unsure=files_unsure,
        processes_soft=processes_soft,
        memlock_soft_bytes=memlock_soft_bytes,
        capabilities=number_of(_field(status, b"\nCapEff:").decode(), 16) or 0,
        of_host=_is_of_host(read_at(f"{pid}/uid_map", folder)),
        rings=0,
        epolls=0,
        inotify_instances=0,
        inotify_watches=0,
        arguments=_arguments(folder, pid) if arguments else None,
    )
    return _Read(process, (mapped_kib or 0) * 1024, (_number(_field(status, b"\nVmPTE:")) or 0) * 1024)


def _field(text: bytes, name: bytes) -> bytes:
    """The value behind a name, up to the end of its line; empty: there is none."""
    start = text.find(name)
    return text[start + len(name) : text.find(b"\n", start + 1)].strip() if start >= 0 else b""


def _number(value: bytes) -> int | None:
    """The first word of a value as a number."""
    words = value.split(None, 1)
    return number_of(words[0].decode("latin-1")) if words else None


@lru_cache(SAME)
def _limits(text: bytes) -> tuple[int | None, int | None, int | None, int | None]:
    """Of /proc/PID/limits: soft and hard files, soft processes, soft locked memory; None: unlimited, or unreadable."""
    files, processes, memlock = (
        _field(text, b"\nMax " + name) for name in (b"open files", b"processes", b"locked memory")
    )
    return _number(files), _number(b" ".join(files.split()[1:2])), _number(processes), _number(memlock)


@lru_cache(SAME)
def _cgroup(text: bytes) -> str:
    return path_of(text.decode(errors="backslashreplace"))


@lru_cache(SAME)
def _is_of_host(uid_map: bytes) -> bool | None:
    return b" ".join(uid_map.split()).decode() == WHOLE_HOST if uid_map else None


def _arguments(folder: int, pid: int) -> tuple[str, ...]:
    line = read_at(f"{pid}/cmdline", folder).rstrip(b"\0")
    return tuple(word.decode(errors="backslashreplace") for word in line.split(b"\0")) if line else ()


def _count_files(folder: int, pid: int, soft: int | None, table: int | None) -> tuple[int | None, bool]:
    """(how many descriptors count against the soft limit: those below it, whether they may be fewer).

    None: this user may not know. table: the size of the descriptor table
    """
    try:
        count = os.stat(f"{pid}/fd", dir_fd=folder).st_size  # since Linux 6.2
        if count and (soft is None or count < NEARLY_FULL * soft):
            return count, False
        numbers = [number for number in map(number_of, _names(folder, f"{pid}/fd")) if number is not None]
    except PermissionError:
        return counted_at_most(count, soft, table)
    except OSError:
        return None, False
    return sum(soft is None or number < soft for number in numbers), False


def _names(folder: int, path: str) -> list[str]:
    """The entries of a folder. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.listdir(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True, slots=True)
class InotifyWatcher:
    """A descriptor of inotify: of which process, how many watches it has, and its /proc/PID/fdinfo."""

    uid: int
    pid: int
    handle: int
    watches: int
    text: bytes


@dataclass(frozen=True)
class _Descriptors:
    """The links of descriptors: which sockets, rings, epoll and inotify instances each process has.

    sampled: processes of which only a part of the links was read
    watchers: descriptors of inotify
    """

    processes: Mapping[int, HostProcess]
    inodes: NDArray[np.uint64]
    pids: NDArray[np.int32]
    hidden: int
    sampled: Sequence[HostProcess]
    watchers: Sequence[InotifyWatcher]

    @classmethod
    def read(cls, folder: int, processes: Mapping[int, HostProcess], most: int) -> "_Descriptors":
        """most: links to read. Processes with few descriptors come first, so that few are cut short."""
        left, hidden = most, 0
        found: dict[int, HostProcess] = {}
        sockets: list[tuple[int, list[int]]] = []
        sampled = []
        watchers: list[InotifyWatcher] = []
        for process in sorted(processes.values(), key=lambda each: (each.files_open or 0, each.pid)):
            links, step = _read_links(folder, process.pid, left)
            if links is None:
                hidden += 1
                found[process.pid] = replace(process, **NOT_VISIBLE)
                continue
            left -= len(links)
            if step > 1:
                sampled.append(process)
                found[process.pid] = replace(process, **NOT_VISIBLE)
            elif kinds := [(name, link) for name, link in links if link.startswith("anon_inode:")]:
                mine = [_watcher(folder, process, name) for name, link in kinds if link == INOTIFY]
                watchers += mine
                found[process.pid] = _with_kinds(process, [link for _, link in kinds], mine)
            if own := [int(link[8:-1]) for _, link in links if link.startswith("socket:[")]:
                sockets.append((process.pid, own))
        sockets.sort()
        inodes = np.fromiter((inode for _, each in sockets for inode in each), np.uint64)
        pids = np.repeat(
            np.array([pid for pid, _ in sockets], np.int32), np.array([len(each) for _, each in sockets], np.intp)
        )
        return cls(found, inodes, pids, hidden, sampled, watchers)


def _read_links(folder: int, pid: int, most: int) -> tuple[list[tuple[str, str]] | None, int]:
    """The descriptors of a process as (number, target), and of how many one was read.

    None: this user may not read them; of a process that has ended there are none.
    """
    try:
        handle = os.open(f"{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    except PermissionError:
        return None, 1
    except OSError:
        return [], 1
    found, denied = [], False
    try:
        names = os.listdir(handle)
        step = 1 if len(names) <= most else -(-len(names) // max(1, most))
        for name in names[::step] if most > 0 else []:
            try:
                found.append((name, os.readlink(name, dir_fd=handle)))
            except PermissionError:  # the folder may be listed, but not its links (ptrace_may_access())
                denied = True
                break
            except OSError:  # closed since the folder was listed
                continue
    finally:
        os.close(handle)
    return None if denied else found, step


def _watcher(folder: int, process: HostProcess, name: str) -> InotifyWatcher:
    text = read_at(f"{process.pid}/fdinfo/{name}", folder)
    return InotifyWatcher(process.uid or 0, process.pid, int(name), text.count(b"inotify wd:"), text)


def _with_kinds(process: HostProcess, kinds: Sequence[str], watchers: Sequence[InotifyWatcher]) -> HostProcess:
    """The process with the numbers of its rings, epoll and inotify instances, and of its inotify watches."""
    return replace(
        process,
        rings=kinds.count(RING),
        epolls=kinds.count(EPOLL),
        inotify_instances=len(watchers),
        inotify_watches=sum(watcher.watches for watcher in watchers),
    )


def _distinct(watchers: Sequence[InotifyWatcher]) -> list[InotifyWatcher]:
    """Each inotify instance once: a child process inherits the descriptors of its parent, which count once.

    Where the kernel cannot compare them, those with the same number and the same watches are taken for one.
    """
    if len({watcher.pid for watcher in watchers}) < 2:
        return list(watchers)

    def order(first: InotifyWatcher, second: InotifyWatcher) -> int:
        return compare_files((first.pid, first.handle), (second.pid, second.handle))

    try:
        ordered = sorted(watchers, key=cmp_to_key(order))
        return [
            each for each, next_ in zip(ordered, [*ordered[1:], None], strict=True) if not next_ or order(each, next_)
        ]
    except OSError:
        return list({(watcher.uid, watcher.handle, watcher.text): watcher for watcher in watchers}.values())


def _counted_maps(folder: int, found: Mapping[int, _Read], max_map_count: int | None) -> tuple[dict[int, int], int]:
    """The mappings of processes that may be near vm.max_map_count → (counts by PID, processes not counted).

    A mapping has at least one page, so a process with less address space than so many pages has fewer mappings. Of the
    others, those with the largest page tables are counted: listing mappings stops the process from changing them.
    """
    if max_map_count is None:
        return {}, 0
    least_bytes = MAPPED_SHARE * max_map_count * os.sysconf("SC_PAGE_SIZE")
    large = [each for each in found.values() if each.mapped_bytes >= least_bytes]
    large.sort(key=lambda each: -each.tables_bytes)
    counts = {each.process.pid: read_at(f"{each.process.pid}/maps", folder).count(b"\n") for each in large[:MAPS_MOST]}
    counts = {pid: count for pid, count in counts.items() if count}
    return counts, len(large) - len(counts)


def _unseen(descriptors: _Descriptors, uncounted: int) -> Iterator[str]:
    if descriptors.sampled:
        names = ", ".join(f"{each.name} ({each.pid})" for each in descriptors.sampled[:3])
        more = " …" if len(descriptors.sampled) > 3 else ""
        yield f"all descriptors of {names}{more}: there are too many, and only a part was read"
    if uncounted:
        yield f"the memory mappings of {format_count(uncounted)} large processes: not permitted, or too many of them"
