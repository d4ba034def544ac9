"""Answers belong to the text before them on the command line."""

import msgspec
import pytest

from fourtuple.core.errors import UsageError
from fourtuple.core.talk.expectation import Expectation, parse_expectation
from fourtuple.core.talk.script import Exchange, Say, Script, script_of
from fourtuple.core.talk.template import Template, parse_template

A, B, C = (parse_expectation(text) for text in ("a", "re:^b", "until:c"))
X, Y = parse_template(b"x{connection}"), parse_template(b"y")
FIRST, SEND = (Say.FIRST, X), (Say.SEND, Y)
Words = list[tuple[Say, Template] | Expectation]


@pytest.mark.parametrize(
    ("words", "script"),
    [
        ([], Script()),
        ([A], Script((Exchange(None, (A,)),))),
        ([A, B], Script((Exchange(None, (A, B)),))),
        ([FIRST], Script((Exchange(X),))),
        ([SEND], Script(message=Exchange(Y))),
        ([SEND, A], Script(message=Exchange(Y, (A,)))),
        ([A, SEND], Script(message=Exchange(Y, (A,)))),
        ([A, SEND, B], Script((Exchange(None, (A,)),), Exchange(Y, (B,)))),
        ([A, B, SEND], Script((Exchange(None, (A, B)),), Exchange(Y))),
        ([SEND, A, B], Script(message=Exchange(Y, (A, B)))),
        ([FIRST, A, SEND, B], Script((Exchange(X, (A,)),), Exchange(Y, (B,)))),
        ([SEND, B, FIRST, A], Script((Exchange(X, (A,)),), Exchange(Y, (B,)))),
        ([A, FIRST, SEND], Script((Exchange(None, (A,)), Exchange(X)), Exchange(Y))),
        ([A, FIRST, B, FIRST, C], Script((Exchange(None, (A,)), Exchange(X, (B,)), Exchange(X, (C,))))),
    ],
)
def test_an_expectation_belongs_to_what_is_said_before_it(words: Words, script: Script) -> None:
    """One --expect and one --send alone belong together in any order, as they always did."""
    assert script_of(words) == script


def test_what_plain_text_cannot_do_is_refused() -> None:
    with pytest.raises(UsageError, match="Use --first"):
        script_of([SEND, SEND])
    with pytest.raises(UsageError, match="http://"):
        script_of([SEND, parse_expectation("status:200")])


def test_data_between_answers_is_unexpected_only_if_all_of_them_say_where_they_end() -> None:
    assert script_of([SEND, A]).framed
    assert script_of([C, SEND, A, C]).framed
    unframed: list[Words] = [[], [A], [SEND], [A, B, SEND], [SEND, B], [FIRST, B, SEND, A]]
    for words in unframed:
        assert not script_of(words).framed


def test_the_lines_of_files_are_those_of_all_that_is_said() -> None:
    say = parse_template(b"{line:a} {line:b}")
    script = script_of([(Say.FIRST, say), A, (Say.SEND, parse_template(b"{line:b} {line:c}")), B])
    filled = script.with_lines({"a": b"1", "b": b"2", "c": b"3"})

    assert script.files == ("a", "b", "c")
    assert [each.say and each.say.render() for each in (*filled.opening, filled.message) if each] == [b"1 2", b"2 3"]
    assert [each.expect for each in (*filled.opening, filled.message) if each] == [(A,), (B,)]
    assert script_of([A]).with_lines({}) == script_of([A])


def test_a_script_can_be_part_of_an_order() -> None:
    """It is data: JSON, and back."""
    script = script_of([A, FIRST, B, SEND, C, parse_expectation("len:3-4")])
    assert script.message is not None
    assert script.message.say is not None
    assert not script.message.say.needs  # once asked for, it is remembered, and must not be written
    text = msgspec.json.encode(script, enc_hook=lambda value: [value.start, value.stop])

    def read(kind: type, value: list[int]) -> range:
        return range(*value)

    assert msgspec.json.decode(text, type=Script, dec_hook=read) == script
