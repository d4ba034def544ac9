"""Which phrases a text holds is the same with and without the automaton."""

import pytest

from fourtuple.core.why.findings import Phrase
from fourtuple.core.why.reader import PHRASES
from fourtuple.core.why.reader.match import MOST_WITHOUT, Matcher, anchor_of

EVERY_FIFTIETH = [phrase.text.replace("*", " x ").replace("#", "23") for phrase in PHRASES[::50]]


@pytest.fixture(scope="module")
def with_automaton() -> Matcher:
    matcher = Matcher(PHRASES)
    matcher.matches("x" * (MOST_WITHOUT + 1))
    return matcher


@pytest.fixture(scope="module")
def without() -> Matcher:
    return Matcher(PHRASES)


@pytest.mark.parametrize(
    "text", [*EVERY_FIFTIETH, "", "nothing of interest", "\udcff too many open files \udcff", "日本語"]
)
def test_a_short_text_needs_no_automaton(text: str, without: Matcher, with_automaton: Matcher) -> None:
    folded = f"it says {text}; {EVERY_FIFTIETH[0]}, {EVERY_FIFTIETH[-1]}"

    assert without.matches(folded) == with_automaton.matches(folded) != []


def test_phrases_that_share_an_anchor_are_all_found() -> None:
    phrases = [Phrase("too many clients"), Phrase("*too many clients*already"), Phrase("clients already")]

    found = Matcher(phrases).matches("sorry, too many clients already")

    assert {match.phrase.text for match in found} == {phrase.text for phrase in phrases}


@pytest.mark.parametrize(
    ("text", "anchor"),
    [("too many clients", "too many clients"), ("ab*limit #", "limit"), ("文件", "文件"), (" #open* files", "files")],
)
def test_the_anchor_is_the_longest_literal_part(text: str, anchor: str) -> None:
    assert anchor_of(text) == anchor


@pytest.mark.parametrize("text", ["abc", "a*b#c", "*", ""])
def test_a_phrase_without_an_anchor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="long enough"):
        anchor_of(text)
