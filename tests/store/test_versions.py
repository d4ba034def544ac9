"""Files of every released version: their SQL never changes, they open, they are read, and they take new runs."""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import fields, replace
from pathlib import Path

import pytest

from fourtuple.core.runs.counters import COLUMN, TABLE, Merge
from fourtuple.core.runs.entry import RunState
from fourtuple.core.runs.label import Label
from fourtuple.core.runs.records import Sample
from fourtuple.store import listing, reading
from fourtuple.store.columns import NUMBERS, OTHERS
from fourtuple.store.file import MIGRATIONS, open_store
from fourtuple.store.writing import Writer
from tests import made
from tests.conftest import REPOSITORY, another_user, fourtuple

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
    with closing(open_store(None, new=True)) as base:
        types, of_machines = (
            {name: kind for _, name, kind, *_ in base.execute(f"PRAGMA table_info({table})")}
            for table in ("samples", "machine_samples")
        )

        assert {name: SQLITE_TYPES[COLUMN[name].kind] for name in NUMBERS} == {name: types[name] for name in NUMBERS}
        assert types.keys() == {"run", "number", *NUMBERS, *OTHERS}
        assert of_machines == types | {"machine": "INTEGER"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that version 1 has written: a hold, a serve and a proof."""
    return Path(shutil.copy(DATA / "version-1.db", tmp_path / "runs.db"))


def test_a_file_of_version_1_is_read_whole(file: Path) -> None:
    with closing(open_store(file, new=False)) as base:
        proof, serve, hold = (reading.read_run(base, run, gone) for run in (3, 2, 1))

        assert [hold.entry.kind, serve.entry.kind, proof.entry.kind] == ["hold", "serve", "prove"]
        assert (hold.record, serve.record) == (
            replace(made.hold_record(), census_at_end=None, targets=()),
            made.serve_record(),
        )
        assert hold.start == made.start()
        assert hold.series["open"].max() == 1000
        assert hold.growth["connect_us"]["count"].sum() == 1000
        assert [result.verdict for result in proof.results] == ["holds", "skipped"]
        assert {(run.entry.name, run.entry.note) for run in (proof, serve, hold)} == {("", "")}


def test_a_file_of_version_1_that_may_not_be_written_is_read_and_left_as_it_is() -> None:
    """Another user reads it, who may write neither the file nor its directory."""
    prefix = another_user()
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        copied = Path(shutil.copy(DATA / "version-1.db", place))
        place.chmod(0o755)
        copied.chmod(0o644)
        done = fourtuple(
            *("runs", "show", "1", "--store", str(copied), "--json"),
            prefix=prefix,
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["record"]["held"] == 1000
        assert [path.name for path in place.iterdir()] == [copied.name]
        assert copied.read_bytes() == (DATA / "version-1.db").read_bytes()
    finally:
        shutil.rmtree(place)


def test_a_file_of_version_1_takes_runs_with_a_name(file: Path) -> None:
    """It is migrated when something is written; the old runs keep their numbers, and have no name."""
    label = Label("baseline", "before the change")
    with closing(open_store(file, new=True)) as base:
        writer = Writer(base, "fourtuple hold 1000 127.0.0.1:8000-8003", "me", label=label)
        writer.begin(made.start())
        writer.end(RunState.REACHED, None)
        found = listing.entry(base, "baseline", gone)
        names = [each.name for each in listing.entries(base, gone)]

    assert writer.why_not is None
    assert (found.id, found.name, found.note) == (writer.id, "baseline", "before the change")
    assert names == ["baseline", "", "", ""]


# Another program: this one, with a counter more in the table of counters, in Sample, and in a second migration.
NEXT_VERSION = """
import importlib.util, sys
def changed(name, before, after):
    spec = importlib.util.find_spec(name)
    source = spec.loader.get_source(name)
    assert source.count(before) == 1
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    exec(compile(source.replace(before, after), spec.origin, "exec"), module.__dict__)
row, field = '    RunCounter("late"', "    unsent: int\\n    received_bytes"
changed("fourtuple.core.runs.counters", row, '    RunCounter("probes", "probes sent"), ' + row)
changed("fourtuple.core.runs.records", field, "    probes: int\\n" + field)
from dataclasses import replace
from pathlib import Path
from fourtuple.core.runs.entry import RunState
from fourtuple.store import listing, reading
from fourtuple.store.coding import to_text
from fourtuple.store.file import MIGRATIONS, open_store
from fourtuple.store.writing import Writer
from tests import made
from tests.conftest import REPOSITORY
tables = ("samples", "machine_samples")
added = ";".join(f"ALTER TABLE {name} ADD COLUMN probes INTEGER NOT NULL DEFAULT 0" for name in tables)
base = open_store(Path(sys.argv[1]), new=True, migrations=(*MIGRATIONS, added))
writer = Writer(base, "fourtuple hold 1000 127.0.0.1:8000-8003", "writer")
writer.begin(made.start())
for sample in made.samples():
    writer.sample(sample)
record = made.hold_record()
writer.end(RunState.REACHED, to_text(record), n=record.wanted, held=record.held)
before, after = (reading.read_run(base, run, lambda _: False) for run in (1, writer.id))
assert writer.why_not is None
assert after.record == record
assert before.record == replace(record, census_at_end=None, targets=())
assert before.series["open"].tolist() == after.series["open"].tolist()
assert before.series["probes"].tolist() == [0] * len(before.series)
print(len(list(reading.samples_since(base, 1, 0, None))), len(after.series))
"""


def test_a_file_of_version_1_takes_new_runs_after_a_counter_has_been_added(file: Path) -> None:
    """Its runs are read by that version too, whose counter is 0 in them."""
    done = subprocess.run(
        [sys.executable, "-c", NEXT_VERSION, str(file)], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )

    assert done.stderr == ""
    assert len(set(done.stdout.split())) == 1


def test_a_sample_has_a_field_for_each_counter_that_is_merged() -> None:
    names = {each.name for each in fields(Sample)}

    assert {each.field for each in TABLE if each.merge is not Merge.APART} <= names
