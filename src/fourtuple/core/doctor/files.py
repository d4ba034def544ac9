"""Open files: of each process, of the host; and the inotify instances and watches of each user.

A process with a very small limit that it cannot raise has confined itself on purpose, as sshd and browsers do.
"""

from collections.abc import Iterator
from dataclasses import replace

from fourtuple.core.doctor.patient import Patient, of_most, rank_of, so
from fourtuple.core.doctor.records import Subject, Trouble
from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.limits.measures import FILES_UNSURE
from fourtuple.core.snapshot.records import HostProcess
from fourtuple.core.units import format_count

CONFINED = 8  # files: a program that means to work with descriptors has more
SELECT = "a program that uses select() breaks with descriptors above 1,023"
LASTS = f"lasts until it ends; a program that read its limit at its start may keep to that; {SELECT}"
INOTIFY = ("fs.inotify.max_user_instances", "fs.inotify.max_user_watches")


def process_files(patient: Patient) -> Iterator[Trouble]:
    """The descriptors of each process against its own soft limit."""
    for process in patient.now.processes.values():
        soft, used = process.files_soft, process.files_open
        if soft is None or used is None or (soft <= CONFINED and process.files_hard == soft):
            continue
        rank = rank_of(used, soft)
        if rank is None:
            continue
        evidence = [f"{of_most(used, soft)} descriptors are open (soft limit)"]
        if process.files_unsure:
            evidence.append(FILES_UNSURE)
        if process.files_hard is not None:
            evidence.append(f"its hard limit is {format_count(process.files_hard)}")
        yield Trouble(
            key="open-files",
            rank=rank,
            says=f"{process.name} ({process.pid}) has {of_most(used, soft)} files open"
            + so(rank, "accept(), socket() and open() {now}fail with EMFILE"),
            subject=patient.of_process(process.pid),
            evidence=tuple(evidence),
            cause="its soft limit of open files (RLIMIT_NOFILE) is too small, or it does not close what it opens",
            cures=tuple(_file_cures(patient, process, soft)),
            source="getrlimit(2), RLIMIT_NOFILE",
            used=used,
            most=soft,
        )


def _file_cures(patient: Patient, process: HostProcess, soft: int) -> Iterator[Cure]:
    """Raising the soft limit up to the hard one needs no privilege over a process of one's own.

    All else needs CAP_SYS_RESOURCE (check_prlimit_permission() and do_prlimit() in kernel/sys.c, v6.18).
    """
    hard, nr_open = process.files_hard, patient.number("fs.nr_open")
    is_own = process.uid is not None and patient.now.uid == process.uid
    whose = patient.of_cgroup(process.cgroup)
    lasting = "raise it where the program is started: `ulimit -n`, or nofile in limits.conf and a new login"
    if whose.container:
        lasting = "raise the container's ulimit, `--ulimit nofile=`"
    elif whose.service:
        lasting = f"set LimitNOFILE= of {whose.service}"
    if hard is None or hard > soft:
        to = 2 * soft if hard is None else hard
        yield Cure(
            f"prlimit --pid {process.pid} --nofile={to}:{to}", LASTS, Needs.NOTHING if is_own else Needs.RESOURCE
        )
        yield Cure(lasting, SELECT, Needs.RESTART)
    elif nr_open is not None and soft >= nr_open:
        yield Cure(f"sysctl -w fs.nr_open={2 * nr_open}, then raise its limit", "takes kernel memory", Needs.ROOT)
    else:
        to = min(2 * soft, nr_open or 2 * soft)
        yield Cure(f"prlimit --pid {process.pid} --nofile={to}:{to}", LASTS, Needs.RESOURCE)
        yield Cure(lasting, SELECT, Needs.ROOT)


def host_files(patient: Patient) -> Iterator[Trouble]:
    """The open files of the whole host against fs.file-max."""
    used, most = patient.now.files_in_use, patient.number("fs.file-max")
    rank = rank_of(used, most) if used is not None and most else None
    if rank is None or used is None or most is None:
        return
    most_have = patient.most_have({pid: each.files_open or 0 for pid, each in patient.now.processes.items()})
    restart = Cure("restart the program that has the most", "its connections end", Needs.RESTART)
    yield Trouble(
        key="host-files",
        rank=rank,
        says=f"{of_most(used, most)} files of the whole host are open"
        + so(rank, "every program but root's {now}fails with ENFILE"),
        subject=Subject(),
        evidence=(f"fs.file-nr {format_count(used)}", *most_have),
        cause="fs.file-max is too small for what runs here, or a program leaks descriptors",
        cures=(
            Cure(f"sysctl -w fs.file-max={2 * most}", "each open file takes some kernel memory", Needs.ROOT),
            *((restart,) if most_have else ()),
        ),
        source="proc_sys_fs(5), file-max",
        used=used,
        most=most,
    )


def inotify(patient: Patient) -> Iterator[Trouble]:
    """The inotify instances and watches of each user: they fail with EMFILE and ENOSPC, which mean something else."""
    for counts, setting, call, error in (
        (patient.now.inotify_instances, INOTIFY[0], "inotify_init()", "EMFILE (too many open files)"),
        (patient.now.inotify_watches, INOTIFY[1], "inotify_add_watch()", "ENOSPC (no space left on device)"),
    ):
        most = patient.number(setting)
        for uid, used in counts.items():
            rank = rank_of(used, most) if most else None
            if rank is None or most is None:
                continue
            name = "inotify_instances" if setting == INOTIFY[0] else "inotify_watches"
            holders = {
                pid: getattr(process, name) or 0
                for pid, process in patient.now.processes.items()
                if process.uid == uid and getattr(process, name)
            }
            yield Trouble(
                key=name.replace("_", "-"),
                rank=rank,
                says=f"user {uid} has {of_most(used, most)} {name.replace('_', ' ')}"
                + so(rank, f"{call} {{now}}fails with {error}"),
                subject=replace(Subject(), uid=uid),
                evidence=(f"{setting} = {most}", *patient.most_have(holders)),
                cause="watchers of files of all programs of a user count together",
                cures=(
                    Cure(f"sysctl -w {setting}={4 * most}", "a watch takes about 1 KiB of kernel memory", Needs.ROOT),
                    Cure("let fewer programs of this user watch files", "", Needs.SETTING),
                ),
                source="inotify(7), /proc interfaces",
                used=used,
                most=most,
            )
