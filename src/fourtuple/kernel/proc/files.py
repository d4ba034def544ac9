"""How files of /proc are read as text, with missing and truncated ones told apart; also imported where Linux is not."""

import os
from pathlib import Path

from fourtuple.core.numbers import number_of

PROC = Path("/proc")
CHUNK_BYTES = 64 * 1024


def whole(file: Path) -> str:
    """The text of a file that ends with a newline, as files of /proc do; empty if it is missing or truncated."""
    text = text_of(file)
    return text if text.endswith("\n") else ""


def text_of(file: Path) -> str:
    """The text of a file; empty if it is missing or cannot be read (an old kernel, or a container that hides it).

    A byte that is not UTF-8, which a process may put into its name (prctl(2), PR_SET_NAME), becomes an escape such as
    `\\xff`.
    """
    return read_at(str(file)).decode(errors="backslashreplace")


def link_of(file: Path) -> str:
    """The target of a symbolic link; empty if it is missing or cannot be read."""
    try:
        return os.readlink(file)
    except (OSError, ValueError):
        return ""


def first_number(text: str) -> int | None:
    """The first word of a text as a number; None if it is not one."""
    words = text.split()
    return number_of(words[0]) if words else None


def read_at(path: str, folder: int | None = None) -> bytes:
    """The content of a file; empty if it is missing or cannot be read. It costs a third of what pathlib does.

    folder: an open folder that the path begins from
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
    except (OSError, ValueError):  # ValueError: the path has a NUL
        return b""
    try:
        parts = [os.read(handle, CHUNK_BYTES)]
        while parts[-1]:
            parts.append(os.read(handle, CHUNK_BYTES))
    except OSError:
        return b""
    finally:
        os.close(handle)
    return b"".join(parts)
