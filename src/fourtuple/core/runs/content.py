"""What connections say: text as typed, or so many bytes that sender and receiver both know without being told."""

from fourtuple.core.errors import UsageError
from fourtuple.core.units import format_size, parse_size

MOST_BYTES = 2**24
_CYCLE = b"abcdefghijklmnopqrstuvwxyz0123456789"


def parse_content(text: str) -> bytes:
    """`32B` → 32 bytes, `ping` → these four. Raises UsageError as check_content does."""
    try:
        size_bytes = parse_size(text)
    except UsageError:
        return text.encode()
    _check_size(size_bytes)
    return (_CYCLE * (size_bytes // len(_CYCLE) + 1))[:size_bytes]


def check_content(content: bytes) -> None:
    """Raises UsageError where there is nothing, or too much."""
    _check_size(len(content))


def _check_size(size_bytes: int) -> None:
    if not size_bytes:
        raise UsageError("a message", "it is empty")
    if size_bytes > MOST_BYTES:
        raise UsageError("a message", f"it is too long: at most {format_size(MOST_BYTES)} are possible")
