"""What is printed where the output's encoding lacks a character: another one that says the same, or its escape.

Python opens standard output with errors="strict", so that with PYTHONIOENCODING=ascii, or in an 8-bit locale, one arrow
would end the command (docs.python.org, sys.stdout). The same holds for a byte of an argument or a file name that is not
UTF-8, which Python keeps as a lone surrogate (PEP 383).
"""

import codecs
import io
from typing import TextIO

HANDLER = "fourtuple.encodable"
# What the screens use beyond ASCII.
SAME = str.maketrans(
    {
        "→": "->",
        "…": "...",
        "−": "-",
        "–": "-",
        "─": "-",
        "├": "|",
        "└": "`",
        "×": "x",
        "·": "-",
        "µ": "u",
        "≥": ">=",
        "≤": "<=",
        "▸": ">",
        "✓": "+",
        "✗": "x",
        **dict(zip("▁▂▃▄▅▆▇█", "_.-:=+*#", strict=True)),
    }
)


def encodable(error: UnicodeError) -> tuple[str, int]:
    """A handler of codecs.register_error: the replacement for what cannot be encoded, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(SAME)
    return "".join(char if char.isascii() else _escaped(char) for char in text), error.end


def _escaped(char: str) -> str:
    """`\\xff` for a byte that is not UTF-8, `\\u20ac` for a character."""
    if "\udc80" <= char <= "\udcff":
        return f"\\x{ord(char) - 0xDC00:02x}"
    return char.encode("ascii", "backslashreplace").decode()


def make_encodable(stream: TextIO | None) -> None:
    """Let a stream print everything in what its encoding has."""
    codecs.register_error(HANDLER, encodable)
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=HANDLER)
