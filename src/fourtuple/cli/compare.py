"""`compare`: show two stored runs side by side."""

from pathlib import Path

import click

from fourtuple.cli.common import JSON, print_json
from fourtuple.cli.report import check_one_output, write_page
from fourtuple.cli.stored import DASH, FILE, ID, file_of
from fourtuple.faces.printer import tell


@click.command()
@click.argument("first", type=ID, metavar="ID")
@click.argument("second", type=ID, metavar="ID")
@click.option("--anyway", is_flag=True, help="Show ratios of rates and times even for different machines.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Also write an HTML page to this file."
)
@FILE
@JSON
def compare(
    first: int | str, second: int | str, anyway: bool, output: Path | None, file: str | None, as_json: bool
) -> None:
    """Show two stored runs of the same kind side by side: numbers, second-to-first ratios, and differing settings.

    Each ID is the number or the name of a run.

    On different machines, rates and times depend on the machine as much as on the run, so their ratios are left out.
    """
    from fourtuple.core.runs.compare import compare as side_by_side
    from fourtuple.faces.text import compare as face
    from fourtuple.verbs.runs import Runs

    check_one_output(output, as_json=as_json, option="--output")
    with Runs(file_of(file)) as stored:
        found = side_by_side(stored.read(first), stored.read(second), anyway=anyway)
    if as_json:
        print_json(found.to_json())
    elif output != DASH:
        tell(*face.compare_lines(found))
    if output:

        def page() -> str:
            from fourtuple.faces.page.report import compare_page

            return compare_page(found)

        write_page(output, page, quiet=as_json)
