"""`snapshot`: write what this host says now to a file, which other commands ask with --from."""

import sys

import click

from fourtuple.cli.common import PERIOD, UNITS, positive
from fourtuple.cli.values import Parsed
from fourtuple.core.errors import UsageError
from fourtuple.core.units import parse_size
from fourtuple.faces.printer import hand_over, tell

STDOUT = "-"
SIZE = Parsed("SIZE", positive(parse_size))


@click.command(epilog=UNITS)
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--netns", metavar="NAME|PID", help="Only this network namespace, and the processes in it.")
@click.option("--with-arguments", "arguments", is_flag=True, help="Include the command lines of processes.")
@click.option("--watch", is_flag=True, help="Record: append a snapshot every TIME, until Ctrl-C.")
@click.option("--every", "every_s", type=PERIOD, default="10s", show_default=True, help="With --watch: how often.")
@click.option("--keep", "keep_s", type=PERIOD, default="1h", show_default=True, help="With --watch: for how long.")
@click.option(
    "--most-bytes", type=SIZE, default="200MiB", show_default=True, help="With --watch: size of the file, at most."
)
def snapshot(
    file: str,
    netns: str | None,
    arguments: bool,
    watch: bool,
    every_s: float,
    keep_s: float,
    most_bytes: float,
) -> None:
    """Write what this host says now to FILE: every network namespace, its sockets, settings and counters, and the
    limits of processes, as far as you may see them. No payload, no environment; command lines only if asked for.
    FILE - is standard output.

    \b
    fourtuple snapshot web1.snapshot
    fourtuple limits 10.0.0.9:80 --from web1.snapshot   here, or on any other machine
    fourtuple snapshot --watch web1.recording           keeps the last hour
    fourtuple census --from web1.recording --at 10:32
    """
    from functools import partial

    from fourtuple.core.snapshot.coding import encode
    from fourtuple.faces.text import snapshot as face
    from fourtuple.verbs import snapshot as verb

    read = partial(verb.take, arguments=arguments, netns=netns)
    if not watch:
        found = read()
        if file == STDOUT:
            content = encode(found)
            hand_over(content)
            tell(*face.snapshot_lines(found, file, len(content)), to=sys.stderr)
        else:
            tell(*face.snapshot_lines(found, file, verb.save(found, file)))
        return
    if file == STDOUT:
        raise UsageError("--watch -", "a recording needs a file", "Name one.")
    from fourtuple.verbs.looks import paced

    verb.check_recording(every_s, keep_s, int(most_bytes))
    moments = verb.record(file, keep_s=keep_s, most_bytes=int(most_bytes), read=read)
    tell(face.recording_line(file, every_s, keep_s))
    last = None
    try:
        for moment in paced(moments, every_s):
            last = moment
            tell(face.moment_line(moment))
    except KeyboardInterrupt:
        tell(*face.recorded_lines(file, last))
