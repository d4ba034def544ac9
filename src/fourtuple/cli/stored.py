"""Shared options of the commands about stored runs: which file, which run."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fourtuple.cli.values import Whole
from fourtuple.faces.printer import tell

if TYPE_CHECKING:
    from fourtuple.core.runs.stored import Entry

FILE = click.option(
    "--store",
    "file",
    type=click.Path(dir_okay=False, readable=False),
    help="Run database to use instead of the default.",
)
ID = Whole(1, 2**63 - 1)  # the range of SQLite's integers
DASH = Path("-")  # standard output


def file_of(file: str | None) -> Path | None:
    return Path(file) if file else None


def tell_newest(typed: int | None, taken: "Entry") -> None:
    """Say which run was taken, and of which kind, where none was typed."""
    if typed is None:
        tell(f"run {taken.id} ({taken.kind}), the newest", to=sys.stderr)
