"""HTTP sessions against nginx and haproxy, inside TLS too; and other programs' clients at our server."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fourtuple.core.talk.session import HttpOptions, TlsOptions
from fourtuple.engine.protocols.contract import Failure, FailureKind, SessionKind, Turn
from fourtuple.engine.protocols.http import HttpClient
from fourtuple.engine.protocols.http_answers import Learned
from fourtuple.engine.protocols.http_server import HttpServer
from fourtuple.engine.protocols.tls import TlsClient, TlsServer
from tests.conftest import need
from tests.engine.protocols.answering import answering
from tests.engine.protocols.certificates import HOST, certificate, trusted
from tests.engine.protocols.driver import Driver
from tests.engine.protocols.programs import Address, haproxy, nginx
from tests.waiting import COMMAND_S


def asked(address: Address, kind: SessionKind, message: bytes = b"") -> Turn:
    """The answer to one request on a connection of its own."""
    with Driver(address, kind.make(0, "")) as one:
        assert one.turns[0].ready
        one.say(message)
        return one.until(answered)


def answered(turn: Turn) -> bool:
    return bool(turn.answers or turn.wrong)


def test_requests_on_one_connection_are_answered_one_after_another(tmp_path: Path) -> None:
    """By paths of the message: with a body, without one, redirected, large, chunked, with Server Side Includes."""
    kind = HttpClient(HttpOptions(), HOST)
    right = (b"/", b"/ body", b"/moved", b"/empty", b"/large", b"/chunked")
    with nginx(tmp_path) as address, Driver(address, kind.make(0, "")) as one:
        for message in (*right, *right):
            one.say(message)
            assert one.until(answered) == Turn(answers=1), message
            assert one.session.idle
            one.session = kind.resume(0)
        for message in (b"/absent", b"/busy"):
            one.say(message)
            assert one.until(answered) == Turn(wrong=1), message


def test_the_expected_status_is_right(tmp_path: Path) -> None:
    with nginx(tmp_path) as address:
        options = HttpOptions(method="HEAD", status=(range(503, 504),))
        assert asked(address, HttpClient(options, HOST, "/busy")) == Turn(answers=1)
        assert asked(address, HttpClient(options, HOST, "/")) == Turn(wrong=1)


def test_a_server_that_closes_after_an_answer_says_so(tmp_path: Path) -> None:
    with nginx(tmp_path) as address, Driver(address, HttpClient(HttpOptions(), HOST, "/close").make(0, "")) as one:
        one.say(b"")
        assert one.until(answered) == Turn(answers=1, last=True)
        assert one.receive() == Turn()


def test_an_idle_connection_that_the_server_ends_is_no_failure_of_http(tmp_path: Path) -> None:
    kind = HttpClient(HttpOptions(), HOST, "/")
    with nginx(tmp_path, keepalive="100ms") as address, Driver(address, kind.make(0, "")) as one:
        one.say(b"")
        one.until(answered)
        assert one.receive() == Turn()
        assert one.socket.recv(1) == b""


def test_a_tls_server_that_is_asked_without_tls(tmp_path: Path) -> None:
    """nginx answers so that a browser shows it; openssl and haproxy end the connection."""
    with nginx(tmp_path, tls=True) as address:
        assert asked(address, HttpClient(HttpOptions(), HOST, "/")) == Turn(wrong=1, last=True)
    with haproxy(tmp_path) as address, Driver(address, HttpClient(HttpOptions(), HOST, "/").make(0, "")) as one:
        one.say(b"")
        assert one.until(lambda turn: turn.failed).failed == Failure(FailureKind.HTTP, "ended without an answer")


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_requests_inside_tls(tmp_path: Path, version: str) -> None:
    options = TlsOptions(ca=trusted(tmp_path), version=version)
    kind = TlsClient(options, HOST, HttpClient(HttpOptions(), HOST), ("http/1.1",))
    with nginx(tmp_path, tls=True) as address, Driver(address, kind.make(0, "")) as one:
        assert one.until(lambda turn: turn.ready).secured
        for message in (b"/", b"/large", b"/absent", b"/chunked", b"/close"):
            one.say(message)
            turn = one.until(answered)
            assert (turn.wrong, turn.last) == (int(message == b"/absent"), message == b"/close")
        assert one.receive().failed is None  # close_notify, which was to come


def test_what_nginx_answers_is_learned(tmp_path: Path) -> None:
    """The next answers, of another second, are recognized."""
    kind = HttpClient(HttpOptions(), HOST)
    with nginx(tmp_path) as address, Driver(address, kind.make(0, "")) as one:
        for message in (b"/", b"/empty", b"/absent"):
            received = []
            for _ in range(2):
                one.socket.sendall(kind.make(0, "").say(message).send)
                received.append(one.socket.recv(65536))
            learned = Learned.from_response(kind, message, received[0])
            assert learned, received
            later = received[1].replace(b":", b"9", 2).replace(b"9", b":", 2)
            data = np.frombuffer(later, np.uint8)[None, :]
            assert learned.matches(data, np.array([len(later)])).all()


@pytest.mark.parametrize("secure", [False, True])
def test_curl_is_answered_by_our_server(tmp_path: Path, secure: bool) -> None:
    """By any method, twice on a connection, with HTTP/1.0, and inside TLS."""
    need(shutil.which("curl"), "curl")
    kind = TlsServer(certificate(), HttpServer(), ("http/1.1",)) if secure else HttpServer()
    with answering(kind) as (address, turns):
        url = f"http{'s' * secure}://localhost:{address[1]}/x"
        resolved = f"localhost:{address[1]}:127.0.0.1"
        command = ["curl", "-sS", "--noproxy", "*", "--cacert", trusted(tmp_path), "--resolve", resolved]
        for options in (["-X", "DELETE", url], ["-d", "some=data"], ["-0"], ["-I"], ["-H", "Connection: close"]):
            done = subprocess.run([*command, *options, url], capture_output=True, timeout=COMMAND_S, check=False)
            assert done.returncode == 0, done.stderr
            assert b"ok\n" in done.stdout or b"Content-Length: 3" in done.stdout

    assert sum(turn.answers for turn in turns) == 6
