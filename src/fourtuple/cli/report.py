"""`report`: write a stored run as one HTML file."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from fourtuple.cli.stored import DASH, FILE, ID, file_of, tell_newest
from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT, CannotError, UsageError, no_extra
from fourtuple.faces.printer import hand_over, tell

MOST_SAMPLES = 20_000  # that a report contains as data; `runs export` has no bound


@click.command()
@click.argument("run", type=ID, required=False, metavar="[ID]")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; - for standard output.  [default: fourtuple-run-ID.html]",
)
@click.option("--open", "do_open", is_flag=True, help="Open the report in the browser.")
@FILE
def report(run: int | str | None, output: Path | None, do_open: bool, file: str | None) -> None:
    """Write run ID, a number or a name, by default the newest, as a self-contained HTML page.

    The page loads nothing from the network.
    """
    from fourtuple.verbs.runs import Runs

    with Runs(file_of(file)) as stored:
        found = stored.read(run)
    tell_newest(run, found.entry)
    sys.exit(write_report(found, output or Path(f"fourtuple-run-{found.entry.id}.html"), do_open=do_open))


def check_report(output: Path) -> None:
    """Check, before a long run, that a report can be written there. Raises CannotError, UsageError."""
    check_libraries()
    check_place(output)


def check_libraries() -> None:
    """Raises CannotError if a library for pages is not installed."""
    from importlib.util import find_spec

    for library in ("altair", "jinja2", "vl_convert"):
        if find_spec(library) is None:
            raise _missing(library)


def check_one_output(output: Path | None, *, as_json: bool, option: str = "--report") -> None:
    """Raises UsageError if standard output is to have JSON and a page."""
    if as_json and output == DASH:
        raise UsageError(
            f"--json and {option} -", "standard output can have only one format", f"Write one to a file: {option} FILE."
        )


def check_place(output: Path) -> None:
    """Raises UsageError if there is no directory for the file."""
    if not output.parent.is_dir():
        raise UsageError(
            f"cannot write {output}", f"there is no directory {output.parent}", "Make it, or name another."
        )


def _missing(library: str | None) -> CannotError:
    return no_extra("cannot make a report", f"{library} is not installed", "report")


def write_report(found: Any, output: Path, *, do_open: bool = False, quiet: bool = False) -> int:
    """Write the report, and print where it is unless `quiet` → the exit code."""

    def page() -> str:
        from fourtuple.faces.page.report import run_page

        return run_page(found, downloads(found))

    write_page(output, page, quiet=quiet)
    if do_open:
        import webbrowser

        if not webbrowser.open(output.resolve().as_uri()):
            tell("no browser was found", to=sys.stderr)
            return EXIT_SHORT
    return EXIT_REACHED


def downloads(run: Any) -> dict[str, bytes]:
    """The data that a report contains, by the names of their files; none of a run with too many samples."""
    from fourtuple.verbs.runs import exported

    if run.entry.samples > MOST_SAMPLES:
        return {}
    ways = ("csv", "json") if run.entry.samples else ("json",)  # a proof has no samples
    return {f"fourtuple-run-{run.entry.id}.{how}": exported(run, how) for how in ways}


def write_page(output: Path, page: Callable[[], str], *, quiet: bool = False) -> None:
    """Write the page to a file, or to standard output.

    page: makes it, and imports what draws it

    Raises CannotError if a library for drawing is not installed, UsageError if the file cannot be written.
    """
    from fourtuple.verbs.output import write_output

    try:
        made = page()
    except ModuleNotFoundError as error:
        raise _missing(error.name) from None
    if output == DASH:
        hand_over(made.encode())
        return
    write_output(output, made.encode())
    if not quiet:
        tell(f"written to {output}: {len(made.encode()) / 1024:,.0f} KiB")
