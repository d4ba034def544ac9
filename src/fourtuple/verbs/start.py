"""How a run begins, as a record."""

from collections.abc import Mapping
from datetime import UTC, datetime

from fourtuple import __version__
from fourtuple.core.limits.facts import HostFacts, World
from fourtuple.core.limits.table import SYSCTLS
from fourtuple.core.runs.start import Changed, Planned, Start
from fourtuple.engine.control import now_ns
from fourtuple.kernel.proc.machine import found, found_of_facts
from fourtuple.kernel.proc.sysctl import host_sysctls


def start_of(
    kind: str,
    facts: HostFacts | World,
    *,
    soft_before: int | None = None,
    planned: Planned | None = None,
    sysctls: Mapping[str, str] | None = None,
) -> Start:
    """facts: read before anything was opened

    soft_before: the soft limit of open files before the run raised it
    sysctls:     None: they are read now; a World has its own
    """
    if isinstance(facts, World):
        here = found(facts, __version__)
    else:
        here = found_of_facts(facts, host_sysctls(SYSCTLS) if sysctls is None else sysctls, __version__)
    changed: tuple[Changed, ...] = ()
    if soft_before is not None and soft_before != here.files_soft:
        what = "RLIMIT_NOFILE (soft) of its own processes"
        changed = (Changed(what, str(soft_before), str(here.files_soft)),)
    return Start(
        kind=kind,
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        at_ns=now_ns(),
        found=here,
        changed=changed,
        planned=planned,
    )
