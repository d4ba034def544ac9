"""`limits`: show how many more connections fit, and which limit decides."""

import sys
from typing import TYPE_CHECKING

import click

from fourtuple.cli.common import (
    ALL_STRATEGIES,
    AT,
    FIRST_ADDRESS,
    FROM_WHERE,
    JSON,
    NETNS,
    PID,
    UNITS,
    load_options,
    origin_of,
    print_json,
    told_apart,
)
from fourtuple.cli.values import OneOf
from fourtuple.core.errors import EXIT_CANNOT, EXIT_REACHED, EXIT_SHORT
from fourtuple.faces.printer import tell

if TYPE_CHECKING:
    from fourtuple.core.limits.load import Load


@click.command(epilog=UNITS)
@click.argument("destinations", nargs=-1, metavar="[HOST:PORT[-PORT]]...")
@FROM_WHERE
@AT
@FIRST_ADDRESS
@click.option("--strategy", type=ALL_STRATEGIES, help="How the source port is chosen, see above.  [default: late]")
@PID
@NETNS
@click.option(
    "--role",
    type=OneOf(["client", "server"]),
    help="Whose limits to show.  [default: client; server if --pid listens]",
)
@click.option(
    "--probe",
    is_flag=True,
    help="Find out, by short connections on 127.0.0.1 and bind(), what the kernel does not report.",
)
@load_options
@click.option("--all", "everything", is_flag=True, help="Show every limit and every route.")
@JSON
def limits(
    destinations: tuple[str, ...],
    sources: tuple[str, ...],
    at: str | None,
    first_address: bool,
    strategy: str | None,
    pid: int | None,
    netns: str | None,
    role: str | None,
    probe: bool,
    everything: bool,
    as_json: bool,
    load: "Load",
) -> None:
    """Show how many more connections can be opened from here, or accepted, which limit decides, and which come next.

    \b
    Strategies, by which the source port is chosen:
    late      by the kernel at connect(); fast even when the range is nearly full
    plain     by the kernel, with no socket option set
    noport    by the kernel after bind(address, 0) with IP_BIND_ADDRESS_NO_PORT
    bind0     by bind(address, 0), a common mistake: one pool for all destinations
    explicit  by the program, with SO_REUSEADDR

    Exit code: 0 if one more connection fits, or may fit; 1 if a limit leaves room for none, or the accept queue in
    question is full; 77 if this host does not tell.
    """
    from fourtuple.core.limits.strategy import Strategy
    from fourtuple.core.sockets.role import Role
    from fourtuple.faces.text import limits as face
    from fourtuple.faces.text.origin import origin_lines
    from fourtuple.verbs.hosts import host_of
    from fourtuple.verbs.limits import limits as verb

    addresses, file = told_apart(sources)
    host = host_of(file, at, pid=pid, netns=netns)
    found = verb(
        destinations,
        sources=addresses,
        strategy=Strategy(strategy) if strategy else None,
        first_address=first_address,
        pid=pid,
        role=Role(role) if role else None,
        probe=probe,
        host=host,
        load=load,
    )
    from_here = pid is None and host.origin is None
    if as_json:
        print_json(found.to_json() | origin_of(host))
    else:
        lines = face.limits_lines(found, everything=everything, from_here=from_here)
        tell(*origin_lines(host.origin), *lines, headlines=1)
    sys.exit(EXIT_SHORT if found.is_used_up else EXIT_CANNOT if found.is_unknown else EXIT_REACHED)
