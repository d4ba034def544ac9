"""Reads stored runs: the list, a whole run, and the new samples of a run in progress. Works without Linux."""

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from fourtuple.core.decoding import from_json
from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.counters import COLUMN, DURATIONS, GROWTHS, MAPS, Phase
from fourtuple.core.runs.judge import judge_stored
from fourtuple.core.runs.outcome import UNJUDGED
from fourtuple.core.runs.proof import VERDICTS, Ground, Result
from fourtuple.core.runs.records import HoldRecord, Sample, Seen, ServeRecord, Witness
from fourtuple.core.runs.start import Start
from fourtuple.core.runs.stored import GROWN, Entry, LessonProgress, MachineSeries, RunRecord, RunState, StoredRun
from fourtuple.core.units import MOST_S
from fourtuple.store.coding import Count, Measured, Moment, from_text, grown, stamp
from fourtuple.store.file import NUMBERS, OTHERS

Which = int | str | None  # a run: by its number, or by its name; None: the newest
MOST_NUMBERS = 5  # of runs with the same name that an error lists
Alive = Callable[[str], bool | None]  # the `writer` that Writer was given → whether it is still writing; None: unknown

KINDS: Mapping[str, type[Any]] = {"hold": HoldRecord, "serve": ServeRecord, "churn": ChurnRecord}
Kind = Literal["hold", "serve", "churn", "prove"]
Number = Count | None
SIZES: Mapping[str, int] = {each.column: each.size for each in GROWTHS}  # buckets of each histogram
# The types of rows: a damaged file may have any type in any column.
_Row = tuple[int, Kind, str, str, str | None, RunState | None, str, Number, Number, str, str, str, Number]  # of _ENTRY
_Progress = tuple[str, Moment, Count, Count]
_NUMBERS = [Moment if name == "at_ns" else Count if COLUMN[name].kind == "i" else Measured | None for name in NUMBERS]
_OTHERS = [bytes if name in SIZES else str | None if name == "census" else str for name in OTHERS]
_Numbers: Any = tuple.__class_getitem__(tuple(_NUMBERS))
_Others: Any = tuple.__class_getitem__(tuple(_OTHERS))
_Durations: Any = tuple.__class_getitem__((bytes,) * len(DURATIONS))

SEEN = ("connections", "memory_bytes", "time_wait")  # columns of what the kernel reported
LAST = (*(each.column for each in MAPS), "moved")  # columns of the last sample that apply to the whole run
_OF_MACHINE = "machine_samples WHERE run = ? AND machine = ?"
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


def read_run(base: sqlite3.Connection, run: Which, alive: Alive) -> StoredRun:
    """The whole run; of a run in progress, what is stored so far. Raises UsageError as `entry` does."""
    found = entry(base, run, alive)
    with reading(base):
        base.execute("BEGIN")  # one consistent snapshot
        try:
            return _whole(base, found)
        finally:
            base.execute("COMMIT")


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


def samples_since(base: sqlite3.Connection, run: int, number: int, before: Sample | None) -> Iterator[Sample]:
    """The samples from this number on.

    before: the previous sample, from which the histograms continue
    """
    with reading(base):
        start = _start(_one(base, "SELECT start FROM runs WHERE id = ?", run))
        rows = base.execute(
            f"SELECT {', '.join((*NUMBERS, *OTHERS))} FROM samples WHERE run = ? AND number >= ? ORDER BY number",  # noqa: S608
            (run, number),
        )
        for row in rows:
            before = _sample(row, start, before)
            yield before


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
    writer = _one(base, "SELECT writer FROM runs WHERE id = ? AND outcome IS NULL", run)
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
    begun = _start(start)
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


def _whole(base: sqlite3.Connection, entry: Entry) -> StoredRun:
    begun = _start(_one(base, "SELECT start FROM runs WHERE id = ?", entry.id))
    record = _one(base, "SELECT record FROM runs WHERE id = ?", entry.id)
    series, growth = _series(base, "samples WHERE run = ?", entry.id)
    last = base.execute(
        f"SELECT {', '.join(LAST)} FROM samples WHERE run = ? ORDER BY number DESC LIMIT 1",  # noqa: S608
        (entry.id,),
    ).fetchone()
    results = base.execute("SELECT result FROM lessons WHERE run = ? ORDER BY number", (entry.id,)).fetchall()
    steps = base.execute(
        "SELECT lesson, at_ns, done, wanted FROM progress WHERE run = ? ORDER BY number", (entry.id,)
    ).fetchall()
    machines = base.execute("SELECT number, name FROM machines WHERE run = ? ORDER BY number", (entry.id,)).fetchall()
    is_proof = entry.kind == "prove"
    return StoredRun(
        entry=entry,
        start=begun,
        series=series,
        growth=growth,
        last={name: _map(text) for name, text in zip(LAST, last or ["{}"] * len(LAST), strict=True)},
        record=None if record is None or is_proof else _judged(_record(record, KINDS[entry.kind]), entry),
        # the record of a proof is the refusal
        ground=Ground(from_text(record, str | None), begun) if record and is_proof else None,  # type: ignore[arg-type]
        results=tuple(_result(text) for (text,) in msgspec.convert(results, list[tuple[str]])),
        progress=tuple(
            LessonProgress(lesson, (at_ns - begun.at_ns) / 1e9, done, wanted)
            for lesson, at_ns, done, wanted in msgspec.convert(steps, list[_Progress])
        ),
        machines=tuple(
            MachineSeries(number, name, *_series(base, _OF_MACHINE, entry.id, number))
            for number, name in msgspec.convert(machines, list[tuple[Count, str]])
        ),
    )


def _series(base: sqlite3.Connection, rows_of: str, *which: int) -> tuple[NDArray[Any], Mapping[str, NDArray[Any]]]:
    """Samples by column, and the growth of their histograms of durations.

    rows_of: a table and the condition that `which` fills
    """
    columns = ", ".join((*NUMBERS, *(each.column for each in DURATIONS)))
    rows = base.execute(f"SELECT {columns} FROM {rows_of} ORDER BY number", which).fetchall()  # noqa: S608
    numbers = _numbers([row[: len(NUMBERS)] for row in rows])
    blobs = msgspec.convert([row[len(NUMBERS) :] for row in rows], list[_Durations])
    grown_in = zip(*blobs, strict=True) if blobs else [()] * len(DURATIONS)
    return (
        np.array([tuple(np.nan if value is None else value for value in row) for row in numbers], COLUMN),
        {each.name: _growth(blobs, each.column) for each, blobs in zip(DURATIONS, grown_in, strict=True)},
    )


def _judged(record: RunRecord, entry: Entry) -> RunRecord:
    """The record with its outcome; one from before outcomes were stored gets the verdict that was stored then."""
    if isinstance(record, ChurnRecord) or record.outcome != UNJUDGED:
        return record
    return replace(record, outcome=judge_stored(record, reached=entry.outcome is not RunState.SHORT))


def _one(base: sqlite3.Connection, query: str, run: int) -> str | None:
    """The text that a query for one value gives; None: NULL, or no such row."""
    row = base.execute(query, (run,)).fetchone() or (None,)
    (text,) = msgspec.convert(row, tuple[str | None])
    return text


def _start(text: str | None) -> Start:
    start = from_text(text or "", Start)
    stamp(start.started_at)
    return start


def _record(text: str, kind: type[Any]) -> Any:
    record = from_text(text, kind)
    if isinstance(record, HoldRecord | ChurnRecord):
        stamp(record.started_at)
    if isinstance(record, HoldRecord) and any(not 0 <= loss.at_s <= MOST_S for loss in record.losses):
        raise ValueError("the time of a loss is out of range")
    return record


def _result(text: str) -> Result:
    result = from_json(text, Result)  # its numbers may be of any size: how many IPv6 connections there could be
    if result.verdict not in VERDICTS:
        raise ValueError(f"{result.verdict!r} is not a verdict")
    return result


def _map(text: str) -> dict[str, int]:
    return from_text(text, dict[str, int])


def _numbers(rows: list[Any]) -> Any:
    return msgspec.convert(rows, list[_Numbers])


def _growth(blobs: Sequence[bytes], column: str) -> NDArray[Any]:
    parts = [grown(blob, SIZES[column]) for blob in blobs]
    rows = np.zeros(sum(map(len, parts)), GROWN)
    if parts:
        rows["sample"] = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        rows["bucket"] = np.concatenate([part["bucket"] for part in parts])
        rows["count"] = np.concatenate([part["count"] for part in parts])
    return rows


def _sample(row: tuple[Any, ...], start: Start, before: Sample | None) -> Sample:
    (numbers,) = _numbers([row[: len(NUMBERS)]])
    values = dict(zip(NUMBERS, numbers, strict=True))
    others = dict(zip(OTHERS, msgspec.convert(row[len(NUMBERS) :], _Others), strict=True))
    connections, memory_bytes, time_wait = (
        None if value is None else int(value) for value in (values.pop(name) for name in SEEN)
    )
    return Sample(
        **values
        | {"phase": Phase(values["phase"])}
        | {each.field: _map(others[each.column]) for each in MAPS}
        | {
            each.field: _added(getattr(before, each.field) if before else None, others[each.column], each.size)
            for each in GROWTHS
        },
        start=start,
        seen=Seen(connections, memory_bytes, _map(others["moved"]), time_wait),
        census=from_text(others["census"], Witness) if others["census"] else None,
    )


def _added(before: NDArray[np.int64] | None, blob: bytes, size: int) -> NDArray[np.int64]:
    now = np.zeros(size, np.int64) if before is None else before.copy()
    change = grown(blob, size)
    now[change["bucket"]] += change["count"]
    return now
