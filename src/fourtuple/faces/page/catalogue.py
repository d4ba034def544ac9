"""Writes docs/catalogue.md: `python -m fourtuple.faces.page.catalogue docs/catalogue.md` (make docs).

Text above the marker is written by hand and kept; text below it is generated from core/why/catalogue/programs.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from fourtuple.core.why.catalogue.rows import CatalogueFile, CatalogueRow, files

MARKER = "<!-- what follows is made from core/why/catalogue/programs: make docs -->"


def catalogue_page(before: str) -> str:
    """The new text of the page, from its current text. Raises ValueError if the marker is missing."""
    head, marker, _ = before.partition(MARKER)
    if not marker:
        raise ValueError(f"{MARKER} is missing")
    return head + MARKER + "\n\n" + "\n".join(_sections()) + "\n"


def _sections() -> Iterator[str]:
    yield "| limit | what it limits | clients stop at |"
    yield "| --- | --- | --- |"
    for file in files():
        for row in file.limit:
            yield f"| [`{row.key}`](#{file.program}) | {row.title} | {_numbers(row)} |"
    for file in files():
        yield ""
        yield from _program(file)


def _program(file: CatalogueFile) -> Iterator[str]:
    yield f"## {file.program}"
    for row in file.limit:
        yield ""
        yield f"### {row.key}: {row.title}"
        yield ""
        yield f"- default: {row.default}"
        yield f"- configured: {row.configured}"
        if row.runtime:
            yield f"- at runtime: `{row.runtime}`"
        for name, texts in (("it logs", row.logs), ("clients show", row.shows), ("counters", row.counters)):
            if texts:
                yield f"- {name}: {'; '.join(f'`{text}`' for text in texts)}"
        yield f"- a client sees: {row.seen}"
        yield f"- what to do: {row.do}"
        yield f"- costs: {row.costs}"
        source = f"[{row.source}]({row.address})" if row.address else row.source
        yield f"- source: {source}; {'tried' if row.tried else 'read'}: {row.version}"


def _numbers(row: CatalogueRow) -> str:
    return "; ".join(f"{stop.number:,}{f' ({stop.when})' if stop.when else ''}" for stop in row.stops_at)


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(catalogue_page(file.read_text()))
