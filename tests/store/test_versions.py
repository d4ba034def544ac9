"""Files of every released version: their SQL never changes, they open, they are read, and they take new runs."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

from fourtuple.core.runs.stored import COLUMN, Outcome
from fourtuple.store import reading
from fourtuple.store.coding import to_text
from fourtuple.store.file import MIGRATIONS, NUMBERS, OTHERS, open_store
from fourtuple.store.writing import Writer
from tests import made

DATA = Path(__file__).with_name("data")
RELEASED = ("083f99a5827e3c5e9f8a42ee3eeaf478375152a9327ebbb9fe06e8cf28e4e4b5",)  # SHA-256 of each script
SQLITE_TYPES = {"i": "INTEGER", "f": "REAL"}


def gone(_: str) -> bool:
    return False


def test_a_released_migration_is_never_changed() -> None:
    """A file that an older version made must be what the newer migrations expect."""
    hashes = tuple(hashlib.sha256(script.encode()).hexdigest() for script in MIGRATIONS[: len(RELEASED)])

    assert hashes == RELEASED


def test_every_stored_column_exists_after_all_migrations() -> None:
    """A column that the code writes and no migration makes would break every file of before."""
    base = open_store(None, new=True)
    types = {name: kind for _, name, kind, *_ in base.execute("PRAGMA table_info(samples)")}

    assert {name: SQLITE_TYPES[COLUMN[name].kind] for name in NUMBERS} == {name: types[name] for name in NUMBERS}
    assert types.keys() == {"run", "number", *NUMBERS, *OTHERS}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that version 1 has written: a hold, a serve and a proof."""
    return Path(shutil.copy(DATA / "version-1.db", tmp_path / "runs.db"))


def test_a_file_of_version_1_is_read_whole(file: Path) -> None:
    base = open_store(file, new=False)
    proof, serve, hold = (reading.read_run(base, run, gone) for run in (3, 2, 1))

    assert [hold.entry.kind, serve.entry.kind, proof.entry.kind] == ["hold", "serve", "prove"]
    assert (hold.record, serve.record) == (made.hold_record(), made.serve_record())
    assert hold.start == made.start()
    assert hold.series["open"].max() == 1000
    assert hold.connects["count"].sum() == 1000
    assert [result.verdict for result in proof.results] == ["holds", "skipped"]


ADDED = "ALTER TABLE samples ADD COLUMN probes INTEGER NOT NULL DEFAULT 0"


def test_a_file_of_version_1_takes_new_runs_after_a_counter_has_been_added(file: Path) -> None:
    base = open_store(file, new=True, migrations=(*MIGRATIONS, ADDED))
    writer = Writer(base, "fourtuple hold 1000 127.0.0.1:8000-8003", "writer")
    writer.begin(made.start())
    for sample in made.samples():
        writer.sample(sample)
    record = made.hold_record()
    writer.end(Outcome.REACHED, to_text(record), n=record.wanted, held=record.held)
    before, after = (reading.read_run(base, run, gone) for run in (1, writer.id))

    assert writer.why_not is None
    assert after.record == before.record == record
    assert np.array_equal(after.series["open"], before.series["open"])
