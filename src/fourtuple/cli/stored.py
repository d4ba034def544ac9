"""Shared options of the commands about stored runs: which file, which run."""

from pathlib import Path

import click

from fourtuple.cli.values import Whole

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
