"""A run while it goes: one line on standard error that is written over on a terminal, now and then a line elsewhere."""

import sys
import time
from collections.abc import Callable, Generator
from typing import TextIO, TypeVar

from fourtuple.core.run import Event, Sample
from fourtuple.faces.lines import COLUMNS
from fourtuple.faces.text import event_line

T = TypeVar("T")
T2 = TypeVar("T2")

TERMINAL_S, PIPE_S = 0.25, 5.0  # between two lines
CLEAR = "\r\033[K"  # back to the first column, and nothing left of the line


def show(
    run: Generator[Sample, None, T],
    line_of: Callable[[Sample], str],
    *,
    quiet: bool,
    events_to: TextIO,
    announce: bool,
    ready: Callable[[Sample], str],
) -> T:
    """Pull `run` to its end → its record. Events go to `events_to`, progress to standard error.

    ready: the line that says the run has got where others may rely on it, "" until then; shown where `announce` is true
    """
    terminal = sys.stderr.isatty()
    every_s = TERMINAL_S if terminal else PIPE_S
    next_s = time.monotonic() + every_s
    shown = announced = False
    try:
        while True:
            sample = next(run)
            if announce and not announced and (line := ready(sample)):
                print(f"{CLEAR if shown else ''}{line}", file=sys.stderr, flush=True)
                announced = True
            _tell(sample.events, events_to)
            if not quiet and time.monotonic() >= next_s:
                next_s = time.monotonic() + every_s
                line = line_of(sample)[: COLUMNS - 1]
                print(f"{CLEAR}{line}" if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)
                shown = terminal
    except StopIteration as end:
        record: T = end.value
        return record
    finally:
        if shown:
            print(CLEAR, end="", file=sys.stderr, flush=True)


def progress(run: Generator[T2, None, T], line_of: Callable[[T2], str], *, quiet: bool) -> T:
    """The same for a run without events, whose steps come seldom: on a terminal only."""
    shown = False
    try:
        while True:
            line = line_of(next(run))
            if not quiet and sys.stderr.isatty():
                print(f"{CLEAR}{line[: COLUMNS - 1]}", end="", file=sys.stderr, flush=True)
                shown = True
    except StopIteration as end:
        record: T = end.value
        return record
    finally:
        if shown:
            print(CLEAR, end="", file=sys.stderr, flush=True)


def _tell(events: tuple[Event, ...], stream: TextIO) -> None:
    if events:
        print("\n".join(map(event_line, events)), file=stream, flush=True)
