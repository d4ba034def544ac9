"""The messages on connections: text as typed, or N bytes of a pattern that both ends know."""

from fourtuple.core.errors import UsageError
from fourtuple.core.units import format_size, parse_size

MOST_BYTES = 2**24
_CYCLE = b"abcdefghijklmnopqrstuvwxyz0123456789"


def parse_content(text: str) -> bytes:
    """`32B` → 32 bytes of the pattern, `ping` → these four bytes. Raises UsageError as check_content does."""
    try:
        size_bytes = parse_size(text)
    except UsageError:
        return text.encode(errors="surrogateescape")  # an argument may be any bytes
    _check_size(size_bytes)
    return (_CYCLE * (size_bytes // len(_CYCLE) + 1))[:size_bytes]


def check_content(content: bytes) -> None:
    """Raises UsageError if the message is empty or too long."""
    _check_size(len(content))


def _check_size(size_bytes: int) -> None:
    if not size_bytes:
        raise UsageError("the message is empty")
    if size_bytes > MOST_BYTES:
        raise UsageError(f"the message is too long (at most {format_size(MOST_BYTES)})")
