"""`doctor`: say what limits connections on this host now, in every namespace and process."""

import sys
from pathlib import Path

import click

from fourtuple.cli.common import AT, JSON, PERIOD, UNITS, print_json
from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT, CannotError, UsageError
from fourtuple.faces.printer import tell


@click.command(epilog=UNITS)
@click.option(
    "--for",
    "for_s",
    type=PERIOD,
    help="Look twice, this far apart; only counters that increased in between are reported.",
)
@click.option(
    "--report", type=click.Path(dir_okay=False, path_type=Path), help="Also write an HTML page; - for standard output."
)
@click.option("--all", "everything", is_flag=True, help="Show every finding in full.")
@click.option(
    "--from", "file", metavar="FILE", help="A snapshot or pasted output to judge instead of this host; - reads it."
)
@AT
@JSON
def doctor(
    for_s: float | None, report: Path | None, everything: bool, file: str | None, at: str | None, as_json: bool
) -> None:
    """Look at every network namespace, process and cgroup that you may see, and say what limits connections now: worst
    first, whose it is, the evidence, the cause, what to do, and what it costs. Nothing is changed.

    Without --for, a counter of failures is shown as `so far`: it may have moved long ago, and does not count.

    Exit code: 0 if nothing limits now, 1 if something does.

    \b
    fourtuple doctor
    fourtuple doctor --for 10s --report doctor.html
    """
    from fourtuple.cli.report import check_one_output, check_place, write_page
    from fourtuple.cli.stored import DASH
    from fourtuple.core.snapshot.answers import origin_of_all
    from fourtuple.faces.text import doctor as face
    from fourtuple.verbs.doctor import doctor as verb
    from fourtuple.verbs.hosts import read_snapshot

    check_one_output(report, as_json=as_json)
    if report is not None:
        check_place(report)
    snapshot, origin = None, None
    if file is not None:
        if for_s is not None:
            raise UsageError(f"--for with --from {file}", "a snapshot is one moment", "Leave --for out.")
        snapshot = read_snapshot(file, at)
        origin = origin_of_all(snapshot)
    elif at is not None:
        raise UsageError("--at", "it chooses a moment of a recording", "Add --from FILE.")
    diagnosis = verb(for_s, snapshot)

    def show() -> None:
        if as_json:
            print_json(diagnosis.to_json() | ({"from": origin.to_json()} if origin else {}))
        else:
            tell(*face.doctor_lines(diagnosis, everything=everything), headlines=1)

    def page() -> str:
        from fourtuple.faces.page.doctor import doctor_page

        return doctor_page(diagnosis)

    if report != DASH:
        show()
    if report is not None:
        try:
            write_page(report, page, quiet=as_json)
        except CannotError:  # no library to draw with
            if report == DASH:
                show()
            raise
    sys.exit(EXIT_SHORT if diagnosis.limits_now else EXIT_REACHED)
