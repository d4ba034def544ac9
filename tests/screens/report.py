"""The text of reports, of one run and of two, without charts, styles and scripts."""

from contextlib import closing
from dataclasses import replace
from html.parser import HTMLParser

from fourtuple import __version__
from fourtuple.core.runs.compare import Comparison
from fourtuple.core.runs.entry import RunState
from fourtuple.core.runs.stored import StoredRun
from fourtuple.faces.page import report
from fourtuple.store import reading
from fourtuple.store.coding import to_text
from fourtuple.store.file import open_store
from fourtuple.store.writing import Writer
from tests.faces.text.test_runs import kept
from tests.made import hold_record, serve_record
from tests.made_churn import churn_order, churn_record, churn_samples
from tests.made_fleet import kept_fleet
from tests.screens.compare import other_machine
from tests.screens.hold import FLEET_GONE, LOST, TALKED

UNREAD = {"script", "style", "svg", "tbody"}  # and rows of tables, which are numbers that other screens show
BLOCKS = {
    "p",
    "h1",
    "h2",
    "h3",
    "li",
    "th",
    "td",
    "pre",
    "summary",
    "figcaption",
    "caption",
    "div",
    "dt",
    "dd",
    "title",
    "tr",
}


class _Words(HTMLParser):
    def __init__(self, *, rows: bool) -> None:
        super().__init__(convert_charrefs=True)
        self._unread = UNREAD - ({"tbody"} if rows else set())
        self._deep = 0
        self.parts: list[str] = []

    def handle_starttag(self, tag: str, attributes: object) -> None:
        self._deep += tag in self._unread
        self._edge(tag)

    def handle_endtag(self, tag: str) -> None:
        self._deep -= tag in self._unread
        self._edge(tag)

    def handle_data(self, data: str) -> None:
        if not self._deep:
            self.parts.append(data)

    def _edge(self, tag: str) -> None:
        if not self._deep and tag in BLOCKS:
            self.parts.append("\n" if tag != "tr" else "")


def _words(html: str, *, rows: bool = False) -> str:
    parser = _Words(rows=rows)
    parser.feed(html)
    lines = (" ".join(line.split()) for line in "".join(parser.parts).splitlines())
    return "\n".join(filter(None, lines)).replace(f"fourtuple {__version__}.", "fourtuple VERSION.")


def _dated(run: StoredRun) -> StoredRun:
    """The run with fixed times."""
    started_at = "2026-11-20T12:00:00.000+00:00"
    ended_at = run.entry.ended_at and "2026-11-20T12:00:10.000+00:00"
    return replace(run, entry=replace(run.entry, started_at=started_at, ended_at=ended_at))


def _page(run: StoredRun) -> str:
    return _words(report.run_page(_dated(run)))


def _compared(found: Comparison) -> str:
    dated = replace(found, first=_dated(found.first), second=_dated(found.second))
    return _words(report.compare_page(dated))


def _kept_churn() -> StoredRun:
    """A churn with its own samples, as the store has it."""
    order, record = churn_order(), churn_record()
    with closing(open_store(None, new=True)) as base:
        writer = Writer(base, "fourtuple churn 1k/s 127.0.0.1:8000-8003 --for 4s", "me")
        writer.begin(order.start)
        for sample in churn_samples(order):
            writer.sample(sample)
        writer.end(RunState.REACHED, to_text(record), n=record.arrivals, held=record.completed)
        run = reading.read_run(base, 1, lambda _: False)
    return replace(run, entry=replace(run.entry, ended_at="2026-11-20T12:00:04.500+00:00"))


SCREENS = {
    "hold": lambda: _page(kept("hold", hold_record())),
    "hold-lost": lambda: _page(kept("hold", LOST)),
    "hold-answers": lambda: _page(kept("hold", TALKED)),
    "hold-fleet": lambda: _page(kept_fleet(FLEET_GONE, gone=3)),
    "hold-fleet-killed": lambda: _page(kept_fleet(None)),
    "hold-killed": lambda: _page(kept("hold", None)),
    "churn": lambda: _page(_kept_churn()),
    "serve": lambda: _page(kept("serve", serve_record(), wanted=None)),
    "prove": lambda: _page(kept("prove", object())),
    "compare": lambda: _compared(other_machine()),
}
