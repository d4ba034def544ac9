"""`hold --stages` and `hold --churn` on real sockets, over both loops: what the kernel and the server count, too."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fourtuple.core.runs.records import HoldRecord
from fourtuple.kernel.uring import features
from fourtuple.verbs.background import serving
from fourtuple.verbs.hold import hold
from tests.cli.test_hold import ss
from tests.cli.test_sessions import INSECURE, SCHEMES
from tests.conftest import COMMAND, Ground, need, private_ground
from tests.ports import free_port
from tests.told import joined
from tests.waiting import PATIENCE_S, wait_until


@pytest.fixture(params=["epoll", "ring"])
def loop(request: pytest.FixtureRequest) -> str:
    """Every test here is run over both loops."""
    why_not = features().why_not
    need(request.param == "epoll" or why_not is None, f"io_uring ({why_not})")
    return str(request.param)


@pytest.fixture
def ground(loop: str) -> Iterator[Ground]:
    with private_ground(loop) as ground:
        yield ground


def held(ground: Ground, *arguments: str) -> tuple[dict[str, Any], int]:
    done = ground.fourtuple("hold", *arguments, "--json")
    assert done.stdout.count("\n") == 1, done.stderr
    return json.loads(done.stdout), done.returncode


def active_opens(ground: Ground) -> int:
    """How many connections this namespace has opened, as the kernel counts them."""
    names, values = (line.split() for line in ground.run("grep", "Tcp:", "/proc/net/snmp").stdout.splitlines())
    return int(dict(zip(names, values, strict=True))["ActiveOpens"])


@pytest.mark.parametrize("workers", ["1", "3"])
def test_each_stage_has_its_connections_and_the_kernel_agrees(ground: Ground, workers: str) -> None:
    """997 up, a plateau, down, up again, down to 13: the kernel and the server count each connection that is opened."""
    stages = "300@500ms, 997@500ms, 997@1500ms, 100@500ms, 100@1500ms, 600@500ms, 13@500ms"
    with ground.serving("127.0.0.1:7777-7778") as served:
        before = active_opens(ground)
        record, code = held(ground, "127.0.0.1:7777-7778", "--stages", stages, "--workers", workers)
        opens = active_opens(ground) - before

    assert (code, record["outcome"]["says"]) == (0, record["outcome"]["says"])
    assert [stage["target"] for stage in record["stages"]] == [300, 997, 997, 100, 100, 600, 13]
    assert all(stage["reached"] for stage in record["stages"])  # on a loaded machine a ramp ends a little later
    assert [record["stages"][plateau]["open_at_end"] for plateau in (2, 4)] == [997, 100]
    assert (record["wanted"], record["held"], record["open_at_end"], record["lost"]) == (997, 997, 13, 0)
    for census, count in ((record["census"], 997), (record["census_at_end"], 13)):
        assert (census["client"], census["server"], census["accepted"]) == (count, count, count)
    assert opens == served["accepted"] == 997 + 500
    assert (record["agree"], record["left"], record["time_wait_left"]) == (True, 0, 0)


def test_a_peak_without_a_plateau_is_held_too(ground: Ground) -> None:
    """The kernel is asked while the number falls: its count lies between those of the engine.

    So few that a loaded machine opens the last one before the line turns.
    """
    with ground.serving("127.0.0.1:7777"):
        record, code = held(ground, "23", "127.0.0.1:7777", "--stages", "23@3s, 11@2s", "--close", "fin")

    assert (code, record["held"], record["open_at_end"], record["agree"]) == (0, 23, 11, True)
    assert record["census"]["least"] <= record["census"]["client"] <= record["census"]["most"] <= 23
    assert record["census_at_end"]["client"] == 11
    assert 0 < record["time_wait_left"] <= 2 * 23


FULL = """
import socket, struct, select, sys
listener = socket.create_server(("127.0.0.1", 7777), backlog=4096)
print("full", flush=True)
kept = []
while True:
    client, _ = listener.accept()
    if len(kept) < 60:
        kept.append(client)
    else:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
"""


@contextmanager
def a_full_server(ground: Ground) -> Iterator[None]:
    """A server that keeps 60 connections and resets all others."""
    server = ground.lab.start([sys.executable, "-c", FULL], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        yield
    finally:
        server.kill()
        server.communicate()


def test_a_server_that_takes_too_few_shows_in_its_stage(ground: Ground) -> None:
    """50 are taken; of 200, 140 are reset: from the second stage on it is short, and says by how many and why."""
    with a_full_server(ground):
        done = ground.fourtuple("hold", "127.0.0.1:7777", "--stages", "50@500ms, 200@1s, 200@1s, 0@500ms", "--quiet")
        record, code = held(ground, "127.0.0.1:7777", "--stages", "50@500ms")
    words = joined(done.stdout)

    assert (done.returncode, code) == (1, 1)
    assert re.search(r"Stage 2 of 4 \(200 within 1 s\) had 60 open at its end: [^.]*(failed|lost)", words)
    assert "Stage 3 of 4 (200 within 1 s) had 60 open at its end" in words
    assert "Stage 4" not in words
    assert re.search(r"stage 2 +200 within 1 s +60 open at its end, not reached, (failed|lost)", words)
    assert record["stages"][0]["lost"] + record["stages"][0]["failed"] == 50


def test_ctrl_c_in_the_middle_of_a_ramp_accounts_for_everything(ground: Ground, loop: str) -> None:
    with ground.serving("127.0.0.1:7777"):
        stages = "20@500ms, 10000@1h, 0@1s"
        command = [*COMMAND, "hold", "127.0.0.1:7777", "--stages", stages, "--json", "--no-store", "--loop", loop]
        holding = ground.lab.start(command, stdout=subprocess.PIPE, text=True)
        try:
            assert wait_until(lambda: len(ss(ground, 7777)) > 22)
            holding.send_signal(signal.SIGINT)
            record = json.loads(holding.communicate(timeout=PATIENCE_S)[0])
        finally:
            holding.kill()
            holding.communicate()
        assert wait_until(lambda: not ss(ground, 7777))

    assert holding.returncode == 1
    assert record["held"] + record["failed"]["ECANCELED"] == record["wanted"] == 10_000
    assert record["held"] == record["open_at_end"] == record["census_at_end"]["client"] > 22
    assert [stage["open_at_end"] for stage in record["stages"]] == [20, None, None]
    assert "The run was interrupted in stage 2 of 3." in record["outcome"]["says"]
    assert record["agree"]


@pytest.mark.parametrize(("workers", "close"), [("1", "rst"), ("3", "rst"), ("1", "fin")])
def test_connections_are_replaced_while_all_are_held(ground: Ground, workers: str, close: str) -> None:
    """Every replacement is one more for the kernel and the server; all 997 are open when they are counted."""
    with ground.serving("127.0.0.1:7777-7778", "--echo") as served:
        before = active_opens(ground)
        record, code = held(
            ground, "997", "127.0.0.1:7777-7778", "--churn", "400/s", "--for", "2s", "--workers", workers,
            "--close", close, "--send", "ping", "--expect", "ping", "--every", "500ms",
        )  # fmt: skip
        opens = active_opens(ground) - before

    assert (code, record["outcome"]["says"]) == (0, record["outcome"]["says"])
    assert opens == served["accepted"] == 997 + record["replaced"]
    assert record["replaced"] == pytest.approx(400 * record["held_s"], rel=0.25)
    assert (record["held"], record["open_at_end"], record["lost"], record["reconnected"]) == (997, 997, 0, 0)
    for census in (record["census"], record["census_at_end"]):
        assert (census["client"], census["server"], census["accepted"]) == (997, 997, 997)
    assert record["answers"] > 997
    assert (record["unanswered"], record["unexpected"], record["unsent"]) == (0, 0, 0)


def test_stages_and_replacement_go_together(ground: Ground) -> None:
    with ground.serving("127.0.0.1:7777") as served:
        before = active_opens(ground)
        record, code = held(
            ground, "127.0.0.1:7777", "--stages", "200@500ms, 200@2s, 50@500ms, 50@500ms", "--churn", "100/s"
        )
        opens = active_opens(ground) - before

    assert (code, record["outcome"]["says"]) == (0, record["outcome"]["says"])
    assert opens == served["accepted"] == 200 + record["replaced"]
    assert [stage["open_at_end"] for stage in record["stages"]] == [200, 200, 50, 50]
    assert record["replaced"] > 100
    assert record["census_at_end"]["client"] == 50


def test_a_server_that_takes_no_more_shows_in_the_rate(ground: Ground) -> None:
    """All are held; it resets what replaces them. Those are lost, and nothing else is."""
    with a_full_server(ground):
        record, code = held(ground, "60", "127.0.0.1:7777", "--churn", "20/s", "--for", "1s")

    assert code == 1
    assert record["lost"] == record["replaced"] > 0
    assert "lost" in record["outcome"]["because"]


@pytest.mark.parametrize("close", ["rst", "fin"])
def test_where_every_port_is_in_use_each_is_used_again_at_once(ground: Ground, close: str) -> None:
    """Chosen ports, all of them held: a replacement takes the port that has just been left, also from TIME_WAIT.

    While the server has not closed its end yet (FIN_WAIT2), the kernel refuses it, and it is tried again.
    """
    chosen = ("127.0.0.1:7777", "--from", "127.0.0.1:3000-3049", "--close", close)
    with ground.serving("127.0.0.1:7777"):
        record, code = held(ground, "50", *chosen, "--churn", "50/s", "--for", "2s", "--require", "open_at_end=all")
        ramped, ramped_code = held(ground, *chosen, "--stages", "50@300ms, 0@300ms, 50@300ms, 50@500ms")

    assert (code, record["open_at_end"], record["failed"]) == (0, 50, {})
    assert record["reconnect_failed"].keys() <= ({"EADDRNOTAVAIL"} if close == "fin" else set())
    assert record["replaced"] >= 50
    assert (ramped_code, ramped["failed"], [stage["open_at_end"] for stage in ramped["stages"]]) == (
        0,
        {},
        [50, 0, 50, 50],
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_sessions_say_goodbye_on_the_way_down_and_when_they_are_replaced(scheme: str, loop: str) -> None:
    """Each session that is closed by FIN has ended properly for the server, and none is lost."""
    end = f"127.0.0.1:{free_port()}"
    options: dict[str, Any] = INSECURE if scheme in ("tls", "https", "wss", "mqtts") else {}
    with serving(end, *SCHEMES[scheme], "--loop", loop) as server:
        record: HoldRecord = hold(
            23,
            [f"{scheme}://{end}"],
            stages=parse("23@500ms, 23@1500ms, 5@500ms, 5@1500ms, 23@500ms, 23@500ms, 7@500ms"),
            churn_per_s=20.0,
            loop=loop,
            reset=False,
            **options,
        ).finish()

    assert record.reasons == {}, record.outcome.says
    assert (record.held, record.open_at_end, record.lost) == (23, 7, 0)
    assert record.replaced > 10
    accepted = server.record["accepted"]
    assert accepted == 23 + 18 + record.replaced
    assert 23 < record.sessions <= accepted  # on a busy host, some are closed in their handshake
    if scheme in ("ws", "mqtt"):  # the others' server may be writing when the end arrives
        assert server.record["lost_by"] == {"FIN": accepted}


def parse(text: str) -> Any:
    from fourtuple.core.talk.stages import parse_stages

    return parse_stages(text)


def test_a_stored_run_shows_its_stages(ground: Ground, tmp_path: Path) -> None:
    file = str(tmp_path / "runs.db")
    with ground.serving("127.0.0.1:7777"):
        done = ground.fourtuple(
            "hold",
            "127.0.0.1:7777",
            "--stages",
            "30@300ms, 30@1s, 7@300ms",
            "--churn",
            "50/s",
            "--store",
            file,
            "--quiet",
        )
    shown = ground.fourtuple("runs", "show", "--store", file).stdout
    page = tmp_path / "run.html"
    reported = ground.fourtuple("report", "--store", file, "--output", str(page))

    assert done.returncode == 0
    for line in (line for line in done.stdout.splitlines() if line.startswith("  stage ")):
        assert line.strip() in shown
    assert reported.returncode == 0, reported.stderr
    assert "target of the stages" in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("5", "127.0.0.1:7777", "--stages", "10@1s"), "the largest stage has 10"),
        (("127.0.0.1:7777", "--stages", "10@1s", "--rate", "5/s"), "--stages with --rate"),
        (("127.0.0.1:7777", "--stages", "10@1s", "--for", "5s"), "--stages with --for"),
        (("127.0.0.1:7777", "--stages", "10@1s", "--watch", "census"), "--watch census with --stages"),
        (("5", "127.0.0.1:7777", "--churn", "1/s", "--watch", "census"), "--watch census with --churn"),
        (("127.0.0.1:7777", "--stages", ",".join(["1@1s"] * 65)), "at most 64"),
        (("127.0.0.1:7777", "--stages", "10"), "is not N@TIME"),
        (("127.0.0.1:7777",), "N is missing"),
        (("--stages", "10@1s"), "N and a destination are needed"),
        (("10", "--stages", "10@1s"), "N and a destination are needed"),
    ],
)
def test_what_contradicts_stages_is_refused(ground: Ground, arguments: tuple[str, ...], words: str) -> None:
    done = ground.fourtuple("hold", *arguments, "--no-store")

    assert done.returncode == 2
    assert words in joined(done.stderr)


def test_what_the_ports_allow_is_said_before_and_more_is_refused(ground: Ground) -> None:
    """1,000 ports, and on loopback one second of TIME_WAIT."""
    ground.set_port_range(40_000, 40_999)
    with ground.serving("127.0.0.1:7777"):
        refused = ground.fourtuple("hold", "100", "127.0.0.1:7777", "--churn", "1k/s", "--close", "fin", "--for", "1s")
        allowed = ground.fourtuple("hold", "100", "127.0.0.1:7777", "--churn", "50/s", "--close", "fin", "--for", "1s")
        reset = ground.fourtuple("hold", "100", "127.0.0.1:7777", "--churn", "1k/s", "--for", "1s")

    assert (refused.returncode, allowed.returncode, reset.returncode) == (1, 0, 0), reset.stdout
    assert "as each stays in TIME_WAIT for 1 s; 100 of 1,000 are for those that are held" in joined(refused.stderr)
    assert "plan: replace 50/s; ports allow 900/s, as each stays in TIME_WAIT for 1 s" in joined(allowed.stderr)
    assert "plan:" not in reset.stderr
