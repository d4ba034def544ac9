"""TLS as bytes, with both ends in memory: handshakes, their failures, the end of a session, and what it costs."""

import ctypes
import gc
import shutil
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fourtuple.core.errors import CannotError, FourtupleError, UsageError
from fourtuple.core.talk.session import HttpOptions, TlsOptions
from fourtuple.engine.protocols.certificate import make_certificate
from fourtuple.engine.protocols.contract import NOTHING, Failure, FailureKind, Session, SessionKind, Turn
from fourtuple.engine.protocols.http import HttpClient
from fourtuple.engine.protocols.http_server import HttpServer
from fourtuple.engine.protocols.tls import CLOSE_NOTIFY, NO_CLOSE_NOTIFY, TlsClient, TlsServer
from fourtuple.engine.protocols.tls_contexts import error_of
from fourtuple.engine.protocols.turns import joined
from tests.conftest import need
from tests.engine.protocols.certificates import HOST, certificate, trusted
from tests.engine.protocols.plain import Lines, LineSession

HELD_BYTES = 30_000
CERTIFICATE_BYTES = 400  # at least, with its signature
VERSIONS = ("1.2", "1.3")
SOURCE = "127.0.0.1:5"


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> str:
    return trusted(tmp_path_factory.mktemp("tls"))


def client(ca: str, inside: SessionKind | None = None, host: str = HOST, **options: object) -> TlsClient:
    return TlsClient(TlsOptions(ca=ca, **options), host, inside or Lines())  # type: ignore[arg-type]


def server(inside: SessionKind | None = None, pem: bytes = b"", alpn: tuple[str, ...] = ()) -> TlsServer:
    return TlsServer(pem or certificate(), inside or Lines(), alpn)


def whole(data: bytes) -> Iterable[bytes]:
    return (data,) if data else ()


class Silent(Lines):
    """Sessions that say no goodbye."""

    def resume(self, connection: int) -> LineSession:
        session = super().resume(connection)
        session.last_words = b""
        return session


class Pair:
    """Two sessions that hear each other. cut: how data arrives at the client; turns: of each so far, as one"""

    def __init__(self, one: SessionKind, other: SessionKind, cut: Callable[[bytes], Iterable[bytes]] = whole) -> None:
        self.client, self.server = one.make(3, SOURCE), other.make(4, "")
        self._cut = cut
        self.heard: dict[Session, list[Turn]] = {self.client: [], self.server: []}
        self._exchange(self._took(self.server, self.server.begin()), self._took(self.client, self.client.begin()))

    def say(self, session: Session, message: bytes) -> None:
        send = self._took(session, session.say(message))
        self._exchange(*((send, b"") if session is self.server else (b"", send)))

    def turn(self, session: Session) -> Turn:
        """All of its turns together, apart from what was sent."""
        turn = joined(self.heard[session])
        return Turn(b"", turn.secured, turn.ready, turn.answers, turn.wrong, turn.failed, turn.last)

    def _exchange(self, to_client: bytes, to_server: bytes) -> None:
        while to_client or to_server:
            answer = b"".join([self._took(self.client, self.client.received(piece)) for piece in self._cut(to_client)])
            to_client = self._took(self.server, self.server.received(to_server)) if to_server else b""
            to_server = answer

    def _took(self, session: Session, turn: Turn) -> bytes:
        self.heard[session].append(turn)
        return turn.send


def tls_failure(reason: str, *, by_peer: bool = False) -> Failure:
    return Failure(FailureKind.TLS, reason, by_peer)


READY = Turn(secured=True, ready=True, answers=1)  # each end's session inside begins by a line


@pytest.mark.parametrize("version", VERSIONS)
def test_the_sessions_inside_begin_when_the_handshake_is_done(ca: str, version: str) -> None:
    pair = Pair(client(ca, version=version), server())

    assert pair.turn(pair.client) == pair.turn(pair.server) == READY


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("size", [1, 3, 100, 611])
def test_a_handshake_is_the_same_however_it_is_cut(ca: str, version: str, size: int) -> None:
    pair = Pair(
        client(ca, version=version), server(), lambda data: [data[at : at + size] for at in range(0, len(data), size)]
    )

    assert pair.turn(pair.client) == pair.turn(pair.server) == READY


@pytest.mark.parametrize("version", VERSIONS)
def test_messages_of_any_size_are_carried(ca: str, version: str) -> None:
    pair = Pair(client(ca, version=version), server())
    for size in (1, 16_383, 16_384, 16_385, 200_000):
        pair.say(pair.client, b"x" * size + b"\n")
        pair.say(pair.server, b"y" * size + b"\n")

    assert pair.turn(pair.client).answers == pair.turn(pair.server).answers == 6


def test_http_is_carried(ca: str) -> None:
    pair = Pair(client(ca, HttpClient(HttpOptions(), HOST, "/")), server(HttpServer()))
    pair.say(pair.client, b"")
    pair.say(pair.client, b"body")

    assert pair.turn(pair.client) == Turn(secured=True, ready=True, answers=2)
    assert pair.turn(pair.server) == Turn(secured=True, ready=True, answers=2)


def test_what_was_wrong_with_an_answer_is_said_through_tls(ca: str) -> None:
    options = HttpOptions(status=(range(404, 405),))
    pair = Pair(client(ca, HttpClient(options, HOST, "/")), server(HttpServer()))
    pair.say(pair.client, b"")

    assert [turn.because for turn in pair.heard[pair.client] if turn.wrong] == ["http: status 200"]


def test_the_session_inside_is_thrown_away_when_it_is_idle(ca: str) -> None:
    """And made again by its kind, with the number of its connection."""
    resumed = []

    class Counted(Lines):
        def resume(self, connection: int) -> LineSession:
            resumed.append(connection)
            return super().resume(connection)

    pair = Pair(client(ca, Counted()), server())
    resumed.clear()
    pair.say(pair.server, b"half")
    pair.say(pair.server, b" a line\n")
    pair.say(pair.client, b"x\n")

    assert resumed == [3, 3]  # not for the second half
    assert not pair.client.idle


def test_a_beat_is_that_of_the_session_inside(ca: str) -> None:
    kind = client(ca)
    pair = Pair(kind, server())

    assert kind.keepalive_s == Lines.keepalive_s
    assert pair.server.received(kind.beat(pair.client).send).answers == 1


CERTIFICATES = {
    "ours": {},
    "expired": {"until_days": -1},
    "not yet": {"from_days": 1},
    "unknown": {"issuer": "others"},
}


def named(name: str) -> bytes:
    """A certificate by what is special with it, or by the name or the address that it is for."""
    return certificate(**CERTIFICATES[name]) if name in CERTIFICATES else certificate(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("of", "host", "reason"),
    [
        ("expired", HOST, "certificate has expired"),
        ("not yet", HOST, "certificate is not yet valid"),
        ("example.org", HOST, "hostname mismatch"),
        ("example.org", "example.net", "hostname mismatch"),
        ("127.0.0.2", "127.0.0.1", "IP address mismatch"),
        ("unknown", HOST, "unable to get local issuer certificate"),
    ],
)
def test_a_bad_certificate_is_a_failure_in_openssls_words(
    ca: str, of: str, host: str, reason: str, version: str
) -> None:
    """Without the names in them. The server hears of it in an alert."""
    pair = Pair(client(ca, host=host, version=version), server(pem=named(of)))

    assert pair.turn(pair.client).failed == tls_failure(reason)
    assert not pair.turn(pair.client).secured
    failed = pair.turn(pair.server).failed
    assert failed
    assert "alert" in failed.reason


@pytest.mark.parametrize("of", ["expired", "example.org", "unknown"])
def test_insecure_accepts_any_certificate(of: str) -> None:
    pair = Pair(client("", insecure=True), server(pem=named(of)))

    assert pair.turn(pair.client) == READY


def test_the_name_to_verify_can_be_another_than_the_host(ca: str) -> None:
    pair = Pair(client(ca, host="127.0.0.9", sni="example.org"), server(pem=certificate("example.org")))

    assert pair.turn(pair.client) == READY


def test_an_address_with_a_zone_is_verified_without_it(ca: str) -> None:
    pair = Pair(client(ca, host="fe80::1%eth0"), server(pem=certificate("fe80::1")))

    assert pair.turn(pair.client) == READY


def test_a_version_that_the_server_refuses(ca: str) -> None:
    other = server()
    other.context.minimum_version = ssl.TLSVersion.TLSv1_3
    pair = Pair(client(ca, version="1.2"), other)

    assert pair.turn(pair.client).failed == tls_failure("tlsv1 alert protocol version")


@pytest.mark.parametrize(
    ("version", "reason"),
    [("1.2", "sslv3 alert handshake failure"), ("1.3", "tlsv13 alert certificate required")],
)
def test_a_certificate_that_the_server_asks_for_in_vain(ca: str, version: str, reason: str) -> None:
    """In TLS 1.3 the client has already seen the handshake succeed (RFC 8446, 4.4.2.4)."""
    other = server()
    other.context.load_verify_locations(ca)
    other.context.verify_mode = ssl.CERT_REQUIRED
    pair = Pair(client(ca, version=version), other)

    assert pair.turn(pair.client).failed == tls_failure(reason)
    assert pair.turn(pair.server).failed == tls_failure("peer did not return a certificate")


@pytest.mark.parametrize("version", VERSIONS)
def test_the_clients_certificate_is_shown(ca: str, version: str, tmp_path: Path) -> None:
    (tmp_path / "mine.pem").write_bytes(certificate("me"))
    other = server()
    other.context.load_verify_locations(ca)
    other.context.verify_mode = ssl.CERT_REQUIRED
    pair = Pair(client(ca, version=version, certificate=str(tmp_path / "mine.pem")), other)

    assert pair.turn(pair.client) == pair.turn(pair.server) == READY


def test_alpn_chooses_what_both_ends_speak(ca: str) -> None:
    kind = TlsClient(TlsOptions(ca=ca), HOST, Lines(), ("http/1.1",))

    pair = Pair(kind, server(alpn=("h2", "http/1.1")))
    assert pair.turn(pair.client) == READY
    pair = Pair(kind, server())
    assert pair.turn(pair.client) == READY


def test_what_is_chosen_has_to_be_spoken_inside(ca: str) -> None:
    kind = TlsClient(TlsOptions(ca=ca, alpn=("h2", "http/1.1")), HOST, Lines(), ("http/1.1",))
    pair = Pair(kind, server(alpn=("h2",)))

    assert pair.turn(pair.client).failed == tls_failure("ALPN h2, which is not spoken inside")
    assert pair.turn(pair.server).failed == CLOSE_NOTIFY


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n", 'not TLS: "SSH-2.0-OpenSSH_9.2p1"'),
        (b"HTTP/1.1 400 Bad Request\r\n", 'not TLS: "HTTP/1.1"'),
        (b"\0\0\0\0\0\0", "not TLS"),
        (b"hi\n", 'not TLS: "hi"'),
        (b"", "unexpected EOF in the middle of the handshake"),
        (b"\x16\x03\x03", "unexpected EOF in the middle of the handshake"),
        (b"\x15\x03\x03\x00\x02\x01\x00", "unexpected EOF in the middle of the handshake"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "tlsv1 alert protocol version"),
        (b"\x15\x03\x01\x00\x02\x02\xfe", "unknown error of OpenSSL"),
    ],
)
def test_what_is_no_handshake_is_a_failure_with_its_reason(ca: str, data: bytes, reason: str) -> None:
    """And nothing follows it."""
    session = client(ca).make(0, "")
    session.begin()
    turn = session.received(data) if data else NOTHING
    turn = turn if turn.failed else session.received(b"")

    assert turn == Turn(failed=tls_failure(reason))
    assert session.received(b"x") == session.received(b"") == session.say(b"x") == NOTHING
    assert session.goodbye() == b""


def test_the_server_says_what_is_not_tls_too() -> None:
    session = server().make(0, "")
    session.begin()

    assert session.received(b"GET / HTTP/1.1\r\n\r\n") == Turn(failed=tls_failure('not TLS: "GET"'))


@pytest.mark.parametrize("version", VERSIONS)
def test_close_notify_is_a_proper_end(ca: str, version: str) -> None:
    """The session inside says goodbye before; nothing is said afterwards."""
    pair = Pair(client(ca, version=version), server())
    turn = pair.client.received(pair.server.goodbye())

    assert (turn.answers, turn.failed) == (1, CLOSE_NOTIFY)
    assert turn.send  # this end's close_notify
    assert pair.client.received(b"") == NOTHING
    assert pair.client.goodbye() == pair.server.goodbye() == b""


def test_an_end_without_close_notify_is_said(ca: str) -> None:
    pair = Pair(client(ca), server())

    assert pair.client.received(b"").failed == NO_CLOSE_NOTIFY


@pytest.mark.parametrize("notified", [True, False])
def test_an_end_in_the_middle_of_a_message_is_that_of_the_session_inside(ca: str, notified: bool) -> None:
    pair = Pair(client(ca), server(Silent()))
    pair.say(pair.server, b"half")
    turn = pair.client.received(pair.server.goodbye() if notified else b"")

    assert turn.failed == Failure(FailureKind.TEXT, "half a line")


@pytest.mark.parametrize("notified", [True, False])
def test_an_end_that_was_to_come_is_no_failure(ca: str, notified: bool) -> None:
    """The server closes after its answer; the session inside has said so."""
    options = HttpOptions(headers=(("Connection", "close"),))
    pair = Pair(client(ca, HttpClient(options, HOST, "/")), server(HttpServer()))
    send = pair.client.say(b"").send
    answer = pair.server.received(send)
    assert answer.failed

    turns = [pair.client.received(answer.send if notified else answer.send[:-24])]
    turns.append(pair.client.received(b""))
    assert [turn.failed for turn in turns] == [None, None]
    assert (turns[0].answers, turns[0].last) == (1, True)


def test_the_end_of_the_session_inside_is_followed_by_close_notify(ca: str) -> None:
    pair = Pair(client(ca), server())
    pair.say(pair.server, b"end\n")

    assert pair.turn(pair.client).failed == Failure(FailureKind.TEXT, "end", by_peer=True)
    assert pair.turn(pair.server).failed == CLOSE_NOTIFY


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_is_resumed(ca: str, version: str) -> None:
    """The server sends no certificate then."""

    def flight_bytes(kind: TlsClient) -> int:
        pair = Pair(kind, other)
        assert pair.turn(pair.client) == READY
        return len(pair.heard[pair.server][1].send)

    other = server()
    again, afresh = client(ca, version=version, resume=True), client(ca, version=version)
    first, second, third = [flight_bytes(again) for _ in range(3)]

    assert second == third
    assert min(first, flight_bytes(afresh), flight_bytes(afresh)) - second > CERTIFICATE_BYTES


def test_a_ticket_that_the_server_does_not_know_costs_nothing(ca: str) -> None:
    kind = client(ca, resume=True)
    for _ in range(3):
        pair = Pair(kind, server())
        assert pair.turn(pair.client) == READY


class _Mallinfo(ctypes.Structure):
    """struct mallinfo2 (mallinfo(3))."""

    _fields_ = [(name, ctypes.c_size_t) for name in (*"abcdefg", "uordblks", "fordblks", "keepcost")]


def allocated_bytes() -> int:
    """What malloc has handed out in this process: OpenSSL's part, as Python's own objects are elsewhere."""
    library = ctypes.CDLL(None)
    need(hasattr(library, "mallinfo2"), "mallinfo2() of glibc 2.33")
    mallinfo = library.mallinfo2
    mallinfo.restype = _Mallinfo
    info = mallinfo()
    return int(info.uordblks)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_held_session_costs_less_than_30_kb(ca: str, version: str) -> None:
    """Also after it has been sent tickets, which make OpenSSL allocate a buffer of 16 KiB."""
    one, other = client(ca, version=version), server()
    kept = []
    for _ in range(5):
        Pair(one, other)
    gc.collect()
    before = allocated_bytes()
    for _ in range(40):
        kept.append(Pair(one, other).client)
    gc.collect()

    assert (allocated_bytes() - before) / len(kept) < HELD_BYTES


def pem(folder: Path, name: str, content: bytes) -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


def test_options_that_cannot_be_are_refused_before_anything_is_opened(ca: str, tmp_path: Path) -> None:
    mine = pem(tmp_path, "mine.pem", certificate("me"))
    text = pem(tmp_path, "text", b"text\n")
    other = pem(tmp_path, "other.pem", certificate("other"))
    cut = pem(tmp_path, "cut.pem", certificate("me")[:100])
    wrong: list[tuple[dict[str, object], str]] = [
        ({"ca": "/nonexistent"}, "the certificates in /nonexistent: No such file"),
        ({"ca": text}, "it is not in PEM format"),
        ({"ca": "/dev/null"}, "/dev/null is not a regular file"),
        ({"ca": str(tmp_path)}, "openssl rehash"),
        ({"ca": "a\0b"}, "embedded null"),
        ({"certificate": "/nonexistent"}, "No such file"),
        ({"certificate": text}, "it is not in PEM format"),
        ({"certificate": ca}, "it is not in PEM format"),
        ({"certificate": mine, "key": other}, "the key does not belong to the certificate"),
        ({"certificate": mine, "key": cut}, "it is not in PEM format"),
        ({"key": mine}, "there is no certificate that it belongs to"),
        ({"version": "1.1"}, "1.2 or 1.3"),
        ({"alpn": ("",)}, "1 to 255 characters"),
        ({"alpn": ("ä",)}, "1 to 255 characters"),
        ({"sni": "a..b"}, "'a..b'"),
        ({"sni": "a\0b"}, "it is not the name of a server"),
        ({"sni": "x" * 64}, "it is not the name of a server"),
    ]
    for options, words in wrong:
        with pytest.raises(UsageError) as raised:
            TlsClient(TlsOptions(**{"ca": ca, **options}), HOST, Lines())  # type: ignore[arg-type]
        assert words in str(raised.value), options


def test_an_encrypted_key_is_refused_without_asking_anyone(ca: str, tmp_path: Path) -> None:
    key = load_pem_private_key(certificate("me"), None)
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    options = TlsOptions(ca=ca, certificate=pem(tmp_path, "a", certificate("me")), key=pem(tmp_path, "b", secret))

    with pytest.raises(UsageError, match="the key is encrypted"):
        TlsClient(options, HOST, Lines())


def test_without_a_host_the_name_has_to_be_given(ca: str) -> None:
    with pytest.raises(UsageError, match="--sni"):
        client(ca, host="")
    pair = Pair(client("", host="", insecure=True), server())
    assert pair.turn(pair.client) == READY


def test_a_file_that_this_user_may_not_read_is_another_error() -> None:
    assert isinstance(error_of("x", PermissionError(13, "Permission denied")), CannotError)
    assert isinstance(error_of("x", FileNotFoundError(2, "No such file")), UsageError)


def test_a_server_needs_a_certificate() -> None:
    with pytest.raises(UsageError):
        server(pem=b"garbage")


def test_a_certificate_is_made_on_the_spot(tmp_path: Path) -> None:
    """For names and addresses; who trusts it connects."""
    need(shutil.which("openssl"), "the program openssl")
    made = make_certificate(["example.org", "127.0.0.1", "::1"])
    ca = pem(tmp_path, "made.pem", made)

    for host in ("example.org", "127.0.0.1", "::1"):
        pair = Pair(client(ca, host=host), server(pem=made))
        assert pair.turn(pair.client) == READY
    pair = Pair(client(ca, host="example.net"), server(pem=made))
    assert pair.turn(pair.client).failed == tls_failure("hostname mismatch")


def test_a_certificate_that_openssl_does_not_make_is_an_error() -> None:
    need(shutil.which("openssl"), "the program openssl")
    with pytest.raises(FourtupleError, match="openssl failed"):
        make_certificate(["a,b:c"])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=40) | st.just(b"\x16\x03\x03\x00\x04\x02\x00\x00\x00"), max_size=5))
def test_no_data_makes_the_handshake_raise(ca: str, pieces: list[bytes]) -> None:
    for kind in (client(ca), server()):
        session = kind.make(0, "")
        turn = joined([session.begin(), *map(session.received, pieces), session.received(b"")])
        assert turn.failed
        assert turn.failed.reason.isprintable()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(VERSIONS), st.integers(0, 4000), st.integers(1, 255))
def test_no_changed_byte_of_a_server_makes_the_client_raise(ca: str, version: str, at: int, change: int) -> None:
    """In the handshake, in tickets, and in data."""
    passed = [0]

    def changed(data: bytes) -> list[bytes]:
        start, passed[0] = passed[0], passed[0] + len(data)
        if not start <= at < passed[0]:
            return [data] if data else []
        index = at - start
        return [data[:index] + bytes([data[index] ^ change]) + data[index + 1 :]]

    pair = Pair(client(ca, version=version), server(), changed)
    pair.say(pair.server, b"x" * 300 + b"\n")
    turn = pair.turn(pair.client)
    assert turn.failed is None or turn.failed.reason.isprintable()
    pair.client.goodbye()
