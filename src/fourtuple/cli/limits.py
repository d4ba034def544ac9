"""`limits`, `plan`, `why`: which limit stops me, and what helps; `undo` takes back what plan --apply did."""

import sys
from typing import Any

import click

from fourtuple.cli.common import ALL_STRATEGIES, COUNT, FROM, JSON, NETNS, PID, RATE, UNITS, print_json, split
from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT


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
    from fourtuple.core.limits.verdicts import Role
    from fourtuple.core.runs.slices import Strategy
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
    from fourtuple.core.runs.slices import Strategy
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


@click.command(short_help="Bring back the settings that plan --apply has changed.")
@click.option("--forget", is_flag=True, help="Drop what is stored of other network namespaces, which may be gone.")
def undo(forget: bool) -> None:
    """Bring back the settings that plan --apply has changed, on this host and in this network namespace."""
    from fourtuple.faces.text import plan as face
    from fourtuple.verbs.undo import undo as verb

    outcome = verb(forget=forget)
    click.echo("\n".join(face.undone_lines(outcome.done, outcome.refused, outcome.elsewhere)))
    sys.exit(EXIT_SHORT if outcome.refused else EXIT_REACHED)


@click.command(short_help="Explain a number, an errno, or a line of a log.")
@click.argument("what", nargs=-1, required=True, metavar="WHAT...")
@click.option("--dest", "destination", metavar="ADDRESS:PORT", help="What it is about.")
@PID
@NETNS
@click.option("--all", "everything", is_flag=True, help="The unlikely causes in full, too.")
@JSON
def why(
    what: tuple[str, ...],
    destination: str | None,
    pid: int | None,
    netns: str | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Explain where connections stop: WHAT is a number (28232), an errno (99, EADDRINUSE), or a line of a log or a
    traceback; - reads it from standard input. Causes come best first, with what this host says for and against them.

    Ends with 1 where nothing is known of it.

    \b
    fourtuple why 28232
    fourtuple why "dial tcp 10.0.0.9:80: connect: cannot assign requested address"
    journalctl -u proxy | tail -1 | fourtuple why -
    """
    from fourtuple.faces.text import why as face
    from fourtuple.verbs.survey import go_into
    from fourtuple.verbs.why import why as verb

    text = sys.stdin.buffer.read().decode(errors="replace") if what == ("-",) else " ".join(what)
    answer = verb(text, destination=destination, pid=pid, outside=go_into(pid, netns))
    if as_json:
        print_json(answer.to_json())
    else:
        click.echo("\n".join(face.why_lines(answer, everything=everything)))
    sys.exit(EXIT_REACHED if answer.explanations else EXIT_SHORT)
