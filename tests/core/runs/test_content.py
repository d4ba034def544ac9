"""Text is itself, a size is that many bytes which both ends know."""

import pytest

from fourtuple.core.errors import UsageError
from fourtuple.core.runs.content import MOST_BYTES, check_content, parse_content


@pytest.mark.parametrize("text", ["ping", "32 bottles", "12", "1.5", "GET / HTTP/1.0\r\n\r\n", "grüß", "B"])
def test_text_is_sent_as_it_is(text: str) -> None:
    assert parse_content(text) == text.encode()


@pytest.mark.parametrize(("text", "size_bytes"), [("32B", 32), ("1KiB", 1024), ("1.5 KiB", 1536)])
def test_a_size_is_that_many_bytes(text: str, size_bytes: int) -> None:
    content = parse_content(text)

    assert len(content) == size_bytes
    assert content == parse_content("1MiB")[:size_bytes]
    assert len({*content}) > 1


def test_too_much_is_refused_and_so_is_nothing() -> None:
    for refuse in (lambda: parse_content(f"{MOST_BYTES + 1}B"), lambda: check_content(bytes(MOST_BYTES + 1))):
        with pytest.raises(UsageError, match="16 MiB"):
            refuse()
    for refuse in (lambda: parse_content("0B"), lambda: check_content(b"")):
        with pytest.raises(UsageError) as caught:
            refuse()
        assert "16 MiB" not in str(caught.value)
