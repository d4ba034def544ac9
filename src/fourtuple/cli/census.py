"""`census`: show who uses source ports, and how many remain per destination."""

import sys
from collections.abc import Callable
from typing import Any

import click

from fourtuple.cli.common import JSON, NETNS, PERIOD, SOME, UNITS, columns, complain, print_json, split
from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT, FourtupleError, UsageError
from fourtuple.core.runs.run import Run
from fourtuple.faces.printer import tell


@click.command(short_help="Show who uses source ports, and how many remain per destination.", epilog=UNITS)
@click.option(
    "--to",
    multiple=True,
    metavar="[HOST][:PORT[-PORT]]",
    help="Only these destinations (repeatable or comma-separated).",
)
@click.option(
    "--from", "sources", multiple=True, metavar="ADDRESS", help="Only these sources: an address, range or network."
)
@click.option(
    "--state", "states", multiple=True, metavar="NAME", help="Only sockets in these states: established, time-wait …"
)
@click.option(
    "--by",
    type=click.Choice(["pair", "destination", "port", "state", "process"]),
    default="pair",
    show_default=True,
    help="Group rows by this.",
)
@click.option(
    "--top",
    "most",
    type=SOME,
    help="Show at most N client and N server rows.  [default: 10; all for --json, --csv]",
)
@NETNS
@click.option("--all-netns", is_flag=True, help="Count in every network namespace that is visible to you.")
@click.option(
    "--watch",
    "every_s",
    type=PERIOD,
    is_flag=False,
    flag_value="2s",
    help="Refresh every TIME and show new connections per second.  [2s if no TIME is given]",
)
@click.option("--rings", is_flag=True, help="Ask io_uring instances for their sockets; briefly pauses each ring.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV.")
@click.option("--save", type=click.Path(dir_okay=False), help="Also write the JSON, with every row, to this file.")
@JSON
def census(
    to: tuple[str, ...],
    sources: tuple[str, ...],
    states: tuple[str, ...],
    by: str,
    most: int | None,
    netns: str | None,
    all_netns: bool,
    every_s: float | None,
    rings: bool,
    as_csv: bool,
    save: str | None,
    as_json: bool,
) -> None:
    """Show connections by source and destination, fullest pair first: who uses source ports, and how many remain.

    A local port with a listener is a server's port; all others are clients' ports. The ports that connect() can still
    choose for a pair are the range, minus reserved ports, minus ports held by bind() or listen(), minus the ports that
    the pair already uses.
    """
    from fourtuple.core.census.records import By
    from fourtuple.faces.terminal import watch as watching
    from fourtuple.faces.text import census as face
    from fourtuple.verbs.census import census_everywhere, censuses, states_named
    from fourtuple.verbs.census import save as verb
    from fourtuple.verbs.looks import paced
    from fourtuple.verbs.survey import go_into

    _check(netns, all_netns, every_s, save, as_csv=as_csv, as_json=as_json)
    as_text = not (as_json or as_csv)
    shown = face.SHOWN if most is None and as_text else most
    options: dict[str, Any] = {
        "to": split(to),
        "sources": split(sources),
        "states": states_named(split(states)),
        "by": By(by),
        "most": face.WATCHED if every_s is not None and as_text else None if save else shown,
        "rings": rings,
    }

    show = _printer(shown, as_json=as_json, as_csv=as_csv, watched=every_s is not None)
    if all_netns:
        sys.exit(_census_everywhere(census_everywhere(**options), show, titles=as_text))
    owners = every_s is None or not as_text  # a watched census does not show them
    looks = censuses(**options, owners=owners, outside=go_into(None, netns))
    if every_s is not None and as_text and sys.stdin.isatty() and sys.stdout.isatty():
        watching.screen(looks, every_s)
    elif every_s is not None:
        for number, found in enumerate(paced(looks, every_s)):
            show(found, first=number == 0)
    else:
        found = next(looks)
        if save is not None:
            verb(found, save)
        show(found)


def _check(
    netns: str | None, all_netns: bool, every_s: float | None, save: str | None, *, as_csv: bool, as_json: bool
) -> None:
    """Raises UsageError for options that contradict each other."""
    if all_netns and (netns or every_s is not None):
        raise UsageError("--all-netns", "it counts once, in every namespace", "Leave out --netns and --watch.")
    if as_json and as_csv:
        raise UsageError("--json and --csv", "standard output can have only one format", "Use one of them.")
    if save is not None and (all_netns or every_s is not None):
        raise UsageError("--save", "it needs one count of one namespace", "Leave out --all-netns and --watch.")


def _printer(shown: int | None, *, as_json: bool, as_csv: bool, watched: bool) -> Callable[..., None]:
    """What prints one census, with at most `shown` rows for each role. watched: it is one of many"""
    from fourtuple.faces.text import census as face

    def show(found: Any, *, first: bool = True) -> None:
        found = found.first(shown)
        if as_json:
            print_json(found.to_json())
        elif as_csv:
            tell(*face.csv_table(found, head=first))
        elif watched:
            tell(*face.watch_lines(found), "")
        else:
            tell(*face.census_lines(found, columns=columns()))

    return show


def _census_everywhere(looks: Run[tuple[Any, Any], int], show: Callable[..., None], *, titles: bool) -> int:
    """Print a block for each namespace → the exit code."""
    code = EXIT_REACHED
    for number, (place, found) in enumerate(looks):
        if titles:
            tell(*[""] * (number > 0), f"{place.netns} {place.name}")
        if isinstance(found, FourtupleError):
            complain(found)
            code = EXIT_SHORT
        else:
            show(found, first=number == 0)
    if looks.record:
        tell(f"{looks.record} more namespaces are not visible; seeing them needs root", to=sys.stderr)
    return code
