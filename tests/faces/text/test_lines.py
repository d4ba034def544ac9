"""Lines of a result at any width: none is too long, and none is broken within one of its parts."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fourtuple.faces.text.lines import DOT, GAP, LEAST, folded, in_columns

WORDS = some.lists(some.text("abc.:0", min_size=1, max_size=6), min_size=1, max_size=3).map(" ".join)


@folded
def face(line: str) -> Iterator[str]:
    yield line


@given(some.lists(WORDS, min_size=1, max_size=9), some.sampled_from([40, 60, 80]))
def test_a_line_goes_on_between_two_of_its_parts(parts: list[str], columns: int) -> None:
    with in_columns(columns):
        lines = list(face(f"  {DOT.join(parts)}"))

    assert all(len(line) <= columns for line in lines)
    assert [part for line in lines for part in line.strip().split(DOT)] == parts


@pytest.mark.parametrize("columns", [LEAST, 80])
def test_what_follows_a_label_stays_beside_it(columns: int) -> None:
    words = [f"p{number} 36.1 ms" for number in range(9)]
    with in_columns(columns):
        first, *others = face(f"  session   {GAP.join(words)}")

    assert first.startswith("  session   p0")
    assert others
    assert all(line.startswith(" " * 12 + "p") for line in others)
