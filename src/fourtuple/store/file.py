"""The file that keeps runs: SQLite, in WAL mode, so that a run that is being written can be read meanwhile.

https://sqlite.org/wal.html. A writer that is killed loses nothing that was committed, and each sample is; what the
journal (-wal) still holds is taken over by whoever opens the file next. WAL does not work on network file systems.
"""

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from fourtuple.core.errors import CannotError
from fourtuple.core.runs.counters import COLUMN, GROWTHS, MAPS

APPLICATION = 0x34747570  # "4tup": PRAGMA application_id tells our files from others'
WAIT_S = 5.0  # for another writer, who is done within milliseconds

NUMBERS = COLUMN.names or ()  # columns of `samples` that are numbers
OTHERS = (*(each.column for each in MAPS), "moved", "census", *(each.column for each in GROWTHS))

# One script for each version of the file; the newest version's number is PRAGMA user_version. A script that has been
# released is never changed: files made by it exist. A new column of `samples` is a new script,
# "ALTER TABLE samples ADD COLUMN name INTEGER NOT NULL DEFAULT 0", and a new field of a record has a default.
MIGRATIONS: tuple[str, ...] = (
    """
CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  command TEXT NOT NULL,
  writer TEXT NOT NULL,
  started_at TEXT NOT NULL,
  start TEXT NOT NULL,
  ended_at TEXT,
  outcome TEXT,
  why TEXT NOT NULL DEFAULT '',
  n INTEGER,
  held INTEGER,
  record TEXT
) STRICT;
CREATE TABLE samples (
  run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  phase INTEGER NOT NULL,
  wanted INTEGER NOT NULL,
  capacity INTEGER NOT NULL,
  opening INTEGER NOT NULL,
  open INTEGER NOT NULL,
  opened INTEGER NOT NULL,
  closed INTEGER NOT NULL,
  lost INTEGER NOT NULL,
  greeted INTEGER NOT NULL,
  reconnected INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  answers INTEGER NOT NULL,
  unexpected INTEGER NOT NULL,
  unanswered INTEGER NOT NULL,
  late INTEGER NOT NULL,
  received_bytes INTEGER NOT NULL,
  sent_bytes INTEGER NOT NULL,
  workers INTEGER NOT NULL,
  rss_bytes INTEGER NOT NULL,
  elapsed_s REAL,
  cpu_user_s REAL,
  cpu_system_s REAL,
  connections REAL,
  memory_bytes REAL,
  failed TEXT NOT NULL,
  lost_by TEXT NOT NULL,
  reconnect_failed TEXT NOT NULL,
  moved TEXT NOT NULL,
  census TEXT,
  connect_grown BLOB NOT NULL,
  answer_grown BLOB NOT NULL,
  pairs_grown BLOB NOT NULL,
  PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE progress (
  run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  lesson TEXT NOT NULL,
  at_ns INTEGER NOT NULL,
  done INTEGER NOT NULL,
  wanted INTEGER NOT NULL,
  PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE lessons (
  run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  result TEXT NOT NULL,
  PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;
""",
)


def default_file() -> Path:
    """$XDG_STATE_HOME/fourtuple/runs.db (XDG Base Directory Specification)."""
    from platformdirs import user_state_path

    return user_state_path("fourtuple") / "runs.db"


def open_store(file: Path | None, *, new: bool, migrations: Sequence[str] = MIGRATIONS) -> sqlite3.Connection:
    """file: None keeps it in memory only

    new: to write to it, so it is made where it is not there, and the usual one's folder; else to read, which leaves
         nothing behind

    Raises CannotError where it is no store of ours, is newer than this program, or cannot be had; it stays as it is.
    """
    address = ":memory:" if file is None else _address(file, new=new)
    try:
        base = sqlite3.connect(address, timeout=WAIT_S, isolation_level=None, uri=True)
        try:
            _prepare(base, file, migrations)
            if new:
                _try_to_write(base)
        except BaseException:
            base.close()
            raise
    except sqlite3.Error as error:
        raise _cannot(file, str(error), new=new) from None
    return base


def _address(file: Path, *, new: bool) -> str:
    """How it is opened (https://sqlite.org/uri.html). Raises CannotError where it is not there, or cannot be.

    Reading in WAL mode, too, takes files beside this one, which would be the reader's and keep the writer out. Who may
    not write reads what is there: without a journal nothing changes, else the journal's own index is used as it is.
    """
    try:
        if new and file == default_file():
            file.parent.mkdir(parents=True, exist_ok=True)
        if not new and (not file.exists() or not file.stat().st_size):
            raise CannotError("the stored runs", f"there is no {file}", "hold, serve and prove make it.")
        is_still = not journal_of(file).exists()
    except OSError as error:
        raise _cannot(file, error.strerror or str(error), new=new) from None
    if new:
        how = "mode=rwc"
    elif os.access(file, os.W_OK) and os.access(file.parent, os.W_OK):
        how = "mode=rw"
    else:
        how = "immutable=1" if is_still else "mode=ro&readonly_shm=1"
    return f"{file.absolute().as_uri()}?{how}"


def journal_of(file: Path) -> Path:
    """What a writer has committed and not moved into the file yet."""
    return Path(f"{file}-wal")


def _try_to_write(base: sqlite3.Connection) -> None:
    """Raises sqlite3.Error where nobody could; that somebody else does just now is no reason."""
    base.execute("PRAGMA busy_timeout = 0")
    try:
        base.execute("BEGIN IMMEDIATE")  # which SQLite allows for what is read-only, too
        base.execute(f"PRAGMA application_id = {APPLICATION}")
        base.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Has another writer the file? Or a kind of that: a journal is being recovered, say (https://sqlite.org/rescode.html)."""
    return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _prepare(base: sqlite3.Connection, file: Path | None, migrations: Sequence[str]) -> None:
    """Raises CannotError, sqlite3.Error."""
    base.execute("PRAGMA foreign_keys = ON")
    version = _version(base, file, len(migrations))
    if version < len(migrations):
        # WAL is a property of the file, set while nothing else is under way; two who make it at once wait in turn.
        base.execute("PRAGMA journal_mode = WAL")
        with base:
            base.execute("BEGIN IMMEDIATE")
            version = _version(base, file, len(migrations))  # somebody may have been quicker
            for statement in _statements(migrations[version:]):
                base.execute(statement)
            base.execute(f"PRAGMA application_id = {APPLICATION}")
            base.execute(f"PRAGMA user_version = {len(migrations)}")
    base.execute("PRAGMA synchronous = NORMAL")  # a power cut may take the last seconds, never the file


def _version(base: sqlite3.Connection, file: Path | None, newest: int) -> int:
    (application,), (version,) = (
        base.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
    )
    (tables,) = base.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION and (tables or version):
        raise _cannot(file, "it is a database of another program, and stays as it is")
    if version > newest:
        raise _cannot(file, f"a newer fourtuple has written it (version {version}; this one reads up to {newest})")
    return int(version)


def _statements(scripts: Sequence[str]) -> list[str]:
    """One by one: executescript() would commit in between."""
    return [statement for script in scripts for statement in script.split(";") if statement.strip()]


def _cannot(file: Path | None, why: str, *, new: bool = True) -> CannotError:
    do = "Name another file (--store), or none (--no-store)." if new else ""
    if file and not new and journal_of(file).name in os.listdir(file.parent):
        do = f"A writer has left its journal, {journal_of(file)}: copy both to where they can be written."
    return CannotError(f"the stored runs in {file}", why, do)
