"""The progress of a run on standard error: a screen on a terminal, otherwise a line every few seconds."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO, TypeVar

from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.records import Sample
from fourtuple.core.runs.run import Run
from fourtuple.faces.printer import redraw, tell
from fourtuple.faces.text.lines import COLUMNS, LEAST
from fourtuple.faces.text.machines import gone_line
from fourtuple.faces.text.words import event_line

if TYPE_CHECKING:
    from rich.live import Live

T = TypeVar("T")
T2 = TypeVar("T2")

TERMINAL_S, PIPE_S = 0.25, 5.0  # interval between two screens, or two lines


def show(
    run: Run[Sample, T],
    line_of: Callable[[Sample], str],
    *,
    quiet: bool,
    events_to: TextIO,
    announce: bool,
    ready: Callable[[Sample], str],
) -> T:
    """Run `run` to its end → its record. Events go to `events_to`, progress to standard error.

    announce: print the line of `ready`, once, and a line for each machine of a fleet that is gone
    ready:    the line that says that the run is ready (all open, or listening); empty until then
    """
    picture = _NoPicture() if quiet else _Picture() if _is_terminal() else _Lines(line_of)
    announced, gone = False, set[int]()
    try:
        for sample in run:
            if announce and not announced and (line := ready(sample)):
                picture.clear()
                tell(line, to=sys.stderr)
                announced = True
            if announce and (lost := [each for each in sample.machines if each.why and each.number not in gone]):
                picture.clear()
                tell(*map(gone_line, lost), to=sys.stderr)
                gone |= {each.number for each in lost}
            if sample.events:
                picture.clear()
                tell(*map(event_line, sample.events), to=events_to)
            picture.draw(sample)
        return run.record
    finally:
        picture.clear()


def progress(run: Run[T2, T], line_of: Callable[[T2], str], *, quiet: bool) -> T:
    """The same for a run with few steps and no events; progress is shown on a terminal only."""
    shown = False
    try:
        for step in run:
            if not quiet and sys.stderr.isatty():
                redraw(line_of(step)[: _room()])
                shown = True
        return run.record
    finally:
        if shown:
            redraw("")


def _is_terminal() -> bool:
    """Whether standard error can show the screen: a terminal that is wide enough and not dumb (terminfo(5))."""
    is_wide = shutil.get_terminal_size().columns >= LEAST
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb" and is_wide


def _room() -> int:
    """The columns of a line that a terminal does not wrap."""
    return min(COLUMNS, shutil.get_terminal_size((COLUMNS, 1)).columns) - 1


class _NoPicture:
    def draw(self, sample: Sample) -> None:
        """Draw nothing."""

    def clear(self) -> None:
        """Nothing to clear."""


class _Lines(_NoPicture):
    def __init__(self, line_of: Callable[[Sample], str]) -> None:
        self._line_of = line_of
        self._due_s = time.monotonic() + PIPE_S

    def draw(self, sample: Sample) -> None:
        if time.monotonic() >= self._due_s:
            self._due_s = time.monotonic() + PIPE_S
            tell(self._line_of(sample)[: _room()], to=sys.stderr)


class _Picture(_NoPicture):
    """The screen, drawn at most four times per second; rich is imported only for it."""

    def __init__(self) -> None:
        from fourtuple.faces.terminal.screen import Screen

        self._screen = Screen()
        self._due_s = 0.0
        self._phase: Phase | None = None
        self._live: Live | None = None

    def draw(self, sample: Sample) -> None:
        if time.monotonic() < self._due_s and sample.phase == self._phase:
            return
        self._due_s, self._phase = time.monotonic() + TERMINAL_S, sample.phase
        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            self._live = Live(console=Console(stderr=True, highlight=False), auto_refresh=False, transient=True)
            self._live.start()
        console = self._live.console
        self._live.update(self._screen.draw(sample, console.height - 1, console.width), refresh=True)

    def clear(self) -> None:
        """Remove the screen to make room for other output; the next draw() shows it again below."""
        if self._live is not None:
            self._live.stop()
            self._live = None
