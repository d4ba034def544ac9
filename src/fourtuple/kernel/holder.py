"""The holder of a private namespace, and the way into it: `python -m fourtuple.kernel.holder hold|enter|visit …`.

A namespace exists while a process is in it. The holder is a process with no other task: it reports that the namespace
is ready, and waits until its standard input closes, which also happens when the process that started it dies.

With processes of its own, a namespace has a PID and a mount namespace too, and the holder is their init: when an init
ends for any reason, the kernel kills every process in its PID namespace, and none can leave it (pid_namespaces(7)).

    maker ─ hold (waits) ─ init     │ PID namespace
          └ enter (relays) ─ COMMAND│ signals in, exit code out

Only a single-threaded process can create or enter a user namespace (unshare(2), setns(2): EINVAL otherwise), and
importing NumPy starts a thread. So fresh interpreters do both, and this module does not import NumPy.
"""

import errno
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from types import FrameType

from fourtuple.core.errors import EXIT_CANNOT, EXIT_USAGE
from fourtuple.kernel import children, syscalls
from fourtuple.kernel.begin import begin
from fourtuple.kernel.netns import KILL, READY, NamespaceOrder, enter_new
from fourtuple.kernel.syscalls import CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWUSER

NOT_EXECUTABLE, NOT_FOUND = 126, 127  # exit codes, as in shells
# Settings of the whole host. /proc/sys/net, which belongs to the network namespace, stays writable.
OF_THE_HOST = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sysrq-trigger", "/proc/sys")
# Capabilities that no experiment with a network needs: modules, raw hardware, reboot, clock (linux/capability.h).
NOT_INSIDE = {"SYS_MODULE": 16, "SYS_RAWIO": 17, "SYS_BOOT": 22, "SYS_TIME": 25}
PROC_FLAGS = syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC
RELAYED = (*children.ENDING, signal.SIGUSR1, signal.SIGUSR2)


def hold(order: NamespaceOrder) -> int:
    """Make the namespace, print that it is ready with the holder's PID, and hold it → exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        make, forks = _begun(order)
    except OSError as error:
        print(_why_not(error), file=sys.stderr)
        return EXIT_CANNOT
    if not forks:
        return _hold(make, lambda without: print(READY, os.getpid(), *without, flush=True))
    ready, tell = os.pipe()
    holder = children.fork(partial(_hold_inside, make, ready, tell))
    os.close(tell)
    if text := os.read(ready, 4096).decode():
        print(READY, holder, text.strip(), flush=True)
    _leave_standard_streams()
    return children.exit_code(os.waitstatus_to_exitcode(os.waitpid(holder, 0)[1]))


def _begun(order: NamespaceOrder) -> tuple[Callable[[], list[str]], bool]:
    """Move to where the holder can start → what it does there first, and whether that needs a fork. Raises OSError.

    What it does first gives the parent settings that this kernel does not have.
    """
    make = partial(enter_new, order.settings, order.parent_settings)
    if order.beside is not None:
        return make, enter_all(order.beside)
    if not order.processes:
        return make, False
    user = os.readlink("/proc/self/ns/user")
    without = make(CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWNS)
    # Only root of the host can write the host's settings; in a new user namespace nobody is.
    confined = order.confined and user == os.readlink("/proc/self/ns/user")
    return partial(_make_init, without, confined=confined), True


def _hold_inside(make: Callable[[], list[str]], ready: int, tell: int) -> int:
    children.die_with_parent(0)
    # getppid() does not show whether the parent ended before that call. But then nobody reads what is told: EPIPE.
    os.close(ready)
    return _hold(make, lambda without: os.write(tell, " ".join([*without, "\n"]).encode()))


def _hold(make: Callable[[], list[str]], say: Callable[[list[str]], object]) -> int:
    """Make the namespace, say so, and hold it until standard input is closed → exit code."""
    try:
        say(make())
    except OSError as error:
        print(_why_not(error), file=sys.stderr)
        return EXIT_CANNOT
    os.read(0, 1)
    _end_others()
    return 0


def _make_init(without: list[str], *, confined: bool) -> list[str]:
    """Mount what the first process of a PID namespace needs → `without`. Raises OSError."""
    # Nothing that is mounted inside appears outside; what the host mounts or unmounts changes inside, too.
    syscalls.mount("none", "/", "none", syscalls.MS_REC | syscalls.MS_SLAVE)
    if confined:
        _mount_whole_proc()
    syscalls.mount("proc", "/proc", "proc", PROC_FLAGS)
    if confined:
        confine()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans come to an init; the kernel is to wait for them
    return without


def _mount_whole_proc() -> None:
    """Mount a /proc without read-only parts where no path leads to.

    In another user namespace, a new /proc may be mounted only if there is one of which nothing is hidden; where that is
    does not matter (mount_too_revealing() in fs/namespace.c, v6.18). So a lab may run inside a lab as another user.
    """
    syscalls.mount("none", "/proc", "tmpfs", PROC_FLAGS)
    os.mkdir("/proc/whole")
    syscalls.mount("proc", "/proc/whole", "proc", PROC_FLAGS)


def confine() -> None:
    """Make the host's settings read-only in this mount namespace, and give up the capabilities of NOT_INSIDE."""
    for place in filter(os.path.exists, OF_THE_HOST):
        syscalls.mount(place, place, "none", syscalls.MS_BIND)
    syscalls.mount("/proc/sys/net", "/proc/sys/net", "none", syscalls.MS_BIND)
    for place in filter(os.path.exists, OF_THE_HOST):
        syscalls.mount("none", place, "none", syscalls.MS_BIND | syscalls.MS_REMOUNT | syscalls.MS_RDONLY | PROC_FLAGS)
    try:
        syscalls.make_read_only("/sys")
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.ENOENT, errno.EINVAL):  # older than Linux 5.12, or no /sys
            raise
    for number in NOT_INSIDE.values():
        syscalls.prctl(syscalls.PR_CAPBSET_DROP, number)


def _end_others() -> None:
    """As the init of a PID namespace, end every other process in it: by SIGTERM, and after END_S by its own end."""
    if os.getpid() != 1:  # there kill(-1) would reach the processes of the whole host
        return
    until_s = time.monotonic() + children.END_S
    with suppress(ProcessLookupError):
        os.kill(-1, signal.SIGTERM)
        while time.monotonic() < until_s:
            os.kill(-1, 0)
            time.sleep(children.POLL_S)


def enter_all(pid: int) -> bool:
    """Move this process into the user, mount, PID and network namespaces of process `pid`, with its bounding set.

    → is it a fork() that brings a process into the PID namespace? Raises OSError.
    """
    others = [
        (name, flag)
        for name, flag in (("user", CLONE_NEWUSER), ("mnt", CLONE_NEWNS), ("pid", CLONE_NEWPID), ("net", CLONE_NEWNET))
        if os.readlink(f"/proc/{pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}")
    ]
    gone = _bounding_set("self") & ~_bounding_set(str(pid))
    here = _working_directory()
    handles = [(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), flag) for name, flag in others]
    for handle, flag in handles:
        syscalls.setns(handle, flag)
        os.close(handle)
    if here:  # setns(2): a mount namespace is entered at its root
        with suppress(OSError):
            os.chdir(here)
    if "user" not in dict(others):
        for number in filter(lambda number: gone >> number & 1, range(gone.bit_length())):
            syscalls.prctl(syscalls.PR_CAPBSET_DROP, number)
    return "pid" in dict(others)


def _bounding_set(pid: str) -> int:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1], 16) for line in status if line.startswith("CapBnd:"))


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def run(pid: int, command: Sequence[str], *, tied: bool) -> int:
    """Run `command` in the namespaces of process `pid` → its exit code, unless this process becomes the command.

    tied: it is killed when the parent of this process ends
    """
    parent = os.getppid()
    try:
        forks = enter_all(pid)
    except OSError as error:
        print(f"the namespace of process {pid}: {error.strerror}", file=sys.stderr)
        return EXIT_CANNOT
    if tied:  # after setns(2), which would clear the setting (prctl(2))
        children.die_with_parent(parent, KILL if forks else signal.SIGKILL)
    if not forks:
        return _become(command)
    terminal = Terminal.in_use()
    is_leader = os.getpgrp() == os.getpid()
    child = children.fork(partial(_begin_inside, command, terminal, apart=is_leader or terminal is not None))
    if not is_leader and terminal is None:
        os.setpgid(0, 0)  # signals to the group reach the command itself, so they must not be relayed, too
    return _relay(child, terminal)


def _begin_inside(command: Sequence[str], terminal: "Terminal | None", *, apart: bool) -> int:
    """Become the command, as the child of a relay. apart: in a process group of its own."""
    children.die_with_parent(0)
    if apart:
        os.setpgid(0, 0)
    if terminal:
        terminal.give(os.getpid())
    return _become(command)


def _become(command: Sequence[str]) -> int:
    """Execute the command in this process → the exit code of shells if that is not possible."""
    # Python ignores these two, and exec would keep that; and a shell that starts a command in the background has it
    # ignore Ctrl-C.
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    children.release_signals()
    try:
        os.execvp(command[0], list(command))  # noqa: S606  (no shell is meant)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        return NOT_FOUND if error.errno == errno.ENOENT else NOT_EXECUTABLE


class Terminal:
    """The terminal of an interactive command, whose process group has it while the command runs.

    A shell compares its process group with that of the terminal, and gives the terminal back in the end (tcsetpgrp(3)).
    So it needs a group that has a number in its own PID namespace.
    """

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._group = os.getpgrp()

    @classmethod
    def in_use(cls) -> "Terminal | None":
        """None: standard input or output is no terminal, or another process group has it."""
        try:
            interactive = os.isatty(1) and os.tcgetpgrp(0) == os.getpgrp()
        except OSError:
            return None
        return cls(os.dup(0)) if interactive else None

    def give(self, group: int) -> None:
        """Make `group` the foreground process group. A background process may do so while it blocks SIGTTOU."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
        with suppress(OSError):  # the terminal is gone
            os.tcsetpgrp(self._handle, group)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def take(self) -> None:
        """Make the process group that had the terminal at first the foreground process group."""
        self.give(self._group)

    def resume(self, child: int) -> None:
        """Continue the command's process group, in the foreground if the shell put this one there."""
        with suppress(OSError):
            if os.tcgetpgrp(self._handle) == self._group:
                self.give(child)
        with suppress(ProcessLookupError):
            os.killpg(child, signal.SIGCONT)


def _relay(child: int, terminal: Terminal | None) -> int:
    """Pass signals on to the child until it ends → its exit code; a signal that ended it ends this process, too."""

    def pass_on(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(child, number)

    for number in RELAYED:
        signal.signal(number, pass_on)
    signal.signal(KILL, lambda _, frame: pass_on(signal.SIGKILL, frame))
    if terminal:
        signal.signal(signal.SIGCONT, lambda *_: terminal.resume(child))
    _leave_standard_streams()
    children.release_signals()
    while True:
        _, status = os.waitpid(child, os.WUNTRACED if terminal else 0)
        if terminal:
            terminal.take()
        if not os.WIFSTOPPED(status):
            break
        os.killpg(0, signal.SIGTSTP)  # the whole job stops, as its shell expects; here it goes on after `fg` or `bg`
        if terminal:
            terminal.resume(child)
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        _end_by(-code)
    return children.exit_code(code)


def _end_by(number: int) -> None:
    """End this process by that signal, without a core file: the command has left one if it was to."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with suppress(OSError):  # SIGKILL has no action to be set
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _leave_standard_streams() -> None:
    """Let go of descriptors 0 to 2: whoever reads the other end is to see when the command closes them."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.close(null)


def _why_not(error: OSError) -> str:
    if error.filename:
        return f"{error.filename}: {error.strerror}"
    text = f"{error.strerror} ({errno.errorcode.get(error.errno or 0, error.errno)})"
    if error.errno in (errno.ENOSPC, errno.EUSERS):
        return f"{text}: a limit of user.max_*_namespaces is reached"
    if (error.strerror or "").startswith("mount"):  # EPERM where parts of /proc are hidden
        return f"{text}: no /proc may be mounted here (container, chroot, seccomp or AppArmor)"
    return f"{text}: user namespaces are not allowed here (container, chroot, seccomp or AppArmor)"


def _main(arguments: Sequence[str]) -> int:
    begin()
    verb, what, *command = arguments
    if verb == "hold":
        return hold(NamespaceOrder(**json.loads(what)))
    if not command:
        print("no command given", file=sys.stderr)
        return EXIT_USAGE
    return run(int(what), command, tied=verb == "enter")


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
