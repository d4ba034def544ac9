"""Shared options of the commands about stored runs: which file, which run."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fourtuple.cli.values import Whole
from fourtuple.core.errors import FourtupleError
from fourtuple.core.runs.label import check_name
from fourtuple.faces.printer import tell

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from fourtuple.core.runs.entry import Entry


FILE = click.option(
    "--store",
    "file",
    type=click.Path(dir_okay=False, readable=False),
    help="Run database to use instead of the default.",
)
NUMBER = Whole(1, 2**63 - 1)  # the range of SQLite's integers
DASH = Path("-")  # standard output


class RunId(click.ParamType[int | str]):
    """Parameter type: a stored run, by its number or its name. A shell completes it with those in the file."""

    name = "ID"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if not isinstance(value, str) or value.removeprefix("-").isnumeric():
            number: int = NUMBER.convert(value, param, ctx)
            return number
        check_name(value)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list["CompletionItem"]:
        from click.shell_completion import CompletionItem

        from fourtuple.verbs.listing import RunList

        try:
            with RunList(file_of(ctx.params.get("file") or ctx.obj)) as stored:
                entries = stored.entries()
        except FourtupleError:  # there is none, or it cannot be read
            return []
        return [
            CompletionItem(value, help=f"{entry.outcome}: {entry.command}")
            for entry in entries
            for value in (str(entry.id), *_names(entry, entries))
            if value.startswith(incomplete)
        ]


def _names(entry: "Entry", entries: Sequence["Entry"]) -> list[str]:
    """Its name, if it stands for this run alone and no shell would take it for several words or more than a word."""
    is_the_only_one = sum(each.name == entry.name for each in entries) == 1
    return [entry.name] if is_the_only_one and re.fullmatch(r"[\w.+-]+", entry.name) else []


ID = RunId()


def file_of(file: str | None) -> Path | None:
    return Path(file) if file else None


def tell_newest(typed: int | str | None, taken: "Entry") -> None:
    """Say which run was taken, and of which kind, where none was typed."""
    if typed is None:
        tell(f"run {taken.id} ({taken.kind}), the newest", to=sys.stderr)
