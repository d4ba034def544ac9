"""The live view of a hold, a churn or a serve: one screen, made from the samples of the run alone.

The current rate and latency are differences between two consecutive samples.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Group, RenderableType

from fourtuple.core.record import dataclass
from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.histogram import Latency, percentile
from fourtuple.core.runs.records import Sample
from fourtuple.core.runs.spread import bin_bounds
from fourtuple.core.runs.start import Planned
from fourtuple.core.units import format_count, format_duration, format_rate, format_size, format_things
from fourtuple.faces.terminal.layout import ALARM, LABEL, Part, bar, flowing, head, prose
from fourtuple.faces.terminal.machines import MachineRows
from fourtuple.faces.text.lines import COLUMNS, MOST
from fourtuple.faces.text.words import counts, lost_by, meaning

SPARKS = "▁▂▃▄▅▆▇█"
ROWS = 24  # of a terminal, where it is not known
KEPT = 64  # values in a sparkline, of which as many are drawn as there is space for
LEAST_SPARKS, BESIDE = 8, 56  # values at least; columns of what stands beside them
BY_PAIR = "by pair "
ERRNOS = 3  # errnos that are explained
REASONS = 2  # why sessions ended: the most frequent
PATIENCE = 0.3  # weight of the latest rate in the smoothed rate, from which the time left is estimated


def _began(sample: Sample) -> int | None:
    return sample.start.at_ns if sample.start else None


def sparkline(values: Sequence[float | None], *, least: float | None = None, most: float | None = None) -> str:
    """One character per value; a space for None.

    least, most: bounds of the scale; None: of the values
    """
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low = min(known) if least is None else least
    high = max(known) if most is None else most
    step = (high - low) / (len(SPARKS) - 1) or 1.0
    return "".join(
        " " if value is None else SPARKS[max(0, min(len(SPARKS) - 1, round((value - low) / step)))] for value in values
    )


@dataclass(frozen=True, slots=True)
class _Moment:
    """The change between two consecutive screens."""

    rate_per_s: float
    p50_us: float | None
    p99_us: float | None


class Screen:
    """Draws one sample after the other; it remembers a few of them."""

    def __init__(self) -> None:
        self._before: Sample | None = None
        self._columns = COLUMNS
        self._machines = MachineRows()
        self._moments: deque[_Moment] = deque(maxlen=KEPT)
        self._smooth: float | None = None
        self._counted: int | None = None  # open connections when the kernel's table was counted
        self._full_ns: int | None = None  # when opening had ended

    def draw(self, sample: Sample, rows: int = ROWS, columns: int = COLUMNS) -> RenderableType:
        """The screen of this sample. rows, columns: of the terminal, for the machines of a fleet"""
        self._add(sample)
        self._columns = min(columns, MOST)
        planned = sample.start.planned if sample.start else None
        kind = sample.start.kind if sample.start else ""
        draw = {"hold": self._hold, "churn": self._churn}.get(kind, self._serve)
        lines = list(draw(sample, planned))
        return Group(*lines, *self._machines.draw(sample, kind, rows - len(lines), self._columns))

    def _add(self, sample: Sample) -> None:
        before, self._before = self._before, sample
        if sample.census is not None and self._counted is None:
            self._counted = sample.open
        if self._full_ns is None and sample.census is not None:
            self._full_ns = sample.at_ns
        if before is None or _began(before) != _began(sample):  # `churn max` begins a run for each rate
            start_ns = sample.start.at_ns if sample.start else sample.at_ns
            rate = sample.opened / max(1e-9, (sample.at_ns - start_ns) / 1e9) if sample.opened else 0.0
            grown = sample.connect_histogram
        elif sample.at_ns == before.at_ns:
            return
        else:
            rate = (sample.opened - before.opened) / ((sample.at_ns - before.at_ns) / 1e9)
            grown = sample.connect_histogram - before.connect_histogram
        self._smooth = rate if self._smooth is None else PATIENCE * rate + (1 - PATIENCE) * self._smooth
        self._moments.append(_Moment(rate, percentile(grown, 0.5), percentile(grown, 0.99)))

    # hold

    def _hold(self, sample: Sample, planned: Planned | None) -> Iterator[RenderableType]:
        if planned is None:
            return
        title = f"hold {format_count(sample.wanted)} → {_ways(planned)}"
        yield from self._head(title, sample, planned.loop, planned.strategy)
        yield from bar(sample.open, sample.wanted, *self._progress(sample, planned), columns=self._columns)
        failed = sum(sample.failed.values())
        of = f" of {format_count(sample.target)}" if planned.stages else ""
        yield from self._line(
            "held",
            f"{format_count(sample.open)}{of}",
            f"opening {format_count(sample.opening)}",
            _alarming("failed", failed),
            _alarming("lost", sample.lost),
            f"reopened {format_count(sample.reconnected)}" if sample.reconnected else "",
        )
        if planned.churn_per_s:
            yield from self._replaced(sample, planned)
        yield from self._connect(sample)
        yield from self._sessions(sample)
        if sample.requests or sample.answers:
            answers = f"{format_count(sample.answers)} to {format_things(sample.requests, 'request')}"
            yield from self._line("answers", answers, *_middle_and_tail(sample.answer_us))
        yield from self._ports(sample, planned)
        yield from self._memory(sample, "client")
        yield from self._witnesses(sample, planned)
        yield from self._errnos(sample, planned.strategy)

    def _line(self, label: str, *parts: Part) -> Iterator[RenderableType]:
        return flowing(label, *parts, columns=self._columns)

    def _head(self, left: str, sample: Sample, *how: str | None) -> Iterator[RenderableType]:
        """What runs, and how, and for how long so far."""
        ran_s = (sample.at_ns - (_began(sample) or sample.at_ns)) / 1e9
        ran = f"{ran_s:.0f} s" if ran_s < 60 else format_duration(round(ran_s))
        right = " · ".join(filter(None, (*how, _workers(sample), f"running {ran}")))
        return head(left, right, self._columns)

    def _progress(self, sample: Sample, planned: Planned) -> tuple[str, ...]:
        """The words beside the bar."""
        if planned.stages and sample.stage < len(planned.stages.ramps):
            ramp = planned.stages.ramps[sample.stage]
            stage = f"stage {sample.stage + 1} of {len(planned.stages.ramps)}, to {format_count(ramp.target)} within"
            return (f"{stage} {format_duration(ramp.within_ns / 1e9)}",)
        if sample.phase is Phase.OPENING:
            left = sample.wanted - sample.open - sum(sample.failed.values())
            seconds = left / self._smooth if self._smooth else math.inf
            when = f"{format_duration(seconds)} left" if math.isfinite(seconds) else "stalled"
            return format_count(sample.open), format_rate(self._moments[-1].rate_per_s), when
        if sample.phase is Phase.HOLDING:
            held_s = 0.0 if self._full_ns is None else (sample.at_ns - self._full_ns) / 1e9
            of = "" if planned.run_s is None else f" of {format_duration(planned.run_s)}"
            return f"holding for {held_s:.0f} s{of}", f"opened at {format_rate(sample.rate_per_s)}"
        return "closing", f"{format_count(sample.open)} still open"

    def _replaced(self, sample: Sample, planned: Planned) -> Iterator[RenderableType]:
        """How many were replaced, and how many per second since opening had ended."""
        since_s = 0.0 if self._full_ns is None else (sample.at_ns - self._full_ns) / 1e9
        rate = format_rate(sample.replaced / since_s) if since_s else "–"
        return self._line("replaced", format_count(sample.replaced), f"{rate} of {format_rate(planned.churn_per_s)}")

    def _connect(self, sample: Sample) -> Iterator[RenderableType]:
        overall = sample.connect_us
        if overall.p50 is None:
            return
        now = next((moment for moment in reversed(self._moments) if moment.p50_us is not None), None)
        logs = [None if moment.p99_us is None else math.log(moment.p99_us) for moment in self._moments]
        yield from self._line("connect", *_middle_and_tail(overall), f"max {_us(overall.max)}")
        if now is not None and sample.phase is Phase.OPENING:
            sparks = sparkline(logs[-self._sparks :])
            yield from self._line("  now", f"p50 {_us(now.p50_us)}", f"p99 {_us(now.p99_us)}", sparks)

    @property
    def _sparks(self) -> int:
        """How many values of a sparkline have space."""
        return max(LEAST_SPARKS, self._columns - BESIDE)

    def _ports(self, sample: Sample, planned: Planned) -> Iterator[RenderableType]:
        """Used ports of each pair, or of each bin of neighbouring pairs, relative to the usable ones.

        The machines of a fleet have pairs of their own, whose bins are not those of the whole run.
        """
        if sample.machines:
            return
        bounds = bin_bounds(planned.pairs)
        room = planned.usable * np.diff(bounds)
        used = sample.pairs[: len(room)]
        if not used.any() or not room.all() or (planned.stages and sample.open < used.sum()):
            return  # counted when they are opened for the first time: after a ramp down it is not known which are open
        percent = 100 * used / room
        least, most = int(used.min()), int(used.max())
        few = format_count(most) if least == most else f"{format_count(least)} to {format_count(most)}"
        if planned.pairs == 1:
            yield from self._line("ports", f"{few} of {format_count(planned.usable)}", f"{percent.max():.0f} %")
            return
        words = f"{few} of {format_count(planned.usable)} in each pair"
        if planned.pairs > len(room):
            words = f"of {format_count(planned.usable)} in each of {format_things(planned.pairs, 'pair')}"
        bars = sparkline(percent[: self._columns - LABEL - len(BY_PAIR) - 1].tolist(), least=0, most=100)
        yield from self._line("ports", words, f"{percent.max():.0f} % at most", f"{BY_PAIR}{bars}")

    def _witnesses(self, sample: Sample, planned: Planned) -> Iterator[RenderableType]:
        plan, engine = f"plan {format_count(planned.predicted or 0)}", f"engine {format_count(sample.open)}"
        if sample.census is not None:
            census = sample.census
            ends = [census.client] if census.server is None else [census.client, census.server]
            kernel = " + ".join(format_count(end) for end in ends)
            bounds = (self._counted if bound is None else bound for bound in (census.least, census.most))
            least, most = (bound or 0 for bound in bounds)
            named = zip(ends, ("client", "server"), strict=False)
            differ = [words for end, where in named if (words := _apart(end, least, most, where))]
            yield from self._line("witness", plan, engine, f"kernel {kernel}", "differ" if differ else "agree")
            if differ:
                yield from self._line("  differ", *((words, ALARM) for words in differ))
        elif sample.seen and sample.seen.connections is not None:
            kernel = f"kernel about {format_count(sample.seen.connections)}"
            yield from self._line("witness", plan, engine, kernel)

    # churn

    def _churn(self, sample: Sample, planned: Planned | None) -> Iterator[RenderableType]:
        if planned is None or planned.rate_per_s is None:
            return
        title = f"churn {format_rate(planned.rate_per_s)} → {_ways(planned)}"
        yield from self._head(title, sample, planned.loop, planned.strategy)
        start_ns = sample.start.at_ns if sample.start else sample.at_ns
        run_s, ran_s = planned.run_s or 0.0, (sample.at_ns - start_ns) / 1e9
        rates = [moment.rate_per_s for moment in self._moments]
        words = (
            f"{min(ran_s, run_s):.0f} s of {format_duration(run_s)}" if ran_s < run_s else "waiting for the last ones"
        )
        yield from bar(round(1000 * min(ran_s, run_s)), round(1000 * run_s), words, columns=self._columns)
        yield from self._line("opened", *self._rate(rates))
        waiting = sample.arrivals - sample.started
        yield from self._line(
            "due",
            format_count(sample.arrivals),
            f"started {format_count(sample.started)}",
            _alarming("late", sample.late),
            _alarming("waiting", waiting),
        )
        failed = sum(sample.failed.values())
        yield from self._line(
            "open",
            format_count(sample.open),
            f"completed {format_count(sample.closed)}",
            _alarming("failed", failed),
            _alarming("lost", sample.lost),
        )
        yield from self._connect(sample)
        last = sample.last_us
        if last.p50 is not None:
            yield from self._line("answered", *_middle_and_tail(last), f"max {_us(last.max)}")
        if sample.seen and sample.seen.time_wait is not None:
            yield from self._line("ports", f"{format_things(sample.seen.time_wait, 'socket')} in TIME_WAIT")
        yield from self._memory(sample, "client")
        yield from self._errnos(sample, planned.strategy)

    # serve

    def _serve(self, sample: Sample, planned: Planned | None) -> Iterator[RenderableType]:
        where = _list(planned.destinations) if planned else ""
        yield from self._head(f"serve {where}", sample, planned.loop if planned else "")
        rates = [moment.rate_per_s for moment in self._moments]
        opened = f"accepted {format_count(sample.opened)}"
        yield from self._line("open", format_count(sample.open), opened, *self._rate(rates))
        full = bool(sample.capacity) and sample.open >= sample.capacity
        if full:
            yield from self._line("full", f"capacity {format_count(sample.capacity)}, others wait in the queue")
        if sample.lost or sample.closed:
            by = f"by clients {format_count(sample.lost)}", f"by server {format_count(sample.closed)}"
            yield from self._line("closed", *by, f"({counts(sample.lost_by)})" if sample.lost_by else "")
        if sample.greeted or sample.received_bytes or sample.sent_bytes:
            data = f"received {format_size(sample.received_bytes)}", f"sent {format_size(sample.sent_bytes)}"
            yield from self._line("data", *data, f"greeted {format_count(sample.greeted)}" if sample.greeted else "")
        yield from self._sessions(sample)
        yield from self._memory(sample, "server")
        dropped = sample.seen.moved.get("ListenOverflows", 0) if sample.seen else 0
        if dropped:
            yield from self._line("queues", f"{format_count(dropped)} handshakes dropped", "an accept queue was full")
        yield from self._errnos(sample, None, of_server=True)

    # parts of all of them

    def _rate(self, rates: Sequence[float]) -> tuple[str, str]:
        """The current rate, and how it was before."""
        return format_rate(rates[-1] if rates else 0), sparkline(rates[-self._sparks :], least=0)

    def _sessions(self, sample: Sample) -> Iterator[RenderableType]:
        """How many sessions are established and in their handshake, and why others ended."""
        if sample.sessions or sample.greeting:
            greeting = f"in their handshake {format_count(sample.greeting)}" if sample.greeting else ""
            times = _middle_and_tail(sample.session_us) if sample.session_us.p50 is not None else ()
            yield from self._line("sessions", format_count(sample.sessions), greeting, *times)
        for reason, count in list(sample.reasons.items())[:REASONS]:
            yield from self._line("why", (f"{format_count(count)} × {reason}", ALARM))

    def _memory(self, sample: Sample, whose: str) -> Iterator[RenderableType]:
        taken = sample.seen.memory_bytes if sample.seen else None
        parts = []
        if taken is not None and sample.open >= 1000 and sample.phase <= Phase.HOLDING:
            each = format_size(max(0, taken) / sample.open)
            parts = [f"{format_size(max(0, taken))} used since start (whole host)", f"{each} each"]
        return self._line("memory", *parts, f"{whose} {format_size(sample.rss_bytes)}")

    def _errnos(self, sample: Sample, strategy: str | None, *, of_server: bool = False) -> Iterator[RenderableType]:
        """Each errno with its meaning, most frequent first."""
        failed = [("failed", name, n, meaning(name, strategy)[0]) for name, n in list(sample.failed.items())[:ERRNOS]]
        lost = [
            ("gone" if of_server else "lost", name, n, lost_by(name, of_server=of_server, strategy=strategy)[0])
            for name, n in list(sample.lost_by.items())[:ERRNOS]
        ]
        for title, name, count, means in failed + lost:
            yield from prose(title, f"{format_count(count)} by {name}: {means}", self._columns)


def _alarming(name: str, count: int) -> Part:
    """A count that should be 0."""
    return f"{name} {format_count(count)}", ALARM if count else ""


def _middle_and_tail(latency: Latency) -> tuple[str, str]:
    return f"p50 {_us(latency.p50)}", f"p99 {_us(latency.p99)}"


def _apart(count: int, least: int, most: int, where: str) -> str:
    """How many the kernel lists more or fewer than the engine held; empty: as many."""
    if least <= count <= most:
        return ""
    number = format_count(least - count if count < least else count - most)
    return f"{number} {'fewer' if count < least else 'more'} at the {where} than the engine holds"


def _us(value: float | None) -> str:
    return "–" if value is None else format_duration(value / 1e6)


def _workers(sample: Sample) -> str:
    processes = format_things(sample.workers, "process")
    machines = len(sample.machines)
    return f"{processes} on {format_count(machines)} machine{'s' * (machines != 1)}" if machines else processes


def _ways(planned: Planned) -> str:
    """To where, and from where, which connections to Unix sockets do not have."""
    return f"{_list(planned.targets)}{f' from {_list(planned.sources)}' if planned.sources else ''}"


def _list(texts: Sequence[str]) -> str:
    return ", ".join(texts)
