"""Lines of a terminal: their width, wrapped text, and errors."""

import functools
import textwrap
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec

from fourtuple.core.errors import FourtupleError, ShortfallError
from fourtuple.core.visible import visible

COLUMNS = 80
LEAST = 40  # columns: text in fewer is no easier to read
MOST = 120  # columns of sentences; in more, the eye loses the line
BESIDE = 20  # columns for text beside its label; where fewer are left, the text goes below the label
BELOW = 4  # columns by which it is indented there
GAP = "   "  # between two parts of a line
DOT = " · "  # between those of a line without any gap
LABEL = 12  # columns of a label in a result, with the spaces around it

P = ParamSpec("P")
_given: ContextVar[int | None] = ContextVar("columns", default=None)


@contextmanager
def in_columns(columns: int) -> Iterator[None]:
    """Lines that are made inside have this width, whatever the terminal has; a page needs that."""
    token = _given.set(columns)
    try:
        yield
    finally:
        _given.reset(token)


def width() -> int:
    """The columns of the terminal, at least 40; else what COLUMNS in the environment says, or 80."""
    import shutil

    if (given := _given.get()) is not None:
        return given
    return max(LEAST, shutil.get_terminal_size((COLUMNS, LEAST)).columns)


def wrapped(first: str, text: str) -> Iterator[str]:
    """`text` after `first`, wrapped into lines with a hanging indent, or below it where little room is left beside it.

    No word is broken: a line with one that is too long, such as a path, is less indented. A line break in the text
    becomes visible, which textwrap would take for a space.
    """
    room, indent = min(MOST, width()), len(first)
    if indent > BELOW and room - indent < BESIDE:
        yield first.rstrip()
        indent = len(first) - len(first.lstrip()) + BELOW
        first = " " * indent
    lines = textwrap.wrap(
        visible(text),
        room,
        initial_indent=first,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    for number, line in enumerate(lines):
        if len(line) <= room:
            yield line
            continue
        if not number and first.strip():
            yield first.rstrip()
        yield f"{'':{max(0, room - len(line[indent:]))}}{line[indent:]}"


def flowed(first: str, parts: Iterable[str], gap: str = GAP) -> Iterator[str]:
    """The parts after `first`, in as many lines as they need. A part is broken only if it is longer than a line."""
    room, line, indent = min(MOST, width()), "", " " * len(first)
    for part in filter(None, parts):
        if line and len(first) + len(line) + len(gap) + len(part) > room:
            yield from wrapped(first, line)
            first, line = indent, ""
        line += f"{gap if line else ''}{visible(part)}"
    yield from wrapped(first, line)


def folded(face: Callable[P, Iterator[str]]) -> Callable[P, Iterator[str]]:
    """Decorate a face whose lines have a label of LABEL columns: a line that is too long goes on after the label."""

    @functools.wraps(face)
    def lines(*values: P.args, **options: P.kwargs) -> Iterator[str]:
        for line in face(*values, **options):
            if len(line) <= min(MOST, width()):
                yield line
                continue
            is_labelled = line[LABEL - 1 :][:1] == " " and DOT not in line[:LABEL]
            label = line[:LABEL] if is_labelled else line[: len(line) - len(line.lstrip())]
            gap = GAP if GAP in line[len(label) :] else DOT
            yield from flowed(label, line[len(label) :].split(gap), gap)

    return lines


def error_lines(error: FourtupleError) -> Iterator[str]:
    """The error as text: what was wanted, the limit that stopped it and what to do, or `error:` and `try:`.

    Only a shortfall is stopped by a limit. Other errors say what is wrong with the request or with this host.
    """
    if isinstance(error, ShortfallError):
        yield from wrapped("fourtuple: ", error.wanted)
        if error.stopped_by:
            yield from wrapped("  stopped by  ", error.stopped_by)
        if error.do:
            yield from wrapped("  do          ", error.do)
        return
    yield from wrapped("error: ", f"{error.wanted}: {error.stopped_by}" if error.stopped_by else error.wanted)
    if error.do:
        yield from wrapped("try:   ", error.do)
