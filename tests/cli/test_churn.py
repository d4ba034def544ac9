"""`churn` as a program, on real sockets in a private namespace: every connection is accounted for at both ends."""

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fourtuple.kernel.uring import features
from tests.conftest import COMMAND, Ground, need, private_ground
from tests.told import EVENT, joined
from tests.waiting import PATIENCE_S, wait_until

SERVER = "127.0.0.1:7777"
PING = ("--send", "ping", "--expect", "ping")
# Accepts, reads a few bytes, and closes by reset; or never accepts.
RESETS = """
import socket, struct, sys
listener = socket.create_server(("127.0.0.1", 7777), backlog=512)
print("listening", file=sys.stderr, flush=True)
while True:
    sock, _ = listener.accept()
    sock.recv(4)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
    sock.close()
"""


@pytest.fixture(params=["epoll", "ring"])
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    """Every test here is run over both loops."""
    why_not = features().why_not
    need(request.param == "epoll" or why_not is None, f"io_uring ({why_not})")
    with private_ground(request.param) as ground:
        yield ground


def churn(ground: Ground, *arguments: str) -> tuple[dict[str, Any], int]:
    done = ground.fourtuple("churn", *arguments, "--arrivals", "even", "--json")
    assert done.stdout.count("\n") == 1, done.stderr
    record = json.loads(done.stdout)
    assert record["arrivals"] == record["started"] + record["not_started"]
    ended = record["completed"] + sum(record["failed"].values()) + record["lost"] + record["open_at_end"]
    assert record["started"] == ended
    return record, done.returncode


def listed(ground: Ground) -> list[str]:
    """Sockets of the server's port that ss lists, without listeners and TIME_WAIT."""
    return ground.ss("-tan", "state", "connected", "exclude", "time-wait", "( sport = :7777 or dport = :7777 )")


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("close", ["rst", "fin"])
def test_server_and_kernel_count_as_many_as_the_engine(ground: Ground, close: str, workers: int) -> None:
    """499 are due: 499 connects in the kernel's count, 499 accepted there and by the server, none left."""
    with ground.serving(SERVER, "--echo") as served:
        record, code = churn(
            ground, "499/s", SERVER, "--for", "1s", *PING, "--close", close, "--workers", str(workers),
            "--require", "failed=0, lost=0, unexpected=0",
        )  # fmt: skip
        assert wait_until(lambda: not listed(ground))

    assert code == 0, record["outcome"]
    assert (record["arrivals"], record["completed"], record["answers"]) == (499, 499, 499)
    assert (record["moved"]["ActiveOpens"], record["moved"]["PassiveOpens"]) == (499, 499)
    assert (served["accepted"], served["lost"], served["received_bytes"]) == (499, 499, 4 * 499)
    assert served["lost_by"] == {"rst": {"ECONNRESET": 499}, "fin": {"FIN": 499}}[close]
    assert (record["workers"], record["loop"]) == (workers, ground.loop)


def test_the_server_closes(ground: Ground) -> None:
    """Its FIN after the greeting is the planned end, and TIME_WAIT is at its end."""
    with ground.serving(SERVER, "--greet", "hello", "--close-after", "50ms") as served:
        record, code = churn(ground, "101/s", SERVER, "--for", "1s", "--expect", "hello", "--close", "server")

    assert (record["completed"], record["lost"], record["requests"], record["answers"]) == (101, 0, 0, 101)
    assert served["closed"] == 101
    assert code == 0 or record["outcome"]["because"] == ["rate"]


def test_messages_and_lifetime(ground: Ground) -> None:
    """Three messages each, and nobody closes before 200 ms are over."""
    with ground.serving(SERVER, "--echo") as served:
        record, _ = churn(
            ground, "97/s", SERVER, "--for", "1s", *PING, "--requests", "3", "--lifetime", "uniform:200ms-300ms"
        )

    assert (record["completed"], record["requests"], record["answers"]) == (97, 291, 291)
    assert served["received_bytes"] == 4 * 291
    assert record["first_service_us"]["p50"] < record["last_service_us"]["p50"]
    assert record["expected_open"] == 25
    assert record["most_open"] >= 15


def test_where_nobody_listens_every_connect_is_refused(ground: Ground) -> None:
    record, code = churn(ground, "50/s", SERVER, "--for", "1s")

    assert (record["started"], record["failed"], code) == (50, {"ECONNREFUSED": 50}, 1)
    assert "failed" in record["outcome"]["because"]


@contextmanager
def running(ground: Ground, code: str) -> Iterator[None]:
    program = ground.lab.start([sys.executable, "-c", code], stderr=-1, text=True)
    try:
        assert "listening" in (program.stderr.readline() if program.stderr else "")
        yield
    finally:
        program.kill()
        program.communicate()


def test_a_server_that_resets_loses_them(ground: Ground) -> None:
    with running(ground, RESETS):
        record, code = churn(ground, "50/s", SERVER, "--for", "1s", *PING)

    assert (record["completed"], record["lost"], record["lost_by"], code) == (0, 50, {"ECONNRESET": 50}, 1)
    assert "lost" in record["outcome"]["because"]


def test_a_server_that_does_not_answer_loses_them_by_the_time_limit(ground: Ground) -> None:
    with ground.serving(SERVER):
        record, code = churn(ground, "50/s", SERVER, "--for", "500ms", *PING, "--timeout", "300ms")

    assert (record["completed"], record["lost_by"], code) == (0, {"ETIMEDOUT": 25}, 1)


def test_a_session_that_is_given_up_was_not_closed_by_the_server(ground: Ground) -> None:
    """So there is no reason of its protocol: the time limit says all."""
    asked = ("tls://" + SERVER, "--insecure", "--for", "500ms", *PING, "--timeout", "2s")
    with ground.serving(SERVER, "--tls"):
        record, code = churn(ground, "20/s", *asked)

    assert (record["sessions"], record["lost_by"], record["reasons"], code) == (10, {"ETIMEDOUT": 10}, {}, 1)


def test_ports_in_time_wait_run_out_and_the_plan_says_so(ground: Ground) -> None:
    """100 ports, each kept for 60 s: 100 of 150 are opened. By reset all are, and with 10 ports of our own choice."""
    ground.set_port_range(40_000, 40_099)
    ground.python("open('/proc/sys/net/ipv4/tcp_tw_reuse', 'w').write('0')")
    asked = ("150/s", SERVER, "--for", "1s", *PING)
    with ground.serving(SERVER, "--echo"):
        by_reset, _ = churn(ground, *asked)
        refused = ground.fourtuple("churn", *asked, "--close", "fin", "--no-store")
        record, code = churn(ground, *asked, "--close", "fin", "--anyway")
        even = ("--arrivals", "even", "--no-store", "--anyway")
        full = ground.fourtuple("churn", "20/s", SERVER, "--for", "1s", *PING, *even).stdout
        own = ("50/s", SERVER, "--for", "1s", *PING, "--close", "fin", "--from", "127.0.0.2:41000-41009")
        explicit, _ = churn(ground, *own)

    assert (by_reset["completed"], by_reset["failed"], by_reset["ports_per_s"]) == (150, {}, None)
    assert (explicit["completed"], explicit["failed"], explicit["ports_per_s"]) == (50, {}, None)
    assert refused.returncode == 1
    assert "151 ports" in joined(refused.stderr)
    assert "at most 1.7/s in the long run" in joined(refused.stderr)
    assert (record["completed"], record["failed"], code) == (100, {"EADDRNOTAVAIL": 50}, 1)
    assert (record["most_time_wait"], record["time_wait_left"]) == (100, 100)
    assert record["ports_per_s"] == pytest.approx(100 / 60, abs=0.1)
    assert "20 failed with EADDRNOTAVAIL" in full


def test_a_rate_that_cannot_be_kept(ground: Ground) -> None:
    """One at a time, 100 ms each: 10 per second of 40 are possible; the others are late, or not started at all.

    Connections are due for a second, and may be started for one more: at most 21, and one that is open then.
    """
    with ground.serving(SERVER, "--echo"):
        asked = ("40/s", SERVER, "--for", "1s", *PING, "--at-once", "1", "--lifetime", "100ms")
        record, code = churn(ground, *asked)
        words = ground.fourtuple("churn", *asked, "--no-store", "--quiet").stdout

    assert (record["arrivals"], record["outcome"]["because"], code) == (40, ["rate"], 1)
    assert 5 <= record["completed"] <= 22
    assert record["not_started"] == 40 - record["started"]
    assert record["last_us"]["max"] > 900_000 > record["last_service_us"]["p50"]
    assert joined(words).startswith("fell short: completed ")
    assert "The rate was not kept" in joined(words)


def test_ctrl_c_ends_it_with_its_record(ground: Ground) -> None:
    with ground.serving(SERVER, "--echo") as served:
        with ground.started(
            "churn",
            "100/s",
            SERVER,
            "--for",
            "1h",
            "--lifetime",
            "1h",
            "--at-once",
            "1000",
            "--log",
            "--json",
            wait_for=EVENT,
        ) as program:
            program.send_signal(signal.SIGINT)
            record = json.loads(program.communicate(timeout=PATIENCE_S)[0])
        assert wait_until(lambda: not listed(ground))

    assert record["interrupted"]
    assert record["started"] == record["open_at_end"] == served["accepted"] > 0
    assert record["arrivals"] == record["started"] + record["not_started"]


def test_a_killed_worker_is_noticed_and_nothing_is_forgotten(ground: Ground) -> None:
    """Its open connections are lost; those that it was opening are neither completed nor failed."""
    with ground.serving(SERVER, "--echo"):
        asked = ("200/s", SERVER, "--for", "1s", *PING, "--lifetime", "1h", "--at-once", "1000", "--workers", "2")
        with ground.started("churn", *asked, "--log", "--json", wait_for=EVENT) as program:
            worker = int(Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()[0])
            os.kill(worker, signal.SIGKILL)
            program.send_signal(signal.SIGINT)
            record = json.loads(program.communicate(timeout=PATIENCE_S)[0])

    assert (record["workers_killed"], program.returncode) == (1, 1)
    assert "workers_killed" in record["outcome"]["because"]
    ended = record["completed"] + sum(record["failed"].values()) + record["lost"] + record["open_at_end"]
    assert record["started"] == ended > 0
    assert record["lost"] == record["lost_by"].get("ECANCELED", 0)


def test_max_finds_the_highest_rate_that_is_kept(ground: Ground, tmp_path: Path) -> None:
    """Four at a time, 50 ms each: 80 per second are possible, and no machine makes more of it. The search is stored."""
    file = str(tmp_path / "runs.db")
    slots = ("--at-once", "4", "--lifetime", "50ms", "--store", file)
    with ground.serving(SERVER, "--echo"):
        record, code = churn(ground, "max", SERVER, "--for", "300ms", *PING, *slots)
    listed_run, shown = (ground.fourtuple("runs", *which, "--store", file).stdout for which in ((), ("show",)))

    assert "highest rate " in listed_run
    assert sum(line.endswith(("  kept", "not kept: late")) for line in shown.splitlines()) == len(record["steps"])
    kept = [step["planned_per_s"] for step in record["steps"] if step["kept"]]
    not_kept = [step["planned_per_s"] for step in record["steps"] if not step["kept"]]
    assert code == 0, record
    assert record["steps"][0]["planned_per_s"] == 1000
    assert record["planned_per_s"] == max(kept) <= 160  # of 300 ms, 100 ms may be late
    assert min(rate for rate in not_kept if rate > max(kept)) <= max(kept) * 1.05
    assert record["outcome"]["says"].startswith("the highest rate that is kept is ")


def test_where_files_are_few_more_processes_hold_what_is_open(ground: Ground) -> None:
    """One process is worth it at this rate, and with epoll it has no more sockets than files."""
    few = ("sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *COMMAND)
    asked = ("churn", "200/s", SERVER, "--for", "1s", "--lifetime", "500ms", "--loop", "epoll", "--json", "--no-store")
    with ground.serving(SERVER):
        record = json.loads(ground.run(*few, *asked).stdout)
        one = ground.run(*few, *asked, "--workers", "1")

    assert (record["failed"], record["workers"] > 1) == ({}, True)
    assert "RLIMIT_NOFILE" in one.stderr


def test_max_ends_at_once_where_nobody_listens(ground: Ground) -> None:
    record, code = churn(ground, "max", SERVER, "--for", "100ms")

    assert (len(record["steps"]), code) == (1, 1)
    assert "failed" in record["steps"][0]["because"]
    assert record["outcome"]["says"].startswith("fell short: no rate is kept. At 1,000/s: ")
    assert "ECONNREFUSED" in record["outcome"]["says"]


def test_ctrl_c_ends_max_and_the_step_that_it_came_in_says_nothing(ground: Ground) -> None:
    with (
        ground.serving(SERVER, "--echo"),
        ground.started("churn", "max", SERVER, "--for", "1h", "--log", "--json", wait_for=EVENT) as program,
    ):
        program.send_signal(signal.SIGINT)
        record = json.loads(program.communicate(timeout=PATIENCE_S)[0])

    assert (record["interrupted"], record["steps"], program.returncode) == (True, [], 1)
    assert record["outcome"]["because"] == ["interrupted"]


def test_requirements_decide_the_exit_code(ground: Ground) -> None:
    with ground.serving(SERVER, "--echo"):
        met, reached = churn(ground, "50/s", SERVER, "--for", "1s", *PING, "--require", "completed=all, p99<1m, lost=0")
        unmet, short = churn(ground, "50/s", SERVER, "--for", "1s", *PING, "--require", "completed>=51")

    assert (reached, met["outcome"]["because"]) == (0, [])
    assert (short, unmet["outcome"]["because"]) == (1, ["completed"])


def test_a_stored_churn_is_listed_shown_compared_exported_and_reported(ground: Ground, tmp_path: Path) -> None:
    file = str(tmp_path / "runs.db")
    with ground.serving(SERVER, "--echo"):
        for _ in range(2):
            record, _ = churn(ground, "50/s", SERVER, "--for", "1s", *PING, "--store", file)
    shown = json.loads(ground.fourtuple("runs", "show", "1", "--json", "--store", file).stdout)
    commands = (
        ("runs",), ("runs", "--kind", "churn"), ("runs", "show", "1"),
        ("runs", "show", "1", "--follow"), ("compare", "1", "2"),
        ("report", "1", "--output", str(tmp_path / "run.html")), ("runs", "export", "1", "--csv"),
    )  # fmt: skip
    for command in commands:
        done = ground.fourtuple(*command, "--store", file)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), (command, done.stderr)

    assert shown["record"]["completed"] == 50
    assert (shown["kind"], shown["n"], shown["held"]) == ("churn", 50, 50)
    assert "50 completed" in ground.fourtuple("runs", "--store", file).stdout
    assert (tmp_path / "run.html").read_text().count("Over time")
    assert record["run"] == 2
