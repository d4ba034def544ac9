"""What counts as the same output."""

import pytest

from tests.examples.alike import alike, renewed

SHOWN = [
    "held 100,000 for 2.46 s, lost 0. Plan, engine and kernel agree.",
    "  opened in 1.86 s   53,697/s",
    "  …",
    "stored as run 2 · fourtuple report 2",
]
PRINTED = [
    "held 100,000 for 986 ms, lost 0. Plan, engine and kernel agree.",
    "  opened in 21.86 s   3,697/s",
    "  closing   732 ms",
    "  ring · late · 2 processes · 44.4 MiB",
    "stored as run 12 · fourtuple report 12",
]


def test_numbers_and_times_do_not_matter() -> None:
    assert alike(SHOWN, PRINTED)


def test_a_word_matters() -> None:
    assert not alike(SHOWN, [line.replace("lost", "gone") for line in PRINTED])


def test_the_place_of_a_line_matters() -> None:
    assert not alike(SHOWN, PRINTED[::-1])


@pytest.mark.parametrize("number", range(len(PRINTED)))
def test_only_what_is_left_out_may_be_missing(number: int) -> None:
    assert alike(SHOWN, PRINTED[:number] + PRINTED[number + 1 :]) == (number in (2, 3))


def test_where_a_text_is_wrapped_does_not_matter() -> None:
    """A longer number moves words to the next line."""
    shown = ["room for 9 more connections from 127.0.0.1 to 127.0.0.1:8000, because of open", "files"]
    printed = ["room for 19,997 more connections from 127.0.0.1 to 127.0.0.1:8000, because of", "open files"]

    assert alike(shown, printed)
    assert not alike([f"{shown[0]} files"], [printed[0], "", printed[1]])


def test_how_often_progress_is_told_does_not_matter() -> None:
    assert alike(["stage 2 of 4   3,919 open"], ["stage 2 of 4   3,919 open", "stage 2 of 4   12,942 open"])


def test_what_shows_nothing_yet_gets_everything() -> None:
    assert renewed([], PRINTED) == PRINTED


def test_progress_is_shown_as_often_as_before() -> None:
    assert renewed(["holding 1 of 2", "held 2"], ["holding 1 of 3", "holding 2 of 3", "held 3"]) == [
        "holding 1 of 3",
        "held 3",
    ]


def test_what_is_renewed_keeps_what_is_left_out() -> None:
    assert renewed(SHOWN, PRINTED) == [*PRINTED[:2], "  …", PRINTED[-1]]


def test_what_is_renewed_has_the_new_words() -> None:
    printed = ["all 100,000 held for 2.46 s", *PRINTED[1:-1], "run 2 is stored"]

    assert renewed(SHOWN, printed) == [*printed[:2], "  …", printed[-1]]


def test_an_empty_line_is_no_landmark() -> None:
    shown = ["1 thing:", "", "✗ it fails", "  why", "", "…", "", "Start here"]
    printed = ["2 things:", "", "! it nearly fails", "  why", "", "so far:", "  · dropped", "", "Start here"]

    assert renewed(shown, printed) == ["2 things:", "", "! it nearly fails", "  why", "", "…", "", "Start here"]
