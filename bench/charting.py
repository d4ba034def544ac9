"""The same charts of the same run by three libraries: `python -m bench.charting altair|bokeh|matplotlib FILE`.

Altair's is the report itself. A line of JSON says how long it took, from before the library was imported until the
file was written, and how large it is. The run is made, not measured: 3,600 samples, an hour.
"""

import gzip
import json
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path
from typing import Any

import numpy as np

from fourtuple.core.runs.entry import RunState
from fourtuple.core.runs.series import Bins, Heat, OverTime, heat, histogram, over_time
from fourtuple.core.runs.stored import StoredRun
from fourtuple.store import reading
from fourtuple.store.coding import to_text
from fourtuple.store.file import open_store
from fourtuple.store.writing import Writer
from tests.made import hold_record, samples, start

SAMPLES, OPENING, WANTED = 3600, 100, 100_000


def made_run(file: Path | None = None) -> StoredRun:
    """file: where it is stored; None: in memory only"""
    with closing(open_store(file, new=True)) as base:
        writer = Writer(base, "fourtuple hold 100k 127.0.0.1:8000-8003 --for 1h", "")
        began = start(wanted=WANTED)
        assert began.planned is not None  # noqa: S101  (for the type checker)
        writer.begin(replace(began, planned=replace(began.planned, usable=WANTED // 4 + 1000)))
        for sample in samples(SAMPLES, every_s=1.0, opening=OPENING, wanted=WANTED, slow_from=0.5):
            writer.sample(sample)
        writer.end(RunState.REACHED, to_text(hold_record()))
        return reading.read_run(base, 1, lambda _: False)


def by_altair(run: StoredRun) -> str:
    from fourtuple.faces.page.report import run_page

    return run_page(run)


def by_bokeh(run: StoredRun) -> str:
    from bokeh.embed import file_html
    from bokeh.layouts import column
    from bokeh.models import HoverTool
    from bokeh.plotting import figure
    from bokeh.resources import INLINE

    series, cells, bins = _data(run)
    tools = "xpan,xwheel_zoom,reset,hover"
    plain: dict[str, Any] = {"width": 1000, "height": 260, "tools": tools, "sizing_mode": "stretch_width"}
    held = figure(title="Connections over time", **plain)
    held.line(series.at_s, series.held)
    held.line(series.at_s, series.kernel, line_dash="dashed")
    rate = figure(title="Opened a second", **plain)
    rate.line(series.at_s, series.rate_per_s)
    latency = figure(title="Time to connect over time", y_axis_type="log", **plain)
    shade = np.log1p(cells.count) / np.log1p(cells.count.max())
    latency.quad(cells.from_s, cells.to_s, cells.below_us, cells.least_us, fill_alpha=shade, line_width=0)
    together = figure(title="Time to connect, all together", x_axis_type="log", **plain)
    together.quad(bins.least_us, bins.below_us, bins.count, 0)
    full = figure(title="Time to connect, by how full the ports were", y_axis_type="log", **plain)
    full.scatter(series.occupancy, series.p50_us)
    full.scatter(series.occupancy, series.p99_us, color="orange")
    names, used, usable = _pairs(run)
    pairs = figure(title="Ports used, by pair", y_range=names, **plain)
    pairs.hbar(y=names, right=usable, height=0.9, color="lightgray")
    pairs.hbar(y=names, right=used, height=0.5)
    for each in (held, rate, latency, together, full, pairs):
        each.select_one(HoverTool).mode = "mouse"
    page: str = file_html(
        column(held, rate, latency, together, full, pairs, sizing_mode="stretch_width"), INLINE, "run"
    )
    return page


def by_matplotlib(run: StoredRun) -> str:
    import io

    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    from matplotlib import pyplot
    from matplotlib.patches import Rectangle

    series, cells, bins = _data(run)
    picture, places = pyplot.subplots(6, 1, figsize=(11, 20), layout="constrained")
    held, rate, latency, together, full, pairs = places
    held.plot(series.at_s, series.held)
    held.plot(series.at_s, series.kernel, "--")
    rate.plot(series.at_s, series.rate_per_s)
    shade = np.log1p(cells.count) / np.log1p(cells.count.max())
    for begin, end, least, below, alpha in zip(
        cells.from_s, cells.to_s, cells.least_us, cells.below_us, shade, strict=True
    ):
        latency.add_patch(Rectangle((begin, least), end - begin, below - least, alpha=alpha))
    latency.set(yscale="log", xlim=(0, OPENING), ylim=(cells.least_us.min(), cells.below_us.max()))
    together.bar(bins.least_us, bins.count, bins.below_us - bins.least_us, align="edge")
    together.set(xscale="log")
    full.plot(series.occupancy, series.p50_us, "o", series.occupancy, series.p99_us, "d")
    full.set(yscale="log")
    names, used, usable = _pairs(run)
    pairs.barh(names, usable, color="lightgray")
    pairs.barh(names, used, height=0.5)
    text = io.StringIO()
    picture.savefig(text, format="svg")
    return f"<!doctype html><meta charset=utf-8><title>run</title>{text.getvalue()}"


def _data(run: StoredRun) -> tuple[OverTime, Heat, Bins]:
    return over_time(run), heat(run.growth["connect_us"], run.at_s), histogram(run.growth["connect_us"])[0]


def _pairs(run: StoredRun) -> tuple[list[str], list[int], list[int]]:
    sharing = hold_record().sharing
    assert sharing is not None  # noqa: S101  (for the type checker)
    return [pair.destination for pair in sharing.pairs], [p.used for p in sharing.pairs], [500] * len(sharing.pairs)


MAKERS: Mapping[str, Callable[[StoredRun], str]] = {
    "altair": by_altair,
    "bokeh": by_bokeh,
    "matplotlib": by_matplotlib,
}
PACKAGES = {"altair": ("altair", "vl-convert-python"), "bokeh": ("bokeh",), "matplotlib": ("matplotlib",)}


def installed_bytes(names: tuple[str, ...]) -> int:
    """Of these packages and all that they need, NumPy aside, which is here anyhow."""
    seen: set[str] = {"numpy"}
    waiting = [*names]
    total = 0
    while waiting:
        name = waiting.pop().lower()
        if name in seen:
            continue
        seen.add(name)
        try:
            total += sum(file.size or 0 for file in distribution(name).files or ())
        except PackageNotFoundError:  # needed on another system only
            continue
        waiting += [re.split(r"[^\w.-]", need)[0] for need in requires(name) or () if "extra ==" not in need]
    return total


def main(library: str, file: str) -> None:
    run = made_run()
    start_s = time.monotonic()
    page = MAKERS[library](run).encode()
    Path(file).write_bytes(page)
    said = {
        "seconds": time.monotonic() - start_s,
        "bytes": len(page),
        "gzip_bytes": len(gzip.compress(page)),
        "installed_bytes": installed_bytes(PACKAGES[library]),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main(*sys.argv[1:])
