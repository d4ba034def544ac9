"""The start of a run as a record."""

from datetime import datetime, timezone

from fourtuple import __version__
from fourtuple.core.limits.facts import World
from fourtuple.core.runs.start import Changed, Start
from fourtuple.engine.control import now_ns
from fourtuple.kernel.proc.machine import found


def start_of(kind: str, world: World, *, soft_before: int | None = None) -> Start:
    """The start of a run, without a plan.

    kind:        hold, churn, serve or prove
    world:       the host before anything was opened
    soft_before: the soft limit of open files before the run raised it; None: the run did not raise it
    """
    changed: tuple[Changed, ...] = ()
    if soft_before is not None and soft_before != world.process.files_soft:
        what = "RLIMIT_NOFILE (soft) of its own processes"
        changed = (Changed(what, str(soft_before), str(world.process.files_soft)),)
    return Start(
        kind=kind,
        started_at=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
        at_ns=now_ns(),
        found=found(world, __version__),
        changed=changed,
    )
