"""Files that a user leaves: plans, stored settings and stored runs, damaged in any way."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from random import Random
from typing import Any

from fourtuple.store.file import MIGRATIONS
from tests.fuzz import mutations
from tests.fuzz.commands import LEAST_HUGE, MOST
from tests.fuzz.running import command

STORE = Path(__file__).parent.parent / "store" / "data" / "version-1.db"
DEEP = b"[" * 100_000
TABLES = ("runs", "samples", "progress", "lessons")
PLAN = {
    "fourtuple_plan": 1,
    "wanted": 7,
    "destinations": ["127.0.0.1:7777"],
    "sources": ["127.0.0.1"],
    "strategy": "late",
    "rate_per_s": 100.0,
}
# Of another boot, so that nothing is restored whatever the file says.
SETTING = {
    "boot": "another boot",
    "netns": "1",
    "name": "net.ipv4.ip_local_port_range",
    "before": "32768 60999",
    "after": "1024 65535",
    "at_s": 1,
}


def plans(random: Random, folder: Path) -> Iterator[str]:
    """Endless: what is wrong with `hold --plan` of a damaged plan."""
    file = folder / "plan.json"
    while True:
        file.write_bytes(_document(random, PLAN))
        if _is_modest(file):
            wrong = command(["hold", "--plan", str(file), "--for", "0s", "--no-store"])
            yield wrong and f"{file.read_bytes()[:2000]!r}\n{wrong}"


def settings(random: Random, folder: Path) -> Iterator[str]:
    """Endless: what is wrong with `undo` of a damaged file of settings; XDG_STATE_HOME is the folder."""
    file = folder / "fourtuple" / "undo.json"
    file.parent.mkdir(exist_ok=True)
    while True:
        content = _document(random, [SETTING, SETTING])
        file.write_bytes(content)
        file.chmod(0o600)
        wrong = command(random.choice((["undo"], ["undo", "--forget"])))
        yield wrong and f"{content[:2000]!r}\n{wrong}"


def stores(random: Random, folder: Path) -> Iterator[str]:
    """Endless: what is wrong with commands about a damaged store."""
    file = folder / "damaged.db"
    while True:
        for beside in folder.glob("damaged.db*"):
            beside.unlink()
        shutil.copyfile(STORE, file)
        done = _damage_bytes(random, file) if random.random() < 0.3 else _damage_cell(random, file)
        run = random.choice(("1", "2", "3"))
        arguments = random.choice(
            (
                ["runs"],
                ["runs", "--json"],
                ["runs", "show", run],
                ["runs", "show", run, "--json"],
                ["runs", "show", run, "--follow"],
                ["runs", "export", run, "--csv"],
                ["runs", "export", run, "--json"],
                ["runs", "rm", run],
                ["compare", "1", random.choice(("1", "2"))],
                ["report", run, "-o", "-"],
                ["prove", "nonsense"],
                ["serve", "127.0.0.1:0", "--for", "0s"],
            )
        )
        wrong = command([*arguments, "--store", str(file)] if arguments[0] != "prove" else arguments)
        yield wrong and f"{arguments} after {done}\n{wrong}"


def _document(random: Random, value: Any) -> bytes:
    """The JSON of a value that was changed, or JSON that was changed itself."""
    if random.random() < 0.02:
        return DEEP
    if random.random() < 0.6:
        return json.dumps(mutations.json_value(random, value)).encode()
    return mutations.octets(random, json.dumps(value, indent=2).encode())


def _is_modest(plan: Path) -> bool:
    """Whether the plan does not open too many connections."""
    try:
        wanted = json.loads(plan.read_bytes())["wanted"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return True
    return not isinstance(wanted, int | float) or not MOST < wanted < LEAST_HUGE


def _damage_bytes(random: Random, file: Path) -> str:
    content = file.read_bytes()
    place = random.randrange(0, len(content), 4096) if random.random() < 0.5 else 0
    changed = mutations.octets(random, content[place : place + 4096])
    file.write_bytes(content[:place] + changed + content[place + 4096 :])
    return f"bytes at {place} were changed"


def _damage_cell(random: Random, file: Path) -> str:
    """Put a value of any type into a cell, in a table that permits it; or change the tables."""
    with closing(sqlite3.connect(file)) as base:
        if random.random() < 0.1:
            statement = random.choice(
                (
                    "DROP TABLE samples",
                    "DELETE FROM samples",
                    "ALTER TABLE samples DROP COLUMN open",
                    "ALTER TABLE runs RENAME COLUMN start TO began",
                    "PRAGMA user_version = 99",
                    f"PRAGMA user_version = {len(MIGRATIONS) - 1}",
                    "PRAGMA application_id = 1",
                    "CREATE VIEW more AS SELECT * FROM runs",
                    "UPDATE runs SET id = id + 9223372036854775000",
                )
            )
            with suppress(sqlite3.Error):
                base.execute(statement)
            base.commit()
            return statement
        base.execute("PRAGMA writable_schema = ON")
        base.execute("UPDATE sqlite_schema SET sql = replace(replace(sql, 'STRICT', ''), ' NOT NULL', '')")
        base.execute("UPDATE sqlite_schema SET sql = replace(sql, '),  WITHOUT', ') WITHOUT')")
        base.execute("UPDATE sqlite_schema SET sql = replace(rtrim(sql), ') , WITHOUT', ') WITHOUT')")
        base.commit()
    with closing(sqlite3.connect(file)) as base:
        try:
            table = random.choice(TABLES)
            column = random.choice([row[1] for row in base.execute(f"PRAGMA table_info({table})")])
            (before,) = base.execute(f"SELECT {column} FROM {table} ORDER BY random() LIMIT 1").fetchone() or (None,)  # noqa: S608
            value = _cell(random, before)
            base.execute(f"UPDATE {table} SET {column} = ? WHERE rowid % 2 OR ? ", (value, random.randrange(2)))  # noqa: S608
            base.commit()
        except (sqlite3.Error, OverflowError) as error:
            return f"a change that failed: {error}"
    return f"{table}.{column} became {value!a:.300}"


def _cell(random: Random, before: Any) -> Any:
    if isinstance(before, str) and before.startswith(("{", "[")) and random.random() < 0.8:
        return json.dumps(mutations.json_value(random, json.loads(before)))
    if isinstance(before, str) and random.random() < 0.5:
        return mutations.text(random, before).encode(errors="replace").decode()
    if isinstance(before, bytes) and random.random() < 0.8:
        return mutations.octets(random, before)
    numbers = [number for number in mutations.INTEGERS if -(2**63) <= number < 2**63]
    return random.choice((None, random.choice(numbers), -1, 1.5, 9e307, float("inf"), "text", "", b"", b"\xff" * 10))
