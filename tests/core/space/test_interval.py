"""A number between two: what it is added up to, the tightest of several, and how JSON has it."""

from dataclasses import asdict, dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.space.interval import Interval, flat

INTERVALS = st.tuples(st.integers(-50, 50), st.integers(0, 50)).map(lambda pair: Interval(pair[0], pair[0] + pair[1]))
KEYS = {"room": "least", "room_max": "most"}


@dataclass(frozen=True, slots=True)
class Record:
    name: str
    room: Interval | None
    note: str


@given(st.lists(INTERVALS, min_size=1), st.data())
def test_the_tightest_and_the_total_hold_whatever_the_numbers_are(
    intervals: list[Interval], data: st.DataObject
) -> None:
    """Take a number from each: the smallest lies in the tightest, their sum in the total; so do both ends."""
    numbers = [data.draw(st.integers(each.least, each.most)) for each in intervals]
    tightest, total = Interval.tightest(intervals), Interval.total(intervals)

    assert tightest is not None
    assert tightest.least <= min(numbers) <= tightest.most
    assert total.least <= sum(numbers) <= total.most
    assert tightest == Interval(min(each.least for each in intervals), min(each.most for each in intervals))
    assert total == Interval(sum(each.least for each in intervals), sum(each.most for each in intervals))


def test_of_none_there_is_no_tightest_and_the_total_is_zero() -> None:
    assert Interval.tightest([]) is None
    assert Interval.total([]) == Interval.of(0)


def test_it_is_exact_where_its_ends_are_one() -> None:
    assert (Interval.of(5).exact, Interval(5, 6).exact) == (True, False)
    assert (str(Interval.of(5)), str(Interval(5, 6))) == ("5", "5 to 6")


def test_least_is_not_more_than_most() -> None:
    with pytest.raises(ValueError, match="from 6 to 5"):
        Interval(6, 5)


def test_it_is_widened_and_scaled_at_both_ends() -> None:
    assert Interval(10, 20).widened(32) == Interval(0, 52)
    assert Interval(11, 20).scaled(0.9) == Interval(9, 18)


@pytest.mark.parametrize(("room", "ends"), [(Interval(3, 7), (3, 7)), (None, (None, None))])
def test_json_has_both_ends_as_plain_numbers_in_its_place(
    room: Interval | None, ends: tuple[int | None, int | None]
) -> None:
    """Whether asdict has made a dict of it already or not."""
    record = Record("a", room, "b")
    expected = [("name", "a"), ("room", ends[0]), ("room_max", ends[1]), ("note", "b")]

    assert list(flat(asdict(record), "room", KEYS).items()) == expected
    assert list(flat({"name": "a", "room": room, "note": "b"}, "room", KEYS).items()) == expected
