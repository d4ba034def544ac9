"""`fleet`: the same orders on many machines, on a Dask cluster."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fourtuple.cli import churn, hold, serve
from fourtuple.cli.common import (
    FIRST_ADDRESS,
    FROM,
    JSON,
    RATE,
    SOME_FIRST,
    STORE,
    STRATEGIES,
    Shown,
    command_line,
    print_json,
    split,
)
from fourtuple.cli.session import FILE, UNIX_PATH, Ordered
from fourtuple.cli.stored import ID
from fourtuple.cli.values import Whole
from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT, UsageError
from fourtuple.faces.printer import tell

if TYPE_CHECKING:
    from fourtuple.fleet.dask import Cluster
    from fourtuple.fleet.divide import FleetOptions
    from fourtuple.fleet.links import Links
    from fourtuple.fleet.run import Ahead

F = TypeVar("F", bound=Callable[..., Any])

CLUSTER = (
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        envvar="FOURTUPLE_SCHEDULER",
        help="The scheduler of a Dask cluster, such as tcp://10.0.0.1:8786.",
    ),
    click.option("--local", type=Whole(1, 256), metavar="K", help="Start K workers on this machine instead."),
    click.option("--ssh", metavar="HOST,...", help="Start a worker on each of these hosts by SSH instead."),
    click.option("--on", multiple=True, metavar="NAME,...", help="Machines to use, by name.  [default: all]"),
    click.option("--tls-ca-file", type=FILE, metavar="FILE", help="CA of the cluster's TLS; with the next two."),
    click.option("--tls-cert", type=FILE, metavar="FILE", help="Own certificate for the cluster."),
    click.option("--tls-key", type=FILE, metavar="FILE", help="Its key."),
)
OF_FLEET = ("scheduler", "local", "ssh", "on", "tls_ca_file", "tls_cert", "tls_key", "replace")  # as functions get them
REPLACE = click.option("--replace", is_flag=True, help="Give the share of a machine that is gone to the others.")


def of_cluster(command: F) -> F:
    """Add the options that say which cluster to use."""
    for option in reversed(CLUSTER):
        command = option(command)
    return command


def to_destinations(command: F) -> F:
    """Add the destinations, and the options that say where connections come from."""
    strategy = click.option("--strategy", type=STRATEGIES, help="How the source port is chosen, as in hold.")
    where = click.argument("destinations", nargs=-1, required=True, metavar="HOST:PORT[-PORT]...")
    return where(FROM(FIRST_ADDRESS(strategy(command))))


@click.group()
def fleet() -> None:
    """Do the same from many machines, on a Dask cluster.

    Each machine on which a Dask worker runs says how many connections it can open; N is divided accordingly. All begin
    together, and what they do is one run: one live view, one record, one report.

    \b
    fourtuple fleet hold 20k 127.0.0.1:8000-8009 --local 2         try it on this machine
    fourtuple fleet hosts --scheduler tcp://10.0.0.1:8786          which machines a cluster has
    fourtuple fleet plan 10M 10.0.0.9:80 --scheduler tcp://…:8786  which of them would open how many
    """


@fleet.command(short_help="List the machines, and workers that cannot take part.")
@of_cluster
@JSON
def hosts(as_json: bool, **typed: Any) -> None:
    """List the machines: addresses, CPUs, memory, versions, clocks, and workers that cannot take part."""
    from fourtuple.faces.text.fleet import hosts_lines
    from fourtuple.fleet.gather import gathered

    with _linked(typed) as (links, options):
        found = gathered(links, options.on, sharing=options.sharing).hosts
    _answer(found, hosts_lines, as_json=as_json)


@fleet.command(short_help="Show the limits of all machines side by side.")
@to_destinations
@of_cluster
@JSON
def limits(destinations: tuple[str, ...], as_json: bool, **typed: Any) -> None:
    """Show the limits of all machines side by side, and how many connections are possible together.

    Exit code: 1 if not one more connection is possible, otherwise 0.
    """
    from fourtuple.core.fleet.answers import limits_of
    from fourtuple.faces.text.fleet import limits_lines

    found = limits_of(destinations, _machines(typed, destinations))
    _answer(found, limits_lines, as_json=as_json)
    sys.exit(EXIT_SHORT if found.is_used_up else EXIT_REACHED)


@fleet.command(short_help="Check whether N connections fit, and who opens how many.")
@click.argument("wanted", type=SOME_FIRST, metavar="N")
@to_destinations
@click.option("--rate", "rate_per_s", type=RATE, help="Connections to open per second, on all machines together.")
@of_cluster
@JSON
def plan(wanted: int, destinations: tuple[str, ...], rate_per_s: float | None, as_json: bool, **typed: Any) -> None:
    """Check whether N connections fit: which machine opens how many, from where, and what is lacking.

    Exit code: 0 if they fit, otherwise 1.
    """
    from fourtuple.core.fleet.answers import plan_of
    from fourtuple.faces.text.fleet import plan_lines

    found = plan_of(wanted, destinations, _machines(typed, destinations, wanted), rate_per_s)
    _answer(found, plan_lines, as_json=as_json)
    sys.exit(EXIT_REACHED if found.fits else EXIT_SHORT)


def _answer(found: Any, lines: Callable[[Any], Iterator[str]], *, as_json: bool) -> None:
    if as_json:
        print_json(found.to_json())
    else:
        tell(*lines(found))


def _machines(typed: dict[str, Any], destinations: tuple[str, ...], wanted: int = 1) -> Any:
    """The machines of the cluster that was typed, each with what it offers."""
    from fourtuple.core.limits.strategy import Strategy
    from fourtuple.fleet.gather import gathered, offered
    from fourtuple.fleet.run import refuse_unix

    refuse_unix(destinations)
    strategy = typed.pop("strategy")
    with _linked(typed) as (links, options):
        gathering = gathered(links, options.on, sharing=options.sharing)
        return offered(
            links,
            gathering,
            destinations,
            sources=tuple(split(typed.pop("sources"))),
            strategy=Strategy(strategy) if strategy else None,
            first_address=typed.pop("first_address"),
            wanted=wanted,
        ).machines


def _of_fleet(parameter: click.Parameter) -> click.Parameter:
    """The parameter of a command without what a fleet does not take."""
    if parameter.metavar and UNIX_PATH in parameter.metavar:
        parameter = copy(parameter)
        parameter.metavar = str(parameter.metavar).replace(UNIX_PATH, "")
    return parameter


def _as_fleet(name: str, line: str, command: click.Command, *more: Callable[..., Any]) -> Callable[[F], click.Command]:
    """A command of the group with the arguments and options of `command`, those of a cluster, and `more`.

    line: of it in `fourtuple fleet --help`

    Left out are --log, because events on connections are not sent to where the fleet is run, and Unix sockets, which
    are on one host.
    """

    def made(run: F) -> click.Command:
        own = of_cluster(run)
        for option in more:
            own = option(own)
        params = [_of_fleet(each) for each in command.params if each.name not in ("log", "unix_socket")]
        params += reversed(getattr(own, "__click_params__", []))
        kind = Ordered if isinstance(command, Ordered) else click.Command
        made = kind(name, callback=run, params=params, help=run.__doc__, short_help=line, epilog=command.epilog)
        fleet.add_command(made)
        return made

    return made


@_as_fleet("hold", "Open N connections and hold them.", hold.hold, REPLACE)
def _hold(**typed: Any) -> None:
    """Open N connections from all machines together, hold them, close them.

    The arguments and options are those of `fourtuple hold`, for all machines together. N, rates and stages are divided
    by what each machine has room for, and by its CPUs; of --from, each machine takes the addresses that it has. Files
    are read on each machine.
    """
    from fourtuple.faces.text.fleet import servers_unknown_lines
    from fourtuple.fleet.run import fleet_hold

    def present(_: Any, ahead: "Ahead", run: Any, shown: Shown) -> None:
        if not (ahead.knows_servers or shown.quiet):
            tell(*servers_unknown_lines(), to=sys.stderr)
        hold.present(ahead.planned, run, shown)

    _run(typed, hold.asked, fleet_hold, present)


@_as_fleet("churn", "Open and close connections at a rate.", churn.churn)
def _churn(**typed: Any) -> None:
    """Open and close connections at a rate, from all machines together.

    The arguments and options are those of `fourtuple churn`, for all machines together.
    """
    from fourtuple.fleet.run import fleet_churn

    if typed["rate_per_s"] == float("inf"):
        raise UsageError("fleet churn max", "the search is for one machine", "Name a rate.")
    _run(typed, churn.asked, fleet_churn, lambda _, __, run, shown: churn.present(run, shown))


@_as_fleet("serve", "Accept connections on every machine that has an address.", serve.serve)
def _serve(**typed: Any) -> None:
    """Accept connections on all machines that have one of the addresses; 0.0.0.0 is of every machine.

    The arguments and options are those of `fourtuple serve`.
    """
    from fourtuple.fleet.run import fleet_serve

    _run(typed, serve.asked, fleet_serve, lambda asked, _, run, shown: serve.present(asked.where, run, shown))


def _run(
    typed: dict[str, Any],
    asked_of: Callable[[dict[str, Any]], Any],
    start: Callable[["Links", Any, "FleetOptions"], tuple["Ahead", Any]],
    present: Callable[[Any, "Ahead", Any, Shown], None],
) -> None:
    """Run what was typed on a cluster, to its end.

    asked_of: makes the options of the command; start: begins with them; present: shows the run, and ends with its code
    """
    from fourtuple.faces.text.fleet import unused_lines
    from fourtuple.fleet.dask import linked
    from fourtuple.fleet.run import refuse_unix

    shown = Shown.taken(typed)
    of_fleet = {name: typed.pop(name) for name in OF_FLEET if name in typed}
    (asked := asked_of(typed)).check()  # before a cluster is named, asked, or made
    refuse_unix(getattr(asked, "where", ()) or asked.destinations)
    cluster, options = _fleet(of_fleet, store=not shown.no_store)
    with linked(cluster) as links:
        ahead, run = start(links, asked, options)
        if not shown.quiet:
            tell(*unused_lines(ahead.unused), to=sys.stderr)
        present(asked, ahead, run, shown)


@fleet.command(short_help="Make a run whole again from the machines' own records.")
@click.argument("run", type=ID, required=False, metavar="[RUN]")
@of_cluster
@STORE
@JSON
def collect(run: int | str | None, store: str | None, as_json: bool, **typed: Any) -> None:
    """Make a run whole again from the machines' own records, and store it as a new one.

    When the scheduler or this program was lost during a run of a fleet, each machine closed in order and kept its own
    record. RUN is the run as it is stored here.  [default: the newest of a fleet]

    Exit code: that of the run.
    """
    from pathlib import Path

    from fourtuple.fleet.collect import collect
    from fourtuple.verbs.runs import Runs

    with Runs(Path(store) if store else None) as runs:
        stored = runs.of_fleet(run)
    with _linked(typed) as (links, options):
        collected = collect(links, stored, options.on)
        shown = Shown(None, store, no_store=False, quiet=True, as_json=as_json)
        if not as_json:
            tell(f"run {stored.entry.id}, from the machines' own records")
        match stored.start.kind:
            case "hold":
                hold.present(None, collected, shown)
            case "churn":
                churn.present(collected, shown)
            case _:
                serve.present((), collected, shown)


@contextmanager
def _linked(typed: dict[str, Any]) -> Iterator[tuple["Links", "FleetOptions"]]:
    """The links to the cluster, and the options of a fleet, which are taken out of what was typed."""
    from fourtuple.fleet.dask import linked

    cluster, options = _fleet(typed)
    with linked(cluster) as links:
        yield links, options


def _fleet(typed: dict[str, Any], *, store: bool = False) -> tuple["Cluster", "FleetOptions"]:
    """Which cluster, and the options of a fleet, which are taken out of what was typed. store: of the machines"""
    from fourtuple.fleet.divide import FleetOptions

    cluster = _cluster(typed)
    return cluster, FleetOptions(
        on=tuple(split(typed.pop("on"))),
        replace=typed.pop("replace", False),
        sharing=bool(cluster.local),
        command=command_line(),
        store=store and not cluster.local,  # this machine has the whole run
    )


def _cluster(typed: dict[str, Any]) -> "Cluster":
    """Which cluster was typed. Raises UsageError unless it is exactly one."""
    from fourtuple.fleet.dask import Cluster

    scheduler, local = typed.pop("scheduler"), typed.pop("local")
    ssh = tuple(part.strip() for part in (typed.pop("ssh") or "").split(",") if part.strip())
    tls = tuple(typed.pop(name) for name in ("tls_ca_file", "tls_cert", "tls_key"))
    source = click.get_current_context().get_parameter_source("scheduler")
    is_typed = source is click.core.ParameterSource.COMMANDLINE  # the environment gives way
    given = {"--scheduler": scheduler and (is_typed or not (local or ssh)), "--local": local, "--ssh": ssh}
    named = [name for name, value in given.items() if value]
    if not named:
        raise UsageError("which machines?", do="Name a --scheduler, or --local 2, or --ssh HOST,HOST.")
    if len(named) > 1:
        raise UsageError(" with ".join(named), "each of them is a cluster", "Use one of them.")
    if any(tls) and ssh:
        raise UsageError(
            "--ssh with TLS", "Dask starts such a cluster without it", "Start scheduler and workers yourself."
        )
    if any(tls) and not all(tls):
        raise UsageError("TLS of the cluster", "a part is missing", "Give --tls-ca-file, --tls-cert and --tls-key.")
    return Cluster(scheduler if "--scheduler" in named else "", local or 0, ssh, tls if all(tls) else ())
