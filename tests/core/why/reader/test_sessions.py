"""What ends a session after TCP has connected is understood, in our own words and those of other programs."""

import shlex
from collections.abc import Iterator

import pytest

from fourtuple.core.runs.reasons import OTHERS as OTHER_REASONS
from fourtuple.core.why.catalogue.rows import phrases
from fourtuple.core.why.findings import Finding
from fourtuple.core.why.next_step import next_step
from fourtuple.core.why.reader import PHRASES, read_findings
from fourtuple.core.why.reader.session_texts import CLOSE_CODES, MQTT_CODES
from fourtuple.engine.protocols import http, mqtt_reasons, socks, tls, websocket
from fourtuple.engine.protocols.contract import FailureKind
from fourtuple.engine.protocols.foreign import foreign

V3, V5 = 4, 5


def read(text: str) -> tuple[Finding, ...]:
    return read_findings([text], (*PHRASES, *phrases()))


def reasons() -> Iterator[tuple[FailureKind, str]]:
    """Reasons that our sessions give, from their own tables where they have some."""
    for code in (*websocket.CODES, 3500, 4001):
        yield FailureKind.WEBSOCKET, websocket.closed_with(code, "no such room")
    for code in range(128, 163):
        yield FailureKind.MQTT, f"refused: {mqtt_reasons.reason_of(code, V5)}"
        yield FailureKind.MQTT, f"disconnected: {mqtt_reasons.reason_of(code, V5)}"
        yield FailureKind.MQTT, f"subscription refused: {mqtt_reasons.reason_of(code, V5)}"
    for code in range(1, 7):
        yield FailureKind.MQTT, f"refused: {mqtt_reasons.reason_of(code, V3)}"
    for code in (*socks.REPLIES, 77):
        yield FailureKind.PROXY, f"reply {code} ({socks.REPLIES.get(code, 'unassigned')})"
    for status in range(100, 600):
        for kind in (FailureKind.HTTP, FailureKind.WEBSOCKET):
            yield kind, f"status {status}"
    for status in (*range(300, 600), 407):
        yield FailureKind.PROXY, f"status {status}"
    for kind, protocol in ((FailureKind.TLS, "TLS"), (FailureKind.HTTP, "HTTP"), (FailureKind.MQTT, "MQTT")):
        for first in (b"SSH-2.0-OpenSSH_9.2p1", b"\x00\x01", b"\x16\x03\x01", b"HTTP/1.1"):
            if foreign(protocol, first) != "not TLS but TLS":
                yield kind, foreign(protocol, first)
    for _, words in http._BROKEN:
        yield FailureKind.HTTP, words
    for _, words in websocket._BROKEN:
        yield FailureKind.WEBSOCKET, words
    for kind, words in OTHERS:
        yield kind, words


OTHERS = [
    (FailureKind.TLS, "certificate has expired"),
    (FailureKind.TLS, "certificate is not yet valid"),
    (FailureKind.TLS, "hostname mismatch"),
    (FailureKind.TLS, "IP address mismatch"),
    (FailureKind.TLS, "self-signed certificate"),
    (FailureKind.TLS, "self-signed certificate in certificate chain"),
    (FailureKind.TLS, "unable to get local issuer certificate"),
    (FailureKind.TLS, "tlsv1 alert protocol version"),
    (FailureKind.TLS, "ssl/tls alert handshake failure"),
    (FailureKind.TLS, "tlsv13 alert certificate required"),
    (FailureKind.TLS, "wrong version number"),
    (FailureKind.TLS, "unsupported protocol"),
    (FailureKind.TLS, "no shared cipher"),
    (FailureKind.TLS, "ALPN h2, which is not spoken inside"),
    (FailureKind.TLS, "unexpected EOF in the middle of the handshake"),
    (FailureKind.TLS, tls.CLOSE_NOTIFY.reason),
    (FailureKind.TLS, tls.NO_CLOSE_NOTIFY.reason),
    (FailureKind.TLS, "close_notify"),  # as versions before had it
    (FailureKind.TLS, "ended without close_notify"),
    (FailureKind.HTTP, "the server keeps no connection open (Connection: close, or HTTP/1.0)"),
    (FailureKind.HTTP, "status 408 without a request"),
    (FailureKind.HTTP, "an answer without a request"),
    (FailureKind.HTTP, "ended in the middle of an answer"),
    (FailureKind.HTTP, "ended without an answer"),
    (FailureKind.WEBSOCKET, "closed without a close frame"),
    (FailureKind.WEBSOCKET, "closed without a close code"),
    (FailureKind.WEBSOCKET, "closed in the middle of a frame"),
    (FailureKind.WEBSOCKET, "wrong Sec-WebSocket-Accept"),
    (FailureKind.WEBSOCKET, "the server's answer has no Upgrade: websocket"),
    (FailureKind.WEBSOCKET, "no subprotocol was chosen"),
    (FailureKind.WEBSOCKET, "subprotocol chat was not offered"),
    (FailureKind.WEBSOCKET, "extension x-foo was not offered"),
    (FailureKind.WEBSOCKET, "a message larger than 16 MiB"),
    (FailureKind.WEBSOCKET, "text that is not UTF-8"),
    (FailureKind.WEBSOCKET, "closed before the upgrade"),
    (FailureKind.WEBSOCKET, "a message that is not the expected one"),
    (FailureKind.MQTT, "closed without DISCONNECT"),
    (FailureKind.MQTT, "closed before CONNACK"),
    (FailureKind.MQTT, "closed; MQTT 3.1.1 has no reasons"),
    (FailureKind.MQTT, "subscription refused: failure (128)"),
    (FailureKind.MQTT, "the server takes messages with QoS 0 only"),
    (FailureKind.PROXY, "ended before the tunnel stood"),
    (FailureKind.PROXY, "user and password are refused"),
    (FailureKind.PROXY, "no method of authentication is accepted"),
    (FailureKind.PROXY, "status 407 (Proxy Authentication Required)"),
    (FailureKind.TEXT, 'the answer to --first is not "+PONG": "-ERR unknown"'),
    (FailureKind.TEXT, "the greeting does not match ^OK: 554 no"),
    (FailureKind.TEXT, "closed before the greeting was complete"),
    (FailureKind.TEXT, "closed"),
    (FailureKind.SESSION, "not established in time"),
]


@pytest.mark.parametrize(("kind", "reason"), dict.fromkeys(reasons()))
def test_each_reason_of_our_sessions_is_known_and_is_no_errno(kind: FailureKind, reason: str) -> None:
    """Alone, behind its kind, and as `hold` counts it in a report; never as a session that failed for no reason."""
    for text in (reason, f"{kind}: {reason}", f"lost 20 (EPROTO).\n20 × {kind}: {reason}.\n"):
        found = read(text)
        assert [each.error for each in found] == [""]
        assert found[0].causes
        if reason != "closed":
            assert found[0].causes[0] != "session-failed"


def test_each_reason_of_our_sessions_has_a_next_step() -> None:
    """The command is one of a shell, with the reason as its one text."""
    for text in dict.fromkeys(f"{kind}: {reason}" for kind, reason in reasons()):
        found = next_step(text)
        assert found, text
        assert found.do
        assert shlex.split(found.more) == ["fourtuple", "why", text]


@pytest.mark.parametrize(
    ("reason", "does"),
    [
        ('tls: not TLS: "HTTP/1.1"', "http"),
        ("tls: self-signed certificate", "--ca"),
        ("tls: hostname mismatch", "--sni"),
        ("tls: tlsv13 alert certificate required", "--cert"),
        ("tls: the peer ended the session (close_notify)", "reload"),
        ('text: an answer is not "OK": "+PONG"', "--expect"),
        ("mqtt: refused: not authorized (135)", "password"),
    ],
)
def test_the_next_step_is_an_option_of_this_program_where_there_is_one(reason: str, does: str) -> None:
    found = next_step(reason)

    assert found
    assert does in found.do


def test_what_is_no_reason_of_a_session_has_no_next_step() -> None:
    assert next_step(OTHER_REASONS) is None
    assert next_step('text: an answer is not "OK": "connection refused"') is None


@pytest.mark.parametrize("gap", ["unable\nto get local issuer certificate", "unable to get local\nissuer certificate"])
def test_a_reason_that_a_terminal_wrapped_is_read(gap: str) -> None:
    (found,) = read(f"fell short: held none of 20, lost 20. 20 × tls: {gap}.\n")

    assert found.causes[0] == "tls-chain"


def test_close_codes_and_reason_codes_have_the_words_that_sessions_use() -> None:
    assert set(CLOSE_CODES) == {*websocket.CODES, 1005, 1006}  # these two are never sent, only shown
    for code, (_, words) in CLOSE_CODES.items():
        assert code not in websocket.CODES or websocket.CODES[code].lower().startswith(tuple(words))
    for code, named in MQTT_CODES.items():
        version = V3 if code < 128 else V5
        assert mqtt_reasons.reason_of(code, version).lower() == f"{named[0][0]} ({code})"


THEIRS = [
    ("x509: certificate signed by unknown authority", "tls-unknown-ca"),
    ("curl: (60) SSL certificate problem: unable to get local issuer certificate", "tls-chain"),
    ("curl: (60) SSL certificate problem: self-signed certificate", "tls-self-signed"),
    ("curl: (35) error:0A00010B:SSL routines::wrong version number", "plain-server"),
    ("curl: (51) SSL: no alternative certificate subject name matches target host name 'a.example'", "tls-name"),
    ("SSLHandshakeException: PKIX path building failed: unable to find valid certification path", "tls-unknown-ca"),
    ("javax.net.ssl.SSLHandshakeException: Received fatal alert: handshake_failure", "tls-cipher"),
    ("Error: unable to verify the first certificate { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' }", "tls-chain"),
    ("code: 'DEPTH_ZERO_SELF_SIGNED_CERT'", "tls-self-signed"),
    ("Error [ERR_TLS_CERT_ALTNAME_INVALID]: Hostname/IP does not match certificate's altnames", "tls-name"),
    ("[SSL: WRONG_VERSION_NUMBER] wrong version number (_ssl.c:1006)", "plain-server"),
    ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: certificate has expired (_ssl.c:1)", "tls-expired"),
    ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed (_ssl.c:1)", "tls-unverified"),
    ("[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca (_ssl.c:2580)", "tls-rejected"),
    ("remote error: tls: bad certificate", "tls-rejected"),
    ("x509: certificate has expired or is not yet valid: current time a is before b", "tls-not-yet"),
    ("invalid peer certificate: UnknownIssuer", "tls-unknown-ca"),
    ("received fatal alert: ProtocolVersion", "tls-version"),
    ("http: server gave HTTP response to HTTPS client", "plain-server"),
    (
        "http: TLS handshake error from 10.0.0.5:1: tls: first record does not look like a TLS handshake",
        "plain-client",
    ),
    ("http: TLS handshake error from 10.0.0.5:1234: EOF", "tls-cut"),
    ("SSL_do_handshake() failed (SSL: error:0A000410:SSL routines::ssl/tls alert handshake failure)", "tls-cipher"),
    ("upstream SSL certificate verify error: (10:certificate has expired) while SSL handshaking", "tls-expired"),
    ("fe/1: SSL handshake failure", "tls-failed"),
    ("fe/1: SSL handshake failure (error:0A000416:SSL routines::ssl/tls alert certificate unknown)", "tls-rejected"),
    ("fe/1: Connection closed during SSL handshake", "tls-cut"),
    ("net::ERR_CERT_DATE_INVALID", "tls-expired"),
    ("write EPROTO 8:error:0A00010B:SSL routines:ssl3_get_record:wrong version number", "plain-server"),
    ("ConnectionClosedError: received 1008 (policy violation) bad; then sent 1008 (policy violation)", "ws-policy"),
    ("sent 1011 (internal error) keepalive ping timeout; no close frame received", "ws-internal"),
    ("no close frame received or sent", "ws-abnormal"),
    ("websocket: close 1006 (abnormal closure): unexpected EOF", "ws-abnormal"),
    ("websocket: close 1013 (try again later)", "ws-try-later"),
    ("websocket: close 4004: room is gone", "ws-own-code"),
    ("Error: Unexpected server response: 503", "http-503"),
    (
        "WebSocket connection to 'wss://a.example/x' failed: Error during WebSocket handshake: Unexpected response"
        " code: 403",
        "http-unauthorized",
    ),
    ("CloseEvent {isTrusted: true, wasClean: false, code: 1006, reason: ''}", "ws-abnormal"),
    ("CloseStatus[code=1009, reason=too long]", "ws-too-big"),
    ("Connection error: Connection Refused: not authorised.", "mqtt-login"),
    ("Connection refused: Identifier rejected", "mqtt-identifier"),
    ("Sending CONNACK to sensor7 (0, 5)", "mqtt-login"),
    ("Client sensor7 has exceeded timeout, disconnecting.", "mqtt-keepalive"),
    ("Client sensor7 already connected, closing old connection.", "mqtt-taken-over"),
    ("Not authorized to connect (5)", "mqtt-login"),
    ("OSError: Tunnel connection failed: 407 Proxy Authentication Required", "http-proxy-login"),
    ("curl: (56) CONNECT tunnel failed, response 403", "proxy-forbids"),
    ("socks connect tcp 127.0.0.1:1080->10.0.0.9:80: unknown error connection refused", "proxy-cannot-reach"),
    ("requests.exceptions.HTTPError: 502 Server Error: Bad Gateway for url: http://a.example/", "http-502"),
    ('malformed HTTP response "\\x15\\x03\\x01\\x00\\x02\\x02"', "plain-client"),
    ('malformed HTTP response "SSH-2.0-OpenSSH"', "other-protocol"),
    ("WebSocket protocol error: Connection reset without closing handshake", "ws-abnormal"),
    ("Unable to locally verify the issuer's authority.", "tls-chain"),
    ("Connection failed: reason code Not authorized", "mqtt-login"),
    ("AxiosError: Request failed with status code 429", "http-429"),
    ("*7 epoll_wait() reported that client prematurely closed connection, so upstream is closed too", "http-499"),
]


@pytest.mark.parametrize(("text", "cause"), THEIRS)
def test_the_same_failures_are_known_in_the_words_of_other_programs(text: str, cause: str) -> None:
    for whole in (text, f"2026-11-20T16:00:01Z app[7]: {text}\n2026-11-20T16:00:02Z app[7]: done\n"):
        (found,) = read(whole)
        assert (found.error, found.causes[0]) == ("", cause)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("502 Bad Gateway", "http-502"),
        ("HTTP 504", "http-504"),
        ("status 404", "http-request"),
        ("error 429 too many requests", "http-429"),
        ("close code 1000", "ws-normal"),
        ("received 1001 (going away); then sent 1001 (going away)", "ws-going-away"),
        ("websocket closed 1005", "ws-no-code"),
        ("1008 policy violation", "ws-policy"),
        ("disconnected (1006)", "ws-abnormal"),
        ("ws error 1011", "ws-internal"),
        ("code 1013", "ws-try-later"),
        ("session taken over", "mqtt-taken-over"),
        ("mqtt 142", "mqtt-taken-over"),
        ("connack 5", "mqtt-login"),
        ("curl 35", "tls-failed"),
        ("curl error 60", "tls-chain"),
        ("EPROTO", "session-failed"),
    ],
)
def test_a_status_or_a_code_is_explained_to_those_who_ask(text: str, cause: str) -> None:
    (found,) = read(text)

    assert (found.error, found.causes[0]) == ("", cause)


QUIET = [
    '10.0.0.1 - - [03/Nov/2026:10:00:01 +0000] "GET /a HTTP/1.1" 502 157 "-" "curl/8"',
    '10.0.0.1 - - [03/Nov/2026:10:00:01 +0000] "GET /ws HTTP/1.1" 101 1008 "-" "-"',
    '{"status":503,"path":"/x","duration_ms":12}',
    "level=info msg=request status=504 method=GET",
    "HTTP/1.1 503 Service Unavailable",
    "HTTP 507",
    "exit status 127",
    "process exited with code 135",
    "app[1008]: ready",
    "websocket: close 1000 (normal)\nbye",
    "ConnectionClosedOK: received 1000 (OK); then sent 1000 (OK)\nbye",
    "websocket connection closed: 1001\nbye",
    "certificate will expire in 29 days",
    "renewed the certificate of a.example, it is valid until 2027",
    "TLSv1.3 handshake completed, ALPN h2",
    "unsupported protocol scheme ftp",
    "unsupported protocol\nwas chosen",
    "internal error\nof the parser",
    "quota exceeded for project 7",
    "permission denied: not authorized to read the file",
    "user is not authorized",
    "status 404\nnot found\n",
    "fix: handle certificate has expired in reader",
    "test_certificate_has_expired PASSED",
    "GET /search?q=certificate+has+expired HTTP/1.1",
    "[INFO] certificate has expired handled, retrying",
    "Client sensor7 disconnected.",
    "Sending CONNACK to sensor7 (0, 0)",
]


@pytest.mark.parametrize("text", QUIET)
def test_what_may_be_about_anything_is_no_failure_of_a_session(text: str) -> None:
    assert read(text) == ()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("SSL_do_handshake() failed (104: Connection reset by peer) while SSL handshaking to upstream", "ECONNRESET"),
        ("peer closed connection in SSL handshake (104: Connection reset by peer)", "ECONNRESET"),
        (
            "websocket: close 1006 (abnormal closure): read tcp 10.0.0.4:5->10.0.0.9:80: connection reset by peer",
            "ECONNRESET",
        ),
        ("Request failed with status code 502: connect ECONNREFUSED 10.0.0.9:80", "ECONNREFUSED"),
        (
            "Unexpected server response: 502: dial tcp 10.0.0.9:80: connect: cannot assign requested address",
            "EADDRNOTAVAIL",
        ),
        ("SSLHandshakeException: closed\nCaused by: java.net.SocketException: Connection reset\n", "ECONNRESET"),
    ],
)
def test_an_errno_outranks_words_that_say_only_that_a_session_ended(text: str, error: str) -> None:
    (found,) = read(text)

    assert found.error == error


@pytest.mark.parametrize(
    "line",
    [
        "2026/11/20 16:00:0{n} http: TLS handshake error from 10.0.0.5:5123{n}: EOF",
        "Nov 20 16:00:0{n} lb haproxy[12]: 10.0.0.5:5123{n} [20/Nov/2026:16:00:01.004] fe/1: SSL handshake failure",
        "2026-11-20T16:00:0{n}: Client connection from [2001:db8::5]:5123{n} failed: sslv3 alert certificate unknown.",
    ],
)
def test_clients_of_a_server_that_fail_alike_are_counted_together(line: str) -> None:
    (found,) = read("".join(f"{line.format(n=n)}\n" for n in range(5)))

    assert (found.count, found.destination) == (5, "")
    assert found.source in ("10.0.0.5", "2001:db8::5")


def test_the_server_of_a_session_is_its_destination() -> None:
    (found,) = read("connecting to 10.0.0.9:8443: x509: certificate has expired")

    assert (found.source, found.destination) == ("", "10.0.0.9:8443")


def test_an_errno_and_the_reason_of_a_session_are_two_failures() -> None:
    both = "x509: certificate has expired; then dial tcp 10.0.0.9:80: connect: cannot assign requested address"

    first, second = read(both)

    assert (first.error, first.causes, second.error, second.causes) == ("EADDRNOTAVAIL", (), "", ("tls-expired",))


def test_a_limit_within_an_unexpected_answer_is_the_reason() -> None:
    (found,) = read('text: the answer to --first is not "+PONG": "-ERR max number of clients reached"')

    assert found.limit == "redis.maxclients"
