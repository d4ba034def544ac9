"""`export`: serve metrics for Prometheus."""

import sys

import click

from fourtuple.cli.common import NETNS, PERIOD, SOME, UNITS
from fourtuple.faces.printer import tell


@click.command(short_help="Serve port-usage metrics for Prometheus.", epilog=UNITS)
@click.option(
    "--listen", metavar="ADDRESS:PORT", default="127.0.0.1:9435", show_default=True, help="Where to serve the metrics."
)
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
def export(listen: str, every_s: float, most: int, netns: str | None) -> None:
    """Serve metrics for Prometheus: the fullest pairs of source and destination, and the sum of all others.

    The server listens in the network namespace in which it is started, and counts in the one given by --netns. A scrape
    returns the latest count and does not cause another one.
    """
    from fourtuple.core.census.gauges import CountFailure
    from fourtuple.core.errnos import cannot_listen
    from fourtuple.core.space.endpoints import Endpoint
    from fourtuple.faces.export.metrics import Exporter
    from fourtuple.faces.export.server import MetricsServer
    from fourtuple.verbs.export import gauges
    from fourtuple.verbs.looks import paced
    from fourtuple.verbs.survey import go_into

    end, exporter = Endpoint.parse(listen), Exporter()
    try:
        server = MetricsServer(str(end.address), end.port, exporter.app())
    except OSError as error:
        raise cannot_listen(str(end), error) from None
    go_into(None, netns)
    reason = ""
    for number, counted in enumerate(paced(gauges(most), every_s)):
        if isinstance(counted, CountFailure):
            exporter.fail()
            if counted.reason != reason:
                tell(f"the sockets could not be counted: {counted.reason}", to=sys.stderr)
            reason = counted.reason
        else:
            exporter.publish(counted)
            reason = ""
        if number == 0:
            server.start()
            tell(f"metrics on http://{end}/metrics", to=sys.stderr)
