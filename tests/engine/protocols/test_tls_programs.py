"""TLS sessions against nginx, haproxy and openssl, and openssl at our server."""

import subprocess
from pathlib import Path

import pytest

from fourtuple.core.talk.session import HttpOptions, TlsOptions
from fourtuple.engine.protocols.contract import Failure, FailureKind, Turn
from fourtuple.engine.protocols.http import HttpClient
from fourtuple.engine.protocols.tls import CLOSE_NOTIFY, TlsClient, TlsServer
from tests.catalogue.servers import program
from tests.engine.protocols.answering import answering
from tests.engine.protocols.certificates import HOST, certificate, trusted
from tests.engine.protocols.driver import Driver
from tests.engine.protocols.plain import Lines, LineSession
from tests.engine.protocols.programs import Address, haproxy, nginx, s_server
from tests.waiting import COMMAND_S, wait_until

VERSIONS = ("1.2", "1.3")


class Quiet(Lines):
    """Sessions that begin without a word."""

    def make(self, connection: int, source: str) -> LineSession:
        return self.resume(connection)


def client(folder: Path, host: str = HOST, **options: object) -> TlsClient:
    return TlsClient(TlsOptions(ca=trusted(folder), **options), host, Quiet())  # type: ignore[arg-type]


def reason(address: Address, kind: TlsClient) -> str:
    """Why the session fails, before or after the handshake."""
    with Driver(address, kind.make(0, "")) as one:
        failed = one.until(lambda turn: turn.failed).failed
        assert failed
        assert failed.kind is FailureKind.TLS
        return failed.reason


def secured(turn: Turn) -> bool:
    return turn.secured


@pytest.mark.parametrize("version", VERSIONS)
def test_a_bad_certificate_of_nginx(tmp_path: Path, version: str) -> None:
    kind = client(tmp_path, version=version)
    for pem, words in (
        (certificate(until_days=-1), "certificate has expired"),
        (certificate("example.org"), "hostname mismatch"),
        (certificate(issuer="others"), "unable to get local issuer certificate"),
    ):
        with nginx(tmp_path, pem=pem, tls=True) as address:
            assert reason(address, kind) == words
            with Driver(address, client(tmp_path, version=version, insecure=True).make(0, "")) as one:
                assert one.until(secured).ready


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_that_nginx_refuses(tmp_path: Path, version: str) -> None:
    other = VERSIONS[version == "1.2"]
    with nginx(tmp_path, tls=True, protocols=f"TLSv{other}") as address:
        assert reason(address, client(tmp_path, version=version)) == "tlsv1 alert protocol version"
        with Driver(address, client(tmp_path, version=other).make(0, "")) as one:
            assert one.until(secured).ready


def test_a_server_without_tls(tmp_path: Path) -> None:
    with nginx(tmp_path) as address:
        assert reason(address, client(tmp_path)) == 'not TLS: "HTTP/1.1"'


def test_a_server_that_says_nothing_and_ends(tmp_path: Path) -> None:
    with nginx(tmp_path, more="client_header_timeout 100ms;", tls=True) as address:
        kind = client(tmp_path)
        with Driver(address, kind.make(0, "")) as one:
            one.until(secured)
            failed = one.until(lambda turn: turn.failed).failed
    assert failed
    assert failed.by_peer


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_certificate_that_haproxy_asks_for(tmp_path: Path, version: str) -> None:
    (tmp_path / "mine.pem").write_bytes(certificate("me"))
    ca = trusted(tmp_path)
    with haproxy(tmp_path, more=f"ca-file {ca} verify required") as address:
        words = reason(address, client(tmp_path, version=version))
        assert words == ("tlsv13 alert certificate required" if version == "1.3" else "sslv3 alert handshake failure")
        with Driver(
            address, client(tmp_path, version=version, certificate=str(tmp_path / "mine.pem")).make(0, "")
        ) as one:
            assert one.until(secured).ready


def test_haproxy_chooses_by_alpn(tmp_path: Path) -> None:
    """http/1.1 where that is offered; nothing in common is an alert, or HTTP/2, which is not spoken."""
    inside = HttpClient(HttpOptions(), HOST, "/")
    kind = TlsClient(TlsOptions(ca=trusted(tmp_path)), HOST, inside, ("http/1.1",))
    with haproxy(tmp_path) as address:
        with Driver(address, kind.make(0, "")) as one:
            one.until(secured)
            one.say(b"")
            assert one.until(lambda turn: turn.answers).answers == 1
        kind = TlsClient(TlsOptions(ca=trusted(tmp_path), alpn=("h2",)), HOST, inside, ("http/1.1",))
        assert reason(address, kind) == "ALPN h2, which is not spoken inside"


def test_an_end_of_an_idle_session_is_the_peers(tmp_path: Path) -> None:
    kind = TlsClient(TlsOptions(ca=trusted(tmp_path)), HOST, HttpClient(HttpOptions(), HOST, "/"), ("http/1.1",))
    with haproxy(tmp_path, idle="100ms") as address, Driver(address, kind.make(0, "")) as one:
        one.until(secured)
        one.say(b"")
        one.until(lambda turn: turn.answers)
        assert one.until(lambda turn: turn.failed).failed == CLOSE_NOTIFY


@pytest.mark.parametrize("version", VERSIONS)
def test_sessions_are_resumed_by_nginx(tmp_path: Path, version: str) -> None:
    """As nginx itself says: `.` a new session, `r` a resumed one."""
    inside = HttpClient(HttpOptions(), HOST, "/resumed")
    kind = TlsClient(TlsOptions(ca=trusted(tmp_path), version=version, resume=True), HOST, inside)
    told = []
    with nginx(tmp_path, tls=True) as address:
        for _ in range(4):
            with Driver(address, kind.make(0, "")) as one:
                one.until(secured)
                one.say(b"")
                one.until(lambda turn: turn.answers)
                told.append(one.session._tls.session_reused)  # type: ignore[attr-defined]

    assert told == [False, True, True, True]


def test_new_keys_and_new_tickets_disturb_nothing(tmp_path: Path) -> None:
    """`openssl s_server` sends a KeyUpdate by `K`, which asks for one of this end, and tickets by itself."""
    with s_server(tmp_path, "-tls1_3") as (address, process), Driver(address, client(tmp_path).make(0, "")) as one:
        one.until(secured)
        assert process.stdin
        for line in (b"hello\n", b"K\n", b"again\n", b"k\n", b"once more\n"):
            process.stdin.write(line)
            process.stdin.flush()
        while sum(turn.answers for turn in one.turns) < 3:
            assert not one.receive().failed
        one.say(b"heard with new keys\n")
        assert wait_until(lambda: b"heard with new keys" in (tmp_path / "log").read_bytes())


def test_a_goodbye_is_one_for_openssl(tmp_path: Path) -> None:
    with (
        s_server(tmp_path, "-naccept", "2") as (address, process),
        Driver(address, client(tmp_path).make(0, "")) as one,
    ):
        one.until(secured)
        one.socket.sendall(one.session.goodbye())
        assert wait_until(lambda: b"DONE" in (tmp_path / "log").read_bytes())
        assert process.poll() in (None, 0)


@pytest.mark.parametrize("version", VERSIONS)
def test_openssl_connects_to_our_server(tmp_path: Path, version: str) -> None:
    """It verifies the certificate, sends a line and hears the end."""
    openssl = program("openssl")
    with answering(TlsServer(certificate(), Quiet())) as (address, turns):
        command = [
            openssl,
            "s_client",
            "-connect",
            f"{address[0]}:{address[1]}",
            f"-tls{version.replace('.', '_')}",
            "-ign_eof",
        ]
        verified = ["-CAfile", trusted(tmp_path), "-verify_return_error", "-verify_hostname", HOST]
        done = subprocess.run(
            [*command, *verified], input=b"line\nend\n", capture_output=True, timeout=COMMAND_S, check=False
        )

    assert b"Verify return code: 0 (ok)" in done.stdout
    assert sum(turn.answers for turn in turns) == 2
    assert turns[-1].failed == Failure(FailureKind.TEXT, "end", by_peer=True)


def test_openssl_is_told_why_it_is_not_answered(tmp_path: Path) -> None:
    openssl = program("openssl")
    with answering(TlsServer(certificate(), Quiet())) as (address, turns):
        command = [openssl, "s_client", "-connect", f"{address[0]}:{address[1]}", "-tls1_2", "-cipher", "AES128-SHA256"]
        done = subprocess.run(command, input=b"", capture_output=True, timeout=COMMAND_S, check=False)

    assert b"alert handshake failure" in done.stderr
    assert turns[-1].failed == Failure(FailureKind.TLS, "no shared cipher")
