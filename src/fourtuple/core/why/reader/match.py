"""Which phrases a text holds: hundreds of them, at the price of one pass over the text.

A phrase has an anchor, its longest literal part. An Aho-Corasick automaton, whose size does not change its speed, looks
for all anchors at once; only where an anchor is found, the whole phrase is compared, as a regular expression. The
automaton takes longer to make than a question of a line takes to be searched for one anchor after another.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property
from itertools import islice
from typing import TYPE_CHECKING

from fourtuple.core.record import dataclass
from fourtuple.core.why.findings import Phrase

if TYPE_CHECKING:
    from ahocorasick_rs import BytesAhoCorasick

LEAST_ANCHOR = 4  # bytes
MOST_WITHOUT = 2_000  # bytes of a text that needs no automaton, unless there is one
MOST_PLACES = 8  # of one phrase in one message
MOST_BETWEEN = 300  # characters for which a `*` stands
_NUMBER = r"\d+(?:[.,]\d+)*[kmg]?"


@dataclass(frozen=True, slots=True)
class Match:
    """A phrase that was found.

    start, end: where in the folded text
    number:     the first number for which a `#` stands, as it is written; empty: the phrase has none
    """

    phrase: Phrase
    start: int
    end: int
    number: str = ""


def anchor_of(text: str) -> str:
    """The longest literal part of a phrase. Raises ValueError if there is none that tells anything."""
    longest = text.strip(" ")
    if "*" in text or "#" in text:
        parts = text.replace("#", "*").split("*")
        longest = max((part.strip(" ").encode() for part in parts), key=len).decode()
    if len(longest) < LEAST_ANCHOR and len(longest.encode()) < LEAST_ANCHOR:
        raise ValueError(f"no part of {text!r} is long enough to look for")
    return longest


@cache
def pattern_of(text: str) -> re.Pattern[str]:
    """The regular expression of a phrase; it begins and ends at the border of a word.

    It is made when its anchor is found for the first time: all of them would take 0.1 s, and a text has few.
    """
    parts = [
        f".{{0,{MOST_BETWEEN}}}?" if part == "*" else f"({_NUMBER})" if part == "#" else re.escape(part)
        for part in re.split(r"([*#])", text)
    ]
    begin = r"(?<![a-z0-9_])" if re.match(r"[a-z0-9#]", text) else ""
    end = r"(?![a-z0-9_])" if re.search(r"[a-z0-9#]\Z", text) else ""
    return re.compile(f"{begin}{''.join(parts)}{end}", re.DOTALL)


class Matcher:
    """All phrases, by their anchors.

    phrases: what to look for
    hints:   texts in folded form that make a line worth reading, although no phrase has them
    """

    def __init__(self, phrases: Sequence[Phrase], hints: Iterable[str] = ()) -> None:
        self._by_anchor: dict[str, list[Phrase]] = {hint: [] for hint in hints}
        for phrase in phrases:
            self._by_anchor.setdefault(anchor_of(phrase.text), []).append(phrase)
        self._anchors = [anchor.encode() for anchor in self._by_anchor]
        self._has_automaton = False

    @cached_property
    def _automaton(self) -> "BytesAhoCorasick":
        from ahocorasick_rs import BytesAhoCorasick, Implementation

        made = BytesAhoCorasick(self._anchors, implementation=Implementation.ContiguousNFA)
        self._has_automaton = True
        return made

    def _anchors_in(self, data: bytes) -> Iterable[bytes]:
        """The anchors in a text, each once."""
        if len(data) <= MOST_WITHOUT and not self._has_automaton:
            return (anchor for anchor in self._anchors if anchor in data)
        found = self._automaton.find_matches_as_indexes(data, overlapping=True)
        return {self._anchors[number] for number, _, _ in found}

    def hits(self, folded: str) -> Iterator[tuple[int, int]]:
        """Yield first and last line, from 0, of each place in the text where an anchor is, also across a line break."""
        data = folded.encode(errors="replace")
        line, at = 0, 0
        for _, start, end in self._automaton.find_matches_as_indexes(data.replace(b"\n", b" ")):
            line, at = line + data.count(b"\n", at, start), start
            yield line, line + data.count(b"\n", start, end)

    def matches(self, folded: str) -> list[Match]:
        """Return the phrases in a text without line breaks, in the order of their ends."""
        found = [
            Match(phrase, each.start(), each.end(), next(filter(None, each.groups()), ""))
            for anchor in self._anchors_in(folded.encode(errors="replace"))
            for phrase in self._by_anchor[anchor.decode()]
            for each in islice(pattern_of(phrase.text).finditer(folded), MOST_PLACES)
        ]
        return sorted(found, key=lambda match: (match.end, match.start, match.phrase.text))
