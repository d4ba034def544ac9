"""`plan`: do N connections fit, and what makes them fit?"""

import sys
from typing import Any

import click

from fourtuple.cli.common import ALL_STRATEGIES, COUNT, FROM, JSON, RATE, UNITS, print_json, split
from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT


@click.command(short_help="Do N connections fit, and what makes them fit?", epilog=UNITS)
@click.argument("wanted", type=COUNT, metavar="N")
@click.argument("destinations", nargs=-1, required=True, metavar="HOST:PORT[-PORT]...")
@FROM
@click.option("--strategy", type=ALL_STRATEGIES, help="Who chooses the source port.  [default: late]")
@click.option("--rate", "rate_per_s", type=RATE, help="Open so many a second.")
@click.option("--churn", "churn_per_s", type=RATE, help="Open and close so many a second besides, closing first.")
@click.option("--machines", type=click.IntRange(1, 1_000_000), help="Split them over so many, on paper.")
@click.option(
    "--nat", type=click.Choice(["aws", "azure", "gcp", "linux"]), help="A router that translates, in between."
)
@click.option("--nat-addresses", type=click.IntRange(1), default=1, show_default=True, help="Its public addresses.")
@click.option("--write", "file", type=click.Path(dir_okay=False), help="Write it to a file, for hold --plan.")
@click.option("--apply", "do_apply", is_flag=True, help="Write the settings it takes; fourtuple undo brings them back.")
@JSON
def plan(
    wanted: int,
    destinations: tuple[str, ...],
    sources: tuple[str, ...],
    strategy: str | None,
    file: str | None,
    do_apply: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Do N more connections fit, and what is the smallest change that makes them? Opens nothing.

    Ends with 0 where they surely fit, with 1 where not.
    """
    from fourtuple.core.limits.strategy import Strategy
    from fourtuple.faces.text import plan as face
    from fourtuple.verbs.plan import plan as verb
    from fourtuple.verbs.plan import write_plan
    from fourtuple.verbs.undo import apply

    asked = {"sources": split(sources), "strategy": Strategy(strategy) if strategy else None, **options}
    fit = verb(wanted, destinations, **asked)
    said: list[str] = []
    applied: dict[str, Any] = {}
    if do_apply:
        outcome = apply(fit.changes)
        said = [*face.applied_lines(outcome.done, outcome.refused), ""]
        applied = {"applied": [change.name for change in outcome.done]}
        fit = verb(wanted, destinations, **asked)
    if file:
        write_plan(file, fit.wanted_each, destinations, asked["sources"], strategy, options["rate_per_s"])
        share = ", the share of one machine" if fit.machine else ""
        said.append(f"written to {file}{share}: fourtuple hold --plan {file}")
    if as_json:
        print_json(fit.to_json() | applied)
    else:
        click.echo("\n".join([*said, *face.plan_lines(fit)]))
    sys.exit(EXIT_REACHED if fit.fits else EXIT_SHORT)
