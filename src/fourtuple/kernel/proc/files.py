"""Files of the kernel as text. On its own, for those who read nothing else and must not need Linux."""

import os
from pathlib import Path

PROC = Path("/proc")


def whole(file: Path) -> str:
    """A text that ends with a line end, as all of /proc do; empty where it is not there, or cut short."""
    text = text_of(file)
    return text if text.endswith("\n") else ""


def text_of(file: Path) -> str:
    """Empty where the file is not there: an old kernel, or a container that hides it."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def link_of(file: Path) -> str:
    """Where a link leads; empty where it is not there, or may not be read."""
    try:
        return os.readlink(file)
    except OSError:
        return ""


def first_number(text: str) -> int | None:
    """The first word, if it is a number."""
    words = text.split()
    return int(words[0]) if words and words[0].isdecimal() else None
