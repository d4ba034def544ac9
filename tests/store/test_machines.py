"""A fleet in the store: the sum as for any run, and beside it the samples of each machine."""

import csv
import io
import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fourtuple.core.errors import CannotError
from fourtuple.core.runs.entry import RunState
from fourtuple.core.runs.records import Sample
from fourtuple.store import listing, reading
from fourtuple.store.coding import to_text
from fourtuple.store.file import open_store
from fourtuple.store.tables import exported
from fourtuple.store.writing import Writer
from tests import made
from tests.made_fleet import GONE_S, fleet_record, fleet_samples, fleet_start, gone_result, kept_fleet, machine_result
from tests.store.test_versions import DATA
from tests.store.test_writing import nobody, same

RUN = list(fleet_samples(4, gone=3, every_s=0.1))


@pytest.fixture
def base(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_store(tmp_path / "runs.db", new=True)) as base:
        yield base


def written(base: sqlite3.Connection, run: list[Sample]) -> Writer:
    writer = Writer(base, "fourtuple fleet hold 1000 127.0.0.1:8000-8003", "me")
    writer.begin(fleet_start())
    for sample in run:
        writer.sample(sample)
    return writer


def test_the_samples_of_each_machine_come_back_and_those_of_all_as_they_were(base: sqlite3.Connection) -> None:
    run = list(fleet_samples(4, every_s=0.1))
    written(base, run)
    stored = reading.read_run(base, 1, nobody)
    back = list(reading.samples_since(base, 1, 0, None))

    assert [(each.number, each.name) for each in stored.machines] == [(k, f"m{k}") for k in range(1, 5)]
    assert all(same(replace(one, machines=()), two) for one, two in zip(run, back, strict=True))
    for number, machine in enumerate(stored.machines):
        assert machine.series["open"].tolist() == [sample.machines[number].sample.open for sample in run]
        assert machine.series["at_ns"].tolist() == [sample.at_ns for sample in run]
        assert machine.growth["connect_us"]["count"].sum() == 250
    total = np.sum([machine.series["opened"] for machine in stored.machines], axis=0)
    assert total.tolist() == stored.series["opened"].tolist()


def test_a_sample_that_a_machine_sent_before_is_not_stored_again(base: sqlite3.Connection) -> None:
    """One that is gone has one more, when that was found: its connections are lost, and nothing is open."""
    written(base, RUN)
    stored = reading.read_run(base, 1, nobody)
    lengths = [len(machine.series) for machine in stored.machines]
    gone = stored.machines[2].series
    of_it = [(at_ns - made.BEGAN_NS) / 1e9 for at_ns in gone["at_ns"].tolist()]

    assert lengths == [40, 40, 35 + 1, 40]
    assert of_it[-2:] == [GONE_S, GONE_S + 0.1]
    assert (gone["open"][-1], gone["lost"][-1], gone["open"][-2]) == (0, gone["open"][-2], gone["lost"][-1])
    assert stored.series["open"].max() <= 1000
    assert len(stored.series) == 40


def test_a_machine_that_joins_late_and_another_run_are_kept_apart(base: sqlite3.Connection) -> None:
    late = [replace(sample, machines=sample.machines[: 3 if number < 10 else 4]) for number, sample in enumerate(RUN)]
    for run in (late, RUN[:5]):
        written(base, run).end(RunState.REACHED, to_text(fleet_record()))
    one, two = (reading.read_run(base, number, nobody) for number in (1, 2))
    listing.remove(base, [1], nobody)
    left = [base.execute(f"SELECT DISTINCT run FROM {name}").fetchall() for name in ("machines", "machine_samples")]  # noqa: S608

    assert [len(machine.series) for machine in one.machines] == [40, 40, 36, 30]
    assert [len(machine.series) for machine in two.machines] == [5] * 4
    assert left == [[(2,)], [(2,)]]


def test_the_record_of_a_fleet_comes_back_as_it_was() -> None:
    record = fleet_record(machine_result(1), gone_result(2))

    assert kept_fleet(record, 2, gone=2).record == record


def test_an_export_has_a_column_for_the_machine_only_if_there_are_several() -> None:
    """0 is all together, as in a run without a fleet; the histograms of each are in the JSON."""
    fleet = kept_fleet(fleet_record(), count=20)
    rows = list(csv.DictReader(io.StringIO(exported(fleet, "csv").decode())))
    of_all = [row for row in rows if row["machine"] == "0"]
    whole = json.loads(exported(fleet, "json"))

    assert [row["machine"] for row in rows] == [str(number) for number in range(5) for _ in range(20)]
    assert [int(row["open"]) for row in of_all] == fleet.series["open"].tolist()
    assert [sample["open"] for sample in whole["samples"]] == fleet.series["open"].tolist()
    assert "machine" not in whole["samples"][0]
    assert [(each["number"], each["name"], len(each["samples"])) for each in whole["machines"]] == [
        (number, f"m{number}", 20) for number in range(1, 5)
    ]
    assert sum(grown["count"] for grown in whole["machines"][3]["connect_us"]) == fleet.machines[3].series["opened"][-1]
    assert "machine" not in replace(fleet, machines=()).columns()
    assert "machines" not in fleet.to_json(samples=False)


def test_a_file_of_version_1_takes_a_fleet(tmp_path: Path) -> None:
    with closing(open_store(Path(shutil.copy(DATA / "version-1.db", tmp_path)), new=True)) as base:
        written(base, RUN).end(RunState.REACHED, to_text(fleet_record()))

        assert [len(reading.read_run(base, run, nobody).machines) for run in (1, 2, 4)] == [0, 0, 4]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE machine_samples SET phase = 9, open = -1",
        "UPDATE machine_samples SET connect_grown = x'ff'",
        "UPDATE machines SET number = -1",
    ],
)
def test_a_damaged_machine_is_an_error_of_ours(base: sqlite3.Connection, change: str) -> None:
    written(base, RUN[:3])
    base.execute(change if "number" not in change else f"{change} WHERE number = 1")

    with pytest.raises(CannotError, match="damaged"):
        reading.read_run(base, 1, nobody)


def test_a_fleet_that_finds_the_file_locked_loses_no_machines_sample(base: sqlite3.Connection, tmp_path: Path) -> None:
    writer = written(base, RUN[:5])
    with closing(sqlite3.connect(tmp_path / "runs.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writer.sample(RUN[5])
        other.execute("ROLLBACK")
        writer.sample(RUN[6])

        assert [len(machine.series) for machine in reading.read_run(base, 1, nobody).machines] == [7] * 4
