"""Who writes a run, in words that tell later, from another process, whether he still does.

A number of a process comes again, and another container has the same numbers: so the boot, the namespace of process
numbers and the moment in which the process began belong to it. proc(5), /proc/PID/stat field 22.
"""

import os
from pathlib import Path

from fourtuple.kernel.proc.files import PROC, text_of


def mark(proc: Path = PROC) -> str:
    """Of this process."""
    return " ".join((*_world(proc), str(os.getpid()), _began(proc, "self")))


def is_alive(marked: str, proc: Path = PROC) -> bool | None:
    """None: it cannot be told from here."""
    words = marked.split(" ")
    world = _world(proc)
    if len(words) != 4 or not world[0] or words[0] != world[0]:
        # After another boot nobody is left; without /proc nobody knows what boot this is.
        return False if len(words) == 4 and world[0] and words[0] else None
    if words[1] != world[1]:
        return None
    return bool(words[3]) and _began(proc, words[2]) == words[3]


def boot_id(proc: Path = PROC) -> str:
    """The same until the host starts again; empty where it is hidden."""
    return text_of(proc / "sys/kernel/random/boot_id").strip()


def _world(proc: Path) -> tuple[str, str]:
    try:
        namespace = os.readlink(proc / "self/ns/pid")
    except OSError:
        namespace = ""
    return boot_id(proc), namespace


def _began(proc: Path, pid: str) -> str:
    """In clock ticks since the boot; empty where there is no such process, or it is dead and not yet buried."""
    _, _, rest = text_of(proc / pid / "stat").rpartition(")")  # a name may have spaces and brackets
    words = rest.split()
    return words[19] if len(words) > 19 and words[0] not in "ZX" else ""
