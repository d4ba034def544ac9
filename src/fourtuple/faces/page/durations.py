"""The charts of latencies: over time, as a histogram, by how full the ports were, and of two runs."""

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np

from fourtuple.core.runs.histogram import Latency
from fourtuple.core.runs.series import Bins, Heat, OverTime
from fourtuple.core.units import format_count, format_duration
from fourtuple.faces.page import drawing
from fourtuple.faces.page.drawing import INK, LINE, OTHER, SAMPLES, Chart, Key

# Equal steps of a scale from few to many, which stays in order in grey.
HEAT = ("#440154", "#3b528b", "#21918c", "#5ec962", "#fde725")


def latency_over_time(cells: Heat, what: str, name: str) -> Chart:
    """A heat map of latencies over time."""
    columns = {
        "from": drawing.numbers(cells.from_s, 3), "to": drawing.numbers(cells.to_s, 3),
        "least": drawing.numbers(cells.least_us, 2), "below": drawing.numbers(cells.below_us, 2),
        "count": cells.count.tolist(),
    }  # fmt: skip
    most = max(2, int(cells.count.max(initial=0)))
    steps = [most ** (number / (len(HEAT) - 1)) for number in range(len(HEAT))]  # equal steps of a logarithmic scale
    keys = [Key(format_count(round(step)), colour, width=10) for step, colour in zip(steps, HEAT, strict=True)]
    chart = (
        alt.Chart(drawing.values(drawing.rows(columns)))
        .mark_rect(aria=False)
        .encode(
            x=alt.X("from:Q", title=drawing.SECONDS, scale=alt.Scale(zero=False, nice=False)),
            x2="to:Q",
            y=drawing.time_axis("least:Q", what, drawing.extent(cells.least_us, cells.below_us)),
            y2="below:Q",
            color=alt.Color("count:Q", scale=alt.Scale(type="log", domain=steps, range=list(HEAT)), legend=None),
            tooltip=[
                alt.Tooltip("from:Q", title="from second", format=".2f"),
                alt.Tooltip("least:Q", title="from µs", format=",.0f"),
                alt.Tooltip("below:Q", title="below µs", format=",.0f"),
                alt.Tooltip("count:Q", title="count", format=",d"),
            ],
        )
    )
    about = f"Heat map: horizontally time, vertically {what} on a logarithmic scale, the count as colour."
    return drawing.chart(name, f"{what.capitalize()} over time", about, chart, len(cells.count), keys=keys)


def latency_histogram(bins: Bins, latency: Latency, what: str, name: str) -> Chart:
    """A histogram of latencies with their percentiles."""
    columns = {
        "least": drawing.numbers(bins.least_us, 2), "below": drawing.numbers(bins.below_us, 2),
        "count": bins.count.tolist(),
    }  # fmt: skip
    low, high = drawing.extent(bins.least_us, bins.below_us)
    above = 1.3 * float(bins.count.max()) if len(bins.count) else 1.0  # space for the labels above the bars
    bars = (
        alt.Chart(drawing.values(drawing.rows(columns)))
        .mark_rect(color=LINE, stroke="var(--paper)", strokeWidth=0.5, aria=False)
        .encode(
            x=drawing.time_axis("least:Q", what, (low, high), across=True),
            x2="below:Q",
            y=alt.Y("count:Q", title="count", axis=drawing.counts(), scale=alt.Scale(domainMax=above)),
            y2=alt.datum(0),
            tooltip=[
                alt.Tooltip("least:Q", title="from µs", format=",.1f"),
                alt.Tooltip("below:Q", title="below µs", format=",.1f"),
                alt.Tooltip("count:Q", title="count", format=",d"),
            ],
        )
    )
    marks = [
        {"us": us, "name": f"{label} {format_duration(us / 1e6)}", "y": 10 + 16 * row, "right": us * us > low * high}
        for row, (label, us) in enumerate((("p50", latency.p50), ("p90", latency.p90), ("p99", latency.p99)))
        if us is not None
    ]
    rules = alt.Chart(drawing.values(marks)).mark_rule(color=INK, strokeDash=[3, 3]).encode(x="us:Q")
    words = [  # in the right half to the left of the rule, where there is space
        alt.Chart(drawing.values([mark for mark in marks if mark["right"] is right]))
        .mark_text(align="right" if right else "left", dx=-4 if right else 4, fontSize=12, color=INK)
        .encode(x="us:Q", y=alt.Y("y:Q", scale=None), text="name:N")
        for right in (False, True)
    ]
    percentiles = ", ".join(str(mark["name"]) for mark in marks)
    chart = alt.layer(bars, rules, alt.layer(*words)).resolve_scale(y="independent")
    return drawing.chart(name, f"{what.capitalize()}, whole run", f"Histogram; {percentiles}.", chart, len(bins.count))


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
            y=drawing.time_axis("us:Q", "time to connect", drawing.extent(over_time.p50_us, over_time.p99_us)),
            color=drawing.two("which:N", ("p50", "p99")),
            shape=alt.Shape(
                "which:N", legend=None, scale=alt.Scale(domain=["p50", "p99"], range=["circle", "diamond"])
            ),
            tooltip=[
                alt.Tooltip("which:N", title=" "),
                alt.Tooltip("occupancy:Q", title="in use (%)", format=".1f"),
                alt.Tooltip("us:Q", title="µs", format=",.0f"),
            ],
        )
    )
    about = "Points: horizontally port occupancy, vertically time to connect on a logarithmic scale."
    known = int(np.count_nonzero(~np.isnan(over_time.p50_us)))
    return drawing.chart(
        "occupancy",
        "Time to connect, by port occupancy",
        about,
        points,
        2 * known,
        keys=[Key("p50", LINE, width=8), Key("p99", OTHER, width=8)],
    )


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
        alt.Chart(drawing.values(rows))
        .mark_line(strokeWidth=1.5, interpolate="step-after", aria=False)
        .encode(
            x=drawing.time_axis(
                "below:Q", "time to connect", drawing.extent(*(bins.below_us for _, bins in runs)), across=True
            ),
            y=alt.Y("percent:Q", title="cumulative % of connects"),
            color=drawing.two("run:N", names),
            strokeDash=drawing.dashes("run:N", names),
        )
    )
    return drawing.chart(
        "latencies",
        "Time to connect",
        "Two rising lines, one for each run.",
        lines,
        len(rows),
        keys=drawing.two_keys(names),
    )
