"""The report in a real browser: opened from a file, offline; every chart is there, and nothing is asked of anybody."""

import errno
import itertools
import json
import re
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from fourtuple.core.errnos import SYMPTOMS
from fourtuple.core.runs.compare import compare
from fourtuple.core.runs.destinations import DestinationResult
from fourtuple.core.runs.outcome import Outcome, Required
from fourtuple.core.runs.proof import Expected
from fourtuple.core.runs.series import durations, errors_over_time, heat, histogram
from fourtuple.core.runs.stored import StoredRun
from fourtuple.faces.page import report
from fourtuple.faces.page.parts import MET, UNMET, Table, microseconds
from fourtuple.faces.text.hold import hold_lines
from fourtuple.faces.text.prove import where
from fourtuple.store import reading
from fourtuple.store.coding import to_text
from fourtuple.store.file import open_store
from fourtuple.store.tables import exported
from fourtuple.store.writing import Writer
from tests.faces.text.test_runs import kept
from tests.made import ground, hold_record, result, samples, serve_record, start
from tests.made_churn import churn_record
from tests.told import numbers
from tests.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

MOST_BYTES = 1_600_000


class Opened:
    """A page in the browser, with what it asked for and what it complained of."""

    def __init__(self, browser: "Browser", html: str, folder: Path, **options: Any) -> None:
        file = folder / "report.html"
        file.write_text(html, encoding="utf-8")
        context = browser.new_context(offline=True, **{"viewport": {"width": 1100, "height": 800}} | options)
        context.set_default_timeout(PATIENCE_S * 1000)
        self.page: Page = context.new_page()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(file.as_uri())
        self.url = file.as_uri()

    def wait_drawn(self) -> None:
        figures = self.page.locator("figure").count()
        assert self.holds(f"Object.keys(globalThis.fourtuple.views).length === {figures}")

    def holds(self, expression: str) -> bool:
        """Whether it becomes true; page.wait_for_function compiles text in the page, which its policy forbids."""
        return wait_until(lambda: bool(self.page.evaluate(expression)))

    def marks(self, figure: str, kind: str) -> int:
        """How many shapes of that kind a chart has."""
        return self.page.locator(f"#{figure} .mark-{kind}.role-mark > path").count()

    def vertices(self, figure: str) -> list[int]:
        """How many points each line of a chart has."""
        paths = self.page.locator(f"#{figure} .mark-line > path").evaluate_all(
            "all => all.map(e => e.getAttribute('d'))"
        )
        return [len(re.findall("[ML]", path)) for path in paths]


def held(count: int, strategy: str = "plain") -> StoredRun:
    """So many samples: 100 s of opening, with a slow lane from half of the range on, then the holding."""
    with closing(open_store(None, new=True)) as base:
        writer = Writer(base, "fourtuple hold 1M 127.0.0.1:8000-8003 --for 1h", "me")
        began = start(wanted=100_000)
        assert began.planned is not None
        writer.begin(replace(began, planned=replace(began.planned, usable=27_000, strategy=strategy)))
        for sample in samples(count, every_s=1.0, opening=100, wanted=100_000, slow_from=0.5):
            writer.sample(sample)
        writer.end("reached", to_text(hold_record(failed={"EADDRNOTAVAIL": 7}, lost=3, lost_by={"FIN": 3})))  # type: ignore[arg-type]
        return reading.read_run(base, 1, lambda _: False)


@pytest.fixture(scope="module")
def html() -> str:
    return report.run_page(held(300))


def test_an_hour_of_samples_is_drawn_with_every_point_offline_and_without_a_complaint(
    browser: "Browser", tmp_path: Path
) -> None:
    """Lines have a vertex a sample, the heat map a cell for each that is not empty, bars a bar for each row.

    And the file can be sent: it is smaller than 1.6 MB.
    """
    run = held(3600)
    html = report.run_page(run)
    opened = Opened(browser, html, tmp_path)
    opened.wait_drawn()
    cells, (bins, _) = heat(run.growth["connect_us"], run.at_s), histogram(run.growth["connect_us"])
    told = opened.page.locator("figure").evaluate_all("all => all.map(e => [e.id, Number(e.dataset.points)])")
    record = hold_record()
    assert record.sharing is not None

    assert len(html.encode()) < MOST_BYTES
    assert opened.vertices("held") == [3600, 3600]  # the engine's and the kernel's; nobody was lost in the samples
    assert opened.vertices("rate") == [2 * 101 - 1]  # until all were open; steps: two for each but the first
    assert opened.marks("latency", "rect") == len(cells.count)
    assert opened.marks("histogram", "rect") == len(bins.count)
    assert opened.marks("occupancy", "symbol") >= 2 * 100
    assert opened.marks("carrying", "rect") == len(record.sharing.carrying)
    assert opened.marks("pairs", "rect") == 2 * len(record.sharing.pairs)
    assert opened.marks("memory", "rect") == 3
    assert dict(told)["held"] == 3600
    assert opened.requests == [opened.url]
    assert opened.complaints == []


def test_the_first_line_is_the_verdict_and_numbers_are_text(browser: "Browser", html: str, tmp_path: Path) -> None:
    """Also without JavaScript: every number is there as text, in tables with heads."""
    opened = Opened(browser, html, tmp_path, java_script_enabled=False)
    text = opened.page.locator("body").inner_text()

    assert numbers(opened.page.locator(".verdict").inner_text())[:3] == [1000, 5, 3]
    assert "fourtuple hold 1M 127.0.0.1:8000-8003 --for 1h" in text
    assert SLOW_LANE in text
    assert "EADDRNOTAVAIL" in text
    assert SYMPTOMS[errno.EADDRNOTAVAIL].do in text
    assert opened.page.locator("figure").count() == 10
    assert (
        opened.page.locator("figure details table").count() == 8
    )  # rate and memory have their numbers in the table above
    assert opened.page.locator("table:not(:has(th[scope=row]))").count() == 0


def test_a_slow_half_is_only_blamed_on_strategies_that_search_for_ports() -> None:
    assert SLOW_LANE not in report.run_page(held(110, strategy="late"))


def test_a_screen_reader_finds_headings_names_and_what_each_chart_shows(
    browser: "Browser", html: str, tmp_path: Path
) -> None:
    opened = Opened(browser, html, tmp_path)
    opened.wait_drawn()
    page = opened.page
    levels = page.locator("h1, h2, h3").evaluate_all("all => all.map(e => Number(e.tagName[1]))")
    names = page.locator("figure .chart svg").evaluate_all(
        "all => all.map(e => [e.getAttribute('role') || e.querySelector('[role]')?.getAttribute('role'),"
        " (e.querySelector('[aria-label]') || e).getAttribute('aria-label')])"
    )

    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert page.locator("html").get_attribute("lang") == "en"
    assert page.locator("main").count() == 1
    assert page.locator("figure:not(:has(figcaption))").count() == 0
    assert len(names) == 10
    assert all(role and label and len(label) > 20 for role, label in names)
    assert page.locator("figure [aria-label]").count() < 400  # no name for each of thousands of points


def test_a_keyboard_reaches_the_content_and_the_tables(browser: "Browser", html: str, tmp_path: Path) -> None:
    opened = Opened(browser, html, tmp_path)
    page = opened.page
    page.keyboard.press("Tab")
    first = page.evaluate("document.activeElement.textContent")
    page.locator("#held summary").focus()
    page.keyboard.press("Enter")

    assert first == page.locator("a[href='#content']").inner_text()
    assert page.locator("#held details table").is_visible()
    assert page.locator("#held tbody tr").count() == 60


def test_the_pointer_is_told_what_is_under_it(browser: "Browser", html: str, tmp_path: Path) -> None:
    opened = Opened(browser, html, tmp_path)
    opened.wait_drawn()
    opened.page.locator("#held .chart svg").hover(position={"x": 600, "y": 120})
    tip = opened.page.locator("#vg-tooltip-element.visible")
    tip.wait_for()

    assert "held" in tip.inner_text()
    assert "100,000" in tip.inner_text()


def test_shift_and_the_wheel_zoom_and_the_wheel_alone_scrolls(browser: "Browser", html: str, tmp_path: Path) -> None:
    opened = Opened(browser, html, tmp_path)
    opened.wait_drawn()
    page = opened.page
    domain = "(() => { const d = fourtuple.views.held.scale('x').domain(); return d[1] - d[0]; })()"
    page.locator("#held .chart svg").hover(position={"x": 600, "y": 120})
    whole = page.evaluate(domain)
    page.mouse.wheel(0, 300)
    page.wait_for_timeout(300)
    scrolled, at = page.evaluate(domain), page.evaluate("scrollY")
    page.locator("#held .chart svg").hover(position={"x": 600, "y": 120})
    page.keyboard.down("Shift")
    page.mouse.wheel(0, -300)
    page.keyboard.up("Shift")
    assert opened.holds(f"{domain} < {whole} * 0.9")
    page.locator("#held .chart svg").dblclick(position={"x": 600, "y": 120})
    assert opened.holds(f"Math.abs({domain} - {whole}) < 1")

    assert scrolled == whole
    assert at > 0


def test_keys_zoom_and_move_a_chart_that_has_the_focus(browser: "Browser", html: str, tmp_path: Path) -> None:
    opened = Opened(browser, html, tmp_path)
    opened.wait_drawn()
    page = opened.page
    domain = "fourtuple.views.held.scale('x').domain()"
    page.locator("#held .chart").focus()
    first, last = page.evaluate(domain)
    page.keyboard.press("+")
    zoomed = page.evaluate(domain)
    page.keyboard.press("ArrowRight")
    moved = page.evaluate(domain)
    page.keyboard.press("0")
    assert opened.holds(f"Math.abs({domain}[1] - {last}) < 1")

    assert zoomed == pytest.approx([first + (last - first) / 4, last - (last - first) / 4], rel=0.01)
    assert moved[0] == pytest.approx(first + (last - first) * 3 / 8, rel=0.01)
    assert page.locator(".chart[tabindex='0']").count() == 4
    page.keyboard.press("Control++")  # is the browser's
    assert page.evaluate(domain) == pytest.approx([first, last], abs=1)


def test_it_follows_the_reader_into_the_dark_and_onto_paper(browser: "Browser", html: str, tmp_path: Path) -> None:
    """Also a chart that was drawn before: its colours are those of the page."""
    opened = Opened(browser, html, tmp_path, color_scheme="dark")
    opened.wait_drawn()
    page = opened.page
    ink = "getComputedStyle(document.querySelector('#held .chart svg text')).fill"
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = (page.evaluate(ink), page.evaluate(paper))
    page.emulate_media(color_scheme="light")
    light = (page.evaluate(ink), page.evaluate(paper))
    page.emulate_media(color_scheme="dark", media="print")
    printed = (page.evaluate(ink), page.evaluate(paper))

    assert dark == ("rgb(228, 233, 239)", "rgb(18, 22, 28)")
    assert light == ("rgb(27, 31, 36)", "rgb(255, 255, 255)")
    assert printed == ("rgb(0, 0, 0)", "rgb(255, 255, 255)")


def test_a_phone_shows_all_of_it_without_scrolling_sideways(browser: "Browser", html: str, tmp_path: Path) -> None:
    opened = Opened(browser, html, tmp_path, viewport={"width": 390, "height": 800})
    opened.wait_drawn()
    widths = opened.page.locator("figure .chart svg").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect().right)"
    )

    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    assert len(widths) == 10
    assert all(0 < right <= 390 for right in widths)


def with_errors() -> StoredRun:
    """Of 20 samples, four a second, each has 5 more that failed and, from the tenth on, 2 more that were lost."""
    base = open_store(None, new=True)
    writer = Writer(base, "fourtuple hold 1000 127.0.0.1:8000-8003 --for 10s", "me")
    writer.begin(start())
    for number, sample in enumerate(samples(40), 1):
        many = min(number, 20)
        lost = max(0, 2 * (many - 9))
        writer.sample(replace(sample, failed={"EMFILE": 5 * many}, lost=lost, lost_by={"FIN": lost} if lost else {}))
    writer.end("reached", to_text(hold_record()))  # type: ignore[arg-type]
    return reading.read_run(base, 1, lambda _: False)


def test_errors_are_a_series_of_their_own(browser: "Browser", tmp_path: Path) -> None:
    run = with_errors()
    opened = Opened(browser, report.run_page(run), tmp_path)
    opened.wait_drawn()
    rates = errors_over_time(run)
    keys = opened.page.locator("#errors .keys li").all_inner_texts()

    assert [(each.what, each.name, each.count.tolist()) for each in rates] == [
        ("failed", "EMFILE", [20, 20, 20, 20, 20]),
        ("lost", "FIN", [6, 8, 8]),
    ]
    assert [each.from_s.tolist() for each in rates] == [[0, 1, 2, 3, 4], [2, 3, 4]]
    assert [each.split(": ")[1] for each in keys] == ["EMFILE", "FIN"]
    assert opened.marks("errors", "rect") == 5 + 3
    assert opened.page.locator("#errors details tbody tr").count() == 8
    assert opened.complaints == []


def test_what_clients_of_a_server_close_is_neither_lost_nor_an_error() -> None:
    run = with_errors()
    served = report.run_page(replace(run, entry=replace(run.entry, kind="serve"), record=serve_record()))

    assert "lost so far" in report.run_page(run)
    assert not re.search("lost so far|Errors over time|new errors", served)
    assert "Closed by clients over time" in served


def test_a_chart_or_a_column_that_says_nothing_is_left_out() -> None:
    """No rate where nothing was opened, no TIME_WAIT where nothing was in it, no ports where nearly all are free."""
    page = report.run_page(kept("churn", churn_record()))

    assert "Sockets in TIME_WAIT" not in page
    assert "by port occupancy" in report.run_page(held(100))
    assert Table(("a", "b", "c"), [("x", "", ""), ("y", "", "1")]).shown == [0, 2]


def test_each_line_and_each_phase_is_in_the_legend(browser: "Browser", html: str, tmp_path: Path) -> None:
    opened = Opened(browser, html, tmp_path)
    opened.wait_drawn()
    strokes = opened.page.locator("#held .keys line").evaluate_all("all => all.map(e => getComputedStyle(e).stroke)")

    assert len(set(strokes)) == len(strokes) == 5  # engine, kernel, wanted; opening and holding
    assert opened.marks("held", "rect") == 2


def test_tiles_say_different_things(browser: "Browser", html: str, tmp_path: Path) -> None:
    opened = Opened(browser, html, tmp_path)
    values = opened.page.locator(".tiles dd").all_inner_texts()
    firsts = [value.splitlines()[0] for value in values]

    assert firsts.count("1,000") == 1
    assert len(set(opened.page.locator(".tiles dt").all_inner_texts())) == len(firsts)


def test_every_latency_is_a_row_of_numbers(browser: "Browser", html: str, tmp_path: Path) -> None:
    opened = Opened(browser, html, tmp_path)
    cells = opened.page.locator("#latencies tbody tr").all_inner_texts()
    measured = durations(held(300).growth["connect_us"])
    assert measured is not None

    assert [each.split("\t")[1:3] for each in cells] == [["100,000", microseconds(measured.mean)]]
    assert 15 <= measured.min < measured.p50 < measured.mean < measured.max <= 1510


def test_requirements_have_a_mark_and_what_was_observed(browser: "Browser", tmp_path: Path) -> None:
    required = (Required("lost", "<=1%", 3, True), Required("p99", "<20us", 29.5, False))
    record = hold_record(outcome=Outcome(False, "fell short", ("p99",), required))
    opened = Opened(browser, report.run_page(kept("hold", record)), tmp_path)
    rows = [row.split("\t") for row in opened.page.locator("#requirements tbody tr").all_inner_texts()]

    assert rows == [[MET, "lost<=1%", "3"], [UNMET, "p99<20us", "29.5 µs"]]
    assert opened.page.locator("#requirements .good").count() == opened.page.locator("#requirements .bad").count() == 1


def test_each_destination_is_a_row(browser: "Browser", tmp_path: Path) -> None:
    one = DestinationResult("127.0.0.1:8000", "", 1, 990, {"ECONNREFUSED": 7}, {"FIN": 3})
    several = (one, DestinationResult("", "", 40, 10, {}, {}))
    opened = Opened(browser, report.run_page(kept("hold", hold_record(destinations=several))), tmp_path)
    rows = [row.split("\t") for row in opened.page.locator("#destinations tbody tr").all_inner_texts()]

    assert [[*row[:2], *row[3:5]] for row in rows] == [
        ["127.0.0.1:8000", "990", "7", "3"],
        [rows[1][0], "10", "0", "0"],
    ]
    assert ["ECONNREFUSED" in row[5] for row in rows] == [True, False]
    assert 'id="destinations"' not in report.run_page(kept("hold", hold_record(destinations=(one,))))


def test_the_data_of_the_page_can_be_saved(browser: "Browser", html: str, tmp_path: Path) -> None:
    run = held(300)
    data = {f"run.{how}": exported(run, how) for how in ("csv", "json")}
    opened = Opened(browser, report.run_page(run, data), tmp_path)
    saved = {}
    for button in opened.page.locator("#data button").all():
        with opened.page.expect_download() as download:
            button.click()
        saved[download.value.suggested_filename] = Path(download.value.path()).read_bytes()

    assert saved == data
    assert not Opened(browser, html, tmp_path).page.locator("#data").is_visible()
    assert all(url == opened.url or url.startswith("blob:") for url in opened.requests)


def test_the_policy_of_a_page_lets_nothing_in_and_nothing_out(browser: "Browser", html: str, tmp_path: Path) -> None:
    opened = Opened(browser, html, tmp_path)
    opened.wait_drawn()
    made = "const e = document.createElement('script'); e.text = 'document.title = `taken`'; document.body.append(e)"
    opened.page.evaluate(f"() => {{ {made} }}")
    asked = opened.page.evaluate("fetch('https://192.0.2.1/').then(() => 'answered', () => 'refused')")

    assert opened.page.title() != "taken"
    assert asked == "refused"
    assert len(opened.complaints) == 3  # the script, the request, and that it failed
    assert opened.requests == [opened.url]


def test_paper_has_the_charts_and_no_table_behind_them(browser: "Browser", html: str, tmp_path: Path) -> None:
    """A figure and its table of 60 rows on one page leave the rest of the page before it empty."""
    opened = Opened(browser, html, tmp_path)
    opened.wait_drawn()
    printed = opened.page.pdf(format="A4")
    opened.page.emulate_media(media="print")

    assert len(re.findall(rb"/Type\s*/Page\b", printed)) <= 8
    assert not opened.page.locator("#held details").is_visible()
    assert opened.page.locator("#held .chart svg").is_visible()


SLOW_LANE = "--strategy late avoids this"  # the advice of the page
EVIL = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"


def test_what_others_wrote_stays_text(browser: "Browser", tmp_path: Path) -> None:
    """Whatever a command, a host or an address says: it is shown, and it does nothing."""
    run = kept("hold", hold_record(), host=EVIL, cpu=EVIL)
    record = hold_record(failed={EVIL: 3})
    assert record.sharing is not None
    pair = replace(record.sharing.pairs[0], destination=EVIL)
    record = replace(record, sharing=replace(record.sharing, pairs=(pair,)))
    run = replace(run, entry=replace(run.entry, command=EVIL), record=record)
    opened = Opened(browser, report.run_page(run), tmp_path)
    opened.wait_drawn()

    assert opened.page.title() != "taken"
    assert numbers(opened.page.title())[-1] == 1000
    assert opened.page.locator("#environment pre code").inner_text() == EVIL
    assert opened.page.locator("img").count() == 0
    assert opened.requests == [opened.url]


@pytest.mark.parametrize(
    ("made", "words", "figures"),
    [
        (lambda: kept("hold", None), "^killed", 7),
        (lambda: kept("hold", hold_record(sharing=None, memory=None, held=0, agree=False)), r"\b1,000\b", 7),
        (lambda: kept("serve", serve_record(), wanted=None), r"\b1,000\b.*\b990\b", 7),
        (lambda: kept("prove", object()), r"\b1\b.*\b1\b.*\b0\b", 1),
        (lambda: replace(kept("prove", None), progress=()), "^killed", 0),
    ],
    ids=["killed", "nothing held", "serve", "prove", "prove, killed"],
)
def test_every_kind_of_run_has_its_page(
    browser: "Browser", made: Any, words: str, figures: int, tmp_path: Path
) -> None:
    opened = Opened(browser, report.run_page(made()), tmp_path)
    if figures:
        opened.wait_drawn()

    assert re.search(words, opened.page.locator(".verdict").inner_text())
    assert opened.page.locator("figure").count() == figures
    assert opened.complaints == []
    assert opened.requests == [opened.url]


def test_a_proof_has_a_card_for_each_lesson_with_the_four_tuples_that_show_it(
    browser: "Browser", tmp_path: Path
) -> None:
    opened = Opened(browser, report.run_page(kept("prove", object())), tmp_path)
    cards = opened.page.locator("article")
    opened.wait_drawn()

    assert where(ground()) in opened.page.locator("#lessons").inner_text()
    assert cards.count() == 2
    assert opened.vertices("same-port-progress") == [11]  # of 3 s: four a second, and the last
    assert "127.0.0.1:3000 → 127.0.0.1:8001" in cards.nth(0).inner_text()
    assert result("one-wall", "fails").why in cards.nth(1).inner_text()


def test_the_numbers_of_a_lesson_are_named_and_drawn(browser: "Browser", tmp_path: Path) -> None:
    """As they are stored: a prediction with bounds shows the observed ratio, and numbers by name are bars."""
    measured = replace(
        result("slow-lane"),
        predicted={"slower": asdict(Expected(least=5, unit="×"))},
        observed={"slower": 69.5},
        evidence={"median in µs": {"49 % in use": 20, "51 % in use": 1390}, "failed": [], "not known": {}, "rate": 9},
    )
    kept_run = replace(kept("prove", object()), results=(measured,), progress=())
    opened = Opened(browser, report.run_page(kept_run), tmp_path)
    opened.wait_drawn()
    text = opened.page.locator("article").inner_text()

    assert "69.5 ×" in text
    assert "{" not in text
    assert opened.page.locator("article figure .chart text", has_text="1,390").count() == 1
    assert opened.complaints == []


# The words of the names in a card that are broken somewhere inside.
BROKEN_WORDS = """
() => [...document.querySelectorAll("article th[scope=row]")].flatMap(name => {
  const text = name.firstChild
  return [...text.data.matchAll(/[^\\s-]+/g)].filter(word => {
    const range = document.createRange()
    range.setStart(text, word.index)
    range.setEnd(text, word.index + word[0].length)
    return new Set([...range.getClientRects()].map(part => part.top)).size > 1
  }).map(word => word[0])
})
"""
WIDE_TABLES = "() => [...document.querySelectorAll('article .wide')].filter(e => e.scrollWidth > e.clientWidth).length"


def test_a_phone_shows_the_names_and_numbers_of_a_lesson_in_whole_words(browser: "Browser", tmp_path: Path) -> None:
    said = {"bind() without SO_REUSEADDR": "EADDRINUSE", "connect() with the same 4-tuple": "EADDRNOTAVAIL"}
    evidence = {"4-tuple number 131,070": "10.0.0.5:32768 → 10.0.0.9:80", "all of IPv4, as a number": 2**96}
    lesson = replace(result(), predicted=said, observed=said, evidence=evidence)
    kept_run = replace(kept("prove", object()), results=(lesson,), progress=())
    opened = Opened(browser, report.run_page(kept_run), tmp_path, viewport={"width": 390, "height": 800})

    assert opened.page.locator("article th[scope=row]").count() == 4
    assert opened.page.evaluate(BROKEN_WORDS) == []
    assert opened.page.evaluate(WIDE_TABLES) == 0


def test_the_page_says_all_that_the_command_says() -> None:
    """Why a run fell short though all were held: answers that were not as expected, say."""
    record = hold_record(unexpected=610, requests=700)
    page = report.run_page(kept("hold", record))

    assert "<td>610</td>" in page.replace(' class="number"', "")
    assert [line.strip() in page for line in hold_lines(record) if "610" in line] == [True]


def test_a_run_without_samples_has_its_page_too() -> None:
    """It was killed before the first, or opened nothing."""
    with closing(open_store(None, new=True)) as base:
        Writer(base, "fourtuple hold 1000 127.0.0.1:8000", "me").begin(start())

        assert "killed" in report.run_page(reading.read_run(base, 1, lambda _: False))


def test_better_and_worse_are_words_and_each_setting_is_a_row(browser: "Browser", tmp_path: Path) -> None:
    sysctls = {"net.core.somaxconn": "128", "net.ipv4.ip_local_port_range": "1024 65535"}
    one, two = kept("hold", hold_record()), kept("hold", hold_record(lost=3, rss_bytes=1), sysctls=sysctls)
    opened = Opened(browser, report.compare_page(compare(one, two)), tmp_path)
    told = dict(
        opened.page.locator("#numbers tbody tr").evaluate_all(
            "all => all.map(e => [e.cells[0].innerText, e.cells[4].innerText])"
        )
    )

    assert (told["lost"], told["client RSS"], told["held"]) == ("✗ worse", "✓ better", "")
    assert opened.page.locator("#differs tbody th").all_inner_texts() == list(sysctls)


def test_two_runs_have_a_page_with_both_over_time(browser: "Browser", tmp_path: Path) -> None:
    one, two = kept("hold", hold_record()), kept("hold", hold_record(), machine="other")
    two = replace(two, entry=replace(two.entry, id=2))
    opened = Opened(browser, report.compare_page(compare(one, two)), tmp_path)
    opened.wait_drawn()

    assert opened.page.locator(".verdict.soft").count() == 1  # two runs are neither a success nor a failure
    assert opened.vertices("held") == [30, 30]
    assert opened.page.locator("figure").count() == 3
    assert opened.page.locator("figure details table").count() == 3
    assert opened.complaints == []


ELSEWHERE = """
import os, sys
import platformdirs  # which chooses its own way by sys.platform, and that is Linux here
for name in ("fcntl", "resource", "mmap", "termios", "tty", "ctypes", "signal"):
    sys.modules.pop(name, None)
class Elsewhere:
    def find_spec(self, name, path=None, target=None):
        ours = name.startswith(("fourtuple.engine", "fourtuple.kernel."))
        if name in ("fcntl", "resource", "termios", "tty") or (ours and name not in ALLOWED):
            raise ModuleNotFoundError(f"not on this system: {name}")
ALLOWED = [f"fourtuple.kernel.{name}" for name in ("proc", "proc.alive", "proc.files", "proc.sysctl")]
sys.meta_path.insert(0, Elsewhere())
for name in ("geteuid", "getuid", "sched_getaffinity", "fork"):
    delattr(os, name)
sys.argv[0] = "fourtuple"
from fourtuple.cli import cli
cli()
"""


def test_a_stored_run_is_rendered_without_linux_and_without_the_engine(tmp_path: Path) -> None:
    """Where there is neither /proc/self nor what opens connections; a finished run is a finished run everywhere."""
    file = tmp_path / "runs.db"
    base = open_store(file, new=True)
    writer = Writer(base, "fourtuple hold 1000 127.0.0.1:8000", "another-boot pid:[1] 17 23")
    writer.begin(start())
    for sample in samples(every_s=0.1):
        writer.sample(sample)
    writer.end("reached", to_text(hold_record()))  # type: ignore[arg-type]
    base.close()
    page = tmp_path / "page.html"
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, "report", "1", "--store", str(file), "-o", str(page)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
    )  # fmt: skip
    listed = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, "runs", "--store", str(file), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert hold_record().outcome.says in page.read_text()
    assert json.loads(listed.stdout)[0]["outcome"] == "reached"


def test_points_are_numbers_that_json_can_say() -> None:
    """NaN is none: where nothing was measured, there is no point."""
    run = kept("hold", hold_record())
    run.series["connections"][:] = np.nan

    assert (
        "NaN"
        not in report.run_page(run)
        .partition('<script type="application/json" id="samples">')[2]
        .partition("</script>")[0]
    )
