"""`fourtuple serve` or `fourtuple hold` as a background process: ready when the block begins, ended after it."""

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from fourtuple.core.errors import ShortfallError
from fourtuple.kernel import children
from fourtuple.kernel.again import again as again  # also for the lessons

READY = {"serve": "listening", "hold": "holding"}  # the first word of the line on standard error that announces it
END_S = 60.0


class Background:
    """A program in the background.

    record: its result, as printed with --json; empty until it has ended
    """

    def __init__(self, pid: int) -> None:
        self.record: dict[str, Any] = {}
        self._pid = pid

    def cpu_s(self) -> float:
        """CPU time so far of the program and its workers, while it is running, in seconds."""
        return children.cpu_s(self._pid)


@contextmanager
def serving(*arguments: str, prefix: Sequence[str] = ()) -> Iterator[Background]:
    """`fourtuple serve ARGUMENTS…`, listening when the block begins.

    prefix: the start of the command line, from Lab.command

    Raises ShortfallError with the program's own error message if it does not get ready, and after the block if it has
    ended by then.
    """
    with _running("serve", arguments, prefix) as program:
        yield program


@contextmanager
def holding(*arguments: str, prefix: Sequence[str] = ()) -> Iterator[Background]:
    """`fourtuple hold ARGUMENTS…`, with all connections open when the block begins. Otherwise as `serving`."""
    with _running("hold", [*arguments, "--for", "1h"], prefix) as program:
        yield program


def start(command: Sequence[str], **options: Any) -> "subprocess.Popen[Any]":
    """subprocess.Popen of a program that is killed when this process ends, however that ends."""
    return children.start(command, **options)


def ended_by(code: int) -> str:
    """`exit code 1`, or `killed by SIGKILL`, also where another process passed that on as 128 + 9."""
    number = -code if code < 0 else code - 128
    try:
        return f"killed by {signal.Signals(number).name}"
    except ValueError:
        return f"exit code {code}"


@contextmanager
def _running(verb: str, arguments: Sequence[str], prefix: Sequence[str]) -> Iterator[Background]:
    command = [*prefix, *again("fourtuple", verb, *arguments, "--json", "--no-store")]
    program = children.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert program.stderr is not None  # noqa: S101  (for the type checker)
    background = Background(program.pid)
    try:
        words = []
        for line in program.stderr:
            words.append(line.strip())
            if line.startswith(READY[verb]):
                break
        else:
            raise ShortfallError(
                f"fourtuple {verb} {' '.join(arguments)}", " ".join(words) or "it ended without a message"
            )
        yield background
        if program.poll() is not None:
            what = f"fourtuple {verb} {' '.join(arguments)}"
            raise ShortfallError(what, f"it ended before it was told to: {ended_by(program.returncode)}")
    finally:
        program.send_signal(signal.SIGINT)
        try:
            output, _ = program.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            program.kill()
            output, _ = program.communicate()
        background.record = json.loads(output) if output else {}
