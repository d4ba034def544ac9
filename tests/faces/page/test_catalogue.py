"""docs/catalogue.md is made from the catalogue of limits that are not the kernel's."""

from pathlib import Path

import pytest

from fourtuple.core.why.catalogue.rows import catalogue
from fourtuple.faces.page.catalogue import catalogue_page

PAGE = Path(__file__).parents[3] / "docs" / "catalogue.md"


def test_the_page_is_as_new_as_the_catalogue() -> None:
    """Stale: run `make docs`."""
    text = PAGE.read_text()

    assert catalogue_page(text) == text


def test_every_row_has_its_section() -> None:
    text = PAGE.read_text()

    assert [key for key, row in catalogue().items() if f"### {key}: {row.title}\n" not in text] == []


def test_a_page_without_its_marker_is_not_overwritten() -> None:
    with pytest.raises(ValueError, match="make docs"):
        catalogue_page("# by hand\n")
