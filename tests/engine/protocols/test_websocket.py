"""WebSocket sessions on plain bytes: upgrades, messages, pings, every way to end, and whatever else a peer sends."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.frame_protocol import FrameProtocol

from fourtuple.core.errors import UsageError
from fourtuple.core.talk.session import WebSocketOptions
from fourtuple.engine.protocols.contract import NOTHING, Failure, FailureKind, Turn
from fourtuple.engine.protocols.websocket import (
    CODES,
    LARGEST_BYTES,
    WebSocketClient,
    WebSocketServer,
    WebSocketSession,
    closed_with,
)
from tests.engine.protocols.pieces import cuts, heard

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, 1.3
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def client(**options: object) -> WebSocketClient:
    return WebSocketClient("127.0.0.1:8080", "/chat?a=1", WebSocketOptions(**options))  # type: ignore[arg-type]


def opened(kind: WebSocketClient, answer: bytes | None = None) -> WebSocketSession:
    """A client's session that is a WebSocket."""
    session = kind.make(0, "")
    assert heard(session, [answer or answered(session.begin().send)]).ready
    return session


def answered(request: bytes) -> bytes:
    return WebSocketServer().make(0, "").received(request).send


def failed(reason: str, *, by_peer: bool = False) -> Failure:
    return Failure(FailureKind.WEBSOCKET, reason, by_peer)


def sent(data: bytes) -> bytes:
    """The payload of a client's close frame, as a server reads it; of nothing else."""
    server = FrameProtocol(False, [])
    server.receive_bytes(data)
    (frame,) = server.received_frames()
    assert isinstance(frame.payload, tuple)
    return frame.payload[0].to_bytes(2, "big")


def frame(first: int, payload: bytes) -> bytes:
    """A frame of a server with at most 125 bytes."""
    return bytes((first, len(payload))) + payload


def test_the_request_has_what_was_asked_for() -> None:
    """Host, path, subprotocols and further headers, in HTTP/1.1."""
    kind = client(subprotocols=("mqtt", "x"), headers=(("Origin", "http://a"),))
    lines = kind.make(0, "").begin().send.split(b"\r\n")

    assert lines[0] == b"GET /chat?a=1 HTTP/1.1"
    assert b"Host: 127.0.0.1:8080" in lines
    assert b"Sec-WebSocket-Protocol: mqtt, x" in lines
    assert b"Origin: http://a" in lines
    assert lines[-2:] == [b"", b""]


def test_the_key_is_in_its_place_whatever_the_path_is() -> None:
    kind = WebSocketClient("a", f"/{'?' * 30}", WebSocketOptions(headers=(("X", "?" * 30),)))

    assert opened(kind).idle


def test_a_header_of_the_user_takes_the_place_of_host() -> None:
    request = client(headers=(("hOST", "b.example"),)).make(0, "").begin().send

    assert request.lower().count(b"host:") == 1
    assert b"b.example\r\n" in request


@pytest.mark.parametrize("header", [("a b", "c"), ("a", "b\r\nc: d"), ("é", "x")])
def test_what_http_does_not_allow_is_refused_at_once(header: tuple[str, str]) -> None:
    with pytest.raises(UsageError):
        client(headers=(header,))


def test_each_connection_has_a_key_of_its_own() -> None:
    """RFC 6455, 4.1: selected randomly for each connection. Another run has other keys."""
    first, second = client(), client()
    requests = [kind.make(connection, "").begin().send for kind in (first, second) for connection in range(100)]

    assert len(set(requests)) == 200


def test_the_server_accepts_as_in_the_example_of_the_rfc() -> None:
    answer = answered(REQUEST)

    assert answer.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n" in answer


def test_client_and_server_understand_each_other_wherever_data_is_cut() -> None:
    """The upgrade, a message that comes with it, and a message afterwards."""
    kind = client(subprotocols=("a", "b"))
    request = kind.make(7, "").begin().send
    answer = answered(request) + frame(0x81, b"hello")
    for pieces in cuts(request):
        session = WebSocketServer().make(0, "")
        assert heard(session, pieces).send + frame(0x81, b"hello") == answer
        assert session.idle

    for pieces in cuts(answer):
        session = kind.make(7, "")
        assert heard(session, pieces) == Turn(ready=True, answers=1)
        assert session.idle


def test_the_server_echoes_in_the_same_type() -> None:
    for binary, first in ((False, 0x81), (True, 0x82)):
        session = opened(client(binary=binary))
        echo = WebSocketServer().resume(0).received(session.say(b"hello").send)

        assert echo == Turn(frame(first, b"hello"), answers=1)
        assert session.received(echo.send).answers == 1


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
def test_messages_of_every_length_go_there_and_back(size: int) -> None:
    session = opened(client(binary=True))
    echo = WebSocketServer().resume(0).received(session.say(bytes(size)).send)

    assert echo.answers == 1
    assert heard(session, [echo.send[:1], echo.send[1:]]) == Turn(answers=1)


@pytest.mark.parametrize(
    ("was", "becomes", "reason"),
    [
        (b"101 Switching Protocols", b"403 Forbidden", "status 403"),
        (b"101 Switching Protocols", b"200 OK", "status 200"),
        (b"Upgrade: websocket", b"Upgrade: h2c", "the server's answer has no Upgrade: websocket"),
        (b"Connection: Upgrade", b"Connection: close", "the server's answer has no Connection: Upgrade"),
        (b"Sec-WebSocket-Accept: ", b"Sec-WebSocket-Accept: A", "wrong Sec-WebSocket-Accept"),
        (b"Sec-WebSocket-Accept", b"X", "wrong Sec-WebSocket-Accept"),
        (b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: x\r\n\r\n", "more than one subprotocol was chosen"),
        (b"Protocol: mqtt", b"Protocol: x", "subprotocol x was not offered"),
        (b"Sec-WebSocket-Protocol: mqtt\r\n", b"", "no subprotocol was chosen"),
        (
            b"\r\n\r\n",
            b"\r\nSec-WebSocket-Extensions: permessage-deflate; a=1\r\n\r\n",
            "extension permessage-deflate was not offered",
        ),
        (b"HTTP/1.1 101", b"HTTP/1.1 abc", "malformed HTTP"),
        (b"\r\n\r\n", b"\r\na: " + b"a" * 70_000, "HTTP headers that are too long"),
        (b"HTTP/1.1", b"SSH-2.0-x", 'not HTTP: "SSH-2.0-x"'),
        (b"HTTP/1.1", b"\x15\x03\x03\0\2\2\x28", "not HTTP but TLS"),
        (b"HTTP/1.1", b"\0\0", "not HTTP"),
        (b"HTTP/1.1", b"HTTP/1.0", "the server's answer is HTTP/1.0"),
    ],
)
def test_refusals_of_the_upgrade_are_named(was: bytes, becomes: bytes, reason: str) -> None:
    session = client(subprotocols=("mqtt",)).make(0, "")
    answer = answered(session.begin().send)
    assert was in answer
    turn = session.received(answer.replace(was, becomes, 1))

    assert turn == Turn(failed=failed(reason))
    assert not session.idle
    assert session.received(b"x") == NOTHING
    assert session.goodbye() == b""


def test_an_answer_before_the_last_one_is_passed_over() -> None:
    """103 Early Hints and the like (RFC 9110, 15.2)."""
    session = client().make(0, "")
    answer = b"HTTP/1.1 103 Early Hints\r\n\r\n" + answered(session.begin().send)

    assert session.received(answer) == Turn(ready=True)


def test_the_subprotocol_is_one_that_was_offered() -> None:
    assert opened(client(subprotocols=("a", "b"))).idle


@pytest.mark.parametrize(
    ("was", "becomes", "status", "reason"),
    [
        (b"GET", b"POST", b"426", "the client asked for no upgrade"),
        (b"Upgrade: websocket\r\n", b"", b"426", "the client asked for no upgrade"),
        (b"keep-alive, Upgrade", b"keep-alive", b"426", "the client asked for no upgrade"),
        (b"Version: 13", b"Version: 8", b"426", "the client asked for another version of WebSocket"),
        (KEY, b"abc", b"400", "the client's Sec-WebSocket-Key is no key"),
        (KEY, b"YWJj", b"400", "the client's Sec-WebSocket-Key is no key"),
        (b"GET / ", b"GET /", b"400", "malformed HTTP"),
        (b"GET", b"\x16\x03\x01", b"400", "malformed HTTP"),
    ],
)
def test_the_server_refuses_by_a_status(was: bytes, becomes: bytes, status: bytes, reason: str) -> None:
    session = WebSocketServer().make(0, "")
    turn = session.received(REQUEST.replace(was, becomes))

    assert turn.failed == failed(reason)
    assert turn.send.startswith(b"HTTP/1.1 " + status)


def test_a_message_in_fragments_is_one_answer_wherever_it_is_cut() -> None:
    """Also with a ping between them, and with a letter that is cut in two (RFC 6455, 5.4 and 5.6)."""
    data = frame(0x01, b"a\xc3") + frame(0x89, b"p") + frame(0x00, b"\xa4") + frame(0x80, b"") + frame(0x81, b"b")
    for pieces in cuts(data):
        session = client().resume(0)
        turn = heard(session, pieces)
        pong = turn.send
        assert (turn.answers, turn.wrong, turn.failed) == (2, 0, None)
        assert (pong[0], pong[1], pong[6] ^ pong[2]) == (0x8A, 0x81, ord("p"))
        assert session.idle


def test_a_session_is_idle_only_between_messages() -> None:
    """A new object can take its place then, and at no other moment."""
    data = frame(0x01, b"ab") + frame(0x80, b"cd")
    session = client().resume(0)
    idle = [session.idle]
    for byte in data:
        session.received(bytes((byte,)))
        idle.append(session.idle)

    assert idle == [True, *[False] * (len(data) - 1), True]


def test_other_answers_than_the_expected_ones_are_counted_apart() -> None:
    kind = WebSocketClient("a", "/", WebSocketOptions(), expected=lambda message: message == "ä".encode())
    session = kind.resume(0)
    session.say(b"1")
    session.say(b"2")
    session.say(b"3")

    assert session.received(frame(0x81, "ä".encode()) + frame(0x82, b"x")) == Turn(answers=1, wrong=1)
    assert session.received(frame(0x01, b"\xc3") + frame(0x80, b"\xa4")) == Turn(answers=1)


@pytest.mark.parametrize("at_once", [False, True])
def test_a_message_that_answers_none_is_no_answer(*, at_once: bool) -> None:
    """Of a server that answers twice; the session is idle only when each of its messages has been answered."""
    kind = WebSocketClient("a", "/", WebSocketOptions(), expected=lambda message: message == b"x")
    session, answer = kind.resume(0), frame(0x81, b"x")
    session.say(b"x")
    waits = session.idle
    turns = [session.received(data) for data in ([answer + answer] if at_once else [answer, answer])]

    assert (waits, session.idle) == (False, True)
    assert [(turn.answers, turn.wrong) for turn in turns] == ([(1, 1)] if at_once else [(1, 0), (0, 1)])
    assert turns[-1].because == "websocket: a message that answers none"


def test_a_pong_says_nothing() -> None:
    assert client().resume(0).received(frame(0x8A, b"abc")) == Turn()


def test_a_beat_is_a_ping_that_the_server_answers() -> None:
    kind = client()
    session = kind.resume(0)
    pong = WebSocketServer().resume(0).received(kind.beat(session).send)

    assert pong.send == frame(0x8A, b"")
    assert session.received(pong.send) == Turn()


@pytest.mark.parametrize("code", sorted({*CODES, *range(3000, 5000, 111), 3999, 4000, 4999}))
def test_each_close_code_is_named_and_answered(code: int) -> None:
    session = client().resume(0)
    turn = session.received(frame(0x88, struct.pack("!H", code) + b"no such room"))

    assert turn.failed == failed(f"{closed_with(code)}: no such room", by_peer=True)
    assert turn.send[0] == 0x88
    assert bytes(a ^ b for a, b in zip(turn.send[6:], turn.send[2:6], strict=False)) == code.to_bytes(2, "big")
    assert session.received(frame(0x81, b"x")) == NOTHING


@pytest.mark.parametrize(
    ("code", "text", "words"),
    [
        (1008, "", "closed with 1008 (policy violation)"),
        (1008, "no such room", "closed with 1008 (policy violation): no such room"),
        (1011, "session 8f3a-22 is gone", "closed with 1011 (internal error): session … is gone"),
        (1000, "a\x1b[31m", "closed with 1000 (normal closure)"),
        (1000, "a" * 61, "closed with 1000 (normal closure)"),
        (3000, "", "closed with 3000 (unauthorized)"),
        (3456, "", "closed with 3456 (a library's code)"),
        (4999, "", "closed with 4999 (a program's code)"),
    ],
)
def test_the_words_of_a_close(code: int, text: str, words: str) -> None:
    assert closed_with(code, text) == words


def test_a_close_without_a_code() -> None:
    turn = client().resume(0).received(frame(0x88, b""))

    assert turn.failed == failed("closed without a close code", by_peer=True)
    assert (turn.send[:2], len(turn.send)) == (b"\x88\x80", 6)


@pytest.mark.parametrize(
    ("data", "code", "reason"),
    [
        (b"\xc1\x00", 1002, "a reserved bit is set"),
        (b"\x91\x00", 1002, "a reserved bit is set"),
        (b"\x81\x81abcde", 1002, "a frame of a server is masked"),
        (b"\x83\x00", 1002, "an unknown opcode"),
        (b"\x8f\x00", 1002, "an unknown opcode"),
        (b"\x09\x00", 1002, "a control frame in fragments"),
        (b"\x89\x7e\x00\x7e" + bytes(126), 1002, "a control frame with more than 125 bytes"),
        (b"\x82\x7e\x00\x7d" + bytes(125), 1002, "a length in more bytes than it needs"),
        (b"\x82\x7f" + (65_535).to_bytes(8, "big"), 1002, "a length in more bytes than it needs"),
        (b"\x82\x7f\xff" + bytes(7), 1002, "a length of more than 63 bits"),
        (b"\x80\x00", 1002, "a continuation of no message"),
        (b"\x01\x00\x81\x00", 1002, "a message within another"),
        (b"\x81\x01\xff", 1007, "text that is not UTF-8"),
        (b"\x81\x01\xc3", 1007, "text that is not UTF-8"),
        (b"\x88\x01\x03", 1002, "a close code that may not be sent"),
        (b"\x88\x02\x03\xe7", 1002, "a close code that may not be sent"),
        (b"\x88\x02\x03\xed", 1002, "a close code that may not be sent"),
        (b"\x88\x02\x13\x88", 1002, "a close code that may not be sent"),
        (b"\x88\x03\x03\xe8\xff", 1007, "text that is not UTF-8"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", 1002, "a control frame in fragments"),
    ],
)
def test_what_is_broken_is_named_and_closed(data: bytes, code: int, reason: str) -> None:
    """And what came before it counts."""
    for pieces in cuts(frame(0x81, b"a") + data):
        turn = heard(client().resume(0), pieces)
        assert (turn.answers, turn.failed) == (1, failed(reason))
        assert sent(turn.send) == code.to_bytes(2, "big")


def test_a_client_has_to_mask() -> None:
    turn = WebSocketServer().resume(0).received(frame(0x81, b"a"))

    assert turn.failed == failed("a frame of a client is not masked")


def test_a_message_that_has_to_be_kept_may_not_be_endless() -> None:
    """A message that nobody looks at may be: it is not kept."""
    data = b"\x82\x7f" + (1 << 40).to_bytes(8, "big") + bytes(LARGEST_BYTES + 1)
    kind = WebSocketClient("a", "/", WebSocketOptions(), expected=bool)
    turn = kind.resume(0).received(data)

    assert turn.failed == failed("a message larger than 16 MiB")
    assert sent(turn.send) == (1009).to_bytes(2, "big")
    assert client().resume(0).received(data) == Turn()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "closed without a close frame"),
        (frame(0x81, b"a"), "closed without a close frame"),
        (frame(0x01, b"a"), "closed in the middle of a message"),
        (b"\x81", "closed in the middle of a frame"),
        (b"\x81\x05", "closed in the middle of a frame"),
        (b"\x81\x05hell", "closed in the middle of a frame"),
    ],
)
def test_a_peer_that_stops_is_told_by_where_it_stopped(data: bytes, reason: str) -> None:
    session = client().resume(0)

    assert heard(session, [data, b""] if data else [b""]).failed == failed(reason)


def test_a_peer_that_stops_during_the_upgrade() -> None:
    for kind in (client(), WebSocketServer()):
        assert kind.make(0, "").received(b"").failed == failed("closed before the upgrade")
        session = kind.make(0, "")
        session.received(b"H")
        assert session.received(b"").failed == failed("closed in the middle of the upgrade")


def test_goodbye_is_a_close_frame() -> None:
    """After it, nothing of the peer is a failure."""
    session = client().resume(0)
    goodbye = session.goodbye()

    assert sent(goodbye) == (1000).to_bytes(2, "big")
    assert session.received(frame(0x88, (1000).to_bytes(2, "big"))) == NOTHING
    turn = WebSocketServer().resume(0).received(goodbye)
    assert turn == Turn(
        frame(0x88, (1000).to_bytes(2, "big")), failed=failed("closed with 1000 (normal closure)", by_peer=True)
    )


def test_before_the_upgrade_there_is_nothing_to_say_goodbye_to() -> None:
    assert client().make(0, "").goodbye() == b""


@given(st.lists(st.binary(max_size=40), max_size=6), st.integers(0, 3))
def test_whatever_comes_nothing_is_raised(pieces: list[bytes], at: int) -> None:
    kind = client(subprotocols=("a",))
    session = (kind.make(0, ""), kind.resume(0), WebSocketServer().make(0, ""), WebSocketServer().resume(0))[at]
    session.begin()
    turn = heard(session, [*pieces, b""])

    assert turn.failed
    assert turn.failed.reason.isprintable()


@given(st.data())
def test_an_answer_with_any_bytes_in_it_is_accepted_or_named(data: st.DataObject) -> None:
    """Bytes of a good answer are replaced, removed or added."""
    session = client().make(0, "")
    answer = answered(session.begin().send) + frame(0x81, b"abc") + frame(0x88, b"")
    at = data.draw(st.integers(0, len(answer)))
    until = data.draw(st.integers(at, min(at + 4, len(answer))))
    turn = heard(session, [answer[:at] + data.draw(st.binary(max_size=4)) + answer[until:], b""])

    assert turn.failed
