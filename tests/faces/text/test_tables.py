"""Tables in the width of the terminal: whatever the cells, no line is too long and no cell is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from fourtuple.faces.text.lines import LEAST, in_columns
from fourtuple.faces.text.tables import TAIL, Column, TableRow, cut, table_lines

WORDS = some.text("abc0123456789.:→[]", max_size=LEAST - 12)
COLUMNS = some.builds(
    Column, WORDS, some.integers(0, 30), is_text=some.booleans(), is_extra=some.booleans(), is_cut=some.just(False)
)
TABLE = (
    Column("destination", 20, is_text=True),
    Column("opened", 9),
    Column("failed", 9, is_extra=True),
    Column("why", is_text=True, is_extra=True),
)
ROWS = [
    TableRow(("10.0.0.9:80", "28,232", "3", "ECONNREFUSED 2, ETIMEDOUT 1"), "it went away"),
    TableRow(("[fd00:1234:5678:9abc::9]:443", "1,000,000", "", "")),
]


def lines(columns: int, table: list[Column] | tuple[Column, ...] = TABLE, rows: list[TableRow] = ROWS) -> list[str]:
    with in_columns(columns):
        return list(table_lines(table, rows, indent="  "))


@given(some.data(), some.sampled_from([40, 60, 80, 120, 200]))
def test_no_line_is_too_long_and_no_cell_is_lost(data: some.DataObject, columns: int) -> None:
    table = data.draw(some.lists(COLUMNS, min_size=2, max_size=8))
    cells = some.lists(WORDS, min_size=len(table), max_size=len(table))
    rows = data.draw(some.lists(some.builds(TableRow, cells, WORDS), min_size=1, max_size=5))
    made = lines(columns, table, rows)

    assert all(len(line) <= columns for line in made)
    letters = "".join("".join(made).split())
    for row in rows:
        assert all(len(cell) > TAIL or cell in letters for cell in row.cells)
    told = sum(map(len, [cell for row in rows for cell in (*row.cells, row.below)]))
    assert len(letters) >= told


def test_what_does_not_fit_goes_below_its_row_with_the_name_of_its_column() -> None:
    whole, extra_below, more_below = lines(120), lines(50), lines(40)
    folded = lines(40, (*TABLE[:1], Column("opened"), Column("of")), [TableRow(("m" * 20, "1" * 24, "2"))])

    assert whole[0].split() == ["destination", "opened", "failed", "why"]
    assert len(whole) == 4
    assert extra_below[0].split() == ["destination", "opened", "failed"]
    assert "      why ECONNREFUSED 2, ETIMEDOUT 1" in extra_below
    assert more_below[0].split() == ["destination", "opened"]
    assert "      failed 3" in more_below
    assert [line.split() for line in folded] == [["m" * 20], ["opened", "1" * 24], ["of", "2"]]


def test_a_long_name_has_a_line_of_its_own_and_the_columns_stay_aligned() -> None:
    head, first, *_, long, below = lines(46)

    assert long.strip() == ROWS[1].cells[0]
    assert head.index("opened") + len("opened") == first.index("28,232") + len("28,232") == len(below)


@pytest.mark.parametrize("room", range(12, 37))
def test_of_a_process_its_number_stays(room: int) -> None:
    assert cut("postgres-pool-with-a-long-name (5000)", room).endswith("… (5000)")
    assert len(cut("postgres-pool-with-a-long-name (5000)", room)) == room
