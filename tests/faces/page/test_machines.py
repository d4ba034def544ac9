"""The machines of a fleet on its page: a line for each in two charts, and a table, those with trouble first."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fourtuple.core.runs.compare import compare
from fourtuple.core.runs.series import LEAST_OF_MACHINE, MOST_OF_MACHINES, machines_over_time
from fourtuple.faces.page import report
from tests.faces.page.test_report import EVIL, MOST_BYTES, Opened
from tests.faces.text.test_runs import kept
from tests.made import hold_record
from tests.made_fleet import GONE_S, WHY, fleet_record, gone_result, kept_fleet, machine_result

if TYPE_CHECKING:
    from playwright.sync_api import Browser

FOUR = fleet_record(machine_result(1), machine_result(2), gone_result(3), machine_result(4))


def test_each_machine_has_a_line_in_two_charts_and_a_row(browser: "Browser", tmp_path: Path) -> None:
    """One that is gone ends when that was found, and the table says why."""
    run = kept_fleet(FOUR, gone=3)
    opened = Opened(browser, report.run_page(run), tmp_path)
    opened.wait_drawn()
    stored = sorted(len(machine.series) for machine in run.machines)
    section = opened.page.locator("#machines")

    assert sorted(opened.vertices("machines-held")) == stored
    assert sorted(opened.vertices("machines-rate")) == [2 * count - 1 for count in stored]
    assert section.locator(".wide > table").nth(1).locator("tbody tr").count() == 1
    assert section.locator(".wide > table").nth(2).locator("tbody th").all_inner_texts() == ["m1", "m2", "m3", "m4"]
    assert f"gone after 3.5 s: {WHY}" in section.inner_text()
    assert section.locator("#machines-held details table").count() == 1
    assert opened.page.locator(".chart[tabindex='0']").count() == 6  # those over time, which keys zoom
    assert "f1e2d3, 4 machines: m1, m2, m3, m4" in opened.page.locator("#environment").inner_text()
    assert opened.complaints == []
    assert opened.requests == [opened.url]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_of_200_machines_those_with_trouble_are_red_and_the_page_stays_small(
    browser: "Browser",
    scheme: str,
    tmp_path: Path,
) -> None:
    results = [machine_result(k, name=f"tcp://10.0.0.{k}:40123") for k in range(1, 201)]
    results[150] = gone_result(151)
    html = report.run_page(kept_fleet(fleet_record(*results), 200, gone=151))
    opened = Opened(browser, html, tmp_path, viewport={"width": 390, "height": 800}, color_scheme=scheme)
    opened.wait_drawn()
    alarm = opened.page.evaluate("getComputedStyle(document.querySelector('.verdict.bad')).color")
    strokes = opened.page.locator("#machines-held .mark-line > path").evaluate_all(
        "all => all.map(e => getComputedStyle(e).stroke)"
    )

    assert len(html.encode()) < MOST_BYTES
    assert strokes.count(alarm) == 1
    assert (len(strokes), strokes[-1]) == (200, alarm)  # drawn last, on top of the others
    assert opened.page.locator("#machines .wide > table").nth(2).locator("tbody th").first.inner_text() == "m151"
    assert "all 200" in opened.page.locator("#machines > details summary").inner_text()
    assert opened.page.evaluate("document.documentElement.scrollWidth") == 390
    assert opened.complaints == []


def test_a_fleet_that_was_killed_has_the_last_samples_of_its_machines() -> None:
    page = report.run_page(kept_fleet(None, count=10))

    assert "the table has their last samples" in page
    assert page.count('<th scope="row">m4</th>') == 1 + 10  # of the table, and of the one behind the chart


def test_points_are_few_however_many_machines_there_are_and_the_last_one_is_among_them() -> None:
    run = kept_fleet(FOUR, gone=3)
    few = machines_over_time(run, most=24)
    times = [float(each.at_s[-1]) for each in few]

    assert [len(each.at_s) for each in few] == [LEAST_OF_MACHINE, LEAST_OF_MACHINE, 15, LEAST_OF_MACHINE]
    assert times == [10.0, 10.0, GONE_S + 0.25, 10.0]
    assert sum(len(each.at_s) for each in machines_over_time(run)) <= MOST_OF_MACHINES
    assert [round(float(each.rate_per_s[0])) for each in machines_over_time(run)] == [44, 44, 40, 40]


def test_a_run_without_a_fleet_has_no_such_section() -> None:
    assert 'id="machines' not in report.run_page(kept("hold", hold_record()))


def test_two_fleets_and_a_fleet_and_another_run_can_be_compared(browser: "Browser", tmp_path: Path) -> None:
    fleet, other = kept_fleet(fleet_record()), kept("hold", hold_record())
    opened = Opened(browser, report.compare_page(compare(fleet, other)), tmp_path)
    opened.wait_drawn()
    row = opened.page.locator("#numbers tbody tr").first.locator("th, td").all_inner_texts()

    assert row[:3] == ["machines", "4", "–"]
    assert opened.complaints == []


def test_what_a_machine_calls_itself_stays_text(browser: "Browser", tmp_path: Path) -> None:
    record = fleet_record(machine_result(1, name=EVIL, host=EVIL), gone_result(2, why=EVIL))
    opened = Opened(browser, report.run_page(kept_fleet(record, 2, gone=2)), tmp_path)
    opened.wait_drawn()

    assert opened.page.title() != "taken"
    assert opened.page.locator("img").count() == 0
