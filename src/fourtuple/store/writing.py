"""Writes a run in progress: other processes can read each sample as soon as it is written.

If another writer has locked the file, data is written with the next sample; writing never stops a run. An error ends
the writing, and `why_not` gives the reason.
"""

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from fourtuple.core.runs.counters import GROWTHS, MAPS, Phase
from fourtuple.core.runs.entry import RunState
from fourtuple.core.runs.label import Label
from fourtuple.core.runs.proof import Result, Step
from fourtuple.core.runs.records import MachineMoment, Sample
from fourtuple.core.runs.start import Start
from fourtuple.store.coding import to_text
from fourtuple.store.columns import NUMBERS, OTHERS
from fourtuple.store.file import WAIT_S, is_busy
from fourtuple.store.growth import grown_bytes
from fourtuple.store.reserve import Reserve

FIRST_S, FIRST_EVERY_S = 5.0, 0.05  # at first every sample is written, as a run may be short
EVERY_S = {Phase.OPENING: 0.25, Phase.HOLDING: 1.0, Phase.CLOSING: 0.25, Phase.CLOSED: 0.25}
PATIENCE_S = 0.02  # wait for another writer, while connections wait

# In each the last value is the run's number.
_COLUMNS, _VALUES = ", ".join((*NUMBERS, *OTHERS)), ", ".join("?" * (len(NUMBERS) + len(OTHERS)))
_SAMPLE = f"INSERT INTO samples (number, {_COLUMNS}, run) VALUES (?, {_VALUES}, ?)"  # noqa: S608  (names of ours)
_OF_MACHINE = f"INSERT INTO machine_samples (machine, number, {_COLUMNS}, run) VALUES (?, ?, {_VALUES}, ?)"  # noqa: S608
_MACHINE = "INSERT INTO machines (number, name, run) VALUES (?, ?, ?)"
_LESSON = "INSERT INTO lessons (number, result, run) VALUES (?, ?, ?)"
_PROGRESS = "INSERT INTO progress (number, lesson, at_ns, done, wanted, run) VALUES (?, ?, ?, ?, ?, ?)"
_COUNTS = "UPDATE runs SET n = ?, held = ? WHERE id = ?"
_END = (
    "UPDATE runs SET ended_at = ?, outcome = ?, why = ?, record = coalesce(?, record),"
    " n = coalesce(?, n), held = coalesce(?, held) WHERE id = ?"
)
_BEGIN = (
    "INSERT INTO runs (kind, command, writer, started_at, start, record, n, name, note)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
)

Statement = tuple[str, tuple[Any, ...]]


class Writer:
    """Writes one run.

    id:      number of the run; None until something has been written
    why_not: why the writing ended; None: it has not
    """

    def __init__(
        self,
        base: sqlite3.Connection,
        command: str,
        writer: str,
        file: Path | None = None,
        label: Label = Label(),  # noqa: B008  (frozen)
    ) -> None:
        """Prepare to write; nothing is written before `begin`.

        writer: a token from which readers can tell whether the writing process is alive, see kernel/proc/alive.py
        file:   the file of `base`; None: in memory
        """
        self._base, self._command, self._writer, self._label = base, command, writer, label
        self._reserve = Reserve(file)
        self._base.execute(f"PRAGMA busy_timeout = {int(PATIENCE_S * 1000)}")
        self._begin: tuple[Any, ...] = ()  # the values of the run's row; empty until it begins
        self._waiting: list[Statement] = []
        self._number = self._lessons = 0
        self._last: Sample | None = None
        self._last_of: dict[int, Sample] = {}  # of each machine of a fleet
        self._began_ns = self._due_ns = 0
        self._unwritten: Sample | None = None
        self.id: int | None = None
        self.why_not: str | None = None

    def begin(self, start: Start, more: str | None = None, n: int | None = None) -> None:
        """Write the start of the run.

        more: JSON for the record, as far as it is known
        n:    see core/runs/stored.py, Entry
        """
        self._began_ns = start.at_ns
        label = self._label
        about = (start.kind, self._command, self._writer, start.started_at, to_text(start))
        self._begin = (*about, more, n, label.name, label.note)
        self._write()

    def sample(self, sample: Sample) -> None:
        """Write the sample if it is due, or if the phase or the census is new."""
        last = self._last
        news = last is None or last.phase != sample.phase or (last.census is None) != (sample.census is None)
        if news or sample.at_ns >= self._due_ns:
            first = sample.at_ns - self._began_ns < FIRST_S * 1e9
            every_ns = int((FIRST_EVERY_S if first else EVERY_S[sample.phase]) * 1e9)
            # Count from the due time, not from the arrival, so that the rate of samples is kept.
            self._due_ns = sample.at_ns + every_ns if news else max(self._due_ns + every_ns, sample.at_ns)
            self._write_sample(sample)
        else:
            self._unwritten = sample

    def progress(self, step: Step, at_ns: int) -> None:
        """Write the progress of a lesson if it is due, and at its end."""
        if at_ns >= self._due_ns or step.done == step.of:
            self._due_ns = at_ns + int(EVERY_S[Phase.OPENING] * 1e9)
            self._write((_PROGRESS, (self._number, step.lesson.name, at_ns, step.done, step.of)))
            self._number += 1

    def lesson(self, result: Result) -> None:
        """Write the result of a lesson."""
        self._lessons += 1
        self._write((_LESSON, (self._lessons - 1, to_text(result))))

    def counts(self, n: int, held: int) -> None:
        """Write the numbers of the list of runs, see core/runs/stored.py, Entry."""
        self._write((_COUNTS, (n, held)))

    def end(
        self, outcome: RunState, record: str | None, why: str = "", n: int | None = None, held: int | None = None
    ) -> None:
        """Write the outcome, waiting for other writers for up to WAIT_S.

        n, held: None: leave unchanged
        """
        if self._unwritten is not None:
            self._write_sample(self._unwritten)
        self._reserve.release()
        ended_at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        if self.why_not is not None:  # there is space again for one more row
            self._waiting = [(_END, (ended_at, outcome, f"not stored completely: {self.why_not}", record, n, held))]
            with contextlib.suppress(sqlite3.Error):
                self._commit()
        self._write((_END, (ended_at, outcome, why, record, n, held)), patience_s=WAIT_S)
        if self._waiting and self.why_not is None:
            self.why_not = "another program has locked the file"

    def _write_sample(self, sample: Sample) -> None:
        statements: list[Statement] = [(_SAMPLE, (self._number, *_row(sample, self._last)))]
        for each in sample.machines:
            statements += self._of_machine(each, sample.at_ns)
        self._last = sample
        self._unwritten = None
        self._write(*statements)
        self._number += 1

    def _of_machine(self, machine: MachineMoment, at_ns: int) -> Iterator[Statement]:
        """A machine's own sample, if it is new. at_ns: of the sample of all machines"""
        now, last = machine.sample, self._last_of.get(machine.number)
        self._last_of[machine.number] = now
        if last is None:
            yield _MACHINE, (machine.number, machine.name)
        elif now.at_ns == last.at_ns:
            if now.phase == last.phase:
                return
            now = replace(now, at_ns=at_ns)  # it sent no other: this is what became of it when it was found to be gone
        yield _OF_MACHINE, (machine.number, self._number, *_row(now, last))

    def _write(self, *statements: Statement, patience_s: float = PATIENCE_S) -> None:
        """Write these statements and all waiting ones in one transaction; later, if the file stays locked."""
        if not self._begin or self.why_not is not None:
            return
        self._waiting += statements
        until_s = time.monotonic() + patience_s
        try:
            while not self._commit() and time.monotonic() < until_s:
                pass  # SQLite itself has waited
        except sqlite3.Error as error:  # the disk is full, or the file is gone
            self._waiting.clear()
            self.why_not = str(error)

    def _commit(self) -> bool:
        """Write all waiting statements → False if the file is locked. Raises sqlite3.Error."""
        try:
            with self._base:
                self._base.execute("BEGIN IMMEDIATE")
                run = self.id
                if run is None:
                    (run,) = self._base.execute(_BEGIN, self._begin).fetchone()
                for statement, values in self._waiting:
                    self._base.execute(statement, (*values, run))
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            return False
        self.id = run
        self._waiting.clear()
        return True


def _row(sample: Sample, last: Sample | None) -> tuple[Any, ...]:
    """The values of NUMBERS and OTHERS. last: the sample that was written before it"""
    seen = sample.seen
    more = {
        "connections": seen.connections if seen else None,
        "memory_bytes": seen.memory_bytes if seen else None,
        "time_wait": seen.time_wait if seen else None,
        "phase": int(sample.phase),
    }
    numbers = [more[name] if name in more else getattr(sample, name) for name in NUMBERS]
    maps = [*(getattr(sample, each.field) for each in MAPS), seen.moved if seen else {}]
    census = to_text(sample.census) if sample.census else None
    blobs = [grown_bytes(getattr(last, each.field) if last else None, getattr(sample, each.field)) for each in GROWTHS]
    return (*numbers, *map(to_text, maps), census, *blobs)
