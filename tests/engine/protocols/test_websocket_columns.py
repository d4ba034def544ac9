"""Many WebSockets at once: what the columns accept, the session of each connection accepts, too."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from wsproto.frame_protocol import FrameProtocol, Opcode

from fourtuple.core.talk.session import WebSocketOptions
from fourtuple.engine.protocols.contract import Turn
from fourtuple.engine.protocols.websocket import ManyWebSockets, WebSocketClient, WebSocketServer
from fourtuple.engine.protocols.websocket_frames import echoes, frame, frames, is_whole_message, pongs, whole_frames

NUMBERS = np.arange(11)
PING, PONG, TEXT, BINARY = 0x89, 0x8A, 0x81, 0x82


def table(rows: Sequence[bytes], width: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The rows as they are received: in a buffer with the rest of what was in it before."""
    width = max(width, *map(len, rows), 1)
    filled = b"".join(row + b"\xaa" * (width - len(row)) for row in rows)
    return np.frombuffer(filled, np.uint8).reshape(len(rows), width), np.array(list(map(len, rows)), np.int32)


def client(**options: object) -> WebSocketClient:
    return WebSocketClient("127.0.0.1:8080", "/", WebSocketOptions(**options))  # type: ignore[arg-type]


def many(kind: WebSocketClient) -> ManyWebSockets:
    assert kind.many is not None
    return kind.many


def answers(kind: WebSocketClient, numbers: NDArray[np.int64] = NUMBERS) -> list[bytes]:
    """What a server says to the requests of these connections."""
    return [WebSocketServer().make(0, "").received(row.tobytes()).send for row in many(kind).begin(numbers)]


def established(kind: WebSocketClient, rows: Sequence[bytes]) -> list[bool]:
    accepted: list[bool] = many(kind).established(NUMBERS[: len(rows)], *table(rows)).tolist()
    return accepted


def server_reads(data: bytes) -> list[tuple[Opcode, bytes | str | tuple[int, str]]]:
    server = FrameProtocol(False, [])
    server.receive_bytes(data)
    return [(each.opcode, each.payload) for each in server.received_frames()]


def test_the_rows_of_requests_are_those_of_the_sessions() -> None:
    kind = client(subprotocols=("a",), headers=(("Origin", "x"),))
    rows = many(kind).begin(np.array([5, 70_000, 2**40]))

    assert [row.tobytes() for row in rows] == [kind.make(number, "").begin().send for number in (5, 70_000, 2**40)]


def test_answers_with_one_form_are_accepted_at_once() -> None:
    kind = client()

    assert established(kind, answers(kind)) == [True] * 11


def test_a_date_that_changes_is_a_new_form() -> None:
    """Also in the middle of a batch, and forms that come back."""
    kind = client()
    dated = [
        row.replace(b"\r\n\r\n", b"\r\nDate: %d\r\n\r\n" % (number // 4)) for number, row in enumerate(answers(kind))
    ]

    assert established(kind, dated) == [True] * 11
    assert established(kind, dated[:5]) == [True] * 5


def test_many_forms_are_left_to_the_sessions() -> None:
    """Four of them are learnt per call, and known in the next, so that cookies cost no more than sessions do."""
    kind = client()
    cookies = [row.replace(b"\r\n\r\n", b"\r\nA: %03d\r\n\r\n" % number) for number, row in enumerate(answers(kind))]

    assert sum(established(kind, cookies)) == 4
    assert sum(established(kind, cookies)) == 8
    assert kind.asked(10).received(cookies[10]).ready


def test_the_answer_to_another_connection_is_not_accepted() -> None:
    kind = client()
    rows = answers(kind)

    assert established(kind, [rows[0], rows[2], rows[1], rows[3]]) == [True, False, False, True]


def test_a_value_that_is_said_twice_makes_no_form() -> None:
    """Otherwise the wrong one of them would be compared."""
    kind = client()
    copied = [
        b"HTTP/1.1 101 OK\r\nCopy: " + row.split(b"Accept: ")[1][:28] + row[row.index(b"\r\n") :]
        for row in answers(kind)
    ]
    copied[1] = copied[1][:60] + copied[0][60:]

    assert established(kind, copied[:2]) == [False, False]
    assert kind.asked(0).received(copied[0]).ready
    assert kind.asked(1).received(copied[1]).failed


def test_what_is_no_answer_yet_is_not_accepted() -> None:
    """Nothing, a part, or an answer with a frame after it: for the session, which takes it in."""
    kind = client()
    rows = answers(kind)
    rows[0], rows[1], rows[2] = b"", rows[1][:-1], rows[2] + b"\x81\x01a"

    assert established(kind, rows) == [False] * 3 + [True] * 8
    assert established(kind, rows) == [False] * 3 + [True] * 8


@given(st.data())
def test_the_columns_never_accept_what_a_session_refuses(data: st.DataObject) -> None:
    """Bytes of the answers are replaced, removed or added, before and after a form is known."""
    kind = client(subprotocols=data.draw(st.sampled_from([(), ("a",)])))
    rows = answers(kind, NUMBERS[:3])
    for _ in range(2):
        for number, row in enumerate(rows):
            at = data.draw(st.integers(0, len(row)))
            until = data.draw(st.integers(at, min(at + 2, len(row))))
            rows[number] = row[:at] + data.draw(st.binary(max_size=2)) + row[until:]
        for number, accepted in enumerate(established(kind, rows)):
            session = kind.asked(number)
            turn = session.received(rows[number]) if rows[number] else Turn()
            assert not accepted or (turn == Turn(ready=True) and session.idle)
        rows = answers(kind, NUMBERS[:3])


@pytest.mark.parametrize("size", [0, 1, 5, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_a_server_reads_the_frames_of_the_columns(size: int, opcode: Opcode) -> None:
    payload = b"x" * size
    made = frames(payload, 3, opcode=opcode)

    expected = payload.decode() if opcode is Opcode.TEXT else payload
    assert [server_reads(row.tobytes()) for row in made] == [[(opcode, expected)]] * 3


def test_each_frame_has_a_mask_of_its_own() -> None:
    """RFC 6455, 5.3: fresh for each frame. It comes from the random bytes that are handed in, four for each row."""
    made = frames(b"hello", 100)
    known = frames(b"hello", 2, lambda count: bytes(range(count)))

    assert len({row.tobytes() for row in made}) == 100
    assert known[:, 2:6].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_each_row_can_have_a_payload_of_its_own() -> None:
    payloads = np.frombuffer(b"abcdef", np.uint8).reshape(2, 3)

    assert [server_reads(row.tobytes()) for row in frames(payloads, 2)] == [[(1, "abc")], [(1, "def")]]


def test_the_client_sends_the_type_that_was_asked_for() -> None:
    assert server_reads(many(client()).say(b"a", 1).tobytes()) == [(Opcode.TEXT, "a")]
    assert server_reads(many(client(binary=True)).say(b"a", 1).tobytes()) == [(Opcode.BINARY, b"a")]


def test_whole_frames_are_found_by_type() -> None:
    long = bytes((TEXT, 126)) + (200).to_bytes(2, "big") + b"x" * 200
    rows = [b"\x81\x02ab", b"\x82\x01\xff", b"\x89\x00", b"\x8a\x01\xff", long]

    assert whole_frames(*table(rows)).tolist() == [1, 2, 9, 10, 1]
    assert is_whole_message(*table(rows)).tolist() == [True, True, False, False, True]


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"\x81",
        b"\x81\x02a",  # a part
        b"\x81\x02abc",  # and more
        b"\x81\x81abcde",  # masked
        b"\x82\x80" + bytes(128),
        b"\x82\x7e" + bytes(126),
        b"\x01\x01a",  # the first fragment
        b"\x80\x01a",  # the last one
        b"\xc1\x01a",  # a reserved bit
        b"\x88\x00",  # a close
        b"\x83\x00",  # an unknown opcode
        b"\x81\x02\xc3\xa4",  # for the session to decode
        b"\x82\x7e\x00\x01a",  # a length in more bytes than it needs
        b"\x89\x7e\x00\x80" + bytes(128),  # a large ping
    ],
)
def test_what_is_no_whole_frame_is_left_to_the_session(row: bytes) -> None:
    """In the company of a good one, with what other data has left behind it."""

    assert whole_frames(*table([row, b"\x81\x01a"], 140)).tolist() == [0, 1]
    assert whole_frames(*table([row])).tolist() == [0]


@given(
    st.lists(
        st.one_of(
            st.binary(max_size=8),
            st.builds(
                lambda first, size, body: bytes((first, size)) + body,
                st.sampled_from([TEXT, BINARY, PING, PONG, 0x88, 0x01, 0x80, 0xC1]),
                st.integers(0, 255),
                st.binary(max_size=6),
            ),
            st.builds(
                lambda first, size, body: (
                    bytes((first, 126)) + size.to_bytes(2, "big") + (body * 200)[:200][: size + 1]
                ),
                st.sampled_from([TEXT, BINARY, PING]),
                st.integers(0, 200),
                st.binary(min_size=1, max_size=2),
            ),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_whole_frames_are_whole_for_a_session(rows: list[bytes]) -> None:
    """It counts one answer for a message, none for a ping or a pong, sees nothing wrong, and has nothing left."""
    for row, opcode in zip(rows, whole_frames(*table(rows)).tolist(), strict=True):
        session = client().resume(0)
        turn = session.received(row) if row else Turn()
        if opcode:
            assert (turn.failed, session.idle) == (None, True)
            assert turn.answers == (opcode in (1, 2))
            assert bool(turn.send) == (opcode == Opcode.PING)


def message(payload: bytes, opcode: int = Opcode.TEXT) -> bytes:
    return frame(opcode, payload, masked=False)


def test_messages_that_are_as_expected_are_answers() -> None:
    """Of every length, text or binary; four different ones per call, and the rest is for sessions to judge."""
    kind = WebSocketClient("a", "/", WebSocketOptions(), expected=lambda payload: not payload.startswith(b"wrong"))
    right = [message(b""), message(b"x" * 125), message(b"x" * 126), message(b"right", Opcode.BINARY)]
    rows = [*right[:3], message(b"wrong"), *right[:3], message(b"wrong"), right[3], b"\x89\0"]

    assert kind.many.answered(*table(rows)).tolist() == [True, True, True, False, True, True, True, False, False, False]
    assert kind.many.answered(*table([*right, *right])).tolist() == [True] * 8


@given(
    st.lists(st.sampled_from([b"a", b"b", b"ab", b"\xff", b"x" * 126]).map(message) | st.binary(max_size=4), min_size=1)
)
def test_what_the_columns_expect_a_session_expects(rows: list[bytes]) -> None:
    kind = WebSocketClient("a", "/", WebSocketOptions(), expected=lambda payload: payload in (b"a", b"x" * 126))
    for row, right in zip(rows, kind.many.answered(*table(rows)), strict=True):
        session = kind.resume(0)
        session.say(b"")  # the columns are asked only about what answers something
        assert not right or session.received(row) == Turn(answers=1)


def test_no_rows_are_no_frames() -> None:
    none = np.zeros((0, 64), np.uint8), np.zeros(0, np.int32)

    assert len(whole_frames(*none)) == len(many(client()).established(NUMBERS[:0], *none)) == 0
    assert len(pongs(*none)[0]) == len(echoes(*none)[0]) == len(WebSocketServer().replies.greeted(*none)[0]) == 0


def test_pings_are_answered_with_their_own_payload() -> None:
    payloads = [b"", b"a", b"abcdefgh", b"x" * 125]
    rows, sizes = pongs(*table([bytes((PING, len(payload))) + payload for payload in payloads], 300))

    heard = [server_reads(row[:size].tobytes()) for row, size in zip(rows, sizes, strict=True)]
    assert heard == [[(Opcode.PONG, payload)] for payload in payloads]


def accepted(kind: WebSocketServer, rows: Sequence[bytes]) -> list[bytes]:
    """The answers of the columns; nothing for a row that is left to a session."""
    mask, made, sizes = kind.replies.greeted(*table(rows))
    assert mask.tolist() == (sizes > 0).tolist()
    return [row[:size].tobytes() for row, size in zip(made, sizes, strict=True)]


def requests(number: int = 5, **options: object) -> list[bytes]:
    return [row.tobytes() for row in many(client(**options)).begin(np.arange(number))]


def by_session(request: bytes) -> bytes:
    return WebSocketServer().make(0, "").received(request).send


def test_requests_are_answered_as_by_a_session() -> None:
    """Also of several programs at once, with subprotocols or without; the forms are known afterwards."""
    kind = WebSocketServer()
    rows = [*requests(), *requests(subprotocols=("abc", "d")), *requests(headers=(("Origin", "x"),))]

    for _ in range(2):
        assert accepted(kind, rows) == [by_session(row) for row in rows]


def test_other_requests_are_left_to_a_session() -> None:
    """A part, more than a request, a key that is none, and one that is refused; nothing before them is lost."""
    kind, rows = WebSocketServer(), requests(9)
    key = rows[3].index(b"Key: ") + 5
    rows[1] = rows[1][:-1]
    rows[2] += b"\x81"
    rows[3] = rows[3][:key] + b"?" + rows[3][key + 1 :]
    rows[4] = rows[4][:key] + rows[4][key : key + 22] + b"A=" + rows[4][key + 24 :]
    rows[5] = b""
    rows[6] = rows[6].replace(b"13", b"14")

    for _ in range(2):
        assert [bool(answer) for answer in accepted(kind, rows)] == [True, *[False] * 6, True, True]


@given(st.data())
def test_the_columns_never_accept_what_the_server_refuses(data: st.DataObject) -> None:
    kind = WebSocketServer()
    for _ in range(2):
        rows = requests(3)
        for number, row in enumerate(rows):
            at = data.draw(st.integers(0, len(row)))
            until = data.draw(st.integers(at, min(at + 2, len(row))))
            rows[number] = row[:at] + data.draw(st.binary(max_size=2)) + row[until:]
        for row, answer in zip(rows, accepted(kind, rows), strict=True):
            session = WebSocketServer().make(0, "")
            assert not answer or (session.received(row) == Turn(answer, ready=True) and session.idle)
        accepted(kind, requests(3))


FRAMES = [
    frames(payload, 1, opcode=opcode).tobytes()
    for payload in (b"", b"abcde", b"x" * 125, b"y" * 126, b"z" * 300, "ä".encode(), b"\xff" * 7)
    for opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.PING, Opcode.PONG)
    if opcode < Opcode.CLOSE or len(payload) <= 125
]


def echoed(rows: Sequence[bytes]) -> list[tuple[int, bytes]]:
    opcodes, made, sizes = echoes(*table(rows))
    return [(int(code), row[:size].tobytes()) for code, row, size in zip(opcodes, made, sizes, strict=True)]


def test_messages_and_pings_are_answered_as_by_a_session() -> None:
    """All at once; text that is not ASCII is left to the session."""
    for row, (opcode, answer) in zip(FRAMES, echoed(FRAMES), strict=True):
        turn = WebSocketServer().resume(0).received(row)
        if opcode:
            assert (turn.send, turn.failed) == (answer, None)
    assert [opcode for opcode, _ in echoed(FRAMES)].count(0) == 2


@pytest.mark.parametrize(
    "row",
    [b"\x82\x7da", b"\x82\x00", b"\x82\x01a", b"\x88\x80abcd", b"\x02\x80abcd", b"\xc2\x80abcd", b"\x82\x80abcde"],
)
def test_what_a_client_may_not_send_or_ends_with_is_left_to_a_session(row: bytes) -> None:
    """Frames without a mask, a close, fragments, a reserved bit, and more than a frame."""

    assert echoed([row, b"\x82\x80abcd"]) == [(0, b""), (2, b"\x82\x00")]


@given(st.lists(st.sampled_from(FRAMES), min_size=1, max_size=6), st.data())
def test_what_the_columns_answer_a_session_answers_alike(rows: list[bytes], data: st.DataObject) -> None:
    for number, row in enumerate(rows):
        at = data.draw(st.integers(0, min(9, len(row))))
        until = data.draw(st.integers(at, min(at + 2, len(row))))
        rows[number] = row[:at] + data.draw(st.binary(max_size=2)) + row[until:]
    for row, (opcode, answer) in zip(rows, echoed(rows), strict=True):
        session = WebSocketServer().resume(0)
        turn = session.received(row) if row else Turn()
        if opcode:
            assert (turn.send, turn.failed, session.idle) == (answer, None, True)
            assert turn.answers == (opcode in (Opcode.TEXT, Opcode.BINARY))
