"""The charts of a report, as Vega-Lite specifications made by Altair; the page draws them in the browser.

Colours are CSS variables of the page, so that charts follow its dark and print styles. `about` describes each chart in
words for screen readers, and the page has a table behind each chart.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass
from fourtuple.core.runs.histogram import Latency
from fourtuple.core.runs.memory import MemoryUse
from fourtuple.core.runs.series import Bins, Heat, MachineOverTime, OverTime, evenly
from fourtuple.core.runs.spread import PairUse, Sharing
from fourtuple.core.runs.stored import LessonProgress
from fourtuple.core.units import format_count, format_duration

HEIGHT, ROW = 260, 22  # pixels: of a chart, and of a horizontal bar
INK, FAINT, LINE, OTHER, ALARM = "var(--ink)", "var(--faint)", "var(--line)", "var(--other)", "var(--alarm)"
HOVERED = 600  # samples with a tooltip: each needs two shapes in the browser
LONG_S = 60.0  # in longer runs a hundredth of a second is not visible
COLOURED = 8  # machines of a fleet that have a colour each
TROUBLED, PLANNED = "with trouble", "as planned"
SAMPLES = "samples"  # the data set shared by several charts

CONFIG: dict[str, Any] = {
    "background": None,
    "font": "system-ui, sans-serif",  # as in the page, because labels are measured with it before they are drawn
    "axis": {
        "labelColor": INK, "titleColor": INK, "gridColor": FAINT, "domainColor": FAINT, "tickColor": FAINT,
        "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 320, "labelOverlap": True,
    },
    "axisQuantitative": {"tickCount": 8},
    "legend": {
        "orient": "top", "labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12,
        "labelOverlap": True,
    },
    "view": {"stroke": None},
    "text": {"color": INK},
}  # fmt: skip

# Labels of an axis in microseconds, with a readable unit.
TIME = (
    "datum.value >= 1e6 ? format(datum.value / 1e6, '~r') + ' s'"
    " : datum.value >= 1e3 ? format(datum.value / 1e3, '~r') + ' ms' : format(datum.value, '~r') + ' µs'"
)
DECADES = [10.0**power for power in range(9)]  # 1 µs to 100 s


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart.

    name:   ID of its element on the page
    about:  one sentence for screen readers
    points: how many data points it has
    """

    name: str
    title: str
    about: str
    specification: dict[str, Any]
    points: int


def samples_data(over_time: OverTime) -> dict[str, list[float | None]]:
    """The columns shared by the charts over time, rounded to visible precision."""
    digits = 2 if len(over_time.at_s) and over_time.at_s[-1] > LONG_S else 4
    columns = {
        "at_s": (over_time.at_s, digits), "held": (over_time.held, 0), "kernel": (over_time.kernel, 0),
        "lost": (over_time.lost, 0), "rate": (over_time.rate_per_s, 0), "occupancy": (over_time.occupancy, 2),
        "target": (over_time.target, 0), "time_wait": (over_time.time_wait, 0),
        "p50": (over_time.p50_us, 1), "p99": (over_time.p99_us, 1),
    }  # fmt: skip
    count = len(over_time.at_s)
    near: list[float | None] = [0] * count
    for number in evenly(count, HOVERED).tolist():
        near[number] = 1
    return {name: _numbers(values, digits) for name, (values, digits) in columns.items()} | {"near": near}


def held(over_time: OverTime, wanted: int | None, planned: str) -> Chart:
    """Connections over time.

    wanted: None: the run is a server
    """
    layers = [_line("held", LINE)]
    if wanted is not None:  # a server's clients may be in the same namespace, and counted with it
        layers.append(_line("kernel", OTHER, dash=[4, 3]))
    if over_time.lost.any():
        layers.append(_line("lost", ALARM, dash=[1, 3]))
    if over_time.target.any():
        layers.append(_line("target", INK, dash=[2, 4]))
    elif wanted is not None:
        rule = alt.Chart(_values([{"wanted": wanted}])).mark_rule(color=INK, strokeDash=[2, 4])
        layers.append(rule.encode(y="wanted:Q"))
    most = format_count(int(over_time.held.max())) if len(over_time.held) else "0"
    return _over_time(
        "held", "Connections over time", f"Line chart over time; maximum {most}{planned}.", layers, over_time
    )


def rate(over_time: OverTime, what: str) -> Chart:
    """New connections per second over time."""
    layers = [_line("rate", LINE, title="per second", steps=True)]
    known = over_time.rate_per_s[~np.isnan(over_time.rate_per_s)]
    most = f"{known.max():,.0f}" if len(known) else "0"
    about = f"Line chart over time; maximum {most} per second."
    return _over_time("rate", f"{what} per second", about, layers, over_time)


def time_wait(over_time: OverTime) -> Chart:
    """Sockets in TIME_WAIT over time."""
    most = f"{np.nanmax(over_time.time_wait):,.0f}"
    about = f"Line chart over time; maximum {most}."
    return _over_time(
        "time-wait", "Sockets in TIME_WAIT", about, [_line("time_wait", LINE, title="sockets")], over_time
    )


def latency_over_time(cells: Heat, what: str, name: str) -> Chart:
    """A heat map of latencies over time."""
    columns = {
        "from": _numbers(cells.from_s, 3), "to": _numbers(cells.to_s, 3),
        "least": _numbers(cells.least_us, 2), "below": _numbers(cells.below_us, 2), "count": cells.count.tolist(),
    }  # fmt: skip
    chart = (
        alt.Chart(_values(_rows(columns)))
        .mark_rect(aria=False)
        .encode(
            x=alt.X("from:Q", title="seconds since the run began", scale=alt.Scale(zero=False, nice=False)),
            x2="to:Q",
            y=_time_axis("least:Q", what, _extent(cells.least_us, cells.below_us)),
            y2="below:Q",
            color=alt.Color(
                "count:Q",
                title="count",
                scale=alt.Scale(type="log", scheme="viridis"),
                legend=alt.Legend(tickCount=4),
            ),
            tooltip=[
                alt.Tooltip("from:Q", title="from second", format=".2f"),
                alt.Tooltip("least:Q", title="from µs", format=",.0f"),
                alt.Tooltip("below:Q", title="below µs", format=",.0f"),
                alt.Tooltip("count:Q", title="count", format=",d"),
            ],
        )
    )
    about = f"Heat map: horizontally time, vertically {what} on a logarithmic scale, the count as colour."
    return _chart(name, f"{what.capitalize()} over time", about, chart, len(cells.count))


def latency_histogram(bins: Bins, latency: Latency, what: str, name: str) -> Chart:
    """A histogram of latencies with their percentiles."""
    columns = {
        "least": _numbers(bins.least_us, 2), "below": _numbers(bins.below_us, 2), "count": bins.count.tolist(),
    }  # fmt: skip
    above = 1.3 * float(bins.count.max()) if len(bins.count) else 1.0  # space for the labels above the bars
    bars = (
        alt.Chart(_values(_rows(columns)))
        .mark_rect(color=LINE, stroke="var(--paper)", strokeWidth=0.5, aria=False)
        .encode(
            x=_time_axis("least:Q", what, _extent(bins.least_us, bins.below_us), across=True),
            x2="below:Q",
            y=alt.Y("count:Q", title="count", axis=alt.Axis(format="~s"), scale=alt.Scale(domainMax=above)),
            y2=alt.datum(0),
            tooltip=[
                alt.Tooltip("least:Q", title="from µs", format=",.1f"),
                alt.Tooltip("below:Q", title="below µs", format=",.1f"),
                alt.Tooltip("count:Q", title="count", format=",d"),
            ],
        )
    )
    marks = [
        {"us": us, "name": f"{label} {format_duration(us / 1e6)}", "y": 10 + 16 * row}
        for row, (label, us) in enumerate((("p50", latency.p50), ("p90", latency.p90), ("p99", latency.p99)))
        if us is not None
    ]
    rules = alt.Chart(_values(marks)).mark_rule(color=INK, strokeDash=[3, 3]).encode(x="us:Q")
    words = (
        alt.Chart(_values(marks))
        .mark_text(align="left", dx=4, fontSize=12, color=INK)
        .encode(x="us:Q", y=alt.Y("y:Q", scale=None), text="name:N")
    )
    percentiles = ", ".join(str(mark["name"]) for mark in marks)
    chart = alt.layer(bars, rules, alt.layer(words)).resolve_scale(y="independent")
    return _chart(name, f"{what.capitalize()}, whole run", f"Histogram; {percentiles}.", chart, len(bins.count))


def latency_by_occupancy(over_time: OverTime) -> Chart:
    """Time to connect, depending on the share of 4-tuples in use."""
    base = alt.Chart(alt.NamedData(SAMPLES)).transform_filter("isValid(datum.p50)")
    points = (
        base.transform_fold(["p50", "p99"], as_=["which", "us"])
        .mark_point(filled=True, size=28, opacity=0.75, aria=False)
        .encode(
            x=alt.X(
                "occupancy:Q",
                title="4-tuples in use (%)",
                scale=alt.Scale(nice=False, zero=False),
            ),
            y=_time_axis("us:Q", "time to connect", _extent(over_time.p50_us, over_time.p99_us)),
            color=_two("which:N", ("p50", "p99")),
            shape=alt.Shape("which:N", title=None, scale=alt.Scale(domain=["p50", "p99"], range=["circle", "diamond"])),
            tooltip=[
                alt.Tooltip("which:N", title=" "),
                alt.Tooltip("occupancy:Q", title="in use (%)", format=".1f"),
                alt.Tooltip("us:Q", title="µs", format=",.0f"),
            ],
        )
    )
    about = "Points: horizontally port occupancy, vertically time to connect on a logarithmic scale."
    known = int(np.count_nonzero(~np.isnan(over_time.p50_us)))
    return _chart("occupancy", "Time to connect, by port occupancy", about, points, 2 * known)


def progress(lesson: str, moments: Sequence[LessonProgress]) -> Chart:
    """The progress of a lesson, in seconds since its first step."""
    rows = [{"at_s": round(each.at_s - moments[0].at_s, 2), "done": each.done} for each in moments]
    lines: Any = (
        alt.Chart(_values(rows))
        .mark_line(color=LINE, strokeWidth=1.5, point={"color": LINE, "size": 14}, aria=False)
        .encode(
            x=alt.X("at_s:Q", title="seconds"),
            y=alt.Y("done:Q", title="connections", axis=alt.Axis(format="~s")),
            tooltip=[
                alt.Tooltip("at_s:Q", title="second", format=".2f"),
                alt.Tooltip("done:Q", title="connections", format=",d"),
            ],
        )
    )
    about = f"Line chart over time, up to {format_count(moments[-1].done)} of {format_count(moments[-1].wanted)}."
    return _chart(f"{lesson}-progress", "Connections over time", about, lines, len(rows), 160)


def named(name: str, title: str, numbers: Sequence[tuple[str, float, str]]) -> Chart:
    """Bars. numbers: the name, length and text of each"""
    rows = [{"name": each, "number": number, "words": words} for each, number, words in numbers]
    base = alt.Chart(_values(rows)).encode(
        y=alt.Y("name:N", title=None, sort=[each for each, _, _ in numbers]),
        x=alt.X("number:Q", axis=None, scale=alt.Scale(domainMin=0)),
    )
    bars = base.mark_bar(color=LINE, cornerRadiusEnd=2)
    words = base.mark_text(align="left", dx=4, fontSize=12, color=INK).encode(text="words:N")
    in_words = "; ".join(f"{row['name']} {row['words']}" for row in rows)
    return _chart(name, title, f"Bars: {in_words}.", alt.layer(bars, words), len(rows), _step(len(rows)))


def carrying(sharing: Sharing) -> Chart:
    """How many local ports carry how many connections."""
    rows = [{"connections": connections, "ports": ports} for connections, ports in sharing.carrying.items()]
    bars = (
        alt.Chart(_values(rows))
        .mark_bar(color=LINE, cornerRadiusEnd=2)
        .encode(
            y=alt.Y("connections:O", title="connections on one port"),
            x=alt.X("ports:Q", title="number of local ports", axis=alt.Axis(format="~s")),
            tooltip=[
                alt.Tooltip("connections:O", title="connections on one port"),
                alt.Tooltip("ports:Q", title="local ports", format=",d"),
            ],
        )
    )
    bars_in_words = "; ".join(
        f"{format_count(ports)} carry {connections}" for connections, ports in sharing.carrying.items()
    )
    return _chart(
        "carrying", "Connections on one local port", f"Bars: {bars_in_words}.", bars, len(rows), _step(len(rows))
    )


def pairs(sharing: Sharing) -> Chart:
    """Used and usable ports of each pair of source and destination."""
    rows = [
        {"pair": pair_name(pair), "used": pair.used, "usable": pair.pairs * sharing.usable, "row": row}
        for row, pair in enumerate(sharing.pairs)
    ]
    y = alt.Y("pair:N", title=None, sort=alt.SortField("row"))
    tips = [
        alt.Tooltip("pair:N", title="pair"),
        alt.Tooltip("used:Q", title="used", format=",d"),
        alt.Tooltip("usable:Q", title="usable", format=",d"),
    ]
    base = alt.Chart(_values(rows))
    usable = base.mark_bar(color=FAINT).encode(y=y, x=alt.X("usable:Q"), tooltip=tips)
    title = "ports used, of those usable"
    used = base.mark_bar(color=LINE, height={"band": 0.55}).encode(
        y=y, x=alt.X("used:Q", title=title, axis=alt.Axis(format="~s")), tooltip=tips
    )
    least, most = min(pair.used for pair in sharing.pairs), max(pair.used for pair in sharing.pairs)
    about = f"Bars: {format_count(least)} to {format_count(most)} used in each of {len(rows)} rows."
    return _chart("pairs", "Ports used, by pair", about, alt.layer(usable, used), len(rows), _step(len(rows)))


def memory(use: MemoryUse) -> Chart:
    """Memory of a connection by part, modelled and measured."""
    rows = [
        {"part": part.name, "which": which, "bytes": round(value, 1), "row": row}
        for row, part in enumerate(use.parts)
        for which, value in (("model", part.model_bytes), ("measured", part.measured_bytes))
        if value is not None
    ]
    names = [part.name for part in use.parts]
    bars = (
        alt.Chart(_values(rows))
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            y=alt.Y("part:N", title=None, sort=names),
            yOffset=alt.YOffset("which:N", sort=["model", "measured"]),
            x=alt.X("bytes:Q", title="bytes per connection"),
            color=_two("which:N", ("measured", "model")),
            tooltip=[
                alt.Tooltip("part:N", title="part"),
                alt.Tooltip("which:N", title=" "),
                alt.Tooltip("bytes:Q", title="bytes per connection", format=",.1f"),
            ],
        )
    )
    about = "Bars: bytes per connection of each part, modelled and measured."
    return _chart("memory-parts", "Memory of one connection, by part", about, bars, len(rows), len(names) * 34)


def by_machine(
    machines: Sequence[MachineOverTime],
    *,
    field: str,
    name: str,
    title: str,
    axis: str,
    troubled: Set[int],
) -> Chart:
    """One quantity of each machine over time: in colours, or, if there are many, those with trouble in red.

    troubled: the numbers of machines with trouble
    """
    rows = [
        {"machine": each.number, "at_s": at, "value": value}
        for each in sorted(machines, key=lambda each: each.number in troubled)  # the last ones are drawn on top
        for at, value in zip(_numbers(each.at_s, 2), _numbers(getattr(each, field), 0), strict=True)
        if value is not None
    ]
    names = [
        {"machine": each.number, "name": each.name, "state": TROUBLED if each.number in troubled else PLANNED}
        for each in machines
    ]
    known = alt.LookupData(data=_values(names), key="machine", fields=["name", "state"])
    if len(machines) <= COLOURED:
        colour: Any = alt.Color("name:N", title=None, sort=[each.name for each in machines])
        opacity: Any = alt.value(1)
    else:
        states = [TROUBLED, PLANNED]
        colour = alt.Color("state:N", title=None, scale=alt.Scale(domain=states, range=[ALARM, LINE]))
        opacity = alt.condition(f"datum.state === '{TROUBLED}'", alt.value(1), alt.value(0.4))
    lines: Any = (
        alt.Chart(_values(rows))
        .transform_lookup(lookup="machine", from_=known)
        .mark_line(
            strokeWidth=1.5,
            interpolate="step-before" if field == "rate_per_s" else "linear",
            aria=False,
        )
        .encode(
            x=_seconds(),
            y=alt.Y("value:Q", title=axis, axis=alt.Axis(format="~s")),
            color=colour,
            opacity=opacity,
            detail="machine:N",
            tooltip=[alt.Tooltip("name:N", title="machine")],
        )
        .add_params(_zoom())
    )
    return _chart(name, title, f"{len(machines)} lines over time, one for each machine.", lines, len(rows))


def both(runs: Sequence[tuple[str, OverTime]], *, field: str, title: str, axis: str) -> Chart:
    """One quantity of two runs over time, in one chart."""
    rows = [
        {"run": name, "at_s": at, "value": value}
        for name, run in runs
        for at, value in zip(_numbers(run.at_s, 2), _numbers(getattr(run, field), 1), strict=True)
        if value is not None
    ]
    names = [name for name, _ in runs]
    lines: Any = (
        alt.Chart(_values(rows))
        .mark_line(strokeWidth=1.5, aria=False)
        .encode(
            x=_seconds(),
            y=alt.Y("value:Q", title=axis, axis=alt.Axis(format="~s")),
            color=_two("run:N", names),
            strokeDash=_dashes("run:N", names),
        )
        .add_params(_zoom())
    )
    return _chart(field, title, "Two lines over time, one for each run.", lines, len(rows))


def both_latencies(runs: Sequence[tuple[str, Bins]]) -> Chart:
    """Cumulative distribution of the time to connect of two runs, in one chart."""
    rows = [
        {"run": name, "below": round(below, 2), "percent": round(percent, 3)}
        for name, bins in runs
        for below, percent in zip(
            bins.below_us.tolist(), (100 * np.cumsum(bins.count) / max(1, bins.count.sum())).tolist(), strict=True
        )
    ]
    names = [name for name, _ in runs]
    lines: Any = (
        alt.Chart(_values(rows))
        .mark_line(strokeWidth=1.5, interpolate="step-after", aria=False)
        .encode(
            x=_time_axis("below:Q", "time to connect", _extent(*(bins.below_us for _, bins in runs)), across=True),
            y=alt.Y("percent:Q", title="cumulative % of connects"),
            color=_two("run:N", names),
            strokeDash=_dashes("run:N", names),
        )
    )
    return _chart("latencies", "Time to connect", "Two rising lines, one for each run.", lines, len(rows))


def pair_name(pair: PairUse) -> str:
    """`SOURCE → DESTINATION`, with the number of neighbouring pairs that are counted with it."""
    more = f" and {format_count(pair.pairs - 1)} more" if pair.pairs > 1 else ""
    return f"{pair.source or '…'} → {pair.destination}{more}"


def _line(
    field: str, color: str, *, dash: Sequence[int] = (1, 0), title: str = "connections", steps: bool = False
) -> Any:
    """A line over the shared samples.

    steps: each value applies to the time since the previous one
    """
    return (
        alt.Chart(alt.NamedData(SAMPLES))
        .mark_line(
            color=color,
            strokeDash=list(dash),
            strokeWidth=1.5,
            interpolate="step-before" if steps else "linear",
            aria=False,
        )
        .encode(x=_seconds(), y=alt.Y(f"{field}:Q", title=title, axis=alt.Axis(format="~s")))
    )


def _over_time(name: str, title: str, about: str, layers: Sequence[Any], over_time: OverTime) -> Chart:
    """Lines over the shared samples, with a tooltip for the nearest sample, and zoom."""
    nearest = alt.selection_point(name="near", nearest=True, on="pointermove", fields=["at_s"], empty=False)
    tips = [
        alt.Tooltip("at_s:Q", title="second", format=",.2f"),
        alt.Tooltip("held:Q", title="held", format=",d"),
        alt.Tooltip("kernel:Q", title="kernel (approx.)", format=",d"),
        alt.Tooltip("lost:Q", title="lost", format=",d"),
        alt.Tooltip("rate:Q", title="new per second", format=",d"),
    ]
    rule = (
        alt.Chart(alt.NamedData(SAMPLES))
        .transform_filter("datum.near")
        .mark_rule(color=INK, aria=False)
        .encode(x="at_s:Q", tooltip=tips, opacity=alt.condition(nearest, alt.value(0.6), alt.value(0)))
        .add_params(nearest)
    )
    layers = [layers[0].add_params(_zoom()), *layers[1:], rule]
    return _chart(name, title, about, alt.layer(*layers), len(over_time.at_s))


def _zoom() -> Any:
    """Zoom of the time axis only. The wheel alone scrolls the page, as elsewhere."""
    return alt.selection_interval(
        name="zoom", bind="scales", encodings=["x"], zoom="wheel![event.shiftKey || event.ctrlKey]"
    )


def _seconds() -> alt.X:
    return alt.X("at_s:Q", title="seconds since the run began", scale=alt.Scale(nice=False))


def _time_axis(field: str, title: str, extent: tuple[float, float], *, across: bool = False) -> Any:
    """Microseconds on a logarithmic scale, labelled at powers of ten, and in between if those are few."""
    low, high = extent
    decades = [value for value in DECADES if low <= value <= high]
    ticks = (
        decades if len(decades) > 2 else [v * step for v in DECADES for step in (1, 2, 5) if low <= v * step <= high]
    )
    options: dict[str, Any] = {
        "title": title,
        "scale": alt.Scale(type="log", domain=[low, high], nice=False),
        "axis": alt.Axis(labelExpr=TIME, values=ticks or [low, high]),
    }
    return alt.X(field, **options) if across else alt.Y(field, **options)


def _extent(*columns: NDArray[np.float64]) -> tuple[float, float]:
    values = np.concatenate(columns)
    values = values[~np.isnan(values)]
    return (float(values.min()), float(max(values.max(), values.min() * 1.05))) if len(values) else (1.0, 10.0)


def _two(field: str, names: Sequence[str]) -> alt.Color:
    return alt.Color(field, title=None, scale=alt.Scale(domain=list(names), range=[LINE, OTHER]))


def _dashes(field: str, names: Sequence[str]) -> alt.StrokeDash:
    return alt.StrokeDash(field, title=None, scale=alt.Scale(domain=list(names), range=[[1, 0], [5, 3]]))


def _numbers(values: NDArray[Any], digits: int) -> list[float | None]:
    rounded = np.round(values.astype(np.float64), digits).tolist()
    return [None if math.isnan(value) else int(value) if digits == 0 else value for value in rounded]


def _rows(columns: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def _values(rows: Iterable[Mapping[str, Any]]) -> alt.InlineData:
    return alt.InlineData(values=list(rows))


def _step(rows: int) -> int:
    return max(60, rows * ROW)


def _chart(name: str, title: str, about: str, chart: Any, points: int, height: int = HEIGHT) -> Chart:
    specification = chart.properties(width="container", height=height).to_dict()
    specification.pop("config", None)
    return Chart(name, title, about, specification | {"description": f"{title}. {about}"}, points)
