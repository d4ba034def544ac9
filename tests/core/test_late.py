"""A pattern that is compiled late is the same pattern."""

import importlib
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.late import LatePattern, late_pattern

WORDS = r"(?P<first>[a-c]+)(\d)?"


@given(st.text("abc1 2\n"))
def test_it_finds_what_re_finds(text: str) -> None:
    """By each method, however often, with the same groups."""
    at_once, late = re.compile(WORDS, re.IGNORECASE), late_pattern(WORDS, re.IGNORECASE)

    for _ in range(2):
        assert [match.groupdict() for match in late.finditer(text)] == [m.groupdict() for m in at_once.finditer(text)]
        assert (late.findall(text), late.split(text)) == (at_once.findall(text), at_once.split(text))
        assert late.sub(r"\g<first>", text) == at_once.sub(r"\g<first>", text)
        for name in ("search", "match", "fullmatch"):
            assert repr(getattr(late, name)(text)) == repr(getattr(at_once, name)(text))
    assert (late.pattern, late.flags, late.groups) == (at_once.pattern, at_once.flags, at_once.groups)


def test_it_compiles_when_it_is_used() -> None:
    wrong = late_pattern("(")

    with pytest.raises(re.error):
        wrong.match("")


MODULES = (
    "core.plan.programs",
    "core.plan.units",
    "core.snapshot.belonging",
    "core.snapshot.pastes.counters",
    "core.snapshot.pastes.paste",
    "core.snapshot.pastes.settings",
    "core.snapshot.pastes.sockets",
    "core.snapshot.pastes.system",
    "core.why.catalogue.configuration",
    "core.why.reader.ends",
    "core.why.reader.errnos",
    "core.why.reader.events",
    "core.why.reader.fold",
    "core.why.reader.frames",
    "core.why.reader.numbers",
    "core.why.reader.proxies",
    "core.why.reader.repeats",
    "core.why.reader.mentions",
    "core.why.reader.said",
    "core.why.reader.states",
    "core.why.when",
    "kernel.proc.owners",
)


@pytest.mark.parametrize("name", MODULES)
def test_every_pattern_of_the_product_compiles(name: str) -> None:
    """A wrong one would show itself only to the first user whose text needs it."""
    found = list(late_in(vars(importlib.import_module(f"fourtuple.{name}"))))

    assert found
    assert all(each.pattern for each in found)


def late_in(value: object) -> Iterator[LatePattern]:
    """The late patterns of a module's values, tables included."""
    if isinstance(value, LatePattern):
        yield value
    elif isinstance(value, tuple | list):
        for each in value:
            yield from late_in(each)
    elif isinstance(value, dict):
        yield from late_in(list(value.values()))
