"""The charts of a report over time: of one run, of the machines of a fleet, of two runs."""

from collections.abc import Sequence, Set
from typing import Any

import altair as alt
import numpy as np

from fourtuple.core.runs.series import MachineOverTime, OverTime, evenly
from fourtuple.core.units import format_count
from fourtuple.faces.page import drawing
from fourtuple.faces.page.drawing import ALARM, INK, LINE, OTHER, SAMPLES, Chart

HOVERED = 600  # samples with a tooltip: each needs two shapes in the browser
LONG_S = 60.0  # in longer runs a hundredth of a second is not visible
COLOURED = 8  # machines of a fleet that have a colour each
TROUBLED, PLANNED = "with trouble", "as planned"


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
    return {name: drawing.numbers(values, digits) for name, (values, digits) in columns.items()} | {"near": near}


def held(over_time: OverTime, wanted: int | None, planned: str) -> Chart:
    """Connections over time.

    wanted: None: the run is a server
    """
    layers = [drawing.line("held", LINE)]
    if wanted is not None:  # a server's clients may be in the same namespace, and counted with it
        layers.append(drawing.line("kernel", OTHER, dash=[4, 3]))
    if over_time.lost.any():
        layers.append(drawing.line("lost", ALARM, dash=[1, 3]))
    if over_time.target.any():
        layers.append(drawing.line("target", INK, dash=[2, 4]))
    elif wanted is not None:
        rule = alt.Chart(drawing.values([{"wanted": wanted}])).mark_rule(color=INK, strokeDash=[2, 4])
        layers.append(rule.encode(y="wanted:Q"))
    most = format_count(int(over_time.held.max())) if len(over_time.held) else "0"
    return _over_time(
        "held", "Connections over time", f"Line chart over time; maximum {most}{planned}.", layers, over_time
    )


def rate(over_time: OverTime, what: str) -> Chart:
    """New connections per second over time."""
    layers = [drawing.line("rate", LINE, title="per second", steps=True)]
    known = over_time.rate_per_s[~np.isnan(over_time.rate_per_s)]
    most = f"{known.max():,.0f}" if len(known) else "0"
    about = f"Line chart over time; maximum {most} per second."
    return _over_time("rate", f"{what} per second", about, layers, over_time)


def time_wait(over_time: OverTime) -> Chart:
    """Sockets in TIME_WAIT over time."""
    most = f"{np.nanmax(over_time.time_wait):,.0f}"
    about = f"Line chart over time; maximum {most}."
    return _over_time(
        "time-wait", "Sockets in TIME_WAIT", about, [drawing.line("time_wait", LINE, title="sockets")], over_time
    )


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
        for at, value in zip(drawing.numbers(each.at_s, 2), drawing.numbers(getattr(each, field), 0), strict=True)
        if value is not None
    ]
    names = [
        {"machine": each.number, "name": each.name, "state": TROUBLED if each.number in troubled else PLANNED}
        for each in machines
    ]
    known = alt.LookupData(data=drawing.values(names), key="machine", fields=["name", "state"])
    if len(machines) <= COLOURED:
        colour: Any = alt.Color("name:N", title=None, sort=[each.name for each in machines])
        opacity: Any = alt.value(1)
    else:
        states = [TROUBLED, PLANNED]
        colour = alt.Color("state:N", title=None, scale=alt.Scale(domain=states, range=[ALARM, LINE]))
        opacity = alt.condition(f"datum.state === '{TROUBLED}'", alt.value(1), alt.value(0.4))
    lines: Any = (
        alt.Chart(drawing.values(rows))
        .transform_lookup(lookup="machine", from_=known)
        .mark_line(
            strokeWidth=1.5,
            interpolate="step-before" if field == "rate_per_s" else "linear",
            aria=False,
        )
        .encode(
            x=drawing.seconds(),
            y=alt.Y("value:Q", title=axis, axis=alt.Axis(format="~s")),
            color=colour,
            opacity=opacity,
            detail="machine:N",
            tooltip=[alt.Tooltip("name:N", title="machine")],
        )
        .add_params(drawing.zoom())
    )
    return drawing.chart(name, title, f"{len(machines)} lines over time, one for each machine.", lines, len(rows))


def both(runs: Sequence[tuple[str, OverTime]], *, field: str, title: str, axis: str) -> Chart:
    """One quantity of two runs over time, in one chart."""
    rows = [
        {"run": name, "at_s": at, "value": value}
        for name, run in runs
        for at, value in zip(drawing.numbers(run.at_s, 2), drawing.numbers(getattr(run, field), 1), strict=True)
        if value is not None
    ]
    names = [name for name, _ in runs]
    lines: Any = (
        alt.Chart(drawing.values(rows))
        .mark_line(strokeWidth=1.5, aria=False)
        .encode(
            x=drawing.seconds(),
            y=alt.Y("value:Q", title=axis, axis=alt.Axis(format="~s")),
            color=drawing.two("run:N", names),
            strokeDash=drawing.dashes("run:N", names),
        )
        .add_params(drawing.zoom())
    )
    return drawing.chart(field, title, "Two lines over time, one for each run.", lines, len(rows))


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
    layers = [layers[0].add_params(drawing.zoom()), *layers[1:], rule]
    return drawing.chart(name, title, about, alt.layer(*layers), len(over_time.at_s))
