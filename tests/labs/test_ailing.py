"""Every finding of `doctor` with real sockets and processes: where it is true, and where it nearly is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import COMMAND, LONELY, Ground, another_user, need, private_ground
from tests.waiting import COMMAND_S

ROOT = "root"

# The scene, how much of its limit is used, and the findings: where it is true, and where it nearly is.
SCENES = [
    ("source-ports", 50, ["source-ports fails"]),
    ("source-ports", 45, ["source-ports near"]),
    ("source-ports", 44, []),
    ("reserved-ports", 50, ["reserved-ports fails"]),
    ("reserved-ports", 49, []),
    ("time-wait-ports", 50, ["source-ports fails"]),
    ("time-wait-ports", 44, []),
    ("fin-wait2-ports", 50, ["source-ports fails"]),
    ("fin-wait2-ports", 44, []),
    ("time-waits", 18, ["time-wait near"]),
    ("time-waits", 17, []),
    ("bound-ports", 45, ["bound-ports near"]),
    ("bound-ports", 44, []),
    ("udp-ports", 45, ["udp-ports near"]),
    ("udp-ports", 44, []),
    ("close-wait", 20, ["close-wait grows"]),
    ("close-wait", 9, []),
    ("open-files", 58, ["open-files near"]),
    ("open-files", 57, []),
    ("mappings", 91, ["mappings near"]),
    ("mappings", 85, []),
    ("accept-queue", 10, ["accept-queue fails"]),
    ("accept-queue", 9, ["accept-queue near"]),
    ("accept-queue", 8, []),
    ("overflows", 6, ["accept-queue-overflows fails"]),
    ("overflows", 4, []),
    ("overflowed", 6, []),
    ("unix-backlog", 10, ["unix-backlog fails"]),
    ("unix-backlog", 8, []),
]
# The same for what needs root.
OF_ROOT = [
    ("inotify", 90, ["inotify-instances near"]),
    ("inotify", 85, []),
    ("inherited", 90, []),
    ("user-processes", 36, ["user-processes near"]),
    ("user-processes", 35, []),
]
WITH_IP = [
    ("syn-queue", 9, ["syn-queue near"]),
    ("syn-queue", 8, []),
    ("tentative", 1, ["address-tentative fails"]),
    ("tentative", 0, []),
    ("duplicate", 1, ["address-duplicate fails"]),
    ("duplicate", 0, []),
]
IN_A_CGROUP = [
    ("pids-max", 36, ["pids-max near"]),
    ("pids-max", 35, []),
    ("cgroup-memory", 60, ["cgroup-memory near"]),
    ("cgroup-memory", 50, []),
]


def scene(ground: Ground, name: str, number: int) -> list[dict[str, Any]]:
    done = ground.run(sys.executable, "-m", "tests.labs.ailing", name, str(number))
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def summary(found: list[dict[str, Any]]) -> list[str]:
    return [f"{each['key']} {each['rank']}" for each in found]


@pytest.mark.parametrize(("name", "number", "said"), SCENES)
def test_a_finding_is_said_where_it_is_true(ground: Ground, name: str, number: int, said: list[str]) -> None:
    """And nothing else is said about the scene, nor anything where it only nearly is."""
    assert summary(scene(ground, name, number)) == said


@pytest.mark.parametrize(("name", "number", "said"), OF_ROOT)
def test_limits_of_a_user(ground: Ground, name: str, number: int, said: list[str]) -> None:
    """All processes of a user count together; descriptors that a child inherits count once."""
    need(os.geteuid() == 0, ROOT)
    most = int(Path("/proc/sys/fs/inotify/max_user_instances").read_text())
    need(most <= 1024, "a host whose fs.inotify.max_user_instances is at most 1,024")

    assert summary(scene(ground, name, number)) == said


@pytest.mark.parametrize(("name", "number", "said"), WITH_IP)
def test_half_open_connections_and_addresses(ground: Ground, name: str, number: int, said: list[str]) -> None:
    need(shutil.which("ip"), "ip (iproute2)")
    need(Path("/proc/net/if_inet6").exists(), "IPv6")

    assert summary(scene(ground, name, number)) == said


@pytest.mark.parametrize(("name", "number", "said"), IN_A_CGROUP)
def test_limits_of_a_cgroup(ground: Ground, name: str, number: int, said: list[str]) -> None:
    for controller in ("pids", "memory"):
        able = os.geteuid() == 0 and os.access(f"/sys/fs/cgroup/{controller}", os.W_OK)
        need(able, f"root, and a cgroup of version 1 for {controller}")

    assert summary(scene(ground, name, number)) == said


def test_the_process_is_named_that_has_the_sockets(ground: Ground) -> None:
    """Also as the evidence: with how many of them."""
    (found,) = scene(ground, "source-ports", 50)

    assert found["mine"]
    assert "50 ESTABLISHED on 50 usable ports" in found["text"]
    assert f"({found['pid']}): 50" in found["text"]


def test_time_wait_belongs_to_no_process_and_is_named_as_the_cause(ground: Ground) -> None:
    (found,) = scene(ground, "time-wait-ports", 50)

    assert found["pid"] is None
    assert "TIME_WAIT" in found["text"]


def test_ports_that_a_server_of_this_host_does_not_give_back_are_its_finding(ground: Ground) -> None:
    """The client has closed its ends, which belong to nobody any more; the server has the others in CLOSE_WAIT."""
    (found,) = scene(ground, "fin-wait2-ports", 50)

    assert found["mine"]
    assert "50 were closed here, and not by the peer (FIN_WAIT2)" in found["text"]
    assert "tcp_fin_timeout = 60" in found["text"]


def test_the_exit_code_says_whether_something_limits_now() -> None:
    """0 or 1, of a host whose accept queue is empty or full; the last line says what to do first."""
    with private_ground() as ground:
        said = {}
        for waiting in (0, 2):
            code = (
                "import socket, subprocess, sys;"
                "server = socket.create_server(('127.0.0.1', 8000), backlog=1);"
                f"kept = [socket.create_connection(('127.0.0.1', 8000)) for _ in range({waiting})];"
                f"sys.exit(subprocess.run([*{COMMAND!r}, 'doctor']).returncode)"
            )
            done = ground.run(sys.executable, "-c", code)
            said[waiting] = done

    assert said[2].returncode == 1, said[2].stderr
    assert "2 of 2 connections wait in the accept queue of 127.0.0.1:8000" in " ".join(said[2].stdout.split())
    assert "127.0.0.1:8000" not in said[0].stdout


def test_an_ordinary_user_is_told_what_was_not_seen() -> None:
    """The command works, its JSON is complete, and `unseen` says what root would see."""
    user = another_user(LONELY)
    done = subprocess.run(
        [*user, *COMMAND, "doctor", "--json"], capture_output=True, text=True, timeout=COMMAND_S, check=False
    )
    record = json.loads(done.stdout)

    assert done.returncode == int(record["limits_now"])
    assert any("may not inspect" in sentence for sentence in record["unseen"])
    assert record["looked"]["processes"] > 1


@pytest.mark.parametrize("arguments", [["--for", "0s"], ["--for", "soon"], ["--report", "/nowhere/page.html"]])
def test_a_wrong_request_is_usage(arguments: list[str]) -> None:
    done = subprocess.run([*COMMAND, "doctor", *arguments], capture_output=True, text=True, check=False)

    assert done.returncode == 2
