"""`prove`: show on real sockets that 65,535 is not the limit."""

import sys
from pathlib import Path

import click

from fourtuple.cli.common import COUNT, NO_STORE, STORE, command_line, keeper_of, print_json, tell_kept
from fourtuple.cli.report import check_report, write_report
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
    from fourtuple.faces.text import prove as face
    from fourtuple.lessons import prove as lessons
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
    result = run.finish() if as_json else face.show(run, len(chosen))
    number = tell_kept(keeper, store, quiet=as_json or no_store)
    if as_json:
        print_json(result.to_json() | {"run": None if no_store else number})
    if page is not None and keeper is not None:
        write_report(keeper.stored(), page, quiet=as_json)
    sys.exit(result.exit_code)
