"""A disk that is full when a run ends: its outcome is stored all the same."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from fourtuple.store.reserve import RESERVED_BYTES, Reserve
from tests.conftest import REPOSITORY, need

# In a mount namespace: a file system of 1 MiB, filled as soon as the connections are open.
FULL = """
import json, os, signal, socket, subprocess, sys
folder = sys.argv[1]
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=True)
server = socket.create_server(("127.0.0.1", 0), backlog=100)
port = server.getsockname()[1]
command = [sys.executable, "-m", "fourtuple", "hold", "5", f"127.0.0.1:{port}", "--for", "1h"]
run = subprocess.Popen([*command, "--json", "--store", f"{folder}/runs.db"], stderr=subprocess.PIPE, text=True,
                       stdout=subprocess.PIPE)
peers = [server.accept() for _ in range(5)]
run.stderr.readline()  # all are open
with open(f"{folder}/other", "wb", buffering=0) as other:
    try:
        while True:
            other.write(bytes(4096))
    except OSError as error:
        full = error.errno
for _ in range(25):  # until samples could not be written any more
    try:
        run.wait(0.1)
    except subprocess.TimeoutExpired:
        pass
run.send_signal(signal.SIGINT)
_, told = run.communicate(timeout=60)
listed = subprocess.run([sys.executable, "-m", "fourtuple", "runs", "--json", "--store", f"{folder}/runs.db"],
                        stdout=subprocess.PIPE, text=True)
print(json.dumps([full, told, json.loads(listed.stdout)]))
"""


def test_a_run_on_a_disk_that_fills_up_keeps_its_outcome(tmp_path: Path) -> None:
    """The list says how it ended, and that not all samples are there."""
    unshare = ["unshare", "--mount", "--map-root-user"]
    allowed = (
        shutil.which("unshare") and not subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode
    )
    need(allowed, "a mount namespace (unshare)")
    done = subprocess.run(
        [*unshare, sys.executable, "-c", FULL, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr
    full, told, (run,) = json.loads(done.stdout)

    assert full == 28  # ENOSPC
    assert "is not stored completely" in told
    assert (run["outcome"], run["held"]) == ("reached", 5)
    assert "not stored completely" in run["why"]


def test_the_space_is_taken_until_it_is_released_and_leaves_no_file(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "runs.db")
    assert reserve._descriptor is not None
    size = os.fstat(reserve._descriptor).st_blocks * 512
    reserve.release()

    assert size >= RESERVED_BYTES
    assert list(tmp_path.iterdir()) == []
