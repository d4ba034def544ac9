"""`serve`: accept connections on any number of ports."""

import sys
from typing import Any

import click

from fourtuple.cli.common import (
    CONTENT,
    DURATION,
    LOOP,
    UNITS,
    keeper_of,
    metered,
    run_options,
    say,
)
from fourtuple.cli.session import FILE
from fourtuple.core.errors import EXIT_REACHED, EXIT_SHORT


@click.command(epilog=UNITS)
@click.argument("where", nargs=-1, required=True, metavar="HOST:PORT[-PORT]...")
@click.option("--greet", type=CONTENT, default=b"", help="Send this to each client as soon as it connects.")
@click.option("--echo", is_flag=True, help="Send received data back.")
@click.option("--tls", is_flag=True, help="Speak TLS, with --cert or a certificate made on the spot.")
@click.option("--http", "inner", flag_value="http", help="Answer HTTP/1.1 requests.")
@click.option("--websocket", "inner", flag_value="ws", help="Accept WebSockets, and send messages back.")
@click.option("--mqtt", "inner", flag_value="mqtt", help="Be an MQTT broker that sends messages back.")
@click.option("--cert", "certificate", type=FILE, default="", metavar="FILE", help="Certificate of the server.")
@click.option("--key", type=FILE, default="", metavar="FILE", help="Its key.  [default: in the file of --cert]")
@click.option("--close-after", "close_after_s", type=DURATION, help="Close each connection after TIME.")
@click.option(
    "--backlog",
    type=click.IntRange(0, 65535),
    metavar="N",
    default=65535,
    show_default=True,
    help="Length of each accept queue, as in listen(2).",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Number of processes.  [default: 1; epoll: doubled whenever full]",
)
@click.option(
    "--watch",
    type=click.Choice(["poll", "census"]),
    default="poll",
    show_default=True,
    help="How to detect that clients are gone: poll each connection, or count the kernel's table periodically.",
)
@LOOP
@click.option("--for", "serve_s", type=DURATION, help="How long to serve.  [default: until Ctrl-C]")
@click.option("--log", is_flag=True, help="Print a line for each accept and close, with both endpoints.")
@run_options
def serve(
    where: tuple[str, ...],
    tls: bool,
    inner: str | None,
    watch: str,
    loop: str,
    metrics: str | None,
    store: str | None,
    no_store: bool,
    quiet: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Accept connections on any number of addresses and ports. accept() uses no new port."""
    from fourtuple.core.runs.loop_name import LoopName
    from fourtuple.core.runs.orders import ServeOptions, Watch
    from fourtuple.core.talk.session import Scheme
    from fourtuple.faces.terminal import live
    from fourtuple.faces.text import serve as face
    from fourtuple.verbs.background import READY
    from fourtuple.verbs.serve import prepare, start_serve

    scheme = Scheme.of(inner or "tcp", secure=tls)
    asked = ServeOptions(where, watch=Watch(watch), loop=LoopName(loop), scheme=scheme, **options)
    run = metered(start_serve(prepare(asked)), metrics)
    keeper = keeper_of(store, no_store=no_store)
    record = live.show(
        keeper.run(run) if keeper else run,
        face.serve_progress,
        quiet=quiet or as_json,
        events_to=sys.stderr if as_json else sys.stdout,
        announce=True,
        ready=lambda _: f"{READY['serve']} on {', '.join(where)}",
    )
    say(face.serve_lines(record), record.to_json(), keeper, store, as_json=as_json)
    sys.exit(EXIT_REACHED if record.outcome.reached else EXIT_SHORT)
