"""`fleet`: the same orders on many machines, on a Dask cluster."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fourtuple.cli import churn, hold, serve
from fourtuple.cli.common import Shown, command_line, split
from fourtuple.cli.session import FILE, Ordered
from fourtuple.core.errors import UsageError

if TYPE_CHECKING:
    from fourtuple.fleet.dask import Cluster
    from fourtuple.fleet.links import Links
    from fourtuple.fleet.run import FleetOptions

F = TypeVar("F", bound=Callable[..., Any])

CLUSTER = (
    click.option(
        "--scheduler",
        metavar="ADDRESS",
        envvar="FOURTUPLE_SCHEDULER",
        help="The scheduler of a Dask cluster, such as tcp://10.0.0.1:8786.",
    ),
    click.option("--local", type=click.IntRange(1, 256), metavar="K", help="Start K workers on this machine instead."),
    click.option("--ssh", metavar="HOST,...", help="Start a worker on each of these hosts by SSH instead."),
    click.option("--on", multiple=True, metavar="NAME,...", help="Machines to use, by name.  [default: all]"),
    click.option("--tls-ca-file", type=FILE, metavar="FILE", help="CA of the cluster's TLS; with the next two."),
    click.option("--tls-cert", type=FILE, metavar="FILE", help="Own certificate for the cluster."),
    click.option("--tls-key", type=FILE, metavar="FILE", help="Its key."),
)
REPLACE = click.option("--replace", is_flag=True, help="Give the share of a machine that is gone to the others.")


def of_cluster(command: F) -> F:
    """Add the options that say which cluster to use."""
    for option in reversed(CLUSTER):
        command = option(command)
    return command


@click.group()
def fleet() -> None:
    """Do the same from many machines, on a Dask cluster.

    Each machine on which a Dask worker runs says how many connections it can open; N is divided accordingly. All begin
    together, and what they do is one run: one live view, one record, one report.

    \b
    fourtuple fleet hold 20k 127.0.0.1:8000-8009 --local 2           try it on this machine
    fourtuple fleet hosts --scheduler tcp://10.0.0.1:8786            what the machines of a cluster are
    fourtuple fleet plan 10M 10.0.0.9:80 --scheduler tcp://10.0.0.1:8786
    """


def _as_fleet(name: str, command: click.Command, *more: Callable[..., Any]) -> Callable[[F], click.Command]:
    """A command with the arguments and options of `command`, those of a cluster, and `more`."""

    def made(run: F) -> click.Command:
        own = of_cluster(run)
        for option in more:
            own = option(own)
        params = [*command.params, *reversed(getattr(own, "__click_params__", []))]
        kind = Ordered if isinstance(command, Ordered) else click.Command
        made = kind(name, callback=run, params=params, help=run.__doc__, epilog=command.epilog)
        fleet.add_command(made)
        return made

    return made


@_as_fleet("hold", hold.hold, REPLACE)
def _hold(**typed: Any) -> None:
    """Open N connections from all machines together, hold them, close them.

    The arguments and options are those of `fourtuple hold`, for all machines together. N, rates and stages are divided
    by what each machine has room for, and by its CPUs; of --from, each machine takes the addresses that it has. Files
    are read on each machine.
    """
    from fourtuple.fleet.run import fleet_hold

    with _linked(typed) as (links, shown, options):
        planned, run = fleet_hold(links, hold.asked(typed), options)
        hold.present(planned, run, shown)


@_as_fleet("churn", churn.churn)
def _churn(**typed: Any) -> None:
    """Open and close connections at a rate, from all machines together.

    The arguments and options are those of `fourtuple churn`, for all machines together.
    """
    from fourtuple.fleet.run import fleet_churn

    if typed["rate_per_s"] == float("inf"):
        raise UsageError("fleet churn max", "the search is for one machine", "Name a rate.")
    with _linked(typed) as (links, shown, options):
        churn.present(fleet_churn(links, churn.asked(typed), options), shown)


@_as_fleet("serve", serve.serve)
def _serve(**typed: Any) -> None:
    """Accept connections on all machines that have one of the addresses; 0.0.0.0 is of every machine.

    The arguments and options are those of `fourtuple serve`.
    """
    from fourtuple.fleet.run import fleet_serve

    with _linked(typed) as (links, shown, options):
        asked = serve.asked(typed)
        serve.present(asked, fleet_serve(links, asked, options), shown)


@contextmanager
def _linked(typed: dict[str, Any]) -> Iterator[tuple["Links", Shown, "FleetOptions"]]:
    """The links to the cluster; takes the options of a fleet and of a run out of what was typed."""
    from fourtuple.fleet.dask import linked
    from fourtuple.fleet.run import FleetOptions

    cluster = _cluster(typed)
    on = tuple(split(typed.pop("on")))
    shown, replace = Shown.taken(typed), typed.pop("replace", False)
    options = FleetOptions(on, replace, bool(cluster.local), command_line(), not shown.no_store)
    with linked(cluster) as links:
        yield links, shown, options


def _cluster(typed: dict[str, Any]) -> "Cluster":
    """Which cluster was typed. Raises UsageError unless it is exactly one."""
    from fourtuple.fleet.dask import Cluster

    scheduler, local, ssh = typed.pop("scheduler"), typed.pop("local"), typed.pop("ssh")
    tls = tuple(typed.pop(name) for name in ("tls_ca_file", "tls_cert", "tls_key"))
    if local or ssh:
        given = [name for name, value in (("--local", local), ("--ssh", ssh)) if value]
        source = click.get_current_context().get_parameter_source("scheduler")
        if scheduler and source is click.core.ParameterSource.COMMANDLINE:
            given.append("--scheduler")
        if len(given) > 1:
            raise UsageError(" with ".join(given), "each of them is a cluster", "Use one of them.")
        scheduler = ""
    elif not scheduler:
        raise UsageError("which machines?", do="Name a --scheduler, or --local 2, or --ssh HOST,HOST.")
    if any(tls) and not all(tls):
        raise UsageError("TLS of the cluster", "a part is missing", "Give --tls-ca-file, --tls-cert and --tls-key.")
    return Cluster(scheduler or "", local or 0, tuple((ssh or "").split(",")) if ssh else (), tls if all(tls) else ())
