"""Which processes have these sockets? By the links in /proc/PID/fd, which other users' processes do not show."""

import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from fourtuple.kernel.procfs import text_of
from fourtuple.kernel.sysctl import PROC


def owners_of(inodes: Iterable[int], proc: Path = PROC) -> Counter[tuple[int, str]]:
    """How many of the sockets each (pid, name) has; those that nobody shows are left out."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    found: Counter[tuple[int, str]] = Counter()
    for pid in os.listdir(proc) if wanted else ():
        if not pid.isdecimal():
            continue
        count = _count(proc / pid / "fd", wanted)
        if count:
            found[int(pid), text_of(proc / pid / "comm").strip()] = count
    return found


def _count(folder: Path, wanted: set[str]) -> int:
    count = 0
    try:
        for entry in os.scandir(folder):
            try:
                count += os.readlink(entry.path) in wanted
            except OSError:  # closed meanwhile
                continue
    except OSError:  # not ours to see, or it has ended
        return 0
    return count
