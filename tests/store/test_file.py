"""The file: made by whoever comes first, migrated all at once, and left alone where it is not ours or not for us."""

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.store.file import APPLICATION, MIGRATIONS, default_file, open_store
from tests.conftest import need


def version(base: sqlite3.Connection) -> int:
    return int(base.execute("PRAGMA user_version").fetchone()[0])


def test_a_new_file_is_a_store_in_wal_mode(tmp_path: Path) -> None:
    with closing(open_store(tmp_path / "runs.db", new=True)) as base:
        assert version(base) == len(MIGRATIONS)
        assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert base.execute("PRAGMA application_id").fetchone() == (APPLICATION,)
        assert base.execute("SELECT count(*) FROM runs").fetchone() == (0,)


def test_reading_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"runs\.db"):
        open_store(tmp_path / "runs.db", new=False)

    assert not (tmp_path / "runs.db").exists()


def test_a_store_of_a_newer_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    base = open_store(tmp_path / "runs.db", new=True)
    base.execute("PRAGMA user_version = 99")
    base.close()
    before = (tmp_path / "runs.db").read_bytes()

    with pytest.raises(CannotError, match=rf"\b99\b.*\b{len(MIGRATIONS)}\b"):
        open_store(tmp_path / "runs.db", new=True)
    assert (tmp_path / "runs.db").read_bytes() == before


def test_another_programs_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    base = sqlite3.connect(tmp_path / "runs.db")
    base.execute("CREATE TABLE bookmarks (url TEXT)")
    base.commit()
    base.close()
    before = (tmp_path / "runs.db").read_bytes()

    with pytest.raises(UsageError, match=r"runs\.db"):
        open_store(tmp_path / "runs.db", new=True)
    assert (tmp_path / "runs.db").read_bytes() == before


@pytest.mark.parametrize("content", [b"notes of somebody\n" * 99, b"SQLite format 3\0" + b"x" * 4000])
def test_what_is_no_database_is_refused_and_left_as_it_is(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "runs.db").write_bytes(content)

    with pytest.raises((UsageError, CannotError), match=r"not a database|malformed|file is encrypted|unsupported"):
        open_store(tmp_path / "runs.db", new=True)
    assert (tmp_path / "runs.db").read_bytes() == content


def test_a_folder_in_its_place_and_a_file_in_its_folders_place_are_told(tmp_path: Path) -> None:
    (tmp_path / "runs.db").mkdir()
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="not a regular file"):
        open_store(tmp_path / "runs.db", new=True)
    for folder in ("file", "absent"):
        with pytest.raises(UsageError, match="no directory"):
            open_store(tmp_path / folder / "runs.db", new=True)


@pytest.mark.parametrize("is_default", [False, True])
def test_a_store_is_for_its_owner_alone(is_default: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file and its journals have mode 0600, the folder of the default file 0700, whatever the umask."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = default_file() if is_default else tmp_path / "runs.db"
    old = os.umask(0)
    try:
        base = open_store(file, new=True)
        base.execute("INSERT INTO runs (kind, command, writer, started_at, start) VALUES ('hold', 'x', '', '', '{}')")
        modes = {each.name: each.stat().st_mode & 0o777 for each in file.parent.glob("runs.db*")}
        base.close()
    finally:
        os.umask(old)

    assert modes == {"runs.db": 0o600, "runs.db-wal": 0o600, "runs.db-shm": 0o600}
    assert not is_default or file.parent.stat().st_mode & 0o777 == 0o700


def test_a_store_behind_a_link_is_created_where_the_link_leads(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "runs.db")
    open_store(tmp_path / "link.db", new=True).close()

    assert (tmp_path / "runs.db").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "link.db").is_symlink()


def test_a_store_that_its_owner_has_opened_to_others_stays_so(tmp_path: Path) -> None:
    open_store(tmp_path / "runs.db", new=True).close()
    (tmp_path / "runs.db").chmod(0o644)
    open_store(tmp_path / "runs.db", new=True).close()

    assert (tmp_path / "runs.db").stat().st_mode & 0o777 == 0o644


WITHOUT_PRIVILEGE = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
READ = """
import sys
from pathlib import Path
from fourtuple.store.file import open_store
print(open_store(Path(sys.argv[1]), new=False).execute("SELECT command FROM runs").fetchall())
"""


@pytest.mark.parametrize("mode", [0o555, 0o755])
@pytest.mark.parametrize("is_written", [False, True])
def test_a_store_can_be_read_where_nothing_can_be_written(mode: int, is_written: bool, tmp_path: Path) -> None:
    """By another user, or on a read-only medium: a reader creates no file next to the database.

    Also where only the file is closed to the reader, and while its owner writes.
    """
    need(shutil.which("setpriv"), "setpriv (util-linux)")
    folder = tmp_path / "medium"
    folder.mkdir()
    base = open_store(folder / "runs.db", new=True)
    base.execute("INSERT INTO runs (kind, command, writer, started_at, start) VALUES ('hold', 'x', '', '', '{}')")
    if not is_written:
        base.close()
    before = sorted(file.name for file in folder.iterdir())
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(mode)
    done = subprocess.run(
        [*WITHOUT_PRIVILEGE, sys.executable, "-c", READ, str(folder / "runs.db")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    left = sorted(file.name for file in folder.iterdir())
    folder.chmod(0o755)
    base.close()

    assert (done.stdout, done.stderr) == ("[('x',)]\n", "")
    assert left == before


WRITE = """
import sys
from pathlib import Path
from fourtuple.core.errors import CannotError
from fourtuple.store.file import open_store
try:
    open_store(Path(sys.argv[1]), new=True)
except CannotError as error:
    print(error.stopped_by)
"""


def test_who_may_not_write_is_refused_before_a_run_begins(tmp_path: Path) -> None:
    need(shutil.which("setpriv"), "setpriv (util-linux)")
    open_store(tmp_path / "runs.db", new=True).close()
    (tmp_path / "runs.db").chmod(0o444)
    done = subprocess.run(
        [*WITHOUT_PRIVILEGE, sys.executable, "-c", WRITE, str(tmp_path / "runs.db")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert (done.stdout, done.stderr) == ("attempt to write a readonly database\n", "")


def test_who_finds_it_locked_is_not_refused(tmp_path: Path) -> None:
    """Somebody writes just now: that is over in a moment."""
    with closing(open_store(tmp_path / "runs.db", new=True)) as base:
        base.execute("BEGIN IMMEDIATE")

        with closing(open_store(tmp_path / "runs.db", new=True)) as other:
            assert version(other) == len(MIGRATIONS)


def test_reading_leaves_an_empty_file_empty(tmp_path: Path) -> None:
    (tmp_path / "runs.db").touch()

    with pytest.raises(UsageError, match=r"runs\.db"):
        open_store(tmp_path / "runs.db", new=False)
    assert (tmp_path / "runs.db").stat().st_size == 0


ADDED = "ALTER TABLE runs ADD COLUMN remark TEXT; UPDATE runs SET remark = 'migrated'"


def test_an_old_store_is_migrated_and_keeps_its_runs(tmp_path: Path) -> None:
    old = open_store(tmp_path / "runs.db", new=True)
    old.execute("INSERT INTO runs (kind, command, writer, started_at, start) VALUES ('hold', 'x', '', '', '{}')")
    old.close()
    with closing(open_store(tmp_path / "runs.db", new=True, migrations=(*MIGRATIONS, ADDED))) as new:
        assert version(new) == len(MIGRATIONS) + 1
        assert new.execute("SELECT command, remark FROM runs").fetchall() == [("x", "migrated")]


def test_a_migration_that_fails_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    open_store(tmp_path / "runs.db", new=True).close()

    with pytest.raises(CannotError, match="no such table"):
        open_store(tmp_path / "runs.db", new=True, migrations=(*MIGRATIONS, f"{ADDED}; DROP TABLE absent"))
    with closing(open_store(tmp_path / "runs.db", new=True)) as base:
        assert version(base) == len(MIGRATIONS)
        assert "remark" not in [column[1] for column in base.execute("PRAGMA table_info(runs)")]


def test_many_who_make_it_at_once_make_one(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from fourtuple.store.file import open_store;"
    code += "sys.stdin.read(); open_store(Path(sys.argv[1]), new=True).execute('SELECT count(*) FROM runs').fetchone()"
    command = [sys.executable, "-c", code, str(tmp_path / "runs.db")]
    programs = [subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(7)]
    ended = [program.communicate("")[1] for program in programs]

    assert ended == [""] * 7
    assert [program.returncode for program in programs] == [0] * 7


def test_the_usual_files_folder_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    with closing(open_store(default_file(), new=True)) as base:
        assert version(base) == len(MIGRATIONS)


def test_the_usual_file_is_where_the_xdg_specification_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere")
    set_to = default_file()
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setenv("HOME", "/home/somebody")

    assert set_to == Path("/elsewhere/fourtuple/runs.db")
    assert default_file() == Path("/home/somebody/.local/state/fourtuple/runs.db")
