"""`export`: metrics for Prometheus."""

import click

from fourtuple.cli.common import NETNS, PERIOD, SOME, UNITS


@click.command(short_help="Tell Prometheus who uses which 4-tuples.", epilog=UNITS)
@click.option("--listen", metavar="ADDRESS:PORT", default="127.0.0.1:9435", show_default=True, help="Where to serve.")
@click.option("--every", "every_s", type=PERIOD, default="15s", show_default=True, help="Count so often.")
@click.option("--top", "most", type=SOME, default="50", show_default=True, help="Pairs of their own; the rest: other.")
@NETNS
def export(listen: str, every_s: float, most: int, netns: str | None) -> None:
    """Serve metrics for Prometheus: the pairs of source and destination that are closest to their end, and the rest.

    It listens in the network namespace that it is started in, and counts in that of --netns. A scrape reads what was
    counted last, so it costs nothing.
    """
    from fourtuple.core.errors import CannotError
    from fourtuple.core.space.endpoints import Endpoint
    from fourtuple.faces.export import metrics
    from fourtuple.verbs.export import snapshots
    from fourtuple.verbs.looks import paced
    from fourtuple.verbs.survey import go_into

    end, exporter = Endpoint.parse(listen), metrics.Exporter()
    try:
        server = metrics.MetricsServer(str(end.address), end.port, exporter)
    except OSError as error:
        raise CannotError(f"listening on {end}", str(error.strerror), "Choose another with --listen.") from None
    go_into(None, netns)
    for number, snapshot in enumerate(paced(snapshots(most), every_s)):
        if snapshot is None:
            exporter.fail()
        else:
            exporter.publish(snapshot)
        if number == 0:
            server.start()
            click.echo(f"metrics on http://{end}/metrics", err=True)
