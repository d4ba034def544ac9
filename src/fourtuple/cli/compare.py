"""`compare`: two stored runs side by side."""

from pathlib import Path

import click

from fourtuple.cli.common import JSON, print_json
from fourtuple.cli.report import write_page
from fourtuple.cli.stored import FILE, ID, file_of


@click.command(short_help="Two stored runs side by side, with ratios.")
@click.argument("first", type=ID, metavar="ID")
@click.argument("second", type=ID, metavar="ID")
@click.option("--anyway", is_flag=True, help="Ratios of rates and times also for different machines.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="As an HTML page in this file.")
@FILE
@JSON
def compare(first: int, second: int, anyway: bool, output: Path | None, file: str | None, as_json: bool) -> None:
    """Two stored runs of one kind side by side, with the ratio of the second to the first, and what is not the same.

    On different machines a rate says as much of the machine as of the run: then its ratio is left out.
    """
    from fourtuple.core.runs.compare import compare as side_by_side
    from fourtuple.faces.text import compare as face
    from fourtuple.verbs.runs import Runs

    with Runs(file_of(file)) as stored:
        found = side_by_side(stored.read(first), stored.read(second), anyway=anyway)
    if output:
        from fourtuple.faces.page import report as page

        write_page(output, lambda: page.compare_page(found), quiet=as_json)
    if as_json:
        print_json(found.to_json())
    else:
        click.echo("\n".join(face.compare_lines(found)))
