"""Help and version, by the words that people try."""

import pytest

from tests.conftest import fourtuple


@pytest.mark.parametrize("words", ["", "hold", "runs", "runs show", "lab", "help"])
def test_help_of_a_command_is_its_help(words: str) -> None:
    asked, same = fourtuple("help", *words.split()), fourtuple(*words.split(), "--help")

    assert asked.returncode == same.returncode == 0
    assert asked.stdout == same.stdout != ""


@pytest.mark.parametrize("words", ["nonsense", "runs nonsense"])
def test_help_of_an_unknown_command_is_a_wrong_request(words: str) -> None:
    done = fourtuple("help", *words.split())

    assert (done.returncode, done.stdout) == (2, "")
    assert "'nonsense'" in done.stderr


def test_the_version_has_a_short_option() -> None:
    assert fourtuple("-V").stdout == fourtuple("--version").stdout != ""
