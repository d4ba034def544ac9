"""`fleet collect`: a run made whole again from what each machine recorded, whatever is missing."""

from dataclasses import replace
from typing import Any

import pytest

from fourtuple.core.errors import CannotError
from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.records import HoldRecord
from fourtuple.core.runs.start import FleetPart
from fourtuple.core.runs.stored import StoredRun
from fourtuple.fleet.collect import collect
from fourtuple.fleet.messages import AskParts, PartsMade, StoredPart, order_text, sample_bytes
from fourtuple.store.coding import to_text
from tests import made, made_fleet
from tests.core.fleet.made import machine
from tests.fleet.test_divide import Offering, Offers

SHARE = 250


def stored(record: HoldRecord | None = None, **start: Any) -> StoredRun:
    """The run as the coordinator stored it: of four machines with 250 connections each."""
    run = made_fleet.kept_fleet(record)
    order = order_text(made.order(options=made.options(wanted=4 * SHARE))).decode()
    return replace(run, start=replace(run.start, **{"order": order} | start))


def part(number: int, *, samples: int | None = None, fleet: str = "f1e2d3") -> StoredPart:
    """The part of a machine; samples: it was killed after so many."""
    whole = list(made.samples(40, opening=20 + number, wanted=SHARE))
    record = made.hold_record(wanted=SHARE, held=SHARE, open_at_end=SHARE) if samples is None else None
    kept = [sample_bytes(each) for each in whole[:samples]]
    text = to_text(record).encode() if record else b""
    return StoredPart(FleetPart(fleet, number, f"m{number}"), number, "" if record else "killed", text, kept)


class Keeps(Offers):
    """A machine with these parts in its store."""

    def __init__(self, number: int, *parts: StoredPart) -> None:
        super().__init__(machine(f"m{number}"))
        self.parts = list(parts)

    def hear(self, message: Any) -> None:
        self.said.append(message)
        if isinstance(message, AskParts):
            self.steps.append([PartsMade(self.parts)])


def links(*machines: Keeps) -> Offering:
    made_up = Offering()
    made_up.there = {each.member.name: each for each in machines}
    return made_up


def collected(run: StoredRun, *machines: Keeps) -> HoldRecord:
    """The record, in which every connection of the machines is accounted for."""
    found = collect(links(*machines), run)
    last = list(found)[-1]
    record: HoldRecord = found.record
    assert last.phase is Phase.CLOSED
    assert record.wanted == record.held + sum(record.failed.values()) + record.lost_while_opening
    assert record.wanted == 4 * SHARE == sum(each.wanted for each in record.machines)
    assert sum(each.lost for each in record.machines) == record.lost
    return record


def test_all_parts_make_the_whole() -> None:
    record = collected(stored(), *(Keeps(number, part(number)) for number in range(1, 5)))

    assert (record.wanted, record.held, record.lost, record.failed) == (1000, 1000, 0, {})
    assert [(each.name, each.held, each.why, each.run) for each in record.machines] == [
        (f"m{number}", SHARE, "", number) for number in range(1, 5)
    ]


def test_a_store_that_several_machines_share_counts_once() -> None:
    """Workers of one host have one store, and each of them answers with all parts in it."""
    parts = [part(number) for number in range(1, 5)]
    record = collected(stored(), *(Keeps(number, *parts) for number in range(1, 5)))

    assert (record.wanted, record.held, len(record.machines)) == (1000, 1000, 4)


def test_a_machine_that_was_killed_has_lost_what_it_had_open() -> None:
    killed = part(2, samples=10)
    record = collected(stored(), Keeps(1, part(1)), Keeps(2, killed), Keeps(3, part(3)), Keeps(4, part(4)))
    opened = SHARE * 10 // 22

    assert (record.held, record.lost, record.failed) == (750, opened, {"ECANCELED": SHARE - opened})
    assert record.machines[1].why == "killed"


def test_a_machine_without_a_sample_has_opened_nothing_that_is_known() -> None:
    record = collected(stored(), Keeps(1, part(1)), Keeps(2, part(2, samples=0)))

    assert (record.held, record.failed) == (SHARE, {"ECANCELED": 3 * SHARE})
    assert record.machines[1].why == "killed"


def test_what_no_machine_accounts_for_has_not_been_opened() -> None:
    """The coordinator was lost, too: that there were other machines is known only from the order."""
    record = collected(stored(), Keeps(1, part(1)), Keeps(3, part(3)))

    assert (record.held, record.failed) == (500, {"ECANCELED": 500})
    assert [each.name for each in record.machines] == ["m1", "m3", "other machines"]


def test_a_machine_that_is_missing_is_known_from_the_coordinators_record() -> None:
    """Its share counts as not opened, with the reason."""
    run = stored(made_fleet.fleet_record())
    record = collected(run, Keeps(1, part(1)), Keeps(2, part(2)), Keeps(4, part(4)))

    assert (record.wanted, record.held, record.failed) == (1000, 750, {"ECANCELED": 250})
    assert [each.why for each in record.machines] == ["", "", "its own record was not found", ""]


@pytest.mark.parametrize("order", ["", "{}", "nonsense"])
def test_a_run_whose_order_cannot_be_read_is_not_collected(order: str) -> None:
    """Another version stored it, or none."""
    with pytest.raises(CannotError, match="its order"):
        collect(links(Keeps(1, part(1))), stored(order=order))


def test_no_machine_has_a_part() -> None:
    with pytest.raises(CannotError, match="no machine that is there has a part of it"):
        collect(links(Keeps(1), Keeps(2)), stored())
