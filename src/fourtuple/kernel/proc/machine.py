"""Which machine this is, for those who compare: its name, its processor, and something that is the same only for it."""

import hashlib
import os
import platform
from pathlib import Path

from fourtuple.core.limits.facts import World
from fourtuple.core.runs.start import Found
from fourtuple.kernel.proc.files import text_of
from fourtuple.kernel.proc.sysctl import PROC

MACHINE_ID = Path("/etc/machine-id")


def parse_cpu_model(text: str) -> str:
    """/proc/cpuinfo → the name of the first processor; empty where it has none, as on many ARM machines."""
    lines = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == "model name"), "")


def machine(file: Path = MACHINE_ID) -> str | None:
    """A hash of the machine's id, which itself is not to be handed on: machine-id(5). None: it has none."""
    own = text_of(file).strip()
    return hashlib.sha256(f"fourtuple {own}".encode()).hexdigest()[:16] if own else None


def found(world: World, version: str, proc: Path = PROC) -> Found:
    """version: of fourtuple"""
    process, memory = world.process, world.free_memory
    return Found(
        fourtuple=version,
        python=platform.python_version(),
        host=os.uname().nodename,
        machine=machine(),
        kernel=world.kernel,
        cpu=parse_cpu_model(text_of(proc / "cpuinfo")) or os.uname().machine,
        cpus=world.cpus,
        memory_bytes=world.memory_bytes,
        free_bytes=memory.free_bytes,
        free_where=memory.where,
        files_soft=process.files_soft or 0,
        files_hard=process.files_hard or 0,
        files_open=process.files_open or 0,
        uid=os.geteuid(),
        sysctls=dict(world.sysctls),
    )
