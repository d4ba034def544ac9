"""Answers judged by column: what is recognized is what h11 judges the same, and nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fourtuple.core.talk.session import HttpOptions
from fourtuple.engine.protocols.contract import Turn
from fourtuple.engine.protocols.http import HttpClient
from fourtuple.engine.protocols.http_answers import Learned

DATE = b"Date: Sun, 29 Nov 2026 10:07:51 GMT\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nServer: nginx\r\n" + DATE + b"Content-Length: 3\r\nConnection: keep-alive\r\n\r\nok\n"
CHUNKED = b"HTTP/1.1 200 OK\r\n" + DATE + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
ABSENT = b"HTTP/1.1 404 Not Found\r\nX-Request: 7f3a\r\nContent-Length: 0\r\n\r\n"
EMPTY = b"HTTP/1.1 204 No Content\r\nServer:\r\n\r\n"
KIND = HttpClient(HttpOptions(), "a", "/")


def learn(response: bytes, kind: HttpClient = KIND) -> Learned | None:
    return Learned.from_response(kind, b"", response)


def rows(*responses: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    data = np.full((len(responses), max(map(len, responses)) + 9), 0x55, np.uint8)
    for row, response in zip(data, responses, strict=True):
        row[: len(response)] = np.frombuffer(response, np.uint8)
    return data, np.array([len(response) for response in responses], np.int32)


def matched(learned: Learned | None, *responses: bytes) -> list[bool]:
    assert learned is not None
    return list(map(bool, learned.matches(*rows(*responses))))


def judged(response: bytes) -> tuple[Turn, bool]:
    """What a session makes of it, and whether it can be thrown away."""
    session = KIND.make(0, "")
    session.say(b"")
    turn = session.received(response)
    return turn, session.idle


def test_answers_with_another_date_and_body_are_recognized() -> None:
    later = PLAIN.replace(b"29 Nov", b"30 Dec").replace(b"ok\n", b"no\0")

    assert matched(learn(PLAIN), PLAIN, later) == [True, True]
    assert matched(learn(CHUNKED), CHUNKED, CHUNKED.replace(b":51", b":52")) == [True, True]


@pytest.mark.parametrize(
    "other",
    [
        PLAIN[:-1],
        PLAIN + b"x",
        PLAIN + PLAIN,
        PLAIN.replace(b"200 OK", b"500 OK"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"Length: 3", b"Length: 2"),
        PLAIN.replace(b"keep-alive", b"close     "),
        PLAIN.replace(b"nginx\r\n", b"ngi\r\n\r\n"),
        PLAIN.replace(b"nginx", b"n\ninx"),
        PLAIN.replace(b"nginx", b"n\0inx"),
        PLAIN.replace(b"Server", b"Serve "),
        CHUNKED,
        b"",
    ],
)
def test_what_differs_in_what_decides_is_left_to_a_session(other: bytes) -> None:
    assert matched(learn(PLAIN), other, PLAIN) == [False, True]


def test_a_chunk_is_framing() -> None:
    """Data in place of a chunk could be the end of the answer."""
    assert matched(learn(CHUNKED), CHUNKED.replace(b"abc", b"\r\n0")) == [False]


def test_it_is_said_how_an_answer_is_judged() -> None:
    right, wrong, empty = learn(PLAIN), learn(ABSENT), learn(EMPTY)

    assert right
    assert wrong
    assert empty
    assert (right.turn, wrong.turn, empty.turn) == (Turn(answers=1), Turn(wrong=1), Turn(answers=1))
    assert matched(wrong, ABSENT.replace(b"7f3a", b"0000"), PLAIN) == [True, False]
    assert matched(empty, EMPTY) == [True]


def test_the_answer_to_head_is_a_head() -> None:
    head = PLAIN.removesuffix(b"ok\n")

    assert learn(head) is None
    assert matched(learn(head, HttpClient(HttpOptions(method="HEAD"), "a", "/")), head, PLAIN) == [True, False]


@pytest.mark.parametrize(
    "response",
    [
        b"",
        PLAIN[:-1],
        PLAIN + b"x",
        PLAIN.replace(b"keep-alive", b"close"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"keep-alive", b"X"),
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" + PLAIN,
        PLAIN.replace(b"\r\nDate", b"\nDate"),
        PLAIN.replace(b"Server: nginx", b"Server:\r\n nginx"),
        b"garbage",
    ],
)
def test_what_is_no_whole_answer_with_another_after_it_is_not_learned(response: bytes) -> None:
    assert learn(response) is None


def test_no_rows_and_narrow_rows_are_none() -> None:
    learned = learn(PLAIN)
    assert learned

    assert list(learned.matches(np.zeros((0, 500), np.uint8), np.zeros(0, np.int32))) == []
    assert list(learned.matches(np.zeros((2, 5), np.uint8), np.full(2, 5, np.int32))) == [False, False]


@given(
    st.sampled_from([PLAIN, CHUNKED, ABSENT, EMPTY]),
    st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from(b"\0\t\n\r :;,0123459acA-\x7f\x80\xff")), min_size=1, max_size=4
    ),
)
def test_what_is_recognized_is_judged_the_same_by_h11(response: bytes, changes: list[tuple[int, int]]) -> None:
    """With any bytes changed."""
    changed = bytearray(response)
    for at, byte in changes:
        changed[at % len(changed)] = byte
    learned = learn(response)
    assert learned

    if matched(learned, bytes(changed)) == [True]:
        assert judged(bytes(changed)) == (learned.turn, True)


@pytest.mark.parametrize("response", [PLAIN, CHUNKED, ABSENT, EMPTY])
def test_every_single_byte_is_tried(response: bytes) -> None:
    """All 256 values at each position: what is recognized, h11 judges the same, and a digit of the date is free."""
    learned = learn(response)
    assert learned
    data = np.repeat(np.frombuffer(response, np.uint8)[None, :], 256, axis=0)
    recognized = 0
    for at in range(len(response)):
        changed = data.copy()
        changed[:, at] = np.arange(256)
        for row in changed[learned.matches(changed, np.full(256, len(response)))]:
            recognized += 1
            assert judged(row.tobytes()) == (learned.turn, True)
    assert recognized >= len(response)
