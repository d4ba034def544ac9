"""What became of each stage, from samples; and why a run with stages or replacement fell short."""

from dataclasses import replace
from typing import Any

import pytest

from fourtuple.core.runs.judge import judge_hold
from fourtuple.core.runs.outcome import Reason
from fourtuple.core.runs.records import HoldRecord, Sample, StageResult, Witness
from fourtuple.core.runs.stages import StageStory
from fourtuple.core.runs.timetable import LEAD_NS, Timetable
from fourtuple.core.talk.stages import parse_stages
from tests.made import hold_record, samples

S = 10**9
ONE = next(samples())


def sample(second: float, stage: int, open_now: int, stage_open: tuple[int, ...] = (), **other: Any) -> Sample:
    return replace(ONE, at_ns=round(second * S), stage=stage, open=open_now, stage_open=stage_open, **other)


def results(text: str, *run: Sample) -> tuple[StageResult, ...]:
    story = StageStory(parse_stages(text))
    for each in run:
        story.add(each)
    return story.results(0)


def test_a_stage_is_reached_when_its_target_is_open_and_losses_belong_to_the_stage_in_which_they_happen() -> None:
    up, plateau, down = results(
        "100@10s, 100@5s, 20@5s",
        sample(5, 0, 50, lost=0, failed={}),
        sample(9.9, 0, 100),
        sample(10, 1, 100, (100,)),
        sample(14, 1, 98, (100,), lost=2),
        sample(15, 2, 98, (100, 98), lost=2),
        sample(19, 2, 20, (100, 98), lost=2, failed={"ECONNREFUSED": 3}),
        sample(20, 3, 20, (100, 98, 20), lost=2, failed={"ECONNREFUSED": 3}),
    )

    assert up == StageResult(100, 10.0, 100, 9.9, 0, 0, True)
    assert plateau == StageResult(100, 5.0, 98, None, 0, 2, False)
    assert down == StageResult(20, 5.0, 20, 19.0, 3, 0, True)


@pytest.mark.parametrize(
    ("text", "open_at_end", "reached"),
    [
        ("1000@10s", 960, True),  # 40 are what the line has gained in 0.4 s
        ("1000@10s", 959, False),
        ("1000@0s, 1000@1s", 0, True),  # a jump takes no time: the next stage tells
        ("1000@100ms", 600, True),
        ("5@10s", 4, False),
        ("5@10s", 6, False),
    ],
)
def test_what_is_on_its_way_at_the_end_of_a_stage_is_not_missing(text: str, open_at_end: int, reached: bool) -> None:
    first, *_ = results(text, sample(10, 0, 0), sample(11, 1, open_at_end, (open_at_end,)))

    assert first.reached is reached


def test_what_failed_is_not_on_its_way() -> None:
    """Of a stage shorter than the grace everything may be on its way, but nothing that has failed or was lost."""
    first, *_ = results("10@100ms", sample(0.1, 0, 0), sample(0.2, 1, 9, (9,), lost=1))

    assert not first.reached


def test_stages_that_a_run_did_not_come_to_have_no_number() -> None:
    first, second, third = results("10@1s, 20@1s, 0@1s", sample(1, 1, 10, (10,)), sample(1.5, 1, 15, (10,)))

    assert (first.open_at_end, second.open_at_end, third.open_at_end) == (10, None, None)
    assert (second.reached, third.reached) == (False, False)


@pytest.mark.parametrize(
    ("text", "top_s"),
    [
        ("10@1s, 100@1s, 100@2s, 0@1s", (2, 4)),
        ("100@1s, 100@1s, 10@1s, 100@1s, 100@5s", (4, 9)),
        ("100@3s, 0@1s, 100@1s", (3, 3)),
        ("50@1s, 100@0s, 100@2s", (1, 3)),
    ],
)
def test_the_most_are_counted_where_they_stay_longest(text: str, top_s: tuple[int, int]) -> None:
    table = Timetable(parse_stages(text))

    assert (table.top_ns, table.top_until_ns) == (top_s[0] * S, top_s[1] * S)


def test_what_is_asked_is_ahead_of_the_line_but_not_of_the_stage() -> None:
    table = Timetable(parse_stages("100@10s, 100@10s, 0@10s"))

    assert [table.asked(at) for at in (0, 5 * S, 10 * S - LEAD_NS, 10 * S - 1, 20 * S - 1, 20 * S, 30 * S)] == [
        1, 51, 100, 100, 100, 99, 0,
    ]  # fmt: skip


def test_a_jump_does_not_come_before_its_moment() -> None:
    table = Timetable(parse_stages("500@1s, 5@0s, 5@1s, 500@0s, 500@1s, 0@0s"))

    assert [table.asked(at) for at in (S - LEAD_NS, S - 1, S, 2 * S - 1, 2 * S, 3 * S - 1, 3 * S)] == [
        500, 500, 5, 5, 500, 500, 0,
    ]  # fmt: skip


def staged(*stages: StageResult, **other: Any) -> HoldRecord:
    last = stages[-1].target
    end = Witness(last, last, last, "sock_diag", last, last)
    return hold_record(stages=stages, **{"open_at_end": last, "census_at_end": end, **other})


def test_a_run_whose_stages_were_reached_is_reached() -> None:
    outcome = judge_hold(staged(StageResult(1000, 2.0, 1000, 1.9, 0, 0, True), StageResult(0, 1.0, 0, 2.9, 0, 0, True)))

    assert (outcome.reached, outcome.because) == (True, ())
    assert "reached 2 of 2 stages" in outcome.says


@pytest.mark.parametrize(
    ("stages", "other", "reason", "words"),
    [
        (
            [StageResult(1000, 2.0, 300, None, 700, 0, False)],
            {"failed": {"ECONNREFUSED": 700}},
            Reason.STAGE,
            "Stage 1 of 1 (1,000 within 2 s) had 300 open at its end: 700 failed.",
        ),
        (
            [StageResult(1000, 2.0, 980, None, 5, 7, False)],
            {"failed": {"ECONNREFUSED": 5}, "lost": 7, "lost_by": {"FIN": 7}},
            Reason.STAGE,
            "had 980 open at its end: 5 failed and 7 were lost.",
        ),
        (
            [StageResult(1000, 2.0, 980, None, 0, 0, False)],
            {},
            Reason.STAGE,
            "opening them took longer than the stage allows.",
        ),
        (
            [StageResult(1000, 2.0, 1000, 1.9, 0, 0, True), StageResult(5, 1.0, 80, None, 0, 0, False)],
            {},
            Reason.STAGE,
            "Stage 2 of 2 (5 within 1 s) had 80 open at its end: they were not closed in time.",
        ),
        (
            [StageResult(1000, 2.0, 1000, 1.9, 0, 0, True), StageResult(5, 1.0, None, None, 0, 0, False)],
            {"interrupted": True},
            Reason.INTERRUPTED,
            "The run was interrupted in stage 2 of 2.",
        ),
        (
            [StageResult(1000, 2.0, 1000, 1.9, 0, 0, True), StageResult(0, 1.0, 0, 2.9, 0, 3, True)],
            {"lost": 3, "lost_by": {"FIN": 3}},
            Reason.LOST,
            "The server closed 3",
        ),
    ],
)
def test_a_stage_that_was_not_reached_says_by_how_many_and_why(
    stages: list[StageResult], other: dict[str, Any], reason: Reason, words: str
) -> None:
    outcome = judge_hold(staged(*stages, **other))

    assert not outcome.reached
    assert reason in outcome.because
    assert words in outcome.says


def test_a_loss_that_was_made_up_for_is_none() -> None:
    stages = StageResult(1000, 2.0, 1000, 1.9, 0, 0, True), StageResult(0, 1.0, 0, 2.9, 0, 3, True)
    outcome = judge_hold(staged(*stages, lost=3, lost_by={"FIN": 3}, reconnected=3))

    assert outcome.reached


def test_requirements_of_the_end_mean_the_last_stage() -> None:
    record = staged(StageResult(1000, 2.0, 1000, 1.9, 0, 0, True), StageResult(7, 1.0, 7, 2.9, 0, 0, True))

    assert judge_hold(record, ["held=all, open_at_end=all, accepted=all"]).reached


def test_replacement_shows_both_rates_and_must_be_kept() -> None:
    kept = judge_hold(hold_record(churn_per_s=100.0, replaced=480, replaced_per_s=97.0))
    short = judge_hold(hold_record(churn_per_s=100.0, replaced=250, replaced_per_s=50.0))

    assert kept.reached
    assert "replaced 480 (97/s of 100/s planned)" in kept.says
    assert (short.reached, short.because) == (False, (Reason.CHURN,))
    assert "The rate of replacement was not kept: 50/s of 100/s." in short.says


def test_what_was_not_open_again_at_the_end_is_said_with_its_errno() -> None:
    record = hold_record(
        churn_per_s=100.0, replaced=490, replaced_per_s=98.0, reconnect_failed={"EADDRNOTAVAIL": 40},
        open_at_end=990, census_at_end=Witness(990, 990, 990, "sock_diag", 990, 990),
    )  # fmt: skip
    outcome = judge_hold(record)

    assert outcome.because == (Reason.FAILED,)
    assert (
        "10 replaced connections were not open again at the end; attempts that failed: EADDRNOTAVAIL 40."
        in outcome.says
    )
