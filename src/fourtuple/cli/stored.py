"""Shared options of the commands about stored runs: which file, which run."""

from pathlib import Path
from typing import Any

import click

from fourtuple.core.runs.label import check_name

FILE = click.option(
    "--store",
    "file",
    type=click.Path(dir_okay=False, readable=False),
    help="Run database to use instead of the default.",
)
NUMBER = click.IntRange(1, 2**63 - 1)  # the range of SQLite's integers
DASH = Path("-")  # standard output


class RunId(click.ParamType[int | str]):
    """Parameter type: a stored run, by its number or its name."""

    name = "ID"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if not isinstance(value, str) or value.removeprefix("-").isnumeric():
            number: int = NUMBER.convert(value, param, ctx)
            return number
        check_name(value)
        return value


ID = RunId()


def file_of(file: str | None) -> Path | None:
    return Path(file) if file else None
