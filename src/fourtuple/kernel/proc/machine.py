"""Which machine this is, so that runs can be compared: its name, its CPU, and a hash that identifies it."""

import hashlib
import os
import platform
from pathlib import Path

from fourtuple.core.limits.facts import World
from fourtuple.core.runs.start import Found
from fourtuple.kernel import process
from fourtuple.kernel.proc.files import PROC, text_of

MACHINE_ID = Path("/etc/machine-id")


def parse_cpu_model(text: str) -> str:
    """/proc/cpuinfo → the model name of the first CPU; empty if there is none, as on many ARM machines."""
    lines = (line.partition(":") for line in text.splitlines())
    return next((value.strip() for name, _, value in lines if name.strip() == "model name"), "")


def machine(file: Path = MACHINE_ID) -> str | None:
    """A hash of the machine ID; the ID itself should stay confidential (machine-id(5)). None: there is no ID."""
    own = text_of(file).strip()
    return hashlib.sha256(f"fourtuple {own}".encode()).hexdigest()[:16] if own else None


def found(world: World, version: str, proc: Path = PROC) -> Found:
    """The host as a run finds it, for the record of the run.

    world:   the world of this process, with the sysctls that the limit model reads
    version: the version of fourtuple
    """
    files, memory = process.read_files(), world.free_memory
    own = world.process
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
        files_soft=files.soft if own.files_soft is None else own.files_soft,
        files_hard=files.hard if own.files_hard is None else own.files_hard,
        files_open=files.open if own.files_open is None else own.files_open,
        uid=os.geteuid(),
        sysctls=dict(world.sysctls),
    )
