"""Strange input of every kind: nothing but an error of ours comes out, in time, with a known exit code."""

import sys

import pytest

from tests.conftest import REPOSITORY, Ground
from tests.fuzz.running import LIMIT_S

SECONDS = 28  # twice: once with a seed that is always the same, once with another one each time


@pytest.mark.parametrize("seed", [["--seed", "1"], []], ids=["fixed", "random"])
def test_strange_input_ends_in_an_error_of_ours(seed: list[str], ground: Ground) -> None:
    """`make fuzz` goes on for as long as one likes; its output has the seed, and the number of the case."""
    fuzz = [sys.executable, "-m", "tests.fuzz", "--seconds", str(SECONDS), *seed]
    done = ground.run(*fuzz, timeout_s=SECONDS + 10 * LIMIT_S, cwd=REPOSITORY)

    assert done.returncode == 0, done.stdout + done.stderr
    assert " cases" in done.stdout
