"""`prove` and `lab`: what holds, and a place to try it."""

import sys
from pathlib import Path

import click

from fourtuple.cli.common import COUNT, NO_STORE, STORE, command_line, keeper_of, print_json, pull, tell_kept
from fourtuple.cli.runs import check_report, write_report
from fourtuple.core.errors import UsageError


@click.command(short_help="Show on real sockets that 65,535 is not the limit.")
@click.argument("names", nargs=-1, metavar="[LESSON]...")
@click.option("--list", "only_list", is_flag=True, help="Name the lessons and their claims, run nothing.")
@click.option("--show-code", is_flag=True, help="Print the source of the named lessons, run nothing.")
@click.option("--connections", type=COUNT, help="How many past-65536 opens.  [default: 100,000]")
@click.option("--report", "page", type=click.Path(dir_okay=False, path_type=Path), help="A page of it, too.")
@STORE
@NO_STORE
@click.option("--json", "as_json", is_flag=True, help="One object on standard output, nothing else.")
def prove(
    names: tuple[str, ...],
    only_list: bool,
    show_code: bool,
    connections: int | None,
    page: Path | None,
    store: str | None,
    no_store: bool,
    as_json: bool,
) -> None:
    """Show on real sockets that 65,535 is not the limit, and what is.

    Everything happens in a private network namespace where one is allowed, on loopback where not, and ends by itself.
    """
    from fourtuple import lessons
    from fourtuple.faces.text import prove as face
    from fourtuple.verbs.runs import Keeper

    chosen = lessons.choose(names)
    if show_code:
        click.echo("\n\n".join(face.code(lesson, alone=len(chosen) == 1) for lesson in chosen), nl=False)
        return
    if only_list:
        click.echo("\n".join(face.list_lines(chosen)))
        return
    if connections is not None and "past-65536" not in {lesson.name for lesson in chosen}:
        raise UsageError("--connections", "only past-65536 opens that many, and it is not among the lessons")
    if page is not None:
        check_report(page)
    proof = lessons.prove(chosen, connections)
    keeper = keeper_of(store, no_store=no_store)
    if keeper is None and page is not None:
        keeper = Keeper(None, command_line())
    run = keeper.proof(proof, len(chosen)) if keeper else proof
    result = pull(run) if as_json else face.show(run, len(chosen))
    number = tell_kept(keeper, store, quiet=as_json or no_store)
    if as_json:
        print_json(result.to_json() | {"run": None if no_store else number})
    if page is not None and keeper is not None:
        write_report(keeper.stored(), page, quiet=as_json)
    sys.exit(result.exit_code)


@click.command(
    short_help="Run a command in a private network namespace.", context_settings={"ignore_unknown_options": True}
)
@click.option("--ports", metavar="LOW-HIGH", default="1024-65535", show_default=True, help="Automatic source ports.")
@click.option(
    "--hash-table",
    "hash_entries",
    type=COUNT,
    help="Entries of its own TCP hash table.  [default: as many as memory has room for sockets]",
)
@click.option("--hosts", type=click.IntRange(1, 2), default=1, show_default=True, help="2: joined by a cable.")
@click.option("--quiet", is_flag=True, help="Do not say what the lab is like.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED, metavar="-- COMMAND...")
def lab(ports: str, hash_entries: int | None, hosts: int, quiet: bool, command: tuple[str, ...]) -> None:
    """Run COMMAND in a private network namespace made for it, gone when it ends; its exit code is ours.

    \b
    fourtuple lab -- sh                  a shell to play in: nothing in it reaches the host
    fourtuple lab --ports 40000-40099 -- ./my-tests
    fourtuple lab --hosts 2 -- sh        this shell is host1, 10.77.0.1
      $ host2 fourtuple serve 10.77.0.2:8000 &
    """
    from fourtuple.faces.text import hold
    from fourtuple.verbs.lab import lab as verb
    from fourtuple.verbs.lab import run_in

    low, _, high = ports.partition("-")
    if not (low.isdecimal() and high.isdecimal()):
        raise UsageError(f"the ports {ports!r}", "LOW-HIGH is expected", "Write 32768-60999.")
    with verb(ports=range(int(low), int(high) + 1), hash_entries=hash_entries, hosts=hosts) as (setup, place):
        if not quiet:
            click.echo(hold.lab_line(setup.ports, setup.hash_entries, setup.hosts), err=True)
        code = run_in(place, command)
    sys.exit(code)
