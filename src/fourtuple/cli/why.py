"""`why`: explain a number, an errno or a line of a log."""

import sys

import click

from fourtuple.cli.common import FIRST_ADDRESS, JSON, NETNS, PID, print_json
from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT
from fourtuple.faces.printer import tell


@click.command(short_help="Explain a number, an errno or a line of a log.")
@click.argument("what", nargs=-1, required=True, metavar="WHAT...")
@click.option("--dest", "destination", metavar="HOST:PORT", help="Destination of the connections in question.")
@FIRST_ADDRESS
@PID
@NETNS
@click.option("--all", "everything", is_flag=True, help="Show unlikely causes in full, too.")
@JSON
def why(
    what: tuple[str, ...],
    destination: str | None,
    first_address: bool,
    pid: int | None,
    netns: str | None,
    everything: bool,
    as_json: bool,
) -> None:
    """Explain why connections stop. WHAT is a number (28232), an errno (99, EADDRINUSE), or a line of a log or a
    traceback; - reads it from standard input. The likeliest cause comes first, with the evidence that this host gives
    for and against it.

    Exit code: 0 if a possible cause is known, 1 if not.

    \b
    fourtuple why 28232
    fourtuple why "dial tcp 10.0.0.9:80: connect: cannot assign requested address"
    journalctl -u proxy | tail -1 | fourtuple why -
    """
    from fourtuple.core.why.saying import MOST_BYTES
    from fourtuple.faces.text import why as face
    from fourtuple.verbs.survey import go_into
    from fourtuple.verbs.why import why as verb

    text = " ".join(what)
    if what == ("-",):  # what comes later is not read: the sender may never end
        text = sys.stdin.buffer.read(MOST_BYTES).decode(errors="replace")
    outside = go_into(pid, netns)
    answer = verb(text, destination=destination, first_address=first_address, pid=pid, outside=outside)
    if as_json:
        print_json(answer.to_json())
    else:
        tell(*face.why_lines(answer, everything=everything))
    sys.exit(EXIT_REACHED if answer.explanations else EXIT_SHORT)
