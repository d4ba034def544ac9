"""Where text leaves this program for people: to standard output, to standard error, and to the live screens.

Nothing else prints, and each text passes through core/visible.py, so that no face can forget it. Only colours and the
movements of the cursor that are made here and by rich reach a terminal as such; a pipe or a file gets neither.
Characters that the encoding of the output lacks are replaced by faces/text/encodable.py.
"""

import os
import re
import sys
from typing import TYPE_CHECKING, TextIO

from fourtuple.core.visible import visible

if TYPE_CHECKING:
    from rich.text import Text

CLEAR = "\r\033[K"  # to the first column, and clear the line


BOLD, RED, GREEN, RESET = "\033[1m", "\033[31m", "\033[32m", "\033[0m"
# What stands out in a line: what blocks or fails, what holds, and the limit that binds.
MARKED = ((r"\bBLOCKS\b", BOLD + RED), (r"^ *✗", RED), (r"^ *✓", GREEN), (r"^▸.*", BOLD))


def tell(*lines: str, to: TextIO | None = None, headlines: int = 0) -> None:
    """Print the lines, none of which can become two. Raises OSError.

    to:        None: standard output
    headlines: that many of the first lines are the answer, and bold on a terminal
    """
    stream = sys.stdout if to is None else to
    shown = [visible(line) for line in lines]
    if stream is not None and _has_styles(stream):
        shown = [_styled(line, BOLD if number < headlines else "") for number, line in enumerate(shown)]
    _write("".join(f"{line}\n" for line in shown), stream)


def _has_styles(stream: TextIO) -> bool:
    """Whether it is a terminal that shows colours, and the user wants them (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _styled(line: str, style: str) -> str:
    for pattern, mark in MARKED:
        line = re.sub(pattern, f"{mark}\\g<0>{RESET}{style}", line)
    return f"{style}{line}{RESET}" if style and line else line


def redraw(line: str) -> None:
    """Replace the last line on standard error, a terminal; empty: clear it. Raises OSError."""
    _write(f"{CLEAR}{visible(line)}", sys.stderr)


def hand_over(document: bytes) -> None:
    """Write a document, such as a page, to standard output as it is. Raises OSError."""
    if sys.stdout is not None:
        sys.stdout.flush()
        sys.stdout.buffer.write(document)
        sys.stdout.buffer.flush()


def picture(*lines: str, style: str = "") -> "Text":
    """Lines as a part of a live screen, cropped to its width."""
    from rich.text import Text

    return Text("\n".join(map(visible, lines)), style=style, no_wrap=True, overflow="crop")


def _write(text: str, stream: TextIO | None) -> None:
    if stream is None:  # it was closed when this program started
        return
    stream.write(text)
    stream.flush()
