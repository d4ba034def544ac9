"""The parts that are tried in a guest: what needs no guest, on this kernel."""

import shutil
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fourtuple.core.check.judge import Kind
from tests.conftest import need, need_namespace
from tests.kernels import inside
from tests.kernels.__main__ import LIMITS_S, chosen, list_lines
from tests.kernels.available import KERNELS, MISSING
from tests.kernels.findings import Came, Finding
from tests.kernels.parts import PARTS, VERDICTS, collected, json_lines
from tests.kernels.results import parse_findings
from tests.verbs.check.test_check import HABITS, PROGRAMS

SESSION = """
import pytest
def test_passes(): pass
def test_fails(): assert 1 == 2
def test_skips(): pytest.skip("needs a moon")
@pytest.fixture
def broken(): raise OSError(5, "no")
def test_error(broken): pass
"""


def test_every_part_says_what_it_tries() -> None:
    """On the page, too; and none has a time limit that is meant for a part that is not there."""

    assert all(part.__doc__ for part in PARTS.values())
    assert LIMITS_S.keys() <= PARTS.keys()


def test_the_known_programs_are_there_and_their_verdicts_exist() -> None:
    assert VERDICTS.keys() <= HABITS.keys() | PROGRAMS.keys()
    assert set(VERDICTS.values()) <= {str(kind) for kind in Kind}


def test_findings_are_written_one_by_one(tmp_path: Path) -> None:
    """And the exit code says whether something was wrong."""
    need_namespace()
    need(shutil.which("ss"), "ss (iproute2)")
    file = tmp_path / "findings"
    done = CliRunner().invoke(inside.main, ["census", "--to", str(file)])
    findings = parse_findings(file.read_bytes())

    assert [finding.part for finding in findings] == ["census"] * 3
    assert done.exit_code == any(finding.came is Came.WRONG for finding in findings) == 0, done.output
    assert done.output.count("\n") == 3


@pytest.mark.parametrize(
    ("finding", "line"),
    [
        (Finding("rules", "B", "4", "4", Came.RIGHT), "right    B"),
        (Finding("rules", "B", "4", "", Came.WRONG, "EIO"), "WRONG    B: predicted 4, observed nothing (EIO)"),
        (Finding("rules", "B", "", "", Came.SKIPPED, "no ring"), "skipped  B (no ring)"),
        (Finding("probes", "C", "", "yes", Came.RIGHT), "right    C: yes"),
    ],
)
def test_a_finding_is_one_line(finding: Finding, line: str) -> None:
    assert inside.line_of(finding) == line


def test_each_test_is_collected_once(tmp_path: Path) -> None:
    """A fixture that fails is a failure, a skip has its reason."""
    (tmp_path / "test_it.py").write_text(SESSION)
    collector = collected(str(tmp_path))

    assert collector.came == {"passed": 1, "failed": 2, "skipped": 1}
    assert collector.reasons == {"needs a moon": 1}
    assert [name.rpartition("::")[2] for name in collector.failed] == ["test_fails", "test_error"]


def test_a_command_that_fails_gives_the_last_line_of_its_traceback() -> None:
    lines, error = json_lines(sys.executable, "-c", "print('{\"a\": 1}'); print('x'); open('/nowhere')")

    assert lines == [{"a": 1}]
    assert error == "FileNotFoundError: [Errno 2] No such file or directory: '/nowhere'"


def test_parts_are_chosen_by_name_in_the_order_that_is_asked() -> None:
    assert chosen("lessons, rules,lessons") == ("lessons", "rules")
    assert chosen("") == tuple(PARTS)
    with pytest.raises(click.UsageError, match="no part 'x'"):
        chosen("rules,x")


def test_the_list_names_every_kernel_and_what_cannot_be_had() -> None:
    names = [line.split()[0] for line in list_lines()]

    assert names == [*(kernel.name for kernel in KERNELS), "/PATH", *["no"] * len(MISSING)]
