"""From a snapshot to a diagnosis: every rule looks at the host, and the worst finding comes first.

A rule is a function from a Patient to its findings. It reports a limit when at least 90 % of it is used, or when it has
failed; a counter that was read once tells only that it failed at some time since the namespace was made.
"""

from collections.abc import Callable, Iterator, Sequence

from fourtuple.core.doctor import files, log, memory, ports, queues, tables, tasks, tracking
from fourtuple.core.doctor.joining import joined, linked
from fourtuple.core.doctor.patient import Patient
from fourtuple.core.doctor.records import Diagnosis, Trouble
from fourtuple.core.limits.cures import Needs, at_hand_first
from fourtuple.core.snapshot.records import Snapshot
from fourtuple.core.units import format_things

Rule = Callable[[Patient], Iterator[Trouble]]
RULES: tuple[Rule, ...] = (
    ports.source_ports,
    ports.udp_ports,
    ports.close_waits,
    files.process_files,
    files.host_files,
    files.inotify,
    queues.accept_queues,
    queues.unix_backlogs,
    queues.syn_queues,
    tracking.tracking,
    tasks.cgroup_tasks,
    tasks.host_tasks,
    tasks.user_tasks,
    tasks.mappings,
    memory.tcp_memory,
    memory.orphans,
    memory.time_waits,
    memory.cgroup_memory,
    memory.host_memory,
    tables.neighbours,
    tables.routes6,
    tables.drops,
    tables.addresses,
    log.logged,
)
MANY_WAITING = 10_000  # connections in TIME_WAIT that may use up the ports of a destination
DEFAULT_PORTS = 28_232  # 32768-60999, where the range is not known
NOTHING = "Nothing needs to be done."
UNKNOWN = "What is not known may limit connections."
AS_ROOT = "`fourtuple doctor` on the host, as root, sees most of it."
ONLY_SO_FAR = "`fourtuple doctor --for 10s` on the host shows whether this still happens."


def diagnose(snapshot: Snapshot, before: Snapshot | None = None) -> Diagnosis:
    """What limits something on the host of the snapshot, worst first.

    before: an earlier snapshot of the same host; with it, counters count only as far as they moved since then
    """
    patient = Patient(snapshot, before)
    found = list(linked(joined(trouble for rule in RULES for trouble in rule(patient))))
    unseen = (*snapshot.unseen, *_not_listed(snapshot))
    found.sort(key=lambda each: (each.rank.place, -each.share))  # otherwise in the order of RULES
    return Diagnosis(
        host=snapshot.host,
        at_s=snapshot.at_s,
        source=snapshot.source,
        for_s=patient.for_s,
        findings=tuple(found),
        unseen=unseen,
        first=_first(found, unseen, root=snapshot.uid == 0),
        looked={
            "namespaces": len(snapshot.namespaces),
            "processes": len(snapshot.processes),
            "cgroups": len(snapshot.cgroups),
        },
    )


def _not_listed(snapshot: Snapshot) -> Iterator[str]:
    """Sentences about connections that are only counted, as in the output of `ss -s`: their ends are unknown."""
    for namespace in snapshot.namespaces.values():
        waiting = namespace.sockstat.get("TCP.tw", 0)
        if not namespace.read_from and waiting >= MANY_WAITING:
            yield (
                f"where the {format_things(waiting, 'connection')} in TIME_WAIT go: one source address has"
                f" {format_things(namespace.ports.automatic_ports.size if namespace.ports else DEFAULT_PORTS, 'port')}"
                " for each destination; `ss -tan` on that host tells"
            )


def _first(found: list[Trouble], unseen: Sequence[str], *, root: bool) -> str:
    """What to do first: the remedy of the worst finding that this user can apply now."""
    worst = next((trouble for trouble in found if trouble.rank.is_now), None)
    if worst is None:
        if found:
            return ONLY_SO_FAR
        return NOTHING if not unseen else UNKNOWN if root else f"{UNKNOWN} {AS_ROOT}"
    cures = at_hand_first(worst.cures, root=root)
    if not cures:
        return f"Start with {worst.subject}"
    privilege = f" ({cures[0].needs})" if cures[0].needs in (Needs.ROOT, Needs.RESOURCE) else ""
    return f"Start with {worst.subject}: {cures[0].do}{privilege}"
