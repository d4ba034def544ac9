"""One text however it is written, and the same text when it is folded again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.why.reader.fold import fold

LETTERS = st.sampled_from(
    [*"aZ09 .:\\\"'/[]{}>um;\n\t\r\x1b\xa0\u2019\u201c\u2013\u200b\u0130\u0301\ufeff", "\\u2019", "\x1b[31m", "^[[0m"]
)


@pytest.mark.parametrize(
    ("text", "folded"),
    [
        ("Cannot assign requested address", "cannot assign requested address"),
        ("cannot \x1b[1;31massign\x1b[0m requested", "cannot assign requested"),
        ("cannot ^[[31massign^[[0m requested", "cannot assign requested"),
        ("cannot #033[31massign#033[0m requested", "cannot assign requested"),
        ("cannot [31massign[0m requested", "cannot assign requested"),
        ("can\u2019t \u201cassign\u201d \u2013 it", 'can\'t "assign" - it'),
        ("can\\u2019t\\tassign\\nit", "can't assign it"),
        ('{\\\\\\"a\\\\\\": \\"b\\"}', '{"a": "b"}'),
        ("a\tb\xa0c   d\r\n e ", "a b c d\ne"),
        ("> > quoted\n> mail", "quoted\nmail"),
        ("zero\u200bwidth\ufeff", "zerowidth"),
        ("e\u0301", "\u00e9"),
        ("C:\\Windows\\System32", "c:/windows/system32"),
        ("\\x1b[31mred", "red"),
    ],
)
def test_a_text_is_folded(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.one_of(st.text(), st.lists(LETTERS).map("".join)))
def test_folding_what_is_folded_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.one_of(st.text(), st.lists(LETTERS).map("".join)))
def test_every_line_stays_a_line(text: str) -> None:
    assert fold(text).count("\n") == text.count("\n")
