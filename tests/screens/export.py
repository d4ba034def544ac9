"""What `export` tells a monitor, of made-up sockets."""

from dataclasses import replace

from prometheus_client import CollectorRegistry, generate_latest

from fourtuple import __version__
from fourtuple.core.census.gauges import Gauges
from fourtuple.core.counters import COUNTERS
from fourtuple.core.sockets.table import SOCK_DIAG
from fourtuple.faces.export.metrics import Exporter
from tests.screens.census import HOST, connections, usage_of
from tests.screens.hosts import host


def _gauges(most: int) -> Gauges:
    """With every counter that there can be, and every limit that a host tells."""
    counters = {counter.name: 10 + number for number, counter in enumerate(COUNTERS)}
    world = replace(host(), ports=HOST.ports, counters=counters)
    return Gauges.of(usage_of(connections()), world, most, SOCK_DIAG, at_s=1_800_000_000.0, took_s=0.25, changed=3)


def _page(gauges: Gauges | None, failures: int = 0) -> str:
    exporter, registry = Exporter(), CollectorRegistry()
    registry.register(exporter)
    if gauges is not None:
        exporter.publish(gauges)
    for _ in range(failures):
        exporter.fail()
    return generate_latest(registry).decode().replace(f'version="{__version__}"', 'version="VERSION"')


SCREENS = {
    "metrics": lambda: _page(_gauges(50)),
    "metrics-top": lambda: _page(_gauges(1)),
    "metrics-failed": lambda: _page(None, 2),
}
