"""Requests answered by column: what is answered is what a session answers the same, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.engine.protocols.contract import Turn
from fourtuple.engine.protocols.http_server import FORMS, HttpReplies, HttpServer
from tests.engine.protocols.test_http_answers import rows

GET = b"GET /a/1?b HTTP/1.1\r\nHost: localhost:81\r\nAccept: */*\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
WAITING = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\nx"
REQUESTS = [GET, POST, HEAD, CHUNKED, WAITING]


def replies(*known: bytes) -> HttpReplies:
    made = HttpReplies(HttpServer())
    for request in known:
        assert made.replied(*rows(request))[0].all()
    return made


def replied(made: HttpReplies, *requests: bytes) -> list[bytes | None]:
    """The answer to each request; None: it is left to a session."""
    right, answers, lengths = made.replied(*rows(*requests))
    return [
        answer[:length].tobytes() if known else None
        for known, answer, length in zip(right, answers, lengths, strict=True)
    ]


def judged(request: bytes) -> tuple[bytes, bool]:
    """What a session sends, and whether it answers one request and goes on."""
    session = HttpServer().make(0, "")
    turn = session.received(request)
    return turn.send, session.idle and turn == Turn(turn.send, answers=1)


def test_requests_of_several_forms_are_answered_at_once() -> None:
    """Each as a session would; other paths, values and bodies of the same length have the same form."""
    others = [
        GET.replace(b"/a/1", b"/b/2"),
        GET.replace(b"localhost", b"elsewhere"),
        POST.replace(b"body", b"\0\r\n\n"),
    ]

    assert replied(replies(), *REQUESTS, *others) == [judged(request)[0] for request in (*REQUESTS, *others)]


@pytest.mark.parametrize(
    "request_",
    [
        b"",
        GET[:-1],
        GET + GET,
        POST + b"x",
        GET.replace(b"1.1\r\n", b"1.0\r\n"),
        GET.replace(b"Accept: */*", b"Connection: close"),
        GET.replace(b"\r\nAccept", b"\nAccept"),
        GET.replace(b"Accept:", b"Accept:\r\n "),
        b"garbage",
    ],
)
def test_what_is_not_one_whole_request_is_left_to_a_session(request_: bytes) -> None:
    assert replied(replies(), request_, GET) in ([None, judged(GET)[0]], [None, None])
    assert replied(replies(*REQUESTS), request_, GET) == [None, judged(GET)[0]]


def test_so_many_forms_are_known_at_a_time() -> None:
    """Longer and longer paths; the oldest are learned anew."""
    made = replies()
    requests = [GET.replace(b"/a", b"/" + b"a" * size) for size in range(3 * FORMS)]

    for request in requests:
        assert replied(made, request) == [judged(request)[0]]
    answered = replied(made, *requests)
    assert answered.count(None) < 3 * FORMS
    assert all(answer in (None, judged(request)[0]) for answer, request in zip(answered, requests, strict=True))


@given(
    st.sampled_from(REQUESTS),
    st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from(b"\0\t\n\r :;,/019acA-\x7f\x80\xff")), min_size=1, max_size=4
    ),
)
def test_what_is_answered_is_answered_the_same_by_a_session(request_: bytes, changes: list[tuple[int, int]]) -> None:
    """With any bytes changed."""
    changed = bytearray(request_)
    for at, byte in changes:
        changed[at % len(changed)] = byte

    answer = replied(replies(request_), bytes(changed))[0]
    assert answer is None or (answer, True) == judged(bytes(changed))


@pytest.mark.parametrize("request_", REQUESTS)
def test_every_single_byte_of_a_request_is_tried(request_: bytes) -> None:
    """All 256 values at each position."""
    made = replies(request_)
    form, answer = made._known[0]
    data = np.repeat(np.frombuffer(request_, np.uint8)[None, :], 256, axis=0)
    for at in range(len(request_)):
        changed = data.copy()
        changed[:, at] = np.arange(256)
        for row in changed[form.matches(changed, np.full(256, len(request_)))]:
            assert judged(row.tobytes()) == (answer.tobytes(), True)
