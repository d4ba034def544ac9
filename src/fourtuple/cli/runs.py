"""`runs`: list, show, follow, export and remove stored runs."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from fourtuple.cli.common import JSON, complain, print_json, warn_of_readers
from fourtuple.cli.stored import DASH, FILE, ID, file_of, tell_newest
from fourtuple.cli.values import OneOf, Whole, only_one
from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.nearest import choose_from
from fourtuple.faces.printer import hand_over, tell


@click.group(invoke_without_command=True)
@click.option("--kind", type=OneOf(["hold", "churn", "serve", "prove"]), help="List only runs of this kind.")
@click.option("--outcome", help="List only runs with this outcome: reached, 'fell short', killed …")
@click.option(
    "--last",
    "most",
    type=Whole(1),
    metavar="N",
    help="List the N newest runs.  [default: 20; all for --json]",
)
@click.option(
    "--serve",
    "listen",
    is_flag=False,
    flag_value="127.0.0.1:9437",
    metavar="ADDRESS:PORT",
    help="Serve the list, each run and comparisons as pages, until Ctrl-C.  [without a value: 127.0.0.1:9437]",
)
@FILE
@JSON
@click.pass_context
def runs(
    ctx: click.Context,
    kind: str | None,
    outcome: str | None,
    most: int | None,
    listen: str | None,
    file: str | None,
    as_json: bool,
) -> None:
    """List the runs that hold, churn, serve and prove stored, newest first; show, follow, export or remove them.

    \b
    fourtuple runs --kind hold
    fourtuple runs show 17 --follow
    fourtuple runs export 17 --csv > run17.csv
    fourtuple runs --serve
    """
    ctx.obj = file
    if listen is not None and (ctx.invoked_subcommand or as_json or kind or outcome or most):
        raise UsageError("--serve", "it shows all runs, and takes --store only", "fourtuple runs --serve")
    if ctx.invoked_subcommand is not None:
        return
    if listen is not None:
        _serve(listen, file)
        return
    from fourtuple.core.runs.entry import RunState
    from fourtuple.faces.text import runs as face
    from fourtuple.verbs.listing import RunList

    if outcome is not None and outcome not in [*RunState]:
        raise UsageError(f"--outcome {outcome}", "there is no such outcome", choose_from(outcome, [*RunState]))
    try:
        with RunList(file_of(file)) as stored:
            entries = stored.entries()
    except UsageError:
        if file or RunList.are_there():
            raise
        entries = []
    chosen = [entry for entry in entries if kind in (None, entry.kind) and outcome in (None, entry.outcome)]
    if as_json:
        print_json([asdict(entry) for entry in chosen[:most]])
        return
    shown = chosen[: most or 20]
    tell(*face.list_lines(shown, whole=not sys.stdout.isatty()))
    if len(shown) < len(chosen):
        tell(f"… {len(chosen) - len(shown):,} more: --last {len(chosen)}")


def _serve(listen: str, file: str | None) -> None:
    """Serve the pages until Ctrl-C."""
    import threading

    from fourtuple.cli.report import check_libraries, downloads
    from fourtuple.core.errnos import cannot_listen
    from fourtuple.core.space.endpoints import Endpoint
    from fourtuple.verbs.runs import Runs

    end = Endpoint.parse(listen)
    check_libraries()
    from fourtuple.faces.page.site import site
    from fourtuple.faces.serving import WebServer

    if file or Runs.are_there():
        with Runs(file_of(file)):
            pass  # it can be read
    where = f"of {file}" if file else "of this user"
    try:
        server = WebServer(str(end.address), end.port, site(lambda: Runs(file_of(file)), downloads, where), answer_s=60)
    except OSError as error:
        raise cannot_listen(str(end), error) from None
    warn_of_readers(end, "all stored runs, with their command lines")
    server.start()
    tell(f"stored runs on http://{end}/ until Ctrl-C", to=sys.stderr)
    threading.Event().wait()


@runs.command(short_help="Show a run: what was asked, found and planned, and its result.")
@click.argument("run", type=ID, required=False, metavar="[ID]")
@click.option("--follow", is_flag=True, help="Follow a run in progress, for example from another terminal.")
@FILE
@JSON
@click.pass_obj
def show(above: str | None, run: int | str | None, follow: bool, file: str | None, as_json: bool) -> None:
    """Show run ID, a number or a name: what was asked, found, changed and planned, and the result.

    [default: the newest]
    """
    from fourtuple.faces.text import stored as face
    from fourtuple.verbs.runs import Runs

    with Runs(file_of(file or above)) as stored:
        entry = stored.entry(run)
        if follow:
            _follow(stored, entry.id, entry.kind, as_json=as_json)
        found = stored.read(entry.id)
    if as_json:
        print_json(found.to_json(samples=False))
    else:
        tell(*face.show_lines(found), headlines=1)


def _follow(stored: Any, run: int, kind: str, *, as_json: bool) -> None:
    from fourtuple.faces.terminal import live
    from fourtuple.faces.text import churn, hold, serve

    progress = {"hold": hold.hold_progress, "churn": churn.churn_progress}.get(kind, serve.serve_progress)
    if kind == "prove":
        for result in stored.follow_proof(run):
            from fourtuple.faces.text import prove as face

            if not as_json:
                tell(*face.result_lines(result), "")
        return
    try:
        live.show(
            stored.follow(run),
            progress,
            quiet=as_json,
            events_to=sys.stderr,
            announce=False,
            ready=lambda _: "",
        )
    except CannotError as error:  # the result, which follows, is what there is
        complain(error)


@runs.command(short_help="Remove runs.")
@click.argument("which", nargs=-1, required=True, type=ID, metavar="ID...")
@FILE
@click.pass_obj
def rm(above: str | None, which: tuple[int | str, ...], file: str | None) -> None:
    """Remove these runs: all of them, or none if one is still running."""
    from fourtuple.verbs.listing import RunList

    with RunList(file_of(file or above)) as stored:
        numbers = stored.remove(which)
    tell(f"removed {', '.join(map(str, numbers))}")


@runs.command(short_help="Export the samples of a run, or all of it, for other programs.")
@click.argument("run", type=ID, required=False, metavar="[ID]")
@click.option("--csv", "as_csv", is_flag=True, help="The samples as CSV, one line per sample.")
@click.option("--json", "as_json", is_flag=True, help="The whole run as one JSON object.")
@click.option(
    "--parquet", "as_parquet", is_flag=True, help="The samples as Parquet; needs pip install 'fourtuple[parquet]'."
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write.  [default: standard output]"
)
@FILE
@click.pass_obj
def export(
    above: str | None,
    run: int | str | None,
    as_csv: bool,
    as_json: bool,
    as_parquet: bool,
    output: Path | None,
    file: str | None,
) -> None:
    """Export run ID, a number or a name, by default the newest: its samples as CSV or Parquet, or all of it as JSON.

    Column names include the unit; the histograms are in the JSON only.
    """
    from fourtuple.verbs.output import write_output
    from fourtuple.verbs.runs import Runs, exported

    how = only_one({"--csv": as_csv, "--json": as_json, "--parquet": as_parquet}).lstrip("-")
    if not how and output is not None and output.suffix in (".csv", ".json", ".parquet"):
        how = output.suffix[1:]
    if not how:
        raise UsageError("no export format given", do="Use --csv, --json or --parquet.")
    if how == "parquet" and output in (None, DASH):
        raise UsageError("--parquet", "the format is binary and needs a file", "Add -o run.parquet.")
    with Runs(file_of(file or above)) as stored:
        found = stored.read(run)
    tell_newest(run, found.entry)
    content = exported(found, how)
    if output in (None, DASH):
        hand_over(content)
        return
    write_output(output, content)
