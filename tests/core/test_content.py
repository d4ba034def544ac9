"""Text is itself, a size is that many bytes which both ends know."""

import pytest

from fourtuple.core.content import MOST_BYTES, parse_content
from fourtuple.core.errors import UsageError


@pytest.mark.parametrize("text", ["ping", "", "32 bottles", "12", "1.5", "GET / HTTP/1.0\r\n\r\n", "grüß", "B"])
def test_text_is_sent_as_it_is(text: str) -> None:
    assert parse_content(text) == text.encode()


@pytest.mark.parametrize(("text", "size_bytes"), [("32B", 32), ("1KiB", 1024), ("0B", 0), ("1.5 KiB", 1536)])
def test_a_size_is_that_many_bytes(text: str, size_bytes: int) -> None:
    content = parse_content(text)

    assert len(content) == size_bytes
    assert content == parse_content("1MiB")[:size_bytes]
    assert len({*content}) > 1 or size_bytes < 2


def test_too_much_is_refused() -> None:
    with pytest.raises(UsageError, match="at most 16 MiB"):
        parse_content(f"{MOST_BYTES + 1}B")
