"""The run database: SQLite in WAL mode, so that a run can be read while it is being written.

https://sqlite.org/wal.html. Each sample is committed, so a writer that is killed loses none; the next process that
opens the file takes over the contents of the journal (-wal). WAL does not work on network file systems.
"""

import contextlib
import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from fourtuple.core.errors import CannotError, UsageError

APPLICATION = 0x34747570  # "4tup": PRAGMA application_id identifies our files
FULL = " (is the disk full?)"
WAIT_S = 5.0  # for another writer, which normally finishes within milliseconds
# Errors as SQLite writes them (sqlite3ErrStr in main.c); Python 3.10 does not give their codes.
BUSY, NOT_A_DATABASE = "database is locked", "file is not a database"
OF_DISK = ("disk I/O error", "database or disk is full")

# One script for each version of the file; the newest version's number is PRAGMA user_version. A script that has been
# released is never changed: files made by it exist. A new column of `samples` and of `machine_samples` is a new script,
# "ALTER TABLE samples ADD COLUMN name INTEGER NOT NULL DEFAULT 0" and the same for the other table, and a new field of
# a record has a default. The samples of a fleet's machines are in a table of their own, so that the samples of all
# together are read as fast as those of any run, and no file is copied to make room for them.
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
    """
ALTER TABLE samples ADD COLUMN unsent INTEGER NOT NULL DEFAULT 0;
ALTER TABLE samples ADD COLUMN service_grown BLOB NOT NULL DEFAULT x'';
""",
    """
ALTER TABLE samples ADD COLUMN handshake_grown BLOB NOT NULL DEFAULT x'';
""",
    """
ALTER TABLE samples ADD COLUMN greeting INTEGER NOT NULL DEFAULT 0;
ALTER TABLE samples ADD COLUMN sessions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE samples ADD COLUMN reasons TEXT NOT NULL DEFAULT '{}';
ALTER TABLE samples ADD COLUMN tls_grown BLOB NOT NULL DEFAULT x'';
ALTER TABLE samples ADD COLUMN session_grown BLOB NOT NULL DEFAULT x'';
""",
    """
ALTER TABLE samples ADD COLUMN arrivals INTEGER NOT NULL DEFAULT 0;
ALTER TABLE samples ADD COLUMN started INTEGER NOT NULL DEFAULT 0;
ALTER TABLE samples ADD COLUMN time_wait REAL;
ALTER TABLE samples ADD COLUMN lag_grown BLOB NOT NULL DEFAULT x'';
ALTER TABLE samples ADD COLUMN connecting_grown BLOB NOT NULL DEFAULT x'';
ALTER TABLE samples ADD COLUMN first_grown BLOB NOT NULL DEFAULT x'';
ALTER TABLE samples ADD COLUMN first_service_grown BLOB NOT NULL DEFAULT x'';
ALTER TABLE samples ADD COLUMN last_grown BLOB NOT NULL DEFAULT x'';
ALTER TABLE samples ADD COLUMN last_service_grown BLOB NOT NULL DEFAULT x'';
""",
    """
ALTER TABLE samples ADD COLUMN replaced INTEGER NOT NULL DEFAULT 0;
ALTER TABLE samples ADD COLUMN stage INTEGER NOT NULL DEFAULT 0;
ALTER TABLE samples ADD COLUMN target INTEGER NOT NULL DEFAULT 0;
""",
    """
CREATE TABLE machines (
  run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  number INTEGER NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE machine_samples (
  run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE,
  machine INTEGER NOT NULL,
  number INTEGER NOT NULL,
  at_ns INTEGER NOT NULL,
  phase INTEGER NOT NULL,
  wanted INTEGER NOT NULL,
  capacity INTEGER NOT NULL,
  arrivals INTEGER NOT NULL,
  started INTEGER NOT NULL,
  opening INTEGER NOT NULL,
  open INTEGER NOT NULL,
  opened INTEGER NOT NULL,
  closed INTEGER NOT NULL,
  lost INTEGER NOT NULL,
  greeted INTEGER NOT NULL,
  greeting INTEGER NOT NULL,
  sessions INTEGER NOT NULL,
  reconnected INTEGER NOT NULL,
  replaced INTEGER NOT NULL,
  stage INTEGER NOT NULL,
  target INTEGER NOT NULL,
  requests INTEGER NOT NULL,
  answers INTEGER NOT NULL,
  unexpected INTEGER NOT NULL,
  unanswered INTEGER NOT NULL,
  late INTEGER NOT NULL,
  unsent INTEGER NOT NULL,
  received_bytes INTEGER NOT NULL,
  sent_bytes INTEGER NOT NULL,
  rss_bytes INTEGER NOT NULL,
  workers INTEGER NOT NULL,
  elapsed_s REAL,
  cpu_user_s REAL,
  cpu_system_s REAL,
  connections REAL,
  memory_bytes REAL,
  time_wait REAL,
  failed TEXT NOT NULL,
  lost_by TEXT NOT NULL,
  reconnect_failed TEXT NOT NULL,
  reasons TEXT NOT NULL,
  moved TEXT NOT NULL,
  census TEXT,
  connect_grown BLOB NOT NULL,
  handshake_grown BLOB NOT NULL,
  answer_grown BLOB NOT NULL,
  service_grown BLOB NOT NULL,
  tls_grown BLOB NOT NULL,
  session_grown BLOB NOT NULL,
  lag_grown BLOB NOT NULL,
  connecting_grown BLOB NOT NULL,
  first_grown BLOB NOT NULL,
  first_service_grown BLOB NOT NULL,
  last_grown BLOB NOT NULL,
  last_service_grown BLOB NOT NULL,
  pairs_grown BLOB NOT NULL,
  PRIMARY KEY (run, machine, number)
) STRICT, WITHOUT ROWID;
""",
    """
ALTER TABLE samples ADD COLUMN destinations_grown BLOB NOT NULL DEFAULT x'';
ALTER TABLE machine_samples ADD COLUMN destinations_grown BLOB NOT NULL DEFAULT x'';
""",
    """
ALTER TABLE runs ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT '';
""",
)


def default_file() -> Path:
    """$XDG_STATE_HOME/fourtuple/runs.db (XDG Base Directory Specification)."""
    from platformdirs import user_state_path

    return user_state_path("fourtuple") / "runs.db"


def open_store(file: Path | None, *, new: bool, migrations: Sequence[str] = MIGRATIONS) -> sqlite3.Connection:
    """Open the run database.

    file: None: in memory only
    new:  open for writing, creating the file, and the directory of the default file; otherwise open for reading, which
          leaves nothing behind

    Raises UsageError if there is no such file, or if it is not a run database; CannotError if it is newer than this
    program, damaged, or may not be opened. The file is left unchanged then.
    """
    address = ":memory:" if file is None else _address(file, new=new)
    try:
        base = _connected(address) if new else _connected_to_read(address)
        try:
            if file and "mode=rw" not in address and _version(base, file, len(migrations)) < len(migrations):
                base = _in_memory(base)
            _prepare(base, file, migrations)
            if new:
                _try_to_write(base)
        except BaseException:
            base.close()
            raise
    except sqlite3.Error as error:
        if str(error) == NOT_A_DATABASE:
            raise UsageError(f"{file} is not a run database", str(error), "Name another file (--store).") from None
        raise _cannot(file, f"{error}{FULL if _is_of_disk(error) else ''}", new=new) from None
    return base


def _connected(address: str) -> sqlite3.Connection:
    return sqlite3.connect(address, timeout=WAIT_S, isolation_level=None, uri=True)


def _connected_to_read(address: str) -> sqlite3.Connection:
    """Open the file; on a full disk, where the index of the journal (-shm) cannot be made, with an index in memory.

    SQLite makes one for whoever locks the file exclusively (https://sqlite.org/wal.html, "Without Shared-Memory").
    Where a writer is at work, the index is there already.
    """
    base = _connected(address)
    try:
        base.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error as error:
        if not _is_of_disk(error):
            return base  # the first look at its version gives the reason
        base.close()
        base = _connected(address)
        base.execute("PRAGMA locking_mode = EXCLUSIVE")
    return base


def _is_of_disk(error: sqlite3.Error) -> bool:
    """Whether the disk may be full, in any variant (https://sqlite.org/rescode.html)."""
    return str(error) in OF_DISK


def _in_memory(base: sqlite3.Connection) -> sqlite3.Connection:
    """A copy of a file of an older version that may not be written, so that the copy can be migrated."""
    copy = sqlite3.connect(":memory:", isolation_level=None)
    try:
        with closing(base):
            base.backup(copy)
    except sqlite3.Error:
        copy.close()
        raise
    return copy


def _address(file: Path, *, new: bool) -> str:
    """The URI that opens the file (https://sqlite.org/uri.html). Raises UsageError if it does not exist, CannotError.

    In WAL mode even a reader creates files next to the database; these would belong to the reader and lock out the
    writer. So a user without write permission opens an unchanging file as immutable, or uses the journal's index as is.
    """
    try:
        if file.exists() and not file.is_file():
            raise UsageError(
                f"{file} is not a run database", "it is not a regular file", "Name another file (--store)."
            )
        if new:
            if file == default_file():
                file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not file.parent.is_dir():
                raise UsageError(
                    f"there is no directory {file.parent}", do="Name another file (--store), or none (--no-store)."
                )
            _create(file)
        if not new and (not file.exists() or not file.stat().st_size):
            raise UsageError("no stored runs", f"there is no file {file}", "Run hold, churn, serve or prove first.")
        is_still = not journal_of(file).exists()
    except OSError as error:
        raise _cannot(file, error.strerror or str(error), new=new) from None
    except ValueError as error:  # a NUL in the path
        raise UsageError(f"{str(file)!r} is not a file", str(error)) from None
    if new:
        how = "mode=rwc"
    elif os.access(file, os.W_OK) and os.access(file.parent, os.W_OK):
        how = "mode=rw"
    else:
        how = "immutable=1" if is_still else "mode=ro&readonly_shm=1"
    return f"{file.absolute().as_uri()}?{how}"


def _create(file: Path) -> None:
    """Create the file if it is missing, for its owner alone: it holds command lines. The journal gets its mode.

    An existing file is not opened: closing it would release the locks that this process has on it (fcntl(2)).
    """
    with contextlib.suppress(OSError):  # SQLite reports why it cannot be opened
        os.close(os.open(os.path.realpath(file), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))


def journal_of(file: Path) -> Path:
    """The journal: data that a writer has committed but not yet moved into the file."""
    return Path(f"{file}-wal")


def _try_to_write(base: sqlite3.Connection) -> None:
    """Raises sqlite3.Error if the file is not writable; another active writer is not an error."""
    base.execute("PRAGMA busy_timeout = 0")
    try:
        base.execute("BEGIN IMMEDIATE")  # which SQLite permits even on a read-only file
        base.execute(f"PRAGMA application_id = {APPLICATION}")
        base.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if not is_busy(error):
            raise


def is_busy(error: sqlite3.OperationalError) -> bool:
    """Whether another process has locked the file, in any variant (https://sqlite.org/rescode.html)."""
    return str(error) == BUSY


def _prepare(base: sqlite3.Connection, file: Path | None, migrations: Sequence[str]) -> None:
    """Create or migrate the tables if needed. Raises UsageError, CannotError, sqlite3.Error."""
    base.execute("PRAGMA foreign_keys = ON")
    version = _version(base, file, len(migrations))
    if version < len(migrations):
        # WAL is a property of the file, set outside a transaction; two processes that create it wait for each other.
        base.execute("PRAGMA journal_mode = WAL")
        with base:
            base.execute("BEGIN IMMEDIATE")
            version = _version(base, file, len(migrations))  # another process may have been faster
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
    (programs,) = base.execute("SELECT count(*) FROM sqlite_schema WHERE type IN ('view', 'trigger')").fetchone()
    if (application != APPLICATION and (tables or version)) or programs:  # views and triggers are run; we make none
        raise UsageError(
            f"{file} is not a run database", "it is the database of another program", "Name another file (--store)."
        )
    if version > newest:
        raise _cannot(file, f"a newer fourtuple has written it (version {version}; this one reads up to {newest})")
    return int(version)


def _statements(scripts: Sequence[str]) -> list[str]:
    """The statements of the scripts; executescript() would commit in between."""
    return [statement for script in scripts for statement in script.split(";") if statement.strip()]


def _cannot(file: Path | None, why: str, *, new: bool = True) -> CannotError:
    do = "Name another file (--store), or none (--no-store)." if new else "Name another file (--store)."
    if file and not new and os.path.exists(journal_of(file)):  # exists() of pathlib raises where it may not look
        do = f"A writer left its journal {journal_of(file)}: copy both files to a writable directory."
    return CannotError(f"cannot open the run database {file}", why, do)
