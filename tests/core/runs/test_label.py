"""What a run may be called."""

import pytest

from fourtuple.core.errors import UsageError
from fourtuple.core.runs.label import MOST_NAME, MOST_NOTE, Label


@pytest.mark.parametrize("name", ["baseline", "x", "17a", "run 17", "nach der Änderung", "a" * MOST_NAME, "0.5 %"])
def test_a_name_is_any_printable_text_that_is_no_number(name: str) -> None:
    assert Label.of(name, None) == Label(name, "")


@pytest.mark.parametrize(
    "name",
    ["", " ", "17", "007", "٣", "a" * (MOST_NAME + 1), "a\nb", "\x1b[31m", "a\u202eb", "-x", "--json", " a", "a "],
)
def test_what_could_be_taken_for_something_else_is_no_name(name: str) -> None:
    """A number, an option, what a terminal obeys, and what nobody could type again."""
    with pytest.raises(UsageError):
        Label.of(name, None)


@pytest.mark.parametrize("note", ["", "  ", "a\tb", "a\nb", "n" * (MOST_NOTE + 1), "\x00"])
def test_a_note_is_one_line_that_can_be_shown(note: str) -> None:
    with pytest.raises(UsageError):
        Label.of(None, note)


def test_a_note_may_say_anything_else() -> None:
    assert Label.of(None, "17 -- sysctl ip_local_port_range=1024 65535; <b>") == Label(
        "", "17 -- sysctl ip_local_port_range=1024 65535; <b>"
    )
