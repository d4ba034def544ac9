"""The table of a fleet: each machine, with trouble first where there are too many."""

import re
from dataclasses import replace

import pytest

from fourtuple.core.runs.start import FleetPart
from fourtuple.core.visible import visible
from fourtuple.faces.text.churn import churn_lines
from fourtuple.faces.text.hold import hold_lines
from fourtuple.faces.text.machines import MOST, machine_lines
from fourtuple.faces.text.serve import serve_lines
from fourtuple.faces.text.stored import show_lines
from tests.made import hold_record, serve_record
from tests.made_churn import churn_record
from tests.made_fleet import WHY, fleet_record, gone_result, kept_fleet, machine_result
from tests.told import numbers

FOUR = tuple(map(machine_result, range(1, 5)))


def test_a_line_for_each_machine_says_what_it_held_how_fast_and_how_its_clock_goes() -> None:
    head, *rows = machine_lines(FOUR, "hold")

    assert head.split() == ["machine", "held", "wanted", "servers", "rate", "p99", "CPU", "clock"]
    assert rows[0].split() == [
        "m1", "250", "250", "250", "48/s", "29.5", "µs", "1.75", "s", "+1.23", "ms", "±", "40", "µs",
    ]  # fmt: skip
    assert len({len(row) for row in rows}) == 1
    assert "−1.23 ms ± 40 µs" in list(machine_lines([replace(FOUR[0], offset_us=-1234.5)], "hold"))[1]


def test_what_nobody_lost_and_no_server_listed_has_no_column() -> None:
    quiet = [replace(each, at_servers=None, census=None) for each in FOUR]
    lost = [*quiet[:3], replace(quiet[3], held=240, lost=7, failed={"EMFILE": 2, "ENFILE": 1})]

    assert not {"lost", "failed", "servers"} & set(next(machine_lines(quiet, "hold")).split())
    assert numbers(list(machine_lines(lost, "hold"))[-1])[:4] == [240, 250, 7, 3]


def test_a_machine_that_is_gone_says_why_below_its_line_and_one_in_its_place_says_whose() -> None:
    instead = machine_result(1, instead_of="m3")
    lines = list(machine_lines([*FOUR[:2], gone_result(3), instead], "hold"))

    below = lines[[line.split()[0] for line in lines].index("m3") + 1]
    assert below.strip() == f"gone after 3.5 s: {WHY}"
    assert [line.split()[:3] for line in lines if " for " in line] == [["m1", "for", "m3"]]


@pytest.mark.parametrize("factor", [1, 10**4, 10**9])
@pytest.mark.parametrize("name", ["m{}", "tcp://[fd00:1234:5678:9abc:def0::{}]:40123", "\x1b[31m{}"])
@pytest.mark.parametrize("kind", ["hold", "churn", "serve"])
def test_no_line_is_wider_than_the_screen(factor: int, name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However large the numbers and long the names: columns at the right go below, and long names above."""
    monkeypatch.setenv("COLUMNS", "80")
    share = 250 * factor
    many = {"wanted": share, "held": share - 1, "at_servers": share, "census": None}
    machines = [machine_result(k, name=name.format(k), **many, rate_per_s=share / 3) for k in (1, 23)]
    machines.append(gone_result(4, name=name.format(4), wanted=share, lost=share // 2, why=WHY * 9))
    lines = list(machine_lines(machines, kind))

    assert all(len(line) <= 80 for line in lines)
    assert "\x1b" not in "".join(lines)
    assert all(visible(name.format(k)) in "".join(lines) for k in (1, 23, 4))
    assert "clock" in "".join(lines)


def test_of_200_machines_those_with_trouble_come_first_and_the_others_are_counted() -> None:
    machines = [machine_result(k) for k in range(1, 201)]
    machines[150] = gone_result(151)
    machines[170] = machine_result(171, at_servers=249)
    lines = list(machine_lines(machines, "hold"))

    named = [line.split()[0] for line in lines if re.match(r"  m\d", line)]
    assert named[:3] == ["m151", "m171", "m1"]
    assert len(named) == MOST
    assert lines[-1] == "  … 180 more, all as planned"


def test_trouble_that_is_not_listed_is_counted() -> None:
    machines = [machine_result(k, held=249) for k in range(1, 31)]

    assert list(machine_lines(machines, "hold"))[-1] == "  … 10 more, 10 of them not as planned"
    assert list(machine_lines(machines, "serve"))[-1] == "  … 10 more, all as planned"
    completed = [machine_result(k, at_servers=7) for k in range(1, 31)]  # what servers list is no count of these
    assert list(machine_lines(completed, "churn"))[-1] == "  … 10 more, all as planned"
    assert list(machine_lines(completed, "hold"))[-1] == "  … 10 more, 10 of them not as planned"


def test_every_result_of_a_fleet_has_the_table_and_no_other_has() -> None:
    table = list(machine_lines(FOUR, "hold"))
    of_churn, of_serve = (next(machine_lines(FOUR, kind)) for kind in ("churn", "serve"))

    assert [line for line in hold_lines(fleet_record()) if line in table] == table
    assert of_churn in list(churn_lines(churn_record(machines=FOUR)))
    assert of_serve in list(serve_lines(serve_record(machines=FOUR)))
    for lines in (hold_lines(hold_record()), churn_lines(churn_record()), serve_lines(serve_record())):
        assert "machine" not in "\n".join(lines)


def test_a_stored_run_says_whether_it_is_a_fleets_or_a_part_of_one() -> None:
    whole, many = (kept_fleet(None, machines, count=5) for machines in (4, 10))
    part = FleetPart("f1e2d3", 3, "m3", instead_of="m2")
    single = replace(whole, start=replace(whole.start, fleet="", part=part))

    assert "  fleet     f1e2d3, 4 machines: m1, m2, m3, m4" in show_lines(whole)
    assert "m8 and 2 more" in "\n".join(show_lines(many))
    assert "f1e2d3: this is the part of machine 3, m3, in the place of m2" in "\n".join(show_lines(single))
