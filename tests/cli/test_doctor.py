"""doctor and the page of a report as commands: what is printed where, also where a library for pages is missing."""

import json
import os
import subprocess
import sys

import pytest

from tests.conftest import fourtuple
from tests.waiting import COMMAND_S

PASTE = "fs.file-nr = 9700 0 9800\n"
# The command where nothing that draws pages is installed.
WITHOUT = """
import sys
class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("altair", "jinja2", "vl_convert"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Nothing())
from fourtuple.cli import cli
cli()
"""


def without(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments], input=PASTE, capture_output=True, text=True, timeout=COMMAND_S
    )


@pytest.mark.parametrize("report", ["-", "x.html"])
def test_a_diagnosis_is_printed_even_if_its_page_cannot_be_made(report: str) -> None:
    done = without("doctor", "--from", "-", "--report", report)

    assert done.returncode == 77
    assert "9,700 of 9,800 files" in done.stdout
    assert "pip install 'fourtuple[report]'" in done.stderr


@pytest.mark.parametrize(
    "arguments", [("doctor", "--report", "-"), ("compare", "1", "1", "--output", "-"), ("prove", "--report", "-")]
)
def test_standard_output_has_one_format(arguments: tuple[str, ...]) -> None:
    done = fourtuple(*arguments, "--json")

    assert (done.returncode, json.loads(done.stdout)["error"]["kind"]) == (2, "UsageError")
    assert "only one format" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("limits", "--pid", "4194305"), "--pid 4194305: no such process"),
        (("why", "99", "--pid", "4194305"), "--pid 4194305: no such process"),
        (("census", "--netns", "4194305"), "--netns 4194305: no such process"),
        (("limits", "--netns", "nowhere"), "--netns 'nowhere': `ip netns` does not list this name"),
        (("snapshot", "-", "--netns", "4194305"), "--netns 4194305: the snapshot has no such process"),
    ],
)
def test_a_process_that_is_not_there_is_named_as_it_was_asked_for(arguments: tuple[str, ...], says: str) -> None:
    done = fourtuple(*arguments)

    assert done.returncode == 2
    assert says in " ".join(done.stderr.split())


def test_text_is_as_narrow_as_the_terminal() -> None:
    """Down to 40 columns; what has no space to break at is longer."""
    done = subprocess.run(
        [sys.executable, "-m", "fourtuple", "doctor", "--from", "-"],
        input="net.ipv4.tcp_max_orphans = 100\nTCP: inuse 5 orphan 95 tw 3 alloc 9 mem 2\n",
        capture_output=True,
        text=True,
        env=os.environ | {"COLUMNS": "50"},
        timeout=COMMAND_S,
    )
    long = [line for line in done.stdout.splitlines() if len(line) > 50]

    assert done.returncode == 1
    assert not [line for line in long if len(line.split()) > 2]
    assert max(map(len, done.stdout.splitlines())) > 40
