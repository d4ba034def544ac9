"""The fixture `fourtuple_lab`, in a test session of its own as a user has it."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import DENY, need_namespace
from tests.waiting import COMMAND_S

TESTS = """
import subprocess, sys
import pytest
from fourtuple.core.errors import UsageError

CLIENT = "import os, socket; h, p = os.environ['FOURTUPLE_DESTINATIONS'].split(',')[0].split(':');" \\
    " s = [socket.create_connection((h, int(p))) for _ in range(5)]"

def test_check(fourtuple_lab):
    verdict = fourtuple_lab.check([sys.executable, "-c", CLIENT])
    assert verdict.shared and verdict.connections == 5 and verdict.possible == 192

@pytest.mark.fourtuple_lab(ports=16, destinations=2)
def test_size(fourtuple_lab):
    assert len(fourtuple_lab.ports) == 16
    assert fourtuple_lab.check([sys.executable, "-c", CLIENT]).possible == 32

def test_servers_of_ones_own(fourtuple_lab):
    one, two = fourtuple_lab.server("greet", b"hello"), fourtuple_lab.server()
    assert one.address != two.address
    code = f"import socket; s = socket.create_connection({(one.host, one.port)!r}); print(s.recv(9).decode())"
    assert fourtuple_lab.run([sys.executable, "-c", code]).stdout == "hello\\n"
    held = f"import socket, time; s = [socket.create_connection({(two.host, two.port)!r}) for _ in range(7)]"
    wait = "; print(flush=True); time.sleep(60)"
    program = fourtuple_lab.start([sys.executable, "-c", held + wait], stdout=subprocess.PIPE)
    program.stdout.readline()
    (row,) = fourtuple_lab.census("--to", two.address)["pairs"]
    assert (row["destination"], row["established"]) == (two.address, 7)
    assert fourtuple_lab.limits(two.address)["room_max"] == 64 - 7

def test_a_wrong_mode_is_refused(fourtuple_lab):
    with pytest.raises(UsageError):
        fourtuple_lab.server("gopher")
    with pytest.raises(UsageError):
        fourtuple_lab.check("curl -s {url1}")
"""


def session(tmp_path: Path, *prefix: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    (tmp_path / "test_mine.py").write_text(TESTS)
    options = ["-q", "-rs", "-W", "error", "--strict-markers", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*prefix, sys.executable, "-m", "pytest", *options, "test_mine.py"],
        cwd=tmp_path,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path)} | environment,
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
    )


def test_it_is_there_without_being_asked_for(tmp_path: Path) -> None:
    """Its check, its servers, its limits and its census, and the marker that sizes it."""

    need_namespace()
    done = session(tmp_path)
    assert "4 passed" in done.stdout, done.stdout


def test_where_none_is_allowed_it_skips_and_says_why(tmp_path: Path) -> None:
    done = session(tmp_path, sys.executable, DENY, "unshare")

    assert "4 skipped" in done.stdout
    assert "fourtuple_lab" in done.stdout


def test_where_none_is_allowed_and_all_is_required_it_fails(tmp_path: Path) -> None:
    done = session(tmp_path, sys.executable, DENY, "unshare", FOURTUPLE_REQUIRE_ALL="1")

    assert "4 errors" in done.stdout
