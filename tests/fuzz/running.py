"""One case: run it, and say what is wrong with how it ended. Nothing but an error of ours is right.

A command runs in a forked child, which may enter namespaces, change limits and fork; everything else runs here.
"""

import json
import os
import pkgutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from types import FrameType

from fourtuple.__main__ import main
from fourtuple.cli import cli
from fourtuple.cli.refused import asks_for_json
from fourtuple.core.errors import (
    EXIT_CANNOT,
    EXIT_INTERRUPTED,
    EXIT_REACHED,
    EXIT_SHORT,
    EXIT_USAGE,
    FourtupleError,
)

CODES = {EXIT_REACHED, EXIT_SHORT, EXIT_USAGE, EXIT_CANNOT, EXIT_INTERRUPTED}
REFUSED = {EXIT_USAGE, EXIT_CANNOT}
OURS = ("error: ", "Usage: ")  # a group alone gives its help
ENDLESS = {"hold", "churn", "serve", "census", "export", "runs", "snapshot"}  # with some options they run until Ctrl-C,
INTERRUPT_S = 1.5  # which they get after this time
LIMIT_S = 30.0  # after which a case counts as hanging, on a machine that is busy


class HangError(BaseException):
    """The case has not ended in time; no handler of the program under test may catch it."""


def load() -> None:
    """Import what commands import when they run, once for all children."""
    for room in ("verbs", "faces", "lessons", "store"):
        package = import_module(f"fourtuple.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)


def call(function: Callable[..., object], *arguments: object) -> str:
    """Call a reader → what is wrong; empty: it returned, or raised an error of ours."""

    def hang(number: int, frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, hang)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        function(*arguments)
    except FourtupleError:
        pass
    except HangError:
        return f"not over after {LIMIT_S} s"
    except Exception:
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return ""


def command(arguments: Sequence[str]) -> str:
    """Run the command with these arguments → what is wrong; empty: it ended as it may."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        pid = os.fork()
        if not pid:
            _child(arguments, output.fileno(), errors.fileno())
        code = _wait(pid, INTERRUPT_S if arguments[0] in ENDLESS else LIMIT_S)
        errors.seek(0)
        said = errors.read().decode(errors="replace")
        output.seek(0)
        given = output.read().decode(errors="replace")
    if code is None:
        return f"not over after {LIMIT_S} s\n{said[-2000:]}"
    if "Traceback" in said or "Exception ignored" in said:
        return said[-4000:]
    if code not in CODES and arguments[0] != "lab":  # which returns the code of its command
        return f"exit code {code}\n{said[-2000:]}"
    if "\nError: " in said or (code in REFUSED and arguments[0] != "lab" and not said.startswith(OURS)):
        return f"not an error of our form\n{said[-2000:]}"
    if code in REFUSED and asks_for_json(cli, arguments) and "error" not in json.loads(given.splitlines()[-1]):
        return f"no error in JSON\n{given[-2000:]}"
    return ""


def _child(arguments: Sequence[str], output: int, errors: int) -> None:
    """Become the command. Never returns."""
    code = 99
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setpgid(0, 0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (output, 1), (errors, 2)):
            os.dup2(source, target)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
        sys.argv = ["fourtuple", *arguments]
        main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 98
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def _wait(pid: int, interrupt_s: float) -> int | None:
    """The exit code of the child, which gets Ctrl-C after interrupt_s; None: it had to be killed."""
    began_s = time.monotonic()
    interrupted = False
    while time.monotonic() < began_s + LIMIT_S:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if not interrupted and time.monotonic() > began_s + interrupt_s:
            os.kill(pid, signal.SIGINT)
            interrupted = True
        time.sleep(0.002)
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None
