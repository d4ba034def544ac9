"""Where text leaves this program for people: to standard output, to standard error, and to the live screens.

Nothing else prints, and each text passes through core/visible.py, so that no face can forget it. Only colours and the
movements of the cursor that are made here and by rich reach a terminal as such. Characters that the encoding of the
output lacks are replaced by faces/text/encodable.py.
"""

import sys
from typing import TYPE_CHECKING, TextIO

from fourtuple.core.visible import visible

if TYPE_CHECKING:
    from rich.text import Text

_written = 0  # how often something was written to standard output
CLEAR = "\r\033[K"  # to the first column, and clear the line


def tell(*lines: str, to: TextIO | None = None) -> None:
    """Print the lines, none of which can become two. to: None: standard output. Raises OSError."""
    _write("".join(f"{visible(line)}\n" for line in lines), sys.stdout if to is None else to)


def redraw(line: str) -> None:
    """Replace the last line on standard error, a terminal; empty: clear it. Raises OSError."""
    _write(f"{CLEAR}{visible(line)}", sys.stderr)


def hand_over(document: bytes) -> None:
    """Write a document, such as a page, to standard output as it is. Raises OSError."""
    global _written
    if sys.stdout is not None:
        _written += 1
        sys.stdout.flush()
        sys.stdout.buffer.write(document)
        sys.stdout.buffer.flush()


def picture(*lines: str, style: str = "") -> "Text":
    """Lines as a part of a live screen, cropped to its width."""
    from rich.text import Text

    return Text("\n".join(map(visible, lines)), style=style, no_wrap=True, overflow="crop")


def times_written() -> int:
    """How often something was written to standard output so far."""
    return _written


def _write(text: str, stream: TextIO | None) -> None:
    global _written
    if stream is None:  # it was closed when this program started
        return
    _written += stream is sys.stdout
    stream.write(text)
    stream.flush()
