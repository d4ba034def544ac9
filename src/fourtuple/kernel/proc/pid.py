"""/proc/PID: the limits of a process, its descriptors and their types, its user and its capabilities (proc_pid(5))."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.limits.facts import ProcessFacts
from fourtuple.core.numbers import complete_lines, number_of
from fourtuple.kernel.proc.files import PROC, first_number, link_of, whole

WHOLE_HOST = "0 0 4294967295"  # /proc/PID/uid_map of the initial user namespace


def read_process(folder: Path, why_not: dict[str, str], *, details: bool = True) -> ProcessFacts:
    """The facts about the process of this folder of /proc.

    why_not: receives the reason for each fact that cannot be read
    details: also read facts that take a read per process of the host (uid_threads) or per descriptor (sockets, rings,
             epolls); otherwise they are None

    Raises UsageError if there is no such process, CannotError without /proc.
    """
    status = parse_status(whole(folder / "status"))
    if not status and not os.path.exists(folder.parent / "self"):
        raise CannotError(f"cannot read {folder.parent}", "it is not mounted, or hidden", "Mount it: proc(5).")
    if not status:
        raise UsageError(f"process {folder.name}", "no process with this PID, or it is hidden")
    limits = parse_limits(whole(folder / "limits"))
    soft, hard = limits.get("Max open files", (None, None))
    if soft is None:
        why_not["RLIMIT_NOFILE"] = f"{folder / 'limits'} does not contain it"
    table = first_number(status.get("FDSize", ""))
    descriptors = _descriptors(folder)
    if descriptors is not None:
        files_open, files_unsure = soft and _open_below(soft, descriptors, folder), False
    else:
        files_open, files_unsure = _counted(folder, soft, table, why_not)
    links = None
    if details and descriptors is not None:
        links = [link_of(folder / "fd" / str(number)) for number in descriptors]
    uid = first_number(status.get("Uid", ""))
    processes_soft, _ = limits.get("Max processes", (None, None))
    memlock_soft_bytes, _ = limits.get("Max locked memory", (None, None))
    counts_threads = details and processes_soft is not None
    return ProcessFacts(
        pid=number_of(status.get("Pid", "")) or 0,
        name=status.get("Name", ""),
        uid=uid,
        files_soft=soft,
        files_hard=hard,
        files_open=files_open,
        files_most=table,
        memlock_soft_bytes=memlock_soft_bytes,
        processes_soft=processes_soft,
        uid_threads=_threads_of(uid, folder.parent) if counts_threads and uid else None,
        capabilities=_capabilities(status, why_not),
        of_host=_is_of_host(folder / "uid_map"),
        sockets=None if links is None else frozenset(inode for inode in map(inode_of, links) if inode is not None),
        rings=None if links is None else links.count("anon_inode:[io_uring]"),
        epolls=None if links is None else links.count("anon_inode:[eventpoll]"),
        files_unsure=files_unsure,
    )


def same_network(pid: int, proc: Path = PROC) -> bool:
    """Is the process in this thread's network namespace? False also if it has ended.

    Other users may not read /proc/PID/ns/net, but may read /proc/PID/net, whose entries have different inodes in each
    namespace (fs/proc/proc_net.c).
    """
    try:
        return os.stat(proc / str(pid) / "net/tcp").st_ino == os.stat(proc / "thread-self/net/tcp").st_ino
    except OSError:
        return False


def parse_status(text: str) -> dict[str, str]:
    """/proc/PID/status → values by name."""
    lines = (line.partition(":") for line in complete_lines(text))
    return {name: value.strip() for name, colon, value in lines if colon}


def parse_limits(text: str) -> dict[str, tuple[int | None, int | None]]:
    """/proc/PID/limits → (soft, hard) by name; None: unlimited. Names contain single spaces; two or more end a name."""
    found = {}
    for line in complete_lines(text)[1:]:
        name, _, rest = line.partition("  ")
        words = rest.split()[:2]
        values = [number_of(word) for word in words]
        if len(words) == 2 and all(
            word == "unlimited" or value is not None for word, value in zip(words, values, strict=True)
        ):
            found[name] = (values[0], values[1])
    return found


def usable_cpus() -> int:
    """The number of CPUs that this process may run on."""
    return len(os.sched_getaffinity(0))


def _descriptors(folder: Path) -> list[int] | None:
    """The numbers of the descriptors; None: this user may not list them."""
    try:
        numbers = map(number_of, os.listdir(folder / "fd"))
        return [number for number in numbers if number is not None]
    except OSError:
        return None


def _counted(folder: Path, soft: int | None, table: int | None, why_not: dict[str, str]) -> tuple[int | None, bool]:
    """As `counted_at_most`, of a process whose descriptors this user may not list."""
    try:
        count = os.stat(folder / "fd").st_size  # since Linux 6.2
    except OSError:
        count = 0
    if not count:
        why_not["open files"] = f"{folder / 'fd'}: this user may not list it; root may"
    return counted_at_most(count, soft, table)


def counted_at_most(count: int, soft: int | None, table: int | None) -> tuple[int | None, bool]:
    """(how many descriptors count against the soft limit at most, whether they may be fewer), by their number alone.

    A descriptor at or above the limit, as an inherited one may be, does not count. There is none in a table that small.

    count: all descriptors; 0: not known
    soft:  the limit; None: there is none, or it is not known
    table: the size of the descriptor table; None: not known
    """
    if not count or soft is None:
        return count or None, False
    return min(count, soft), table is None or table > soft


def _open_below(soft: int, descriptors: Iterable[int], folder: Path) -> int:
    """How many descriptors are below the soft limit, excluding, for this process itself, the one that lists them."""
    return sum(number < soft for number in descriptors) - (folder.name in ("self", str(os.getpid())))


def inode_of(link: str) -> int | None:
    """The inode of a socket, from the link in /proc/PID/fd: 4711 in `socket:[4711]`; None: it is no socket."""
    return number_of(link[8:-1]) if link.startswith("socket:[") and link.endswith("]") else None


def _capabilities(status: Mapping[str, str], why_not: dict[str, str]) -> int:
    """The effective capabilities as bits; none if they cannot be read, which `why_not` then says."""
    capabilities = number_of(status.get("CapEff", ""), 16)
    if capabilities is None:
        why_not["capabilities"] = "/proc/PID/status does not contain CapEff; none is assumed"
    return capabilities or 0


def _is_of_host(uid_map: Path) -> bool | None:
    """Is the process in the initial user namespace? None: unknown. Without CONFIG_USER_NS the file does not exist."""
    if not os.path.exists(uid_map):
        return True
    words = whole(uid_map).split()
    return " ".join(words) == WHOLE_HOST if words else None


def _threads_of(uid: int, proc: Path) -> int | None:
    """The number that counts against RLIMIT_NPROC: threads of all processes with this real UID. None: unknown."""
    total = 0
    for name in os.listdir(proc):
        if number_of(name) is not None:
            file = proc / name / "status"
            status = parse_status(whole(file))
            if not status and os.path.exists(file):
                return None
            if first_number(status.get("Uid", "")) == uid:
                total += first_number(status.get("Threads", "")) or 0
    return total or None
