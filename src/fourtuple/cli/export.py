"""`export`: serve metrics for Prometheus."""

import sys

import click

from fourtuple.cli.common import LISTEN, NETNS, PERIOD, SOME, UNITS, warn_of_readers
from fourtuple.faces.printer import tell


@click.command(epilog=UNITS)
@click.option("--listen", type=LISTEN, default="127.0.0.1:9435", show_default=True, help="Where to serve the metrics.")
@click.option("--every", "every_s", type=PERIOD, default="15s", show_default=True, help="Interval between counts.")
@click.option(
    "--top",
    "most",
    type=SOME,
    default="50",
    show_default=True,
    help="Export the N fullest pairs; sum the rest as `other`.",
)
@NETNS
@click.option(
    "--all-netns",
    is_flag=True,
    help="Count in every network namespace that you may enter, labelled by container and pod.",
)
@click.option(
    "--top-netns",
    type=SOME,
    default="500",
    show_default=True,
    help="With --all-netns: export the N fullest namespaces; sum the rest as `other`.",
)
@click.option(
    "--top-all",
    type=SOME,
    default="2000",
    show_default=True,
    help="With --all-netns: export N pairs, and N listeners, in all.",
)
def export(
    listen: str, every_s: float, most: int, netns: str | None, all_netns: bool, top_netns: int, top_all: int
) -> None:
    """Serve metrics for Prometheus: the fullest pairs of source and destination, and the sum of all others.

    The server listens in the network namespace in which it is started, and counts in the one given by --netns, or in
    all with --all-netns. A scrape returns the latest count and does not cause another one.
    """
    from fourtuple.core.census.gauges import CountFailure, Gauges
    from fourtuple.core.errnos import cannot_listen
    from fourtuple.core.errors import UsageError
    from fourtuple.core.snapshot.rounds import Bounds, Round
    from fourtuple.core.space.endpoints import Endpoint
    from fourtuple.faces.export.metrics import Exporter
    from fourtuple.faces.serving import WebServer
    from fourtuple.faces.text.export import round_lines
    from fourtuple.verbs.entering import go_into
    from fourtuple.verbs.export import gauges, rounds
    from fourtuple.verbs.looks import paced

    if all_netns and netns is not None:
        raise UsageError("--all-netns and --netns", "one of them says where to count", "Use one of them.")
    end, exporter = Endpoint.parse(listen), Exporter()
    try:
        server = WebServer(str(end.address), end.port, exporter.app())
    except OSError as error:
        raise cannot_listen(str(end), error) from None
    warn_of_readers(end, "the addresses and ports of this host's connections")
    go_into(None, netns)
    counts = rounds(most, Bounds(top_netns, top_all)) if all_netns else gauges(most)
    reasons: tuple[str, ...] = ()
    for number, counted in enumerate(paced(counts, every_s)):
        if isinstance(counted, CountFailure):
            exporter.fail()
            now: tuple[str, ...] = (counted.reason,)
        else:
            exporter.publish(counted)
            now = () if isinstance(counted, Gauges) else counted.failures
        for reason in now:
            if reason not in reasons:
                tell(f"the sockets could not be counted: {reason}", to=sys.stderr)
        reasons = now
        if number == 0:
            server.start()
            tell(f"metrics on http://{end}/metrics", to=sys.stderr)
            if isinstance(counted, Round):
                tell(*round_lines(counted, every_s), to=sys.stderr)
