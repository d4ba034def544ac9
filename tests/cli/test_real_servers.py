"""Real servers that are full or impatient: the first line says what `ss` says, with their own limit; exit code 1."""

import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Ground, need
from tests.waiting import PATIENCE_S, wait_until

PORT = 7777
HTTP = """
daemon off; master_process off; user root; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections {most}; }}
http {{
  access_log off; client_header_timeout {idle}; keepalive_timeout {idle};
  client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{ listen 127.0.0.1:7777; return 200 ok; }}
}}
"""
PROXY = """
global
  maxconn 50
defaults
  mode tcp
  timeout client 1m
  timeout server 1m
  timeout connect 1s
frontend front
  bind 127.0.0.1:7777
  default_backend back
backend back
  server one 127.0.0.1:7778
"""


def nginx(folder: Path, **settings: Any) -> list[str]:
    (folder / "nginx.conf").write_text(HTTP.format(folder=folder, **settings))
    return ["nginx", "-c", str(folder / "nginx.conf")]


def haproxy(folder: Path) -> list[str]:
    (folder / "haproxy.cfg").write_text(PROXY)
    return ["haproxy", "-f", str(folder / "haproxy.cfg")]


def redis(folder: Path) -> list[str]:
    return ["redis-server", "--port", str(PORT), "--bind", "127.0.0.1", "--maxclients", "50", "--save", "",
            "--dir", str(folder)]  # fmt: skip


def memcached(folder: Path) -> list[str]:
    return ["memcached", "-u", "root", "-l", "127.0.0.1", "-p", str(PORT), "-c", "50", "-P", str(folder / "pid")]


@contextmanager
def serving(ground: Ground, command: list[str]) -> Iterator[None]:
    """The server in the lab, from the moment it listens."""
    need(shutil.which(command[0]), command[0])
    server = ground.lab.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: ground.ss("-ltn", f"sport = :{PORT}"))
        yield
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


def established(ground: Ground) -> int:
    """How many connections `ss` lists at the client's end."""
    return len(ground.ss("-tn", "state", "established", f"dport = :{PORT}"))


def held(ground: Ground, *options: str) -> tuple[dict[str, Any], int, int, list[str]]:
    """The record of 100 connections, its exit code, what `ss` counts meanwhile, and the columns of the listener."""
    command = ["hold", "100", f"127.0.0.1:{PORT}", "--for", "1h", "--json", *options]
    with ground.started(*command) as holding:
        counted = established(ground)
        (listener,) = (line.split() for line in ground.ss("-ltn", f"sport = :{PORT}"))
        holding.send_signal(signal.SIGINT)
        record = json.loads(holding.communicate(timeout=PATIENCE_S)[0])
    return record, holding.returncode, counted, listener


@pytest.mark.parametrize(
    ("make", "limit"),
    [
        (redis, "maxclients"),
        (memcached, "-c (conn_limit)"),
        (lambda folder: nginx(folder, most=60, idle="1h"), "worker_connections"),
    ],
    ids=["redis", "memcached", "nginx"],
)
@pytest.mark.parametrize("watch", ["poll", "off"])
def test_a_full_server_that_closes_is_said_to_close(
    ground: Ground, tmp_path: Path, make: Any, limit: str, watch: str
) -> None:
    with serving(ground, make(tmp_path)):
        record, code, counted, _ = held(ground, "--watch", watch)
    says = record["outcome"]["says"]

    assert code == 1
    assert 0 < counted < 100
    assert (record["held"], record["open_at_end"], record["lost"]) == (counted, counted, 100 - counted)
    assert f"held {counted} of 100" in says
    assert re.search(
        f"The server closed {100 - counted} (while connections were being opened|within [0-9.]+ m?s) ", says
    )
    assert f"its own limit is {limit}" in says


def test_a_full_server_that_stops_accepting_is_said_to_have_a_queue(ground: Ground, tmp_path: Path) -> None:
    """haproxy with maxconn: every connect succeeds, and the others wait where `ss` shows them."""
    with serving(ground, haproxy(tmp_path)):
        record, code, counted, listener = held(ground)
    says, waiting = record["outcome"]["says"], int(listener[1])

    assert (code, counted, record["held"], record["lost"]) == (1, 100, 100, 0)
    assert record["outcome"]["because"] == ["not_accepted"]
    assert f"The server accepted {100 - waiting} of 100; {waiting} wait in its accept queue" in says
    assert f"(Recv-Q {waiting} of {listener[2]})" in says
    assert "its own limit is maxconn" in says


def test_a_server_that_ends_idle_connections_is_said_to_do_so(ground: Ground, tmp_path: Path) -> None:
    """All were open at the same time, and none until the end."""
    with serving(ground, nginx(tmp_path, most=1000, idle="1s")):
        done = ground.fourtuple("hold", "100", f"127.0.0.1:{PORT}", "--for", "1h", "--json")
        counted = established(ground)
    record = json.loads(done.stdout)
    says = record["outcome"]["says"]

    assert (done.returncode, counted, record["held"], record["open_at_end"]) == (1, 0, 100, 0)
    assert record["outcome"]["because"] == ["lost"]
    assert "The server closed all 100 after " in says
    assert "ends idle connections by client_header_timeout or keepalive_timeout" in says
