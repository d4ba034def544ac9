"""Which bytes a text of the command line means: text with escapes, or a size."""

import re

from fourtuple.core.errors import UsageError
from fourtuple.core.units import format_size, parse_size, quoted, size_meant

MOST_BYTES = 2**24
ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(0(?![0-9])|[rnt\\]))|\\x?.?", re.DOTALL)
_CYCLE = b"abcdefghijklmnopqrstuvwxyz0123456789"


def parse_content(text: str) -> bytes:
    r"""`32B` → 32 bytes of a pattern, `PING\r\n` → these six bytes. Raises UsageError as parse_expected does."""
    content = parse_expected(text)
    if isinstance(content, bytes):
        return content
    return (_CYCLE * (content // len(_CYCLE) + 1))[:content]


def parse_expected(text: str) -> bytes | int:
    r"""`32B` → 32, which stands for that many bytes, whatever they are; `+PONG\r\n` → these seven bytes.

    Raises UsageError for an invalid escape, for a size with another unit such as GB, and as check_size does.
    """
    try:
        size_bytes = parse_size(text)
    except UsageError:
        if meant := size_meant(text):
            literally = rf"\x{ord(text[0]):02x}{text[1:]}"
            raise UsageError(
                quoted(text), "it can be a size or a text", f"Write {meant} for the size, '{literally}' for the text."
            ) from None
        return parse_text(text)
    check_size(size_bytes)
    return size_bytes


def parse_text(text: str) -> bytes:
    r"""The bytes of the text, with the escapes \r, \n, \t, \0, \xHH and \\ replaced. Raises UsageError.

    A character is sent in UTF-8; bytes of the command line that are not UTF-8 are sent as they are.
    """
    content, end = b"", 0
    for escape in _ESCAPE.finditer(text):
        content += text[end : escape.start()].encode(errors="surrogateescape") + _escaped(text, escape)
        end = escape.end()
    return content + text[end:].encode(errors="surrogateescape")


def check_size(size_bytes: int) -> None:
    """Raises UsageError if a message of this size is empty or too long."""
    if size_bytes < 1:
        raise UsageError("the message is empty", do="Write a text, a size such as 32B, or @FILE.")
    if size_bytes > MOST_BYTES:
        raise UsageError("the message is too long", f"at most {format_size(MOST_BYTES)}", "Send several.")


def _escaped(text: str, escape: re.Match[str]) -> bytes:
    digits, letter = escape.groups()
    if digits:
        return bytes.fromhex(digits)
    if letter:
        return ESCAPES[letter]
    raise UsageError(
        f"the text {_shown(text)}",
        f"{_shown(escape[0])} at character {escape.start() + 1} is not an escape",
        r"Write \r, \n, \t, \0, \xHH (two hexadecimal digits), or \\ for a backslash.",
    )


def _shown(text: str) -> str:
    """The text in quotes as typed, with control characters replaced."""
    return repr(text).replace("\\\\", "\\")
