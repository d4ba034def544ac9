"""Lines of a terminal: their width, wrapped text, and errors."""

import textwrap
from collections.abc import Iterator

from fourtuple.core.errors import FourtupleError, ShortfallError
from fourtuple.core.visible import visible

COLUMNS = 80
LEAST = 40  # columns: text in fewer is no easier to read


def width() -> int:
    """The columns of text: 80, or as many as a narrower terminal has, or COLUMNS in the environment says."""
    import shutil

    return max(LEAST, min(COLUMNS, shutil.get_terminal_size((COLUMNS, LEAST)).columns))


def wrapped(first: str, text: str) -> Iterator[str]:
    """`text` after `first`, wrapped into lines of `width()` with a hanging indent; no word is broken.

    A line break in the text becomes visible, which textwrap would take for a space.
    """
    yield from textwrap.wrap(
        visible(text),
        width(),
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


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
