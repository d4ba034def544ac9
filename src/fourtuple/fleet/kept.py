"""A machine's own records of its parts in the runs of fleets."""

from collections.abc import Sequence

from fourtuple.core.runs.records import Sample
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
                samples = [sample_bytes(sample) for sample in thinned(list(runs.samples(run.entry.id)))]
                record = to_text(run.record).encode() if run.record else b""
                why = f"{run.entry.outcome} {run.entry.why}".strip()
                found.append(StoredPart(part, run.entry.id, why, record, samples))
    return found


def thinned(samples: Sequence[Sample]) -> Sequence[Sample]:
    """At most MOST_SAMPLES of them, evenly spread, the last and the first counted one included."""
    if len(samples) <= MOST_SAMPLES:
        return samples
    kept = {round(place * (len(samples) - 1) / (MOST_SAMPLES - 2)) for place in range(MOST_SAMPLES - 1)}
    kept |= {next((place for place, sample in enumerate(samples) if sample.census), 0)}
    return [samples[place] for place in sorted(kept)]
