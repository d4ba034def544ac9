"""docs/limits.md is made from the table of limits."""

from pathlib import Path

import pytest

from fourtuple.core.limits.table import LIMITS
from fourtuple.faces.page.limits import page

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_is_as_new_as_the_table() -> None:
    """Stale: run `make docs`."""
    text = (DOCS / "limits.md").read_text()

    assert page(text) == text


def test_every_limit_has_its_section() -> None:
    text = (DOCS / "limits.md").read_text()

    assert all(f"### {limit.title}\n\n`{limit.name}`" in text for limit in LIMITS)


def test_a_page_without_its_marker_is_not_overwritten() -> None:
    with pytest.raises(ValueError, match="make docs"):
        page("# by hand\n")
