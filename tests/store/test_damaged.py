"""A damaged store: whatever stands in a cell, reading it is right or an error of ours."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.kernel.proc.alive import living
from fourtuple.store import listing, reading
from fourtuple.store.file import open_store

DATA = Path(__file__).parent / "data" / "version-1.db"
HUGE = 2**63 - 1


def changed(folder: Path, *statements: str, values: tuple[Any, ...] = ()) -> Path:
    """A copy of a real store after these statements, in tables that take any type."""
    file = folder / "runs.db"
    shutil.copyfile(DATA, file)
    with closing(sqlite3.connect(file)) as base, base:
        base.execute("PRAGMA writable_schema = ON")
        base.execute("UPDATE sqlite_schema SET sql = replace(replace(sql, 'STRICT', ''), ' NOT NULL', '')")
        base.execute("UPDATE sqlite_schema SET sql = replace(sql, ') , WITHOUT', ') WITHOUT')")
    with closing(sqlite3.connect(file)) as base, base:
        for statement in statements:
            base.execute(statement, values)
    return file


def read(file: Path) -> None:
    with closing(open_store(file, new=False)) as base:
        for entry in listing.entries(base, living()):
            reading.read_run(base, entry.id, living())
            list(reading.samples_since(base, entry.id, 0, None))


def test_the_changes_alone_do_no_harm(tmp_path: Path) -> None:
    read(changed(tmp_path))


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("runs.kind", "other"),
        ("runs.kind", None),
        ("runs.command", b"\xff"),
        ("runs.started_at", "yesterday"),
        ("runs.started_at", "2026-11-20T12:00:00"),
        ("runs.started_at", "0001-01-01T00:00:00+00:00"),
        ("runs.outcome", "nonsense"),
        ("runs.n", "many"),
        ("runs.n", HUGE),
        ("runs.held", -1),
        ("runs.start", "{}"),
        ("runs.start", None),
        ("runs.start", "[" * 10_000),
        ("runs.record", "{}"),
        ("runs.record", b"\xff"),
        ("samples.phase", 4),
        ("samples.open", HUGE),
        ("samples.open", "text"),
        ("samples.at_ns", None),
        ("samples.elapsed_s", 9e999),
        ("samples.connections", 1e300),
        ("samples.failed", "[]"),
        ("samples.failed", '{"ECONNREFUSED": "1"}'),
        ("samples.moved", f'{{"InSegs": {10**30}}}'),
        ("samples.census", "{}"),
        ("samples.connect_grown", b"123"),
        ("samples.connect_grown", b"\xff" * 10),
        ("samples.connect_grown", "text"),
        ("samples.pairs_grown", b"\0\1" + b"\xff" * 8),
        ("lessons.result", "{}"),
    ],
)
def test_a_cell_that_no_run_has_is_an_error(column: str, value: Any, tmp_path: Path) -> None:
    table, _, name = column.partition(".")
    file = changed(tmp_path, f"UPDATE {table} SET {name} = ?", values=(value,))  # noqa: S608

    with pytest.raises(CannotError, match="damaged"):
        read(file)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE samples",
        "ALTER TABLE samples DROP COLUMN open",
        "ALTER TABLE runs RENAME COLUMN start TO began",
    ],
)
def test_a_table_that_is_not_whole_is_an_error(statement: str, tmp_path: Path) -> None:
    with pytest.raises(CannotError, match=r"damaged|no such table"):
        read(changed(tmp_path, statement))


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE VIEW more AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
        "CREATE TRIGGER more AFTER DELETE ON runs BEGIN DELETE FROM samples; END",
        "PRAGMA application_id = 1",
    ],
)
def test_a_database_that_would_run_something_is_not_ours(statement: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a run database"):
        read(changed(tmp_path, statement))


def test_a_fifo_in_place_of_a_store_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "runs.db")
    for new in (True, False):
        with pytest.raises(UsageError, match="not a regular file"):
            open_store(tmp_path / "runs.db", new=new)
