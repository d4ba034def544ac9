"""Writes docs/limits.md from the table of limits: `python -m fourtuple.faces.page.limits docs/limits.md` (make docs).

Text above the marker is written by hand and kept; text below it is generated from core/limits/table.py.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from fourtuple.core.errnos import name_of
from fourtuple.core.limits.table import LIMITS
from fourtuple.core.limits.verdicts import BOTH, Limit

MARKER = "<!-- what follows is made from core/limits/table.py: make docs -->"


def page(before: str) -> str:
    """The new text of the page, from its current text. Raises ValueError if the marker is missing."""
    head, marker, _ = before.partition(MARKER)
    if not marker:
        raise ValueError(f"{MARKER} is missing")
    return head + MARKER + "\n\n" + "\n".join(_table()) + "\n"


def _table() -> Iterator[str]:
    yield "| limit | scope | for | when exhausted |"
    yield "| --- | --- | --- | --- |"
    for limit in LIMITS:
        link = f"[{limit.title}](#{_anchor(limit)})"
        yield f"| {link} `{limit.name}` | {limit.scope} | {_roles(limit)} | {_wall(limit)} |"
    for limit in LIMITS:
        yield ""
        yield from _section(limit)


def _section(limit: Limit) -> Iterator[str]:
    yield f"### {limit.title}"
    yield ""
    yield f"`{limit.name}`, {limit.scope}, {_roles(limit)}"
    yield ""
    yield f"- capacity: {limit.formula}"
    yield f"- default: {limit.default}"
    yield f"- symptom: {_wall(limit)}: {limit.seen}"
    if limit.counter:
        yield f"- counter: {limit.counter}"
    yield f"- what to do: {limit.fix}"
    yield f"- needs: {limit.needs}"
    if limit.reads:
        yield f"- read from: {', '.join(f'`{name}`' for name in limit.reads)}"
    yield f"- source: {limit.source}"


def _anchor(limit: Limit) -> str:
    """The anchor that GitHub generates for the heading."""
    kept = "".join(letter for letter in limit.title.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def _roles(limit: Limit) -> str:
    return "client, server" if tuple(limit.roles) == BOTH else ", ".join(limit.roles)


def _wall(limit: Limit) -> str:
    return f"{limit.call} {name_of(limit.errno)}" if limit.errno else "silence"


if __name__ == "__main__":
    file = Path(sys.argv[1])
    file.write_text(page(file.read_text()))
