"""Equal rows have the same number, whatever their hashes are and in whichever tables they come."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fourtuple.core.sockets import numbering
from fourtuple.core.sockets.columns import mixed
from fourtuple.core.sockets.numbering import HashCollisionError, Numbering

Row = tuple[int, ...]
WORDS = st.sampled_from([0, 1, 2, 1 << 32, 2**64 - 1])
ROWS = st.one_of(
    st.tuples(st.sampled_from([0, 4, 8]), WORDS), st.tuples(st.sampled_from([1, 5]), WORDS, WORDS)
)  # a row's first word decides how many it has


def columns(rows: Sequence[Row]) -> list[NDArray[np.uint64]]:
    return [np.array(column, np.uint64) for column in zip(*rows, strict=True)]


def added(numbers: Numbering, rows: Sequence[Row]) -> list[int]:
    """The numbers of rows that are added together if they have equally many words."""
    found = [0] * len(rows)
    for size in (2, 3):
        places = [place for place, row in enumerate(rows) if len(row) == size]
        if places:
            given = numbers.add(columns([rows[place] for place in places])).tolist()
            for place, number in zip(places, given, strict=True):
                found[place] = number
    return found


def consecutive(hashes: dict[Row, int]) -> Callable[[Sequence[NDArray[np.uint64]]], NDArray[np.uint64]]:
    def numbered(row: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
        rows = zip(*(column.tolist() for column in row), strict=True)
        return np.array([hashes.setdefault(each, len(hashes)) for each in rows], np.uint64)

    return numbered


@settings(max_examples=150)
@given(st.lists(st.lists(ROWS, max_size=30), max_size=5), st.booleans(), st.integers(1, 4))
def test_numbers_are_those_of_a_dictionary(tables: list[list[Row]], is_crowded: bool, few: int) -> None:
    """Also if the table is nearly full, and if all rows are looked for next to each other."""
    oracle: dict[Row, int] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbering, "FEW", few)
        patch.setattr(numbering, "SLOTS", 2)
        if is_crowded:
            patch.setattr(numbering, "mixed", consecutive({}))
        numbers = Numbering(3)
        for rows in tables:
            for row, number in zip(rows, added(numbers, rows), strict=True):
                assert oracle.setdefault(row, number) == number
        assert sorted(oracle.values()) == list(range(1, numbers.count + 1))
        for row, number in oracle.items():
            assert numbers.find(columns([row])).tolist() == [number]
            assert numbers.words[:, number - 1].tolist()[: len(row)] == list(row)
        if not is_crowded:
            rows_in_order = sorted(oracle, key=oracle.__getitem__)
            assert numbers.hashes.tolist() == [mixed(columns([row])).tolist()[0] for row in rows_in_order]


@given(st.lists(st.tuples(st.sampled_from([0, 4]), WORDS), unique=True, min_size=1))
def test_a_row_that_was_not_added_is_not_found(rows: list[Row]) -> None:
    numbers = Numbering(2)
    numbers.add(columns(rows[1:]) if rows[1:] else [np.zeros(0, np.uint64)] * 2)

    assert numbers.find(columns(rows)).tolist() == [0, *added(numbers, rows[1:])]


def test_many_distinct_rows_are_numbered_once() -> None:
    """More than the table has room for at first, twice."""
    rows = [np.arange(100_000, dtype=np.uint64), np.arange(100_000, dtype=np.uint64) % 7]
    numbers = Numbering(2)
    first = numbers.add(rows)

    assert np.array_equal(np.sort(first), np.arange(1, 100_001))
    assert np.array_equal(numbers.add([word[::-1] for word in rows]), first[::-1])
    assert np.array_equal(numbers.words[:, first - 1], rows)


def test_different_rows_of_one_hash_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """If they are new together; otherwise they are told apart by their words."""
    monkeypatch.setattr(numbering, "mixed", lambda row: np.zeros(len(row[0]), np.uint64))

    with pytest.raises(HashCollisionError):
        Numbering(2).add(columns([(0, 1), (0, 2)]))
    numbers = Numbering(2)
    assert [numbers.add(columns([row])).tolist() for row in ((0, 1), (0, 2), (0, 1))] == [[1], [2], [1]]
