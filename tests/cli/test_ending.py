"""However a command ends: a sentence on standard error, an exit code, no traceback, and no output lost in silence."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from fourtuple.cli.ending import ended, explained_by
from fourtuple.core.errors import CannotError, FourtupleError, ShortfallError, UsageError
from tests.conftest import COMMAND, fourtuple
from tests.waiting import COMMAND_S

FULL = Path("/dev/full")


@pytest.mark.parametrize("arguments", ["--help", "--version", "prove --list", "runs --json", "hold --help"])
def test_output_that_cannot_be_written_is_an_error(arguments: str, tmp_path: Path) -> None:
    """/dev/full answers every write with ENOSPC (full(4))."""
    with FULL.open("w") as full:
        done = subprocess.run(
            [*COMMAND, *arguments.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=COMMAND_S,
            check=False,
            env=os.environ | {"XDG_STATE_HOME": str(tmp_path)},
        )

    assert done.returncode == 1
    assert "ENOSPC 28" in done.stderr
    assert "Traceback" not in done.stderr


def test_where_nobody_can_be_told_the_exit_code_is_the_same() -> None:
    with FULL.open("w") as full:
        codes = [
            subprocess.run([*COMMAND, *command], stdout=full, stderr=full, timeout=COMMAND_S, check=False).returncode
            for command in (["--help"], ["nonsense"], ["hold", "10"])
        ]

    assert codes == [1, 2, 2]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_what_an_encoding_lacks_is_said_in_other_characters(encoding: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = fourtuple("prove", "theory", "--no-store", env=environment, encoding=encoding)
    listed = fourtuple("limits", "--json", env=environment, encoding=encoding)

    assert (done.returncode, done.stderr) == (0, "")
    assert "holds" in done.stdout
    assert json.loads(listed.stdout)


def test_a_byte_of_an_argument_that_is_not_utf_8_is_printed_as_its_escape() -> None:
    done = fourtuple("runs", "--store", os.fsdecode(b"/no/such/\xff.db"))

    assert done.returncode == 2
    assert r"/no/such/\xff.db" in done.stderr


INTERRUPTED_AT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == MODULE:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Finder())
from fourtuple.__main__ import main
main()
"""


@pytest.mark.parametrize(
    "module", ["click", "fourtuple.cli", "fourtuple.cli.limits", "numpy", "fourtuple.verbs.limits"]
)
def test_ctrl_c_while_python_imports_ends_without_a_traceback(module: str) -> None:
    code = INTERRUPTED_AT.replace("MODULE", repr(module))
    done = subprocess.run(
        [sys.executable, "-c", code, "limits"], capture_output=True, text=True, timeout=COMMAND_S, check=False
    )

    assert done.returncode == 128 + signal.SIGINT
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.EMFILE, "x"), ShortfallError),
        (OSError(errno.ENOSPC, "x"), ShortfallError),
        (OSError(errno.ENOMEM, "x", "/some/file"), ShortfallError),
        (PermissionError(errno.EACCES, "x", "/some/file"), CannotError),
        (FileNotFoundError(errno.ENOENT, "x", "/proc/self/fd"), CannotError),
        (OSError("no number"), CannotError),
        (MemoryError(), ShortfallError),
        (RuntimeError("can't start new thread"), ShortfallError),
        (UnicodeEncodeError("ascii", "é", 0, 1, "x"), UsageError),
        (ImportError("\nNumPy says much.\n\nThe last line.\n"), CannotError),
        (UsageError("x"), UsageError),
    ],
    ids=repr,
)
def test_what_can_happen_anywhere_is_a_sentence(error: Exception, kind: type[FourtupleError]) -> None:
    explained = explained_by(error)

    assert type(explained) is kind
    assert "\n" not in str(explained)


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("x"), TypeError("x"), RuntimeError("x"), AssertionError()])
def test_a_fault_of_this_program_keeps_its_traceback(error: Exception) -> None:
    with pytest.raises(type(error)):
        ended(_raising(error))


def test_an_interrupt_that_a_library_reports_as_its_own_error_is_an_interrupt() -> None:
    def interrupted() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as error:
            raise ImportError("half of it") from error

    assert ended(interrupted) == ended(_raising(KeyboardInterrupt())) == ended(_raising(click.Abort())) == 130


# A library is interrupted, and reports something else. (NumPy 2.4 does so in a comparison of structured arrays.)
SOMETHING_ELSE = """
import os, signal
from fourtuple.verbs import export

def usage_of(*_):
    try:
        os.kill(os.getpid(), signal.SIGINT)
        signal.sigtimedwait([], 10)
    except KeyboardInterrupt:
        pass
    raise ERROR
export.usage_of = usage_of
from fourtuple.__main__ import main
main()
"""


@pytest.mark.parametrize("error", ["TypeError('no common dtype')", "ImportError('half')", "OSError(5, 'input')"])
def test_ctrl_c_that_a_library_swallows_is_still_ctrl_c(error: str) -> None:
    """Also where a monitor would go on after any error."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = subprocess.run(
        [sys.executable, "-c", SOMETHING_ELSE.replace("ERROR", error), "export", "--listen", f"127.0.0.1:{port}"],
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )

    assert (done.returncode, "Traceback" in done.stderr) == (130, False)


def test_whatever_fails_after_ctrl_c_is_ctrl_c() -> None:
    code = (
        "import sys; from fourtuple.cli.ending import ended; from fourtuple.verbs.interrupt import interrupt\n"
        "def command():\n"
        "    try: interrupt(2, None)\n"
        "    except KeyboardInterrupt: raise OSError(5, 'x') from None\n"
        "sys.exit(ended(command))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (130, "")


def test_the_exit_code_is_what_the_command_says() -> None:
    assert [ended(_raising(SystemExit(code))) for code in (None, 0, 1, 7)] == [0, 0, 1, 7]
    assert [ended(lambda: 5), ended(lambda: None)] == [5, 0]


def _raising(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


CALLED = """
import atexit, sys, types
program = types.ModuleType("program")
exec("from fourtuple.__main__ import main\\n\\ndef call():\\n    main()\\n", program.__dict__)
atexit.register(print, "the program's own end")
sys.argv = ["fourtuple", "--version"]
try:
    program.call()
except SystemExit as end:
    print("returned", end.code)
"""


def test_a_program_that_calls_main_goes_on() -> None:
    """The end of the command is not the end of the program; its functions at exit run once, when it ends."""
    done = subprocess.run(
        [sys.executable, "-c", CALLED], capture_output=True, text=True, timeout=COMMAND_S, check=False
    )

    assert done.stdout.splitlines()[1:] == ["returned 0", "the program's own end"]
    assert done.returncode == 0
