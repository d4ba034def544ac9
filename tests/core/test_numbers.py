"""Only what is a whole number within 64 bits is one; everything else is not known."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.numbers import MOST, complete_lines, number_of, signed_number_of


@given(st.integers(0, MOST))
def test_a_number_reads_back_in_both_bases(number: int) -> None:
    """Zeros before it do not matter, as in /proc/net/tcp."""

    assert number_of(f"{number}") == number_of(f"{number:x}", 16) == number_of(f"{number:020X}", 16) == number
    assert signed_number_of(f"-{number}") == -number


@pytest.mark.parametrize(
    "text",
    [
        "",
        " 1",
        "1 ",
        "1_0",
        "+1",
        "-",
        "--1",
        "0x1",
        "1.0",
        "1e3",
        "a",
        "\0",
        "1\0",
        "٣",
        "²",
        f"{MOST + 1}",
        "9" * 5000,
    ],
)
def test_what_int_alone_would_read_or_fail_at_is_no_number(text: str) -> None:
    assert (number_of(text), signed_number_of(text)) == (None, None)


@given(st.text(max_size=40), st.sampled_from([10, 16]))
def test_any_text_is_a_number_or_none(text: str, base: int) -> None:
    """Nothing is raised."""

    assert number_of(text, base) is None or int(text, base) >= 0


def test_a_line_that_was_cut_is_left_out() -> None:
    assert complete_lines("a 1\nb 23\nc 4") == ["a 1", "b 23"]
    assert complete_lines("a 1") == complete_lines("") == []
