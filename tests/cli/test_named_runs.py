"""--name and --note: a name stands for the number of a run, where it is the only one of that name."""

import json
from pathlib import Path

import pytest

from tests.conftest import fourtuple
from tests.ports import free_port

USAGE = 2


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three runs that nothing could connect to, two of them with the same name, and a proof."""
    file = str(tmp_path_factory.mktemp("named") / "runs.db")
    asked = ("hold", "5", f"127.0.0.1:{free_port()}", "--for", "0s", "--store", file, "--quiet")
    for label in (("--name", "before", "--note", "the old <kernel>"), ("--name", "after it"), ("--name", "after it")):
        assert fourtuple(*asked, *label).returncode == 1
    assert fourtuple("prove", "theory", "--name", "myth", "--store", file).returncode == 0
    return file


def test_the_list_and_a_single_run_say_the_name(store: str) -> None:
    entries = json.loads(fourtuple("runs", "--json", "--store", store).stdout)
    shown = json.loads(fourtuple("runs", "show", "before", "--json", "--store", store).stdout)

    assert [entry["name"] for entry in entries] == ["myth", "after it", "after it", "before"]
    assert (shown["id"], shown["note"]) == (1, "the old <kernel>")
    assert "before" in fourtuple("runs", "--store", store).stdout
    assert "<kernel>" in fourtuple("runs", "show", "before", "--store", store).stdout


def test_a_page_has_the_name_and_the_note(store: str, tmp_path: Path) -> None:
    pytest.importorskip("altair")
    page = tmp_path / "run.html"
    done = fourtuple("report", "before", "-o", str(page), "--store", store)

    assert done.returncode == 0, done.stderr
    assert "run 1 (before)" in page.read_text()
    assert "the old &lt;kernel&gt;" in page.read_text()


def test_two_runs_are_compared_by_name_or_number(store: str) -> None:
    compared = json.loads(fourtuple("compare", "before", "2", "--json", "--store", store).stdout)

    assert (compared["runs"], compared["names"]) == ([1, 2], ["before", "after it"])


@pytest.mark.parametrize("command", [("runs", "show"), ("runs", "rm"), ("runs", "export", "--json"), ("report",)])
@pytest.mark.parametrize("name", ["after it", "nobody"])
def test_a_name_of_two_runs_or_of_none_is_refused(store: str, command: tuple[str, ...], name: str) -> None:
    """The error has the numbers, so that one of them can be written."""
    done = fourtuple(*command, name, "--store", store)

    assert done.returncode == USAGE
    assert ("2, 3" in done.stderr) == (name == "after it")


@pytest.mark.parametrize(
    "label", [("--name", "17"), ("--name", ""), ("--note", ""), ("--name", "a\nb"), ("--name", "x" * 61)]
)
@pytest.mark.parametrize(
    "command", [("hold", "1", "127.0.0.1:1"), ("churn", "1/s", "127.0.0.1:1"), ("serve", "127.0.0.1:1"), ("prove",)]
)
def test_what_is_no_name_is_refused_before_anything_begins(command: tuple[str, ...], label: tuple[str, str]) -> None:
    done = fourtuple(*command, *label)

    assert (done.returncode, done.stdout) == (USAGE, "")


def test_a_run_that_is_not_stored_has_no_name() -> None:
    assert fourtuple("hold", "1", "127.0.0.1:1", "--name", "x", "--no-store").returncode == USAGE


def test_a_name_is_removed_with_its_run(tmp_path: Path) -> None:
    file = str(tmp_path / "runs.db")
    assert fourtuple("prove", "theory", "--name", "gone soon", "--store", file).returncode == 0

    assert fourtuple("runs", "rm", "gone soon", "--store", file).stdout == "removed 1\n"
    assert fourtuple("runs", "show", "gone soon", "--store", file).returncode == USAGE
