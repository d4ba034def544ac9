"""Two runs side by side as plain text."""

from collections import Counter
from collections.abc import Iterator

from fourtuple.core.runs.compare import Comparison, Row, Tendency
from fourtuple.core.runs.entry import Entry
from fourtuple.core.units import format_count
from fourtuple.faces.text.lines import wrapped
from fourtuple.faces.text.tables import Column, TableRow, table_lines

NAME, CELL, RATIO = 22, 14, 7  # columns at least
MARKED = {Tendency.BETTER: "✓", Tendency.WORSE: "✗"}  # with a mark where there is colour


def compare_lines(comparison: Comparison) -> Iterator[str]:
    """The differences in settings, then a table of the numbers and their ratios."""
    yield from remark_lines(comparison)
    columns = (
        Column(least=NAME, is_text=True),
        *(Column(_head(run.entry), CELL) for run in (comparison.first, comparison.second)),
        Column("ratio", RATIO),
        Column(is_text=True),
    )
    rows = [
        TableRow((row.name, cell(row, row.first), cell(row, row.second), ratio(row), tendency(row)))
        for row in comparison.rows
    ]
    yield from table_lines(columns, rows)


def _head(entry: Entry) -> str:
    return f"{entry.id} {entry.name}" if entry.name else f"run {entry.id}"


def remark_lines(comparison: Comparison) -> Iterator[str]:
    """The settings that differ, and whether the machines do."""
    if comparison.other_machine:
        yield from wrapped("", machines(comparison))
    if comparison.differs:
        width = max(len(what) for what, _, _ in comparison.differs)
        for what, one, two in comparison.differs:
            yield from wrapped(f"  {what:<{width}}  ", f"{one} / {two}")
        yield ""


def machines(comparison: Comparison) -> str:
    """The warning about different machines."""
    given = any(row.ratio is not None for row in comparison.rows if row.unit.is_the_machines)
    says = "rates and times depend on the machine as much as on the run"
    return f"different machines: {says}{'' if given else '; their ratios are left out (--anyway shows them)'}"


def in_short(comparison: Comparison) -> str:
    """How many numbers are better and worse: `run 3 next to run 2: 4 numbers better, 6 worse, 9 about the same`"""
    count = Counter(row.tendency for row in comparison.rows if row.tendency)
    found = ", ".join(f"{format_count(count[each])} {each}" for each in Tendency if count[each])
    names = f"{comparison.second.entry.title} next to {comparison.first.entry.title}"
    return f"{names}: {found or 'no number that can be better or worse'}"


def tendency(row: Row) -> str:
    """`better` or `worse`; empty for what is about the same, which its ratio says."""
    return row.tendency if row.tendency in MARKED else ""


def cell(row: Row, value: float | None) -> str:
    return "–" if value is None else row.unit.text(value)


def ratio(row: Row) -> str:
    return "" if row.ratio is None else f"{row.ratio:.2f} ×"
