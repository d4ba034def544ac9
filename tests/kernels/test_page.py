"""The results, and the page that is made from them."""

from pathlib import Path

import msgspec
import pytest

from tests.kernels import page
from tests.kernels.available import Way
from tests.kernels.findings import Came, Finding
from tests.kernels.results import Tried, merged, parse_findings, read_results, write_results

ONE = Finding("rules", "B", "0", "0", Came.RIGHT)
OTHER = Finding("rules", "B", "4", "3", Came.WRONG, "a | b")
SKIPPED = Finding("rules", "C", "", "", Came.SKIPPED, "no bound sockets")


def tried(kernel: str, *findings: Finding, part: str = "rules", date: str = "2026-11-28") -> Tried:
    return Tried(kernel, Way.UML, f"{kernel}.9", date, part, 7, findings)


def test_the_committed_page_is_made_from_the_committed_results() -> None:
    """`make docs-kernels` renews it."""

    assert page.PAGE.read_text(encoding="utf-8") == page.page(read_results(page.COMMITTED))


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    results = [tried("6.1", ONE, SKIPPED), tried("5.10", OTHER)]
    write_results(tmp_path / "new" / "results.json", results)

    assert read_results(tmp_path / "new" / "results.json") == results
    assert read_results(tmp_path / "none.json") == []


def test_a_part_that_is_tried_again_replaces_its_former_result() -> None:
    old = [tried("6.1", OTHER), tried("6.1", part="lessons"), tried("5.10", ONE)]
    again = tried("6.1", ONE, date="2026-11-29")

    assert merged(old, [again]) == [old[2], old[1], again]


def test_findings_before_a_crash_are_kept() -> None:
    """The last line may be cut off."""
    lines = msgspec.json.encode(ONE) + b"\n" + msgspec.json.encode(OTHER)

    assert parse_findings(lines + b"\n") == [ONE, OTHER]
    assert parse_findings(lines[:-3]) == [ONE]


@pytest.fixture
def text() -> str:
    return page.page([tried("6.12", ONE), tried("6.1", ONE, SKIPPED), tried("5.10", OTHER)])


def test_kernels_that_behave_alike_share_a_row_the_oldest_first(text: str) -> None:
    assert "| B | 5.10 | 4 | 3 | **wrong** |\n| B | 6.1, 6.12 | 0 | 0 | right |" in text
    assert "| C | 6.1 |  | no bound sockets | skipped |" in text


def test_what_was_wrong_has_its_reason(text: str) -> None:
    """No character of it breaks the table."""

    assert "| 5.10 | rules | B | 4 | 3 | a \\| b |" in text


def test_each_kernel_has_its_version_date_and_counts(text: str) -> None:
    assert "| 6.1 | user-mode Linux | 6.1.9 | 2026-11-28 | 1 right, 1 skipped |" in text
    assert "| 5.10 | user-mode Linux | 5.10.9 | 2026-11-28 | 0 right, 1 wrong |" in text
