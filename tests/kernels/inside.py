"""What runs in a guest: `python -m tests.kernels.inside PART… --to FILE` tries the parts and writes their findings.

FILE gets a line of JSON for each finding as soon as there is one, so what was found before a crash is not lost. It can
be run on the host itself, too.
"""

import sys
import time
from pathlib import Path
from typing import Any

import click
import msgspec

from fourtuple.lessons.prove import NAMES
from tests.kernels.findings import Came, Finding
from tests.kernels.parts import AMOUNTS, PARTS, Amounts

MARKS = {Came.RIGHT: "right", Came.WRONG: "WRONG", Came.SKIPPED: "skipped"}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--to", "file", type=click.Path(dir_okay=False, path_type=Path), required=True, help="Add to this file.")
@click.option("--worlds", type=int, default=AMOUNTS.worlds, help="Random worlds.")
@click.option("--connections", type=int, default=AMOUNTS.connections, multiple=True, help="Of each hold and serve.")
@click.option("--opened", type=int, default=AMOUNTS.opened, help="Connections of the lesson past-65536.")
@click.option("--without", type=click.Choice(NAMES), multiple=True, help="A lesson to leave out.")
def main(parts: tuple[str, ...], file: Path, **amounts: Any) -> None:
    """Try PARTS, or all, in this kernel. Exit code: 0 if nothing was wrong, 1 if something was."""
    wrong = 0
    with file.open("ab") as lines:
        for part in parts or PARTS:
            start_s = time.monotonic()
            for finding in PARTS[part](Amounts(**amounts)):
                lines.write(msgspec.json.encode(finding) + b"\n")
                lines.flush()
                wrong += finding.came is Came.WRONG
                click.echo(f"  {time.monotonic() - start_s:5.0f} s  {line_of(finding)}")
    sys.exit(1 if wrong else 0)


def line_of(finding: Finding) -> str:
    """One line for people."""
    line = f"{MARKS[finding.came]:7}  {finding.name}"
    if finding.came is Came.WRONG:
        line += f": predicted {finding.predicted or 'nothing'}, observed {finding.observed or 'nothing'}"
    elif not finding.predicted and finding.observed:
        line += f": {finding.observed}"
    return line + (f" ({finding.because})" if finding.because and finding.came is not Came.RIGHT else "")


if __name__ == "__main__":
    main()
