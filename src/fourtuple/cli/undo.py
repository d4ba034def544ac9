"""`undo`: restore the settings that plan --apply changed."""

import sys

import click

from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT
from fourtuple.faces.printer import tell


@click.command()
@click.option(
    "--forget", is_flag=True, help="Also drop stored settings of other network namespaces, which may be gone."
)
def undo(forget: bool) -> None:
    """Restore the settings that plan --apply changed on this host and in this network namespace."""
    from fourtuple.faces.text import plan as face
    from fourtuple.verbs.undo import undo as verb

    outcome = verb(forget=forget)
    tell(*face.undone_lines(outcome.done, outcome.refused, outcome.elsewhere))
    sys.exit(EXIT_SHORT if outcome.refused else EXIT_REACHED)
