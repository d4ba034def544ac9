"""A regular expression looks at so little of an answer that a search is bounded, or is refused."""

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fourtuple.core.errors import UsageError
from fourtuple.core.talk.pattern import WINDOWS, bounded, regex, search_steps


@pytest.mark.parametrize(
    ("pattern", "window_bytes"),
    [
        (rb"^OK", 3),
        (rb"\AOK$", 3),
        (rb"^\d{1,3} ", 5),
        (rb"OK", 65536),
        (rb"^\+OK.*\r\n", 65536),
        (rb"^HTTP/1\.1 \d+ .*\r\n", 65536),
        (rb'^[^"]*"ok"', 65536),
        (rb"(?s)^...\x04", 5),
        (rb"(?m)^a*b", 8192),
        (rb".*\r\n", 8192),
        (rb"(?: .*)?\r\n", 8192),
        (rb"(?i)[a-z]+[A-Z]", 8192),
        (rb"(?:a|b)*c", 8192),
        (rb"^z*Z*x", 8192),
        (rb"^z*y*x", 65536),
        (rb"a" * 1000, 65536),
        (rb"a.*b.*c", 256),
        (rb"^a.*b.*c", 8192),
    ],
)
def test_the_window_follows_from_how_many_ways_there_are(pattern: bytes, window_bytes: int) -> None:
    assert bounded(pattern).window_bytes == window_bytes


@pytest.mark.parametrize(
    ("pattern", "prefix"),
    [
        (rb"^\+OK.*\r\n", b"+OK"),
        (rb"\AOK?", b"O"),
        (rb"^[O]K", b"OK"),
        (rb"^(OK)", b""),
        (rb"OK", b""),
        (rb"(?i)^OK", b""),
        (rb"(?m)^OK", b""),
        (rb"^", b""),
        (rb"(?s)", b""),
    ],
)
def test_what_a_text_must_begin_with_is_known(pattern: bytes, prefix: bytes) -> None:
    assert bounded(pattern).prefix == prefix


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (rb"(a+)+b", "exponential"),
        (rb"(a|ab)*c", "exponential"),
        (rb"^(([a-z])+.)+[A-Z]([a-z])+$", "exponential"),
        (rb"(x+x+)+y", "exponential"),
        (rb"((a?){3})*b", "exponential"),
        (rb"(?>a+)+b", "exponential|unknown extension"),  # Python 3.10 has no such group
        (b"(" * 9 + b"a?" + b"){16}" * 9, "too often"),
        (b"(" * 9 + b"a*" + b")*" * 9, "too often|exponential"),
        (rb"a*a*a*a*b", "steps"),
        (rb"(a?){16}a{16}", "steps"),
        (rb"(?=a)b", "ahead or behind"),
        (rb"(?<!a)b", "ahead or behind"),
        (rb"(a)\1", "refers back"),
        (rb"(a)?(?(1)b|c)", "refers back"),
        (rb"[", "not a regular expression"),
        (rb"a{3,2}", "not a regular expression"),
        (rb"", "1 to 1,000 bytes"),
        (rb"a" * 1001, "1 to 1,000 bytes"),
    ],
)
def test_what_could_take_for_ever_is_refused(pattern: bytes, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        bounded(pattern)


@given(st.text(r"ab*+?(){}[]|^$.\d1,:iP<>=!-", max_size=30))
def test_any_text_is_a_bounded_pattern_or_a_usage_error(text: str) -> None:
    try:
        found = bounded(text.encode())
    except UsageError:
        return
    assert 1 <= found.window_bytes <= WINDOWS[0]


PARTS = st.recursive(
    st.sampled_from(["a", "b", "[ab]", "[^a]", "."]),
    lambda each: st.one_of(
        st.lists(each, min_size=1, max_size=4).map("".join),
        st.lists(each, min_size=2, max_size=3).map(lambda some: f"(?:{'|'.join(some)})"),
        st.tuples(each, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "*?"])).map(
            lambda two: f"(?:{two[0]}){two[1]}"
        ),
    ),
    max_leaves=6,
)


class Tries:
    """A matcher that goes back as `re` does, and counts the bytes that it looks at."""

    def __init__(self, text: bytes) -> None:
        self.text, self.steps = text, 0

    def ends(self, items: list[tuple[object, object]], at: int) -> Iterator[int]:
        """Where a match of these items that begins at a place can end."""
        if not items:
            yield at
            return
        for end in self.of(str(items[0][0]), items[0][1], at):
            yield from self.ends(items[1:], end)

    def of(self, operation: str, argument: object, at: int) -> Iterator[int]:
        if operation == "SUBPATTERN":
            yield from self.ends(list(argument[3]), at)  # type: ignore[index]
        elif operation == "BRANCH":
            for each in argument[1]:  # type: ignore[index]
                yield from self.ends(list(each), at)
        elif "REPEAT" in operation:
            least, most, body = cast(tuple[int, int, Iterable[tuple[object, object]]], argument)
            yield from self.repeated(least, most, list(body), at)
        else:
            self.steps += 1
            assert operation in ("LITERAL", "NOT_LITERAL", "ANY", "IN")
            if at < len(self.text) and self.fits(operation, argument, self.text[at]):
                yield at + 1

    def repeated(self, least: int, most: int, body: list[tuple[object, object]], at: int) -> Iterator[int]:
        for end in self.ends(body, at) if most else ():
            if end > at:
                yield from self.repeated(max(0, least - 1), most - 1, body, end)
        if not least:
            yield at

    def fits(self, operation: str, argument: object, byte: int) -> bool:
        if operation == "IN":
            negated = any(str(kind) == "NEGATE" for kind, _ in argument)  # type: ignore[attr-defined]
            return negated != any(value == byte for _, value in argument)  # type: ignore[attr-defined]
        return operation == "ANY" or (argument == byte) != (operation == "NOT_LITERAL")


@given(PARTS, st.text("ab", min_size=1, max_size=10), st.booleans())
def test_no_search_takes_more_steps_than_calculated(part: str, text: str, anchored: bool) -> None:
    """A search for what cannot be found, which goes through all ways, in a text of the size of the window."""
    pattern = f"{part}c".encode()
    try:
        bounded(pattern)
    except UsageError:
        assume(False)
    tries = Tries(text.encode())
    for at in range(1 if anchored else len(text)):
        assert not list(itertools.islice(tries.ends(list(regex.parse(pattern)), at), 1))

    assert tries.steps <= search_steps(regex.parse(b"^" * anchored + pattern), len(text))
    assert not re.search(pattern, text.encode())
