"""Tunnels as bytes: by CONNECT and by SOCKS5, cut anywhere; refusals, with the proxy's own status or code."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.errors import UsageError
from fourtuple.engine.protocols.contract import NOTHING, Failure, FailureKind, Turn
from fourtuple.engine.protocols.http_connect import HttpConnect, connect_request
from fourtuple.engine.protocols.proxy import ProxyClient
from fourtuple.engine.protocols.socks import Socks5, SocksRequest
from tests.engine.protocols.pieces import cuts, heard
from tests.engine.protocols.plain import Lines

SOURCE = "127.0.0.1:5"
HELLO = f"3 from {SOURCE}\n".encode()
LOGIN = {"user": "ann", "password": "secret"}


def by_http(destination: str = "example.org:443", **login: str) -> ProxyClient:
    return ProxyClient(partial(HttpConnect, connect_request(destination, **login)), Lines())


def by_socks(host: str = "example.org", **login: str) -> ProxyClient:
    return ProxyClient(partial(Socks5, SocksRequest.of(host, 443, **login)), Lines())


def failed(reason: str) -> Turn:
    return Turn(failed=Failure(FailureKind.PROXY, reason))


GRANTED = b"HTTP/1.1 200 Connection established\r\nVia: proxy\r\n\r\n"
CHOSEN, CHOSEN_LOGIN, ACCEPTED = b"\x05\x00", b"\x05\x02", b"\x01\x00"
REPLY = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x12\x34"
CONNECT = b"\x05\x01\x00\x03\x0bexample.org\x01\xbb"


def test_connect_is_asked_for_with_the_destination() -> None:
    assert by_http().make(3, SOURCE).begin() == Turn(
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n"
    )


def test_a_user_is_sent_as_basic_authentication() -> None:
    send = by_http(user="ann", password="ü:x").make(3, SOURCE).begin().send  # noqa: S106

    assert b"\r\nProxy-Authorization: Basic YW5uOsO8Ong=\r\n" in send


@pytest.mark.parametrize(
    ("kind", "data", "sent"),
    [
        (by_http(), b"HTTP/1.1 100 Continue\r\n\r\n" + GRANTED, b""),
        (by_http(), b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", b""),
        (by_socks(), CHOSEN + REPLY, CONNECT),
        (by_socks(**LOGIN), CHOSEN_LOGIN + ACCEPTED + REPLY, b"\x01\x03ann\x06secret" + CONNECT),
        (by_socks(**LOGIN), CHOSEN + REPLY, CONNECT),
        (by_socks(), CHOSEN + b"\x05\x00\x00\x03\x02ab\x00\x50", CONNECT),
        (by_socks(), CHOSEN + b"\x05\x00\x00\x04" + bytes(18), CONNECT),
    ],
)
def test_the_session_inside_begins_once_the_tunnel_stands(kind: ProxyClient, data: bytes, sent: bytes) -> None:
    """However its data is cut; what comes through the tunnel at once is the session's, too."""
    for pieces in cuts(data + b"first\nwrong\n"):
        session = kind.make(3, SOURCE)
        session.begin()
        assert heard(session, pieces) == Turn(sent + HELLO, ready=True, answers=1, wrong=1), pieces
        assert session.idle


def test_addresses_are_sent_as_addresses() -> None:
    assert SocksRequest.of("192.0.2.1", 80).connect == b"\x05\x01\x00\x01\xc0\x00\x02\x01\x00\x50"
    assert SocksRequest.of("2001:db8::1", 80).connect[:8] == b"\x05\x01\x00\x04\x20\x01\x0d\xb8"


def test_a_user_is_offered_and_not_demanded() -> None:
    assert by_socks().make(0, "").begin() == Turn(b"\x05\x01\x00")
    assert by_socks(**LOGIN).make(0, "").begin() == Turn(b"\x05\x02\x00\x02")


@pytest.mark.parametrize(
    ("kind", "data", "reason"),
    [
        (by_http(), b"", "ended before the tunnel stood"),
        (by_http(), GRANTED[:-1], "ended before the tunnel stood"),
        (by_http(), b"HTTP/1.1 407 No\r\n\r\n", "status 407 (Proxy Authentication Required)"),
        (by_http(), b"HTTP/1.1 503 Busy at 12:01\r\nContent-Length: 3\r\n\r\nabc", "status 503 (Service Unavailable)"),
        (by_http(), b"HTTP/1.1 599 x\r\n\r\n", "status 599"),
        (by_http(), b"SSH-2.0-x\r\n", 'not HTTP: "SSH-2.0-x"'),
        (by_http(), b"HTTP/1.1 200 OK\r\nbad\r\n\r\n", "a malformed header"),
        (by_socks(), b"HTTP/1.1 400 Bad", 'not SOCKS5: "HTTP/1.1"'),
        (by_socks(), b"\x05\xff", "no method of authentication is accepted"),
        (by_socks(), CHOSEN_LOGIN, "a method was not offered"),
        (by_socks(**LOGIN), CHOSEN_LOGIN + b"\x01\x01", "user and password are refused"),
        (by_socks(), CHOSEN + b"\x05\x05\x00\x01" + bytes(6), "reply 5 (connection refused)"),
        (by_socks(), CHOSEN + b"\x05\x63", "reply 99 (unassigned)"),
        (by_socks(), CHOSEN + b"\x05\x00\x00\x02\x00", "a malformed reply"),
        (by_socks(), CHOSEN + b"\x04", "a malformed reply"),
        (by_socks(), CHOSEN + REPLY[:-1], "ended before the tunnel stood"),
    ],
)
def test_a_refusal_is_a_failure_of_the_proxy(kind: ProxyClient, data: bytes, reason: str) -> None:
    session = kind.make(3, SOURCE)
    session.begin()
    turn = session.received(data) if data else NOTHING
    turn = turn if turn.failed else session.received(b"")

    assert turn == failed(reason)
    assert not session.idle
    assert session.received(b"x") == session.say(b"x") == NOTHING
    assert session.goodbye() == b""


def test_everything_after_that_is_for_the_session_inside() -> None:
    kind = by_socks()
    session = kind.make(3, SOURCE)
    session.begin()
    session.received(CHOSEN + REPLY)

    assert session.say(b"hi\n") == Turn(b"hi\n")
    assert session.received(b"half") == NOTHING
    assert not session.idle
    assert session.received(b"") == Turn(failed=Failure(FailureKind.TEXT, "half a line"))
    assert session.goodbye() == b"bye\n"
    assert kind.keepalive_s == Lines.keepalive_s
    assert kind.beat(session) == kind.beat(kind.resume(3)) == Turn(b"beat\n")


@pytest.mark.parametrize(
    "make",
    [
        lambda: connect_request("a b:1"),
        lambda: connect_request("ä:1"),
        lambda: SocksRequest.of("x" * 256, 1),
        lambda: SocksRequest.of("a", 1, "u" * 256),
        lambda: SocksRequest.of("a", 1, "u", "ü" * 128),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is_opened(make: "object") -> None:
    with pytest.raises(UsageError):
        make()  # type: ignore[operator]


@given(st.lists(st.binary(max_size=30) | st.sampled_from([GRANTED, CHOSEN, CHOSEN_LOGIN, REPLY, b""]), max_size=6))
def test_no_data_of_a_proxy_makes_it_raise(pieces: list[bytes]) -> None:
    for kind in (by_http(), by_socks(), by_socks(**LOGIN)):
        session = kind.make(3, SOURCE)
        session.begin()
        turn = heard(session, pieces)
        assert turn.failed is None or turn.failed.reason.isprintable()
