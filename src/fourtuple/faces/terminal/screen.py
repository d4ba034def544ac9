"""The live view of a hold, a churn or a serve: one screen, made from the samples of the run alone.

The current rate and latency are differences between two consecutive samples.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fourtuple.core.record import dataclass
from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.histogram import percentile
from fourtuple.core.runs.records import Sample
from fourtuple.core.runs.spread import bin_bounds
from fourtuple.core.runs.start import Planned
from fourtuple.core.units import format_count, format_duration, format_rate, format_size
from fourtuple.faces.printer import picture
from fourtuple.faces.terminal.machines import MachineRows
from fourtuple.faces.text.lines import COLUMNS, wrapped
from fourtuple.faces.text.words import counts, lost_by, meaning

SPARKS = "▁▂▃▄▅▆▇█"
ROWS = 24  # of a terminal, where it is not known
KEPT = 24  # values in a sparkline
ERRNOS = 3  # errnos that are explained
LABEL = 9
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
        self._machines = MachineRows()
        self._moments: deque[_Moment] = deque(maxlen=KEPT)
        self._smooth: float | None = None
        self._counted: int | None = None  # open connections when the kernel's table was counted
        self._full_ns: int | None = None  # when opening had ended

    def draw(self, sample: Sample, rows: int = ROWS, columns: int = COLUMNS) -> RenderableType:
        """The screen of this sample. rows, columns: of the terminal, for the machines of a fleet"""
        self._add(sample)
        planned = sample.start.planned if sample.start else None
        kind = sample.start.kind if sample.start else ""
        draw = {"hold": self._hold, "churn": self._churn}.get(kind, self._serve)
        lines = list(draw(sample, planned))
        return Group(*lines, *self._machines.draw(sample, kind, rows - len(lines), columns))

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
        yield _head(
            f"hold {format_count(sample.wanted)} → {_ways(planned)}",
            f"{planned.loop} · {planned.strategy} · {_workers(sample)}",
        )
        yield self._progress(sample, planned)
        failed = sum(sample.failed.values())
        again = f"   reopened {format_count(sample.reconnected)}" if sample.reconnected else ""
        of = f" of {format_count(sample.target)}" if planned.stages else ""
        held = _line("held", f"{format_count(sample.open)}{of}   opening {format_count(sample.opening)}")
        held.append(f"   failed {format_count(failed)}", style="bold red" if failed else "")
        held.append(f"   lost {format_count(sample.lost)}", style="bold red" if sample.lost else "")
        yield held.append(again)
        if planned.churn_per_s:
            yield self._replaced(sample, planned)
        yield from self._connect(sample)
        yield from _sessions(sample)
        if sample.requests or sample.answers:
            answers = f"{format_count(sample.answers)} to {format_count(sample.requests)} requests"
            yield _line("answers", f"{answers}   p50 {_us(sample.answer_us.p50)}   p99 {_us(sample.answer_us.p99)}")
        yield from self._ports(sample, planned)
        yield from _memory(sample, "client")
        yield from self._witnesses(sample, planned)
        yield from _errnos(sample, planned.strategy)

    def _progress(self, sample: Sample, planned: Planned) -> RenderableType:
        if planned.stages and sample.stage < len(planned.stages.ramps):
            ramp = planned.stages.ramps[sample.stage]
            stage = f"stage {sample.stage + 1} of {len(planned.stages.ramps)}, to {format_count(ramp.target)} within"
            return _bar(sample.open, sample.wanted, f"{stage} {format_duration(ramp.within_ns / 1e9)}")
        if sample.phase is Phase.OPENING:
            left = sample.wanted - sample.open - sum(sample.failed.values())
            seconds = left / self._smooth if self._smooth else math.inf
            when = f"{format_duration(seconds)} left" if math.isfinite(seconds) else "stalled"
            words = f"{format_count(sample.open)}   {format_rate(self._moments[-1].rate_per_s)}   {when}"
            return _bar(sample.open, sample.wanted, words)
        if sample.phase is Phase.HOLDING:
            held_s = 0.0 if self._full_ns is None else (sample.at_ns - self._full_ns) / 1e9
            of = "" if planned.run_s is None else f" of {format_duration(planned.run_s)}"
            words = f"holding for {held_s:.0f} s{of}   opened at {format_rate(sample.rate_per_s)}"
            return _bar(sample.open, sample.wanted, words)
        return _bar(sample.open, sample.wanted, f"closing   {format_count(sample.open)} still open")

    def _replaced(self, sample: Sample, planned: Planned) -> Text:
        """How many were replaced, and how many per second since opening had ended."""
        since_s = 0.0 if self._full_ns is None else (sample.at_ns - self._full_ns) / 1e9
        rate = format_rate(sample.replaced / since_s) if since_s else "–"
        return _line("replaced", f"{format_count(sample.replaced)}   {rate} of {format_rate(planned.churn_per_s)}")

    def _connect(self, sample: Sample) -> Iterator[RenderableType]:
        overall = sample.connect_us
        if overall.p50 is None:
            return
        now = next((moment for moment in reversed(self._moments) if moment.p50_us is not None), None)
        logs = [None if moment.p99_us is None else math.log(moment.p99_us) for moment in self._moments]
        yield _line("connect", f"p50 {_us(overall.p50)}   p99 {_us(overall.p99)}   max {_us(overall.max)}")
        if now is not None and sample.phase is Phase.OPENING:
            yield _line("  now", f"p50 {_us(now.p50_us)}   p99 {_us(now.p99_us)}   {sparkline(logs)}")

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
        words = f"{few} of {format_count(planned.usable)} in {'each' if planned.pairs > 1 else 'the'} pair"
        if planned.pairs > len(room):
            words = f"of {format_count(planned.usable)} in each of {format_count(planned.pairs)} pairs"
        bars = sparkline(percent[: COLUMNS - 48].tolist(), least=0, most=100) if planned.pairs > 1 else ""
        yield _line("ports", f"{words}   {percent.max():.0f} %   {bars}")

    def _witnesses(self, sample: Sample, planned: Planned) -> Iterator[RenderableType]:
        plan = f"plan {format_count(planned.predicted or 0)}"
        if sample.census is not None:
            census = sample.census
            ends = [census.client] if census.server is None else [census.client, census.server]
            kernel = " + ".join(format_count(end) for end in ends)
            bounds = (self._counted if bound is None else bound for bound in (census.least, census.most))
            least, most = (bound or 0 for bound in bounds)
            agree = "agree" if all(least <= end <= most for end in ends) else "differ"
            yield _line("witness", f"{plan}   engine {format_count(sample.open)}   kernel {kernel}   {agree}")
        elif sample.seen and sample.seen.connections is not None:
            kernel = f"kernel about {format_count(sample.seen.connections)}"
            yield _line("witness", f"{plan}   engine {format_count(sample.open)}   {kernel}")

    # churn

    def _churn(self, sample: Sample, planned: Planned | None) -> Iterator[RenderableType]:
        if planned is None or planned.rate_per_s is None:
            return
        yield _head(
            f"churn {format_rate(planned.rate_per_s)} → {_ways(planned)}",
            f"{planned.loop} · {planned.strategy} · {_workers(sample)}",
        )
        start_ns = sample.start.at_ns if sample.start else sample.at_ns
        run_s, ran_s = planned.run_s or 0.0, (sample.at_ns - start_ns) / 1e9
        rates = [moment.rate_per_s for moment in self._moments]
        words = (
            f"{min(ran_s, run_s):.0f} s of {format_duration(run_s)}" if ran_s < run_s else "waiting for the last ones"
        )
        yield _bar(round(1000 * min(ran_s, run_s)), round(1000 * run_s), words)
        yield _line("opened", f"{format_rate(rates[-1] if rates else 0)}   {sparkline(rates, least=0)}")
        waiting = sample.arrivals - sample.started
        due = _line("due", f"{format_count(sample.arrivals)}   started {format_count(sample.started)}")
        due.append(f"   late {format_count(sample.late)}", style="bold red" if sample.late else "")
        yield due.append(f"   waiting {format_count(waiting)}", style="bold red" if waiting else "")
        failed = sum(sample.failed.values())
        done = _line("open", f"{format_count(sample.open)}   completed {format_count(sample.closed)}")
        done.append(f"   failed {format_count(failed)}", style="bold red" if failed else "")
        yield done.append(f"   lost {format_count(sample.lost)}", style="bold red" if sample.lost else "")
        yield from self._connect(sample)
        last = sample.last_us
        if last.p50 is not None:
            yield _line("answered", f"p50 {_us(last.p50)}   p99 {_us(last.p99)}   max {_us(last.max)}")
        if sample.seen and sample.seen.time_wait is not None:
            yield _line("ports", f"{format_count(sample.seen.time_wait)} sockets in TIME_WAIT")
        yield from _memory(sample, "client")
        yield from _errnos(sample, planned.strategy)

    # serve

    def _serve(self, sample: Sample, planned: Planned | None) -> Iterator[RenderableType]:
        where = _list(planned.destinations) if planned else ""
        yield _head(f"serve {where}", f"{planned.loop if planned else ''} · {_workers(sample)}")
        rates = [moment.rate_per_s for moment in self._moments]
        yield _line(
            "open",
            f"{format_count(sample.open)}   accepted {format_count(sample.opened)}"
            f"   {format_rate(rates[-1] if rates else 0)}   {sparkline(rates, least=0)}",
        )
        full = bool(sample.capacity) and sample.open >= sample.capacity
        if full:
            yield _line("full", f"capacity {format_count(sample.capacity)}, others wait in the queue")
        if sample.lost or sample.closed:
            gone = f"by clients {format_count(sample.lost)}   by server {format_count(sample.closed)}"
            yield _line("closed", f"{gone}{f'   ({counts(sample.lost_by)})' if sample.lost_by else ''}")
        if sample.greeted or sample.received_bytes or sample.sent_bytes:
            data = f"received {format_size(sample.received_bytes)}   sent {format_size(sample.sent_bytes)}"
            yield _line("data", f"{data}{f'   greeted {format_count(sample.greeted)}' if sample.greeted else ''}")
        yield from _sessions(sample)
        yield from _memory(sample, "server")
        dropped = sample.seen.moved.get("ListenOverflows", 0) if sample.seen else 0
        if dropped:
            yield _line("queues", f"{format_count(dropped)} handshakes were dropped because an accept queue was full")
        yield from _errnos(sample, None, of_server=True)


def _head(left: str, right: str) -> RenderableType:
    room = COLUMNS - 1 - len(right) - 2
    left = left if len(left) <= room else f"{left[: room - 1]}…"
    return picture(f"{left}{' ' * (COLUMNS - 1 - len(left) - len(right))}{right}", style="bold")


def _bar(done: int, of: int, words: str) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_row(ProgressBar(total=max(1, of), completed=done, width=34), picture(words))
    return grid


def _line(label: str, words: str) -> Text:
    return picture(f"{label:<{LABEL}}{words}"[: COLUMNS - 1])


def _sessions(sample: Sample) -> Iterator[RenderableType]:
    """How many sessions are established and in their handshake, and why others ended."""
    if sample.sessions or sample.greeting:
        greeting = f"   in their handshake {format_count(sample.greeting)}" if sample.greeting else ""
        took = sample.session_us
        times = "" if took.p50 is None else f"   p50 {_us(took.p50)}   p99 {_us(took.p99)}"
        yield _line("sessions", f"{format_count(sample.sessions)}{greeting}{times}")
    for reason, count in list(sample.reasons.items())[:REASONS]:
        yield picture(f"{'why':<{LABEL}}{format_count(count)} × {reason}"[: COLUMNS - 1], style="bold red")


def _memory(sample: Sample, whose: str) -> Iterator[RenderableType]:
    taken = sample.seen.memory_bytes if sample.seen else None
    words = []
    if taken is not None and sample.open >= 1000 and sample.phase <= Phase.HOLDING:
        each = format_size(max(0, taken) / sample.open)
        words.append(f"{format_size(max(0, taken))} used since start (whole host)   {each} each")
    words.append(f"{whose} {format_size(sample.rss_bytes)}")
    yield _line("memory", "   ".join(words))


def _errnos(sample: Sample, strategy: str | None, *, of_server: bool = False) -> Iterator[RenderableType]:
    """Each errno with its meaning, most frequent first."""
    failed = [("failed", name, n, meaning(name, strategy)[0]) for name, n in list(sample.failed.items())[:ERRNOS]]
    lost = [
        ("gone" if of_server else "lost", name, n, lost_by(name, of_server=of_server, strategy=strategy)[0])
        for name, n in list(sample.lost_by.items())[:ERRNOS]
    ]
    for title, name, count, means in failed + lost:
        for line in wrapped(f"{title:<{LABEL}}", f"{format_count(count)} by {name}: {means}"):
            yield picture(line)


def _us(value: float | None) -> str:
    return "–" if value is None else format_duration(value / 1e6)


def _workers(sample: Sample) -> str:
    processes = "1 process" if sample.workers == 1 else f"{format_count(sample.workers)} processes"
    machines = len(sample.machines)
    return f"{processes} on {format_count(machines)} machine{'s' * (machines != 1)}" if machines else processes


def _ways(planned: Planned) -> str:
    """To where, and from where, which connections to Unix sockets do not have."""
    return f"{_list(planned.targets)}{f' from {_list(planned.sources)}' if planned.sources else ''}"


def _list(texts: Sequence[str]) -> str:
    return ", ".join(texts)
