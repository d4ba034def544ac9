"""Unix sockets from end to end: `serve`, `hold` and `churn` on both loops, and the server's own count beside ours."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fourtuple.core.errors import CannotError, ShortfallError, UsageError
from fourtuple.core.runs.churn_orders import ChurnOptions, ClosedBy
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.records import HoldRecord
from fourtuple.core.talk.lifetime import parse_lifetime
from fourtuple.core.talk.stages import parse_stages
from fourtuple.kernel.uring import features
from fourtuple.verbs.background import serving
from fourtuple.verbs.churn import churn
from fourtuple.verbs.churn_max import churn_max
from fourtuple.verbs.hold import hold
from fourtuple.verbs.serve import serve
from tests.cli.test_sessions import SCHEMES
from tests.conftest import Ground, fourtuple, limited, need
from tests.waiting import PATIENCE_S, wait_until

NGINX = """
daemon off; master_process off; user root; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1200; }}
http {{
  access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
  uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  server {{ listen unix:{folder}/x.sock; location / {{ return 200 ok; }} location /status {{ stub_status; }} }}
}}
"""
# A machine that does other things, too, may answer late: that messages wait for each other is no failure here.
REQUIRE = ("held=all", "open_at_end=all", "accepted=all", "lost=0", "unexpected=0")


@pytest.fixture(params=["ring", "epoll"])
def loop(request: pytest.FixtureRequest) -> str:
    need(request.param != "ring" or features().why_not is None, "io_uring")
    return str(request.param)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "x.sock")


@pytest.fixture(params=["path", "abstract"])
def name(request: pytest.FixtureRequest, path: str) -> str:
    return path if request.param == "path" else f"@fourtuple-test-{os.getpid()}"


def held(wanted: int, destination: str, **options: Any) -> HoldRecord:
    return hold(wanted, [destination], **{"hold_s": 0.5, "require": REQUIRE, **options}).finish()


@contextmanager
def running(command: list[str], path: str) -> Iterator[None]:
    """A server, from the moment at which it listens at the path."""
    need(shutil.which(command[0]), command[0])
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_until(lambda: _listens(path))
        yield
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(path) == 0


def asked(path: str, request: bytes) -> str:
    """What a server answers to this request, on a connection of its own."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(path)
        sock.sendall(request)
        return sock.recv(4096).decode()


def test_all_three_witnesses_count_the_same(name: str, loop: str) -> None:
    """997 connections by text: the plan, the engine and the kernel, at both ends; then none is left, at any end."""
    with serving(f"unix:{name}", "--echo", "--loop", loop) as server:
        record = held(997, f"unix:{name}", loop=loop, send=b"{connection}", every_s=1.0, hold_s=1.5)

    assert (record.outcome.reached, record.agree, record.failed) == (True, True, {})
    assert (record.predicted, record.held, record.open_at_end, record.lost, record.left) == (997, 997, 997, 0, 0)
    for census in (record.census, record.census_at_end):
        assert census is not None
        assert (census.client, census.server, census.accepted, census.by) == (997, 997, 997, "unix_diag")
        assert [queue.listener for queue in census.queues] == [f"unix:{name}"]
        assert census.queues[0].pid is not None
    assert record.answers >= 997
    assert (record.time_wait_left, record.sharing, record.syn_retransmits, record.moved) == (0, None, None, {})
    assert (server.record["accepted"], server.record["lost"], server.record["most_open"]) == (997, 997, 997)
    assert not os.path.exists(name)


def test_workers_and_several_sockets_share_the_connections(path: str, loop: str) -> None:
    with serving(f"unix:{path}1", f"unix:{path}2", "--loop", loop, "--workers", "2") as server:
        record = hold(
            997, [f"unix:{path}1", f"unix:{path}2"], loop=loop, workers=3, hold_s=0.5, require=REQUIRE
        ).finish()

    assert record.outcome.reached
    assert record.workers == 3
    assert record.census.accepted == 997
    assert sorted(queue.listener for queue in record.census.queues) == [f"unix:{path}1", f"unix:{path}2"]
    assert server.record["accepted"] == 997


@pytest.mark.parametrize("watch", ["poll", "census"])
def test_lost_connections_are_noticed_and_reopened(path: str, loop: str, watch: str) -> None:
    """The server closes each after a second; the kernel keeps the state of such sockets, and says that they ended."""
    with serving(f"unix:{path}", "--close-after", "1s", "--loop", loop) as server:
        record = hold(97, [f"unix:{path}"], loop=loop, watch=watch, reconnect=True, hold_s=2.5).finish()

    assert record.held == 97
    assert record.lost >= 97
    assert record.lost_by == {"FIN": record.lost}
    assert record.reconnected >= 97
    assert record.reconnect_failed == {}
    assert server.record["accepted"] == 97 + record.reconnected


def test_a_population_is_replaced_and_follows_stages(path: str, loop: str) -> None:
    with serving(f"unix:{path}", "--echo", "--loop", loop) as server:
        record = held(97, f"unix:{path}", loop=loop, churn_per_s=50.0, hold_s=2.0, send=b"x", every_s=1.0)
        staged = held(97, f"unix:{path}", loop=loop, hold_s=None, stages=parse_stages("97@0.5s,97@0.5s,11@0.5s,11@2s"))

    assert record.outcome.reached
    assert record.replaced > 50
    assert staged.outcome.reached
    assert staged.open_at_end == 11
    assert server.record["accepted"] == 97 + record.replaced + 97


def test_churn_opens_and_closes_at_its_rate(name: str, loop: str) -> None:
    """Every connection is answered and closed; there is no TIME_WAIT to be counted."""
    with serving(f"unix:{name}", "--echo", "--loop", loop) as server:
        record = churn(
            200.0, [f"unix:{name}"], loop=loop, run_s=1.0, send=b"ping", requests=3, require=("failed=0", "lost=0")
        ).finish()

    assert isinstance(record, ChurnRecord)
    assert record.outcome.reached
    assert record.arrivals == record.completed == server.record["accepted"]
    assert record.answers == 3 * record.completed
    assert (record.most_time_wait, record.time_wait_left, record.ports_per_s) == (None, None, None)


def test_max_may_close_by_fin_because_no_port_is_kept(name: str, loop: str) -> None:
    """One at a time, for 50 ms each: no more than 20 per second are kept."""
    options = ChurnOptions.of(
        50.0, [f"unix:{name}"], loop=loop, run_s=0.5, at_once=1, lifetime=parse_lifetime("50ms"), closed_by=ClosedBy.FIN
    )
    with serving(f"unix:{name}", "--loop", loop):
        record = churn_max(options).finish().record

    assert record.outcome.reached
    assert 1 <= record.planned_per_s < 50


def test_what_waits_in_the_accept_queue_is_not_accepted(path: str, loop: str) -> None:
    """Of 100 connections, as many fit as listen() says, and one; the others fail after the time limit, by EAGAIN."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(5)
        record = hold(100, [f"unix:{path}"], loop=loop, timeout_s=1.0, hold_s=0.1).finish()

    assert not record.outcome.reached
    assert (record.held, record.failed) == (6, {"EAGAIN": 94})
    assert (record.census.client, record.census.server, record.census.accepted) == (6, 6, 0)
    assert [(queue.waiting, queue.backlog, queue.pid) for queue in record.census.queues] == [(6, 5, os.getpid())]
    assert record.agree is False
    assert {"failed", "not_accepted"} <= {*record.outcome.because}


def test_a_slow_server_is_waited_for(path: str, loop: str) -> None:
    """Its queue is far shorter than what is opened together, and it accepts a few at a time: none fails."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(3)
        server.setblocking(False)
        peers, run = [], hold(197, [f"unix:{path}"], loop=loop, hold_s=0.2, workers=1, require=REQUIRE)
        for _ in run:
            try:
                while True:
                    peers.append(server.accept()[0])
            except BlockingIOError:
                pass
        for peer in peers:
            peer.close()

    assert run.record.outcome.reached
    assert (run.record.held, len(peers)) == (197, 197)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_session_runs_over_a_unix_socket(scheme: str, path: str, loop: str) -> None:
    """--unix-socket says where to connect; the URL's host is that of TLS and of HTTP, to which nothing is connected."""
    port = ":1" if scheme == "tls" else ""
    session: dict[str, Any] = {"unix_socket": path, "insecure": scheme in ("tls", "https", "wss", "mqtts")}
    message = {} if scheme.startswith("http") else {"send": b"hello {connection}"}
    with serving(f"unix:{path}", *SCHEMES[scheme], "--loop", loop) as server:
        record = held(
            53, f"{scheme}://no.such.host.example{port}", loop=loop, session=session, every_s=0.5, hold_s=1.0, **message
        )

    assert (record.outcome.reached, record.outcome.says, record.reasons) == (True, record.outcome.says, {})
    assert (record.sessions, record.open_at_end) == (53, 53)
    assert server.record["sessions"] == 53


def test_redis_counts_as_many_as_we_do(path: str, tmp_path: Path) -> None:
    command = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", str(tmp_path)]
    with running(command, path):
        run = hold(
            997, [f"unix:{path}"], send=b"PING\r\n", expect=b"+PONG\r\n", every_s=1.0, hold_s=2.0, require=REQUIRE
        )
        counted = 0
        for sample in run:
            if sample.census and not counted:
                counted = int(asked(path, b"INFO clients\r\n").split("connected_clients:")[1].split()[0])
    record = run.record

    assert record.outcome.reached
    assert record.answers >= 997
    assert (record.census.accepted, counted) == (997, 998)  # and the one that asks


def test_nginx_counts_as_many_as_we_do(path: str, tmp_path: Path) -> None:
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path))
    with running(["nginx", "-c", str(tmp_path / "nginx.conf")], path):
        session = {"unix_socket": path}
        run = hold(997, ["http://localhost/"], session=session, every_s=1.0, hold_s=2.0, require=REQUIRE)
        counted = 0
        for sample in run:
            if sample.census and not counted:
                status = asked(path, b"GET /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                counted = int(status.split("Active connections: ")[1].split()[0])
    record = run.record

    assert record.outcome.reached
    assert (record.census.accepted, counted) == (997, 998)  # and the one that asks


def test_both_ends_are_seen_where_only_the_client_is(ground: Ground, path: str) -> None:
    """A path leads into another network namespace. The kernel makes both ends in the one that connects."""
    with serving(f"unix:{path}", "--echo"):
        done = ground.fourtuple("hold", "97", f"unix:{path}", "--for", "0.5s", "--json")
    record = json.loads(done.stdout)

    assert done.returncode == 0
    assert (record["census"]["client"], record["census"]["server"], record["census"]["accepted"]) == (97, 97, 97)


def test_a_file_that_a_killed_server_left_behind_is_replaced(path: str) -> None:
    """One at which somebody listens, and one that is no socket, are not."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    with serving(f"unix:{path}"), pytest.raises(ShortfallError, match="EADDRINUSE"):
        serve([f"unix:{path}"])
    assert not Path(path).exists()
    Path(path).write_text("precious")
    with pytest.raises(ShortfallError, match="EADDRINUSE"):
        serve([f"unix:{path}"])

    assert Path(path).read_text() == "precious"


def test_what_another_server_has_put_in_its_place_is_not_removed(path: str) -> None:
    run = serve([f"unix:{path}"], serve_s=0.3)
    os.rename(path, f"{path}.old")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(path)
        run.finish()

    assert Path(path).exists()


@pytest.mark.parametrize("folder", ["missing", "file"])
def test_a_path_that_cannot_be_listened_at(tmp_path: Path, folder: str) -> None:
    if folder == "file":
        (tmp_path / folder).touch()
    with pytest.raises((ShortfallError, CannotError), match=r"unix:.*x\.sock"):
        serve([f"unix:{tmp_path / folder / 'x.sock'}"])


@pytest.mark.parametrize("run", [hold, churn], ids=["hold", "churn"])
def test_what_is_no_socket_is_refused_before_the_run(run: Any, path: str, tmp_path: Path) -> None:
    """Also behind a symbolic link. What is not there is left to connect(), as a server may come."""
    (tmp_path / "link").symlink_to(tmp_path)
    Path(path).write_text("")

    for name in (path, str(tmp_path), f"{tmp_path}/link", "/dev/null"):
        with pytest.raises(UsageError, match="no socket"):
            run(1, [f"unix:{name}"])
    run(1, [f"unix:{path}x"])


def test_a_socket_that_may_not_be_written_to(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(5)
        os.chmod(path, 0o600)
        prefix = ["env", f"XDG_RUNTIME_DIR={Path(path).parent}", *limited("-n 512")]
        _let_others_in(Path(path).parent)
        done = fourtuple("hold", "7", f"unix:{path}", "--for", "1s", "--json", "--no-store", prefix=prefix)

    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["failed"] == {"EACCES": 7}


def _let_others_in(folder: Path) -> None:
    """pytest's folders are those of one user."""
    for each in (folder, *folder.parents):
        if each.owner() == Path.home().owner() and "pytest" in str(each):
            each.chmod(0o755)


def test_what_does_not_fit_is_refused_before_anything_is_opened(path: str) -> None:
    """By memory and by files; nobody listens there, which would be found out later."""
    with pytest.raises(ShortfallError, match="memory"):
        hold(10**10, [f"unix:{path}"])
    prefix = ["bash", "-c", 'ulimit -n 99 && exec "$@"', "bash"]
    options = ("--loop", "epoll", "--workers", "1", "--no-store")
    done = fourtuple("hold", "1000", f"unix:{path}", *options, prefix=prefix)

    assert done.returncode == 1
    assert "ulimit -n 99" in done.stderr


def test_a_placeholder_for_what_a_connection_does_not_have_is_refused(path: str) -> None:
    for options in ({"send": b"{port}"}, {"send": b"{source}"}):
        with pytest.raises(UsageError, match="Unix socket"):
            hold(7, [f"unix:{path}"], **options)
    with pytest.raises(UsageError, match="Unix socket"):
        churn(7.0, ["mqtt://h"], session={"unix_socket": path, "client_id": "{port}"})


def test_interrupting_a_server_removes_its_file(path: str) -> None:
    with serving(f"unix:{path}"):
        assert Path(path).is_socket()

    assert not Path(path).exists()
