"""Gauges as Prometheus metrics: names and units follow its conventions, and the number of series is bounded."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from fourtuple import __version__
from fourtuple.core.census.gauges import Gauges, PairGauge
from fourtuple.core.counters import COUNTERS
from fourtuple.core.limits.meters import EXPORTED
from fourtuple.core.visible import visible
from fourtuple.faces.export.server import App

LIMITED: Mapping[str, str] = MappingProxyType({meter.metric: meter.about for meter in EXPORTED})


def _left_most(pair: PairGauge) -> int | None:
    return pair.left.most if pair.left else None


def _left_least(pair: PairGauge) -> int | None:
    return pair.left.least if pair.left else None


PAIR_LABELS = ("role", "source", "destination")
PAIRS: Mapping[str, tuple[str, Callable[[PairGauge], int | None]]] = MappingProxyType(
    {
        "used": ("Sockets between this source and destination, in any state.", lambda pair: pair.used),
        "time_wait": ("Sockets between this source and destination in TIME_WAIT.", lambda pair: pair.time_wait),
        "close_wait": (
            "Sockets between this source and destination in CLOSE_WAIT: their program has not closed them.",
            lambda pair: pair.close_wait,
        ),
        "usable": ("Local ports that connect() can choose from for this pair.", lambda pair: pair.usable),
        "left": (
            "Local ports that connect() can still choose for this pair, at most.",
            _left_most,
        ),
        "left_least": (
            "Local ports that connect() can still choose for this pair, at least: bind(address, 0) may hold others.",
            _left_least,
        ),
    }
)


class Exporter(Collector):
    """A Prometheus collector that reports the last published gauges. Publish one, then serve."""

    def __init__(self) -> None:
        self._gauges: Gauges | None = None
        self._failures = 0
        self._is_good = False

    def publish(self, gauges: Gauges) -> None:
        self._gauges, self._is_good = gauges, True

    def fail(self) -> None:
        """Count the gauges that could not be taken. The last one stays; its timestamp shows its age."""
        self._failures += 1
        self._is_good = False

    def app(self) -> App:
        """What answers a scrape, also about this process itself."""
        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        return make_wsgi_app(registry)

    def collect(self) -> Iterable[Metric]:
        """The metrics; no label has a character that is not printable."""
        for family in self._families():
            samples = family.samples
            family.samples = [each._replace(labels={k: visible(v) for k, v in each.labels.items()}) for each in samples]
            yield family

    def _families(self) -> Iterator[Metric]:
        yield _counter("census_failures", "How many counts of the sockets failed.", self._failures)
        yield _gauge("census_success", "Whether the last count of the sockets succeeded: 1 or 0.", self._is_good)
        if self._gauges is not None:
            yield from _metrics(self._gauges)


def _metrics(now: Gauges) -> Iterator[Metric]:
    yield InfoMetricFamily(
        "fourtuple",
        "Version of fourtuple, kernel and network namespace.",
        {"version": __version__, "kernel": now.kernel, "netns": now.netns},
    )
    yield _gauge(
        "census_timestamp_seconds", "Time at which the sockets were last counted, in seconds since the epoch.", now.at_s
    )
    yield _gauge("census_duration_seconds", "Time it took to count the sockets.", now.took_s)
    if now.changed is not None:
        yield _gauge("census_changed_sockets", "Sockets that were opened or closed during the count.", now.changed)
    for name, (about, value_of) in PAIRS.items():
        family = GaugeMetricFamily(f"fourtuple_pair_{name}", about, labels=PAIR_LABELS)
        for pair in now.pairs:
            if (number := value_of(pair)) is not None:
                family.add_metric([pair.role, pair.source, pair.destination], number)
        yield family
    total = GaugeMetricFamily(
        "fourtuple_pairs", "Pairs of source address and destination that have sockets.", labels=["role"]
    )
    for role, count in now.pairs_total.items():
        total.add_metric([role], count)
    yield total
    states = GaugeMetricFamily("fourtuple_sockets", "TCP sockets of this network namespace.", labels=["state"])
    for state in now.states:
        states.add_metric([state.state], state.sockets)
    yield states
    ports = (
        ("range_ports", "Ports from which connect() chooses (ip_local_port_range).", now.range),
        ("reserved_ports", "Ports of this range that are reserved (ip_local_reserved_ports).", now.reserved),
        ("blocked_ports", "Ports of this range that are held by bind() or listen().", now.blocked),
        (
            "unattributed_ports",
            "Ports for which the kernel does not report whether connect() or bind(address, 0) chose them.",
            now.unattributed_ports,
        ),
        (
            "hidden_ports",
            "Upper bound of the ports of this range that sockets hold which are not listed (before Linux 6.8).",
            now.hidden_ports,
        ),
        ("usable_ports", "Ports of this range that connect() can choose for each destination.", now.usable),
    )
    for name, text, number in ports:
        if number is not None:
            yield _gauge(name, text, number)
    yield from _listeners(now)
    for limited in now.limited:
        text = LIMITED[limited.name]
        yield _gauge(limited.name, text, limited.value)
        if limited.most is not None:
            yield _gauge(f"{limited.name}_max", text, limited.most)
    for counter in COUNTERS:
        if counter.name in now.counters:
            yield _counter(counter.metric, f"{sentence(counter.meaning)} ({counter.name})", now.counters[counter.name])


def sentence(words: str) -> str:
    """The words with a capital letter and a full stop."""
    return f"{words[0].upper()}{words[1:]}."


def _listeners(now: Gauges) -> Iterator[Metric]:
    recv_q = GaugeMetricFamily(
        "fourtuple_listener_recv_q", "Connections that wait in the accept queue.", labels=["address"]
    )
    backlog = GaugeMetricFamily(
        "fourtuple_listener_backlog",
        "The backlog given to listen(), limited by somaxconn; the accept queue holds one more.",
        labels=["address"],
    )
    drops = CounterMetricFamily(
        "fourtuple_listener_drops", "Connections that were dropped at this listener.", labels=["address"]
    )
    for listener in now.listeners:
        recv_q.add_metric([listener.address], listener.recv_q)
        backlog.add_metric([listener.address], listener.backlog)
        drops.add_metric([listener.address], listener.drops)
    yield from (recv_q, backlog, drops)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"fourtuple_{name}", text, value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"fourtuple_{name}", text, value)
