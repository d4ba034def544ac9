"""`census`: show who uses source ports, and how many remain per destination."""

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import click

from fourtuple.cli.common import (
    AT,
    FILTERS,
    JSON,
    NETNS,
    PERIOD,
    SOME,
    SOURCES_OR_FILE,
    UNITS,
    complain,
    one_of,
    origin_of,
    print_json,
    split,
    told_apart,
)
from fourtuple.cli.values import OneOf, only_one
from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT, FourtupleError, UsageError
from fourtuple.core.runs.run import Run
from fourtuple.faces.printer import tell

if TYPE_CHECKING:
    from fourtuple.core.snapshot.host import Host


def _states() -> Iterable[str]:
    from fourtuple.verbs.census import state_names

    return state_names()


@click.command(epilog=UNITS)
@click.option(
    "--to",
    type=FILTERS,
    multiple=True,
    help="Only these destinations (repeatable or comma-separated).",
)
@click.option(
    "--from",
    "sources",
    type=SOURCES_OR_FILE,
    multiple=True,
    metavar="ADDRESS|FILE",
    help="Only these sources: an address, range or network; or a snapshot or pasted output to count instead of this"
    " host (- is standard input).",
)
@AT
@click.option(
    "--state",
    "states",
    multiple=True,
    metavar="NAME",
    shell_complete=one_of(_states),
    help="Only sockets in these states: established, time-wait …",
)
@click.option(
    "--by",
    type=OneOf(["pair", "destination", "port", "state", "process"]),
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
    at: str | None,
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
    from fourtuple.faces.text import census as face
    from fourtuple.verbs.census import censuses, states_named
    from fourtuple.verbs.census import save as verb
    from fourtuple.verbs.hosts import host_of

    addresses, file = told_apart(sources)
    _check(netns, all_netns, every_s, save, file, as_csv=as_csv, as_json=as_json)
    as_text = not (as_json or as_csv)
    shown = face.SHOWN if most is None and as_text else most
    options: dict[str, Any] = {
        "to": split(to),
        "sources": addresses,
        "states": states_named(split(states)),
        "by": By(by),
        "most": face.WATCHED if every_s is not None and as_text else None if save else shown,
        "rings": rings,
    }

    if all_netns:
        from fourtuple.verbs.everywhere import census_everywhere

        show = _printer(None, shown, as_json=as_json, as_csv=as_csv, watched=False)
        sys.exit(_census_everywhere(census_everywhere(**options), show, titles=as_text))
    owners = every_s is None or not as_text  # a watched census does not show them
    host = host_of(file, at, netns=netns)
    show = _printer(host, shown, as_json=as_json, as_csv=as_csv, watched=every_s is not None)
    looks = censuses(**options, owners=owners, host=host)
    if every_s is not None and as_text and sys.stdin.isatty() and sys.stdout.isatty():
        from fourtuple.faces.terminal import watch as watching

        watching.screen(looks, every_s)
    elif every_s is not None:
        from fourtuple.verbs.looks import paced

        for number, found in enumerate(paced(looks, every_s)):
            show(found, first=number == 0)
    else:
        found = next(looks)
        if save is not None:
            verb(found, save)
        show(found)


def _check(
    netns: str | None,
    all_netns: bool,
    every_s: float | None,
    save: str | None,
    file: str | None,
    *,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Raises UsageError for options that contradict each other."""
    if file is not None and (all_netns or every_s is not None):
        raise UsageError(f"--from {file}", "a snapshot is one moment", "Leave out --all-netns and --watch.")
    if all_netns and (netns or every_s is not None):
        raise UsageError("--all-netns", "it counts once, in every namespace", "Leave out --netns and --watch.")
    only_one({"--json": as_json, "--csv": as_csv})
    if save is not None and (all_netns or every_s is not None):
        raise UsageError("--save", "it needs one count of one namespace", "Leave out --all-netns and --watch.")


def _printer(
    host: "Host | None", shown: int | None, *, as_json: bool, as_csv: bool, watched: bool
) -> Callable[..., None]:
    """What prints one census of this host, with at most `shown` rows for each role. watched: it is one of many"""
    from fourtuple.faces.text import census as face
    from fourtuple.faces.text.origin import origin_lines

    def show(found: Any, *, first: bool = True) -> None:
        found = found.first(shown)
        if as_json:
            print_json(found.to_json() | (origin_of(host) if host else {}))
        elif as_csv:
            tell(*face.csv_table(found, head=first))
        elif watched:
            tell(*face.watch_lines(found), "")
        else:
            tell(*origin_lines(host.origin if host else None), *face.census_lines(found))

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
