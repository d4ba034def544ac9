"""Lines of a terminal: how wide they are, how text is wrapped, and what an error looks like."""

import textwrap
from collections.abc import Iterator

from fourtuple.core.errors import FourtupleError

COLUMNS = 80


def wrapped(first: str, text: str) -> Iterator[str]:
    """`text` behind `first`, in as many lines as it takes, the later ones indented; no word is broken."""
    yield from textwrap.wrap(
        text,
        COLUMNS,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )


def error_lines(error: FourtupleError) -> Iterator[str]:
    yield from wrapped("fourtuple: ", error.wanted)
    if error.stopped_by:
        yield from wrapped("  stopped by  ", error.stopped_by)
    if error.do:
        yield from wrapped("  do          ", error.do)
