"""What Python 3.10 lacks is the same with it as with newer ones."""

from datetime import datetime, timedelta, timezone
from enum import Enum

import pytest

from fourtuple.core.backports import StrEnum, add_note, parse_iso


class Colour(StrEnum):
    RED = "red"


EAST = timezone(timedelta(hours=1))
MOMENT = datetime(2026, 1, 2, 10, 32, 5)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-01-02", datetime(2026, 1, 2)),
        ("20260102", datetime(2026, 1, 2)),
        ("2026-01-02T10", datetime(2026, 1, 2, 10)),
        ("2026-01-02 10:32", datetime(2026, 1, 2, 10, 32)),
        ("2026-01-02T10:32:05", MOMENT),
        ("20260102T103205", MOMENT),
        ("2026-01-02T10:32:05Z", MOMENT.replace(tzinfo=timezone.utc)),
        ("2026-01-02T10:32:05+01:00", MOMENT.replace(tzinfo=EAST)),
        ("2026-01-02T10:32:05+0100", MOMENT.replace(tzinfo=EAST)),
        ("2026-01-02T10:32:05+01", MOMENT.replace(tzinfo=EAST)),
        ("2026-01-02 10:32:05 +0100", MOMENT.replace(tzinfo=EAST)),
        ("2026-01-02T10:32:05.5", MOMENT.replace(microsecond=500_000)),
        ("2026-01-02T10:32:05,123456789Z", MOMENT.replace(microsecond=123_456, tzinfo=timezone.utc)),
    ],
)
def test_every_form_of_a_moment_is_read(text: str, moment: datetime) -> None:
    assert parse_iso(text) == moment


@pytest.mark.parametrize("text", ["", "10:32", "2026-13-02", "2026-01-02T25", "2026-01-02T10:32:05  Z", "2026-01-02x"])
def test_what_is_no_moment_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_iso(text)


def test_members_are_shown_as_the_strings_that_they_are() -> None:
    assert (str(Colour.RED), f"{Colour.RED:>5}", {Colour.RED} == {"red"}) == ("red", "  red", True)
    assert isinstance(Colour.RED, Enum)


def test_an_error_keeps_its_notes_in_order() -> None:
    error = OSError("x")
    add_note(error, "first")
    add_note(error, "second")

    assert error.__dict__["__notes__"] == ["first", "second"]
