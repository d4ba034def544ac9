"""An answer is judged the same however it is cut, and what follows it is left."""

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.errors import UsageError
from fourtuple.core.talk.content import MOST_BYTES
from fourtuple.core.talk.expectation import (
    Expectation,
    ExpectationKind,
    Judged,
    expect_size,
    expect_text,
    is_answer,
    parse_expectation,
    parse_statuses,
    shown,
)

WAITING, COMPLETE, WRONG = Judged.WAITING, Judged.COMPLETE, Judged.WRONG


@pytest.mark.parametrize(
    ("text", "expectation", "words"),
    [
        (r"PONG\r\n", expect_text(b"PONG\r\n"), r'is "PONG\r\n"'),
        ("32B", expect_size(32), "has 32 bytes"),
        ("len:32", expect_size(32), "has 32 bytes"),
        ("len:1KiB-2KiB", Expectation(ExpectationKind.LEN, sizes=range(1024, 2049)), "has 1,024 to 2,048 bytes"),
        (r"re:^OK\r", Expectation(ExpectationKind.RE, rb"^OK\r"), r"matches ^OK\r"),
        ("re:ü", Expectation(ExpectationKind.RE, "ü".encode()), "matches ü"),
        (r"until:\r\n", Expectation(ExpectationKind.UNTIL, b"\r\n"), r'ends with "\r\n"'),
        ("until:re:", Expectation(ExpectationKind.UNTIL, b"re:"), 'ends with "re:"'),
        (
            "status:200, 301,2xx,400-404",
            Expectation(
                ExpectationKind.STATUS,
                statuses=(range(200, 201), range(301, 302), range(200, 300), range(400, 405)),
            ),
            "has the status 200 or 301 or 2xx or 400-404",
        ),
        ("text:x", expect_text(b"text:x"), 'is "text:x"'),
        ("RE:x", expect_text(b"RE:x"), 'is "RE:x"'),
        (r"\x72e:x", expect_text(b"re:x"), 'is "re:x"'),
        ("OK: re:x", expect_text(b"OK: re:x"), 'is "OK: re:x"'),
        ('{"id": {{port}}}', expect_text(b'{"id": {port}}'), """is "{"id": {port}}\""""),
        ("re:^a{3}$", Expectation(ExpectationKind.RE, b"^a{3}$"), "matches ^a{3}$"),
        (r"\0\xff", expect_text(b"\0\xff"), r'is "\x00\xff"'),
    ],
)
def test_what_is_typed_is_an_expectation_with_its_words(text: str, expectation: Expectation, words: str) -> None:
    assert parse_expectation(text) == expectation
    assert str(expectation) == words


@pytest.mark.parametrize(
    "text",
    [
        "", "0B", "re:", "re:[", "re:(a+)+b", "until:", r"until:\q", "len:", "len:0", "len:x", "len:-5", "len:5-",
        "len:9-3", f"len:{MOST_BYTES + 1}", f"len:1-{MOST_BYTES + 1}", "len:1-2-3", "status:", "status:20",
        "status:0xx", "status:1000", "status:300-200", "status:200,", "status:ok", "status:2x", "status:200-x", r"\q",
        "{connection}", "until:{port}", "{connections}",
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_expectation(text)


def test_an_error_names_what_is_right() -> None:
    with pytest.raises(UsageError, match=r"'ok' is not a status.*status:2xx"):
        parse_statuses("200,ok")
    with pytest.raises(UsageError, match=r"'x' is not a size.*len:10-200"):
        parse_expectation("len:3-x")


@pytest.mark.parametrize(
    ("text", "pieces", "judged", "rest"),
    [
        (r"PONG\r\n", [b"PON", b"G\r\n"], COMPLETE, b""),
        (r"PONG\r\n", [b"PONG\r\nPO"], COMPLETE, b"PO"),
        ("PONG", [b"PO", b"X"], WRONG, b""),
        ("PONG", [b"", b"P"], WAITING, b""),
        ("PONG", [b"PINGPONG"], WRONG, b""),
        ("4B", [b"12", b"345"], COMPLETE, b"5"),
        ("len:4", [b"123"], WAITING, b""),
        ("len:2-4", [b"1"], WAITING, b""),
        ("len:2-4", [b"12"], COMPLETE, b""),
        ("len:2-4", [b"1234"], COMPLETE, b""),
        ("len:2-4", [b"1", b"23"], COMPLETE, b""),
        ("len:2-4", [b"12345"], WRONG, b""),
        (r"until:\r\n", [b"a\r", b"\nb"], COMPLETE, b"b"),
        (r"until:\r\n", [b"\r\r", b"\r"], WAITING, b""),
        ("until:x", [b"aaxx"], COMPLETE, b"x"),
        ("re:^OK", [b"O", b"K 1"], COMPLETE, b" 1"),
        ("re:OK", [b"NOT ", b"O"], WAITING, b""),
        ("re:^a*b", [b"a" * 65535, b"b"], COMPLETE, b""),
        ("re:^a*b", [b"a" * 65536 + b"b"], WRONG, b""),
        ("re:^a", [b"a" * 65537], COMPLETE, b"a" * 65536),
        ("re:^OK.*x", [b"O", b"X"], WRONG, b""),
        ("re:^OK.*x", [b"-"], WRONG, b""),
        ("re:^OK.*x", [b"", b"O", b"K"], WAITING, b""),
        ("re:^[0-9]{3} ", [b"250-"], WAITING, b""),
        ("re:^[0-9]{3} ", [b"250-", b"x"], WRONG, b""),
        ("re:OK", [b"-ERR"], WAITING, b""),
    ],
)
def test_pieces_are_judged_until_it_is_clear(text: str, pieces: list[bytes], judged: Judged, rest: bytes) -> None:
    judge = parse_expectation(text).judge()
    for piece in pieces[:-1]:
        assert judge.take(piece) is WAITING

    assert judge.take(pieces[-1]) is judged
    assert judge.rest == rest


FRAMED = st.one_of(
    st.binary(min_size=1, max_size=4).map(expect_text),
    st.integers(1, 6).map(expect_size),
    st.binary(min_size=1, max_size=3).map(lambda end: Expectation(ExpectationKind.UNTIL, end)),
)
CUTS = st.lists(st.integers(0, 12), max_size=4)


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, *cuts, len(data)} & set(range(len(data) + 1)))
    return [data[start:end] for start, end in itertools.pairwise(places)] or [data]


@given(FRAMED, st.binary(max_size=12), CUTS)
def test_a_framed_answer_is_the_same_however_it_is_cut(expectation: Expectation, data: bytes, cuts: list[int]) -> None:
    """The verdict, and together with what has not been taken yet, the rest."""
    whole = expectation.judge()
    verdict = whole.take(data)
    judge, taken = expectation.judge(), 0
    judged = WAITING
    for piece in in_pieces(data, cuts):
        judged = judge.take(piece)
        taken += len(piece)
        if judged is not WAITING:
            break

    assert expectation.framed
    assert judged is verdict
    if judged is COMPLETE:
        assert judge.rest + data[taken:] == whole.rest
        assert data.endswith(whole.rest)


@given(st.text("ab\r\n", min_size=1, max_size=3), st.binary(max_size=30), CUTS)
def test_an_end_is_found_where_find_finds_it(end: str, data: bytes, cuts: list[int]) -> None:
    data = bytes(b"ab\r\n"[byte % 4] for byte in data)
    judge, at = Expectation(ExpectationKind.UNTIL, end.encode()).judge(), data.find(end.encode())
    taken = 0
    for piece in in_pieces(data, cuts):
        judged = judge.take(piece)
        taken += len(piece)
        if judged is COMPLETE:
            assert data[: taken - len(judge.rest)] == data[: at + len(end)]
            return
    assert at < 0


@given(st.text("abO.*^$?", min_size=1, max_size=5), st.text("abO", max_size=20).map(str.encode), CUTS)
def test_a_pattern_is_complete_when_what_has_arrived_has_a_match(pattern: str, data: bytes, cuts: list[int]) -> None:
    try:
        judge = parse_expectation(f"re:{pattern}").judge()
    except UsageError:
        return
    come = b""
    for piece in in_pieces(data, cuts):
        come += piece
        judged = judge.take(piece)
        assert (judged is COMPLETE) == bool(re.search(pattern.encode(), come))
        if judged is WRONG:
            assert not any(re.search(pattern.encode(), data[:end]) for end in range(len(come), len(data) + 1))
        if judged is not WAITING:
            return


@pytest.mark.parametrize(
    ("texts", "right", "wrong"),
    [
        (["OK"], [b"OK"], [b"", b"O", b"OK1", b"NO"]),
        (["len:3"], [b"abc"], [b"ab", b"abcd"]),
        (["len:2-3"], [b"ab", b"abc"], [b"a", b"abcd"]),
        (["until:x"], [b"x", b"ax", b"axbx"], [b"", b"xa"]),
        (["re:^OK"], [b"OK", b"OK 1"], [b"", b"1 OK"]),
        (["OK", "len:2"], [b"OK12"], [b"OK", b"OK1", b"OK123", b"12OK"]),
        (["re:O", "K", "until:!"], [b"_OK!", b"OK!!"], [b"OK", b"_O!", b"O K!"]),
    ],
)
def test_a_whole_message_is_an_answer_or_not(texts: list[str], right: list[bytes], wrong: list[bytes]) -> None:
    """Also where it goes on after what a pattern has found."""
    parts = [parse_expectation(text) for text in texts]

    assert [is_answer(parts, message) for message in (*right, *wrong)] == [True] * len(right) + [False] * len(wrong)


def test_no_judge_keeps_more_than_its_bound() -> None:
    """A megabyte in pieces, without a verdict or with one: a number, the size of the end, the window."""
    ends = parse_expectation("until:0123456789").judge()
    pattern = parse_expectation("re:^x*y").judge()
    for _ in range(1024):
        ends.take(b"x" * 1024)
        pattern.take(b"x" * 1024)

    assert len(vars(ends)["_last"]) < 10
    assert len(vars(pattern)["_come"]) == 65536


def test_only_what_says_where_it_ends_is_framed() -> None:
    framed = {text: parse_expectation(text).framed for text in ("x", "3B", "len:3", "until:x", "len:3-4", "re:x")}

    assert [text for text, is_framed in framed.items() if not is_framed] == ["len:3-4", "re:x"]


def test_what_is_shown_is_short_and_printable() -> None:
    assert shown(b"-ERR \x1b[31m\r\n\xff" + b"x" * 100, 13) == r'"-ERR \x1b[31m\r\n\xff"…'
    assert shown("grüß".encode()) == '"grüß"'
