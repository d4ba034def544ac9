"""What a page consists of: sections with text, charts with the tables behind them, tables, and cards of lessons."""

from collections.abc import Sequence

import numpy as np

from fourtuple.core.record import dataclass
from fourtuple.core.runs.proof import Result
from fourtuple.core.units import format_count, format_duration
from fourtuple.faces.page.drawing import Chart

ROWS = 60  # of a table behind a chart; the export has all rows
MET, UNMET = "✓ met", "✗ not met"
ZOOM = (
    "Charts over time: drag to move, Shift and wheel to zoom, double-click to reset."
    " Keyboard: arrow keys move, + and - zoom, 0 resets."
)


@dataclass(frozen=True, slots=True)
class Table:
    """A table.

    numbers: the columns that are numbers, aligned to the right
    note:    what is left out
    """

    heads: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    numbers: frozenset[int] = frozenset()
    note: str = ""

    @property
    def shown(self) -> list[int]:
        """The columns that say something of any row."""
        columns = range(len(self.heads))
        return [column for column in columns if not self.rows or any(row[column] for row in self.rows)]


@dataclass(frozen=True, slots=True)
class Card:
    """The result of a lesson.

    lists:   lists such as 4-tuples, by name
    others:  further numbers
    """

    result: Result
    mark: str
    says: str
    took: str
    table: Table
    lists: Sequence[tuple[str, Sequence[str]]]
    others: Table
    figures: Sequence[tuple[Chart, Table | None, str]]


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page.

    behind: a table that is folded away
    lines:  as a command printed them
    """

    name: str
    title: str
    words: Sequence[str] = ()
    hint: str = ""
    figures: Sequence[tuple[Chart, Table | None, str]] = ()
    tables: Sequence[Table] = ()
    behind: Table | None = None
    cards: Sequence[Card] = ()
    commands: Sequence[str] = ()
    lines: Sequence[str] = ()

    @property
    def all_figures(self) -> list[tuple[Chart, Table | None, str]]:
        """Its figures, including those of its cards."""
        return [*self.figures, *(figure for card in self.cards for figure in card.figures)]


def microseconds(value: float | None) -> str:
    """A duration in microseconds as text; `–` for None and NaN."""
    return "–" if value is None or np.isnan(value) else format_duration(value / 1e6)


def maybe(value: float) -> str:
    """A number as text, without decimals; `–` for NaN."""
    return "–" if np.isnan(value) else format_count(round(value))
