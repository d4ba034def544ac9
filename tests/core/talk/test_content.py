"""Text with escapes is its bytes; a size is that many bytes to send, and any bytes of that number to expect."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.errors import UsageError
from fourtuple.core.talk.content import MOST_BYTES, check_size, parse_content, parse_expected, parse_text


@pytest.mark.parametrize("text", ["ping", "32 bottles", "12", "1.5", "GET / HTTP/1.0\r\n\r\n", "grüß", "B"])
def test_text_is_its_bytes(text: str) -> None:
    assert parse_content(text) == parse_expected(text) == text.encode()


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"PING\r\n", b"PING\r\n"),
        (r"\x00\xFf\x7f", b"\x00\xff\x7f"),
        (r"a\tb\0c", b"a\tb\0c"),
        (r"C:\\new", b"C:\\new"),
        (r"\\x41", rb"\x41"),
        (r"\x332B", b"32B"),
        (r"grüß\n", "grüß\n".encode()),
        (r"\xc3\xbc", "ü".encode()),
        ("\udcff", b"\xff"),  # as Python gives a byte of an argument that is not UTF-8
        ("", b""),
    ],
)
def test_escapes_stand_for_their_bytes(text: str, content: bytes) -> None:
    assert parse_text(text) == content


@pytest.mark.parametrize(
    ("text", "place"),
    [("a\\", 2), (r"\q", 1), (r"ab\xZZ", 3), (r"\x4", 1), (r"\n\x", 3), (r"\033[0m", 1), ("\\\n", 1), (r"\u00e9", 1)],
)
def test_an_invalid_escape_is_refused_with_its_place(text: str, place: int) -> None:
    with pytest.raises(UsageError, match=rf"at character {place} is not an escape.*\\xHH"):
        parse_content(text)
    with pytest.raises(UsageError, match=f"at character {place} "):
        parse_expected(text)


@given(st.binary(max_size=50))
def test_all_bytes_can_be_written(content: bytes) -> None:
    assert parse_text("".join(f"\\x{byte:02x}" for byte in content)) == content


@pytest.mark.parametrize(("text", "size_bytes"), [("32B", 32), ("1KiB", 1024), ("1.5 KiB", 1536)])
def test_a_size_is_that_many_bytes(text: str, size_bytes: int) -> None:
    content = parse_content(text)

    assert len(content) == parse_expected(text) == size_bytes
    assert content == parse_content("1MiB")[:size_bytes]
    assert len({*content}) > 1


def test_too_much_is_refused_and_so_is_nothing() -> None:
    for parse in (parse_content, parse_expected):
        with pytest.raises(UsageError, match="16 MiB"):
            parse(f"{MOST_BYTES + 1}B")
        with pytest.raises(UsageError, match="empty"):
            parse("0B")
    for size_bytes, said in ((0, "empty"), (-1, "empty"), (MOST_BYTES + 1, "16 MiB")):
        with pytest.raises(UsageError, match=said):
            check_size(size_bytes)
    check_size(MOST_BYTES)
