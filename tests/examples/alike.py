"""Whether what a page shows is what its command prints now, in everything but numbers and times.

Lines are compared in their form: numbers with their units are `#`, bars are one character, and the spaces that align
numbers are one space. A line that was wrapped is joined first, because longer numbers wrap it elsewhere. Lines of equal
form that follow each other, such as those of progress, are one. `…` alone on a line stands for any lines.
"""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

ELISION = "…"
COLUMNS = 80  # of output that goes to no terminal
_NUMBER = (
    r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?( UTC|Z|[+-]\d\d:\d\d)?"
    r"|[~≤+-]?\d[\d,.]*(?:\s?(?:ns|µs|ms|s|m|h|B|[KMGT]iB|[KMGT]B|%|M|k)(?![\w-]))?"
)
_GAP = re.compile(r"\s{2,}")
_FORMS = (
    (re.compile(r"[▁-█░]+|[━╺╸]+"), "▁"),
    (re.compile(_NUMBER), "#"),
    (re.compile(r"#([-:.,/]#)+"), "#"),  # addresses, ranges and clock times
    (re.compile(r"\s*#\s*"), " # "),
    (re.compile(r"\b(process|address)es\b"), r"\1"),
    (re.compile(r"(?<=\S)\s{2,}(?=\S)"), "  "),
)


@dataclass(frozen=True, slots=True)
class Line:
    """A line in its form, and each line that has this form, as it stands: several where it was wrapped."""

    form: str
    raw: tuple[tuple[str, ...], ...]


def alike(shown: Sequence[str], printed: Sequence[str]) -> bool:
    """Is this what the page shows?"""
    now = [line.form for line in _lines(printed)]
    ends = {0}  # how many lines of `now` may be what has been shown so far
    for line in _lines(shown):
        if line.form == ELISION:
            ends = set(range(min(ends), len(now) + 1))
        else:
            ends = {end + 1 for end in ends if end < len(now) and now[end] == line.form}
        if not ends:
            return False
    return len(now) in ends


def renewed(shown: Sequence[str], printed: Sequence[str]) -> list[str]:
    """What the page is to show, with lines left out where they were: between the lines nearest to those around `…`.

    Lines of one form are no more than they were: how often progress is told depends on the machine.
    """
    before, now = _lines(shown), _lines(printed)
    most = {line.form: len(line.raw) for line in before}
    pieces = [list(lines) for _, lines in groupby(before, key=lambda line: line.form == ELISION)]
    begin, kept = 0, list[Line]()
    for number, piece in enumerate(pieces):
        if piece[0].form == ELISION:
            kept += piece
            continue
        end = len(now)
        words = [line for line in piece if line.form] or piece  # an empty line may be anywhere
        first = _nearest(words[0], now, begin) if number else 0
        if number + 1 < len(pieces):
            end = 1 + (_nearest(words[-1], now, first + 1) if words[1:] else first)
            end += not piece[-1].form and not now[end : end + 1][0].form
        first -= bool(number and not piece[0].form and first > begin and not now[first - 1].form)
        kept += now[first:end]
        begin = end
    return [line for each in (kept if pieces else now) for raw in each.raw[: most.get(each.form)] for line in raw]


def _nearest(wanted: Line, lines: Sequence[Line], begin: int) -> int:
    """The number of the line, from `begin`, whose form is the nearest; the first one, if several are."""
    judge = difflib.SequenceMatcher(b=wanted.form, autojunk=False)

    def nearness(number: int) -> float:
        judge.set_seq1(lines[number].form)
        return judge.ratio()

    return max(range(begin, len(lines)), key=nearness, default=len(lines))


def _lines(raw: Sequence[str]) -> list[Line]:
    return [Line(form, tuple(lines)) for form, lines in groupby(_unwrapped(raw), key=_form)]


def _unwrapped(raw: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Each line with those that are only its continuation."""
    line: list[str] = []
    for each in raw:
        if line and _continues(each, line):
            line.append(each)
            continue
        if line:
            yield tuple(line)
        line = [each]
    if line:
        yield tuple(line)


def _continues(text: str, line: Sequence[str]) -> bool:
    """Whether the text belongs to the line: its first word had no room there, and it stands below the line's text."""
    words, last = text.split(), line[-1]
    if not words or not last.strip() or ELISION in (text.strip(), last.strip()):
        return False
    has_columns = bool(_GAP.search(line[0].strip()))
    return len(last) + 1 + len(words[0]) > COLUMNS and _indent(text) >= _indent(line[0]) + has_columns


def _indent(text: str) -> int:
    return len(text) - len(text.lstrip())


def _form(lines: Sequence[str]) -> str:
    text = " ".join([lines[0].rstrip(), *(line.strip() for line in lines[1:])])
    if text.strip() == ELISION:
        return ELISION
    for pattern, form in _FORMS:
        text = pattern.sub(form, text)
    return text.rstrip()
