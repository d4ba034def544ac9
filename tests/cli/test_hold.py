"""`hold` against `serve` as programs, on real sockets in a private namespace: N asked is N held, and all agree."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from fourtuple.kernel.uring import features
from tests.conftest import COMMAND, Ground, need, private_ground
from tests.told import ACCEPTED, EVENT, LOST, numbers
from tests.waiting import PATIENCE_S, lines_until, wait_until


@pytest.fixture(params=["epoll", "ring"])
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    """Every test here is run over both loops."""
    why_not = features().why_not
    need(request.param == "epoll" or why_not is None, f"io_uring ({why_not})")
    with private_ground(request.param) as ground:
        yield ground


def hold(ground: Ground, *arguments: str, **options: Any) -> tuple[dict[str, Any], int]:
    done = ground.fourtuple("hold", *arguments, "--json", **options)
    assert done.stdout.count("\n") == 1, done.stderr
    return json.loads(done.stdout), done.returncode


def ss(ground: Ground, port: int) -> list[tuple[str, str]]:
    """What iproute2's ss lists as established towards that port: local and peer address."""
    lines = ground.ss("-tan", "state", "established", f"dport = :{port}")
    return [(line.split()[2], line.split()[3]) for line in lines]


@pytest.mark.parametrize("count", [23, 997])
def test_plan_engine_kernel_and_ss_count_the_same(ground: Ground, count: int) -> None:
    """A prime number of connections, exactly that many everywhere, and none left afterwards."""
    with ground.serving("127.0.0.1:7777", "--greet", "hello") as served:
        with ground.started("hold", str(count), "127.0.0.1:7777", "--for", "1h", "--json") as holding:
            listed = ss(ground, 7777)
            holding.send_signal(signal.SIGINT)
            record = json.loads(holding.communicate(timeout=PATIENCE_S)[0])
        assert wait_until(lambda: not ss(ground, 7777))

    assert len(listed) == len(set(listed)) == count
    assert (record["wanted"], record["held"], record["failed"], record["lost"]) == (count, count, {}, 0)
    for census in (record["census"], record["census_at_end"]):
        assert (census["client"], census["server"], census["accepted"]) == (count, count, count)
        assert (census["by"], census["least"], census["most"]) == ("sock_diag", count, count)
    assert record["agree"]
    assert record["received_bytes"] == 5 * count
    assert (served["accepted"], served["most_open"], served["greeted"]) == (count, count, count)
    assert served["lost_by"] == {"ECONNRESET": count}


def test_a_range_too_small_gives_what_there_is_and_says_why(ground: Ground) -> None:
    """150 wanted, 100 ports: 100 held, and the 50 others failed with EADDRNOTAVAIL; the exit code is 1."""
    ground.set_port_range(40_000, 40_099)
    with ground.serving("127.0.0.1:7777"):
        record, code = hold(ground, "150", "127.0.0.1:7777", "--for", "0s", "--anyway")
        words = ground.fourtuple("hold", "150", "127.0.0.1:7777", "--for", "0s", "--anyway").stdout

    assert code == 1
    assert (record["held"], record["predicted"], record["failed"]) == (100, 100, {"EADDRNOTAVAIL": 50})
    assert record["agree"]
    assert numbers(words.splitlines()[0])[:2] == [100, 150]
    assert re.search(r"^ +50 [^0-9]*EADDRNOTAVAIL", words, re.M)
    assert "--from" in words


@pytest.mark.parametrize("strategy", ["late", "noport", "explicit"])
def test_the_whole_product_of_sources_and_destinations_is_used(ground: Ground, strategy: str) -> None:
    """2 sources x 100 ports x 2 destinations hold 400, to the last one, by every strategy that binds."""
    ground.set_port_range(40_000, 40_099)
    with ground.serving("127.0.0.1:7777-7778"):
        record, code = hold(
            ground, "400", "127.0.0.1:7777-7778", "--from", "127.0.0.1-2", "--strategy", strategy, "--for", "0s"
        )

    assert (record["held"], record["failed"], record["agree"], code) == (400, {}, True, 0)


def test_plain_uses_one_source_and_the_whole_range(ground: Ground) -> None:
    ground.set_port_range(40_000, 40_099)
    with ground.serving("127.0.0.1:7777-7778"):
        record, code = hold(ground, "200", "127.0.0.1:7777-7778", "--strategy", "plain", "--for", "0s")

    assert (record["held"], record["agree"], code) == (200, True, 0)


def test_a_port_that_others_hold_is_not_counted_on(ground: Ground) -> None:
    """A listener inside the range costs one port for every destination, and the prediction knows it."""
    ground.set_port_range(40_000, 40_099)
    with ground.serving("127.0.0.1:7777", "127.0.0.9:40010"):
        record, _ = hold(ground, "100", "127.0.0.1:7777", "--for", "0s", "--anyway")

    assert (record["held"], record["predicted"], record["agree"]) == (99, 99, True)


def test_more_than_there_can_be_is_refused_with_the_plans_words(ground: Ground) -> None:
    """What stops it, what to do, and nothing has been opened."""
    ground.set_port_range(40_000, 40_099)
    with ground.serving("127.0.0.1:7777") as served:
        done = ground.fourtuple("hold", "101", "127.0.0.1:7777", "--for", "0s")
    says = " ".join(done.stderr.split())

    assert (done.returncode, done.stdout, served["accepted"]) == (1, "", 0)
    assert numbers(done.stderr.splitlines()[0]) == [101, 100]
    assert "net.ipv4.ip_local_port_range" in says
    assert "--from 127.0.0.1-2" in says
    assert "--anyway" in says


def test_chosen_source_ports_are_the_ones_used(ground: Ground) -> None:
    with ground.serving("127.0.0.1:7777"):
        done = ground.fourtuple(
            "hold", "3", "127.0.0.1:7777", "--from", "127.0.0.5:3000-3002", "--for", "0s", "--log", "--quiet"
        )

    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("connected")] == [
        "127.0.0.5:3000",
        "127.0.0.5:3001",
        "127.0.0.5:3002",
    ]


def test_ipv6_and_a_name(ground: Ground) -> None:
    with ground.serving("[::1]:7777", "127.0.0.1:7777"):
        six, six_code = hold(ground, "23", "[::1]:7777", "--for", "0s")
        name, name_code = hold(ground, "23", "localhost:7777", "--for", "0s")

    assert (six["held"], six["agree"], six_code) == (23, True, 0)
    assert (name["held"], name["agree"], name_code) == (23, True, 0)


def test_several_workers_share_the_work_exactly(ground: Ground) -> None:
    with ground.serving("127.0.0.1:7777", "--workers", "3") as served:
        record, code = hold(ground, "997", "127.0.0.1:7777", "--workers", "4", "--for", "0s")

    assert (record["held"], record["workers"], record["agree"], code) == (997, 4, True, 0)
    assert (served["accepted"], served["workers"]) == (997, 3)


def test_more_workers_than_connections_are_no_harm(ground: Ground) -> None:
    with ground.serving("127.0.0.1:7777"):
        record, code = hold(ground, "2", "127.0.0.1:7777", "--workers", "3", "--for", "0s")

    assert (record["held"], record["workers_killed"], code) == (2, 0, 0)


def test_a_small_limit_of_open_files_takes_more_processes(ground: Ground) -> None:
    """ulimit -n 128 at both ends, hard: 997 are still held, by one process with rings, or as many as it takes."""
    small = ["sh", "-c", 'ulimit -n 128; exec "$@"', "sh", *COMMAND]
    server = ground.lab.start(
        [*small, "serve", "127.0.0.1:7777", "--json", "--loop", ground.loop], stderr=subprocess.PIPE, text=True
    )
    try:
        assert server.stderr is not None
        server.stderr.readline()
        done = ground.run(*small, "hold", "997", "127.0.0.1:7777", "--for", "0s", "--json")
    finally:
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=PATIENCE_S)
    record = json.loads(done.stdout)

    assert (record["held"], record["census"]["accepted"], record["agree"], done.returncode) == (997, 997, True, 0)
    assert (record["workers"] == 1) if ground.loop == "ring" else (record["workers"] >= 997 // 128)


def test_one_process_stops_at_its_limit_and_names_it(ground: Ground) -> None:
    """With descriptors that limit is ulimit -n; with rings it is far beyond, and 200 are no matter."""
    with ground.serving("127.0.0.1:7777"):
        small = ["sh", "-c", 'ulimit -n 128; exec "$@"', "sh", *COMMAND]
        done = ground.run(*small, "hold", "200", "127.0.0.1:7777", "--workers=1", "--anyway", "--for=0s", "--json")
    record = json.loads(done.stdout)

    if ground.loop == "ring":
        assert (record["held"], done.returncode) == (200, 0)
        return
    assert done.returncode == 1
    assert record["held"] + record["failed"]["EMFILE"] == 200
    assert 64 < record["held"] < 128


def test_ctrl_c_while_opening_accounts_for_everything(ground: Ground) -> None:
    """What is open is held and counted, the rest has failed with ECANCELED, the record comes, the exit code is 1."""
    slowly = ["hold", "1000", "127.0.0.1:7777", "--rate", "100/s", "--log", "--json"]
    with ground.serving("127.0.0.1:7777"), ground.started(*slowly, wait_for=EVENT) as holding:
        lines_until(holding.stderr, EVENT, times=9)
        holding.send_signal(signal.SIGINT)
        record = json.loads(holding.communicate(timeout=PATIENCE_S)[0])

    assert holding.returncode == 1
    assert record["interrupted"]
    assert 1 < record["held"] < 1000
    assert record["failed"] == {"ECANCELED": 1000 - record["held"]}
    assert record["census"]["client"] == record["held"]


def test_a_killed_worker_is_noticed_and_what_it_held_is_lost(ground: Ground) -> None:
    with (
        ground.serving("127.0.0.1:7777"),
        ground.started("hold", "100", "127.0.0.1:7777", "--workers", "2", "--for", "1h", "--json") as holding,
    ):
        worker = int(Path(f"/proc/{holding.pid}/task/{holding.pid}/children").read_text().split()[0])
        os.kill(worker, signal.SIGKILL)
        assert wait_until(lambda: not Path(f"/proc/{worker}").exists())  # its parent has waited for it
        holding.send_signal(signal.SIGINT)
        output, _ = holding.communicate(timeout=PATIENCE_S)
    record = json.loads(output)

    assert (record["held"], record["lost"], record["lost_by"]) == (100, 50, {"ECANCELED": 50})
    assert (record["workers_killed"], holding.returncode) == (1, 1)


def test_a_peer_that_goes_away_is_a_loss(ground: Ground) -> None:
    with ground.serving("127.0.0.1:7777", "--close-after", "1s"):  # until then all are there
        record, code = hold(ground, "23", "127.0.0.1:7777", "--for", "1h")

    assert (record["held"], record["lost"], record["lost_by"], code) == (23, 23, {"FIN": 23}, 1)
    assert record["outcome"]["because"] == ["lost"]
    assert record["held_s"] < 30


def test_a_server_that_was_killed_does_not_listen_any_more(ground: Ground) -> None:
    with (
        ground.started("serve", "127.0.0.1:7777") as server,
        ground.started("hold", "23", "127.0.0.1:7777", "--for", "1h", "--json") as holding,
    ):
        server.kill()
        record = json.loads(holding.communicate(timeout=PATIENCE_S)[0])

    assert (record["lost"], record["open_at_end"], holding.returncode) == (23, 0, 1)
    assert record["census_at_end"]["queues"] == []
    assert "does not any more" in record["outcome"]["says"]


def test_closing_by_reset_leaves_no_time_wait_and_by_fin_it_does(ground: Ground) -> None:
    """Where both ends close at the same moment on two CPUs, Linux 6.18 answers some FINs by RST, with any client."""

    def now() -> tuple[int, int]:
        stat = ground.run("cat", "/proc/net/sockstat").stdout
        names, values = (line.split() for line in ground.run("grep", "Tcp:", "/proc/net/snmp").stdout.splitlines())
        return int(stat.partition(" tw ")[2].split()[0]), int(dict(zip(names, values, strict=True))["OutRsts"])

    with ground.serving("127.0.0.1:7777"):
        hold(ground, "23", "127.0.0.1:7777", "--for", "0s")
        time_waits_after_reset, resets_before = now()
        record, _ = hold(ground, "23", "127.0.0.1:7777", "--for", "0s", "--close", "fin")
        time_waits, resets = now()

    assert (time_waits_after_reset, record["left"]) == (0, 0)
    assert time_waits > 0
    assert time_waits + resets - resets_before == 23


def test_a_rate_is_kept(ground: Ground) -> None:
    """100 at 200/s take half a second: the last one starts at 99 / 200 s, not earlier."""
    with ground.serving("127.0.0.1:7777"):
        record, _ = hold(ground, "100", "127.0.0.1:7777", "--rate", "200/s", "--for", "0s")

    assert record["elapsed_s"] >= 99 / 200
    assert record["rate_per_s"] <= 100 / (99 / 200)


def test_a_destination_that_never_answers_times_out_with_its_errno(ground: Ground) -> None:
    """A listener with a full queue drops SYNs silently: ETIMEDOUT after --timeout, not after two minutes."""
    full = (
        "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 7777)); s.listen(0)\n"
        "c = socket.create_connection(('127.0.0.1', 7777)); print('full', flush=True); time.sleep(3600)"
    )
    server = ground.lab.start([sys.executable, "-c", full], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        record, code = hold(ground, "5", "127.0.0.1:7777", "--timeout", "1s", "--for", "0s")
    finally:
        server.kill()
        server.communicate()

    assert (record["held"], record["failed"], code) == (0, {"ETIMEDOUT": 5}, 1)


def test_an_echo_comes_back(ground: Ground) -> None:
    code = (
        "import socket; s = socket.create_connection(('127.0.0.1', 7777)); got = b''\n"
        "data = bytes(range(256)) * 4096; import threading\n"
        "threading.Thread(target=s.sendall, args=(data,)).start()\n"
        "while len(got) < len(data): got += s.recv(65536)\n"
        "print(got == data)"
    )
    with ground.serving("127.0.0.1:7777", "--echo") as served:
        assert ground.python(code) == "True\n"

    assert (served["received_bytes"], served["sent_bytes"]) == (2**20, 2**20)


def logged(ground: Ground, close: str) -> tuple[list[str], list[str]]:
    """Two connections that the client closes once both are accepted → their near ends, the server's lines."""
    with ground.started("serve", "127.0.0.1:7777", "--log", "--quiet") as server:
        assert server.stdout is not None
        with ground.started("hold", "2", "127.0.0.1:7777", "--for", "1h", "--close", close, "--json") as holding:
            lines = lines_until(server.stdout, ACCEPTED, times=2)
            clients = sorted(near for near, _ in ss(ground, 7777))
            holding.send_signal(signal.SIGINT)
            lines += lines_until(server.stdout, LOST, times=2)
        server.send_signal(signal.SIGINT)
        lines += server.stdout
    return clients, "".join(lines).splitlines()


def test_serve_logs_both_ends_of_every_accept_and_close(ground: Ground) -> None:
    clients, output = logged(ground, "fin")
    accepted = sorted(line.split()[3] for line in output if line.startswith("accepted "))
    lost = sorted(line.split()[3] for line in output if line.startswith("lost"))

    assert len(clients) == 2
    assert accepted[: len(clients)] == clients
    assert lost == clients
    assert 2 in numbers("\n".join(output))


def test_serve_ends_by_itself_with_its_record(ground: Ground) -> None:
    done = ground.fourtuple("serve", "127.0.0.1:7777-7786", "[::1]:7777", "--for", "200ms", "--json")

    assert done.returncode == 0
    assert json.loads(done.stdout)["listening"] == ["127.0.0.1:7777-7786", "[::1]:7777"]
    assert done.stdout.count("\n") == 1


def test_a_group_signal_ends_a_run_in_order(ground: Ground) -> None:
    """SIGTERM to the whole group, as timeout(1) and service managers send it: closed by us, nothing lost."""
    with (
        ground.serving("127.0.0.1:7777"),
        ground.started(
            "hold", "100", "127.0.0.1:7777", "--workers", "2", "--for", "1h", "--json", start_new_session=True
        ) as holding,
    ):
        os.killpg(holding.pid, signal.SIGTERM)
        record = json.loads(holding.communicate(timeout=PATIENCE_S)[0])

    assert (record["held"], record["lost"], record["interrupted"]) == (100, 0, True)


def test_a_server_whose_worker_was_killed_says_so(ground: Ground) -> None:
    with ground.started("serve", "127.0.0.1:7777", "--workers", "2", "--json") as server:
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children")
        assert wait_until(lambda: len(children.read_text().split()) == 2)
        os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
        server.send_signal(signal.SIGINT)
        record = json.loads(server.communicate(timeout=PATIENCE_S)[0])

    assert (record["workers_killed"], server.returncode) == (1, 1)


def test_closing_in_the_middle_of_an_echo_harms_nobody(ground: Ground) -> None:
    """Clients that never stop sending are cut off while their data is in flight; the server continues."""
    code = (
        "import socket, time\n"
        "until = time.monotonic() + 1.5\n"
        "while time.monotonic() < until:\n"
        "    socks = [socket.create_connection(('127.0.0.1', 7777)) for _ in range(20)]\n"
        "    try:\n"
        "        while True:\n"
        "            for s in socks: s.send(b'x' * 2000)\n"
        "    except OSError: pass\n"
        "    for s in socks: s.close()\n"
    )
    with ground.serving("127.0.0.1:7777", "--echo", "--close-after", "20ms") as served:
        ground.python(code)
        ground.python(
            "import socket; s = socket.create_connection(('127.0.0.1', 7777)); s.send(b'x'); assert s.recv(1)"
        )

    assert served["workers_killed"] == 0
    assert served["closed"] > 20


def test_slow_readers_do_not_keep_the_echo_from_others(ground: Ground) -> None:
    """300 clients, more than there are buffers, send and never read; another one is still answered at once."""
    code = (
        "import socket\n"
        "slow = [socket.create_connection(('127.0.0.1', 7777)) for _ in range(300)]\n"
        "for s in slow:\n"
        "    s.setblocking(False)\n"
        "    try:\n"
        "        while True: s.send(b'x' * 65536)\n"
        "    except BlockingIOError: pass\n"
        "quick = socket.create_connection(('127.0.0.1', 7777)); quick.sendall(b'hello')\n"
        "print(quick.recv(5, socket.MSG_WAITALL).decode())"
    )
    with ground.serving("127.0.0.1:7777", "--echo"):
        assert ground.python(code) == "hello\n"


def test_a_reset_is_logged_with_both_ends_too(ground: Ground) -> None:
    _, lines = logged(ground, "rst")
    accepted = sorted(line.split(maxsplit=1)[1] for line in lines if line.startswith("accepted  "))
    lost = sorted(line.split(maxsplit=1)[1] for line in lines if line.startswith("lost"))

    assert len(accepted) == 2
    assert lost == [f"{line}  ECONNRESET" for line in accepted]


def test_what_others_hold_from_other_ports_or_addresses_takes_no_room(ground: Ground) -> None:
    """Connections outside of this run's sources and ports neither shrink its prediction nor count as its own."""
    ground.set_port_range(40_000, 40_099)
    with (
        ground.serving("127.0.0.1:7777"),
        ground.started("hold", "50", "127.0.0.1:7777", "--from", "127.0.0.1:20000-20049", "--for", "1h"),
        ground.started("hold", "30", "127.0.0.1:7777", "--from", "127.0.0.2", "--for", "1h"),
    ):
        record, code = hold(ground, "100", "127.0.0.1:7777", "--from", "127.0.0.1", "--for", "0s")

    assert (record["predicted"], record["held"], record["agree"], code) == (100, 100, True, 0)


def test_explicit_works_around_ports_that_others_have(ground: Ground) -> None:
    """30 of 100 ports are taken by sockets that do not share: 60 wanted are 60 held, also by two workers."""
    code = (
        "import socket, sys\n"
        "for port in range(21000, 21030):\n"
        "    s = globals()[f's{port}'] = socket.socket()\n"
        "    s.bind(('127.0.0.1', port)); s.connect(('127.0.0.1', 7777))\n"
        "print('taken', file=sys.stderr, flush=True); sys.stdin.read()"
    )
    with ground.serving("127.0.0.1:7777"):
        other = ground.lab.start([sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert other.stderr is not None
        other.stderr.readline()
        record, code_ = hold(
            ground, "60", "127.0.0.1:7777", "--from", "127.0.0.1:21000-21099", "--workers", "2", "--for", "0s"
        )
        other.communicate()

    assert (record["held"], record["failed"], code_) == (60, {}, 0)


def test_several_workers_keep_the_rate_together(ground: Ground) -> None:
    with ground.serving("127.0.0.1:7777"):
        record, _ = hold(ground, "40", "127.0.0.1:7777", "--rate", "40/s", "--workers", "20", "--for", "0s")

    assert record["held"] == 40
    assert record["elapsed_s"] >= 0.95 * 39 / 40


@pytest.mark.parametrize("meant", ["0.0.0.0", "[::]", "[::ffff:127.0.0.1]"])
def test_this_host_by_its_other_names(ground: Ground, meant: str) -> None:
    with ground.serving("127.0.0.1:7777", "[::1]:7777"):
        record, code = hold(ground, "23", f"{meant}:7777", "--for", "0s")

    assert (record["held"], record["agree"], code) == (23, True, 0)


def test_a_log_of_many_small_processes(ground: Ground) -> None:
    """ulimit -n 64 and a line for everything: every line arrives, whole."""
    small = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *COMMAND]
    with ground.serving("127.0.0.1:7777"):
        done = ground.run(*small, "hold", "500", "127.0.0.1:7777", "--for", "0s", "--log", "--quiet")
    kinds = [line.split()[0] for line in done.stdout.splitlines()]

    assert (kinds.count("connected"), kinds.count("closed"), done.returncode) == (500, 500, 0)


def test_requests_are_answered_by_an_echo(ground: Ground) -> None:
    """At once again, and in time: every answer is what was sent, and there are as many as the clock allows."""
    with ground.serving("127.0.0.1:7777", "--echo") as served:
        quick, code = hold(
            ground, "97", "127.0.0.1:7777", "--for", "1s", "--send", "32B", "--every", "0s", "--expect", "32B"
        )
        slow, _ = hold(
            ground, "97", "127.0.0.1:7777", "--for", "2s", "--send", "ping", "--every", "500ms", "--expect", "ping"
        )

    assert (code, quick["unexpected"], quick["lost"], quick["late"]) == (0, 0, 0, 0)
    assert quick["answers"] > 970
    assert quick["requests"] - 97 <= quick["answers"] <= quick["requests"]
    assert quick["received_bytes"] == 32 * quick["answers"]
    assert quick["answer_us"]["p50"] > 0
    assert slow["answers"] == pytest.approx(97 * 4, abs=97)
    # What is on its way when the connections are reset may not arrive.
    answered, asked = (32 * quick[what] + 4 * slow[what] for what in ("answers", "requests"))
    assert answered <= served["sent_bytes"] <= asked


def test_an_answer_that_is_not_expected_is_shown_and_fails_the_run(ground: Ground) -> None:
    with ground.serving("127.0.0.1:7777", "--greet", "hello"):
        right, right_code = hold(ground, "23", "127.0.0.1:7777", "--for", "300ms", "--expect", "hello")
        wrong = ground.fourtuple(
            "hold", "2", "127.0.0.1:7777", "--for", "300ms", "--expect", "HELLO", "--log", "--quiet"
        )

    assert (right["answers"], right["unexpected"], right_code) == (23, 0, 0)
    assert wrong.returncode == 1
    assert "2 answers were not as expected" in " ".join(wrong.stdout.split())
    assert [line.split()[-1] for line in wrong.stdout.splitlines() if line.startswith("unexpected")] == ["hello"] * 2


REPLIES = """
import asyncio, sys
async def reply(reader, writer):
    while await reader.readexactly(6) == b"PING\\r\\n":
        writer.write(bytes.fromhex(sys.argv[1]))
async def main():
    await asyncio.start_server(reply, "127.0.0.1", 7778)
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def replied(ground: Ground, reply: bytes, *options: str) -> tuple[dict[str, Any], int]:
    r"""The result of hold that sends PING\r\n, by escapes, to a server that answers only that, with `reply`."""
    server = ground.lab.start(
        [sys.executable, "-c", REPLIES, reply.hex()], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        lines_until(server.stdout, "ready")
        send = ("--send", r"PING\r\n", "--every", "200ms")
        return hold(ground, "23", "127.0.0.1:7778", "--for", "1s", *send, *options)
    finally:
        server.kill()
        server.communicate()


def test_a_size_is_any_bytes_of_that_number_and_escapes_are_the_bytes_that_they_name(ground: Ground) -> None:
    r"""+PONG\r\n is seven bytes: as a size and as a text it is the answer, a size of six or another text is not."""
    right = [replied(ground, b"+PONG\r\n", "--expect", expect) for expect in ("7B", r"+PONG\r\n", r"\x2bPONG\x0d\n")]
    wrong = [replied(ground, b"+PONG\r\n", "--expect", expect) for expect in ("6B", r"+PONG\n\r")]

    assert [record["unexpected"] > 0 for record, _ in right + wrong] == [False] * 3 + [True] * 2
    assert [code for _, code in wrong] == [1, 1]  # the others may have been too slow for one answer
    for record, _ in right:
        assert record["answers"] >= 23
        assert (record["unexpected"], record["received_bytes"]) == (0, 7 * record["answers"])
    for record, _ in wrong:
        assert record["unexpected"] >= 23
        assert record["answers"] == 0


def test_a_greeting_is_read_as_a_message_to_send_is(ground: Ground, tmp_path: Path) -> None:
    """Escapes, a size, and a file, byte by byte."""
    file = tmp_path / "greeting"
    file.write_bytes(b"\\r\xff")
    for greet, expect in ((r"220 ok\r\n", r"220\x20ok\r\n"), ("40B", "40B"), (f"@{file}", r"\\r\xff")):
        with ground.serving("127.0.0.1:7777", "--greet", greet):
            record, code = hold(ground, "3", "127.0.0.1:7777", "--for", "200ms", "--expect", expect)
        assert (record["answers"], record["unexpected"], code) == (3, 0, 0)


def test_an_answer_that_never_comes_fails_the_run(ground: Ground) -> None:
    """A server that only listens: no greeting, no echo, and the connections themselves are fine."""
    with ground.serving("127.0.0.1:7777"):
        record, code = hold(
            ground, "23", "127.0.0.1:7777", "--for", "1500ms", "--send", "x", "--every", "200ms", "--expect", "x"
        )
        silent, _ = hold(ground, "2", "127.0.0.1:7777", "--for", "1200ms", "--expect", "hello")

    assert (record["held"], record["lost"], record["answers"], record["unanswered"], code) == (23, 0, 0, 23, 1)
    assert record["late"] > 23
    assert (silent["held"], silent["unanswered"]) == (2, 2)


def refused(ground: Ground) -> int:
    """How many connect() were refused, in this namespace."""
    names, values = (line.split() for line in ground.run("grep", "Tcp:", "/proc/net/snmp").stdout.splitlines())
    return int(dict(zip(names, values, strict=True))["AttemptFails"])


@pytest.mark.parametrize("watch", ["poll", "census"])
def test_lost_connections_are_noticed_and_opened_again(ground: Ground, watch: str) -> None:
    """The server goes and comes back: all are lost with time and errno, retried until it is there, and all are back."""
    with ground.started("serve", "127.0.0.1:7777") as first:
        holding = ground.started(
            "hold", "23", "127.0.0.1:7777", "--for", "1h", "--json", "--reconnect", "--watch", watch, "--log"
        )
        with holding as program:
            first.kill()
            first.wait()
            assert wait_until(lambda: refused(ground))
            assert program.stdout is not None
            assert program.stderr is not None
            with ground.started("serve", "127.0.0.1:7777"):
                drained = Thread(target=program.stderr.read)  # a full pipe would stop the program
                drained.start()
                assert wait_until(lambda: len(ss(ground, 7777)) == 23)
                program.send_signal(signal.SIGINT)
                record = json.loads(program.stdout.read())
                drained.join(PATIENCE_S)

    assert (record["held"], record["open_at_end"]) == (23, 23)
    assert 23 <= record["lost"] == record["reconnected"]  # some may get through to the dying server, and are lost again
    assert sum(loss["count"] for loss in record["losses"]) == record["lost"]
    assert {loss["by"] for loss in record["losses"]} <= {"FIN", "ECONNRESET"}
    assert "ECONNREFUSED" in record["reconnect_failed"].keys() <= {"ECONNREFUSED", "ECONNRESET"}


def test_without_watching_only_the_last_look_notices(ground: Ground) -> None:
    with ground.started("serve", "127.0.0.1:7777") as server:
        holding = ground.started("hold", "23", "127.0.0.1:7777", "--for", "2s", "--json", "--watch", "off")
        with holding as program:
            server.kill()
            record = json.loads(program.communicate(timeout=PATIENCE_S)[0])

    assert (record["held"], record["lost"], record["open_at_end"], record["watch"]) == (23, 23, 0, "off")
    assert min(loss["at_s"] for loss in record["losses"]) >= 2


def test_a_server_that_counts_instead_of_polling_notices_too(ground: Ground) -> None:
    with ground.started("serve", "127.0.0.1:7777", "--watch", "census", "--log", "--json") as server:
        with ground.started("hold", "97", "127.0.0.1:7777", "--for", "1h", "--json") as holding:
            lines_until(server.stderr, ACCEPTED, times=97)
            holding.send_signal(signal.SIGINT)
            lines_until(server.stderr, LOST, times=97)
        again, _ = hold(ground, "97", "127.0.0.1:7777", "--for", "0s")
        server.send_signal(signal.SIGINT)
        served = json.loads(server.communicate(timeout=PATIENCE_S)[0])

    assert again["agree"]
    assert (served["accepted"], served["lost"] + served["closed"]) == (194, 194)
    assert served["lost"] >= 97


def test_it_says_how_long_closing_took_and_what_is_left(ground: Ground) -> None:
    """By FIN, to a server that does not close its end: FIN_WAIT2 stays here and CLOSE_WAIT there."""
    code = "import socket, time; s = socket.create_server(('127.0.0.1', 7777)); print(1, flush=True); time.sleep(3600)"
    with ground.serving("127.0.0.1:7778"):
        clean, _ = hold(ground, "5", "127.0.0.1:7778", "--for", "0s")
    server = ground.lab.start([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        stuck, _ = hold(ground, "5", "127.0.0.1:7777", "--for", "0s", "--close", "fin")
    finally:
        server.kill()
        server.communicate()

    assert (clean["left"], clean["closing_s"] < 3) == (0, True)
    assert stuck["left"] == 10
    assert stuck["closing_s"] >= 3


def test_it_stops_short_of_memory_that_others_take(ground: Ground) -> None:
    """Far more was free at the start than is now: what is open stays, the rest is not tried, the record says why."""
    code = """
from dataclasses import replace
from fourtuple.core.limits.facts import Memory
from fourtuple.core.runs.orders import HoldOptions
from fourtuple.verbs.hold import prepare, start_hold

order = prepare(HoldOptions(20_000, ("127.0.0.1:7777",), rate_per_s=5000, hold_s=0.1))
record = start_hold(replace(order, free=Memory(10**15))).finish()
print(record.held, sum(record.failed.values()), list(record.failed), record.open_at_end, record.stopped_by)
"""
    with ground.serving("127.0.0.1:7777"):
        held, failed, names, at_end, *words = ground.python(code).split()

    assert 0 < int(held) < 20_000
    assert int(held) == int(at_end) == 20_000 - int(failed)
    assert names == "['ECANCELED']"
    assert "memory:" in words


def test_a_full_accept_queue_is_a_finding(ground: Ground) -> None:
    """A backlog of 2 and no accept(): connects wait for a second SYN, or for ever, and the record shows why."""
    code = "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 7777)); s.listen(2); print(1, flush=True)"
    server = ground.lab.start([sys.executable, "-c", f"{code}; time.sleep(3600)"], stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        record, _ = hold(ground, "9", "127.0.0.1:7777", "--for", "0s", "--timeout", "2s")
    finally:
        server.kill()
        server.communicate()

    assert record["listen_overflows"] > 0
    assert record["syn_retransmits"] > 0


def test_a_server_that_stops_shows_in_the_times_of_all_that_was_due_meanwhile(ground: Ground) -> None:
    """No message is left out, and the longest wait is as long as the stop."""
    talk = ("--send", "ping", "--expect", "ping", "--every", "100ms", "--for", "1h", "--json")
    with (
        ground.started("serve", "127.0.0.1:7777", "--echo", "--workers", "1") as server,
        ground.started("hold", "23", "127.0.0.1:7777", *talk) as holding,
    ):
        began_s = time.monotonic()
        server.send_signal(signal.SIGSTOP)
        time.sleep(2)
        stopped_s = time.monotonic() - began_s
        server.send_signal(signal.SIGCONT)
        time.sleep(1)
        holding.send_signal(signal.SIGINT)
        record = json.loads(holding.communicate(timeout=PATIENCE_S)[0])

    due = 23 * record["held_s"] / 0.1
    assert record["requests"] + record["unsent"] > 0.8 * due - 2 * 23
    assert record["late"] > 0.5 * 23 * stopped_s / 0.1
    assert record["answer_us"]["max"] > 0.9 * stopped_s * 1e6
    assert record["answer_us"]["p90"] > record["service_us"]["p90"]
    assert (record["unexpected"], record["lost"]) == (0, 0)
