"""Open files: of each process, of the host; and the inotify instances and watches of each user.

A process with a very small limit that it cannot raise has confined itself on purpose, as sshd and browsers do.
"""

from collections.abc import Iterator
from dataclasses import replace

from fourtuple.core.doctor.patient import Patient, of_most, rank_of
from fourtuple.core.doctor.records import Subject, Trouble
from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.snapshot.records import HostProcess
from fourtuple.core.units import format_count

CONFINED = 8  # files: a program that means to work with descriptors has more
SELECT = "a program that uses select() breaks with descriptors above 1,023"
INOTIFY = ("fs.inotify.max_user_instances", "fs.inotify.max_user_watches")


def process_files(patient: Patient) -> Iterator[Trouble]:
    """The descriptors of each process against its own soft limit."""
    nr_open = patient.number("fs.nr_open")
    for process in patient.now.processes.values():
        soft, used = process.files_soft, process.files_open
        if soft is None or used is None or (soft <= CONFINED and process.files_hard == soft):
            continue
        rank = rank_of(used, soft)
        if rank is None:
            continue
        evidence = [f"{of_most(used, soft)} descriptors are open (soft limit)"]
        if process.files_hard is not None:
            evidence.append(f"its hard limit is {format_count(process.files_hard)}")
        yield Trouble(
            key="open-files",
            rank=rank,
            says=f"{process.name} ({process.pid}) has {of_most(used, soft)} files open: then accept(), socket() and"
            " open() fail with EMFILE",
            subject=patient.of_process(process.pid),
            evidence=tuple(evidence),
            cause="its soft limit of open files (RLIMIT_NOFILE) is too small, or it does not close what it opens",
            cures=tuple(_file_cures(process, soft, nr_open, own=patient.now.uid in (0, process.uid))),
            source="getrlimit(2), RLIMIT_NOFILE",
            used=used,
            most=soft,
        )


def _file_cures(process: HostProcess, soft: int, nr_open: int | None, *, own: bool) -> Iterator[Cure]:
    """own: the process is one that this user may change"""
    hard = process.files_hard
    if hard is None or hard > soft:
        to = hard if hard is not None else 2 * soft
        yield Cure(
            f"prlimit --pid {process.pid} --nofile={to}:{to}",
            f"{SELECT}; it lasts until the process ends",
            Needs.NOTHING if own else Needs.ROOT,
        )
        yield Cure("set LimitNOFILE= in its unit, or ulimit -n before it starts", SELECT, Needs.RESTART)
        return
    if nr_open is not None and soft >= nr_open:
        yield Cure(f"sysctl -w fs.nr_open={2 * nr_open}, then raise its limit", "takes kernel memory", Needs.ROOT)
        return
    to = min(2 * soft, nr_open or 2 * soft)
    yield Cure(f"prlimit --pid {process.pid} --nofile={to}:{to}", f"{SELECT}; it lasts until it ends", Needs.ROOT)
    yield Cure("set LimitNOFILE= in its unit, or nofile in limits.conf", SELECT, Needs.ROOT)


def host_files(patient: Patient) -> Iterator[Trouble]:
    """The open files of the whole host against fs.file-max."""
    used, most = patient.now.files_in_use, patient.number("fs.file-max")
    rank = rank_of(used, most) if used is not None and most else None
    if rank is None or used is None or most is None:
        return
    holders = {pid: process.files_open or 0 for pid, process in patient.now.processes.items()}
    yield Trouble(
        key="host-files",
        rank=rank,
        says=f"{of_most(used, most)} files of the whole host are open: then every program but root's fails with ENFILE",
        subject=Subject(),
        evidence=tuple(filter(None, [f"fs.file-nr {format_count(used)}", f"the most have {patient.named(holders)}"])),
        cause="fs.file-max is too small for what runs here, or a program leaks descriptors",
        cures=(
            Cure(f"sysctl -w fs.file-max={2 * most}", "each open file takes some kernel memory", Needs.ROOT),
            Cure("restart the program that has the most", "its connections end", Needs.RESTART),
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
                says=f"user {uid} has {of_most(used, most)} {name.replace('_', ' ')}: then {call} fails with {error}",
                subject=replace(Subject(), uid=uid),
                evidence=(f"{setting} = {most}", f"the most have {patient.named(holders)}"),
                cause="watchers of files of all programs of a user count together",
                cures=(
                    Cure(f"sysctl -w {setting}={4 * most}", "a watch takes about 1 KiB of kernel memory", Needs.ROOT),
                    Cure("let fewer programs of this user watch files", "", Needs.SETTING),
                ),
                source="inotify(7), /proc interfaces",
                used=used,
                most=most,
            )
