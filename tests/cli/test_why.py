"""why as a command, on real sockets: a namespace that is full, a log of then, a pod that is asked from its node."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from fourtuple.verbs.sweep import sweep
from fourtuple.verbs.why import why
from tests.cli.test_limits import CLIENTS, LISTENERS, json_of, program
from tests.conftest import Ground, fourtuple, need
from tests.told import joined, numbers

RESERVED = "net.ipv4.ip_local_reserved_ports"
GONE = "dial tcp 127.0.0.1:8000: connect: cannot assign requested address"
# It opens and closes as many connections as it is told, and closes first.
CHURN = """
import socket, sys
server = socket.create_server(("127.0.0.1", 8000))
for _ in range(int(sys.argv[1])):
    client = socket.create_connection(("127.0.0.1", 8000))
    accepted, _ = server.accept()
    client.close()
    accepted.recv(1)
    accepted.close()
print("churned", flush=True)
sys.stdin.readline()
"""
UNIX = """
import os, socket, sys
path = sys.argv[1]
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen(2)
waiting = []
try:
    while True:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        client.connect(path)
        waiting.append(client)
except BlockingIOError as error:
    print(error.errno, len(waiting), flush=True)
sys.stdin.readline()
"""
UDP = """
import socket, sys
kept = []
try:
    while True:
        kept.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        kept[-1].connect(("127.0.0.1", 53))
except BlockingIOError as error:
    print(error.errno, len(kept), flush=True)
sys.stdin.readline()
"""


# Of its two listeners the first has a full accept queue; connections to a third fill the range.
BUSY = """
import socket, sys
full, free = (socket.create_server(("127.0.0.1", port), backlog=2) for port in (5432, 8080))
taken = socket.create_server(("127.0.0.1", 6379), backlog=1000)
kept = []
for _ in range(6):
    kept.append(socket.socket())
    kept[-1].setblocking(False)
    kept[-1].connect_ex(("127.0.0.1", 5432))
try:
    while True:
        kept.append(socket.create_connection(("127.0.0.1", 6379)))
except OSError as error:
    print(error.errno, flush=True)
sys.stdin.readline()
"""


def best(ground: Ground, *asked: str) -> dict[str, Any]:
    """The finding, with its best explanation as `best`."""
    (finding,) = json_of(ground.fourtuple("why", *asked, "--json"))["findings"]
    return {**finding, "best": finding["explanations"][0]}


@contextmanager
def churned(ground: Ground, count: int) -> Iterator["subprocess.Popen[str]"]:
    ground.python("from fourtuple.kernel.proc.sysctl import write_sysctl; write_sysctl('net.ipv4.tcp_tw_reuse', '0')")
    with program(ground, CHURN, count) as started:
        yield started


def test_a_small_range_in_time_wait_is_short_connections(ground: Ground) -> None:
    """50 of 50: a share decides, not a count."""
    ground.set_port_range(40_000, 40_049)
    with churned(ground, 50):
        found = best(ground, GONE)

    assert found["best"]["cause"] == "time-wait"
    assert numbers(found["best"]["evidence"][0])[:2] == [50, 50]
    assert any("tcp_tw_reuse" in do for do in found["best"]["do"])


@pytest.mark.alone  # another test's namespace may be full to the same address
def test_ports_in_time_wait_that_loopback_reuses_are_said_to_be(ground: Ground) -> None:
    """With tcp_tw_reuse=2, the default, after 1 s: 50 ports allow 50 connections per second."""
    ground.set_port_range(40_000, 40_049)
    with program(ground, CHURN, 50):
        found = best(ground, GONE)["best"]

    assert found["cause"] == "time-wait"
    assert any("50/s" in note for note in found["notes"])
    assert not any("tcp_tw_reuse=1" in do for do in found["do"])


def test_a_log_of_then_is_not_judged_by_what_is_now(ground: Ground) -> None:
    """Nothing here counts, for or against; of the same line of just now it does."""
    ground.set_port_range(40_000, 40_049)
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    with churned(ground, 50):
        then, fresh = best(ground, f"2026-01-02T10:32:01Z app: {GONE}"), best(ground, f"{now} app: {GONE}")

    assert (then["here_now"], then["best"]["cause"], then["best"]["evidence"]) == (False, "port-range", [])
    assert any("TIME_WAIT" in each for each in then["this_host_now"])
    assert (fresh["here_now"], fresh["best"]["cause"]) == (True, "time-wait")


def test_ports_that_are_free_again_do_not_make_it_something_else(ground: Ground) -> None:
    """A minute later: the line has no time, and the ports may have been used up. No other namespace goes there."""
    found = best(ground, GONE.replace("127.0.0.1:8000", "127.77.1.9:8977"))

    assert found["best"]["cause"] == "port-range"
    assert found["open"]


def test_a_range_that_is_reserved_is_said_to_be(ground: Ground) -> None:
    ground.set_port_range(40_000, 40_199)
    ground.python(f"from fourtuple.kernel.proc.sysctl import write_sysctl; write_sysctl('{RESERVED}', '40000-40179')")
    with program(ground, LISTENERS, 8000), program(ground, CLIENTS, 0, 20, 8000):
        found = best(ground, GONE)

    assert found["best"]["cause"] == "reserved"
    assert numbers(found["best"]["evidence"][0])[:2] == [180, 200]


def test_with_one_destination_a_further_source_is_the_cure_and_not_a_late_bind(ground: Ground) -> None:
    """All 50 ports are bound, and all go to one destination: NO_PORT would give 50 again."""
    ground.set_port_range(40_000, 40_049)
    with program(ground, LISTENERS, 8000), program(ground, CLIENTS, 50, 0, 8000):
        found = best(ground, GONE)["best"]

    assert any("second source address, which adds 50 ports" in do for do in found["do"])
    assert not any("IP_BIND_ADDRESS_NO_PORT" in do for do in found["do"][:3])
    assert any("IP_BIND_ADDRESS_NO_PORT would gain nothing" in note for note in found["notes"])


def test_ports_that_bind_holds_for_several_destinations_are_said_to_be(ground: Ground) -> None:
    ground.set_port_range(40_000, 40_049)
    with (
        program(ground, LISTENERS, 8000, 8001),
        program(ground, CLIENTS, 25, 0, 8000),
        program(ground, CLIENTS, 25, 0, 8001),
    ):
        found = best(ground, GONE)["best"]

    assert found["cause"] == "bound-first"
    assert "IP_BIND_ADDRESS_NO_PORT" in found["do"][0] + found["do"][1]


def test_curl_prints_no_errno_so_the_host_is_asked(ground: Ground) -> None:
    """50 of 50 ports are used; a server listens."""
    ground.set_port_range(40_000, 40_049)
    line = "curl: (7) Failed to connect to 127.0.0.1 port 8000 after 0 ms: Couldn't connect to server"
    with program(ground, LISTENERS, 8000), program(ground, CLIENTS, 0, 50, 8000):
        full = best(ground, line)
    none = best(ground, line.replace("127.0.0.1 port 8000", "127.77.1.9 port 8977"))

    assert (full["error"], full["best"]["cause"]) == ("", "port-range")
    assert none["best"]["cause"] == "no-listener"


def test_a_unix_socket_whose_backlog_is_full_is_seen(ground: Ground, tmp_path: Any) -> None:
    path = f"{tmp_path}/php-fpm.sock"
    line = f"connect() to unix:{path} failed (11: Resource temporarily unavailable) while connecting to upstream"
    with program(ground, UNIX, path):
        found = best(ground, line)["best"]

    assert found["cause"] == "unix-backlog"
    need(bool(found["evidence"]), "unix_diag")
    assert numbers(found["evidence"][0]) == [3, 2]


@pytest.mark.alone  # another test's Unix socket may be full
def test_a_unix_socket_whose_backlog_is_full_is_evidence_where_the_text_names_none(
    ground: Ground, tmp_path: Any
) -> None:
    path = f"{tmp_path}/app.sock"
    line = "BlockingIOError: [Errno 11] Resource temporarily unavailable"
    with program(ground, UNIX, path):
        found, to_another = best(ground, line)["best"], best(ground, f"{line}: connect to 127.0.0.1:80")
    need(bool(found["evidence"]), "unix_diag")

    assert found["cause"] == "unix-backlog"
    assert path in found["evidence"][0]
    assert not any(path in each for one in to_another["explanations"] for each in one["evidence"])


def test_udp_ports_that_are_used_up_are_seen(ground: Ground) -> None:
    ground.set_port_range(40_000, 40_049)
    with program(ground, UDP):
        found = best(ground, "dial udp 127.0.0.1:53: connect: resource temporarily unavailable")["best"]

    assert found["cause"] == "udp-ports"
    assert numbers(found["evidence"][0]) == [50, 50]


@pytest.mark.alone  # another test's namespace may be full to the same address
def test_a_pod_that_is_full_is_found_from_its_node(ground: Ground) -> None:
    """Every namespace is looked into, and the one that fits is named."""
    inside = sweep().namespaces.get(f"net:[{ground.run('stat', '-Lc', '%i', '/proc/self/ns/net').stdout.strip()}]")
    need(inside is not None and bool(inside.read_from), "entering the namespace of another process (root)")
    ground.set_port_range(40_000, 40_049)
    with program(ground, LISTENERS, 8000), program(ground, CLIENTS, 0, 50, 8000):
        done = fourtuple("why", GONE, "--json")
        told = joined(fourtuple("why", GONE).stdout)
    (found,) = json_of(done)["findings"]

    assert found["explanations"][0]["cause"] == "port-range"
    assert numbers(found["explanations"][0]["evidence"][-1])[:2] == [50, 50]
    assert inside is not None
    assert inside.netns in found["subject"] or inside.name in found["subject"]
    assert found["subject"] in told


def test_limits_of_this_program_are_not_those_of_another(ground: Ground) -> None:
    """A proxy that stopped at 1,013: here 20,000 may be open, which says nothing about it."""
    found = json_of(ground.fourtuple("why", "1013", "--json"))["findings"][0]

    assert found["explanations"][0]["cause"] == "files"
    assert not any("may open" in text for each in found["explanations"] for text in each["evidence"])


@pytest.mark.parametrize("asked", [["-"], ["hello"]])
def test_a_text_that_reports_nothing_is_said_to(ground: Ground, asked: list[str]) -> None:
    done = ground.fourtuple("why", *asked, input="Jan  2 10:32:01 web cron[99]: job 110 done in 24 s\n")

    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.startswith("no known failure in this text")


def test_output_of_tools_tells_of_another_host(ground: Ground) -> None:
    """Its numbers are those of that host: they are no number of connections at which something stops here."""
    summary = "Total: 125217\nTCP:   125300 (estab 70, closed 125100, orphaned 0, timewait 125100)\n"
    ports = "net.ipv4.ip_local_port_range = 40000 40049\n"
    alone = ground.fourtuple("why", "-", input=summary)
    both = json_of(ground.fourtuple("why", "-", "--json", input=f"{ports}{GONE}\n"))

    assert (alone.returncode, "125,100 connections in TIME_WAIT" in joined(alone.stdout)) == (1, True)
    assert "ss -s" in alone.stdout
    assert "sysctl" in both["pasted"]
    assert both["findings"][0]["subject"].startswith("another host")


FULL = "[  100.000000] nf_conntrack: nf_conntrack: table full, dropping packet\n"
TRACKED = "net.netfilter.nf_conntrack_max = 1000\nnet.netfilter.nf_conntrack_count = {}\n"


def test_a_paste_without_a_setting_says_nothing_about_it(ground: Ground, tmp_path: Path) -> None:
    """Neither that the host has no connection tracking, nor what this host has; sockets may be missing, too."""
    paste = tmp_path / "paste"
    paste.write_text(f"$ ss -s\nTotal: 100\nTCP:   50 (estab 20, closed 10, orphaned 0, timewait 10)\n$ dmesg\n{FULL}")
    whole = joined(ground.fourtuple("why", "-", input=paste.read_text()).stdout)
    asked = joined(ground.fourtuple("why", "--from", str(paste), "dial tcp 10.0.0.5:8080: i/o timeout").stdout)

    assert all("no connection tracking" not in text and "this host" not in text for text in (whole, asked))
    assert "connection tracking is full" in whole
    assert asked.index("connection tracking is full") < asked.index("the accept queue is full")
    assert "the kernel's log of that host: [ 100.000000] nf_conntrack" in " ".join(asked.split())


@pytest.mark.parametrize("count", [9, 1000])
def test_a_paste_with_a_setting_counts_by_its_own_host(ground: Ground, tmp_path: Path, count: int) -> None:
    paste = tmp_path / "paste"
    paste.write_text(TRACKED.format(count))

    asked = ground.fourtuple("why", "--from", str(paste), "--json", "dial tcp 10.0.0.5:8080: i/o timeout")
    explanations = json_of(asked)["findings"][0]["explanations"]

    assert (explanations[0]["cause"] == "conntrack") == (count == 1000)


@pytest.mark.parametrize("text", ["-ERR max number of clients reached", "-110", "- connect: connection refused"])
def test_a_text_may_begin_with_a_dash(ground: Ground, text: str) -> None:
    found = json_of(ground.fourtuple("why", text, "--json"))["findings"]

    assert (found[0]["error"] or found[0]["limit"]) in ("redis.maxclients", "ETIMEDOUT", "ECONNREFUSED")


def test_an_option_that_is_none_is_still_an_error(ground: Ground) -> None:

    assert ground.fourtuple("why", "--jsn", "99").returncode == 2


def test_a_name_that_is_no_errno_is_told(ground: Ground) -> None:
    done = ground.fourtuple("why", "EFOO")

    assert (done.returncode, "EFOO is no errno of Linux" in done.stderr) == (2, True)


def test_a_line_that_was_cut_is_told(ground: Ground) -> None:
    done = ground.fourtuple("why", "-", input=f"{'x' * 300_000} connect: cannot assign requested address\n")

    assert (done.returncode, "1 line that is longer than 262,144 characters" in joined(done.stdout)) == (1, True)


def test_ctrl_c_ends_a_log_without_an_end() -> None:
    """What was read until then is explained."""

    def endless() -> Iterator[bytes]:
        yield f"2026-01-02T10:32:01Z app: {GONE}\n".encode()
        raise KeyboardInterrupt

    (found,) = why(endless(), everywhere=False).findings

    assert found.explanations[0].cause == "port-range"


CURL = "curl: (7) Failed to connect to {} port {} after 2 ms: Couldn't connect to server"


@pytest.mark.parametrize(
    ("text", "cause", "named"),
    [
        (CURL.format("api.example.internal", 443), "no-listener", ""),
        ('Get "https://api.example.internal/x": context deadline exceeded', "accept-queue", ""),
        ('Get "http://x/": net/http: request canceled while waiting for connection', "accept-queue", ""),
        ("dial tcp 127.0.0.2:5432: i/o timeout", "accept-queue", ""),
        ("dial tcp 127.0.0.1:8080: i/o timeout", "accept-queue", ""),
        ("possible SYN flooding on port 8080. Sending cookies.", "syn-queue", ""),
        ("dial tcp 127.0.0.1:8080: connect: cannot assign requested address", "port-range", ""),
        ("curl: (56) Recv failure: Connection reset by peer", "reset", ""),
        ("dial tcp 127.0.0.1:5432: i/o timeout", "accept-queue", "127.0.0.1:5432"),
        ("dial tcp db.example.internal:5432: i/o timeout", "accept-queue", "127.0.0.1:5432"),
        ("possible SYN flooding on port 5432. Sending cookies.", "accept-queue", "127.0.0.1:5432"),
        (CURL.format("cache.example.internal", 6379), "port-range", "127.0.0.1:6379"),
        ("dial tcp 127.0.0.1:6379: connect: cannot assign requested address", "port-range", "127.0.0.1:6379"),
    ],
)
def test_only_the_destination_that_the_text_names_is_evidence(
    ground: Ground, text: str, cause: str, named: str
) -> None:
    """A full queue and a full range of other destinations are none; a name stands for any host, but not any port."""
    ground.set_port_range(40_000, 40_049)
    with program(ground, BUSY):
        (found,) = json_of(ground.fourtuple("why", text, "--json"))["findings"]
    told = [each for explanation in found["explanations"] for each in explanation["evidence"]]

    assert found["explanations"][0]["cause"] == cause
    assert any(named in each for each in told) if named else not any("6379" in one or "5432" in one for one in told)
