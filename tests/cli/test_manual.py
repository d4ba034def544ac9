"""The man pages: those of the commands as they are, without a warning of what reads them."""

import os
import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourtuple.cli.manual import escaped, pages
from tests.conftest import REPOSITORY, need

MAN = REPOSITORY / "share" / "man" / "man1"
PAGES = pages()
# What roff reads as a request, an escape, or another character.
ROFF = [
    "\\",
    ".",
    "'",
    "-",
    "--",
    "`",
    "^",
    "~",
    '"',
    "\\fB",
    ".TH",
    "'br",
    "\\n(.x",
    "{}",
    "a",
    "×",
    "é",
    "→",
    "%",
]


def rendered(text: str) -> str:
    """As a terminal shows it, without bold type, hyphenation and line breaks within words."""
    done = subprocess.run(
        ["groff", "-ww", "-man", "-Tutf8", "-P-cbou", "-rHY=0"],
        input=text, capture_output=True, text=True, encoding="utf-8", check=True,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout


def test_the_files_are_those_of_the_commands() -> None:
    """`make man` renews them."""
    assert {file.name: file.read_text() for file in MAN.iterdir()} == PAGES


@pytest.mark.parametrize("name", PAGES)
def test_groff_and_man_read_a_page_without_a_warning(name: str) -> None:
    need(shutil.which("groff"), "groff")
    need(shutil.which("man"), "man (man-db)")
    shown = subprocess.run(
        ["man", "--warnings", "--local-file", str(MAN / name)],
        capture_output=True, text=True, encoding="utf-8", check=False, env=os.environ | {"LC_ALL": "C"},
    )  # fmt: skip

    assert rendered(PAGES[name])
    assert (shown.returncode, shown.stderr) == (0, "")


def test_a_page_shows_every_option_of_its_command() -> None:
    need(shutil.which("groff"), "groff")
    shown = rendered(PAGES["fourtuple-hold.1"])

    for line in (REPOSITORY / "tests/screens/golden/help/hold.txt").read_text().splitlines():
        for option in re.findall(r"^  (--[a-z-]+)", line):
            assert option in shown


@settings(max_examples=10)
@given(st.lists(st.lists(st.sampled_from(ROFF), min_size=1, max_size=6).map("".join), min_size=20, max_size=40))
def test_any_text_is_shown_as_it_is(words: list[str]) -> None:
    need(shutil.which("groff"), "groff")
    shown = rendered(
        "\n".join(['.TH X 1 "" ""', ".SH BEGIN", *map(escaped, words), escaped(" ".join(words)), ".SH END"])
    )

    assert re.split(r"\bBEGIN\b|\bEND\b", shown)[1].split() == [*words, *words]
