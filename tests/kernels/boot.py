"""A guest: boot a kernel over this machine's own files, run one command in it, and end it in time."""

import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from os import environ, getpid, killpg
from pathlib import Path

from fourtuple.kernel import children

MIB = 2**20
REPOSITORY = Path(__file__).parent.parent.parent
INIT = Path(__file__).with_name("guest.sh")
OWN = ("/tmp", "/run", "/var/tmp", "/dev/shm")  # noqa: S108  (folders of which the guest has its own)
RUNS, ENDED = " runs ---", "--- ended ---"  # what guest.sh prints around the command
PANIC = "Kernel panic"  # the last words of a kernel
END_S = 5.0  # between SIGTERM and SIGKILL
LAST_LINES = 5  # of the console, shown where the guest ended without an exit code


@dataclass(frozen=True, slots=True)
class Machine:
    """What boots.

    version: of its kernel, as people name it, such as 6.1.176, or that of Debian's package
    release: what `uname -r` reports in it
    modules: the folder of its modules; None: there are none
    start:   from words for the kernel's command line, and a folder for temporary files, to its program, whose standard
             output is the console; it is ended after the block
    """

    version: str
    release: str
    modules: Path | None
    start: Callable[[Sequence[str], Path], "AbstractContextManager[subprocess.Popen[str]]"]


@dataclass(frozen=True, slots=True)
class Ending:
    """How a command in a guest ended.

    code:    its exit code; None: the guest ended before the command
    why:     why there is no exit code
    seconds: from the guest's start to its end
    """

    code: int | None
    why: str
    seconds: float


def run(machine: Machine, command: str, limit_s: float, exchange: Path, out: Callable[[str], None] = print) -> Ending:
    """Run shell text as root in a guest, in the project's folder, and pass on what it prints.

    limit_s:  for all of it, booting included
    exchange: a folder that the guest sees as /mnt/exchange, and can write to
    """
    _fill(exchange, machine, command)
    start_s = time.monotonic()
    late = threading.Event()
    words = [f"init={exchange}/init", f"EXCHANGE={exchange}"]
    with (
        tempfile.TemporaryDirectory(prefix="fourtuple-guest-") as folder,
        machine.start(words, Path(folder)) as program,
    ):

        def stop() -> None:
            late.set()
            end(program)

        timer = threading.Timer(limit_s, stop)
        timer.start()
        lines = list(_passed_on(program, out))
        program.wait()
        timer.cancel()
    seconds = time.monotonic() - start_s
    code = exchange / "code"
    if code.exists() and (text := code.read_text().strip()):
        return Ending(int(text), "", seconds)
    if late.is_set():
        return Ending(None, f"its time limit of {limit_s:.0f} s is over", seconds)
    return Ending(None, f"the guest ended by itself: {' '.join(lines[-LAST_LINES:])}", seconds)


def _fill(exchange: Path, machine: Machine, command: str) -> None:
    """Write what the guest's first process reads."""
    (exchange / "code").unlink(missing_ok=True)
    modules = exchange / "modules" / "lib" / "modules" / machine.release
    modules.parent.mkdir(parents=True, exist_ok=True)
    modules.unlink(missing_ok=True)
    if machine.modules:
        modules.symlink_to(machine.modules)
    settings = {
        "MODULES": "/mnt/exchange/modules",
        "PROJECT": str(REPOSITORY),
        "HOME": "/tmp/home",  # noqa: S108  (the guest's own, as the next one)
        "HYPOTHESIS_STORAGE_DIRECTORY": "/tmp/hypothesis",  # noqa: S108
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    text = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in settings.items())
    (exchange / "settings").write_text(text)
    (exchange / "command").write_text(command + "\n")
    needed = [REPOSITORY, Path(sys.prefix), Path(sys.base_prefix), *([machine.modules] if machine.modules else [])]
    (exchange / "binds").write_text("".join(f"{path}\n" for path in hidden(needed)))
    shutil.copy(INIT, exchange / "init")


def hidden(paths: Sequence[Path]) -> list[Path]:
    """The paths that the guest's own folders would hide, without those that lie below another one."""
    below = {path.resolve() for path in paths if any(path.resolve().is_relative_to(folder) for folder in OWN)}
    return sorted(path for path in below if not below & set(path.parents))


@contextmanager
def started(command: Sequence[str], **environment: str) -> "Iterator[subprocess.Popen[str]]":
    """A program in a session of its own, which is ended after the block, and with this process."""
    parent = getpid()
    program = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environ | environment,
        start_new_session=True,
        # By SIGTERM: killed, user-mode Linux would leave its own processes behind.
        preexec_fn=lambda: children.die_with_parent(parent, signal.SIGTERM),
    )
    try:
        yield program
    finally:
        end(program)
        if program.stdout:
            program.stdout.close()


def end(program: "subprocess.Popen[str]") -> None:
    """End the program by SIGTERM, after END_S by SIGKILL; and what it started, which is in its session."""
    if program.poll() is None:
        program.terminate()
        with suppress(subprocess.TimeoutExpired):
            program.wait(END_S)
    with suppress(ProcessLookupError):
        killpg(program.pid, signal.SIGKILL)
    program.wait()


def _passed_on(program: "subprocess.Popen[str]", out: Callable[[str], None]) -> Iterator[str]:
    """Pass on what the command prints, and give the other lines of the console, and why the kernel stopped."""
    assert program.stdout is not None
    inside = False
    for line in program.stdout:
        text = line.rstrip()
        if text.endswith(RUNS) or text == ENDED:
            inside = text != ENDED
        elif inside:
            out(text)
            if text.startswith(PANIC):
                yield text
        elif text:
            yield text
