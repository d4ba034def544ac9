"""A machine's own records of its parts in the runs of fleets."""

from collections.abc import Sequence
from dataclasses import replace

from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.records import Sample, ServeRecord
from fourtuple.core.runs.stored import StoredRun
from fourtuple.fleet.messages import StoredPart, sample_bytes
from fourtuple.store.coding import to_text
from fourtuple.verbs.runs import Runs

MOST_SAMPLES = 400  # of each part that are sent


def stored_parts(fleet: str) -> list[StoredPart]:
    """The parts of this run of a fleet in this machine's store, oldest first.

    fleet: identifies the run

    Raises CannotError if the store cannot be read.
    """
    if not Runs.are_there():
        return []
    found = []
    with Runs() as runs:
        for run in runs.parts_of(fleet):
            if part := run.start.part:
                samples = [sample_bytes(_timed(each, run)) for each in thinned(list(runs.samples(run.entry.id)))]
                record = to_text(run.record).encode() if run.record else b""
                why = f"{run.entry.outcome} {run.entry.why}".strip()
                found.append(StoredPart(part, run.entry.id, why, record, samples))
    return found


def _timed(sample: Sample, run: StoredRun) -> Sample:
    """The sample with what the store keeps only in the record, and with moments in place of durations."""
    begin_ns = run.start.at_ns if sample.elapsed_s else 0
    open_at_end = 0
    if run.record and sample.phase >= Phase.CLOSING:
        open_at_end = run.record.open if isinstance(run.record, ServeRecord) else run.record.open_at_end
    end_ns = begin_ns + int(sample.elapsed_s * 1e9)
    return replace(sample, first_start_ns=begin_ns, last_open_ns=end_ns, open_at_end=open_at_end)


def thinned(samples: Sequence[Sample]) -> Sequence[Sample]:
    """At most MOST_SAMPLES of them, evenly spread, the last and the first counted one included."""
    if len(samples) <= MOST_SAMPLES:
        return samples
    kept = {round(place * (len(samples) - 1) / (MOST_SAMPLES - 2)) for place in range(MOST_SAMPLES - 1)}
    kept |= {next((place for place, sample in enumerate(samples) if sample.census), 0)}
    return [samples[place] for place in sorted(kept)]
