"""The machines of a fleet below the live view: a line for each, those with trouble first, as many as fit."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.text import Text

from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.records import MachineMoment, Sample, Standing
from fourtuple.core.units import format_count, format_duration, format_rate
from fourtuple.core.visible import visible
from fourtuple.faces.printer import picture
from fourtuple.faces.terminal.layout import ALARM
from fourtuple.faces.text.machines import shortened

NAME, WIDE_NAME = 16, 24  # columns of the longest name
BAR, WIDE_BAR = 10, 30
WIDE = 100  # columns from which there is room for the wide ones
FULL, EMPTY = "█", "░"


class MachineRows:
    """Draws the machines of one sample after the other; it remembers their last rates."""

    def __init__(self) -> None:
        self._before: dict[int, tuple[int, int]] = {}  # at_ns and opened
        self._rates: dict[int, float] = {}

    def draw(self, sample: Sample, kind: str, rows: int, columns: int) -> Iterator[Text]:
        """At most `rows` lines of at most `columns`: how many machines there are, then each; none without a fleet.

        kind: hold, churn or serve
        """
        machines = sample.machines
        if not machines:
            return
        for each in machines:
            self._add(each)
        yield _head(machines)
        room = max(0, rows - 1)
        order = sorted(machines, key=lambda each: not has_trouble(each, kind)) if len(machines) > room else machines
        shown = order if len(order) <= room else order[: max(0, room - 1)]
        names = min(WIDE_NAME if columns >= WIDE else NAME, max((len(visible(each.name)) for each in shown), default=0))
        cells = [self._cells(each, kind, columns) for each in shown]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        for each, row in zip(shown, cells, strict=True):
            counted = "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
            line = picture(f"{shortened(visible(each.name), names):<{names}}  {counted}".rstrip())
            for words, style in _words(each, kind):
                line.append(f"  {visible(words)}", style=style)
            line.truncate(columns - 1, overflow="ellipsis")
            yield line
        if (more := order[len(shown) :]) and room:
            troubled = sum(has_trouble(each, kind) for each in more)
            how = f"{format_count(troubled)} of them with trouble" if troubled else "all as planned"
            yield picture(f"… {format_count(len(more))} more, {how}")

    def _add(self, machine: MachineMoment) -> None:
        now, before = machine.sample, self._before.get(machine.number)
        self._before[machine.number] = (now.at_ns, now.opened)
        if before is not None and now.at_ns > before[0]:
            self._rates[machine.number] = (now.opened - before[1]) / ((now.at_ns - before[0]) / 1e9)

    def _cells(self, machine: MachineMoment, kind: str, columns: int) -> list[str]:
        """What is the same for all machines: how much is open, of how many, and how many were opened per second."""
        now = machine.sample
        is_busy = machine.standing is Standing.RUNNING and (now.phase is Phase.OPENING or kind == "serve")
        rate = format_rate(self._rates.get(machine.number, 0.0)) if is_busy else ""
        opened = format_count(now.open)
        if kind == "hold":
            width = WIDE_BAR if columns >= WIDE else BAR
            return [_bar(now.open, now.wanted, width), f"{opened} of {format_count(now.wanted)}", rate]
        if kind == "churn":
            return [f"open {opened}", f"completed {format_count(now.closed)}", rate]
        return [f"open {opened}", f"accepted {format_count(now.opened)}", rate]


def has_trouble(machine: MachineMoment, kind: str) -> bool:
    """Whether it is silent or gone, or has failed to open or lost connections; a server's clients may leave it."""
    is_away = machine.standing in (Standing.SILENT, Standing.GONE)
    return is_away or bool(machine.sample.failed) or (kind != "serve" and machine.sample.lost > 0)


def _head(machines: Sequence[MachineMoment]) -> Text:
    number = Counter(each.standing for each in machines)
    line = picture(f"machines {format_count(len(machines))}", style="bold")
    for standing in Standing:
        if number[standing]:
            style = ALARM if standing in (Standing.SILENT, Standing.GONE) else ""
            line.append(f"   {standing} {format_count(number[standing])}", style=style)
    return line


def _bar(done: int, of: int, width: int) -> str:
    full = min(width, width * done // of) if of else 0
    return FULL * full + EMPTY * (width - full)


def _words(machine: MachineMoment, kind: str) -> Iterator[tuple[str, str]]:
    """What is not the same for all machines, each with its style."""
    failed, lost = sum(machine.sample.failed.values()), machine.sample.lost
    if failed:
        yield f"failed {format_count(failed)}", ALARM
    if lost:
        yield f"lost {format_count(lost)}", "" if kind == "serve" else ALARM
    if machine.standing is Standing.GONE:
        yield f"gone: {machine.why}" if machine.why else "gone", ALARM
    elif machine.standing is Standing.SILENT:
        yield f"silent for {format_duration(round(machine.silent_s))}", ALARM
    elif machine.standing is not Standing.RUNNING:
        yield machine.standing, ""
