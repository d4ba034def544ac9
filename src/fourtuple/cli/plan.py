"""`plan`: check whether N connections fit, and what to change if not."""

import sys
from typing import Any

import click

from fourtuple.cli.common import (
    ALL_STRATEGIES,
    AT,
    FIRST_ADDRESS,
    FROM_WHERE,
    JSON,
    N_FIRST,
    RATE,
    UNITS,
    load_options,
    origin_of,
    print_json,
    told_apart,
)
from fourtuple.cli.values import OneOf, Parsed, Whole
from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT, UsageError
from fourtuple.core.visible import shell_words
from fourtuple.faces.printer import tell

# The names of core/plan/nat.py, which --help need not import.
NAT = (
    "aws",
    "aws-instance",
    "azure",
    "azure-app-service",
    "azure-load-balancer",
    "gcp",
    "gcp-dynamic",
    "gcp-independent",
    "linux",
)


def _assumption(text: str) -> str:
    from fourtuple.core.plan.assume import parse_assumptions

    parse_assumptions([text])
    return text


@click.command(epilog=UNITS)
@click.argument("wanted", type=N_FIRST, metavar="N")
@click.argument("destinations", nargs=-1, required=True, metavar="HOST:PORT[-PORT]...")
@FROM_WHERE
@AT
@FIRST_ADDRESS
@click.option(
    "--strategy", type=ALL_STRATEGIES, help="How the source port is chosen, see limits --help.  [default: late]"
)
@click.option("--rate", "rate_per_s", type=RATE, help="Connections to open per second.")
@click.option(
    "--churn",
    "churn_per_s",
    type=RATE,
    help="Additional short connections per second, closed by this end.",
)
@load_options
@click.option("--machines", type=Whole(1, 1_000_000), metavar="K", help="Calculate for K identical machines.")
@click.option(
    "--nat",
    type=OneOf(NAT),
    metavar="GATEWAY",
    help=f"Account for a NAT gateway on the path: {', '.join(NAT)}.",
)
@click.option(
    "--nat-addresses",
    type=Whole(1),
    metavar="N",
    default=1,
    show_default=True,
    help="Public addresses of the NAT gateway.",
)
@click.option(
    "--assume",
    type=Parsed("NAME=VALUE", _assumption),
    multiple=True,
    help="Take this value instead of what this host says, or where it says nothing; repeatable.",
)
@click.option("--write", "file", type=click.Path(dir_okay=False), help="Write the plan to a file, for hold --plan.")
@click.option("--apply", "do_apply", is_flag=True, help="Apply the required sysctls; `undo` restores them.")
@JSON
def plan(
    wanted: int,
    destinations: tuple[str, ...],
    sources: tuple[str, ...],
    at: str | None,
    strategy: str | None,
    file: str | None,
    do_apply: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Check whether N more connections fit; if not, find the smallest change that makes them fit. Opens nothing.

    Exit code: 0 if they certainly fit, 1 if not, or if a limit is unknown.
    """
    from fourtuple.core.limits.strategy import Strategy
    from fourtuple.faces.text import plan as face
    from fourtuple.faces.text.origin import origin_lines
    from fourtuple.verbs.hosts import host_of
    from fourtuple.verbs.plan import plan as verb
    from fourtuple.verbs.plan import write_plan

    addresses, snapshot = told_apart(sources)
    if snapshot is not None and do_apply:
        raise UsageError("--apply with --from FILE", "settings are applied to this host", "Apply them there.")
    host = host_of(snapshot, at)
    asked = {"host": host, "sources": addresses, "strategy": Strategy(strategy) if strategy else None, **options}
    if do_apply and options["assume"]:
        raise UsageError("--apply with --assume", "settings follow from what this host says")
    fit = verb(wanted, destinations, **asked)
    said: list[str] = []
    applied: dict[str, Any] = {}
    if do_apply:
        from fourtuple.verbs.undo import apply

        outcome = apply(fit.changes)
        said = [*face.applied_lines(outcome.done, outcome.refused), ""]
        applied = {"applied": [change.name for change in outcome.done]}
        fit = verb(wanted, destinations, **asked)
    if file:
        write_plan(
            file,
            fit.wanted_each,
            destinations,
            asked["sources"],
            strategy,
            options["rate_per_s"],
            first_address=options["first_address"],
        )
        share = ", the share of one machine" if fit.machine else ""
        said.append(f"written to {file}{share}: fourtuple hold --plan {shell_words([file])}")
    if as_json:
        print_json(fit.to_json() | origin_of(host) | applied)
    else:
        tell(*said, *origin_lines(host.origin), *face.plan_lines(fit), headlines=1)
    sys.exit(EXIT_REACHED if fit.fits else EXIT_SHORT)
