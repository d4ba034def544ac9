"""What the user of a program that calls bind() can change: its own option, the route, its addresses."""

from pathlib import Path

import pytest

from fourtuple.core.check.cures import BINDING_OPTIONS, SPECIAL_CURES, WITHOUT_CODE, cure_for

VERDICTS = Path(__file__).parents[3] / "docs" / "verdicts.md"


@pytest.mark.parametrize("program", BINDING_OPTIONS)
def test_a_known_program_is_told_its_option(program: str) -> None:
    """Started by its path, by a shell, or by another program."""

    for command in ([f"/usr/bin/{program}", "x"], ["sh", "-c", f"while :; do {program} x; done"], ["env", program]):
        assert f"{program} calls bind() because of {BINDING_OPTIONS[program]}:" in cure_for(command)
        assert "ip route replace" in cure_for(command)
        assert "more source addresses" in cure_for(command)


def test_of_several_programs_the_one_with_its_option_is_meant() -> None:
    one, other = "curl -s {url1}", "wget -qO- --bind-address={source} {url1}"

    assert "curl" not in cure_for(["sh", "-c", f"{one}; {other}"])
    assert "wget" in cure_for(["sh", "-c", f"{one}; {other}"])
    assert "squid" in cure_for(["squid", "-N", "-f", "squid.conf"])  # its setting is in a file


def test_programs_that_always_bind_or_need_another_value_have_their_own_words() -> None:
    for program, cure in SPECIAL_CURES.items():
        assert cure_for([program, "x"]).startswith(cure)


@pytest.mark.parametrize("command", [[], ["python3", "my.py"], ["./wget.py"], ["my-wget"], ["cat", "wget.log"]])
def test_nothing_is_claimed_about_other_programs(command: list[str]) -> None:
    assert cure_for(command) == ""


def test_what_needs_no_code_comes_first() -> None:
    assert "option" in WITHOUT_CODE
    assert "setsockopt" not in WITHOUT_CODE


def test_every_known_program_is_in_the_docs() -> None:
    text = VERDICTS.read_text()

    assert [program for program in (*BINDING_OPTIONS, *SPECIAL_CURES) if f"`{program}`" not in text] == []
