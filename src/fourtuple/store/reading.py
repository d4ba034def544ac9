"""Reads stored runs: the list, a whole run, and the new samples of a run in progress. Works without Linux."""

import json
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.runs.counters import COLUMN, GROWTHS, MAPS, Phase
from fourtuple.core.runs.judge import judge_stored
from fourtuple.core.runs.outcome import UNJUDGED
from fourtuple.core.runs.proof import Ground, Result
from fourtuple.core.runs.records import HoldRecord, Sample, Seen, ServeRecord, Witness
from fourtuple.core.runs.start import Start
from fourtuple.core.runs.stored import GROWN, Entry, LessonProgress, RunState, StoredRun
from fourtuple.store.coding import from_text, grown
from fourtuple.store.file import NUMBERS, OTHERS

Alive = Callable[[str], bool | None]  # the `writer` that Writer was given → whether it is still writing; None: unknown

LAST = (*(each.column for each in MAPS), "moved")  # columns of the last sample that apply to the whole run
_ENTRY = (
    "SELECT id, kind, command, started_at, ended_at, outcome, why, n, held, start,"
    " (SELECT max(number) + 1 FROM samples WHERE run = id)"
    " FROM runs WHERE id = ?"
)


@contextmanager
def reading(base: sqlite3.Connection) -> Iterator[None]:
    """Turns errors of SQLite and of decoding into CannotError."""
    try:
        yield
    except sqlite3.Error as error:
        file = base.execute("PRAGMA database_list").fetchone()[2]
        do = "Move this file away; the next run creates a new one."
        raise CannotError(f"cannot read the run database {file}", str(error), do) from None
    except ValueError as error:
        raise CannotError("cannot read a stored run", str(error)) from None


def entries(base: sqlite3.Connection, alive: Alive) -> list[Entry]:
    """All runs, newest first."""
    with reading(base):
        found = [_entry(base, run, alive) for (run,) in base.execute("SELECT id FROM runs ORDER BY id DESC").fetchall()]
        return [entry for entry in found if entry is not None]  # a run may have been removed since the first query


def entry(base: sqlite3.Connection, run: int | None, alive: Alive) -> Entry:
    """The entry of a run. run: None: the newest. Raises UsageError if there is no such run."""
    with reading(base):
        missing = "there are no stored runs" if run is None else f"there is no run {run}"
        if run is None:
            (run,) = base.execute("SELECT max(id) FROM runs").fetchone()
        found = None if run is None else _entry(base, run, alive)
        if found is None:
            raise UsageError(missing, do="fourtuple runs lists the stored runs.")
        return found


def read_run(base: sqlite3.Connection, run: int | None, alive: Alive) -> StoredRun:
    """The whole run; of a run in progress, what is stored so far. Raises UsageError as `entry` does."""
    found = entry(base, run, alive)
    with reading(base):
        base.execute("BEGIN")  # one consistent snapshot
        try:
            return _whole(base, found)
        finally:
            base.execute("COMMIT")


def samples_since(base: sqlite3.Connection, run: int, number: int, before: Sample | None) -> Iterator[Sample]:
    """The samples from this number on.

    before: the previous sample, from which the histograms continue
    """
    with reading(base):
        start = from_text(base.execute("SELECT start FROM runs WHERE id = ?", (run,)).fetchone()[0], Start)
        rows = base.execute(
            f"SELECT {', '.join((*NUMBERS, *OTHERS))} FROM samples WHERE run = ? AND number >= ? ORDER BY number",  # noqa: S608
            (run, number),
        )
        for row in rows:
            before = _sample(row, start, before)
            yield before


def remove(base: sqlite3.Connection, runs: list[int], alive: Alive) -> None:
    """Remove all of these runs or none. Raises UsageError if one does not exist or is still running."""
    for run in runs:
        if entry(base, run, alive).outcome is RunState.RUNNING:
            raise UsageError(f"cannot remove run {run}", "it is still running")
    with reading(base), base:
        base.execute("BEGIN IMMEDIATE")
        base.executemany("DELETE FROM runs WHERE id = ?", [(run,) for run in runs])


def _entry(base: sqlite3.Connection, run: int, alive: Alive) -> Entry | None:
    """The entry of a run; None: it has been removed."""
    found = base.execute("SELECT writer FROM runs WHERE id = ? AND outcome IS NULL", (run,)).fetchone()
    # First whether the writer is alive, then what it has written: a writer that ends in between has written everything.
    still = alive(found[0]) if found else None
    row = base.execute(_ENTRY, (run,)).fetchone()
    if row is None:
        return None
    _, kind, command, started_at, ended_at, outcome, why, n, held, start, samples = row
    if outcome is None:
        outcome = RunState.UNFINISHED if still is None else RunState.RUNNING if still else RunState.KILLED
    begun = from_text(start, Start)
    if held is None:  # not recorded yet
        most, accepted = base.execute("SELECT max(open), max(opened) FROM samples WHERE run = ?", (run,)).fetchone()
        n = n if kind == "prove" else begun.planned.wanted if begun.planned and kind == "hold" else accepted
        held = most
    return Entry(
        id=run,
        kind=kind,
        command=command,
        started_at=started_at,
        ended_at=ended_at,
        outcome=RunState(outcome),
        why=why,
        n=n,
        held=held,
        samples=samples or 0,
        host=begun.found.host,
    )


def _whole(base: sqlite3.Connection, entry: Entry) -> StoredRun:
    start, record = base.execute("SELECT start, record FROM runs WHERE id = ?", (entry.id,)).fetchone()
    rows = base.execute(
        f"SELECT {', '.join(NUMBERS)} FROM samples WHERE run = ? ORDER BY number",  # noqa: S608
        (entry.id,),
    ).fetchall()
    blobs = base.execute(
        "SELECT connect_grown, answer_grown, service_grown FROM samples WHERE run = ? ORDER BY number", (entry.id,)
    ).fetchall()
    last = base.execute(
        f"SELECT {', '.join(LAST)} FROM samples WHERE run = ? ORDER BY number DESC LIMIT 1",  # noqa: S608
        (entry.id,),
    ).fetchone()
    results = base.execute("SELECT result FROM lessons WHERE run = ? ORDER BY number", (entry.id,)).fetchall()
    steps = base.execute(
        "SELECT lesson, at_ns, done, wanted FROM progress WHERE run = ? ORDER BY number", (entry.id,)
    ).fetchall()
    kinds: Mapping[str, type[Any]] = {"hold": HoldRecord, "serve": ServeRecord}
    begun, is_proof = from_text(start, Start), entry.kind == "prove"
    return StoredRun(
        entry=entry,
        start=begun,
        series=np.array([tuple(np.nan if value is None else value for value in row) for row in rows], COLUMN),
        connects=_growth([connects for connects, _, _ in blobs]),
        answers=_growth([answers for _, answers, _ in blobs]),
        services=_growth([services for _, _, services in blobs]),
        last={name: json.loads(text) for name, text in zip(LAST, last or ["{}"] * len(LAST), strict=True)},
        record=None if record is None or is_proof else _judged(from_text(record, kinds[entry.kind]), entry),
        ground=Ground(json.loads(record), begun)
        if record and is_proof
        else None,  # the record of a proof is the refusal
        results=tuple(from_text(text, Result) for (text,) in results),
        progress=tuple(
            LessonProgress(lesson, (at_ns - begun.at_ns) / 1e9, done, wanted) for lesson, at_ns, done, wanted in steps
        ),
    )


def _judged(record: HoldRecord | ServeRecord, entry: Entry) -> HoldRecord | ServeRecord:
    """The record with its outcome; one from before outcomes were stored gets the verdict that was stored then."""
    if record.outcome != UNJUDGED:
        return record
    return replace(record, outcome=judge_stored(record, reached=entry.outcome is not RunState.SHORT))


def _growth(blobs: list[bytes]) -> NDArray[Any]:
    parts = [grown(blob) for blob in blobs]
    rows = np.zeros(sum(map(len, parts)), GROWN)
    if parts:
        rows["sample"] = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        rows["bucket"] = np.concatenate([part["bucket"] for part in parts])
        rows["count"] = np.concatenate([part["count"] for part in parts])
    return rows


def _sample(row: tuple[Any, ...], start: Start, before: Sample | None) -> Sample:
    values = dict(zip(NUMBERS, row, strict=False))
    others = dict(zip(OTHERS, row[len(NUMBERS) :], strict=True))
    connections, memory_bytes = (
        None if value is None else int(value) for value in (values.pop("connections"), values.pop("memory_bytes"))
    )
    return Sample(
        **values
        | {"phase": Phase(values["phase"])}
        | {each.field: json.loads(others[each.column]) for each in MAPS}
        | {
            each.field: _added(getattr(before, each.field) if before else None, others[each.column], each.size)
            for each in GROWTHS
        },
        start=start,
        seen=Seen(connections, memory_bytes, json.loads(others["moved"])),
        census=from_text(others["census"], Witness) if others["census"] else None,
    )


def _added(before: NDArray[np.int64] | None, blob: bytes, size: int) -> NDArray[np.int64]:
    now = np.zeros(size, np.int64) if before is None else before.copy()
    change = grown(blob)
    now[change["bucket"]] += change["count"]
    return now
