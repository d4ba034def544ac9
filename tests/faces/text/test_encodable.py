"""Everything can be printed, whatever the encoding of the output lacks."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.faces.text.encodable import SAME, make_encodable


def printed(text: str, encoding: str) -> bytes:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding)
    make_encodable(stream)
    stream.write(text)
    stream.flush()
    return raw.getvalue()


@given(st.text(st.characters()), st.sampled_from(["ascii", "latin-1", "utf-8", "cp1252"]))
def test_any_text_can_be_printed(text: str, encoding: str) -> None:
    assert printed(text, encoding) is not None


@pytest.mark.parametrize(
    ("text", "ascii_"),
    [
        ("10.0.0.4:80 → 10.0.0.9:80 …", b"10.0.0.4:80 -> 10.0.0.9:80 ..."),
        ("18 µs × 2 · ≥ 3", b"18 us x 2 - >= 3"),
        ("€", b"\\u20ac"),
        ("\udcff", b"\\xff"),
    ],
)
def test_in_ascii_the_same_is_said(text: str, ascii_: bytes) -> None:
    assert printed(text, "ascii") == ascii_


def test_what_has_the_character_keeps_it() -> None:
    assert printed("→ µ", "utf-8").decode() == "→ µ"
    assert printed("→ µ", "latin-1") == b"-> \xb5"


def test_the_replacements_are_ascii() -> None:
    assert all(text.isascii() for text in SAME.values())
