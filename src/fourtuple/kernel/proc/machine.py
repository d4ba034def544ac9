"""Which machine this is, for those who compare: its name, its processor, and something that is the same only for it."""

import hashlib
import os
import platform
from collections.abc import Mapping
from pathlib import Path

from fourtuple.core.limits.facts import HostFacts
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


def found(facts: HostFacts, sysctls: Mapping[str, str], version: str, proc: Path = PROC) -> Found:
    """version: of fourtuple"""
    return Found(
        fourtuple=version,
        python=platform.python_version(),
        host=os.uname().nodename,
        machine=machine(),
        kernel=facts.kernel,
        cpu=parse_cpu_model(text_of(proc / "cpuinfo")) or os.uname().machine,
        cpus=facts.cpus,
        memory_bytes=facts.memory_bytes,
        free_bytes=facts.memory.free_bytes,
        free_where=facts.memory.where,
        files_soft=facts.files_soft,
        files_hard=facts.files_hard,
        files_open=facts.files_open,
        uid=os.geteuid(),
        sysctls=dict(sysctls),
    )
