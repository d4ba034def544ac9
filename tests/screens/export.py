"""What `export` tells a monitor, of made-up sockets."""

from dataclasses import replace

from prometheus_client import CollectorRegistry, generate_latest

from fourtuple import __version__
from fourtuple.core.census.gauges import Gauges
from fourtuple.core.counters import COUNTERS
from fourtuple.core.snapshot.records import Cgroup
from fourtuple.core.snapshot.rounds import Bounds, CountedNamespace, Round, Whose
from fourtuple.core.sockets.table import SOCK_DIAG
from fourtuple.faces.export.metrics import Exporter
from fourtuple.faces.text.export import round_lines
from tests.screens.census import HOST, connections, usage_of
from tests.screens.hosts import host


def _gauges(most: int) -> Gauges:
    """With every counter that there can be, and every limit that a host tells."""
    counters = {counter.name: 10 + number for number, counter in enumerate(COUNTERS)}
    world = replace(host(), ports=HOST.ports, counters=counters)
    return Gauges.of(usage_of(connections()), world, most, SOCK_DIAG, at_s=1_800_000_000.0, took_s=0.25, changed=3)


def _page(gauges: Gauges | Round | None, failures: int = 0) -> str:
    exporter, registry = Exporter(), CollectorRegistry()
    registry.register(exporter)
    if gauges is not None:
        exporter.publish(gauges)
    for _ in range(failures):
        exporter.fail()
    return generate_latest(registry).decode().replace(f'version="{__version__}"', 'version="VERSION"')


def _round() -> Round:
    """A pod, a service, and the host, whose gauges are part of a sum; one more namespace may not be entered."""
    pod, service, host_ = (
        replace(_gauges(2), netns=f"net:[{number}]") for number in (4026532177, 4026532248, 4026531833)
    )
    cgroup = Cgroup("/kubepods/pod1/a", container="a", name="nginx", pod="shop/web-1")
    found = Round.of(
        [
            CountedNamespace(Whose.of(pod.netns, [cgroup]), pod),
            CountedNamespace(Whose.of(service.netns, [Cgroup("/x", service="nginx.service")]), service),
            CountedNamespace(Whose(host_.netns), host_),
        ],
        kernel=pod.kernel,
        at_s=1_800_000_000.0,
        took_s=4.5,
        cpu_s=4.25,
        idle=1,
        closed=1,
    )
    return found.bounded(Bounds(2, 3))


SCREENS = {
    "metrics-all-netns": lambda: _page(_round()),
    "start-all-netns": lambda: "\n".join([*round_lines(_round(), 15.0), ""]),
    "metrics": lambda: _page(_gauges(50)),
    "metrics-top": lambda: _page(_gauges(1)),
    "metrics-failed": lambda: _page(None, 2),
}
