"""The file of `make pyz`, with a Python that has no other package and an environment that has nothing."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, need, need_namespace
from tests.waiting import COMMAND_S

BARE = getattr(sys, "_base_executable", sys.executable)
CONNECT = "import socket, sys; [socket.create_connection(end.rsplit(':', 1)) for end in sys.argv[1].split(',') * 9]"
# Packages are downloaded for it, and unpacked at its first start.
pytestmark = pytest.mark.timeout(1800)


def options() -> list[str]:
    """The options of pex in the Makefile."""
    done = subprocess.run(
        ["make", "--no-print-directory", "--eval", "options:;@printf '%s\\n' $(PEX)", "options"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.splitlines()


def made(folder: Path) -> Path:
    for module in ("build", "pex"):
        need(importlib.util.find_spec(module), f"{module} (make installs it)")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    file = folder / "fourtuple.pyz"
    pex = [sys.executable, "-m", "pex", str(wheel), *options(), "--output-file", str(file)]
    subprocess.run(pex, check=True, capture_output=True)
    return file


def test_the_file_works_with_a_bare_python(tmp_path: Path) -> None:
    """Also the commands that start other programs of ours, and the command itself in a lab."""
    need_namespace()
    file = made(tmp_path)

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [BARE, "-I", str(file), *arguments],
            capture_output=True, text=True, timeout=10 * COMMAND_S, check=False, cwd="/",
            env={"HOME": str(tmp_path), "PATH": "/usr/sbin:/usr/bin:/bin"},
        )  # fmt: skip

    version = run("--version")
    for command in ("lab --quiet -- fourtuple --version", "prove accept-takes-no-port", "runs show 1"):
        done = run(*command.split())
        assert (done.returncode, done.stderr) == (0, ""), command
        assert command.startswith("lab") == (done.stdout == version.stdout)
    checked = run("check", "--json", "--for", "5s", "--", BARE, "-I", "-c", CONNECT, "{dests}")
    assert json.loads(checked.stdout)["connections"] == 27, checked.stderr
