"""Processes, threads and memory mappings: fork(), clone() and mmap() fail when there are too many."""

from collections import Counter as Tally
from collections.abc import Iterator

from fourtuple.core.doctor.patient import Patient, of_most, rank_of, so
from fourtuple.core.doctor.records import Rank, Subject, Trouble
from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.limits.facts import CAP_SYS_ADMIN
from fourtuple.core.snapshot.records import Cgroup, HostProcess
from fourtuple.core.units import format_count

CAP_SYS_RESOURCE = 24  # include/uapi/linux/capability.h
FAIL = "fork() and pthread_create() {now}fail with EAGAIN"
FEWER = Cure("let the program use fewer processes or threads", "", Needs.SETTING)


def innermost(cgroups: dict[str, Cgroup]) -> Iterator[Cgroup]:
    """Of cgroups that reach the limit of one above them, only the lowest: its processes are the ones."""
    for path, cgroup in cgroups.items():
        if not any(each.startswith(f"{path.rstrip('/')}/") and each != path for each in cgroups):
            yield cgroup


def cgroup_tasks(patient: Patient) -> Iterator[Trouble]:
    """Tasks of each cgroup against pids.max."""
    full = {
        path: cgroup
        for path, cgroup in patient.now.cgroups.items()
        if cgroup.pids is not None and cgroup.pids_most is not None and rank_of(cgroup.pids, cgroup.pids_most)
    }
    for cgroup in innermost(full):
        used, most = cgroup.pids or 0, cgroup.pids_most or 0
        rank = rank_of(used, most) or Rank.NEAR
        yield Trouble(
            key="pids-max",
            rank=rank,
            says=f"the cgroup {cgroup.path} has {of_most(used, most)} tasks{so(rank, FAIL)}",
            subject=patient.of_cgroup(cgroup.path),
            evidence=(
                f"pids.max, of this cgroup or one above it, is {format_count(most)}",
                *filter(None, [patient.named(_threads_in(patient, cgroup.path))]),
            ),
            cause="more processes and threads than pids.max (TasksMax=) allows",
            cures=(
                FEWER,
                Cure("raise TasksMax= of the unit, or the pids limit of the container", "", Needs.ROOT),
            ),
            source="Documentation/admin-guide/cgroup-v2.rst, PID (v6.18)",
            used=used,
            most=most,
        )
    yield from _refused(patient)


def _refused(patient: Patient) -> Iterator[Trouble]:
    for path in patient.now.cgroups:
        moved = moved_in_cgroup(patient, path, "pids_refused")
        if moved is not None:
            rank, count = moved
            yield Trouble(
                key="pids-max-refused",
                rank=rank,
                says=f"fork() failed in the cgroup {path} because of pids.max: {patient.times(rank, count)}",
                subject=patient.of_cgroup(path),
                evidence=(f"pids.events: {patient.times(rank, count)}",),
                cause="more processes and threads than pids.max (TasksMax=) allows",
                cures=(
                    FEWER,
                    Cure("raise TasksMax= of the unit, or the pids limit of the container", "", Needs.ROOT),
                ),
                source="Documentation/admin-guide/cgroup-v2.rst, PID (v6.18)",
            )


def moved_in_cgroup(patient: Patient, path: str, name: str) -> tuple[Rank, int] | None:
    """A counter of failures of a cgroup, as Patient.moved gives it for namespaces."""
    count: int | None = getattr(patient.now.cgroups[path], name)
    if not count:
        return None
    if patient.before is None:
        return Rank.SO_FAR, count
    was = getattr(patient.before.cgroups.get(path), name, None)
    return (Rank.FAILS, count - was) if was is not None and count > was else None


def _threads_in(patient: Patient, path: str) -> Tally[int]:
    processes = patient.now.processes.values()
    return Tally({each.pid: each.threads or 0 for each in processes if each.cgroup == path})


def host_tasks(patient: Patient) -> Iterator[Trouble]:
    """Threads of the host against kernel.threads-max and kernel.pid_max."""
    used = patient.now.threads
    for setting in ("kernel.threads-max", "kernel.pid_max"):
        most = patient.number(setting)
        rank = rank_of(used, most) if used is not None and most else None
        if rank is None or used is None or most is None:
            continue
        holders = Tally({each.pid: each.threads or 0 for each in patient.now.processes.values()})
        yield Trouble(
            key=setting.partition(".")[2].replace("_", "-"),
            rank=rank,
            says=f"the host has {of_most(used, most)} threads that {setting} allows{so(rank, FAIL)}",
            subject=Subject(),
            evidence=(f"{setting} = {most}", *patient.most_have(holders)),
            cause="more processes and threads than the host is set up for",
            cures=(FEWER, Cure(f"sysctl -w {setting}={2 * most}", "each thread takes kernel memory", Needs.ROOT)),
            source="proc_sys_kernel(5)",
            used=used,
            most=most,
        )


def user_tasks(patient: Patient) -> Iterator[Trouble]:
    """Threads of each user against RLIMIT_NPROC of its processes; it does not bind root, nor who has the capability."""
    threads, tightest = Tally[int](), dict[int, HostProcess]()
    for process in patient.now.processes.values():
        if process.uid is None:
            continue
        threads[process.uid] += process.threads or 0
        free = process.capabilities >> CAP_SYS_RESOURCE & 1 or process.capabilities >> CAP_SYS_ADMIN & 1
        if process.uid and not free and process.processes_soft is not None:
            known = tightest.get(process.uid)
            if known is None or process.processes_soft < (known.processes_soft or 0):
                tightest[process.uid] = process
    for uid, process in tightest.items():
        used, most = threads[uid], process.processes_soft or 0
        rank = rank_of(used, most) if most > 1 else None  # 0 and 1: a program that is never to fork
        if rank is None:
            continue
        mine = Tally({each.pid: each.threads or 0 for each in patient.now.processes.values() if each.uid == uid})
        yield Trouble(
            key="user-processes",
            rank=rank,
            says=f"user {uid} has {of_most(used, most)} threads that its {process.name} ({process.pid}) allows"
            + so(rank, FAIL),
            subject=Subject(uid=uid, pid=process.pid, process=process.name),
            evidence=(f"RLIMIT_NPROC = {most}", *patient.most_have(mine)),
            cause="RLIMIT_NPROC counts all threads of the user, of all its programs",
            cures=(FEWER, Cure("raise LimitNPROC= of the unit, or nproc in limits.conf", "", Needs.ROOT)),
            source="getrlimit(2), RLIMIT_NPROC",
            used=used,
            most=most,
        )


def mappings(patient: Patient) -> Iterator[Trouble]:
    """Memory mappings of each process against vm.max_map_count: two for each thread, one for each mapped file."""
    most = patient.number("vm.max_map_count")
    for process in patient.now.processes.values():
        rank = rank_of(process.maps, most) if process.maps is not None and most else None
        if rank is None or process.maps is None or most is None:
            continue
        yield Trouble(
            key="mappings",
            rank=rank,
            says=f"{process.name} ({process.pid}) has {of_most(process.maps, most)} memory mappings"
            + so(rank, "mmap() and pthread_create() {now}fail with ENOMEM or EAGAIN"),
            subject=patient.of_process(process.pid),
            evidence=(f"vm.max_map_count = {most}", f"its threads: {process.threads or 0}"),
            cause="many mapped files or threads, each of which takes mappings of its own",
            cures=(Cure(f"sysctl -w vm.max_map_count={4 * most}", "takes some kernel memory", Needs.ROOT), FEWER),
            source="Documentation/admin-guide/sysctl/vm.rst, max_map_count (v6.18)",
            used=process.maps,
            most=most,
        )
