"""Which stages of a hold were reached, how many connections were replaced, and why not, from samples and record."""

from collections.abc import Iterator

from fourtuple.core.runs.outcome import Reason
from fourtuple.core.runs.records import HoldRecord, Sample, StageResult
from fourtuple.core.runs.together import NOT_TRIED
from fourtuple.core.talk.stages import Stages
from fourtuple.core.units import format_count, format_duration, format_rate

# A stage is reached if at its end as many are open as its line said at most so long before: some are on their way.
GRACE_S = 0.4
KEPT_SHARE = 0.95  # of the replacements that were due must have been made, or the rate was not kept
SPARE_S = 0.1  # those that were due for less than this may be missing


class StageStory:
    """Collects the samples of a hold with stages, then tells what became of each stage."""

    def __init__(self, stages: Stages) -> None:
        self._stages = stages
        count = len(stages.ramps)
        self._failed, self._lost = [0] * count, [0] * count
        self._reached_ns: list[int | None] = [None] * count
        self._last: Sample | None = None

    def add(self, sample: Sample) -> None:
        before, self._last = self._last, sample
        stage = before.stage if before else 0
        if stage >= len(self._failed):
            return
        self._failed[stage] += _tried(sample) - (_tried(before) if before else 0)
        self._lost[stage] += sample.lost - (before.lost if before else 0)
        open_now = sample.open if sample.stage == stage else sample.stage_open[stage]
        if self._reached_ns[stage] is None and self._is_there(stage, open_now):
            self._reached_ns[stage] = sample.at_ns

    def results(self, began_ns: int) -> tuple[StageResult, ...]:
        """What became of each stage. began_ns: when the first one began"""
        open_at_end = self._last.stage_open if self._last else ()
        return tuple(
            StageResult(
                target=ramp.target,
                within_s=ramp.within_ns / 1e9,
                open_at_end=open_at_end[number] if number < len(open_at_end) else None,
                reached_s=None if at_ns is None else round((at_ns - began_ns) / 1e9, 3),
                failed=self._failed[number],
                lost=self._lost[number],
                reached=number < len(open_at_end) and self._is_reached(number, open_at_end[number]),
            )
            for number, (ramp, at_ns) in enumerate(zip(self._stages.ramps, self._reached_ns, strict=True))
        )

    def _before(self, stage: int) -> int:
        return self._stages.ramps[stage - 1].target if stage else 0

    def _is_there(self, stage: int, open_now: int) -> bool:
        """Whether this many are the target, or beyond it in the direction of the ramp."""
        before, target = self._before(stage), self._stages.ramps[stage].target
        return open_now >= target if target > before else open_now <= target < before

    def _is_reached(self, stage: int, open_at_end: int) -> bool:
        before, ramp = self._before(stage), self._stages.ramps[stage]
        way = abs(ramp.target - before)
        missing, broken = abs(ramp.target - open_at_end), self._failed[stage] + self._lost[stage]
        if not missing or not ramp.within_ns:  # after a jump, the next stage tells
            return True
        return not broken and missing <= min(way, way * GRACE_S * 1e9 / ramp.within_ns)


def _tried(sample: Sample) -> int:
    """How many connects were tried and have failed."""
    return sum(count for name, count in sample.failed.items() if name != NOT_TRIED)


def stage_reasons(record: HoldRecord) -> Iterator[tuple[Reason, str]]:
    """The stages that were not reached, and the one in which the run was interrupted."""
    for number, stage in enumerate(record.stages, 1):
        what = f"stage {number} of {len(record.stages)}"
        if stage.open_at_end is None:
            if record.interrupted:
                yield Reason.INTERRUPTED, f"The run was interrupted in {what}."
            else:
                yield Reason.STAGE, f"The run ended in {what}, because no connection was left."
            return
        if not stage.reached:
            short = stage.open_at_end < stage.target
            target, there = format_count(stage.target), format_count(stage.open_at_end)
            within = format_duration(stage.within_s)
            why = _why(stage, record) if short else "they were not closed in time"
            yield Reason.STAGE, f"{what.capitalize()} ({target} within {within}) had {there} open at its end: {why}."


def _why(stage: StageResult, record: HoldRecord) -> str:
    parts = [f"{format_count(stage.failed)} failed"] if stage.failed else []
    parts += [f"{format_count(stage.lost)} were lost"] if stage.lost else []
    if not parts:
        earlier = sum(record.failed.values()) or record.lost > record.reconnected
        return "others had failed or were lost before" if earlier else "opening them took longer than the stage allows"
    return " and ".join(parts)


def churn_reasons(record: HoldRecord) -> Iterator[tuple[Reason, str]]:
    """Whether fewer were replaced than were due, and which of them were not open again at the end."""
    if not record.churn_per_s:
        return
    time_s = record.replaced / record.replaced_per_s if record.replaced_per_s else record.held_s
    due = record.churn_per_s * time_s
    if not record.interrupted and record.replaced < KEPT_SHARE * due - max(2.0, SPARE_S * record.churn_per_s):
        rates = f"{format_rate(record.replaced_per_s)} of {format_rate(record.churn_per_s)}"
        yield Reason.CHURN, f"The rate of replacement was not kept: {rates}."
    missing = record.wanted_at_end - record.open_at_end
    if record.reconnect_failed and missing > 0 and not record.lost:
        names = ", ".join(f"{name} {format_count(count)}" for name, count in record.reconnect_failed.items())
        what = f"{format_count(missing)} replaced connections were not open again at the end"
        yield Reason.FAILED, f"{what}; attempts that failed: {names}."
