"""This process: its open files and their limit, memory, CPU time, children, and its tie to its parent."""

import contextlib
import ctypes
import os
import resource
import signal
import time
from dataclasses import dataclass

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36  # prctl(2)
END_S = 1.0  # between SIGTERM and SIGKILL
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")  # 4, 16 or 64 KiB on arm64: the kernel is asked (getconf(1))


@dataclass(frozen=True, slots=True)
class Files:
    """The limit of open files of this process, and how much of it is used."""

    soft: int  # RLIMIT_NOFILE: a new descriptor's number must be below it
    hard: int
    open: int  # descriptors numbered below the soft limit; those above do not count against it


def read_files() -> Files:
    """RLIMIT_NOFILE and the open descriptors of this process, as they are now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    numbers = map(int, os.listdir("/proc/self/fd"))
    return Files(soft, hard, sum(number < soft for number in numbers) - 1)  # excluding the one that lists them


def raise_soft_files() -> tuple[int, int]:
    """Raise this process's soft RLIMIT_NOFILE to the hard limit, which needs no privilege → (before, now)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft, hard


def set_soft_files(soft: int) -> None:
    """Set this process's soft RLIMIT_NOFILE, at most to the hard limit."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


def read_memlock_bytes() -> int | None:
    """The soft RLIMIT_MEMLOCK, against which the rings of all processes of a user count; None: unlimited."""
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    return None if soft == resource.RLIM_INFINITY else soft


def rss_bytes() -> int:
    """Resident memory. A page shared with other processes counts by its share (Pss), so that processes add up."""
    try:
        with open("/proc/self/smaps_rollup") as rollup:
            return next(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))
    except (OSError, StopIteration):  # older than Linux 4.14, or not permitted
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * PAGE_BYTES


def cpu_us() -> tuple[int, int]:
    """CPU time of this process so far in µs: user, system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6)


def adopt_orphans() -> None:
    """Become the parent of processes that our descendants leave behind (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children() -> set[int]:
    """The PIDs of our child processes; empty if the kernel does not list them (CONFIG_PROC_CHILDREN)."""
    try:
        return {int(pid) for task in os.listdir("/proc/self/task") for pid in _children_of(task)}
    except FileNotFoundError:
        return set()


def _children_of(task: str) -> list[str]:
    with open(f"/proc/self/task/{task}/children") as file:
        return file.read().split()


def end_children(but: set[int]) -> None:
    """End our children, and the orphans they leave to us: by SIGTERM, and after END_S by SIGKILL.

    but: PIDs to leave running
    """
    asked, until_s = set[int](), time.monotonic() + END_S
    while left := children() - but:
        for pid in left - asked if time.monotonic() < until_s else left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM if time.monotonic() < until_s else signal.SIGKILL)
        asked |= left
        for pid in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        time.sleep(0.01)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent` ends for any reason (prctl(2), PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # the parent ended before the call
        os._exit(1)
