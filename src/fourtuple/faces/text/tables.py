"""Tables of text: aligned columns where the terminal has room for them; otherwise cells go below their row, with names.

No cell is lost: a column that does not fit has its cells below each row, and a name that is too long has a line of its
own. Only columns that say so are cut, with a ….
"""

import sys
import textwrap
from collections.abc import Iterator, Sequence

from fourtuple.core.record import dataclass
from fourtuple.core.visible import visible
from fourtuple.faces.text.lines import BELOW, flowed, width, wrapped

HEAD = 14  # columns of a head before it takes another line
NAME = 24  # columns that the first cells have at least, if they need them
MOST_LINES = 2  # for a cell that is cut, below its row
TAIL, CUT_TAIL = 24, 13  # columns that text at the end of a line has at least, if it needs them: wrapped, or cut


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    head:      empty: its cells speak for themselves
    least:     its width at least, where the terminal has room for the whole table
    is_text:   to the left, and not to the right as numbers; at the end of the line it takes the room that is left
    is_extra:  its cells go below the row before the whole table is folded
    is_cut:    text at the end of the line is cut there, and not wrapped; below the row it has MOST_LINES lines
    gap:       columns of space before it
    """

    head: str = ""
    least: int = 0
    is_text: bool = False
    is_extra: bool = False
    is_cut: bool = False
    gap: int = 2


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row. below: words beneath it"""

    cells: Sequence[str]
    below: str = ""


def table_lines(
    columns: Sequence[Column], rows: Sequence[TableRow], *, indent: str = "", room: int | None = None
) -> Iterator[str]:
    """The heads and the rows. The first column has the names of the rows.

    room: columns of the terminal; None: as `width()` says
    """
    room = width() if room is None else room
    rows = [TableRow([visible(cell) for cell in row.cells], row.below) for row in rows]
    heads = [_head_lines(column, is_first=not number) for number, column in enumerate(columns)]
    natural = [
        max(*map(len, lines), *(len(row.cells[number]) for row in rows), 0) for number, lines in enumerate(heads)
    ]
    spread = [max(column.least, size) for column, size in zip(columns, natural, strict=True)]
    narrow = [*spread[:-1], _least(columns, spread)[-1]]
    natural = spread if _whole(columns, narrow) <= room - len(indent) else natural
    count = _fitting(columns, natural, room - len(indent))
    widths = _widths(columns[:count], natural, room - len(indent))
    if count > 1:
        for number in range(max(map(len, heads[:count])) if any(column.head for column in columns) else 0):
            cells = [lines[number] if number < len(lines) else "" for lines in heads[:count]]
            yield from _line(columns, cells, widths, indent)
    below = indent + " " * (BELOW if columns[0].is_text or count == 1 else widths[0] + columns[1].gap)
    for row in rows:
        if count > 1:
            yield from _line(columns, row.cells, widths, indent)
        else:
            yield from wrapped(indent, row.cells[0] if columns[0].is_text else _named(columns[0], row.cells[0]))
        others = zip(columns[count:], row.cells[count:], strict=True)
        named = [cut(_named(column, cell), _most(column, room - len(below))) for column, cell in others if cell]
        yield from flowed(below, [*named, row.below])


def _head_lines(column: Column, *, is_first: bool) -> list[str]:
    return [column.head] if is_first else textwrap.wrap(column.head, max(HEAD, column.least)) or [""]


def _least(columns: Sequence[Column], natural: Sequence[int]) -> list[int]:
    """The widths with which the columns are still aligned: only names and text at the end can be narrower."""
    least = list(natural[: len(columns)])
    least[0] = min(least[0], NAME)
    if columns[-1].is_text and len(columns) > 1:
        least[-1] = min(least[-1], CUT_TAIL if columns[-1].is_cut else TAIL)
    return least


def _fitting(columns: Sequence[Column], natural: Sequence[int], room: int) -> int:
    """How many of the columns are aligned; the others go below. 1: all others"""
    count = len(columns)
    while count > 1 and _whole(columns, _least(columns[:count], natural)) > room:
        count = count - 1 if columns[count - 1].is_extra else 1
    return count


def _widths(columns: Sequence[Column], natural: Sequence[int], room: int) -> list[int]:
    """The widths in this room: text at the end gives way first, then the names."""
    widths, least = list(natural[: len(columns)]), _least(columns, natural)
    for number in (-1, 0):
        widths[number] = max(least[number], widths[number] - max(0, _whole(columns, widths) - room))
    return widths


def _whole(columns: Sequence[Column], widths: Sequence[int]) -> int:
    return sum(widths) + sum(column.gap for column in columns[1 : len(widths)])


def _line(columns: Sequence[Column], cells: Sequence[str], widths: Sequence[int], indent: str) -> Iterator[str]:
    """A row of aligned cells: several lines if its name is too long, or the text at its end."""
    name, *others = cells[: len(widths)]
    if len(name) > widths[0]:
        yield from wrapped(indent, name)
        name = ""
    line = f"{indent}{name:{'<' if columns[0].is_text else '>'}{widths[0]}}"
    for number, (column, cell) in enumerate(zip(columns[1:], others, strict=False), 1):
        first, more = cell, list[str]()
        if column.is_text and number == len(widths) - 1:
            first, *more = [cut(cell, widths[-1])] if column.is_cut else textwrap.wrap(cell, widths[-1] or 1) or [""]
        line += f"{'':{column.gap}}{first:{'<' if column.is_text else '>'}{widths[number]}}"
    if line.strip():
        yield line.rstrip()
    yield from (f"{'':{len(line) - widths[-1]}}{text}" for text in more)


def _most(column: Column, room: int) -> int:
    """Characters of a cell below its row."""
    return MOST_LINES * room if column.is_cut else sys.maxsize


def _named(column: Column, cell: str) -> str:
    return f"{column.head} {cell}".lstrip()


def cut(text: str, room: int) -> str:
    """The text, at most `room` characters of it; of `name (pid)` the name is cut."""
    if len(text) <= room:
        return text
    name, bracket, rest = text.partition(" (")
    kept = room - len(bracket + rest) - 1
    return f"{name[:kept]}…{bracket}{rest}" if bracket and kept > 0 else f"{text[: room - 1]}…"
