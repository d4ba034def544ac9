"""What all charts of a report share, as Vega-Lite specifications made by Altair; the page draws them in the browser.

Colours are CSS variables of the page, so that charts follow its dark and print styles. `about` describes each chart in
words for screen readers, and the page has a table behind each chart.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass

HEIGHT, ROW = 260, 22  # pixels: of a chart, and of a horizontal bar
INK, FAINT, LINE, OTHER, ALARM = "var(--ink)", "var(--faint)", "var(--line)", "var(--other)", "var(--alarm)"
SHADES = ("var(--opening)", "var(--holding)", "var(--closing)")
KINDS = tuple(f"var(--kind-{number})" for number in range(1, 7))  # colours that are told apart, also in grey
SECONDS = "seconds since the run began"
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
# Labels of an axis of counts; each has its own unit, so that 0 is not 0k.
COUNT = "datum.value != 0 && abs(datum.value) < 1 ? format(datum.value, '~r') : format(datum.value, '~s')"
DECADES = [10.0**power for power in range(9)]  # 1 µs to 100 s


@dataclass(frozen=True, slots=True)
class Key:
    """An entry of a chart's legend, drawn as the line or the area that it explains.

    width: in pixels, of a line of that width
    """

    words: str
    color: str
    dash: Sequence[int] = ()
    width: float = 1.5
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart.

    name:   ID of its element on the page
    about:  one sentence for screen readers
    points: how many data points it has
    keys:   its legend
    """

    name: str
    title: str
    about: str
    specification: dict[str, Any]
    points: int
    keys: Sequence[Key] = ()


def line(field: str, key: Key, axis: alt.Y, *, steps: bool = False) -> Any:
    """A line over the shared samples, from each that has a value to the next one.

    steps: each value applies to the time since the previous one
    """
    return (
        alt.Chart(alt.NamedData(SAMPLES))
        .transform_filter(f"isValid(datum.{field})")
        .mark_line(
            color=key.color,
            strokeDash=list(key.dash) or [1, 0],
            strokeWidth=key.width,
            opacity=key.opacity,
            interpolate="step-before" if steps else "linear",
            clip=True,
            aria=False,
        )
        .encode(x=seconds(), y=axis)
    )


def counted(field: str, title: str) -> alt.Y:
    """A vertical axis of counts."""
    return alt.Y(f"{field}:Q", title=title, axis=counts(), scale=alt.Scale(domainMin=0))


def counts(**options: Any) -> alt.Axis:
    return alt.Axis(labelExpr=COUNT, **options)


def zoom() -> Any:
    """Zoom of the time axis only. The wheel alone scrolls the page, as elsewhere."""
    return alt.selection_interval(
        name="zoom", bind="scales", encodings=["x"], zoom="wheel![event.shiftKey || event.ctrlKey]"
    )


def seconds() -> alt.X:
    return alt.X("at_s:Q", title=SECONDS, scale=alt.Scale(nice=False, domainMin=0))


def time_axis(field: str, title: str, extent: tuple[float, float], *, across: bool = False) -> Any:
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


def extent(*columns: NDArray[np.float64]) -> tuple[float, float]:
    values = np.concatenate(columns)
    values = values[~np.isnan(values)]
    return (float(values.min()), float(max(values.max(), values.min() * 1.05))) if len(values) else (1.0, 10.0)


DASH = (5, 3)  # of the second of two lines


def two(field: str, names: Sequence[str]) -> alt.Color:
    """Colours of two things, whose legend is `two_keys` or the like."""
    return alt.Color(field, legend=None, scale=alt.Scale(domain=list(names), range=[LINE, OTHER]))


def dashes(field: str, names: Sequence[str]) -> alt.StrokeDash:
    return alt.StrokeDash(field, legend=None, scale=alt.Scale(domain=list(names), range=[[1, 0], list(DASH)]))


def two_keys(names: Sequence[str]) -> list[Key]:
    """The legend of two lines."""
    first, second = names
    return [Key(first, LINE), Key(second, OTHER, DASH)]


def numbers(values: NDArray[Any], digits: int) -> list[float | None]:
    rounded = np.round(values.astype(np.float64), digits).tolist()
    return [None if math.isnan(value) else int(value) if digits == 0 else value for value in rounded]


def rows(columns: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def values(rows: Iterable[Mapping[str, Any]]) -> alt.InlineData:
    return alt.InlineData(values=list(rows))


def step(rows: int) -> int:
    return max(60, rows * ROW)


def chart(
    name: str, title: str, about: str, made: Any, points: int, *, height: int = HEIGHT, keys: Sequence[Key] = ()
) -> Chart:
    specification = made.properties(width="container", height=height).to_dict()
    specification.pop("config", None)
    return Chart(name, title, about, specification | {"description": f"{title}. {about}"}, points, keys)
