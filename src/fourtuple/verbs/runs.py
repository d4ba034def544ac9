"""Stored runs: written while they run, listed, read, followed from another process, removed."""

import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from fourtuple.core.errors import EXIT_REACHED, CannotError, UsageError
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.entry import RunState
from fourtuple.core.runs.label import Label
from fourtuple.core.runs.outcome import Reason
from fourtuple.core.runs.proof import HOLDS, Ground, Proof, Result, Step
from fourtuple.core.runs.records import HoldRecord, Sample, ServeRecord
from fourtuple.core.runs.run import Run
from fourtuple.core.runs.stored import RunRecord, StoredRun
from fourtuple.core.units import format_rate
from fourtuple.kernel.proc.alive import living, mark
from fourtuple.store import listing, reading, tables
from fourtuple.store.coding import to_text
from fourtuple.store.file import default_file, open_store
from fourtuple.store.listing import Which
from fourtuple.store.writing import Writer
from fourtuple.verbs.listing import RunList

Record = TypeVar("Record", HoldRecord, ServeRecord, ChurnRecord)
BROKEN_BY = {KeyboardInterrupt: "Ctrl-C", GeneratorExit: "the program that started it stopped iterating"}
SHOWN_ANYWAY = (Reason.LOST, Reason.INTERRUPTED, Reason.FAILED)  # reasons that the numbers of the list show already
PART = "a machine's part of a fleet's run"
FOLLOW_S = 0.25  # between two reads of a run that another process writes


class Keeper:
    """Stores a run in a file, or in memory (`Keeper(None)`) if only its report is wanted.

    Raises UsageError or CannotError as open_store does.
    """

    def __init__(self, file: Path | None, command: str, label: Label = Label()) -> None:  # noqa: B008  (frozen)
        """Open the file.

        file:    None: keep the run in memory
        command: the command line of the run, for repeating it
        label:   the name and the note of the run
        """
        self._file, self._base = file, open_store(file, new=True)
        self._writer = Writer(self._base, command, mark(), file, label)

    @property
    def id(self) -> int | None:
        """The number of the run; None until it has begun."""
        return self._writer.id

    @property
    def why_not(self) -> str | None:
        """Why the run, or the rest of it, could not be written; None: it was written."""
        return self._writer.why_not

    def run(self, run: Run[Sample, Record]) -> Run[Sample, Record]:
        """The same run, with its samples and its record written as they arrive."""
        return Run(self._kept(run))

    def _kept(self, run: Run[Sample, Record]) -> Generator[Sample, None, Record]:
        begun = False
        part: list[str] = []
        with self._ended(), run:
            for sample in run:
                if not begun and sample.start:
                    begun = True
                    self._writer.begin(sample.start)
                    part = [PART] if sample.start.part else []
                self._writer.sample(sample)
                yield sample
        record = run.record
        if isinstance(record, HoldRecord):
            outcome = RunState.REACHED if record.outcome.reached else RunState.SHORT
            self._end(outcome, to_text(record), _listed(_marks(record), part), n=record.wanted, held=record.held)
        elif isinstance(record, ChurnRecord):
            outcome = RunState.REACHED if record.outcome.reached else RunState.SHORT
            self._end(outcome, to_text(record), _listed(_marks(record), part), n=record.arrivals, held=record.completed)
        else:
            ended = RunState.REACHED if record.outcome.required else RunState.ENDED
            outcome = ended if record.outcome.reached else RunState.SHORT
            self._end(outcome, to_text(record), ", ".join(part), n=record.accepted, held=record.most_open)
        return record

    def proof(self, run: Run[Ground | Step, Proof], lessons: int) -> Run[Ground | Step, Proof]:
        """The same for a proof.

        lessons: its number of lessons
        """
        return Run(self._kept_proof(run, lessons))

    def _kept_proof(self, run: Run[Ground | Step, Proof], lessons: int) -> Generator[Ground | Step, None, Proof]:
        held = 0
        with self._ended(), run:
            for step in run:
                if isinstance(step, Ground):
                    self._writer.begin(step.start, to_text(step.refusal), lessons)
                elif step.result:
                    self._writer.lesson(step.result)
                    held += step.result.verdict == HOLDS
                    self._writer.counts(lessons, held)
                elif step.of:
                    self._writer.progress(step, time.monotonic_ns())
                yield step
        proof = run.record
        self._end(RunState.REACHED if proof.exit_code == EXIT_REACHED else RunState.SHORT, None, proof.why)
        return proof

    def stored(self) -> StoredRun:
        """The ended run, with number 0 if it is in memory only. Raises CannotError if it was not stored."""
        if self.id is None:
            raise CannotError("cannot report this run", f"it could not be stored: {self.why_not}", "See --no-store.")
        if self._file is None:
            run = reading.read_run(self._base, self.id, living())
            return replace(run, entry=replace(run.entry, id=0))
        with Runs(self._file) as runs:
            return runs.read(self.id)

    def _end(self, outcome: RunState, record: str | None, why: str = "", **counts: int) -> None:
        self._writer.end(outcome, record, why, **counts)
        if self._file is not None:
            self._base.close()

    @contextmanager
    def _ended(self) -> Generator[None, None, None]:
        """Record an exception that ends the run."""
        try:
            yield
        except BaseException as error:
            self._end(RunState.BROKEN, None, BROKEN_BY.get(type(error), str(error) or type(error).__name__))
            raise


def keep(file: Path | None, command: str, label: Label = Label()) -> Keeper:  # noqa: B008  (frozen)
    """A keeper for the file. file: None: default_file(). Raises as open_store does."""
    return Keeper(file or default_file(), command, label)


def exported(run: StoredRun, how: str) -> bytes:
    """The run as CSV, JSON or Parquet. how: csv, json or parquet. Raises CannotError if pyarrow is not installed."""
    return tables.exported(run, how)


def _listed(marks: Iterator[str], part: Sequence[str]) -> str:
    return ", ".join([*marks, *part])


def _marks(record: HoldRecord | ChurnRecord) -> Iterator[str]:
    """What the list of runs says next to the number that was held, or completed."""
    if isinstance(record, ChurnRecord) and any(step.kept for step in record.steps):
        yield f"highest rate {format_rate(record.planned_per_s)}"
    if record.lost:
        yield f"{record.lost:,} lost"
    if record.interrupted:
        yield "interrupted"
    reasons = [name for name in record.outcome.because if name in {*Reason}]
    yield from (name.replace("_", " ") for name in reasons if name not in SHOWN_ANYWAY)
    if len(reasons) < len(record.outcome.because):  # the others are requirements of the user
        unmet = ", ".join(f"{each.name}{each.wanted}" for each in record.outcome.required if not each.met)
        yield f"not met: {unmet}"


class Runs(RunList):
    """The runs in a file, with their samples: `with Runs(file) as runs`. Raises as RunList does."""

    def read(self, run: Which = None) -> StoredRun:
        """The whole run; of a run in progress, what is stored so far. Raises UsageError as `entry` does."""
        return reading.read_run(self._base, run, living())

    def parts_of(self, fleet: str) -> list[StoredRun]:
        """The runs that are a machine's part in this run of a fleet, oldest first."""
        return [self.read(run) for run in listing.parts_of(self._base, fleet)]

    def of_fleet(self, run: Which = None) -> StoredRun:
        """A run of all machines of a fleet. run: None: the newest. Raises UsageError if there is no such run."""
        which = listing.newest_of_fleet(self._base) if run is None else run
        if which is None:
            raise UsageError("there is no stored run of a fleet", do="fourtuple runs lists the stored runs.")
        found = self.read(which)
        if not found.start.fleet:
            raise UsageError(f"run {which}", "it is not the run of a fleet", "fourtuple runs lists the stored runs.")
        return found

    def samples(self, run: int) -> Iterator[Sample]:
        """All samples of a run, as they were when they were written."""
        return reading.samples_since(self._base, run, 0, None)

    def follow(self, run: int) -> Run[Sample, RunRecord]:
        """A run that another process writes, as if it ran here. Raises CannotError if it ends without a record."""
        return Run(self._followed(run))

    def _followed(self, run: int) -> Generator[Sample, None, RunRecord]:
        number = 0
        last: Sample | None = None
        while True:
            entry = self.entry(run)
            if entry.kind == "prove":
                raise UsageError(
                    f"cannot follow run {run}", "it is a proof, which has no samples", "Use fourtuple runs show."
                )
            for sample in reading.samples_since(self._base, run, number, last):
                number, last = number + 1, sample
                yield sample
            if entry.outcome is not RunState.RUNNING:
                record = self.read(run).record
                if record is None:
                    raise CannotError(f"run {run} has no result", f"{entry.outcome} {entry.why}".strip())
                return record
            time.sleep(FOLLOW_S)

    def follow_proof(self, run: int) -> Iterator[Result]:
        """The results of a proof that another process writes, as they arrive."""
        reported = 0
        while True:
            entry = self.entry(run)
            results = self.read(run).results
            yield from results[reported:]
            reported = len(results)
            if entry.outcome is not RunState.RUNNING:
                return
            time.sleep(FOLLOW_S)
