"""A census that is refreshed: a screen with keys to sort it."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from fourtuple.core.census.records import Census
from fourtuple.faces.printer import picture
from fourtuple.faces.text.census import SORTS, watch_lines

AROUND = 12  # lines of the screen that are not rows of the table


def screen(looks: Iterator[Census], every_s: float) -> None:
    """Take a look every `every_s` and draw it, until q is pressed."""
    console = Console()
    sort, found, due_s = "p", next(looks), time.monotonic() + every_s
    keys = "  ".join(f"{key} {name}" for key, (name, _) in SORTS.items())
    with _keys() as key_within, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            rows = max(1, console.height - AROUND)
            lines = list(watch_lines(found, most=rows, sort=sort))[: console.height - 2]
            bottom = f"by {SORTS[sort][0]}   keys: {keys}  q quit"
            blank = [""] * (console.height - 1 - len(lines))
            live.update(picture(*lines, *blank, bottom), refresh=True)
            key = key_within(max(0.0, due_s - time.monotonic()))
            if key == "q":
                return
            sort = key if key in SORTS else sort
            if time.monotonic() >= due_s:
                found, due_s = next(looks), max(due_s + every_s, time.monotonic())


@contextmanager
def _keys() -> Iterator[Callable[[float], str]]:
    """A function that waits at most N seconds for a key; the terminal passes keys on at once and does not echo them."""
    before = termios.tcgetattr(sys.stdin)

    def key_within(seconds: float) -> str:
        ready, _, _ = select.select([sys.stdin], [], [], seconds)
        return os.read(sys.stdin.fileno(), 1).decode(errors="replace") if ready else ""

    tty.setcbreak(sys.stdin)
    try:
        yield key_within
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
