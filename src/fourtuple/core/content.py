"""What connections say: text as typed, or so many bytes that sender and receiver both know without being told."""

from fourtuple.core.errors import UsageError
from fourtuple.core.units import format_size, parse_size

MOST_BYTES = 2**24
_CYCLE = b"abcdefghijklmnopqrstuvwxyz0123456789"


def parse_content(text: str) -> bytes:
    """`32B` → 32 bytes, `ping` → these four. Raises UsageError where that would be more than MOST_BYTES."""
    try:
        size_bytes = parse_size(text)
    except UsageError:
        return text.encode()
    if size_bytes > MOST_BYTES:
        raise UsageError(f"a message of {format_size(size_bytes)}", f"at most {format_size(MOST_BYTES)} are possible")
    return (_CYCLE * (size_bytes // len(_CYCLE) + 1))[:size_bytes]
