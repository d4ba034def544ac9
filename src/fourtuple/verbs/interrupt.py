"""Ctrl-C, noted: a library that it interrupts may make another error of it, or none."""

from types import FrameType

_came = False


def interrupt(number: int, frame: FrameType | None) -> None:
    """Handle SIGINT as Python does, by KeyboardInterrupt, and note it."""
    global _came
    _came = True
    raise KeyboardInterrupt


def was_interrupted() -> bool:
    """Whether Ctrl-C came: what has failed since then may have failed because of it."""
    return _came
