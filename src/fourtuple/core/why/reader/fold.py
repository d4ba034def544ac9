"""What a text says, apart from how it is written: one case, one kind of space, quote and dash, no colours, no escapes.

`fold` keeps every line break of the text, so that line N of the folded text is line N of the text.
"""

import re
import unicodedata

from fourtuple.core.late import late_pattern

# A run of backslashes and what it escapes, in JSON, C, and JSON within JSON. Folded text has no backslash.
_ESCAPE = late_pattern(r"\\+(?:u([0-9a-f]{4})|x([0-9a-f]{2})|(\n|.)|\Z)")
_LETTERS = {"n": " ", "r": " ", "t": " ", "\n": "\n", '"': '"', "'": "'", "/": "/"}
_COLOUR = late_pattern(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[()][a-z0-9])?")  # ECMA-48
# As less, rsyslog and copied terminals show them; a bracket and a word, such as [mpm_event] or [mem 0x0], is none.
_VISIBLE_COLOUR = late_pattern(r"(?:\^\[|#033)\[\d{0,3}(?:;\d{1,3})*m|\[(?:\d{1,3}(?:;\d{1,3})*m|m(?![a-z]))")
_COLOUR_SEEN = late_pattern(r"\[\d{0,3}(?:;\d{1,3})*m")  # begins with a character that is fast to look for
_MARGIN = late_pattern(r"\n[> ]+")
_SPACES = "\t\r\v\f\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_NOTHING = "\x00\x7f\xad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff" + "".join(map(chr, range(0x202A, 0x202F)))
_MARKS = {
    "'": "\u2018\u2019\u201a\u201b\u2032\u02bc\u00b4`",
    '"': "\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212",
    ">": "\u2192",
    ":": "\uff1a",
}
_TABLE = str.maketrans(
    {letter: " " for letter in _SPACES}
    | {letter: "" for letter in _NOTHING}
    | {letter: mark for mark, letters in _MARKS.items() for letter in letters}
)
_ASCII = [(chr(code), instead) for code, instead in _TABLE.items() if code < 128]


def fold(text: str) -> str:
    """Fold a text of any number of lines. Folding what is folded changes nothing."""
    text = text.lower()
    if "\\" in text:
        text = _ESCAPE.sub(_unescaped, text)
    if "\x1b" in text:
        text = _COLOUR.sub("", text)
    if _COLOUR_SEEN.search(text):
        text = _VISIBLE_COLOUR.sub(" ", text)
    if not text.isascii():
        text = unicodedata.normalize("NFC", text.translate(_TABLE))
    else:
        for letter, instead in _ASCII:
            text = text.replace(letter, instead)
    return _narrow(text)


def _narrow(text: str) -> str:
    """Leave single spaces, and none at the beginning and the end of a line, nor the marks of quoted mail."""
    text = f"\n{text}\n"
    while "  " in text:
        text = text.replace("  ", " ")
    if "\n " in text or "\n>" in text:
        text = _MARGIN.sub("\n", text)
    return text.replace(" \n", "\n")[1:-1]


def _unescaped(match: re.Match[str]) -> str:
    if digits := match[1] or match[2]:
        letter = chr(int(digits, 16)).lower()
        return " " if letter in "\\\n" or "\ud800" <= letter <= "\udfff" else letter
    return "" if match[3] is None else _LETTERS.get(match[3], f"/{match[3]}")
