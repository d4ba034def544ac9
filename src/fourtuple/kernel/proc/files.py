"""Files of the kernel as text. On its own, for those who read nothing else and must not need Linux."""

from pathlib import Path


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
