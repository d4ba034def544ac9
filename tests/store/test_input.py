"""A file that a user names is read whole or refused; the command never waits for it, and never reads without end."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from fourtuple.core.errors import EXIT_CANNOT, UsageError
from fourtuple.store.input import read_file
from tests.conftest import COMMAND, fourtuple, need
from tests.waiting import COMMAND_S

WHAT = "the plan x"


def test_a_file_is_read_whole_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")

    assert read_file(str(tmp_path / "x"), 5, WHAT) == b"12345"
    with pytest.raises(UsageError, match=r"the plan x.*too long"):
        read_file(str(tmp_path / "x"), 4, WHAT)


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    """A FIFO without a writer, a folder, a socket, devices that end at once or never."""
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for name in (tmp_path / "fifo", tmp_path, tmp_path / "socket", "/dev/zero", "/dev/null"):
            with pytest.raises(UsageError, match=WHAT):
                read_file(str(name), 9, WHAT)


@pytest.mark.parametrize("name", ["", "absent", "a\0b", "x" * 5000, "file/below"])
def test_a_name_that_leads_nowhere_is_a_wrong_request(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match=WHAT):
        read_file(str(tmp_path / name) if name else "", 9, WHAT)


def test_a_file_that_may_not_be_read_is_not_permitted(tmp_path: Path) -> None:
    need(os.geteuid() or shutil.which("setpriv"), "setpriv, of util-linux")
    without_privilege = [] if os.geteuid() else ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    (tmp_path / "x").touch(0o000)
    done = fourtuple("hold", "--plan", str(tmp_path / "x"), prefix=without_privilege)

    assert done.returncode == EXIT_CANNOT
    assert "Permission denied" in done.stderr


def test_a_link_to_a_file_is_the_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "x")

    assert read_file(str(tmp_path / "link"), 9, WHAT) == b"1"


def test_a_pipe_that_the_process_was_given_is_read_to_its_end() -> None:
    """As bash gives for <(…); the writer takes its time."""
    need(Path("/dev/fd").exists(), "/dev/fd")
    code = "import sys, fourtuple.store.input as f; print(f.read_file(sys.argv[1], 99, 'x'))"
    python = COMMAND[0]
    done = subprocess.run(
        ["bash", "-c", '"$0" -c "$1" <(printf 1; "$0" -c "print(2)")', python, code.replace('"', '\\"')],
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )
    piped = subprocess.run(
        [python, "-c", code, "/proc/self/fd/0"],
        input="12\n",
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=True,
    )

    assert done.stdout == piped.stdout == "b'12\\n'\n", done.stderr
