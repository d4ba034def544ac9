"""A run of hold, serve or churn as Prometheus metrics, while it lasts."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from fourtuple.core.errnos import cannot_listen
from fourtuple.core.runs.counters import DURATIONS, MAPS, TABLE, Kept
from fourtuple.core.runs.destinations import by_neighbours
from fourtuple.core.runs.histogram import bucket_edges
from fourtuple.core.runs.records import MachineMoment, Sample, Standing
from fourtuple.core.runs.run import Run
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.visible import visible
from fourtuple.faces.export.metrics import sentence
from fourtuple.faces.export.pages import pages
from fourtuple.faces.serving import WebServer
from fourtuple.faces.text.destinations import title

R = TypeVar("R")
NOW = frozenset(
    {"phase", "wanted", "capacity", "opening", "open", "greeting", "rss_bytes", "stage", "target"}
)  # may also go down
OF_MACHINES = frozenset({"wanted", "open", "opened", "closed", "lost", "rss_bytes"})  # of each machine of a fleet
MOST_DESTINATIONS = 64  # with series of their own
BOUNDS = tuple(2.0**power for power in range(3, 26))  # µs: 8 µs to 34 s


def metered(run: Run[Sample, R], address: str, announce: Callable[[str], None]) -> Run[Sample, R]:
    """The same run, whose latest sample is served as metrics on `address` until it ends.

    address:  ADDRESS:PORT to listen on
    announce: told the URL, once the metrics can be read

    Raises UsageError for an invalid address; CannotError if it cannot be listened on.
    """
    end, metrics = Endpoint.parse(address), RunMetrics()
    registry = CollectorRegistry()
    registry.register(metrics)
    try:
        server = WebServer(str(end.address), end.port, pages(make_wsgi_app(registry)))
    except OSError as error:
        raise cannot_listen(str(end), error) from None

    def steps() -> Generator[Sample, None, R]:
        with run:
            for number, sample in enumerate(run):
                metrics.publish(sample)
                if not number:
                    server.start()  # now, as a process with threads is not forked
                    announce(f"metrics on http://{end}/metrics")
                yield sample
            return run.record

    return Run(steps())


class RunMetrics(Collector):
    """A Prometheus collector that reports the sample that was last published."""

    def __init__(self) -> None:
        self._sample: Sample | None = None

    def publish(self, sample: Sample) -> None:
        self._sample = sample

    def collect(self) -> Iterable[Metric]:
        return _families(self._sample) if self._sample else ()


def _families(sample: Sample) -> Iterator[Metric]:
    for each in TABLE:
        if each.kept is Kept.COLUMN:
            kind = GaugeMetricFamily if each.name in NOW else CounterMetricFamily
            yield kind(f"fourtuple_run_{each.name}", sentence(each.meaning), getattr(sample, each.field))
    for each in MAPS:
        yield _by_label(each.name, each.meaning, getattr(sample, each.field))
    for each in DURATIONS:
        yield _histogram(each.name, each.meaning, getattr(sample, each.field))
    yield from _of_destinations(sample)
    if sample.machines:
        yield from _of_machines(sample.machines)


def _of_destinations(sample: Sample) -> Iterator[Metric]:
    """What became of the connections to each destination; with very many, to neighbouring ones together."""
    found = by_neighbours(sample.destinations, sample.start.planned if sample.start else None, MOST_DESTINATIONS)
    if not found:
        return
    name, label = "fourtuple_run_destination", "destination"
    opened = CounterMetricFamily(f"{name}_opened", "Connects to this destination that succeeded.", labels=[label])
    failed = CounterMetricFamily(f"{name}_failed", "Connects to this destination that failed.", labels=[label, "errno"])
    lost = CounterMetricFamily(
        f"{name}_lost", "Connections to this destination that were lost.", labels=[label, "errno"]
    )
    for each in found:
        where = title(each)
        opened.add_metric([where], each.opened)
        for family, by_errno in ((failed, each.failed), (lost, each.lost)):
            for number, count in by_errno.items():
                family.add_metric([where, number], count)
    yield from (opened, failed, lost)


def _of_machines(machines: Sequence[MachineMoment]) -> Iterator[Metric]:
    """The machines of a fleet, by name."""
    for each in TABLE:
        if each.name in OF_MACHINES:
            yield _by_machine(each.name, each.meaning, {m.name: getattr(m.sample, each.field) for m in machines})
    failed = {m.name: sum(m.sample.failed.values()) for m in machines}
    yield _by_machine("failed", "connections wanted and not opened", failed)
    silent = {m.name: m.silent_s for m in machines}
    yield _by_machine("silent_seconds", "seconds since its last sample was taken", silent)
    gone = {m.name: float(m.standing is Standing.GONE) for m in machines}
    yield _by_machine("gone", "1: the machine is gone, and what was its share is counted as lost", gone)


def _by_machine(name: str, meaning: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"fourtuple_run_machine_{name}", sentence(f"by machine: {meaning}"), labels=["machine"])
    for machine, value in values.items():
        family.add_metric([visible(machine)], value)
    return family


def _by_label(name: str, meaning: str, counts: Mapping[str, int]) -> Metric:
    """A counter with a label: an errno, or the reason of a session's end."""
    label = "reason" if name == "reasons" else "errno"
    family = CounterMetricFamily(f"fourtuple_run_{name}", sentence(meaning), labels=[label])
    for value, count in counts.items():
        family.add_metric([visible(value)], count)
    return family


def _histogram(name: str, meaning: str, counts: NDArray[np.int64]) -> Metric:
    """A histogram in seconds. Its bounds are bounds of our buckets; the sum is taken from the middles of these."""
    edges = bucket_edges()
    below = np.concatenate(([0], np.cumsum(counts)))[np.searchsorted(edges, BOUNDS)]
    buckets = [(repr(bound / 1e6), int(count)) for bound, count in zip(BOUNDS, below, strict=True)]
    total_s = float(((edges[:-1] + edges[1:]) / 2 * counts).sum() / 1e6)
    family = HistogramMetricFamily(f"fourtuple_run_{name.removesuffix('_us')}_seconds", sentence(meaning))
    family.add_metric([], [*buckets, ("+Inf", int(counts.sum()))], total_s)
    return family
