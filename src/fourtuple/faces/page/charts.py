"""The charts of a report that are not over time but for a lesson's progress: how ports are shared, memory by part."""

from collections.abc import Sequence
from typing import Any

import altair as alt

from fourtuple.core.runs.memory import MemoryUse
from fourtuple.core.runs.spread import PairUse, Sharing
from fourtuple.core.runs.stored import LessonProgress
from fourtuple.core.units import format_count
from fourtuple.faces.page import drawing
from fourtuple.faces.page.drawing import FAINT, LINE, OTHER, Chart, Key


def progress(lesson: str, moments: Sequence[LessonProgress]) -> Chart:
    """The progress of a lesson, in seconds since its first step."""
    rows = [{"at_s": round(each.at_s - moments[0].at_s, 2), "done": each.done} for each in moments]
    lines: Any = (
        alt.Chart(drawing.values(rows))
        .mark_line(color=LINE, strokeWidth=1.5, point={"color": LINE, "size": 14}, aria=False)
        .encode(
            x=alt.X("at_s:Q", title="seconds"),
            y=alt.Y("done:Q", title="connections", axis=drawing.counts()),
            tooltip=[
                alt.Tooltip("at_s:Q", title="second", format=".2f"),
                alt.Tooltip("done:Q", title="connections", format=",d"),
            ],
        )
    )
    about = f"Line chart over time, up to {format_count(moments[-1].done)} of {format_count(moments[-1].wanted)}."
    return drawing.chart(f"{lesson}-progress", "Connections over time", about, lines, len(rows), height=160)


def named(name: str, title: str, numbers: Sequence[tuple[str, float, str]]) -> Chart:
    """Bars. numbers: the name, length and text of each"""
    rows = [{"name": each, "number": number, "words": words} for each, number, words in numbers]
    base = alt.Chart(drawing.values(rows)).encode(
        y=alt.Y("name:N", title=None, sort=[each for each, _, _ in numbers]),
        x=alt.X("number:Q", axis=None, scale=alt.Scale(domainMin=0)),
    )
    bars = base.mark_bar(color=LINE, cornerRadiusEnd=2)
    words = base.mark_text(align="left", dx=4, fontSize=12, color=drawing.INK).encode(text="words:N")
    in_words = "; ".join(f"{row['name']} {row['words']}" for row in rows)
    made = alt.layer(bars, words)
    return drawing.chart(name, title, f"Bars: {in_words}.", made, len(rows), height=drawing.step(len(rows)))


def carrying(sharing: Sharing) -> Chart:
    """How many local ports carry how many connections."""
    rows = [{"connections": connections, "ports": ports} for connections, ports in sharing.carrying.items()]
    bars = (
        alt.Chart(drawing.values(rows))
        .mark_bar(color=LINE, cornerRadiusEnd=2)
        .encode(
            y=alt.Y("connections:O", title="connections on one port"),
            x=alt.X("ports:Q", title="number of local ports", axis=drawing.counts()),
            tooltip=[
                alt.Tooltip("connections:O", title="connections on one port"),
                alt.Tooltip("ports:Q", title="local ports", format=",d"),
            ],
        )
    )
    bars_in_words = "; ".join(
        f"{format_count(ports)} carry {connections}" for connections, ports in sharing.carrying.items()
    )
    return drawing.chart(
        "carrying",
        "Connections on one local port",
        f"Bars: {bars_in_words}.",
        bars,
        len(rows),
        height=drawing.step(len(rows)),
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
    base = alt.Chart(drawing.values(rows))
    usable = base.mark_bar(color=FAINT).encode(y=y, x=alt.X("usable:Q"), tooltip=tips)
    title = "ports used, of those usable"
    used = base.mark_bar(color=LINE, height={"band": 0.55}).encode(
        y=y, x=alt.X("used:Q", title=title, axis=drawing.counts()), tooltip=tips
    )
    least, most = min(pair.used for pair in sharing.pairs), max(pair.used for pair in sharing.pairs)
    about = f"Bars: {format_count(least)} to {format_count(most)} used in each of {len(rows)} rows."
    return drawing.chart(
        "pairs", "Ports used, by pair", about, alt.layer(usable, used), len(rows), height=drawing.step(len(rows))
    )


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
        alt.Chart(drawing.values(rows))
        .mark_bar(cornerRadiusEnd=2)
        .encode(
            y=alt.Y("part:N", title=None, sort=names),
            yOffset=alt.YOffset("which:N", sort=["model", "measured"]),
            x=alt.X("bytes:Q", title="bytes per connection"),
            color=drawing.two("which:N", ("measured", "model")),
            tooltip=[
                alt.Tooltip("part:N", title="part"),
                alt.Tooltip("which:N", title=" "),
                alt.Tooltip("bytes:Q", title="bytes per connection", format=",.1f"),
            ],
        )
    )
    about = "Bars: bytes per connection of each part, modelled and measured."
    return drawing.chart(
        "memory-parts",
        "Memory of one connection, by part",
        about,
        bars,
        len(rows),
        height=len(names) * 34,
        keys=[Key("measured", LINE, width=10), Key("model", OTHER, width=10)],
    )


def pair_name(pair: PairUse) -> str:
    """`SOURCE → DESTINATION`, with the number of neighbouring pairs that are counted with it."""
    more = f" and {format_count(pair.pairs - 1)} more" if pair.pairs > 1 else ""
    return f"{pair.source or '…'} → {pair.destination}{more}"
