"""`fourtuple check` on clients whose habits are known, and on programs of the distribution."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fourtuple.core.check.judge import Ended
from tests import told
from tests.conftest import COMMAND, DENY, fourtuple, need, need_namespace
from tests.waiting import PATIENCE_S, lines_until, wait_until

ME = [sys.executable, "-m", "tests.verbs.check.programs"]
AT_ONCE = 6  # checks: they sleep most of the time

GREETED = """
import socket, sys
host, port = sys.argv[1].split(":")
sock = socket.create_connection((host, int(port)))
sys.exit(sock.recv(5, socket.MSG_WAITALL) != b"220\\r\\n")
"""
SENT = """
import socket, sys, time
server = socket.create_server(("127.0.0.1", 9000))
while not (data := server.accept()[0].recv(6, socket.MSG_WAITALL)):
    pass  # the first connection may be closed at once
if data != b"PING\\r\\n":
    sys.exit(f"received {data}")
host, port = sys.argv[1].split(":")
sock = socket.create_connection((host, int(port)))
time.sleep(60)
"""
# name → options and command, of clients that are ours
HABITS: dict[str, list[str]] = {
    "plain": ["--", *ME, "plain"],
    "plain held": ["--", *ME, "plain", "60"],
    "source-address": ["--", *ME, "source-address"],
    "source-address held": ["--", *ME, "source-address", "60"],
    "reuse-address": ["--", *ME, "reuse-address"],
    "no-port": ["--", *ME, "no-port"],
    "fourtuple": ["--", *ME, "fourtuple"],
    "explicit held": ["--", *ME, "explicit", "60"],
    "explicit": ["--", *ME, "explicit"],
    "lockstep": ["--sources", "3", "--", *ME, "lockstep", "1"],
    "two sources": ["--sources", "2", "--destinations", "3", "--", *ME, "lockstep", "1"],
    "leak": ["--serve", "close", "--", *ME, "leak", "60"],
    "leaves": ["--", *ME, "leaves", "60"],
    "churn": ["--", *ME, "churn"],
    "bound-answered": ["--", *ME, "bound-answered"],
    "reset": ["--", *ME, "reset"],
    "is greeted": ["--serve", r"greet:220\r\n", "--", sys.executable, "-c", GREETED, "{dest1}"],
    "is sent": ["--through", "127.0.0.1:9000", "--send", r"PING\r\n", "--", sys.executable, "-c", SENT, "{dest1}"],
    "listens": ["--", *ME, "listens", "60"],
    "fails": ["--", "sh", "-c", f"{shlex.join(ME)} plain; exit 3"],
    "fails as it binds": ["--", "sh", "-c", f"{shlex.join(ME)} source-address; exit 1"],
    "fails, and N is reached": ["--expect", "1", "--", "sh", "-c", f"{shlex.join(ME)} plain; exit 255"],
    "is killed": ["--", "sh", "-c", f"{shlex.join(ME)} plain; kill -KILL $$"],
    "fails when it is ended": ["--settle", "1s", "--", "sh", "-c", f"trap 'exit 3' TERM; {shlex.join(ME)} plain 60"],
    "steady": ["--ports", "16", "--", *ME, "steady"],
    "binds-besides": ["--", *ME, "binds-besides", "60"],
    "wide": ["--ports", "200", "--destinations", "5", "--", *ME, "plain"],
}
# Once more as on a kernel without IP_LOCAL_PORT_RANGE.
OF_OLD = (
    "plain",
    "source-address",
    "source-address held",
    "bound-answered",
    "explicit held",
    "leak",
    "churn",
    "steady",
)
# … and of the distribution's: which program it takes
PROGRAMS: dict[str, tuple[str, list[str]]] = {
    "curl": ("curl", ["--", "sh", "-c", "for i in $(seq 80); do curl -s {url1} || break; done"]),
    "wget --bind-address": (
        "wget",
        ["--", "sh", "-c", "for i in 1 2 3 4 5; do wget -qO- --bind-address={source} {url1}; done"],
    ),
    "curl --interface": ("curl", ["--", "curl", "-s", "--interface", "{source}", "{url1}", "{url2}"]),
    "wrk": ("wrk", ["--", "sh", "-c", "for u in {url1} {url2} {url3}; do wrk -t1 -c80 -d3s $u & done; wait"]),
    "ncat": ("ncat", ["--", "sh", "-c", "for i in 1 2 3 4 5; do sleep 9 | ncat {host1} {port1} & done; wait"]),
    "ncat -s": (
        "ncat",
        ["--", "sh", "-c", "for i in 1 2 3 4 5; do sleep 9 | ncat -s {source} {host1} {port1} & done; wait"],
    ),
}
HAPROXY = """
global
  maxconn 1000
defaults
  mode tcp
  timeout connect 2s
  timeout client 1m
  timeout server 1m
frontend near
  bind 127.0.0.1:9000
  default_backend far
backend far
  {source}
  server a 10.77.1.1:8001
  server b 10.77.1.1:8002
  server c 10.77.1.1:8003
"""
NGINX = """
daemon off; master_process off; error_log stderr error; pid {folder}/pid;
load_module {modules}/ngx_stream_module.so;
events {{ worker_connections 2000; }}
stream {{
  upstream far {{
    server 10.77.1.1:8001 max_fails=0;
    server 10.77.1.1:8002 max_fails=0;
    server 10.77.1.1:8003 max_fails=0;
  }}
  server {{ listen 127.0.0.1:9000; proxy_pass far; {source} }}
}}
"""
MODULES = Path("/usr/lib/nginx/modules")
THROUGH = ["--through", "127.0.0.1:9000", "--"]


def proxies(folder: Path) -> dict[str, tuple[str, list[str]]]:
    """Their settings written down → as PROGRAMS."""
    written = {}
    for name, source in (("haproxy", ""), ("haproxy source", "source 10.77.0.1")):
        file = folder / f"{name}.cfg"
        file.write_text(HAPROXY.format(source=source))
        written[name] = ("haproxy", [*THROUGH, "haproxy", "-f", str(file)])
    for name, source in (("nginx", ""), ("nginx proxy_bind", "proxy_bind 10.77.0.1;")):
        file = folder / f"{name}.conf"
        file.write_text(NGINX.format(folder=folder, modules=MODULES, source=source))
        written[name] = ("nginx", [*THROUGH, "nginx", "-c", str(file)])
    return written


def check(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    return fourtuple("check", "--json", *arguments, **options)


Runs = dict[str, "Future[subprocess.CompletedProcess[str]]"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> "Any":
    """Every check, some of them at the same time: each in namespaces of its own."""
    need_namespace()
    commands = dict(HABITS)
    for name, (program, arguments) in (PROGRAMS | proxies(tmp_path_factory.mktemp("proxies"))).items():
        if shutil.which(program):
            commands[name] = arguments
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = {name: pool.submit(check, *arguments) for name, arguments in commands.items()}
        without = [sys.executable, DENY, "port_range"]
        for name in OF_OLD:
            futures[f"{name}, old"] = pool.submit(check, *commands[name], prefix=without)
        yield futures
        for future in futures.values():
            future.cancel()


def said(runs: Runs, name: str) -> dict[str, Any]:
    done = runs[name].result()
    assert done.stdout, done.stderr
    record: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if record["verdict"] == "shared" else 1)
    return record


def numbers(record: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {finding["kind"]: finding["numbers"] for finding in record["findings"]}[kind]
    return found


@pytest.mark.parametrize("name", ["plain", "plain held", "no-port", "fourtuple", "plain, old"])
def test_who_leaves_the_port_to_connect_shares_it(runs: Runs, name: str) -> None:
    """64 for each of three destinations, on 64 local ports; also where the program was over at once."""

    record = said(runs, name)
    assert record["verdict"] == "shared"
    ends = [{"address": f"10.77.1.1:{port}", "connections": 64, "local_ports": 64} for port in (8001, 8002, 8003)]
    assert record["destinations"] == ends
    assert record["exit"] == (None if name == "plain held" else 0)
    assert numbers(record, "shared")["local_ports"] == 64


@pytest.mark.parametrize(
    "name",
    ["source-address", "source-address held", "reuse-address", "source-address, old", "source-address held, old"],
)
def test_who_binds_first_has_64_in_total(runs: Runs, name: str) -> None:
    """No other program gets a port while it runs and 2 s after; the errno that it reported is shown."""

    record = said(runs, name)
    assert record["verdict"] == "bound"
    assert sum(end["connections"] for end in record["destinations"]) == 64
    assert numbers(record, "bound") | {"connections": 64, "kept": 64, "errno": "EADDRINUSE"} == numbers(record, "bound")
    assert numbers(record, "poisons") == {"while_running": 0, "after": 0, "of": 64}


@pytest.mark.parametrize("name", ["bound-answered", "bound-answered, old"])
def test_who_binds_first_is_seen_though_the_server_closes_first(runs: Runs, name: str) -> None:
    """One after the other, each over in a moment, nothing in TIME_WAIT: they are looked at while they are open."""

    record = said(runs, name)
    assert (record["verdict"], record["opened"]) == ("bound", 20)
    assert numbers(record, "poisons")["after"] == 64


def test_what_nobody_could_see_is_said_not_to_be_seen(runs: Runs) -> None:
    """Reset at once: it binds first as well, but that cannot be observed."""

    assert said(runs, "reset")["verdict"] in ("unseen", "bound")


@pytest.mark.parametrize("name", ["explicit", "explicit held", "explicit held, old"])
def test_who_names_ports_shares_them_and_takes_them_from_all_others(runs: Runs, name: str) -> None:
    record = said(runs, name)

    assert [finding["kind"] for finding in record["findings"]] == ["poisons", "shared"]
    assert [end["connections"] for end in record["destinations"]] == [64, 64, 64]
    assert numbers(record, "poisons")["after"] == 0


def test_lockstep_reaches_the_lcm(runs: Runs) -> None:
    """3 sources and 3 destinations walked at once: 3 pairs of 9."""

    record = said(runs, "lockstep")
    assert record["verdict"] == "lockstep"
    assert numbers(record, "lockstep") | {"pairs": 3, "of": 9} == numbers(record, "lockstep")
    assert sum(end["connections"] for end in record["destinations"]) == 192


def test_lists_whose_sizes_share_no_factor_are_walked_in_full(runs: Runs) -> None:
    """2 sources, 3 destinations: lcm is the product."""

    assert said(runs, "two sources")["verdict"] == "shared"


@pytest.mark.parametrize("name", ["steady", "steady, old"])
def test_the_program_is_not_disturbed(runs: Runs, name: str) -> None:
    """However often others' ports are tested while it connects: no connect() of two processes fails."""

    record = said(runs, name)
    assert (record["verdict"], record["exit"], record["ended"]) == ("shared", 0, Ended.ITSELF)


def test_a_port_that_another_socket_took_later_was_not_bound_by_the_connection(runs: Runs) -> None:
    """Before Linux 6.18 such ports stay lost to all other programs, as "poisons" says."""

    record = said(runs, "binds-besides")
    assert record["verdict"] in ("shared", "poisons")
    assert record["connections"] == 30


@pytest.mark.parametrize("name", ["leak", "leak, old"])
def test_what_the_server_has_closed_and_stays_is_a_leak(runs: Runs, name: str) -> None:
    record = said(runs, name)

    assert record["verdict"] == "leaks"
    assert numbers(record, "leaks") == {"close_wait": 30, "left": 0}


def test_what_a_child_goes_on_holding_is_a_leak(runs: Runs) -> None:
    record = said(runs, "leaves")

    assert (record["verdict"], record["exit"]) == ("leaks", 0)
    assert numbers(record, "leaks") == {"close_wait": 0, "left": 5}


@pytest.mark.parametrize(
    ("name", "code", "kinds"),
    [
        ("fails", 3, ["failed"]),
        ("fails as it binds", 1, ["failed", "bound", "poisons"]),
        ("fails, and N is reached", 255, ["failed"]),
        ("is killed", 137, ["failed"]),
    ],
)
def test_a_program_that_failed_is_never_as_expected(runs: Runs, name: str, code: int, kinds: list[str]) -> None:
    """The exit code of the check is 1, whatever was expected; what the program did until then is reported."""

    record = said(runs, name)
    assert (record["verdict"], record["exit"]) == ("failed", code)
    assert [finding["kind"] for finding in record["findings"]] == kinds


def test_a_program_that_was_ended_by_the_check_has_not_failed(runs: Runs) -> None:
    """Its own exit code, after SIGTERM, is 3."""

    record = said(runs, "fails when it is ended")
    assert (record["verdict"], record["exit"], record["ended"]) == ("shared", None, Ended.SETTLED)


@pytest.mark.parametrize(("name", "code"), [("is greeted", 0), ("is sent", None)])
def test_messages_are_the_bytes_that_their_escapes_name(runs: Runs, name: str, code: int | None) -> None:
    """The program fails if it receives anything else."""

    record = said(runs, name)
    assert (record["verdict"], record["exit"], record["opened"]) == ("unseen", code, 1)


def test_a_listener_in_the_range_is_a_remark(runs: Runs) -> None:
    record = said(runs, "listens")

    assert record["verdict"] == "shared"
    assert len(record["remarks"]) == 1
    assert told.numbers(record["remarks"][0])[1] in range(32_768, 32_768 + 64)


@pytest.mark.parametrize("name", ["churn", "churn, old"])
def test_short_connections_are_told_their_pace(runs: Runs, name: str) -> None:
    """One at a time, 64 to each destination, then EADDRNOTAVAIL: TIME_WAIT keeps every port."""

    record = said(runs, name)
    assert record["verdict"] == "time-wait"
    found = numbers(record, "time-wait")
    expected = {"opened": 192, "closed_first": 192, "time_wait": 192, "per_s": 1.067}
    assert found | expected == found
    assert found["at_once"] < 10


def test_the_size_is_asked_for(runs: Runs) -> None:
    assert [end["connections"] for end in said(runs, "wide")["destinations"]] == [200] * 5


@pytest.mark.parametrize("name", ["haproxy", "haproxy source", "nginx", "nginx proxy_bind"])
def test_proxies_share_ports(runs: Runs, name: str) -> None:
    """Driven from outside, each holds 192; both set IP_BIND_ADDRESS_NO_PORT where they are given a source."""

    program = name.split()[0]
    need(shutil.which(program), program)
    need(program != "nginx" or (MODULES / "ngx_stream_module.so").exists(), "nginx's stream module")
    record = said(runs, name)
    assert record["verdict"] == "shared"
    assert [end["connections"] for end in record["destinations"]] == [64, 64, 64]


@pytest.mark.parametrize(
    ("name", "verdict"),
    [("curl", "time-wait"), ("curl --interface", "shared"), ("ncat", "shared"), ("wget --bind-address", "bound")],
)
def test_clients_of_the_distribution(runs: Runs, name: str, verdict: str) -> None:
    need(shutil.which(name.split()[0]), name.split()[0])

    assert said(runs, name)["verdict"] == verdict


def test_the_fix_names_the_option_of_the_program(runs: Runs) -> None:
    need(shutil.which("wget"), "wget")

    fixes = [finding["fix"] for finding in said(runs, "wget --bind-address")["findings"]]
    assert "--bind-address" in fixes[0]
    assert "ip route replace" in fixes[0]


def test_wrk_opens_one_connection_more_than_it_uses(runs: Runs) -> None:
    """It tries the address first, and closes: 63 of 64 ports are left to each of three."""

    need(shutil.which("wrk"), "wrk")
    record = said(runs, "wrk")
    assert record["verdict"] == "shared"
    assert [end["connections"] for end in record["destinations"]] == [63, 63, 63]


def test_ncat_with_a_source_binds_first(runs: Runs) -> None:
    """A few connections are enough to see it."""

    need(shutil.which("ncat"), "ncat")
    record = said(runs, "ncat -s")
    assert record["verdict"] == "bound"
    assert numbers(record, "poisons")["while_running"] == 59


class TestTheCommand:
    @pytest.fixture(autouse=True)
    def _needs(self) -> None:
        need_namespace()

    def test_says_it_in_words(self) -> None:
        done = fourtuple("check", "--expect", "64", "--", *ME, "source-address")

        assert done.returncode == 0
        lines = done.stdout.splitlines()
        assert lines[0].startswith("bound: ")
        assert told.numbers(lines[0]) == [64, 192]
        assert Ended.ITSELF in lines[-1]
        assert told.numbers(lines[-1]) == [0, 64]
        assert "IP_BIND_ADDRESS_NO_PORT" in done.stdout
        assert max(map(len, lines)) <= 80
        assert "source-address: [Errno 98]" in done.stderr

    def test_a_program_that_connects_nowhere_is_told_how(self) -> None:
        done = check("--", *ME, "nothing")

        error = json.loads(done.stdout)["error"]

        assert (done.returncode, error["exit_code"], error["kind"]) == (1, 1, "ShortfallError")
        assert told.numbers(done.stderr) == [0]  # its exit code
        assert "{dest1}" in done.stderr

    def test_a_proxy_that_does_not_listen_is_named(self) -> None:
        done = check("--through", "127.0.0.1:9000", "--", "sleep", "1")

        assert done.returncode == 1
        assert "127.0.0.1:9000" in told.joined(done.stderr)
        assert re.search(r"\bsleep\b", done.stderr)

    def test_an_interrupted_one_is_judged_all_the_same(self) -> None:
        """Ctrl-C ends the program, not the check."""

        command = [*COMMAND, "check", "--json", "--settle", "1h", "--for", "1h", "--", *ME, "plain", "3600"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
            lines_until(program.stderr, "plain: ", times=3)  # no port is left to any of the three
            program.send_signal(signal.SIGINT)
            output, _ = program.communicate(timeout=PATIENCE_S)
        record = json.loads(output)
        assert (record["ended"], record["verdict"], program.returncode) == (Ended.ASKED, "shared", 0)
        assert record["connections"] == 192

    def test_leaves_nothing_behind(self, tmp_path: Path) -> None:
        """Ctrl-C in the middle: no process of it stays."""

        mark = tmp_path / "pid"
        code = f"import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(3600)"
        program = subprocess.Popen(
            [*COMMAND, "check", "--quiet", "--for", "1h", "--", sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert wait_until(lambda: mark.exists() and mark.read_text())
        program.send_signal(signal.SIGINT)
        program.communicate(timeout=PATIENCE_S)
        assert program.returncode == 130
        assert not os.path.exists(f"/proc/{mark.read_text()}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ports", "63", "--", "true"], "63"),
        (["--ports", "40k", "--", "true"], "28,000"),
        (["--destinations", "0", "--", "true"], "1,000"),
        (["--serve", "gopher", "--", "true"], "gopher"),
        (["--expect", "good", "--", "true"], "--expect good"),
        (["--expect", "failed", "--", "true"], "--expect failed"),
        (["--through", "9000", "--", "true"], "'9000'"),
        (["--", ""], "error: "),
        (["--through", "[::1]:9000", "--", "true"], "IPv4"),
        (["--send", "abc\\", "--", "true"], "'abc\\'"),
        (["--serve", "greet:\\", "--", "true"], "'\\'"),
        (["--expekt", "3", "--", "true"], "--expekt"),
    ],
)
def test_bad_input_is_refused(arguments: list[str], words: str) -> None:
    done = fourtuple("check", *arguments)

    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("word", "words"), [("{dest4}", "{dest4}"), ("/does/not/exist", "/does/not/exist")])
def test_what_cannot_be_run_is_refused(word: str, words: str) -> None:
    need_namespace()
    done = fourtuple("check", "--", word)

    assert done.returncode == 2
    assert words in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
