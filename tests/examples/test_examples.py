"""Every example in README.md and docs/ shows what its commands print now. `make examples` renews them."""

import difflib
import re
import shutil

import pytest

from tests.conftest import need, need_namespace
from tests.examples.blocks import PAGES, Example, examples, text_of
from tests.examples.making import ELSEWHERE, made
from tests.examples.places import PLACES
from tests.examples.shell import search_path

TRIES = 3  # on a machine that does other things, too, a line of progress may come, or a packet may be sent again
ALL = [example for page in PAGES for example in examples(page)]
EXAMPLES = {example.name: example for example in ALL}
QUICK = {name: each for name, each in EXAMPLES.items() if name not in ELSEWHERE and not each.slow}


@pytest.mark.parametrize("example", QUICK.values(), ids=QUICK)
def test_an_example_shows_what_its_commands_print(example: Example) -> None:
    """In everything but numbers and times."""
    if not example.screen:
        need_namespace()
        for program in PLACES[example.place].needs:
            need(shutil.which(program, path=search_path()), program)

    for _ in range(TRIES):
        now, is_alike = made(example)
        if is_alike:
            return
    lines = difflib.unified_diff(text_of(example.steps), text_of(now), f"{example.name}", "now", n=2, lineterm="")
    pytest.fail("\n".join(lines) + "\n`make examples` renews it; read the diff.", pytrace=False)


def test_whatever_looks_like_a_screen_is_an_example() -> None:
    """A block without a language is made by commands or is a golden screen; other blocks name their language."""
    assert [name for name, each in EXAMPLES.items() if not each.steps] == []


def test_no_command_names_a_run_by_its_number() -> None:
    """The reader's runs have other numbers: names, and the newest run, do not depend on what was stored before."""
    numbered = re.compile(r"fourtuple (?:report|compare|runs (?:show|rm|export))(?: +-\S+)* +\d+\b.*")
    lines = [line for page in PAGES for line in page.read_text(encoding="utf-8").splitlines()]

    assert [line for line in lines if numbered.search(line) and "stored as" not in line] == []


def test_no_example_runs_what_only_the_tests_have() -> None:
    assert [name for name, each in EXAMPLES.items() for step in each.steps if "-m tests." in step.command] == []


def test_no_two_examples_have_one_name() -> None:
    assert len(EXAMPLES) == len(ALL)


def test_the_list_of_those_that_are_not_made_is_current() -> None:
    assert ELSEWHERE.keys() - EXAMPLES.keys() == set()
