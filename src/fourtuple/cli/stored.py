"""Shared options of the commands about stored runs: which file, which run."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fourtuple.cli.values import Whole
from fourtuple.core.errors import FourtupleError
from fourtuple.faces.printer import tell

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from fourtuple.core.runs.stored import Entry


class RunNumber(Whole):
    """Parameter type: the number of a stored run. A shell completes it with those in the file, newest first."""

    def __init__(self) -> None:
        super().__init__(1, 2**63 - 1)  # the range of SQLite's integers

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list["CompletionItem"]:
        from click.shell_completion import CompletionItem

        from fourtuple.verbs.runs import Runs

        try:
            with Runs(file_of(ctx.params.get("file") or ctx.obj)) as stored:
                entries = stored.entries()
        except FourtupleError:  # there is none, or it cannot be read
            return []
        numbers = [CompletionItem(str(entry.id), help=f"{entry.outcome}: {entry.command}") for entry in entries]
        return [each for each in numbers if each.value.startswith(incomplete)]


FILE = click.option(
    "--store",
    "file",
    type=click.Path(dir_okay=False, readable=False),
    help="Run database to use instead of the default.",
)
ID = RunNumber()
DASH = Path("-")  # standard output


def file_of(file: str | None) -> Path | None:
    return Path(file) if file else None


def tell_newest(typed: int | None, taken: "Entry") -> None:
    """Say which run was taken, and of which kind, where none was typed."""
    if typed is None:
        tell(f"run {taken.id} ({taken.kind}), the newest", to=sys.stderr)
