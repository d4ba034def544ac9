"""The machines of a fleet in the live view: a line for each, as many as fit, those with trouble first."""

from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from fourtuple.core.runs.records import MachineMoment, Sample, Standing
from fourtuple.faces.terminal.screen import Screen
from fourtuple.faces.text.churn import churn_progress
from fourtuple.faces.text.hold import hold_progress
from fourtuple.faces.text.serve import serve_progress
from tests import made
from tests.made_churn import churn_order
from tests.made_fleet import WHY, fleet_samples, fleet_start

RUN = list(fleet_samples(4, share=10_000, gone=3))
AT_S = 20  # the number of a sample after m3 is gone, while all others open


def drawn(run: list[Sample], rows: int = 24, columns: int = 80) -> list[str]:
    """The lines of the last sample, drawn after the others."""
    screen = Screen()
    for sample in run[:-1]:
        screen.draw(sample)
    console = Console(width=columns, height=rows, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(screen.draw(run[-1], rows, columns))
    return [line.rstrip() for line in capture.get().splitlines()]


def of_machines(lines: list[str]) -> list[str]:
    """The head and the lines below it."""
    return lines[next(number for number, line in enumerate(lines) if line.startswith("machines ")) :]


def changed(sample: Sample, number: int, **changes: Any) -> Sample:
    """A sample in which a machine is otherwise; `of_sample` is of its own sample."""
    of_sample = changes.pop("of_sample", {})
    machines = [
        replace(each, sample=replace(each.sample, **of_sample), **changes) if each.number == number else each
        for each in sample.machines
    ]
    return replace(sample, machines=tuple(machines))


def test_each_machine_has_its_share_and_its_rate_of_now() -> None:
    """m1 opens 10,000 in 21 samples, 476 in each, four times per second; its average is the same, the last one not."""
    before, now = RUN[8], changed(RUN[9], 1, of_sample={"opened": RUN[8].machines[0].sample.opened + 500})
    head, first, *others = of_machines(drawn([*RUN[:8], before, now]))

    assert head == "machines 4   running 4"
    assert first.split()[:1] + first.split()[2:] == ["m1", "4,761", "of", "10,000", "2,000/s"]
    assert first.split()[1].count("█") == 4
    assert len(others) == 3


def test_a_machine_that_is_gone_or_silent_says_so_with_what_was_lost() -> None:
    silent = changed(RUN[AT_S], 2, standing=Standing.SILENT, silent_s=12.3)
    head, _, second, third, fourth = of_machines(drawn([*RUN[:AT_S], silent], columns=120))

    assert head == "machines 4   running 2   silent 1   gone 1"
    assert second.endswith("silent for 12 s")
    assert "/s" not in second
    assert third.endswith(f"0 of 10,000  failed 3,914  lost 6,086  gone: {WHY}")
    assert "/s" in fourth


def test_a_machine_that_sends_nothing_new_keeps_its_rate_and_others_theirs() -> None:
    late = replace(RUN[9], machines=(RUN[8].machines[0], *RUN[9].machines[1:]))
    again, usual = of_machines(drawn([*RUN[:9], late])), of_machines(drawn(RUN[:9]))

    assert again[1] == usual[1]
    assert "1,904/s" in again[1]


@pytest.mark.parametrize("rows", [1, 10, 12, 13, 14, 24, 40])
@pytest.mark.parametrize("columns", [80, 120])
def test_the_screen_is_never_higher_or_wider_than_the_terminal(rows: int, columns: int) -> None:
    """Where a terminal has too few lines for the usual screen, no machine is listed."""
    long = changed(list(fleet_samples(40))[5], 3, why=WHY * 9, standing=Standing.GONE, name="m" * 99)
    long = changed(long, 4, of_sample={"open": 10**9, "wanted": 10**9, "failed": {"EMFILE": 10**9}, "lost": 10**9})
    lines = drawn([long], rows, columns)
    below = of_machines(lines)

    assert len(below) <= max(1, rows - (len(lines) - len(below)))
    assert "m" * 24 not in "".join(below)
    assert all(len(line) < columns for line in lines)


def test_those_with_trouble_come_first_and_the_others_are_counted() -> None:
    sample = list(fleet_samples(40))[5]
    sample = changed(sample, 17, of_sample={"failed": {"EADDRNOTAVAIL": 9}})
    sample = changed(sample, 33, standing=Standing.SILENT, silent_s=3)
    lines = of_machines(drawn([sample], rows=16))
    few = of_machines(drawn([sample], rows=len(drawn([sample], rows=16)) - len(lines) + 3))

    assert [line.split()[0] for line in lines[1:4]] == ["m17", "m33", "m1"]
    assert lines[-1] == f"… {40 - (len(lines) - 2)} more, all as planned"
    assert few[-1] == "… 39 more, 1 of them with trouble"


def test_a_churn_and_a_serve_have_their_own_numbers() -> None:
    """Connections that a server's clients close are no trouble."""
    one: MachineMoment = replace(RUN[5].machines[0], sample=replace(RUN[5].machines[0].sample, closed=77, lost=5))
    serve = replace(RUN[5], machines=(one,), start=made.start("serve", wanted=None))
    churn = replace(serve, start=churn_order().start)
    second_serve, second_churn = (of_machines(drawn([each]))[1] for each in (serve, churn))

    assert second_serve.split()[:5] == ["m1", "open", "2,857", "accepted", "2,857"]
    assert second_churn.split()[:5] == ["m1", "open", "2,857", "completed", "77"]
    assert of_machines(drawn([replace(serve, machines=(one,) * 30)]))[-1].endswith("all as planned")


def test_without_a_fleet_the_screen_is_as_it_was() -> None:
    alone = replace(RUN[9], machines=(), start=replace(fleet_start(), fleet=""))

    assert not [line for line in drawn([alone]) if "machine" in line]


@pytest.mark.parametrize("progress", [hold_progress, churn_progress, serve_progress])
def test_the_line_for_a_pipe_stays_one_and_says_how_many_are_away(progress: Any) -> None:
    assert "1 of 4 machines silent or gone" in progress(RUN[AT_S])
    assert "machines" not in progress(RUN[5])
    assert "\n" not in progress(RUN[AT_S])
