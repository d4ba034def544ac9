"""A full disk: stored runs can still be read, and no command leaves half a file behind. On a tmpfs of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, need, need_namespace
from tests.waiting import COMMAND_S

# Runs inside a mount namespace of its own, as root of its own: argv[1] is the folder for the tmpfs.
INSIDE = """
import errno, json, os, subprocess, sys
from pathlib import Path
place = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(place)], check=True)
sys.path[:0] = [os.getcwd()]
os.chdir(place)
def fourtuple(*arguments):
    return subprocess.run([sys.executable, "-m", "fourtuple", *arguments], capture_output=True, text=True)
fourtuple("prove", "theory", "--store", "runs.db")
if sys.argv[2] == "journal":  # as a writer that was killed leaves it: nothing was moved into the file
    from fourtuple.store.file import open_store
    from fourtuple.store.writing import Writer
    from tests import made
    writer = Writer(open_store(Path("runs.db"), new=True), "fourtuple hold 9 127.0.0.1:1", "me")
    writer.begin(made.start())
    files = {name: Path(name).read_bytes() for name in ("runs.db", "runs.db-wal")}
    del writer
    for name in ("runs.db-shm", "runs.db-wal"):
        Path(name).unlink(missing_ok=True)
    for name, content in files.items():
        Path(name).write_bytes(content)
def on_a_full_disk(*arguments):
    try:
        with open("fill", "ab", buffering=0) as fill:
            while fill.write(bytes(512)):
                pass
    except OSError as error:
        assert error.errno == errno.ENOSPC
    return fourtuple(*arguments)
listed = on_a_full_disk("runs", "--json", "--store", "runs.db")
wrote = {
    " ".join(command): on_a_full_disk(*command).returncode
    for command in (
        ["snapshot", "x.snap"],
        ["runs", "export", "--json", "-o", "x.json", "--store", "runs.db"],
        ["runs", "export", "--csv", "-o", "x.csv", "--store", "runs.db"],
    )
}
left = sorted(name for name in os.listdir() if not name.startswith(("runs.db", "fill")))
runs = len(json.loads(listed.stdout or "[]"))
print(json.dumps({"runs": runs, "code": listed.returncode, "wrote": wrote, "left": left}))
"""


@pytest.mark.parametrize(("how", "runs"), [("closed", 1), ("journal", 2)])
def test_what_is_stored_is_read_and_nothing_half_is_left(tmp_path: Path, how: str, runs: int) -> None:
    """Also what only the journal of a writer that was killed has."""
    need_namespace()
    code = [sys.executable, "-c", INSIDE, str(tmp_path), how]
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", *code],
        capture_output=True,
        text=True,
        timeout=COMMAND_S,
        check=False,
        cwd=REPOSITORY,
    )
    need(done.returncode == 0 or "mount" not in done.stderr, "a mount namespace with a tmpfs")
    told = json.loads(done.stdout)

    assert (told["runs"], told["code"]) == (runs, 0), done.stderr
    assert told["left"] == []
    assert set(told["wrote"].values()) == {1}
