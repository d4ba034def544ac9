"""`plan`, `hold` and `serve` under small limits of open files and locked memory: what is planned is what is held."""

import json
import signal
import subprocess
from typing import Any

import pytest

from fourtuple.core.errors import EXIT_CANNOT, EXIT_REACHED, EXIT_SHORT
from fourtuple.kernel.uring import features
from tests.conftest import COMMAND, Ground, limited, need
from tests.told import READY
from tests.waiting import PATIENCE_S, lines_until, wait_until

# Locked memory that others of the same user need would be missing here.
pytestmark = pytest.mark.alone
SERVER = "127.0.0.1:7777-7778"


@pytest.fixture(autouse=True)
def io_uring() -> None:
    need(features().why_not is None, f"io_uring ({features().why_not})")


def asked(ground: Ground, limits: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The command under these limits."""
    return ground.run(*limited(limits), *COMMAND, *arguments)


def record_of(done: "subprocess.CompletedProcess[str]") -> dict[str, Any]:
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("limits", "wanted", "options", "loop", "because"),
    [
        ("-l 64", 2003, (), "epoll", "RLIMIT_MEMLOCK (ulimit -l 64"),
        ("-l 64 -n 300", 2003, (), "epoll", "RLIMIT_MEMLOCK (ulimit -l 64"),
        ("-l 180 -n 256", 2003, (), "ring", "io_uring is available"),
        ("-l 120 -n 256", 2003, ("--workers", "10"), "epoll", "needs 10 rings"),
        ("-l 180 -n 256", 2003, ("--workers", "2"), "ring", "io_uring is available"),
        ("-n 64", 2003, (), "ring", "io_uring is available"),
        ("-n 64", 2003, ("--loop", "epoll"), "epoll", "asked for"),
    ],
)
def test_what_the_plan_says_is_held(
    ground: Ground, limits: str, wanted: int, options: tuple[str, ...], loop: str, because: str
) -> None:
    """By rings if all that N needs can be made, by as many processes as it takes; otherwise by epoll, with the reason.

    A ring for 256 sockets takes 20 KiB of locked memory, so that 180 KiB have room for 8 of them, and 120 for 6.
    """
    with ground.serving(SERVER, "--loop", "epoll"):  # rings of the same user would count against its locked memory
        planned = asked(ground, limits, "plan", str(wanted), SERVER)
        held = asked(ground, limits, "hold", str(wanted), SERVER, "--for", "0s", "--json", "--no-store", *options)
    record = record_of(held)

    assert planned.returncode == EXIT_REACHED
    assert (record["held"], record["failed"], record["agree"], held.returncode) == (wanted, {}, True, EXIT_REACHED)
    assert record["loop"] == loop
    assert because in record["loop_because"]


@pytest.mark.parametrize(
    ("limits", "wanted", "options", "limit"),
    [
        ("-n 300", 1000, ("--loop", "epoll", "--workers", "1"), "RLIMIT_NOFILE"),
        ("-n 25", 997, (), "RLIMIT_NOFILE"),
        ("-n 64", 5000, ("--workers", "1"), "RLIMIT_NOFILE"),
        ("-n 64 -l 150", 5000, ("--workers", "3"), "RLIMIT_MEMLOCK"),
        ("-n 128 -l 150", 2000, ("--loop", "ring"), "RLIMIT_MEMLOCK"),
    ],
)
def test_what_cannot_be_held_is_refused_beforehand_by_its_limit(
    ground: Ground, limits: str, wanted: int, options: tuple[str, ...], limit: str
) -> None:
    """With --anyway it is tried, and the record accounts for every connection."""
    with ground.serving(SERVER) as served:
        refused = asked(ground, limits, "hold", str(wanted), SERVER, "--for", "0s", "--no-store", *options)
    with ground.serving(SERVER, "--loop", "epoll"):  # rings of the same user would count against its locked memory
        tried = asked(
            ground, limits, "hold", str(wanted), SERVER, "--for", "0s", "--json", "--anyway", "--no-store", *options
        )
    record = record_of(tried)

    assert (refused.returncode, served["accepted"]) == (EXIT_SHORT, 0)
    assert limit in refused.stderr
    assert "room for" in refused.stderr
    assert tried.returncode == EXIT_SHORT
    assert 0 < record["held"] < wanted
    assert record["held"] + sum(record["failed"].values()) == wanted


@pytest.mark.parametrize(
    ("limits", "options", "code", "words"),
    [
        ("-l 0", ("--loop", "ring"), EXIT_CANNOT, "RLIMIT_MEMLOCK"),
        ("-l 64", ("--loop", "ring"), EXIT_CANNOT, "RLIMIT_MEMLOCK"),
        ("-n 25", (), EXIT_SHORT, "ulimit -n 25"),
        ("-n 25", ("--loop", "ring"), EXIT_SHORT, "ulimit -n 25"),
    ],
)
def test_a_server_that_could_accept_nothing_does_not_listen(
    ground: Ground, limits: str, options: tuple[str, ...], code: int, words: str
) -> None:
    done = asked(ground, limits, "serve", SERVER, "--for", "1s", "--no-store", *options)

    assert done.returncode == code
    assert words in " ".join(done.stderr.split())
    assert READY["serve"] not in done.stderr


def test_a_server_without_memory_for_rings_uses_epoll(ground: Ground) -> None:
    small = [*limited("-l 64"), *COMMAND, "serve", SERVER, "--json", "--no-store"]
    with ground.lab.start(small, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        lines_until(server.stderr, READY["serve"])
        held = ground.fourtuple("hold", "97", SERVER, "--for", "0s", "--json")
        server.send_signal(signal.SIGINT)
        record = json.loads(server.communicate(timeout=PATIENCE_S)[0])

    assert (record_of(held)["held"], record["accepted"], record["loop"]) == (97, 97, "epoll")
    assert "RLIMIT_MEMLOCK" in record["loop_because"]


def test_a_server_that_is_full_says_so(ground: Ground) -> None:
    """One process of epoll with `ulimit -n 64`: clients beyond its capacity wait in the accept queue."""
    small = [*limited("-n 64"), *COMMAND, "serve", SERVER, "--loop", "epoll", "--workers", "1", "--no-store"]
    with ground.lab.start(small, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        lines_until(server.stderr, READY["serve"])
        with ground.started("hold", "97", SERVER, "--for", "1h", "--json") as holding:
            lines_until(server.stderr, "full: capacity")
            holding.send_signal(signal.SIGINT)
            holding.communicate(timeout=PATIENCE_S)
        server.send_signal(signal.SIGINT)
        said, _ = server.communicate(timeout=PATIENCE_S)

    assert "full: it can hold" in said
    assert wait_until(lambda: server.poll() is not None)
