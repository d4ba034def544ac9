"""`prove`: show on real sockets that 65,535 is not the limit."""

import sys
from pathlib import Path

import click

from fourtuple.cli.common import COUNT, NAME, NO_STORE, NOTE, STORE, command_line, keeper_of, print_json, tell_kept
from fourtuple.cli.report import check_one_output, check_report, write_report
from fourtuple.core.errors import UsageError
from fourtuple.core.runs.label import Label
from fourtuple.faces.printer import hand_over, tell


@click.command()
@click.argument("names", nargs=-1, metavar="[LESSON]...")
@click.option("--list", "only_list", is_flag=True, help="List the lessons and their claims; run nothing.")
@click.option("--show-code", is_flag=True, help="Print the source code of the lessons; run nothing.")
@click.option("--connections", type=COUNT, help="Connections that past-65536 opens.  [default: 100,000]")
@click.option("--report", "page", type=click.Path(dir_okay=False, path_type=Path), help="Also write an HTML report.")
@NAME
@NOTE
@STORE
@NO_STORE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output and nothing else.")
def prove(
    names: tuple[str, ...],
    only_list: bool,
    show_code: bool,
    connections: int | None,
    page: Path | None,
    name: str | None,
    note: str | None,
    store: str | None,
    no_store: bool,
    as_json: bool,
) -> None:
    """Show on real sockets that 65,535 is not the limit, and what is.

    Each lesson runs in a private network namespace if one is permitted, otherwise on loopback. Nothing is left behind.
    """
    from fourtuple.faces.text import prove as face
    from fourtuple.lessons import prove as lessons
    from fourtuple.verbs.runs import Keeper

    chosen, label = lessons.choose(names), Label.of(name, note)
    if show_code:
        hand_over("\n\n".join(face.code(lesson, alone=len(chosen) == 1) for lesson in chosen).encode())
        return
    if only_list:
        tell(*face.list_lines(chosen))
        return
    if connections is not None and "past-65536" not in {lesson.name for lesson in chosen}:
        raise UsageError("--connections", "only the lesson past-65536 uses it", "Add past-65536, or leave it out.")
    if page is not None:
        check_one_output(page, as_json=as_json)
        check_report(page)
    proof = lessons.prove(chosen, connections)
    keeper = keeper_of(store, no_store=no_store, label=label)
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
