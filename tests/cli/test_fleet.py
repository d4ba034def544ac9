"""`fleet` as a program: what it refuses, and a run of two workers on this machine, from the first to the last word."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from fourtuple.kernel.uring import features
from tests.conftest import COMMAND, Ground, fourtuple, need, private_ground
from tests.waiting import COMMAND_S, PATIENCE_S

SERVER = "127.0.0.1:7777"
NOWHERE = "tcp://127.0.0.1:1"
FILE = str(Path(__file__))
WITHOUT_DASK = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("distributed", "dask"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
sys.argv[0] = "fourtuple"
from fourtuple.__main__ import main
main()
"""


def refused(*arguments: str, code: int) -> str:
    """What the command says about such arguments, as one line; it has no traceback and writes no result."""
    environment = {name: value for name, value in os.environ.items() if name != "FOURTUPLE_SCHEDULER"}
    done = fourtuple("fleet", *arguments, env=environment)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


@pytest.mark.parametrize("command", ["", "hosts", "limits", "plan", "hold", "serve", "churn", "collect"])
def test_every_command_has_its_help_without_dask(command: str) -> None:
    arguments = [sys.executable, "-c", WITHOUT_DASK, "fleet", *command.split(), "--help"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=COMMAND_S, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert f"fleet {command}".strip() in done.stdout
    assert not command or "--scheduler ADDRESS" in done.stdout


@pytest.mark.parametrize("command", [["hosts"], ["plan", "9", SERVER], ["hold", "9", SERVER], ["serve", SERVER]])
def test_without_the_extra_it_says_what_to_install(command: list[str]) -> None:
    arguments = [sys.executable, "-c", WITHOUT_DASK, "fleet", *command, "--local", "1"]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=COMMAND_S, check=False)

    assert (done.returncode, done.stdout) == (77, "")
    assert "the extra `fleet` is not installed" in done.stderr
    assert "pip install 'fourtuple[fleet]'" in done.stderr


@pytest.mark.parametrize(
    ("cluster", "says"),
    [
        ([], "which machines?"),
        (["--scheduler", ""], "which machines?"),
        (["--ssh", " , "], "which machines?"),
        (["--scheduler", NOWHERE, "--local", "2"], "--scheduler with --local"),
        (["--local", "2", "--ssh", "a"], "--local with --ssh"),
        (["--local", "0"], "--local"),
        (["--scheduler", NOWHERE, "--tls-cert", FILE], "TLS of the cluster: a part is missing"),
        (["--scheduler", NOWHERE, "--tls-ca-file", FILE, "--tls-key", FILE], "TLS of the cluster: a part is missing"),
        (["--scheduler", NOWHERE, "--tls-ca-file", "/nowhere"], "--tls-ca-file"),
        (["--ssh", "m1,m2", "--tls-ca-file", FILE], "--ssh with TLS"),
    ],
)
@pytest.mark.parametrize("command", [["hosts"], ["limits", SERVER], ["hold", "9", SERVER]])
def test_which_cluster_must_be_clear(command: list[str], cluster: list[str], says: str) -> None:
    assert says in refused(*command, *cluster, code=2)


@pytest.mark.parametrize(
    "arguments",
    [["hold"], ["hold", SERVER], ["plan", SERVER], ["limits"], ["churn"], ["churn", "max", SERVER], ["serve"]],
)
def test_what_is_missing_is_said_before_a_cluster_is_asked(arguments: list[str]) -> None:
    """Exit code 2, although there is no cluster to be reached."""
    refused(*arguments, "--scheduler", NOWHERE, code=2)


@contextmanager
def listening(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """A server that does this with each connection → its address, as that of a scheduler."""
    kept: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                kept.append(sock)
                answer(sock)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE_S)
            for sock in kept:
                sock.close()


def _need_dask() -> None:
    need(subprocess.run([sys.executable, "-c", "import distributed"], check=False).returncode == 0, "Dask distributed")


def test_a_scheduler_that_is_not_there() -> None:
    _need_dask()

    assert "ECONNREFUSED 111" in refused("hosts", "--scheduler", NOWHERE, code=77)


@pytest.mark.parametrize("address", ["garbage", "tcp://", "foo://127.0.0.1:1", "http://127.0.0.1:1"])
def test_an_address_that_is_none(address: str) -> None:
    _need_dask()

    assert f"--scheduler {address}: " in refused("hosts", "--scheduler", address, code=2)


def test_a_scheduler_with_tls_needs_certificates() -> None:
    _need_dask()

    assert "cannot reach the scheduler tls://" in refused("hosts", "--scheduler", "tls://127.0.0.1:1", code=77)


@pytest.mark.parametrize(
    "answer",
    [lambda _: None, socket.socket.close, lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")],
    ids=["says nothing", "closes", "is a web server"],
)
def test_what_is_no_scheduler(answer: Callable[[socket.socket], object]) -> None:
    """Whatever it is that listens there, the command ends, and says that it is no scheduler."""
    _need_dask()
    with listening(answer) as address:
        says = refused("hosts", "--scheduler", address, code=77)

    assert f"cannot reach the scheduler {address}: " in says
    assert "memory" not in says


# A run on this machine


@pytest.fixture(params=["epoll", "ring"])
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    _need_dask()
    why_not = features().why_not
    need(request.param == "epoll" or why_not is None, f"io_uring ({why_not})")
    with private_ground(request.param) as ground:
        yield ground


def test_an_unknown_machine(ground: Ground) -> None:
    done = ground.fourtuple("fleet", "hosts", "--local", "1", "--on", "nobody,w0")

    assert done.returncode == 2
    assert "there is no such machine; there are: w0" in " ".join(done.stderr.split())


def test_two_workers_hold_23_connections(ground: Ground) -> None:
    """Both ends count 23, and the record is the sum of its machines."""
    with ground.serving(SERVER) as served:
        done = ground.fourtuple(
            "fleet", "hold", "23", SERVER, "--for", "0.5s", "--local", "2", "--json", "--no-store",
            "--require", "held=all, lost<=0",
        )  # fmt: skip
    record = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert (record["held"], record["census"]["client"], served["accepted"]) == (23, 23, 23)
    assert sorted(each["wanted"] for each in record["machines"]) == [11, 12]
    assert sum(each["held"] for each in record["machines"]) == 23
    assert record["outcome"]["reached"]
    assert record["loop"] == ground.loop


def test_what_is_required_decides_the_exit_code(ground: Ground) -> None:
    """Nobody listens: nothing is held, every connection has failed with its errno, on both machines."""
    done = ground.fourtuple("fleet", "hold", "23", SERVER, "--for", "0.2s", "--local", "2", "--json", "--no-store")
    record: dict[str, Any] = json.loads(done.stdout)

    assert done.returncode == 1
    assert (record["held"], record["failed"]) == (0, {"ECONNREFUSED": 23})
    assert sum(each["failed"]["ECONNREFUSED"] for each in record["machines"]) == 23


def test_ctrl_c_closes_in_order(ground: Ground) -> None:
    """Once the metrics say that 23 are open: both workers close all that they had, and the run has a record."""
    with ground.serving(SERVER) as served:
        program = ground.lab.start(
            [
                *COMMAND,
                "fleet",
                "hold",
                "23",
                SERVER,
                "--for",
                "600s",
                "--local",
                "2",
                "--json",
                "--no-store",
                "--metrics",
                METRICS,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            ground.python(WAIT_FOR_23)
            program.send_signal(signal.SIGINT)
            output, errors = program.communicate(timeout=PATIENCE_S)
        finally:
            program.kill()
    record = json.loads(output)

    assert record["interrupted"], errors
    assert record["open_at_end"] == 23 == served["accepted"]
    assert program.returncode == (0 if record["outcome"]["reached"] else 1)
    assert "Traceback" not in errors


METRICS = "127.0.0.1:7778"
WAIT_FOR_23 = f"""
import time, urllib.request
while True:
    try:
        text = urllib.request.urlopen("http://{METRICS}/metrics").read().decode()
        if "fourtuple_run_open 23.0" in text:
            break
    except OSError:
        pass
    time.sleep(0.05)
"""
