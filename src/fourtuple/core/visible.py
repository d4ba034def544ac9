"""Text of others made visible, so that a terminal, a shell or a spreadsheet shows it and does not obey it.

Names of processes, stored commands and the data of peers may contain escape sequences, newlines, marks that reverse the
direction of text (Unicode Standard Annex #9), or bytes that are not UTF-8. What Python calls not printable is written
as an escape instead: controls (C0, DEL, C1), format characters, separators other than the space, surrogates.
"""

import csv
import io
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

# A spreadsheet takes a cell that begins with one of these, also of full width, for a formula.
FORMULAS = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def visible(text: str) -> str:
    """The text with an escape for each character that is not printable: `\\x1b`, `\\n`, `\\u202e`.

    A byte that is not UTF-8, which Python keeps as a surrogate (PEP 383), is `\\xff`. A backslash stays as it is.
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(letter: str) -> str:
    if letter.isprintable():
        return letter
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()


def visible_json(text: str) -> str:
    """JSON on one line with an escape for each character that is not printable; its meaning is the same (RFC 8259, 7).

    JSON on several lines becomes invalid.
    """
    return text if text.isprintable() else "".join(map(_visible_in_json, text))


def _visible_in_json(letter: str) -> str:
    if letter.isprintable():
        return letter
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def csv_lines(names: Sequence[str] | None, rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """A table as lines of CSV (RFC 4180); no cell has a line break.

    names: the first line; None: there is none

    Text that a spreadsheet would take for a formula begins with an apostrophe, which makes it text. Numbers stay.
    """
    for row in [*([] if names is None else [names]), *rows]:
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([_cell(value) for value in row])
        yield line.getvalue()


def _cell(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.startswith(FORMULAS) else text


def shell_words(arguments: Iterable[str]) -> str:
    """The arguments as a command line of printable characters that can be pasted into a shell.

    What is not printable is quoted as $'…' (POSIX.1-2024, 2.2.4), with the bytes of its UTF-8.
    """
    return " ".join(map(_word, arguments))


def _word(argument: str) -> str:
    return shlex.quote(argument) if argument.isprintable() else f"$'{''.join(map(_in_dollar_quotes, argument))}'"


def _in_dollar_quotes(letter: str) -> str:
    if letter in "\\'":
        return f"\\{letter}"
    if letter.isprintable():
        return letter
    if letter in "\n\r\t":
        return letter.encode("unicode_escape").decode()
    is_byte = "\udc80" <= letter <= "\udcff"
    return "".join(f"\\x{byte:02x}" for byte in letter.encode(errors="surrogateescape" if is_byte else "surrogatepass"))
