"""What a process was started with, and files as it sees them: in its own root, which may be that of a container.

/proc/PID/root leads into the root of the process (proc_pid_root(5)), but an absolute symbolic link below it would lead
out again, into ours: links are therefore followed here, one by one.
"""

import fnmatch
import os
from pathlib import Path

from fourtuple.core.errors import FourtupleError
from fourtuple.kernel.proc.files import PROC, link_of, text_of
from fourtuple.kernel.proc.pid import parse_status, read_process

MOST_LINKS = 40  # followed in one path, as the kernel does (MAXSYMLINKS in include/linux/namei.h, v6.18)
MOST_MATCHES = 64  # files of one pattern
MOST_ARGUMENTS = 65_536  # characters of a command line
ACCEPTS = 0x10000  # __SO_ACCEPTCON, in the column Flags of /proc/net/unix (net/unix/af_unix.c, v6.18)


def read_arguments(pid: int, proc: Path = PROC) -> tuple[str, ...]:
    """The command line of a process; empty if it has ended, is a kernel thread, or is hidden."""
    return tuple(text_of(proc / str(pid) / "cmdline")[:MOST_ARGUMENTS].rstrip("\0\n").split("\0"))


def read_name(pid: int, proc: Path = PROC) -> str:
    """The name of a process (/proc/PID/comm); empty if it has ended or is hidden."""
    return text_of(proc / str(pid) / "comm").rstrip("\n")


def read_parent(pid: int, proc: Path = PROC) -> int | None:
    """The PID of the parent of a process; None: it has ended, or is hidden."""
    parent = parse_status(text_of(proc / str(pid) / "status")).get("PPid", "")
    return int(parent) if parent.isdecimal() else None


def read_ancestors(pid: int, proc: Path = PROC) -> list[int]:
    """The PIDs of the process and of its ancestors, as far as they are visible."""
    found = [pid]
    while (parent := read_parent(found[-1], proc)) and parent not in found:
        found.append(parent)
    return found


def working_directory(pid: int, proc: Path = PROC) -> str:
    """The working directory of a process, within its root; `/` if it may not be read."""
    root, directory = link_of(proc / str(pid) / "root"), link_of(proc / str(pid) / "cwd")
    inside = root in ("", "/") or directory == root or directory.startswith(root + "/")
    return (directory if root in ("", "/") else directory[len(root) :]) or "/" if inside else "/"


def path_within(pid: int, path: str, proc: Path = PROC) -> str:
    """The path by which this process reaches a file that the other one knows as `path` (absolute).

    Raises OSError (ELOOP) after too many symbolic links.
    """
    root = str(proc / str(pid) / "root")
    done: list[str] = []
    left = path.split("/")[::-1]
    links = 0
    while left:
        part = left.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del done[-1:]
            continue
        target = link_of(Path(root, *done, part))
        if not target:
            done.append(part)
            continue
        links += 1
        if links > MOST_LINKS:
            raise OSError(f"{path}: too many symbolic links")
        if target.startswith("/"):
            done = []
        left.extend(target.split("/")[::-1])
    return "/".join((root, *done))


def matching(pid: int, pattern: str, proc: Path = PROC) -> tuple[str, ...]:
    """The files of a process that a pattern (absolute, `*` and `?` in its last part) stands for, as it knows them."""
    folder, _, last = pattern.rpartition("/")
    if not set(last) & set("*?["):
        return (pattern,)
    try:
        names = sorted(os.listdir(path_within(pid, folder, proc)))
    except OSError:
        return ()
    return tuple(f"{folder}/{name}" for name in names if name[0] != "." and fnmatch.fnmatch(name, last))[:MOST_MATCHES]


def read_inodes(pid: int, proc: Path = PROC) -> frozenset[int]:
    """The inodes of the sockets of a process; empty if it has ended, or its descriptors may not be read."""
    try:
        return read_process(proc / str(pid), {}).sockets or frozenset()
    except FourtupleError:
        return frozenset()


def read_unix_listeners(pid: int, inodes: frozenset[int], proc: Path = PROC) -> tuple[str, ...]:
    """The paths of the Unix sockets among these inodes that listen, as they were bound; abstract ones excluded."""
    lines = text_of(proc / str(pid) / "net/unix").splitlines()[1:]
    found = [line.split(maxsplit=7) for line in lines]
    return tuple(
        words[7]
        for words in found
        if len(words) == 8 and int(words[3], 16) & ACCEPTS and int(words[6]) in inodes and words[7].startswith("/")
    )
