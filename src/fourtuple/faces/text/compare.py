"""Two runs side by side as plain text."""

from collections.abc import Iterator

from fourtuple.core.runs.compare import Comparison, Row
from fourtuple.core.runs.stored import Entry
from fourtuple.faces.text.lines import wrapped
from fourtuple.faces.text.runs import CELL, NAME, cut


def compare_lines(comparison: Comparison) -> Iterator[str]:
    """The differences in settings, then a table of the numbers and their ratios."""
    yield from remark_lines(comparison)
    heads = (f"{cut(_head(run.entry), CELL - 2):>{CELL}}" for run in (comparison.first, comparison.second))
    yield f"{'':<{NAME}}{''.join(heads)}{'ratio':>{CELL - 3}}"
    for row in comparison.rows:
        line = (
            f"{row.name:<{NAME}}{cell(row, row.first):>{CELL}}{cell(row, row.second):>{CELL}}{ratio(row):>{CELL - 3}}"
        )
        yield line.rstrip()


def _head(entry: Entry) -> str:
    return f"{entry.id} {entry.name}" if entry.name else f"run {entry.id}"


def remark_lines(comparison: Comparison) -> Iterator[str]:
    """The settings that differ, and whether the machines do."""
    if comparison.other_machine:
        yield from wrapped("", machines(comparison))
    for what, one, two in comparison.differs:
        yield from wrapped(f"  {what:<12}", f"{one} / {two}")
    if comparison.differs:
        yield ""


def machines(comparison: Comparison) -> str:
    """The warning about different machines."""
    given = any(row.ratio is not None for row in comparison.rows if row.unit.is_the_machines)
    says = "rates and times depend on the machine as much as on the run"
    return f"different machines: {says}{'' if given else '; their ratios are left out (--anyway shows them)'}"


def cell(row: Row, value: float | None) -> str:
    return "–" if value is None else row.unit.text(value)


def ratio(row: Row) -> str:
    return "" if row.ratio is None else f"{row.ratio:.2f} ×"
