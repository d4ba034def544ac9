"""Is the process that wrote a run still alive? A mark that identifies a process, and a test for it from any other.

PIDs are reused, and containers have equal ones. So the mark also has the boot ID, the PID namespace and the start time
of the process (proc(5), /proc/PID/stat field 22). A process inside a lab has a PID namespace of its own; outside, it is
listed with another PID, next to the one in its mark (/proc/PID/status, NSpid).
"""

import os
import sys
from collections.abc import Callable, Iterable, Set
from functools import cache
from pathlib import Path

from fourtuple.core.numbers import number_of
from fourtuple.kernel.proc.files import PROC, link_of, text_of

INITIAL = "pid:[4026531836]"  # the PID namespace of the host: PROC_PID_INIT_INO, include/linux/proc_ns.h (v6.18)


def mark(proc: Path = PROC) -> str:
    """The mark of this process: boot ID, PID namespace, PID and start time, separated by spaces."""
    return " ".join((*_world(proc), str(os.getpid()), _began(proc, "self")))


def living(proc: Path = PROC) -> Callable[[str], bool | None]:
    """A function from the mark of a process that once was → is it alive? None: this process cannot find out.

    It cannot without /proc, if the text is no mark, and if the process was in a PID namespace that may be invisible
    from here. Processes of other PID namespaces are listed once, so the function is for use at once.
    """
    inside = cache(lambda: _inside(proc))
    return lambda marked: _is_alive(marked, proc, inside)


def _is_alive(marked: str, proc: Path, inside: Callable[[], set[tuple[str, str, str]]]) -> bool | None:
    words = marked.split(" ")
    world = _world(proc)
    if len(words) != 4 or number_of(words[2]) is None:
        return None
    if not world[0] or words[0] != world[0]:
        # No process survives a reboot; without /proc the current boot ID is unknown.
        return False if world[0] and words[0] else None
    if words[1] != world[1]:
        _, namespace, pid, began = words
        if began and {(namespace, pid, began), ("", pid, began)} & inside():
            return True
        return False if world[1] == INITIAL and (proc / "1/stat").exists() else None
    return bool(words[3]) and _began(proc, words[2]) == words[3]


def boot_id(proc: Path = PROC) -> str:
    """The ID of the current boot; it changes when the host restarts. Empty if it is hidden."""
    return text_of(proc / "sys/kernel/random/boot_id").strip()


def oldest_first(pids: Iterable[int], last: Set[int], proc: Path = PROC) -> list[int]:
    """The processes in the order in which they started; those of `last`, and those that have ended, at the end."""

    def rank(pid: int) -> tuple[bool, int]:
        started = number_of(_began(proc, str(pid)))
        return pid in last, sys.maxsize if started is None else started

    return sorted(pids, key=rank)


def _world(proc: Path) -> tuple[str, str]:
    return boot_id(proc), link_of(proc / "self/ns/pid")


def _inside(proc: Path) -> set[tuple[str, str, str]]:
    """The processes in PID namespaces below this one: namespace (empty: hidden), PID in there, start time."""
    found = set()
    for pid in filter(str.isdecimal, os.listdir(proc)):
        numbers = next((line for line in text_of(proc / pid / "status").splitlines() if line.startswith("NSpid:")), "")
        if len(numbers.split()) > 2:
            found.add((link_of(proc / pid / "ns/pid"), numbers.split()[-1], _began(proc, pid)))
    return found


def _began(proc: Path, pid: str) -> str:
    """The start time of a process, in clock ticks since boot; empty if there is no such process or it is a zombie."""
    _, _, rest = text_of(proc / pid / "stat").rpartition(")")  # a name may contain spaces and brackets
    words = rest.split()
    return words[19] if len(words) > 19 and words[0] not in "ZX" else ""
