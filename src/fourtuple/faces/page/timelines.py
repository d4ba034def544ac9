"""The charts of a report over time: of one run, of the machines of a fleet, of two runs."""

from collections.abc import Iterator, Sequence, Set
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs.series import ErrorRate, MachineOverTime, OverTime, PhaseSpan, evenly
from fourtuple.core.units import format_count, format_size
from fourtuple.faces.page import drawing
from fourtuple.faces.page.drawing import ALARM, INK, KINDS, LINE, OTHER, SAMPLES, SHADES, Chart, Key

HOVERED = 600  # samples with a tooltip: each needs two shapes in the browser
MUCH = 0.6  # of a run, in which nothing was opened any more
LONG_S = 60.0  # in longer runs a hundredth of a second is not visible
TROUBLED, PLANNED = "with trouble", "as planned"


MIB = 2**20

ENGINE, KERNEL = Key("held, by the engine", LINE), Key("the kernel's count", OTHER, width=6, opacity=0.45)
LOST, TARGET = Key("lost so far", ALARM, (1, 3)), Key("target of the stages", INK, (2, 4))
WANTED = Key("wanted", INK, (2, 4))
USER, SYSTEM = Key("user space", LINE), Key("kernel", OTHER)
RESIDENT, TAKEN = Key("resident memory of fourtuple", LINE), Key("less free memory on the host", OTHER, (5, 3))


def samples_data(over_time: OverTime) -> dict[str, list[float | None]]:
    """The columns shared by the charts over time, rounded to visible precision."""
    digits = 2 if len(over_time.at_s) and over_time.at_s[-1] > LONG_S else 4
    columns = {
        "at_s": (over_time.at_s, digits), "held": (over_time.held, 0), "kernel": (over_time.kernel, 0),
        "lost": (over_time.lost, 0), "rate": (_while_it_moves(over_time), 0), "occupancy": (over_time.occupancy, 2),
        "target": (over_time.target, 0), "time_wait": (over_time.time_wait, 0),
        "p50": (over_time.p50_us, 1), "p99": (over_time.p99_us, 1),
        "user": (over_time.user, 3), "system": (over_time.system, 3),
        "rss": (over_time.rss_bytes / MIB, 2), "taken": (np.maximum(0, over_time.taken_bytes) / MIB, 1),
    }  # fmt: skip
    count = len(over_time.at_s)
    near: list[float | None] = [0] * count
    for number in evenly(count, HOVERED).tolist():
        near[number] = 1
    return {name: drawing.numbers(values, digits) for name, (values, digits) in columns.items()} | {"near": near}


def held(
    over_time: OverTime, spans: Sequence[PhaseSpan], wanted: int | None, planned: str, *, of_server: bool
) -> Chart:
    """Connections over time, on the shades of the phases.

    wanted:    None: no number was
    of_server: connections that were lost are then those that clients closed, which is as it should be
    """
    keys = [ENGINE]
    y = drawing.counted
    layers = [drawing.line("held", ENGINE, y("held", "connections"))]
    if wanted is not None and not np.isnan(over_time.kernel).all():
        # below the engine's line, and wider; a server's clients may be in the same namespace, and counted with it
        layers.insert(0, drawing.line("kernel", KERNEL, y("kernel", "connections")))
        keys.append(KERNEL)
    if over_time.lost.any() and not of_server:
        layers.append(drawing.line("lost", LOST, y("lost", "connections")))
        keys.append(LOST)
    if over_time.target.any():
        layers.append(drawing.line("target", TARGET, y("target", "connections")))
        keys.append(TARGET)
    elif wanted is not None:
        rule = alt.Chart(drawing.values([{"wanted": wanted}])).mark_rule(color=INK, strokeDash=[2, 4])
        layers.append(rule.encode(y="wanted:Q"))
        keys.append(WANTED)
    most = format_count(int(over_time.held.max())) if len(over_time.held) else "0"
    about = f"Line chart over time; maximum {most}{planned}."
    return _over_time("held", "Connections over time", about, layers, over_time, keys=keys, spans=spans)


def rate(over_time: OverTime, what: str) -> Chart:
    """New connections per second over time, as long as there were any."""
    layers = [drawing.line("rate", ENGINE, drawing.counted("rate", "per second"), steps=True)]
    known = over_time.rate_per_s[~np.isnan(over_time.rate_per_s)]
    most = f"{known.max():,.0f}" if len(known) else "0"
    about = f"Line chart over time; maximum {most} per second."
    return _over_time("rate", f"{what} per second", about, layers, over_time)


def _shown(over_time: OverTime, field: str) -> NDArray[Any]:
    column: NDArray[Any] = getattr(over_time, field)
    return _while_it_moves(over_time) if field == "rate_per_s" else column


def _while_it_moves(over_time: OverTime) -> NDArray[np.float64]:
    """The rate until the last connection was opened; NaN after it, if that is much of the run."""
    moves = np.flatnonzero(over_time.rate_per_s > 0)
    last = int(moves[-1]) + 1 if len(moves) else 0
    if not last or over_time.at_s[min(last, len(over_time.at_s) - 1)] > MUCH * over_time.at_s[-1]:
        return over_time.rate_per_s
    return np.where(np.arange(len(over_time.at_s)) <= last, over_time.rate_per_s, np.nan)


def time_wait(over_time: OverTime) -> Chart:
    """Sockets in TIME_WAIT over time."""
    most = f"{np.nanmax(over_time.time_wait):,.0f}"
    about = f"Line chart over time; maximum {most}."
    layers = [drawing.line("time_wait", ENGINE, drawing.counted("time_wait", "sockets"))]
    return _over_time("time-wait", "Sockets in TIME_WAIT", about, layers, over_time)


def processors(over_time: OverTime) -> Chart:
    """Processors in use by the program over time."""
    layers = [
        drawing.line(field, key, drawing.counted(field, "processors"), steps=True)
        for field, key in (("user", USER), ("system", SYSTEM))
    ]
    most = np.nanmax(over_time.user + over_time.system)
    about = f"Line chart over time; maximum {most:.2f} processors."
    return _over_time("processors", "Processors in use", about, layers, over_time, keys=[USER, SYSTEM])


def memory_over_time(over_time: OverTime) -> Chart:
    """Memory over time: of the program, and what the host has less."""
    lines = [("rss", RESIDENT)]
    if (over_time.taken_bytes > 0).any():
        lines.append(("taken", TAKEN))
    layers = [
        drawing.line(field, key, alt.Y(f"{field}:Q", title="MiB", axis=drawing.counts(), stack=None))
        for field, key in lines
    ]
    most = format_size(float(over_time.rss_bytes.max()))
    about = f"Line chart over time; at most {most} resident."
    return _over_time("memory-time", "Memory", about, layers, over_time, keys=[key for _, key in lines])


def errors(rates: Sequence[ErrorRate], spans: Sequence[PhaseSpan], *, of_server: bool) -> Chart:
    """New errors over time by kind, one on top of the other; of a server what clients closed."""
    names = [error_name(each) for each in rates[: len(KINDS)]]
    title, axis = ("Closed by clients over time", "newly closed") if of_server else ("Errors over time", "new errors")
    below = dict[float, int]()  # how high the bars of each interval are so far
    rows = []
    for name, each in zip(names, rates, strict=False):
        for from_s, count in zip(each.from_s.round(3).tolist(), each.count.tolist(), strict=True):
            base = below.get(from_s, 0)
            below[from_s] = base + count
            rows.append({"at_s": from_s, "to": round(from_s + each.width_s, 3), "count": count, "kind": name})
            rows[-1] |= {"base": base, "top": base + count}
    keys = [Key(name, colour, width=10) for name, colour in zip(names, KINDS, strict=False)]
    ends_s = spans[-1].to_s if spans else max((row["to"] for row in rows), default=1.0)
    bars: Any = (
        alt.Chart(drawing.values(rows))
        .mark_rect(clip=True, aria=False)
        .encode(
            x=alt.X("at_s:Q", title=drawing.SECONDS, scale=alt.Scale(nice=False, domain=[0, round(ends_s, 3)])),
            x2="to:Q",
            y=alt.Y("base:Q", title=axis, axis=drawing.counts(tickMinStep=1)),
            y2="top:Q",
            color=alt.Color("kind:N", scale=alt.Scale(domain=names, range=list(KINDS[: len(names)])), legend=None),
            tooltip=[
                alt.Tooltip("at_s:Q", title="from second", format=",.2f"),
                alt.Tooltip("kind:N", title=" "),
                alt.Tooltip("count:Q", title="count", format=",d"),
            ],
        )
    )
    sums = ", ".join(f"{name} {format_count(int(each.count.sum()))}" for name, each in zip(names, rates, strict=False))
    return drawing.chart("errors", title, f"Bars over time: {sums}.", bars, len(rows), keys=keys)


def error_name(rate: ErrorRate) -> str:
    """`failed: EADDRNOTAVAIL`"""
    return f"{rate.what}: {rate.name}"


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
    if len(machines) <= len(KINDS):
        keys = [Key(each.name, colour) for each, colour in zip(machines, KINDS, strict=False)]
        opacity: Any = alt.value(1)
    else:
        keys = [Key(TROUBLED, ALARM), Key(PLANNED, LINE)]
        opacity = alt.condition(f"datum.state === '{TROUBLED}'", alt.value(1), alt.value(0.4))
    scale = alt.Scale(domain=[key.words for key in keys], range=[key.color for key in keys])
    colour = alt.Color("name:N" if len(machines) <= len(KINDS) else "state:N", legend=None, scale=scale)
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
            y=alt.Y("value:Q", title=axis, axis=drawing.counts()),
            color=colour,
            opacity=opacity,
            detail="machine:N",
            tooltip=[alt.Tooltip("name:N", title="machine")],
        )
        .add_params(drawing.zoom())
    )
    return drawing.chart(
        name, title, f"{len(machines)} lines over time, one for each machine.", lines, len(rows), keys=keys
    )


def both(runs: Sequence[tuple[str, OverTime]], *, field: str, title: str, axis: str) -> Chart:
    """One quantity of two runs over time, in one chart."""
    rows = [
        {"run": name, "at_s": at, "value": value}
        for name, run in runs
        for at, value in zip(drawing.numbers(run.at_s, 2), drawing.numbers(_shown(run, field), 1), strict=True)
        if value is not None
    ]
    names = [name for name, _ in runs]
    lines: Any = (
        alt.Chart(drawing.values(rows))
        .mark_line(strokeWidth=1.5, aria=False)
        .encode(
            x=drawing.seconds(),
            y=alt.Y("value:Q", title=axis, axis=drawing.counts()),
            color=drawing.two("run:N", names),
            strokeDash=drawing.dashes("run:N", names),
        )
        .add_params(drawing.zoom())
    )
    return drawing.chart(
        field, title, "Two lines over time, one for each run.", lines, len(rows), keys=drawing.two_keys(names)
    )


def _over_time(
    name: str,
    title: str,
    about: str,
    layers: Sequence[Any],
    over_time: OverTime,
    *,
    keys: Sequence[Key] = (),
    spans: Sequence[PhaseSpan] = (),
) -> Chart:
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
        .transform_filter(f"datum.near && isValid(datum.{name if name == 'rate' else 'at_s'})")
        .mark_rule(color=INK, aria=False)
        .encode(x="at_s:Q", tooltip=tips, opacity=alt.condition(nearest, alt.value(0.6), alt.value(0)))
        .add_params(nearest)
    )
    layers = [*_shades(spans), layers[0].add_params(drawing.zoom()), *layers[1:], rule]
    phases = [Key(f"{span.phase.name.lower()} {_within(span)}", SHADES[span.phase], width=10) for span in spans]
    legend = [*keys, *phases] if len(keys) + len(phases) > 1 else ()
    return drawing.chart(name, title, about, alt.layer(*layers), len(over_time.at_s), keys=legend)


def _shades(spans: Sequence[PhaseSpan]) -> Iterator[Any]:
    if spans:
        rows = [{"at_s": span.from_s, "to": span.to_s, "shade": SHADES[span.phase]} for span in spans]
        rects = alt.Chart(drawing.values(rows)).mark_rect(clip=True, aria=False)
        yield rects.encode(x=drawing.seconds(), x2="to:Q", color=alt.Color("shade:N", scale=None))


def _within(span: PhaseSpan) -> str:
    return f"{span.from_s:.3g} to {span.to_s:.3g} s"
