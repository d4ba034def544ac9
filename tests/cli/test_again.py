"""Commands start programs of ours wherever they have their modules from: a zipapp, a PEX, any sys.path."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import need, need_namespace
from tests.waiting import COMMAND_S

# Of an interpreter that finds none of our modules by itself; one in a virtual environment would.
ALONE = [getattr(sys, "_base_executable", sys.executable), "-I"]
MAIN = f"import sys; sys.path += {sys.path}; from fourtuple.__main__ import main; main()"
CONNECT = "import socket, sys; [socket.create_connection(end.rsplit(':', 1)) for end in sys.argv[1].split(',') * 9]"


@pytest.fixture(autouse=True)
def allowed() -> None:
    need_namespace()
    found = subprocess.run([*ALONE, "-c", "import fourtuple"], capture_output=True, check=False)
    need(found.returncode, "a Python in which fourtuple is not installed")


def run(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """The command, in a folder with a file that has the name of a module that our programs import."""
    (folder / "json.py").write_text("raise ImportError('of the working directory')\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [*ALONE, "-c", MAIN, *arguments],
        capture_output=True, text=True, timeout=COMMAND_S, check=False, cwd=folder, env=environment,
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments", ["lab --quiet -- true", "lab --quiet --hosts 2 -- host2 true", "prove accept-takes-no-port --no-store"]
)
def test_what_is_started_again_has_the_same_modules(arguments: str, tmp_path: Path) -> None:
    done = run(*arguments.split(), folder=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_two_ends_of_a_check_do_too(tmp_path: Path) -> None:
    done = run("check", "--json", "--for", "5s", "--", *ALONE, "-c", CONNECT, "{dests}", folder=tmp_path)

    assert json.loads(done.stdout)["connections"] == 27, done.stderr
