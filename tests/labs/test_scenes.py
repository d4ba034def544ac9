"""Every limit that can be lowered without touching the host: predicted = observed, in a namespace of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fourtuple.verbs.lab import Lab
from tests.conftest import Ground, need, need_feature
from tests.waiting import PATIENCE_S

ROOT = "root"


def scene(ground: Ground, name: str) -> dict[str, Any]:
    # NumPy's linear algebra would have threads, which count against pids.max until the first fork ends them.
    done = ground.run("env", "OPENBLAS_NUM_THREADS=1", sys.executable, "-m", "tests.labs.scenes", name)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.parametrize(
    ("name", "room"),
    [
        ("accept-queue", 6),
        ("accept-queue-somaxconn", 4),
        ("accept-queue-partly-full", 5),
        ("accept-queue-reuseport", 24),
    ],
)
def test_accept_queues(ground: Ground, name: str, room: int) -> None:
    """min(backlog, somaxconn) + 1 at each listener, less those that wait; the next SYN is dropped and counted."""
    seen = scene(ground, name)

    assert (seen["predicted"], seen["observed"]) == (room, room)
    assert seen["overflows"] > 0


@pytest.mark.parametrize(("name", "most"), [("syn-queue", 13), ("syn-queue-backlog", 9)])
def test_syn_queues(ground: Ground, name: str, most: int) -> None:
    """Without cookies M − M/4 + 1, or the backlog + 1; where that is not said to be exact, perhaps one less."""
    need(shutil.which("ip"), "ip (iproute2)")
    seen = scene(ground, name)

    assert seen["predicted"] == most
    assert seen["observed"] in ((most,) if seen["exact"] else (most - 1, most))


def test_time_waits_beyond_the_limit_are_not_made(ground: Ground) -> None:
    seen = scene(ground, "time-waits")

    assert (seen["predicted"], seen["observed"], seen["overflows"]) == (4, 4, 6)


@pytest.mark.parametrize("name", ["syn-retries", "syn-retries-linear"])
def test_how_long_connect_tries(ground: Ground, name: str) -> None:
    if name == "syn-retries-linear":
        need_feature("net.ipv4.tcp_syn_linear_timeouts")
    seen = scene(ground, name)

    assert (seen["predicted"], seen["observed"]) == ("3", "3")
    assert seen["errno"] == ["ETIMEDOUT", "ETIMEDOUT"]


def test_a_server_accepts_as_many_as_its_files_allow(ground: Ground) -> None:
    """Its role is seen from its listener; all 20 clients are connected, 12 accepted."""
    seen = scene(ground, "accepts")

    assert (seen["predicted"], seen["observed"], seen["connected"]) == (12, 12, 20)
    assert (seen["binding"], seen["role"], seen["errno"]) == ("RLIMIT_NOFILE", "server", ["EMFILE", "EMFILE"])


def test_pids(ground: Ground) -> None:
    """pids.max of the cgroup, less the one process that is in it."""
    need(os.geteuid() == 0 and os.access("/sys/fs/cgroup/pids", os.W_OK), "root, and a cgroup of version 1 for pids")
    seen = scene(ground, "pids")

    assert (seen["predicted"], seen["observed"]) == (19, 19)
    assert (seen["value"], seen["errno"]) == ("pids.max", ["EAGAIN", "EAGAIN"])


@pytest.mark.alone
def test_connection_tracking(ground: Ground) -> None:
    """Only a canary tells before anything is tracked; then the count is exact, and so is what the limit leaves."""
    need(os.geteuid() == 0, ROOT)
    need(shutil.which("nft"), "nft (nftables)")
    need(Path("/proc/sys/net/netfilter/nf_conntrack_max").exists(), "connection tracking in this kernel")
    limit = Path("/proc/sys/net/netfilter/nf_conntrack_max")
    before = limit.read_text()
    need(os.access(limit, os.W_OK), "a host whose nf_conntrack_max may be written")
    command = [sys.executable, "-m", "tests.labs.scenes", "conntrack"]
    with ground.lab.start(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout
        asked = json.loads(program.stdout.readline())
        limit.write_text(str(asked["wanted"]))
        try:
            output, _ = program.communicate("lowered\n", timeout=PATIENCE_S)
        finally:
            limit.write_text(before)
            program.kill()
    seen = json.loads(output)

    assert (seen["predicted"], seen["observed"]) == (17, 17)
    assert seen["stops"] == [False, True, True]


def test_the_ground_is_private() -> None:
    """The scenes write settings: those of the namespace they run in."""
    before = Path("/proc/sys/net/core/somaxconn").read_text()
    with Lab() as lab:
        scene(Ground(lab), "accept-queue-somaxconn")

    assert Path("/proc/sys/net/core/somaxconn").read_text() == before
