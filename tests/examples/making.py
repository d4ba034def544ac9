"""What an example shows now: the output of its commands, or a golden screen."""

from collections.abc import Mapping
from dataclasses import replace

from tests.examples.alike import alike, renewed
from tests.examples.blocks import Example, Step
from tests.examples.shell import typed
from tests.screens import file_of

# Examples that are not made, by name, and why.
ELSEWHERE: Mapping[str, str] = {}


def golden(screen: str) -> list[str]:
    return file_of(screen).read_text(encoding="utf-8").splitlines()


def made(example: Example) -> tuple[list[Step], bool]:
    """The steps with what they are to show, and whether that is what was shown, but for numbers and times."""
    printed = [golden(example.screen)] if example.screen else typed(example)
    pairs = list(zip(example.steps, printed, strict=True))
    now = [replace(step, shown=tuple(renewed(step.shown, lines))) for step, lines in pairs]
    return now, all(alike(step.shown, lines) for step, lines in pairs)
