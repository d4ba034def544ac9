"""Every screen is equal to its golden file. `make screens` renews the files."""

import difflib
import re
from collections.abc import Callable

import pytest

from tests.screens import drawn, file_of, orphans, screens, usual_screens

SCREENS = screens()
# Not of the terminal's width: what is for other programs, for a browser, or cut by what draws it; help is click's.
NOT_OF_THE_WIDTH = re.compile(
    r"help/|live/|export/|report/|records/|doctor/page|census/csv|runs/list-piped|/(.*-)?lines|hold/events|start-|snapshot/recording"
)
# A command and a line of JSON stay on one line.
TO_PASTE = re.compile(r"^ *(\$ |undo: |asked +)?(fourtuple|sysctl|--from) |^\{| · fourtuple ")
LEAST_WORD = 28  # characters of a word that may be longer than a line with its indent


@pytest.mark.parametrize(("name", "made"), SCREENS.items(), ids=SCREENS)
def test_a_screen_is_as_its_golden_file(name: str, made: Callable[[], str]) -> None:
    file = file_of(name)
    if not file.exists():
        pytest.fail(f"{file} is missing: `make screens` makes it", pytrace=False)
    golden, now = file.read_text(encoding="utf-8"), drawn(made)
    if now != golden:
        lines = difflib.unified_diff(golden.splitlines(), now.splitlines(), f"{name} (golden)", f"{name} (now)", n=2)
        difference = "\n".join([*(line.rstrip("\n") for line in lines), ""])
        pytest.fail(
            f"{difference}\nIf this is intended, `make screens` renews the golden files; read the diff.", pytrace=False
        )


@pytest.mark.parametrize("columns", [40, 60, 120])
def test_no_line_is_wider_than_the_terminal_and_nothing_is_lost(columns: int) -> None:
    """Tables fold instead; what is cut ends with an ellipsis, and only heads of names go."""
    for name, made in usual_screens().items():
        if NOT_OF_THE_WIDTH.search(name):
            continue
        text, wide = drawn(made, columns), drawn(made, 400)
        for line in text.splitlines():
            is_word = len(line.split()) == 1 and len(line.strip()) > LEAST_WORD
            assert len(line) <= columns or TO_PASTE.search(line) or is_word, f"{name}: {line}"
        lost = {word for word in wide.split() if any(map(str.isdigit, word))} - set(text.split())
        assert not lost or "…" in text, f"{name}: {lost}"


def test_every_golden_file_has_its_screen() -> None:
    assert orphans() == [], "`make screens` removes them"


def test_one_thing_is_never_told_as_several() -> None:
    """`1 sockets`, wherever a count is shown."""
    many = "sockets|ports|connections|processes|files|messages|pairs|addresses|machines|entries|listeners|requests"
    many += "|namespaces|routes|answers|clients|destinations|lessons|claims|runs|seconds"
    plural = re.compile(rf"(?<![\w.,:/])1 (?:more )?(?:[a-z]+ )?(?:{many})\b")
    told = {name: plural.findall(file_of(name).read_text(encoding="utf-8")) for name in SCREENS}

    assert {name: found for name, found in told.items() if found} == {}
