"""Gauges of one namespace, or of all, as Prometheus metrics.

Names and units follow its conventions, and the number of series is bounded.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from fourtuple import __version__
from fourtuple.core.census.gauges import Gauges, Limited, ListenerGauge, PairGauge
from fourtuple.core.counters import COUNTERS
from fourtuple.core.limits.meters import EXPORTED, Meter
from fourtuple.core.snapshot.rounds import Round
from fourtuple.core.visible import visible
from fourtuple.faces.export.pages import pages
from fourtuple.faces.serving import App

LIMITED: Mapping[str, Meter] = MappingProxyType({meter.metric: meter for meter in EXPORTED})


def _left_most(pair: PairGauge) -> int | None:
    return pair.left.most if pair.left else None


def _left_least(pair: PairGauge) -> int | None:
    return pair.left.least if pair.left else None


PAIR_LABELS = ("role", "source", "destination")
PAIRS: Mapping[str, tuple[str, Callable[[PairGauge], int | None]]] = MappingProxyType(
    {
        "sockets": ("Sockets between this source and destination, in any state.", lambda pair: pair.used),
        "time_wait_sockets": ("Sockets between this source and destination in TIME_WAIT.", lambda pair: pair.time_wait),
        "close_wait_sockets": (
            "Sockets between this source and destination in CLOSE_WAIT: their program has not closed them.",
            lambda pair: pair.close_wait,
        ),
        "usable_ports": ("Local ports that connect() can choose from for this pair.", lambda pair: pair.usable),
        "left_ports": (
            "Local ports that connect() can still choose for this pair, at most.",
            _left_most,
        ),
        "left_least_ports": (
            "Local ports that connect() can still choose for this pair, at least: bind(address, 0) may hold others.",
            _left_least,
        ),
    }
)


WHOSE_LABELS = ("netns", "container", "namespace", "pod", "service")
LISTENERS: Mapping[str, tuple[str, Callable[[ListenerGauge], int | None]]] = MappingProxyType(
    {
        "recv_q_connections": ("Connections that wait in the accept queue.", lambda listener: listener.recv_q),
        "backlog_connections": (
            "The backlog given to listen(), limited by somaxconn; the accept queue holds one more.",
            lambda listener: listener.backlog,
        ),
    }
)
PORTS: Mapping[str, tuple[str, Callable[[Gauges], int | None]]] = MappingProxyType(
    {
        "range_ports": ("Ports from which connect() chooses (ip_local_port_range).", lambda now: now.range),
        "reserved_ports": (
            "Ports of this range that are reserved (ip_local_reserved_ports).",
            lambda now: now.reserved,
        ),
        "blocked_ports": ("Ports of this range that are held by bind() or listen().", lambda now: now.blocked),
        "unattributed_ports": (
            "Ports for which the kernel does not report whether connect() or bind(address, 0) chose them.",
            lambda now: now.unattributed_ports,
        ),
        "hidden_ports": (
            "Upper bound of the ports of this range that sockets hold which are not listed (before Linux 6.8).",
            lambda now: now.hidden_ports,
        ),
        "usable_ports": ("Ports of this range that connect() can choose for each destination.", lambda now: now.usable),
    }
)
ROUNDS: Mapping[str, tuple[str, Callable[[Round], float]]] = MappingProxyType(
    {
        "census_timestamp_seconds": (
            "Time at which the sockets were last counted, in seconds since the epoch.",
            lambda now: now.at_s,
        ),
        "census_duration_seconds": (
            "Time it took to count the sockets of all network namespaces.",
            lambda now: now.took_s,
        ),
        "census_cpu_seconds": ("CPU time of the count of all network namespaces.", lambda now: now.cpu_s),
        "netns_counted": ("Network namespaces that were counted.", lambda now: now.namespaces),
        "netns_idle": (
            "Network namespaces without a TCP socket; they are part of those counted.",
            lambda now: now.idle,
        ),
        "netns_closed": ("Network namespaces that the exporter may not enter.", lambda now: now.closed),
        "netns_failed": ("Network namespaces that could not be counted this time.", lambda now: len(now.failures)),
        "netns_left_out": (
            'Network namespaces without series of their own (--top-netns); their sum has netns="other".',
            lambda now: now.left_out,
        ),
        "pairs_left_out": (
            "Pairs that are part of a sum only because of the bound on all network namespaces (--top-all).",
            lambda now: now.pairs_left_out,
        ),
        "listeners_left_out": (
            "Listeners that are part of a sum only because of the bound on all network namespaces (--top-all).",
            lambda now: now.listeners_left_out,
        ),
    }
)
Kind = type[GaugeMetricFamily] | type[CounterMetricFamily]
Labelled = Sequence[tuple[tuple[str, ...], Gauges]]  # the values of the labels of a namespace, and its gauges
Rows = Iterable[tuple[tuple[str, ...], float | None]]  # the values of all labels, and the value of the metric


class Exporter(Collector):
    """A Prometheus collector that reports what was last published. Publish something, then serve."""

    def __init__(self) -> None:
        self._published: Gauges | Round | None = None
        self._failures = 0
        self._is_good = False

    def publish(self, published: Gauges | Round) -> None:
        self._published, self._is_good = published, True
        if isinstance(published, Round):
            self._failures += len(published.failures)

    def fail(self) -> None:
        """Count the gauges that could not be taken. The last one stays; its timestamp shows its age."""
        self._failures += 1
        self._is_good = False

    def app(self) -> App:
        """What answers a scrape, also about this process itself."""
        registry = CollectorRegistry()
        registry.register(self)
        ProcessCollector(registry=registry)
        return pages(make_wsgi_app(registry))

    def collect(self) -> Iterable[Metric]:
        """The metrics; no label has a character that is not printable."""
        for family in self._families():
            samples = family.samples
            family.samples = [each._replace(labels={k: visible(v) for k, v in each.labels.items()}) for each in samples]
            yield family

    def _families(self) -> Iterator[Metric]:
        yield _counter("census_failures", "How many counts of the sockets failed.", self._failures)
        yield _gauge("census_success", "Whether the last count of the sockets succeeded: 1 or 0.", self._is_good)
        if isinstance(self._published, Gauges):
            yield from _one(self._published)
        elif self._published is not None:
            yield from _round(self._published)


def _one(now: Gauges) -> Iterator[Metric]:
    """The metrics of one namespace, without labels for it."""
    yield _info({"version": __version__, "kernel": now.kernel, "netns": now.netns})
    yield _gauge(
        "census_timestamp_seconds", "Time at which the sockets were last counted, in seconds since the epoch.", now.at_s
    )
    yield _gauge("census_duration_seconds", "Time it took to count the sockets.", now.took_s)
    yield from _of_namespaces((), [((), now)])


def _round(now: Round) -> Iterator[Metric]:
    """The metrics of every namespace, labelled, and those of the host."""
    yield _info({"version": __version__, "kernel": now.kernel})
    for name, (about, value_of) in ROUNDS.items():
        yield _gauge(name, about, value_of(now))
    yield from _limited((), [((), now.limited)])
    yield from _counters((), [((), now.counters)])
    counted = [(tuple(getattr(each.whose, label) for label in WHOSE_LABELS), each.gauges) for each in now.counted]
    yield from _of_namespaces(WHOSE_LABELS, counted)


def _of_namespaces(labels: Sequence[str], counted: Labelled) -> Iterator[Metric]:
    """The metrics that each namespace has of its own. labels: the names of the labels that tell them apart"""

    def rows(value_of: Callable[[Gauges], float | None]) -> Rows:
        return ((whose, value_of(now)) for whose, now in counted)

    yield from _family(
        "census_changed_sockets",
        "Sockets that were opened or closed during the count.",
        labels,
        rows(lambda now: now.changed),
    )
    for name, (about, of_pair) in PAIRS.items():
        yield _table(
            f"pair_{name}",
            about,
            [*labels, *PAIR_LABELS],
            (
                ((*whose, pair.role, pair.source, pair.destination), of_pair(pair))
                for whose, now in counted
                for pair in now.pairs
            ),
        )
    yield _table(
        "pairs",
        "Pairs of source address and destination that have sockets.",
        [*labels, "role"],
        (((*whose, role), count) for whose, now in counted for role, count in now.pairs_total.items()),
    )
    yield _table(
        "sockets",
        "TCP sockets of this network namespace.",
        [*labels, "state"],
        (((*whose, state.state), state.sockets) for whose, now in counted for state in now.states),
    )
    for name, (about, of_ports) in PORTS.items():
        yield from _family(name, about, labels, rows(of_ports))
    yield from _listeners(labels, counted)
    yield from _limited(labels, [(whose, now.limited) for whose, now in counted])
    yield from _counters(labels, [(whose, now.counters) for whose, now in counted])


def _limited(labels: Sequence[str], parts: Sequence[tuple[tuple[str, ...], Sequence[Limited]]]) -> Iterator[Metric]:
    by_name = [(whose, {one.name: one for one in limited}) for whose, limited in parts]
    for name, meter in LIMITED.items():
        there = [(whose, limited[name]) for whose, limited in by_name if name in limited]
        most = f"The most that fourtuple_{name} can be: {meter.setting}."
        yield from _family(name, meter.about, labels, ((whose, one.value) for whose, one in there))
        yield from _family(f"{name}_max", most, labels, ((whose, one.most) for whose, one in there))


def _counters(labels: Sequence[str], parts: Sequence[tuple[tuple[str, ...], Mapping[str, int]]]) -> Iterator[Metric]:
    for counter in COUNTERS:
        rows = [(whose, counters.get(counter.name)) for whose, counters in parts]
        about = f"{sentence(counter.meaning)} ({counter.name})"
        yield from _family(counter.metric, about, labels, rows, CounterMetricFamily)


def _listeners(labels: Sequence[str], counted: Labelled) -> Iterator[Metric]:
    there = [((*whose, listener.address), listener) for whose, now in counted for listener in now.listeners]
    labels = [*labels, "address"]
    for name, (about, value_of) in LISTENERS.items():
        yield _table(f"listener_{name}", about, labels, ((whose, value_of(listener)) for whose, listener in there))
    yield _table(
        "listener_drops",
        "Connections that were dropped at this listener.",
        labels,
        ((whose, listener.drops) for whose, listener in there),
        CounterMetricFamily,
    )


def sentence(words: str) -> str:
    """The words with a capital letter and a full stop."""
    return f"{words[0].upper()}{words[1:]}."


def _table(name: str, about: str, labels: Sequence[str], rows: Rows, kind: Kind = GaugeMetricFamily) -> Metric:
    """A metric with these labels; a row whose value is None is left out."""
    family = kind(f"fourtuple_{name}", about, labels=labels)
    for values, number in rows:
        if number is not None:
            family.add_metric(values, number)
    return family


def _family(
    name: str, about: str, labels: Sequence[str], rows: Rows, kind: Kind = GaugeMetricFamily
) -> Iterator[Metric]:
    """The same, if any row has a value."""
    family = _table(name, about, labels, rows, kind)
    if family.samples:
        yield family


def _info(values: dict[str, str]) -> Metric:
    about = (
        "Version of fourtuple, kernel and network namespace."
        if "netns" in values
        else "Version of fourtuple and kernel."
    )
    return InfoMetricFamily("fourtuple", about, values)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"fourtuple_{name}", about, value)


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"fourtuple_{name}", about, value)
