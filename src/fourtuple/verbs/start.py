"""How a run begins, as a record."""

from collections.abc import Mapping
from datetime import UTC, datetime

from fourtuple import __version__
from fourtuple.core.limits.facts import HostFacts
from fourtuple.core.limits.table import SYSCTLS
from fourtuple.core.runs.start import Changed, Planned, Start
from fourtuple.engine.control import now_ns
from fourtuple.kernel.proc.machine import found
from fourtuple.kernel.proc.world import host_sysctls


def start_of(
    kind: str,
    facts: HostFacts,
    *,
    soft_before: int | None = None,
    planned: Planned | None = None,
    sysctls: Mapping[str, str] | None = None,
) -> Start:
    """facts: read before anything was opened

    soft_before: the soft limit of open files before the run raised it
    sysctls:     None: they are read now
    """
    changed: tuple[Changed, ...] = ()
    if soft_before is not None and soft_before != facts.files_soft:
        what = "RLIMIT_NOFILE (soft) of its own processes"
        changed = (Changed(what, str(soft_before), str(facts.files_soft)),)
    return Start(
        kind=kind,
        started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        at_ns=now_ns(),
        found=found(facts, host_sysctls(SYSCTLS) if sysctls is None else sysctls, __version__),
        changed=changed,
        planned=planned,
    )
