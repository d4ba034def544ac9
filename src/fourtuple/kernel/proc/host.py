"""What HostFacts says, for verbs/hold.py and verbs/serve.py; everything else reads a World (kernel/proc/world.py)."""

import os
from pathlib import Path

from fourtuple.core.limits.facts import HostFacts
from fourtuple.kernel import process
from fourtuple.kernel.proc.cgroups import CGROUPS
from fourtuple.kernel.proc.cgroups import read_memory as read_memory
from fourtuple.kernel.proc.files import PROC
from fourtuple.kernel.proc.meminfo import read_total_bytes
from fourtuple.kernel.proc.netstat import read_counters as read_counters
from fourtuple.kernel.proc.pid import usable_cpus
from fourtuple.kernel.proc.ports import read_port_facts


def read_host_facts(proc: Path = PROC, cgroups: Path = CGROUPS) -> HostFacts:
    """Raises CannotError where /proc is not there or does not tell the port range."""
    files = process.read_files()
    return HostFacts(
        kernel=os.uname().release,
        cpus=usable_cpus(),
        memory_bytes=read_total_bytes(proc),
        memory=read_memory(proc, cgroups),
        ports=read_port_facts(proc),
        files_soft=files.soft,
        files_hard=files.hard,
        files_open=files.open,
    )
