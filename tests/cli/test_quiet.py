"""--quiet leaves the result alone, as text and as JSON; a warning about what others can read stays."""

import json
import subprocess

import pytest

from fourtuple.verbs.background import serving
from tests.conftest import COMMAND, Ground, fourtuple
from tests.ports import free_port
from tests.told import READY
from tests.waiting import lines_until

RUNS = [
    ["hold", "5", "--for", "0s"],
    ["hold", "--stages", "5@100ms"],
    ["churn", "100/s", "--for", "100ms"],
    ["churn", "max", "--for", "50ms", "--close", "rst"],
]


@pytest.mark.parametrize("arguments", RUNS, ids=" ".join)
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_a_quiet_run_says_nothing_on_standard_error(arguments: list[str], form: list[str]) -> None:
    metrics = f"127.0.0.1:{free_port()}"
    with serving(end := f"127.0.0.1:{free_port()}"):
        done = fourtuple(*arguments, end, *form, "--quiet", "--no-store", "--metrics", metrics)

    assert done.stderr == ""
    assert bool(form) is (done.stdout[:1] == "{")
    assert not form or json.loads(done.stdout)


@pytest.mark.parametrize(
    ("arguments", "is_exposed"),
    [
        (["serve", "127.0.0.1:8000", "--metrics", ":9436"], True),
        (["serve", "127.0.0.1:8000", "--metrics", "127.0.0.1:9436"], False),
        (["export", "--listen", ":9436"], True),
        (["export", "--listen", "[::1]:9436"], False),
    ],
)
def test_metrics_that_others_can_read_give_a_warning(arguments: list[str], is_exposed: bool, ground: Ground) -> None:
    program = ground.lab.start([*COMMAND, *arguments], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        said = lines_until(program.stderr, READY["export"])
    finally:
        program.kill()
        program.communicate()

    assert is_exposed is any(line.startswith("warning") for line in said)
