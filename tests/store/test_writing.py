"""What is written when, what is read back, and what happens where the file cannot be had just now, or any more."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.runs.entry import RunState
from fourtuple.core.runs.records import HoldRecord, Sample
from fourtuple.store import listing, reading
from fourtuple.store.coding import from_text, to_text
from fourtuple.store.file import open_store
from fourtuple.store.writing import Writer
from tests.made import BEGAN_NS, hold_record, result, samples, serve_record, start


def nobody(_: str) -> bool:
    return False


@pytest.fixture
def base(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(open_store(tmp_path / "runs.db", new=True)) as base:
        yield base


def written(base: sqlite3.Connection, run: list[Sample], record: Any = None) -> Writer:
    writer = Writer(base, "fourtuple hold 1000 127.0.0.1:8000-8003", "me")
    writer.begin(start())
    for sample in run:
        writer.sample(sample)
    if record:
        writer.end(RunState.REACHED, to_text(record), n=record.wanted, held=record.held)
    return writer


def same(one: Sample, two: Sample) -> bool:
    """All but what is logged and what only the record needs, which is not stored."""
    return all(
        np.array_equal(getattr(one, each.name), getattr(two, each.name))
        if isinstance(getattr(one, each.name), np.ndarray)
        else getattr(one, each.name) == getattr(two, each.name)
        for each in fields(Sample)
        if each.name not in ("events", "open_at_end", "first_start_ns", "last_open_ns")
    )


def test_samples_come_back_as_they_were(base: sqlite3.Connection) -> None:
    """Every field, histograms included, though only what has grown is written."""
    run = list(samples(every_s=0.1))
    written(base, run)
    back = list(reading.samples_since(base, 1, 0, None))

    assert len(back) == len(run)
    assert all(map(same, run, back))


def test_reading_can_go_on_where_it_stopped(base: sqlite3.Connection) -> None:
    run = list(samples(every_s=0.1))
    written(base, run)
    first = list(reading.samples_since(base, 1, 0, None))[:7]
    rest = list(reading.samples_since(base, 1, 7, first[-1]))

    assert (len(first), len(rest)) == (7, len(run) - 7)
    assert all(map(same, run, [*first, *rest]))


def test_records_come_back_as_they_were(base: sqlite3.Connection) -> None:
    assert from_text(to_text(hold_record()), HoldRecord) == hold_record()
    assert from_text(to_text(serve_record()), type(serve_record())) == serve_record()
    assert from_text(to_text(result()), type(result())) == result()
    written(base, list(samples()), hold_record())
    run = reading.read_run(base, 1, nobody)
    assert (run.record, run.start, run.entry.outcome) == (hold_record(), start(), RunState.REACHED)
    assert run.entry.n == run.entry.held == 1000
    assert run.growth["connect_us"]["count"].sum() == 1000


def at(seconds: list[float], sample: Sample) -> list[Sample]:
    return [replace(sample, at_ns=BEGAN_NS + round(s * 1e9)) for s in seconds]


def test_samples_are_written_four_times_a_second_while_opening_and_once_while_holding(
    base: sqlite3.Connection,
) -> None:
    """In the first five seconds each, for a short run is over then; the first and the last of each phase are, too."""
    opening, holding = next(samples()), next(sample for sample in samples() if sample.census)
    opened = at([n / 20 for n in range(1, 601)], opening)  # 30 s, 20 a second
    held = at([30 + n / 20 for n in range(1, 401)], holding)  # 20 s
    writer = written(base, opened + held)
    writer.end(RunState.BROKEN, None)
    stored = [(sample.at_ns - BEGAN_NS) / 1e9 for sample in reading.samples_since(base, 1, 0, None)]
    early, late = [s for s in stored if s < 5], [s for s in stored if 5 <= s <= 30]

    assert len(early) == 99
    assert len(late) == 101
    assert [round(s, 2) for s in stored if s > 30] == [30.05 + n for n in range(20)] + [50]
    assert stored[-1] == 50


def test_who_finds_the_file_locked_writes_later_and_loses_nothing(base: sqlite3.Connection, tmp_path: Path) -> None:
    run = list(samples(every_s=0.1))
    writer = written(base, run[:10])
    with closing(sqlite3.connect(tmp_path / "runs.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for sample in run[10:20]:
            writer.sample(sample)
        meanwhile = base.execute("SELECT count(*) FROM samples").fetchone()
        other.execute("ROLLBACK")
        writer.sample(run[20])

        assert meanwhile == (10,)
        assert base.execute("SELECT count(*) FROM samples").fetchone() == (21,)
        assert writer.why_not is None


def test_who_finds_the_file_locked_from_the_beginning_begins_later(base: sqlite3.Connection, tmp_path: Path) -> None:
    """The run has no number until then, and all of its samples once it has."""
    run = list(samples(every_s=0.1))
    with closing(sqlite3.connect(tmp_path / "runs.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writer = written(base, run[:3])
        before = writer.id
        other.execute("ROLLBACK")
        writer.sample(run[3])

        assert before is None
        assert writer.id == 1
        assert base.execute("SELECT count(*), min(run), max(run) FROM samples").fetchone() == (4, 1, 1)


def test_a_full_disk_ends_the_writing_and_not_the_run(base: sqlite3.Connection) -> None:
    """Data written before is kept; the reason why the rest is missing is reported."""
    run = list(samples(every_s=0.1))
    writer = written(base, run[:10])
    (pages,) = base.execute("PRAGMA page_count").fetchone()
    base.execute(f"PRAGMA max_page_count = {pages}")
    for sample in run[10:] * 20:
        writer.sample(sample)
    writer.end(RunState.REACHED, to_text(hold_record()))

    assert writer.why_not == "database or disk is full"
    assert base.execute("SELECT count(*) FROM samples").fetchone()[0] >= 10
    entry = listing.entry(base, 1, nobody)
    assert (entry.outcome, entry.why) == (RunState.REACHED, entry.why)
    assert writer.why_not in entry.why


@pytest.mark.parametrize(
    ("alive", "outcome"), [(True, RunState.RUNNING), (False, RunState.KILLED), (None, RunState.UNFINISHED)]
)
def test_a_run_without_an_end_is_what_its_writer_is(
    base: sqlite3.Connection, alive: bool | None, outcome: RunState
) -> None:
    """Running, killed or unknown; readable up to its last sample in every case."""
    written(base, list(samples())[:17])
    run = reading.read_run(base, 1, lambda mark: alive if mark == "me" else not alive)

    assert (run.entry.outcome, run.record, len(run.series)) == (outcome, None, 17)
    assert run.entry.held == 850
    assert run.entry.n == 1000


def test_who_ends_while_somebody_looks_has_ended(base: sqlite3.Connection) -> None:
    """The writer is looked for first: gone by then, it has said all that it had to say."""
    writer = written(base, list(samples(every_s=0.1)))

    def alive(_: str) -> bool:
        writer.end(RunState.REACHED, to_text(hold_record()))
        return False

    assert reading.read_run(base, 1, alive).entry.outcome is RunState.REACHED


def test_the_newest_is_meant_where_no_number_is_given(base: sqlite3.Connection) -> None:
    written(base, [], hold_record())
    written(base, [], hold_record())

    assert reading.read_run(base, None, nobody).entry.id == 2
    assert [entry.id for entry in listing.entries(base, nobody)] == [2, 1]


def test_what_is_not_there_is_told(base: sqlite3.Connection) -> None:
    with pytest.raises(UsageError, match="run 7"):
        listing.entry(base, 7, nobody)
    with pytest.raises(UsageError):
        listing.entry(base, None, nobody)


def test_removing_takes_all_that_belongs_to_it_or_nothing(base: sqlite3.Connection) -> None:
    """Numbers are not reused; if one of the runs is still running, none of the named runs is removed."""
    for _ in range(3):
        written(base, list(samples())[:5], hold_record())
    with pytest.raises(UsageError, match="run 9"):
        listing.remove(base, [1, 9], nobody)
    before = len(listing.entries(base, nobody))
    listing.remove(base, [1, 3], nobody)
    left = base.execute("SELECT DISTINCT run FROM samples").fetchall()
    written(base, [])
    with pytest.raises(UsageError, match="run 4"):
        listing.remove(base, [2, 4], lambda _: True)

    assert before == 3
    assert left == [(2,)]
    assert [entry.id for entry in listing.entries(base, nobody)] == [4, 2]


def test_a_record_that_cannot_be_read_is_told(base: sqlite3.Connection) -> None:
    written(base, [], hold_record())
    base.execute('UPDATE runs SET record = \'{"held": "many"}\'')

    with pytest.raises(CannotError, match="held"):
        reading.read_run(base, 1, nobody)
