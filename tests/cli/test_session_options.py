"""The options of a session as they are typed: which values are refused, and in which words."""

from pathlib import Path

import pytest

from fourtuple.cli.session import header_of
from fourtuple.core.errors import UsageError
from fourtuple.verbs.hold import hold


@pytest.mark.parametrize(
    ("typed", "header"),
    [
        ("X:a", ("X", "a")),
        ("X-Long_Name~1 :  a: b ", ("X-Long_Name~1", "a: b")),
        ("X:", ("X", "")),
        ("X: a\tb\n", ("X", "a\tb")),
        ("X: ä", ("X", "ä")),
    ],
)
def test_a_header_is_a_name_and_a_value(typed: str, header: tuple[str, str]) -> None:
    """White space around both does not belong to them."""
    assert header_of(typed) == header


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("nocolon", "a header is NAME: VALUE"),
        (": v", "a header is NAME: VALUE"),
        ("X y: v", "'X y' is not the name of a header"),
        ("X\r\nY: v", "is not the name of a header"),
        ("Ä: v", "is not the name of a header"),
        ("X: a\r\nY: b", "a header is one line"),
        ("X: a\nY: b", "a header is one line"),
        ("X: a\rb", "a header is one line"),
        ("X: a\0b", "control characters"),
        ("X: \x1b[2J", "control characters"),
    ],
)
def test_a_header_that_cannot_be_sent_is_refused_by_its_option(typed: str, why: str) -> None:
    """The error names the value as it was typed; no further header can be put into a value."""
    with pytest.raises(UsageError) as caught:
        header_of(typed)

    assert repr(typed) in str(caught.value)
    assert why in str(caught.value)
    assert caught.value.do


def test_a_file_of_lines_that_is_missing_is_named_as_it_was_typed(tmp_path: Path) -> None:
    """It is not taken for the message of --send @FILE."""
    file = tmp_path / "lines"

    with pytest.raises(UsageError) as caught:
        hold(1, ["127.0.0.1:9"], send=f"{{line:{file}}}".encode())

    assert f"the file of {{line:{file}}}: No such file" in str(caught.value)
