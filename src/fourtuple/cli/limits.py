"""`limits`: how many more connections, and which limit decides."""

import click

from fourtuple.cli.common import ALL_STRATEGIES, FROM, JSON, NETNS, PID, UNITS, print_json, split


@click.command(short_help="How many more connections, and which limit decides.", epilog=UNITS)
@click.argument("destinations", nargs=-1, metavar="[HOST:PORT[-PORT]]...")
@FROM
@click.option("--strategy", type=ALL_STRATEGIES, help="Who chooses the source port.  [default: late]")
@PID
@NETNS
@click.option("--role", type=click.Choice(["client", "server"]), help="[default: client; server for a listening --pid]")
@click.option("--probe", is_flag=True, help="Ask the kernel, by short connections on 127.0.0.1, what it does not tell.")
@click.option("--all", "everything", is_flag=True, help="Every limit and every route.")
@JSON
def limits(
    destinations: tuple[str, ...],
    sources: tuple[str, ...],
    strategy: str | None,
    pid: int | None,
    netns: str | None,
    role: str | None,
    probe: bool,
    everything: bool,
    as_json: bool,
) -> None:
    """How many more connections can be opened from here, or accepted; which limit decides, and which come next.

    \b
    late      the kernel chooses the source port at connect(), quickly to the last one
    plain     the kernel chooses it, nothing is set
    noport    bind(address, 0) with IP_BIND_ADDRESS_NO_PORT
    bind0     bind(address, 0), as programs do by mistake: one pool for all destinations
    explicit  the program chooses it, with SO_REUSEADDR
    """
    from fourtuple.core.limits.strategy import Strategy
    from fourtuple.core.sockets.role import Role
    from fourtuple.faces.text import limits as face
    from fourtuple.verbs.limits import limits as verb
    from fourtuple.verbs.survey import go_into

    found = verb(
        destinations,
        sources=split(sources),
        strategy=Strategy(strategy) if strategy else None,
        pid=pid,
        role=Role(role) if role else None,
        probe=probe,
        outside=go_into(pid, netns),
    )
    if as_json:
        print_json(found.to_json())
    else:
        click.echo("\n".join(face.limits_lines(found, everything=everything)))
