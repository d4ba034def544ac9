"""Is the process that wrote a run still alive? A mark that identifies a process, and a test for it from any other.

PIDs are reused, and containers have equal ones. So the mark also has the boot ID, the PID namespace and the start time
of the process (proc(5), /proc/PID/stat field 22).
"""

import os
from pathlib import Path

from fourtuple.core.numbers import number_of
from fourtuple.kernel.proc.files import PROC, link_of, text_of


def mark(proc: Path = PROC) -> str:
    """The mark of this process: boot ID, PID namespace, PID and start time, separated by spaces."""
    return " ".join((*_world(proc), str(os.getpid()), _began(proc, "self")))


def is_alive(marked: str, proc: Path = PROC) -> bool | None:
    """Is the process with this mark alive?

    None: this process cannot find out (another PID namespace, or no /proc), or the text is no mark.
    """
    words = marked.split(" ")
    world = _world(proc)
    if len(words) != 4 or number_of(words[2]) is None:
        return None
    if not world[0] or words[0] != world[0]:
        # No process survives a reboot; without /proc the current boot ID is unknown.
        return False if world[0] and words[0] else None
    if words[1] != world[1]:
        return None
    return bool(words[3]) and _began(proc, words[2]) == words[3]


def boot_id(proc: Path = PROC) -> str:
    """The ID of the current boot; it changes when the host restarts. Empty if it is hidden."""
    return text_of(proc / "sys/kernel/random/boot_id").strip()


def _world(proc: Path) -> tuple[str, str]:
    return boot_id(proc), link_of(proc / "self/ns/pid")


def _began(proc: Path, pid: str) -> str:
    """The start time of a process, in clock ticks since boot; empty if there is no such process or it is a zombie."""
    _, _, rest = text_of(proc / pid / "stat").rpartition(")")  # a name may contain spaces and brackets
    words = rest.split()
    return words[19] if len(words) > 19 and words[0] not in "ZX" else ""
