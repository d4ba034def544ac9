"""The lines of the live view in the width of the terminal: what does not fit beside something goes below it."""

import textwrap
from collections.abc import Iterator

from rich.console import RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fourtuple.core.visible import visible
from fourtuple.faces.printer import picture

LABEL = 9
GAP = 3  # between two parts of a line
LEAST_BAR, MOST_BAR = 10, 50
ALARM = "bold red"
DONE, LEFT = "cyan", "bright_black"  # of a bar: no colour of an error or of a success

Part = str | tuple[str, str]  # words, or words with a style; empty words are left out


def head(left: str, right: str, columns: int) -> Iterator[RenderableType]:
    """Two texts at the two ends of a line, or in two lines."""
    room = columns - 1
    if len(left) + GAP + len(right) > room:
        yield picture(shortened(left, room), style="bold")
        yield picture(shortened(right, room))
        return
    yield picture(f"{left}{right:>{room - len(left)}}", style="bold")


def flowing(label: str, *parts: Part, columns: int) -> Iterator[Text]:
    """A label and the parts next to it, in as many lines as they need."""
    indent = LABEL if label else 0
    line, is_new = picture(f"{label:<{indent}}"), True
    for part in parts:
        words, style = (part, "") if isinstance(part, str) else part
        if not words:
            continue
        if not is_new and len(line) + GAP + len(words) > columns - 1:
            yield line
            line, is_new = picture(" " * indent), True
        line.append(f"{'' if is_new else ' ' * GAP}")
        line.append(shortened(visible(words), columns - 1 - len(line)), style=style)
        is_new = False
    yield line


def bar(done: int, of: int, *parts: str, columns: int) -> Iterator[RenderableType]:
    """A bar with words beside it, or below it."""
    words = (" " * GAP).join(filter(None, parts))
    width = max(LEAST_BAR, min(MOST_BAR, columns // 2 - 6))
    fits = width + 2 + len(words) <= columns - 1
    drawn = ProgressBar(
        total=max(1, of), completed=done, width=width if fits else columns - 1,
        style=LEFT, complete_style=DONE, finished_style=DONE,
    )  # fmt: skip
    grid = Table.grid(padding=(0, 2))
    grid.add_row(drawn, *([picture(words)] if fits else []))
    yield grid
    if not fits:
        yield from flowing("", *parts, columns=columns)


def prose(label: str, words: str, columns: int) -> Iterator[Text]:
    """A label and a sentence next to it, wrapped."""
    first, others = f"{label:<{LABEL}}", " " * LABEL
    for line in textwrap.wrap(visible(words), columns - 1, initial_indent=first, subsequent_indent=others):
        yield picture(line)


def shortened(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: max(0, room - 1)]}…"
