"""Child processes: how our programs start, fork, wait for a process, stop and end processes, and end with their parent.

The exit status of a child can be lost: if SIGCHLD is ignored, the kernel discards it (wait(2), NOTES). Our own programs
restore SIGCHLD (kernel/begin.py). In somebody else's process the setting is theirs; a status that is lost is then
unknown here, never 0.
"""

import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from fourtuple.kernel.syscalls import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, prctl

ENDING = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGHUP)  # what asks a process to end
END_S = 1.0  # between SIGTERM and SIGKILL
POLL_S = 0.01
STOP_S, STOP_POLL_S = 0.2, 0.0005  # how long to wait for processes to stop, and between two looks at them
CPUCLOCK_SCHED = 2  # include/linux/posix-timers_types.h (v6.18)
STILL = "TtZXD"  # thread states (proc_pid_stat(5)) that run no code of the program; D: a parent that waits in vfork()
FAILED = 1  # exit code of a forked process that an exception ended


@contextmanager
def signals_held() -> Iterator[None]:
    """Deliver no signal of ENDING to this thread during the block; they arrive after it.

    A process that is started in the block holds them too, until it calls `release_signals`: so none can meet it while
    it is not ready.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def release_signals() -> None:
    """Have the signals of ENDING delivered, also those that arrived meanwhile."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


def start(
    command: Sequence[str], *, prepare: Callable[[], None] | None = None, **options: Any
) -> "subprocess.Popen[Any]":
    """subprocess.Popen of a program that is killed when this process ends, however that ends.

    prepare: called in the child before the program is executed
    """
    parent = os.getpid()

    def tie() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # exec would keep it ignored
        if prepare:
            prepare()
        die_with_parent(parent)

    return subprocess.Popen(command, preexec_fn=tie, **options)


def fork(run: Callable[[], int]) -> int:
    """Fork a process that does nothing but `run`, whose result is its exit code → its PID. Raises OSError.

    An exception in it is printed to standard error, and its exit code is FAILED.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = FAILED
    try:
        code = run()
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(code)


def has_ended(pid: int) -> tuple[bool, int | None]:
    """Has the child ended, and with which exit code? 128 + n: by signal n; None: it is running, or nobody knows."""
    try:
        ended, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # SIGCHLD is ignored, or something else in this process has waited for it
        return True, None
    return bool(ended), exit_code(os.waitstatus_to_exitcode(status)) if ended else None


def wait(program: "subprocess.Popen[Any]") -> int | None:
    """Wait for the program → its exit code, 128 + n if signal n ended it; None: unknown.

    subprocess reports 0 where the status is lost, so the kernel is asked first.
    """
    if program.returncode is None:
        try:
            os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            program.wait()
            return None
    return exit_code(program.wait())


def exit_code(code: int) -> int:
    """The exit code as shells report it, from the one that subprocess reports: 128 + n if signal n ended it."""
    return 128 - code if code < 0 else code


def adopt_orphans() -> None:
    """Become the parent of processes that our descendants leave behind (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)


@contextmanager
def orphans_ended() -> Iterator[None]:
    """Adopt orphans during the block, and end every process that was started in it and is left."""
    known = children()
    adopt_orphans()
    try:
        yield
    finally:
        end_children(but=known)
        prctl(PR_SET_CHILD_SUBREAPER, 0)  # an orphan of later would be nobody's: nothing here would wait for it


def children(of: int | str = "self") -> set[int]:
    """The PIDs of our child processes, or of those of another process.

    Empty if the kernel does not list them (CONFIG_PROC_CHILDREN).
    """
    found = set[int]()
    with suppress(FileNotFoundError, ProcessLookupError):  # it, or a thread, may end meanwhile
        for task in os.listdir(f"/proc/{of}/task"):
            with suppress(FileNotFoundError, ProcessLookupError), open(f"/proc/{of}/task/{task}/children") as file:
                found.update(map(int, file.read().split()))
    return found


def cpu_s(pid: int) -> float:
    """CPU time so far of a process and of its descendants, as far as they are running, in seconds.

    Each process has a clock of its CPU time, whose ID is made of the PID (clock_getcpuclockid(3)).
    """
    total_s = sum(map(cpu_s, children(pid)))
    with suppress(OSError):  # it has ended
        total_s += time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)
    return total_s


def running(but: set[int]) -> set[int]:
    """The PIDs of our children, and of orphans left to us, that are running; those that have ended are waited for.

    but: PIDs that do not count
    """
    for pid in children() - but:
        has_ended(pid)
    return children() - but


def end_children(but: set[int]) -> None:
    """End our children, and the orphans they leave to us: by SIGTERM, and after END_S by SIGKILL.

    but: PIDs to leave running
    """
    asked, until_s = set[int](), time.monotonic() + END_S
    while left := running(but):
        is_late = time.monotonic() >= until_s
        for pid in left if is_late else left - asked:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL if is_late else signal.SIGTERM)
        asked |= left
        time.sleep(POLL_S)


@contextmanager
def stopped(but: set[int]) -> Iterator[bool]:
    """Stop our descendants during the block by SIGSTOP → have all of them stopped?

    but: PIDs of children that go on

    A process may notice: epoll_wait() and a few other calls fail with EINTR when it continues (signal(7)), and its
    parent gets a SIGCHLD. A process that something else had stopped stays so.
    """
    asked = set[int]()
    try:
        yield _stop(asked, but)
    finally:
        for pid in asked:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _stop(asked: set[int], but: set[int]) -> bool:
    """Stop our descendants, and note in `asked` which were sent SIGSTOP → are all of them stopped?"""
    still, until_s = set[int](), time.monotonic() + STOP_S
    while not (found := _descendants(but)) <= still:  # listed after those had stopped: they have started no other
        if time.monotonic() >= until_s:
            return False
        for pid in found - asked - {pid for pid in found if _is_still(pid)}:
            try:
                os.kill(pid, signal.SIGSTOP)
            except ProcessLookupError:
                continue
            except PermissionError:  # a program that has another user
                return False
            asked.add(pid)
        still = {pid for pid in found if _is_still(pid)}
        time.sleep(STOP_POLL_S)
    return True


def _descendants(but: set[int]) -> set[int]:
    """The PIDs of our children and of their descendants; not of those in `but`."""
    parents = {int(pid): _stat(f"/proc/{pid}")[1] for pid in os.listdir("/proc") if pid.isdecimal()}
    found, more = set[int](), {str(os.getpid())}
    while more:
        new = {pid for pid, parent in parents.items() if parent in more} - but - found
        found |= new
        more = set(map(str, new))
    return found


def _is_still(pid: int) -> bool:
    """Whether no thread of the process runs code of the program."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return True
    return all(_stat(f"/proc/{pid}/task/{task}")[0] in STILL for task in tasks)


def _stat(folder: str) -> tuple[str, str]:
    """State and parent of a process or thread, by its folder; X and nothing if it has ended."""
    try:
        with open(f"{folder}/stat") as file:
            state, parent, *_ = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "X", ""
    return state, parent


def die_with_parent(parent: int, number: int = signal.SIGKILL) -> None:
    """Have the kernel kill this process when the thread of `parent` that started it ends (prctl(2), PR_SET_PDEATHSIG).

    parent: what getppid() reports while it lives; 0 if it is outside of this PID namespace
    number: the signal
    """
    prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # the parent ended before the call
        os._exit(1)
