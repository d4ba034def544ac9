"""Lines that say the same as an earlier line, but for times, addresses and identifiers: they are not read again.

An incident fills a log with one message, over and over. A line is split into what varies from line to line (tokens) and
what is left (its shape). Once a line has been read closely, the findings of a line of the same shape follow from its
tokens. A number that may be an errno or a status stays in the shape.
"""

import re
from dataclasses import replace
from typing import Any

from fourtuple.core.late import late_pattern
from fourtuple.core.numbers import number_of
from fourtuple.core.record import dataclass
from fourtuple.core.why.findings import Finding
from fourtuple.core.why.reader.events import Lines
from fourtuple.core.why.reader.groups import Groups

MOST_SHAPES = 4_096
MOST_CHARACTERS = 2_000  # of a line
MOST_TEXT = 500  # characters of a line that a finding keeps
_NUMBERS = late_pattern(r"(\d[\d.:]*)")  # with addresses, times and decimals in one piece
_OF_WINDOWS = late_pattern(r"100\d\d")  # codes of Windows Sockets: they say what happened
_BEFORE_IDENTIFIERS = ("*", "#", "/", "-", "[")
_LONG = 5  # digits of a number that is no errno and no status
_ENDS = ("source", "destination", "host")
_COUNTS = ("pid", "port", "number")
Shape = tuple[str, ...]
Places = tuple[tuple[str, tuple[int, ...]], ...]  # (field, numbers of its tokens)


@dataclass(frozen=True, slots=True)
class _Known:
    """What lines of a shape report: findings, and for each the fields that are tokens, by all their places."""

    findings: tuple[tuple[Finding, Places], ...]


@dataclass(slots=True)
class _Run:
    """Lines of a part of a text that report exactly the same."""

    finding: Finding
    count: int
    first: int
    last: int


class Repeats:
    """Counts lines of known shapes into `groups`, the lines of one part of the text at a time."""

    def __init__(self, groups: Groups) -> None:
        self._groups = groups
        self._known: dict[Shape, _Known] = {}
        self._runs: dict[tuple[Shape, tuple[str, ...]], list[_Run]] = {}

    def take(self, part: Lines, line: int, before: int) -> bool:
        """Count the line if its shape is known; False: it is to be read. before: lines of the text before the part"""
        text = part.lines[line]
        if len(text) > MOST_CHARACTERS or not self._known:
            return False
        shape, tokens = _split(text)
        known = self._known.get(shape)
        if known is None or not _stands_alone(part, line):
            return False
        fields = [{tokens[at] for at in ats} for _, places in known.findings for _, ats in places]
        if any(len(values) > 1 for values in fields):  # a field that stood twice is two different ones here
            return False
        key = (shape, tuple(value for values in fields for value in values))
        if runs := self._runs.get(key):
            for run in runs:
                run.count += 1
                run.last = line
            return True
        self._runs[key] = [
            _Run(
                replace(finding, where=before + line + 1, text=text.strip()[:MOST_TEXT], **_filled(tokens, places)),
                1,
                line,
                line,
            )
            for finding, places in known.findings
        ]
        return True

    def learn(self, part: Lines, line: int, findings: list[Finding]) -> None:
        """Remember what a line that stands alone was found to report."""
        text = part.lines[line]
        if len(self._known) >= MOST_SHAPES or len(text) > MOST_CHARACTERS or not _stands_alone(part, line):
            return
        shape, tokens = _split(text)
        places = [_places(finding, tokens, " ".join(shape)) for finding in findings]
        if all(each is not None for each in places):
            known = tuple((finding, each or ()) for finding, each in zip(findings, places, strict=True))
            self._known[shape] = _Known(known)

    def flush(self, part: Lines) -> None:
        """Add what was counted in this part to the groups."""
        for runs in self._runs.values():
            for run in runs:
                self._groups.add(run.finding, part.framed(run.first).stamp)
                if run.count > 1:
                    self._groups.add(run.finding, part.framed(run.last).stamp, run.count - 1)
        self._runs.clear()


def _split(text: str) -> tuple[Shape, list[str]]:
    """The shape of a line, and its tokens."""
    pieces = _NUMBERS.split(text)
    tokens = []
    for at in range(1, len(pieces), 2):
        piece = pieces[at]
        token = piece.rstrip(".:")
        if (
            not token.isdecimal()
            or (len(token) >= _LONG and not _OF_WINDOWS.fullmatch(token))
            or (pieces[at - 1].endswith(_BEFORE_IDENTIFIERS))
        ):
            tokens.append(token)
            pieces[at] = piece[len(token) :]
    return tuple(pieces), tokens


def _stands_alone(part: Lines, line: int) -> bool:
    """Whether neither the line nor its neighbours continue another one, as those of a stack trace do."""
    return not any(part.continues(each) for each in range(max(0, line - 1), min(len(part.lines), line + 2)))


def _places(finding: Finding, tokens: list[str], literal: str) -> Places | None:
    """Where the fields of a finding stand among the tokens; None: one of them does not.

    literal: what is left of the line, where a field may stand as well
    """
    places = []
    for name in (*_ENDS, *_COUNTS):
        value = getattr(finding, name)
        if value in ("", None) or not re.search(r"\d", str(value)):
            continue
        if _is_whole_in(str(value), literal):
            continue
        found = tuple(at for at, token in enumerate(tokens) if token == str(value))
        if not found:
            return None
        places.append((name, found))
    return tuple(places)


def _is_whole_in(value: str, literal: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(value)}(?![\w.])", literal, re.IGNORECASE) is not None


def _filled(tokens: list[str], places: Places) -> dict[str, Any]:
    return {name: number_of(tokens[at]) if name in _COUNTS else tokens[at] for name, (at, *_) in places}
