"""Many messages of one template, by column: no Python code for a single one."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.talk.template import Placeholder, Template, Variable, random_text, time_text

if TYPE_CHECKING:
    from numpy.random import Generator

# The bytes of a part in each row, or in one row for all of them, and a mask of those that count; None: all do.
_Cells = tuple[NDArray[np.uint8], NDArray[np.bool_] | None]
_POWERS = 10 ** np.arange(19, dtype=np.int64)


class Messages:
    """Makes the messages of a template whose lines are known (`Template.with_lines`)."""

    def __init__(self, template: Template) -> None:
        self._parts = template.parts
        self._tables = {path: _table(lines) for path, lines in template.lines}

    def render(
        self,
        connections: NDArray[np.int64],
        messages: NDArray[np.int64],
        *,
        addresses: NDArray[np.bytes_] | None = None,
        ports: NDArray[Any] | None = None,
        now_ns: int = 0,
        random: "Generator | None" = None,
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """A message for each row → (rows, bytes) uint8 padded with zeros, (rows,) sizes.

        connections, messages: (rows,) numbers ≥ 0
        addresses: (rows,) of this end, as text in ASCII, such as b"10.0.0.1"
        ports:     (rows,) of this end, of an integer type

        Only what is in the template's `needs` has to be given, and `connections`, which says how many there are.
        """
        columns = {
            Variable.CONNECTION: connections,
            Variable.MESSAGE: messages,
            Variable.SOURCE: addresses,
            Variable.PORT: ports,
        }
        cells = [self._cells(part, columns, now_ns, random) for part in self._parts]
        return _joined(cells, len(connections))

    def _cells(
        self, part: bytes | Placeholder, columns: Mapping[Variable, Any], now_ns: int, random: "Generator | None"
    ) -> _Cells:
        if isinstance(part, bytes):
            return np.frombuffer(part, np.uint8)[None], None
        match part.variable:
            case Variable.NOW:
                return np.frombuffer(time_text(now_ns, part.argument), np.uint8)[None], None
            case Variable.RANDOM:
                rows, size = len(columns[Variable.CONNECTION]), int(part.argument)
                return np.frombuffer(random_text(random, rows * size), np.uint8).reshape(rows, size), None
            case Variable.SOURCE:
                return _texts(columns[Variable.SOURCE])
            case Variable.LINE:
                table, sizes = self._tables[part.argument]
                lines = columns[Variable.CONNECTION] % len(table)
                width = int(sizes[lines].max(initial=0))
                return table[lines, :width], np.arange(width) < sizes[lines, None]
        return _digits(columns[part.variable])


def _digits(numbers: NDArray[Any]) -> _Cells:
    """Numbers ≥ 0 in decimal, each at the right of its row."""
    values = numbers.astype(np.int64)
    sizes = np.maximum(1, np.searchsorted(_POWERS, values, "right"))
    width = int(sizes.max(initial=1))
    cells = (values[:, None] // _POWERS[width - 1 :: -1] % 10 + ord("0")).astype(np.uint8)
    return cells, None if sizes.min(initial=width) == width else np.arange(width) >= width - sizes[:, None]


def _texts(texts: NDArray[np.bytes_]) -> _Cells:
    cells = np.ascontiguousarray(texts).view(np.uint8).reshape(len(texts), texts.dtype.itemsize)
    return cells, cells > 0


def _table(lines: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The lines of a file as (lines, bytes) padded with zeros, and their sizes."""
    sizes = np.fromiter(map(len, lines), np.int64, len(lines))
    width = int(sizes.max(initial=0))
    padded = b"".join(line.ljust(width, b"\0") for line in lines)
    return np.frombuffer(padded, np.uint8).reshape(len(lines), width), sizes


def _joined(parts: Sequence[_Cells], rows: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The cells of all parts side by side, moved to the left where some do not count, and the sizes of the rows."""
    width = sum(each.shape[1] for each, _ in parts)
    wide = np.empty((rows, width), np.uint8)
    counts = np.ones((rows, width), bool)
    at = 0
    for each, mask in parts:
        end = at + each.shape[1]
        wide[:, at:end] = each
        if mask is not None:
            counts[:, at:end] = mask
        at = end
    if all(mask is None for _, mask in parts):
        return wide, np.full(rows, width)
    sizes = counts.sum(axis=1)
    narrow = np.zeros((rows, int(sizes.max(initial=0))), np.uint8)
    narrow[np.arange(narrow.shape[1]) < sizes[:, None]] = wide[counts]
    return narrow, sizes
