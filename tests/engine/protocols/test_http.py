"""HTTP as bytes: requests and answers, cut anywhere; answers that are none, that stop, or that nobody asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.errors import UsageError
from fourtuple.core.talk.session import HttpOptions
from fourtuple.engine.protocols.contract import NOTHING, Failure, FailureKind, Turn
from fourtuple.engine.protocols.http import HttpClient, HttpSession
from fourtuple.engine.protocols.http_server import HttpServer
from tests.engine.protocols.pieces import cuts, heard

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\nTrailer: x\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
RIGHT, WRONG = Turn(answers=1), Turn(wrong=1)
UNASKED = "an answer without a request"


def kind(path: str = "/", **options: object) -> HttpClient:
    return HttpClient(HttpOptions(**options), "example.org:81", path)  # type: ignore[arg-type]


def asking(**options: object) -> HttpSession:
    """A session that waits for an answer."""
    session = kind(**options).make(0, "")  # type: ignore[arg-type]
    assert session.begin() == Turn(ready=True)
    session.say(b"")
    return session


def failure(reason: str) -> Failure:
    return Failure(FailureKind.HTTP, reason)


def test_a_request_has_the_headers_that_it_needs() -> None:
    assert kind("/a?b").make(0, "").say(b"").send == (
        b"GET /a?b HTTP/1.1\r\nHost: example.org:81\r\nUser-Agent: fourtuple\r\n\r\n"
    )


def test_a_body_makes_it_a_post_with_its_length() -> None:
    send = kind().make(0, "").say(b"body").send

    assert send.startswith(b"POST / HTTP/1.1\r\n")
    assert send.endswith(b"\r\nContent-Length: 4\r\n\r\nbody")


def test_given_headers_take_the_place_of_added_ones() -> None:
    headers = (("host", "other"), ("user-agent", "mine"), ("X-Value", "ä"))
    send = kind(headers=headers, method="PUT").make(0, "").say(b"").send

    assert send == (
        b"PUT / HTTP/1.1\r\nhost: other\r\nuser-agent: mine\r\nX-Value: \xc3\xa4\r\nContent-Length: 0\r\n\r\n"
    )


def test_a_body_can_be_chunked() -> None:
    send = kind(headers=(("Transfer-Encoding", "chunked"),)).make(0, "").say(b"body").send

    assert b"Content-Length" not in send
    assert send.endswith(b"\r\n\r\n4\r\nbody\r\n0\r\n\r\n")


def test_a_message_may_begin_with_its_path() -> None:
    """A space ends it; the rest is the body."""
    one = HttpClient(HttpOptions(), "a")

    assert one.make(0, "").say(b"/items/7").send.startswith(b"GET /items/7 HTTP/1.1\r\n")
    assert one.make(0, "").say(b"/items/7 {} x").send.startswith(b"POST /items/7 HTTP/1.1\r\n")
    assert one.make(0, "").say(b"/items/7 {} x").send.endswith(b"\r\n\r\n{} x")


@pytest.mark.parametrize("message", [b"", b" x", b"/\xff", b"/\r\nHost: b"])
def test_a_path_that_is_none_is_a_failure(message: bytes) -> None:
    session = HttpClient(HttpOptions(), "a").make(0, "")

    assert session.say(message) == Turn(failed=failure("the request is not valid HTTP"))


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/a b", {}),
        ("/ä", {}),
        ("/", {"method": "GE T"}),
        ("/", {"method": "CONNECT"}),
        ("/", {"headers": (("A b", "c"),)}),
        ("/", {"headers": (("A", "b\r\nc"),)}),
        ("/", {"headers": (("content-length", "3"),)}),
        ("/", {"headers": (("Transfer-Encoding", "gzip"),)}),
        ("/", {"headers": (("Host", "a"), ("host", "b"))}),
    ],
)
def test_a_request_that_cannot_be_is_refused_before_anything_is_opened(path: str, options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        kind(path, **options)


@pytest.mark.parametrize(
    ("answer", "turn"),
    [
        (ANSWER, RIGHT),
        (CHUNKED, RIGHT),
        (EARLY + EARLY + ANSWER, RIGHT),
        (b"HTTP/1.1 204 No Content\r\n\r\n", RIGHT),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", RIGHT),
        (b"HTTP/1.1 302\r\nContent-Length: 0\r\n\r\n", RIGHT),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 1\r\n\r\n!", WRONG),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", Turn(wrong=1, last=True)),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", Turn(answers=1, last=True)),
        (b"HTTP/1.0 200 OK\r\nconnection: X, Keep-Alive\r\nContent-Length: 2\r\n\r\nok", RIGHT),
        (b"HTTP/1.0 304 Not Modified\r\nConnection: keep-alive\r\n\r\n", RIGHT),
        (b"HTTP/1.0 500 No\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n", WRONG),
        (
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 0\r\n\r\n",
            Turn(answers=1, last=True),
        ),
        (
            b"HTTP/1.1 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 0\r\n\r\n",
            Turn(answers=1, last=True),
        ),
    ],
)
def test_an_answer_is_the_same_however_it_is_cut(answer: bytes, turn: Turn) -> None:
    for pieces in cuts(answer):
        session = asking()
        assert heard(session, pieces) == turn, pieces
        assert session.idle is not turn.last


def test_http_1_0_with_keep_alive_takes_the_next_request_on_the_same_connection() -> None:
    """RFC 9112, 9.3: the connection persists; unless the request said that it does not, or the body ends with it."""
    answer = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n"
    session = asking()

    session.say(b"")
    assert session.received(answer + b"Content-Length: 2\r\n\r\nok").send.startswith(b"GET / ")
    assert session.received(answer + b"\r\nto the end") == NOTHING
    assert session.received(b"") == Turn(answers=1, last=True)

    closing = asking(headers=(("Connection", "close"),))
    assert closing.received(answer + b"Content-Length: 2\r\n\r\nok") == Turn(answers=1, last=True)


def test_an_answer_to_head_has_no_body() -> None:
    session = asking(method="HEAD")

    assert session.received(b"HTTP/1.1 200 OK\r\nContent-Length: 70000\r\n\r\n") == RIGHT
    assert session.idle


def test_the_expected_status_can_be_named() -> None:
    session = asking(status=(range(404, 405),))

    assert session.received(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") == RIGHT
    session.say(b"")
    assert session.received(ANSWER) == WRONG


def test_an_answer_without_a_length_ends_with_the_connection() -> None:
    session = asking()

    assert session.received(b"HTTP/1.1 200 OK\r\n\r\nsome") == NOTHING
    assert session.received(b"") == Turn(answers=1, last=True)
    assert session.received(b"") == NOTHING


def test_what_is_said_too_early_is_sent_after_the_answer() -> None:
    session = asking()
    assert session.say(b"x") == NOTHING

    turn = session.received(ANSWER)
    assert (turn.answers, turn.send[:4]) == (1, b"POST")
    assert session.received(ANSWER) == RIGHT
    assert session.idle


def test_the_end_of_an_idle_connection_is_nothing_of_http() -> None:
    session = asking()
    session.received(ANSWER)

    assert session.received(b"") == NOTHING


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "ended without an answer"),
        (ANSWER[:9], "ended in the middle of an answer"),
        (ANSWER[:-1], "ended in the middle of an answer"),
        (CHUNKED[:-1], "ended in the middle of an answer"),
        (EARLY, "ended in the middle of an answer"),
        (b"SSH-2.0-OpenSSH_9.2p1\r\n", 'not HTTP: "SSH-2.0-OpenSSH_9.2p1"'),
        (EARLY + b"garbage", 'not HTTP: "garbage"'),
        (b"\x15\x03\x03\x00\x02\x02\x28", "not HTTP but TLS"),
        (b"\r\n\r\n" + ANSWER, "not HTTP"),
        (b"HTTP/2 200 OK\r\n\r\n", "a malformed status line"),
        (b"HTTP/1.1 OK\r\n\r\n", "a malformed status line"),
        (b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "a malformed header"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "a malformed Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "a malformed Content-Length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "an unknown Transfer-Encoding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello\r\n", "a malformed chunk"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nhello\r\n", "a malformed chunk"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000, "headers that are too long"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "a switch to another protocol"),
        (b"HTTP/1.1 042 What\r\n\r\n", "malformed HTTP"),
    ],
)
def test_what_is_no_answer_is_a_failure_with_its_reason(data: bytes, reason: str) -> None:
    """And nothing follows it."""
    session = asking()
    turn = session.received(data) if data else NOTHING
    turn = turn if turn.failed else session.received(b"")

    assert turn == Turn(failed=failure(reason))
    assert not session.idle
    assert session.received(ANSWER) == session.received(b"") == session.say(b"") == NOTHING


def test_an_upgrade_that_is_granted_is_a_failure() -> None:
    session = asking(headers=(("Upgrade", "h2c"), ("Connection", "Upgrade")))

    turn = session.received(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nPRI")
    assert turn == Turn(failed=failure("a switch to another protocol"))


@pytest.mark.parametrize(
    ("second", "reason"),
    [
        (ANSWER, "status 200 without a request"),
        (b"\0", "not HTTP"),
        (b"220 ready\r\n", 'not HTTP: "220"'),
        (b"HTTP/1.1 408 Request Timeout\r\n\r\n", "status 408 without a request"),
        (b"HTTP/1.1 ", UNASKED),
    ],
)
def test_two_answers_to_one_request_are_one_and_a_failure(second: bytes, reason: str) -> None:
    """Whether the second comes with the first, or later to an idle session that was thrown away."""
    together, apart = asking(), asking()
    assert apart.received(ANSWER) == RIGHT

    assert together.received(ANSWER + second) == Turn(answers=1, failed=failure(reason))
    assert kind().resume(0).received(second) == Turn(failed=failure(reason))


@given(st.lists(st.binary(max_size=60) | st.sampled_from([ANSWER, CHUNKED, EARLY, b"", ANSWER[:20]]), max_size=6))
def test_no_data_makes_either_end_raise(pieces: list[bytes]) -> None:
    for session in (asking(), asking(method="HEAD"), kind().resume(0), HttpServer().make(0, "")):
        turn = heard(session, pieces)
        assert turn.failed is None or turn.failed.reason.isprintable()


REQUEST = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize(
    "request_", [REQUEST, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 3, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"]
)
def test_the_server_answers_every_request_however_it_is_cut(request_: bytes) -> None:
    for pieces in cuts(request_):
        session = HttpServer().make(0, "")
        turn = heard(session, pieces)
        assert turn.answers == turn.send.count(b"HTTP/1.1 200 OK") == request_.count(b"HTTP/1.1")
        assert turn.send.count(b"ok\n") == (0 if b"HEAD" in request_ else turn.answers)
        assert session.idle


@pytest.mark.parametrize("head", [b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"])
def test_the_server_closes_when_the_client_asks_for_it(head: bytes) -> None:
    turn = HttpServer().make(0, "").received(head)

    assert turn.send.endswith(b"\r\nConnection: close\r\n\r\nok\n")
    assert turn.failed == Failure(FailureKind.HTTP, "the client asked to close", by_peer=True)


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\x00", b"hello\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"])
def test_the_server_answers_garbage_with_400(garbage: bytes) -> None:
    turn = HttpServer().make(0, "").received(garbage)

    assert turn.send.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert turn.failed is not None
    assert not turn.failed.by_peer


def test_the_server_grants_no_tunnel() -> None:
    session = HttpServer().make(0, "")

    assert session.received(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").send.startswith(b"HTTP/1.1 405 ")
    assert session.idle


def test_the_server_is_ready_before_the_first_request() -> None:
    assert HttpServer().make(0, "").begin() == Turn(ready=True)


def test_the_server_lets_a_client_go_on_that_waits_for_it() -> None:
    session = HttpServer().make(0, "")
    head = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"

    assert session.received(head) == Turn(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert session.received(b"hi").answers == 1


def test_a_request_that_stops_is_said() -> None:
    session = HttpServer().make(0, "")
    session.received(REQUEST[:-1])

    assert session.received(b"") == Turn(failed=failure("ended in the middle of a request"))


def test_both_ends_understand_each_other() -> None:
    one, other = kind().make(0, ""), HttpServer().make(0, "")
    for message in (b"", b"body"):
        assert one.received(other.received(one.say(message).send).send) == RIGHT
        assert one.idle
        assert other.idle
