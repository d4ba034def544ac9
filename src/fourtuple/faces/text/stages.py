"""Stages and replacement as plain text: before a hold, during it, and in its result."""

from collections.abc import Iterator

from fourtuple.core.runs.records import HoldRecord, Sample, StageResult
from fourtuple.core.runs.start import Planned
from fourtuple.core.units import format_count, format_duration, format_rate
from fourtuple.faces.text.lines import wrapped
from fourtuple.faces.text.tables import Column, TableRow, table_lines

TABLE = (
    Column(),
    Column(),
    Column(is_text=True),
    Column(is_text=True, is_extra=True),
)  # number, target, time, what came of it


def plan_lines(planned: Planned | None) -> Iterator[str]:
    """Which rate of replacement the ports allow, where they limit it."""
    if planned is not None and planned.churn_most_per_s is not None:
        yield from wrapped("plan: ", f"replace {format_rate(planned.churn_per_s)}; {planned.churn_because}")


def stage_now(sample: Sample) -> str:
    """`stage 2 of 4   5,432 of 5,500 open, to 10,000 within 10 s`; empty without stages, and after the last one."""
    stages = sample.start.planned.stages if sample.start and sample.start.planned else None
    if stages is None or sample.stage >= len(stages.ramps):
        return ""
    ramp = stages.ramps[sample.stage]
    target = f"to {format_count(ramp.target)} {_within(ramp.within_ns / 1e9)}"
    return (
        f"stage {sample.stage + 1} of {len(stages.ramps)}   {format_count(sample.open)} of"
        f" {format_count(sample.target)} open, {target}"
    )


def stage_lines(record: HoldRecord) -> Iterator[str]:
    """A line for each stage: its target and time, how many were open at its end, and when it was reached."""
    rows = [_row(number, stage) for number, stage in enumerate(record.stages, 1)]
    if rows:
        yield from table_lines(TABLE, rows, indent="  ")


def _row(number: int, stage: StageResult) -> TableRow:
    if stage.open_at_end is None:
        words = "the run ended before"
    elif not stage.within_s:  # how many are open at the moment of a jump says nothing
        words = ""
    else:
        words = f"{format_count(stage.open_at_end)} open at its end"
        words += "" if stage.reached_s is None else f", reached after {format_duration(stage.reached_s)}"
        words += "" if stage.reached else ", not reached"
    words += f", failed {format_count(stage.failed)}" if stage.failed else ""
    words += f", lost {format_count(stage.lost)}" if stage.lost else ""
    return TableRow((f"stage {number}", format_count(stage.target), _within(stage.within_s), words))


def _within(time_s: float) -> str:
    return f"within {format_duration(time_s)}" if time_s else "at once"
