"""Causes that leave no descriptor, no watch, or no higher limit of them."""

from collections.abc import Iterator, Mapping

from fourtuple.core.limits import meters
from fourtuple.core.limits.cures import Cure, Needs
from fourtuple.core.limits.remarks import NR_OPEN
from fourtuple.core.units import format_count, format_things
from fourtuple.core.why.scene import HALF, NEAR, Cause, Evidence, Numbers, Scene, ceiling, filled, limited, near, same

LEAK = Cure("find what leaks: ls -l /proc/PID/fd, fourtuple limits --pid PID", needs=Needs.NOTHING)
NR_OPEN_TO = Cure(
    "sysctl -w fs.nr_open=…, then raise LimitNOFILE=",
    "each process may then take more kernel memory for descriptors",
    Needs.ROOT,
)


def file_limits(scene: Scene) -> Numbers:
    if not scene.asked:
        return ()
    soft = meters.PROCESS_FILES.ceiling(scene.world)
    return soft, soft and soft // 2


def files(scene: Scene) -> Iterator[Evidence]:
    process = scene.world.process
    if not scene.asked:
        yield Evidence(0, "the process is not known here; --pid PID shows how many files it has open")
        return
    whose, soft = f"{process.name} ({process.pid})", process.files_soft
    yield from same(scene, soft, f"RLIMIT_NOFILE of {whose}")
    if soft and near(scene.number and 2 * scene.number, soft):
        yield Evidence(2, f"RLIMIT_NOFILE of {whose} is {format_count(soft)}: two files per connection")
    if process.files_open is not None and soft:
        full = soft - process.files_open < min(NEAR, soft // 10)
        text = f"{format_count(process.files_open)} of {format_count(soft)} are open in {whose}"
        yield Evidence(4 if full else -1 if scene.error == "EMFILE" else 0, text)


def more_files(scene: Scene) -> Iterator[Cure]:
    process = scene.world.process
    hard, soft = process.files_hard, process.files_soft
    if scene.asked and hard and soft and hard > soft:
        yield Cure(
            f"prlimit --pid {process.pid} --nofile={hard}:{hard} raises it to the hard limit at once",
            "until the program restarts; programs with select() fail above 1,024",
        )
    yield from MORE_FILES


MORE_FILES = (
    Cure(
        "raise it: LimitNOFILE= for services, --ulimit nofile= for containers, ulimit -n for shells",
        "programs with select() fail above 1,024",
        Needs.RESTART,
    ),
    LEAK,
    Cure("use more processes", "more memory", Needs.SETTING),
)


def files_there(scene: Scene) -> Iterator[Evidence]:
    soft = scene.world.process.files_soft if scene.asked else None
    if scene.number and soft and scene.number + NEAR < soft:
        yield Evidence(1, f"the client may open {format_things(soft, 'file')}, so its limit is not reached")
    yield Evidence(0, "the server's limit cannot be read from here")


def file_max(scene: Scene) -> Iterator[Evidence]:
    return filled(scene, meters.HOST_FILES, HALF, (3, -2), "files are open on the host")


def select(scene: Scene) -> Iterator[Evidence]:
    soft = scene.world.process.files_soft if scene.asked else None
    if soft is not None and scene.number is not None:
        above = soft > 1024
        word = "more" if above else "no more"
        yield Evidence(1 if above else -1, f"{format_count(soft)} files may be open, {word} than select() supports")


def watches(scene: Scene) -> Iterator[Evidence]:
    limit = meters.WATCHES.ceiling(scene.world)
    yield from same(scene, limit, "fs.epoll.max_user_watches")
    if limit is not None and scene.number is None:
        yield Evidence(0, f"fs.epoll.max_user_watches is {format_count(limit)} for each user")


def inotify_instances(scene: Scene) -> Iterator[Evidence]:
    return limited(scene, "fs.inotify.max_user_instances", "inotify instances of the user exist")


def inotify_watches(scene: Scene) -> Iterator[Evidence]:
    return limited(scene, "fs.inotify.max_user_watches", "inotify watches of the user exist")


def nr_open(scene: Scene) -> Iterator[Evidence]:
    limit = meters.NR_OPEN.ceiling(scene.world)
    yield from same(scene, limit, "fs.nr_open")
    if limit is None:
        return
    if scene.number is not None and scene.number > limit:
        yield Evidence(4, f"the limit that was asked for is above fs.nr_open, {format_count(limit)}")
    if limit < NR_OPEN:
        yield Evidence(2, f"fs.nr_open is {format_count(limit)}, below the kernel's default of {format_count(NR_OPEN)}")


def hard_limit(scene: Scene) -> Iterator[Evidence]:
    hard = scene.world.process.files_hard if scene.asked else None
    if hard is not None:
        over = scene.number is not None and scene.number > hard
        text = f"the hard limit of {scene.world.process.name} ({scene.world.process.pid}) is {format_count(hard)}"
        yield Evidence(4 if over else 0, text)


FILES: Mapping[str, Cause] = {
    "files": Cause(
        "the process has reached its limit of open files (RLIMIT_NOFILE)", MORE_FILES, files, file_limits, more_files
    ),
    "files-there": Cause(
        "the server has reached its limit of open files: accept() fails, but the client believes it is connected",
        (
            Cure("run fourtuple limits --pid PID on the server", needs=Needs.OTHERS),
            Cure("raise LimitNOFILE= on the server", "the service restarts", Needs.OTHERS),
        ),
        files_there,
    ),
    "file-max": Cause(
        "the whole host has reached its limit of open files (fs.file-max)",
        (
            Cure("find the process that leaks files: fourtuple doctor, or lsof"),
            Cure("sysctl -w fs.file-max=…", "each open file takes kernel memory", Needs.ROOT),
        ),
        file_max,
    ),
    "hard-limit": Cause(
        "the program asked for more open files than its hard limit allows, which only root may exceed",
        (
            Cure(
                "raise the hard limit: LimitNOFILE= in the unit (systemctl edit), --ulimit nofile= for containers,"
                " /etc/security/limits.conf for logins",
                "the service restarts; a user's systemd cannot exceed DefaultLimitNOFILE= of the system's",
                Needs.ROOT,
            ),
            Cure(
                "let the program ask for less: its setting of connections or files", "fewer connections", Needs.SETTING
            ),
            Cure("prlimit --pid PID --nofile shows both limits"),
        ),
        hard_limit,
    ),
    "nr-open": Cause(
        "the process has reached fs.nr_open, the highest possible limit of open files",
        (NR_OPEN_TO, Cure("use more processes", "more memory", Needs.SETTING)),
        nr_open,
        ceiling(meters.NR_OPEN),
    ),
    "select": Cause(
        "select() does not support descriptors of 1,024 and above",
        (
            Cure("use poll() or epoll: an option of the program, or its newer version", needs=Needs.SETTING),
            Cure("replace select() by poll() or epoll", needs=Needs.CODE),
        ),
        select,
    ),
    "watches": Cause(
        "the user has reached the limit of epoll watches (fs.epoll.max_user_watches)",
        (
            Cure(
                "sysctl -w fs.epoll.max_user_watches=…", "each watch takes about 100 bytes of kernel memory", Needs.ROOT
            ),
        ),
        watches,
        ceiling(meters.WATCHES),
    ),
    "inotify-instances": Cause(
        "the user has reached the limit of inotify instances (fs.inotify.max_user_instances), not of open files",
        (
            Cure("find who has them: fourtuple doctor, or find /proc/*/fd -lname anon_inode:inotify"),
            Cure(
                "sysctl -w fs.inotify.max_user_instances=8192",
                "all processes of a user share it, containers of the same user ID too; an instance takes little memory",
                Needs.ROOT,
            ),
        ),
        inotify_instances,
    ),
    "inotify-watches": Cause(
        "the user has reached the limit of inotify watches (fs.inotify.max_user_watches): the disk is not full",
        (
            Cure("watch fewer files: exclude folders such as node_modules or .git", needs=Needs.SETTING),
            Cure(
                "sysctl -w fs.inotify.max_user_watches=524288",
                "each watch takes about 1 KiB of kernel memory",
                Needs.ROOT,
            ),
        ),
        inotify_watches,
    ),
    "no-space": Cause(
        "not connections: the disk or its inodes are full",
        (
            Cure("df -h and df -i show which file system"),
            Cure("delete or rotate what fills it", "what is deleted is gone"),
        ),
    ),
    "in-flight": Cause(
        "too many descriptors were sent over Unix sockets and are not yet received (RLIMIT_NOFILE of the user)",
        (Cure("receive them, or send fewer at once", needs=Needs.CODE),),
    ),
}
