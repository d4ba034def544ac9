"""The live view, from samples alone: what each line says, within 80 columns, whatever the numbers."""

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.records import Sample, Seen, Witness
from fourtuple.faces.terminal.screen import SPARKS, Screen, sparkline
from fourtuple.faces.text.lines import COLUMNS
from tests.made import samples, start


def drawn(screen: Screen, sample: Sample) -> list[str]:
    console = Console(width=COLUMNS, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(screen.draw(sample))
    return [line.rstrip() for line in capture.get().splitlines()]


def line(lines: list[str], label: str) -> str:
    return next((each for each in lines if each.startswith(label)), "")


RUN = list(samples(every_s=0.25))


def test_while_opening_it_says_how_far_how_fast_and_how_long_still() -> None:
    """50 connections every quarter of a second: 200 a second, and the other 500 take 2.5 s."""
    screen = Screen()
    for sample in RUN[:9]:
        screen.draw(sample)
    lines = drawn(screen, RUN[9])

    assert lines[0].startswith("hold 1,000 → 127.0.0.1:8000-8003 from 127.0.0.1 ")
    assert lines[0].endswith("ring · late · 1 process")
    assert "500   200/s   2.5 s left" in lines[1]
    assert line(lines, "held") == "held     500   opening 0   failed 0   lost 0"
    assert line(lines, "connect").startswith("connect  p50 22.")
    assert "p99" in line(lines, "  now")
    assert line(lines, "ports") == "ports    125 of 500 in each pair   25 %   ▃▃▃▃"
    assert line(lines, "witness") == "witness  plan 1,000   engine 500   kernel about 500"


def test_while_holding_the_witnesses_are_compared() -> None:
    screen = Screen()
    for sample in RUN[:30]:
        screen.draw(sample)
    agree = drawn(screen, RUN[30])
    other = Screen()
    differ = drawn(other, replace(RUN[30], census=Witness(1000, 999, 999, "sock_diag")))

    assert "held for 3 s of 10 s   opened at" in agree[1]
    assert line(agree, "witness").endswith("kernel 1,000 + 1,000   agree")
    assert line(differ, "witness").endswith("kernel 1,000 + 999   differ")


def test_what_was_lost_after_the_count_does_not_make_the_witnesses_differ() -> None:
    """They are compared at the moment in which the kernel's table was counted."""
    screen = Screen()
    screen.draw(RUN[25])
    lines = drawn(screen, replace(RUN[26], open=990, lost=10, lost_by={"ECONNRESET": 10}))

    assert line(lines, "witness").endswith("agree")
    assert line(lines, "lost").startswith("lost     10 by ECONNRESET: the peer reset the connection")


def test_each_errno_has_its_meaning() -> None:
    lines = drawn(Screen(), replace(RUN[5], failed={"EADDRNOTAVAIL": 37_072, "EMFILE": 2}))

    assert "failed 37,074" in line(lines, "held")
    assert line(lines, "failed").startswith("failed   37,072 by EADDRNOTAVAIL: source ports")
    assert any("2 by EMFILE: open files" in each for each in lines)


def test_what_stands_still_has_no_time_left() -> None:
    screen = Screen()
    screen.draw(replace(RUN[0], open=0, opened=0))
    lines = drawn(screen, replace(RUN[1], open=0, opened=0))

    assert "stands still" in lines[1]


def test_memory_is_told_per_connection_while_they_are_open() -> None:
    many = replace(RUN[25], open=100_000, seen=Seen(100_000, 800_000_000, {}))
    lines, closing = drawn(Screen(), many), drawn(Screen(), replace(many, phase=Phase.CLOSING))

    assert line(lines, "memory") == "memory   763 MiB taken since, by anybody   7.81 KiB each   client 30 MiB"
    assert line(closing, "memory") == "memory   client 30 MiB"


def test_a_servers_screen_says_what_came_and_went() -> None:
    began = start("serve", wanted=None)
    sample = replace(
        RUN[25], start=began, wanted=0, lost=3, lost_by={"FIN": 3}, received_bytes=2048, capacity=1000,
        seen=Seen(None, None, {"ListenOverflows": 7}), census=None,
    )  # fmt: skip
    lines = drawn(Screen(), sample)

    assert lines[0].startswith("serve 127.0.0.1:8000-8003")
    assert line(lines, "open").startswith("open     1,000   accepted 1,000")
    assert line(lines, "full") == "full     1,000 is all that fits, others wait in the queue"
    assert line(lines, "gone") == "gone     3 by FIN: the client closed"
    assert line(lines, "closed") == "closed   by the clients 3   by us 0   (FIN 3)"
    assert line(lines, "data") == "data     received 2 KiB   sent 0 B"
    assert line(lines, "queues").startswith("queues   7 handshakes were dropped")


@pytest.mark.parametrize("factor", [1, 10**9])
def test_no_line_is_longer_than_the_screen(factor: int) -> None:
    """However large the numbers, however long the names."""
    began = start(wanted=factor)
    assert began.planned is not None
    planned = replace(began.planned, destinations=("[fd00:1234:5678::9]:20000-20019",) * 3, pairs=640, usable=factor)
    many = replace(
        RUN[25], start=replace(began, planned=planned), wanted=factor, open=factor, failed={"EADDRNOTAVAIL": factor},
        pairs=np.full(64, factor), seen=Seen(factor, factor, {}), lost=factor, reconnected=factor,
    )  # fmt: skip

    assert all(len(each) <= COLUMNS for each in drawn(Screen(), many))


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

    assert line(drawn(Screen(), sample), "ports") == f"ports    of 500 in each of 65 pairs   100 %   {'█' * 32}"
