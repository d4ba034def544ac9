"""Reads stored runs: a whole run, and the new samples of a run in progress. Works without Linux."""

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from fourtuple.core.decoding import from_json
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.counters import COLUMN, DURATIONS, GROWTHS, MAPS, Phase
from fourtuple.core.runs.entry import Entry, RunState
from fourtuple.core.runs.judge import judge_stored
from fourtuple.core.runs.outcome import UNJUDGED
from fourtuple.core.runs.proof import VERDICTS, Ground, Result
from fourtuple.core.runs.records import HoldRecord, Sample, Seen, ServeRecord, Witness
from fourtuple.core.runs.start import Start
from fourtuple.core.runs.stored import GROWN, ErrorSeries, LessonProgress, MachineSeries, RunRecord, StoredRun
from fourtuple.core.units import MOST_S
from fourtuple.store.coding import Count, Measured, Moment, from_text, stamp
from fourtuple.store.columns import NUMBERS, OTHERS
from fourtuple.store.growth import grown
from fourtuple.store.listing import Alive, Which, entry, one_text, reading, start_of

KINDS: Mapping[str, type[Any]] = {"hold": HoldRecord, "serve": ServeRecord, "churn": ChurnRecord}
SIZES: Mapping[str, int] = {each.column: each.size for each in GROWTHS}  # buckets of each histogram
# The types of rows: a damaged file may have any type in any column.
_Progress = tuple[str, Moment, Count, Count]
_NUMBERS = [Moment if name == "at_ns" else Count if COLUMN[name].kind == "i" else Measured | None for name in NUMBERS]
_OTHERS = [bytes if name in SIZES else str | None if name == "census" else str for name in OTHERS]
_Numbers: Any = tuple.__class_getitem__(tuple(_NUMBERS))
_Others: Any = tuple.__class_getitem__(tuple(_OTHERS))
_Durations: Any = tuple.__class_getitem__((bytes,) * len(DURATIONS))

SEEN = ("connections", "memory_bytes", "time_wait")  # columns of what the kernel reported
LAST = (*(each.column for each in MAPS), "moved")  # columns of the last sample that apply to the whole run
_OF_MACHINE = "machine_samples WHERE run = ? AND machine = ?"


def read_run(base: sqlite3.Connection, run: Which, alive: Alive) -> StoredRun:
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
        start = start_of(one_text(base, "SELECT start FROM runs WHERE id = ?", run))
        rows = base.execute(
            f"SELECT {', '.join((*NUMBERS, *OTHERS))} FROM samples WHERE run = ? AND number >= ? ORDER BY number",  # noqa: S608
            (run, number),
        )
        for row in rows:
            before = _sample(row, start, before)
            yield before


def _whole(base: sqlite3.Connection, entry: Entry) -> StoredRun:
    begun = start_of(one_text(base, "SELECT start FROM runs WHERE id = ?", entry.id))
    record = one_text(base, "SELECT record FROM runs WHERE id = ?", entry.id)
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
        errors=tuple(_errors(base, entry.id)),
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


def _errors(base: sqlite3.Connection, run: int) -> Iterator[ErrorSeries]:
    rows = base.execute("SELECT failed, lost_by FROM samples WHERE run = ? ORDER BY number", (run,)).fetchall()
    texts = msgspec.convert(rows, list[tuple[str, str]])
    read = {text: _map(text) for text in {text for row in texts for text in row}}  # most samples have the same
    for what, column in zip(("failed", "lost"), zip(*texts, strict=True), strict=False):
        maps = [read[text] for text in column]
        for name in dict.fromkeys(name for each in maps for name in each):
            yield ErrorSeries(what, name, np.array([each.get(name, 0) for each in maps], np.int64))


def _judged(record: RunRecord, entry: Entry) -> RunRecord:
    """The record with its outcome; one from before outcomes were stored gets the verdict that was stored then."""
    if isinstance(record, ChurnRecord) or record.outcome != UNJUDGED:
        return record
    return replace(record, outcome=judge_stored(record, reached=entry.outcome is not RunState.SHORT))


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
