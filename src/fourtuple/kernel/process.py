"""This process: its open files and their limit, memory, and CPU time."""

import ctypes
import os
import resource

from fourtuple.core.record import dataclass

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


def give_back_memory() -> None:
    """Return freed memory to the kernel, which glibc otherwise keeps (malloc_trim(3)); elsewhere nothing happens."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def threads() -> int:
    """How many threads this process has."""
    return len(os.listdir("/proc/self/task"))


def cpu_us() -> tuple[int, int]:
    """CPU time of this process so far in µs: user, system."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6)
