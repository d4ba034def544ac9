"""How the command ends: every error as a sentence, an exit code, and the certainty that all output was written.

What a user types, pipes or leaves in a file becomes one of our errors where it is read. This is the last catch for what
can happen anywhere: the system refuses a call, memory is short, a text cannot be encoded, the reader of a pipe is gone.
An error of any other kind is a fault of this program and keeps its traceback.
"""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Iterator

import click

from fourtuple.core.errors import (
    EXIT_INTERRUPTED,
    EXIT_REACHED,
    EXIT_SHORT,
    CannotError,
    FourtupleError,
    ShortfallError,
    UsageError,
)
from fourtuple.faces.printer import times_written
from fourtuple.verbs.interrupt import was_interrupted

OPEN_FILES = {
    errno.EMFILE: ("the process (RLIMIT_NOFILE)", "Raise the limit (ulimit -n)."),
    errno.ENFILE: ("the host (fs.file-max)", "Raise fs.file-max (sysctl)."),
}
# A limit of the host, and not a missing permission.
EXHAUSTED = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.ENOBUFS, errno.EAGAIN, errno.EFBIG, errno.EADDRINUSE}
)
# Errors of write(2): without the name of a file it was the output.
UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF})
NO_THREAD = "can't start new thread"  # RuntimeError of Python's threading (pids.max, RLIMIT_NPROC, memory)


def ended(command: Callable[[], object], wants_json: Callable[[], bool] = lambda: False) -> int:
    """Run the command to its end, and say what ended it → its exit code.

    command:    returns or raises the exit code (SystemExit); anything else means that it reached its end
    wants_json: whether standard output is to have a record of an error, unless it has a result already
    """
    before = times_written()
    try:
        result = command()
        code = result if isinstance(result, int) else EXIT_REACHED
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else EXIT_REACHED
    except BaseException as error:
        if was_interrupted() or _is_interrupt(error):
            code = EXIT_INTERRUPTED
        elif isinstance(error, click.exceptions.NoArgsIsHelpError):
            with contextlib.suppress(OSError):  # nobody can be told
                error.show()
            code = error.exit_code
        elif isinstance(error, BrokenPipeError) or _unwritten() is not None:
            code = EXIT_SHORT  # the reader of a pipe has all that it wanted; everything else is said below
        elif (explained := explained_by(error)) is None:
            raise
        else:
            with contextlib.suppress(OSError):
                _complain(explained)
                if wants_json() and times_written() == before:
                    _record(explained)
            code = explained.exit_code
    return _written(code)


def explained_by(error: BaseException) -> FourtupleError | None:
    """The error as one of ours; None: it is a fault of this program."""
    match error:
        case FourtupleError():
            return error
        case click.ClickException():
            from fourtuple.cli.refused import refusal

            return refusal(error)
        case OSError(errno=number) if number in OPEN_FILES:
            whose, do = OPEN_FILES[number]
            return ShortfallError("this command needs more open files", f"open files of {whose}: {error}", do)
        case OSError(filename=None, errno=number) if number in UNWRITABLE:
            return _output_failed(error)
        case OSError():
            what = f"cannot use {error.filename}" if error.filename else "the system refused a call"
            return (ShortfallError if error.errno in EXHAUSTED else CannotError)(what, _named(error))
        case MemoryError():
            return ShortfallError("this command needs more memory", "the system gave none (RLIMIT_AS, or the host)")
        case RuntimeError() if str(error) == NO_THREAD:
            return ShortfallError("this command needs one more thread", "the system gave none (RLIMIT_NPROC, pids.max)")
        case UnicodeError():
            return UsageError("a text cannot be converted", str(error))
        case ImportError():
            *_, last = str(error).strip().splitlines() or [""]
            return CannotError("a part of this program cannot be loaded", last.strip())
    return None


def _output_failed(error: OSError) -> FourtupleError:
    return ShortfallError("cannot write the output", _named(error))


def _complain(error: FourtupleError) -> None:
    from fourtuple.cli.common import complain

    complain(error)


def _record(error: FourtupleError) -> None:
    from fourtuple.cli.common import print_json

    print_json({"error": error.to_json()})


def _named(error: OSError) -> str:
    from fourtuple.core.errnos import name_of

    return f"{error.strerror or error} ({name_of(error.errno or 0)} {error.errno or 0})"


def _is_interrupt(error: BaseException) -> bool:
    """Whether Ctrl-C is at the root of it: what it interrupts may report it as an error of its own."""
    return any(isinstance(each, KeyboardInterrupt | click.Abort) for each in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _written(code: int) -> int:
    """Write what is left in the buffers → the exit code; in place of 0 EXIT_SHORT, if the output is not whole."""
    failed = _unwritten()
    if failed is None:
        return code
    if not isinstance(failed, BrokenPipeError):
        with contextlib.suppress(OSError):
            _complain(_output_failed(failed))
    with contextlib.suppress(OSError):  # so that Python's own flush at exit does not fail too (docs.python.org, sys)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    return code or EXIT_SHORT


def _unwritten() -> OSError | None:
    """Why standard output cannot be written; None: all of it is."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        return error
    return None
