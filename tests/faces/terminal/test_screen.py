"""The live view, from samples alone: what each line says, within 80 columns, whatever the numbers."""

import errno
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from fourtuple.core.errnos import symptom_of
from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.records import Sample, Seen, Witness
from fourtuple.faces.terminal.screen import SPARKS, Screen, sparkline
from fourtuple.faces.text.lines import COLUMNS, MOST
from tests.made import samples, start
from tests.made_churn import churn_samples
from tests.told import numbers


def drawn(screen: Screen, sample: Sample, columns: int = COLUMNS) -> list[str]:
    """Its lines; a terminal of any width has room for them."""
    console = Console(width=400, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(screen.draw(sample, columns=columns))
    return [line.rstrip() for line in capture.get().splitlines()]


def line(lines: list[str], label: str) -> str:
    return next((each for each in lines if each.startswith(label)), "")


RUN = list(samples(every_s=0.25))


def test_while_opening_it_says_how_far_how_fast_and_how_long_still() -> None:
    """50 connections every quarter of a second: 200 per second, and the other 500 take 2.5 s."""
    screen = Screen()
    for sample in RUN[:9]:
        screen.draw(sample)
    lines = drawn(screen, RUN[9])

    assert lines[0] == "hold 1,000 → 127.0.0.1:8000-8003 from 127.0.0.1"
    assert lines[1] == "ring · late · 1 process · running 2 s"
    assert ["500   200/s" in lines[2], "2.5 s" in lines[2]] == [True, True]
    assert numbers(line(lines, "held")) == [500, 0, 0, 0]
    assert line(lines, "connect").startswith("connect  p50 22.")
    assert "p99" in line(lines, "  now")
    assert numbers(line(lines, "ports")) == [125, 500, 25]
    assert line(lines, "ports").endswith("▃▃▃▃")
    assert numbers(line(lines, "witness")) == [1000, 500, 500]


def test_while_holding_the_witnesses_are_compared() -> None:
    screen = Screen()
    for sample in RUN[:30]:
        screen.draw(sample)
    agree = drawn(screen, RUN[30])
    other = Screen()
    differ = drawn(other, replace(RUN[30], census=Witness(1000, 999, 999, "sock_diag")))

    assert numbers(agree[2])[:2] == [3, 10]
    assert line(agree, "witness").endswith("1,000 + 1,000   agree")
    assert line(differ, "witness").endswith("1,000 + 999   differ")
    assert (numbers(line(differ, "  differ")), "server" in line(differ, "  differ")) == ([1], True)


def test_what_was_lost_after_the_count_does_not_make_the_witnesses_differ() -> None:
    """They are compared at the moment in which the kernel's table was counted."""
    screen = Screen()
    screen.draw(RUN[25])
    lines = drawn(screen, replace(RUN[26], open=990, lost=10, lost_by={"ECONNRESET": 10}))

    assert line(lines, "witness").endswith("agree")
    assert numbers(line(lines, "lost")) == [10]
    assert "ECONNRESET" in line(lines, "lost")


def test_each_errno_has_its_meaning() -> None:
    lines = drawn(Screen(), replace(RUN[5], failed={"EADDRNOTAVAIL": 37_072, "EMFILE": 2}))

    assert 37_074 in numbers(line(lines, "held"))
    for count, number in ((37_072, errno.EADDRNOTAVAIL), (2, errno.EMFILE)):
        (told,) = [each for each in lines if errno.errorcode[number] in each]
        assert numbers(told)[0] == count
        assert symptom_of(number).limit.split(":")[0] in told


def test_what_stands_still_has_no_time_left() -> None:
    screen = Screen()
    screen.draw(replace(RUN[0], open=0, opened=0))
    lines = drawn(screen, replace(RUN[1], open=0, opened=0))

    assert numbers(lines[2]) == [0]  # and 0/s: no time is named


def test_memory_is_told_per_connection_while_they_are_open() -> None:
    many = replace(RUN[25], open=100_000, seen=Seen(100_000, 800_000_000, {}))
    lines, closing = drawn(Screen(), many), drawn(Screen(), replace(many, phase=Phase.CLOSING))

    assert re.findall(r"[\d.]+ [KM]iB", line(lines, "memory")) == ["763 MiB", "7.81 KiB", "30 MiB"]
    assert re.findall(r"[\d.]+ [KM]iB", line(closing, "memory")) == ["30 MiB"]


def test_a_servers_screen_says_what_came_and_went() -> None:
    began = start("serve", wanted=None)
    sample = replace(
        RUN[25], start=began, wanted=0, lost=3, lost_by={"FIN": 3}, received_bytes=2048, capacity=1000,
        seen=Seen(None, None, {"ListenOverflows": 7}), census=None,
    )  # fmt: skip
    lines = drawn(Screen(), sample)

    assert lines[0].startswith("serve 127.0.0.1:8000-8003")
    assert numbers(line(lines, "open"))[:2] == [1000, 1000]
    assert numbers(line(lines, "full")) == [1000]
    assert (numbers(line(lines, "gone")), "FIN" in line(lines, "gone")) == ([3], True)
    assert numbers(line(lines, "closed")) == [3, 0, 3]
    assert re.findall(r"\d+ (?:KiB|B)\b", line(lines, "data")) == ["2 KiB", "0 B"]
    assert numbers(line(lines, "queues")) == [7]


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("factor", [1, 10**9])
def test_no_line_is_longer_than_the_screen(factor: int, columns: int) -> None:
    """However large the numbers, however long the names; of a wide terminal 120 columns are used."""
    began = start(wanted=factor)
    assert began.planned is not None
    planned = replace(began.planned, destinations=("[fd00:1234:5678::9]:20000-20019",) * 3, pairs=640, usable=factor)
    many = replace(
        RUN[25], start=replace(began, planned=planned), wanted=factor, open=factor, failed={"EADDRNOTAVAIL": factor},
        pairs=np.full(64, factor), seen=Seen(factor, factor, {}), lost=factor, reconnected=factor,
    )  # fmt: skip

    lines = drawn(Screen(), many, columns)

    assert all(len(each) <= min(columns, MOST) for each in lines)
    assert factor == 1 or max(map(len, lines)) > min(columns, MOST) * 0.8


def test_a_narrow_screen_has_all_that_a_wide_one_has() -> None:
    sample = replace(RUN[25], failed={"EADDRNOTAVAIL": 37_072}, reconnected=4, requests=4000, answers=3990)
    narrow, wide = (" ".join(drawn(Screen(), sample, columns)) for columns in (40, 120))

    assert sorted(numbers(narrow)) == sorted(numbers(wide))


def test_a_sparkline_reaches_from_the_least_to_the_most() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == SPARKS
    assert sparkline([5, None, 5]) == "▁ ▁"
    assert sparkline([None, None]) == ""
    assert sparkline([0, 50, 100], least=0, most=100) == "▁▅█"
    assert sparkline([200], least=0, most=100) == "█"


def test_bins_of_one_or_two_pairs_are_each_measured_by_their_own_room() -> None:
    """65 pairs, all full, are 64 bins at 100 %, though one of them has twice as many."""
    began = start()
    assert began.planned is not None
    full = np.full(64, 500)
    full[0] = 1000
    sample = replace(RUN[25], start=replace(began, planned=replace(began.planned, pairs=65)), pairs=full)

    lines = drawn(Screen(), sample)

    assert numbers(line(lines, "ports")) == [500, 65, 100]
    assert any(each.endswith(f" {'█' * 62}") for each in lines)  # as many as there is space for


def test_the_next_rate_of_a_search_begins_anew() -> None:
    """Its counters begin at 0 again: no rate is below 0, and that of the first sample counts from its own start."""
    screen, (first, *_, last) = Screen(), list(churn_samples())
    assert first.start is not None
    for sample in (first, last):
        screen.draw(sample)
    later_ns = last.at_ns + 10**9
    lines = drawn(screen, replace(first, at_ns=later_ns + 250_000_000, start=replace(first.start, at_ns=later_ns)))

    assert line(lines, "opened").startswith("opened   1,000/s ")
