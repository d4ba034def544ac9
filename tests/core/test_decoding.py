"""JSON from a file is the record that it should be, or one kind of error."""

from dataclasses import dataclass

import pytest

from fourtuple.core.decoding import from_json


@dataclass(frozen=True, slots=True)
class Point:
    x: int
    name: str = ""


def test_a_record_is_read() -> None:
    assert from_json(b'{"x": 1}', Point) == from_json('{"x": 1, "more": 2}', Point) == Point(1)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b'{"x": 1, "name": "\xff"}',
        '{"x": 1, "name": "\udcff"}',
        b'{"x": "1"}',
        b'{"x": 1e999}',
        b"[" * 100_000,
        b'{"x": ' + b"9" * 5000 + b"}",
        b'{"x": null}',
        b"{}",
        b"[]",
    ],
    ids=lambda text: repr(text[:20]),
)
def test_any_other_text_is_a_value_error(text: bytes | str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        from_json(text, Point)

    assert not isinstance(caught.value, UnicodeError)
