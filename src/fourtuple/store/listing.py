"""Lists, finds and removes stored runs, without their samples. Works without Linux."""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Literal

import msgspec

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.runs.entry import Entry, RunState
from fourtuple.core.runs.start import Start
from fourtuple.store.coding import Count, from_text, stamp

Which = int | str | None  # a run: by its number, or by its name; None: the newest
MOST_NUMBERS = 5  # of runs with the same name that an error lists
Alive = Callable[[str], bool | None]  # the `writer` that Writer was given → whether it is still writing; None: unknown

Kind = Literal["hold", "serve", "churn", "prove"]
Number = Count | None
# The types of a row: a damaged file may have any type in any column.
_Row = tuple[int, Kind, str, str, str | None, RunState | None, str, Number, Number, str, str, str, Number]  # of _ENTRY
_ENTRY = (
    "SELECT id, kind, command, started_at, ended_at, outcome, why, n, held, start, name, note,"
    " (SELECT max(number) + 1 FROM samples WHERE run = id)"
    " FROM runs WHERE id = ?"
)


@contextmanager
def reading(base: sqlite3.Connection) -> Iterator[None]:
    """Turns errors of SQLite and of decoding into CannotError."""
    try:
        yield
    except (sqlite3.Error, ValueError) as error:
        file = ""
        with suppress(sqlite3.Error):
            file = f" {base.execute('PRAGMA database_list').fetchone()[2]}"
        do = "Move this file away; the next run creates a new one."
        raise CannotError(f"the run database{file} is damaged", str(error), do) from None


def entries(base: sqlite3.Connection, alive: Alive) -> list[Entry]:
    """All runs, newest first."""
    with reading(base):
        found = [_entry(base, run, alive) for (run,) in base.execute("SELECT id FROM runs ORDER BY id DESC").fetchall()]
        return [entry for entry in found if entry is not None]  # a run may have been removed since the first query


def entry(base: sqlite3.Connection, run: Which, alive: Alive) -> Entry:
    """The entry of a run. Raises UsageError if there is no such run, or if several have the name."""
    with reading(base):
        missing = "there are no stored runs" if run is None else f"there is no run {run}"
        number = _number(base, run)
        found = None if number is None else _entry(base, number, alive)
        if found is None:
            raise UsageError(missing, do="fourtuple runs lists the stored runs.")
        return found


def _number(base: sqlite3.Connection, run: Which) -> int | None:
    """The number of a run; None: there is no such run. Raises UsageError if several have the name."""
    if isinstance(run, int):
        return run
    if run is None:
        (number,) = base.execute("SELECT max(id) FROM runs").fetchone()
        return None if number is None else int(number)
    numbers = [int(number) for (number,) in base.execute("SELECT id FROM runs WHERE name = ? ORDER BY id", (run,))]
    if len(numbers) > 1:
        listed = ", ".join(map(str, numbers[-MOST_NUMBERS:]))
        more = f"{len(numbers):,} runs have this name, {'the newest ' * (len(numbers) > MOST_NUMBERS)}{listed}"
        raise UsageError(f"run {run}", more, "Write the number.")
    return numbers[0] if numbers else None


def parts_of(base: sqlite3.Connection, fleet: str) -> list[int]:
    """The runs that are a machine's part in this run of a fleet, oldest first."""
    with reading(base):
        query = "SELECT id FROM runs WHERE json_extract(start, '$.part.fleet') = ? ORDER BY id"
        return [int(run) for (run,) in base.execute(query, (fleet,))]


def newest_of_fleet(base: sqlite3.Connection) -> int | None:
    """The newest run of a fleet; None: there is none."""
    with reading(base):
        (run,) = base.execute("SELECT max(id) FROM runs WHERE json_extract(start, '$.fleet') <> ''").fetchone()
        return None if run is None else int(run)


def remove(base: sqlite3.Connection, runs: Sequence[int | str], alive: Alive) -> list[int]:
    """Remove all of these runs or none → their numbers. Raises UsageError as `entry`, or if one is still running."""
    found = [entry(base, run, alive) for run in runs]
    for each in found:
        if each.outcome is RunState.RUNNING:
            raise UsageError(f"cannot remove run {each.id}", "it is still running")
    numbers = [each.id for each in found]
    with reading(base), base:
        base.execute("BEGIN IMMEDIATE")
        base.executemany("DELETE FROM runs WHERE id = ?", [(number,) for number in numbers])
    return numbers


def _entry(base: sqlite3.Connection, run: int, alive: Alive) -> Entry | None:
    """The entry of a run; None: it has been removed."""
    writer = one_text(base, "SELECT writer FROM runs WHERE id = ? AND outcome IS NULL", run)
    # First whether the writer is alive, then what it has written: a writer that ends in between has written everything.
    still = None if writer is None else alive(writer)
    row = base.execute(_ENTRY, (run,)).fetchone()
    if row is None:
        return None
    _, kind, command, started_at, ended_at, outcome, why, n, held, start, name, note, samples = msgspec.convert(
        row, _Row
    )
    if outcome is None:
        outcome = RunState.UNFINISHED if still is None else RunState.RUNNING if still else RunState.KILLED
    begun = start_of(start)
    if held is None:  # not recorded yet
        query = "SELECT max(open), max(opened), max(arrivals), max(closed) FROM samples WHERE run = ?"
        most, accepted, arrivals, closed = msgspec.convert(
            base.execute(query, (run,)).fetchone(), tuple[Number, Number, Number, Number]
        )
        wanted = begun.planned.wanted if begun.planned else accepted
        n = {"prove": n, "hold": wanted, "churn": arrivals}.get(kind, accepted)
        held = closed if kind == "churn" else most
    return Entry(
        id=run,
        kind=kind,
        command=command,
        started_at=stamp(started_at),
        ended_at=None if ended_at is None else stamp(ended_at),
        outcome=outcome,
        why=why,
        n=n,
        held=held,
        samples=samples or 0,
        host=begun.found.host,
        name=name,
        note=note,
    )


def one_text(base: sqlite3.Connection, query: str, run: int) -> str | None:
    """The text that a query for one value gives; None: NULL, or no such row."""
    row = base.execute(query, (run,)).fetchone() or (None,)
    (text,) = msgspec.convert(row, tuple[str | None])
    return text


def start_of(text: str | None) -> Start:
    start = from_text(text or "", Start)
    stamp(start.started_at)
    return start
