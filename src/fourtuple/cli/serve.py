"""`serve`: accept connections on any number of ports."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from fourtuple.cli.common import (
    CONTENT,
    DURATION,
    LOOP,
    UNITS,
    Shown,
    metered,
    run_options,
    say,
)
from fourtuple.cli.session import FILE, UNIX_PATH
from fourtuple.cli.values import OneOf, Whole, only_one
from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT

if TYPE_CHECKING:
    from fourtuple.core.runs.orders import ServeOptions
    from fourtuple.core.runs.records import Sample, ServeRecord
    from fourtuple.core.runs.run import Run

INNER = {"http": "http", "websocket": "ws", "mqtt": "mqtt"}  # option → scheme


@click.command(epilog=UNITS)
@click.argument("where", nargs=-1, required=True, metavar=f"HOST:PORT[-PORT]{UNIX_PATH}...")
@click.option("--greet", type=CONTENT, default=b"", help="Send this to each client as soon as it connects.")
@click.option("--echo", is_flag=True, help="Send received data back.")
@click.option("--tls", is_flag=True, help="Speak TLS, with --cert or a certificate made on the spot.")
@click.option("--http", is_flag=True, help="Answer HTTP/1.1 requests.")
@click.option("--websocket", is_flag=True, help="Accept WebSockets, and send messages back.")
@click.option("--mqtt", is_flag=True, help="Be an MQTT broker that sends messages back.")
@click.option("--cert", "certificate", type=FILE, default="", metavar="FILE", help="Certificate of the server.")
@click.option("--key", type=FILE, default="", metavar="FILE", help="Its key.  [default: in the file of --cert]")
@click.option("--close-after", "close_after_s", type=DURATION, help="Close each connection after TIME.")
@click.option(
    "--backlog",
    type=Whole(0, 65535),
    metavar="N",
    default=65535,
    show_default=True,
    help="Length of each accept queue, as in listen(2).",
)
@click.option(
    "--workers",
    type=Whole(1, 1000),
    metavar="N",
    help="Number of processes.  [default: 1; epoll: doubled whenever full]",
)
@click.option(
    "--watch",
    type=OneOf(["poll", "census"]),
    default="poll",
    show_default=True,
    help="How to detect that clients are gone: poll each connection, or count the kernel's table periodically.",
)
@LOOP
@click.option("--for", "serve_s", type=DURATION, help="How long to serve.  [default: until Ctrl-C]")
@click.option("--log", is_flag=True, help="Print a line for each accept and close, with both endpoints.")
@run_options
def serve(**typed: Any) -> None:
    """Accept connections on any number of addresses and ports. accept() uses no new port."""
    from fourtuple.verbs.serve import prepare, start_serve

    shown = Shown.taken(typed)
    options = asked(typed)
    present(options.where, start_serve(prepare(options)), shown)


def present(where: Sequence[str], run: "Run[Sample, ServeRecord]", shown: Shown) -> None:
    """Run it, show it, keep it, and end with its exit code."""
    from fourtuple.faces.terminal import live
    from fourtuple.faces.text import serve as face
    from fourtuple.verbs.background import READY

    run = metered(run, shown)
    keeper = shown.keeper()
    record = live.show(
        keeper.run(run) if keeper else run,
        face.serve_progress,
        quiet=shown.quiet or shown.as_json,
        events_to=sys.stderr if shown.as_json else sys.stdout,
        announce=True,
        ready=lambda _: f"{READY['serve']} on {', '.join(where)}",
    )
    say(face.serve_lines(record), record.to_json(), keeper, shown.store, as_json=shown.as_json)
    sys.exit(EXIT_REACHED if record.outcome.reached else EXIT_SHORT)


def asked(typed: dict[str, Any]) -> "ServeOptions":
    """What was typed."""
    from fourtuple.core.runs.loop_name import LoopName
    from fourtuple.core.runs.orders import ServeOptions, Watch
    from fourtuple.core.talk.session import Scheme

    others = dict(typed)
    inner = only_one({f"--{name}": others.pop(name) for name in INNER})
    scheme = Scheme.of(INNER[inner.lstrip("-")] if inner else "tcp", secure=others.pop("tls"))
    watch, loop = Watch(others.pop("watch")), LoopName(others.pop("loop"))
    return ServeOptions.of(others.pop("where"), watch=watch, loop=loop, scheme=scheme, **others)
