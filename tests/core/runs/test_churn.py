"""A churn as records: options, the outcome, what is accounted for, and the search for the highest rate."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.errors import UsageError
from fourtuple.core.runs.churn_conclude import ChurnEnding, ChurnStory
from fourtuple.core.runs.churn_judge import (
    is_hopeless,
    is_late_here,
    judge_churn,
    judge_max,
    keeps,
    server_keeps_open,
    trouble,
)
from fourtuple.core.runs.churn_orders import ChurnOptions, ChurnOrder, ClosedBy
from fourtuple.core.runs.churn_record import ChurnRecord, ChurnStep
from fourtuple.core.runs.churn_search import CLOSE_ENOUGH, RateSearch
from fourtuple.core.runs.histogram import NOT_MEASURED
from fourtuple.core.runs.orders import from_text, to_text
from fourtuple.core.talk.lifetime import parse_lifetime
from fourtuple.store import coding
from tests.made_churn import churn_options, churn_order, churn_record, churn_samples


def step(rate_per_s: float, *, kept: bool = False, **other: Any) -> ChurnStep:
    return ChurnStep(rate_per_s, rate_per_s, kept, 1, 0, 0, NOT_MEASURED, **other)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"run_s": 0.0}, "--for"),
        ({"timeout_s": 0.0}, "--timeout"),
        ({"requests": 0}, "--requests"),
        ({"requests": 2, "send": b""}, "--send"),
        ({"at_once": 0}, "--at-once"),
        ({"expect": 0}, "empty"),
        ({"rate_per_s": 1e12, "run_s": 1e9}, "connections"),
        ({"closed_by": ClosedBy.SERVER}, "--lifetime"),
        ({"require": ("held=all",)}, "held"),
    ],
)
def test_options_that_contradict_each_other_are_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as refused:
        churn_options(**wrong).check()
    assert says in " ".join((refused.value.wanted, refused.value.stopped_by, refused.value.do))


@pytest.mark.parametrize(
    ("lifetime", "run_s", "at_once", "expected"),
    [("2s", 10, None, 2000), ("exp:2s", 10, None, 2000), ("uniform:1s-5s", 10, None, 3000), ("1h", 10, None, 10_000),
     ("2s", 10, 50, 50), ("0s", 10, None, 1)],
)  # fmt: skip
def test_open_at_once_is_rate_times_lifetime(lifetime: str, run_s: float, at_once: int | None, expected: int) -> None:
    """But no more than are due in the whole run, or than may be open; and there are more slots than that."""
    options = ChurnOptions(1000.0, ("::1:1",), run_s=run_s, lifetime=parse_lifetime(lifetime), at_once=at_once)

    assert options.open_expected == expected
    assert options.slots >= expected


def test_an_order_is_data() -> None:
    """It can be sent to another machine, and be stored."""
    order = churn_order()

    assert from_text(to_text(order), ChurnOrder) == order
    assert coding.from_text(coding.to_text(churn_record()), ChurnRecord) == churn_record()


def test_a_clean_churn_is_reached_and_each_trouble_is_not() -> None:
    """With its reason; being interrupted, or having some open at the end, is none."""
    troubles: dict[str, dict[str, Any]] = {
        "rate": {"late": 41},
        "failed": {"failed": {"ECONNREFUSED": 1}},
        "lost": {"lost": 1, "lost_by": {"FIN": 1}},
        "unexpected": {"unexpected": 1},
        "unanswered": {"unanswered": 1},
        "workers_killed": {"workers_killed": 1},
        "stopped": {"stopped_by": "memory"},
    }

    assert churn_record().outcome.reached
    assert churn_record(interrupted=True, open_at_end=7, late=40).outcome.reached
    for reason, changed in troubles.items():
        outcome = judge_churn(churn_record(**changed))
        assert (outcome.reached, outcome.because) == (False, (reason,))


def test_not_started_counts_as_late() -> None:
    assert keeps(churn_record(late=20, not_started=20))
    assert not keeps(churn_record(late=20, not_started=21))


def test_most_open_counts_those_that_are_being_opened() -> None:
    """They have a port and a slot, too: where handshakes are dropped, they are nearly all."""
    order = churn_order()
    story = ChurnStory(order)
    *_, last = churn_samples(order)
    for opening, opened in ((500, 10), (0, 400), (30, 20)):
        story.add(replace(last, open=opened, opening=opening))

    assert story.conclude(ChurnEnding(2.0, None, None, None, None, {}, False, 0)).most_open == 510


@pytest.mark.parametrize("interrupted", [False, True])
def test_every_connection_is_accounted_for(interrupted: bool) -> None:
    """Of those started, the ones that are neither closed, failed nor lost are open at the end, or being opened."""
    order = churn_order()
    story = ChurnStory(order)
    *_, last = churn_samples(order)
    last = replace(
        last, arrivals=1000, started=980, opened=900, closed=850, lost=50, lost_by={"FIN": 50}, open_at_end=30,
        failed={"ECONNREFUSED": 70},
    )  # fmt: skip
    story.add(last)
    record = story.conclude(ChurnEnding(2.0, None, None, None, None, {}, interrupted, 0))

    assert (record.not_started, record.completed, record.open_at_end) == (20, 820, 40)
    assert record.started == record.completed + 70 + record.lost + record.open_at_end
    assert (record.rate_per_s, record.completed_per_s) == (490.0, 410.0)


@given(capacity=st.floats(0.5, 5e6))
def test_the_search_ends_at_the_highest_rate_that_is_kept(capacity: float) -> None:
    """In few steps, within 5 %; where not even one per second is kept, it says so."""
    search, steps = RateSearch(), 0
    while (rate := search.rate_per_s) is not None:
        steps += 1
        search.tried(kept=rate <= capacity)

    assert steps <= 20
    if capacity < 1:
        assert search.kept_per_s is None
    else:
        assert search.kept_per_s is not None
        assert search.kept_per_s <= capacity <= search.kept_per_s * CLOSE_ENOUGH * 1.01


def test_a_rate_that_was_perhaps_not_kept_is_tried_once_more() -> None:
    """Not twice; a rate that was kept, or certainly not, is not tried again."""
    search, rates = RateSearch(1000), list[float | None]()
    for kept, perhaps in ((True, True), (False, True), (True, False), (False, True), (False, True), (False, False)):
        search.tried(kept=kept, perhaps=perhaps)
        rates.append(search.rate_per_s)

    assert rates == [2000, 2000, 4000, 4000, 3000, 2500]


def test_the_outcome_of_a_search_is_the_rate_or_that_none_was_kept() -> None:
    """With the reason why the next rate was not kept; where something is required, that decides."""
    kept, not_kept = step(1000, kept=True), step(2000, because=("unexpected",), trouble="12 answers were wrong.")
    found = judge_max(churn_record(steps=(kept, not_kept)))
    none = judge_max(churn_record(steps=(not_kept,)))
    short = judge_max(churn_record(steps=(kept, not_kept)), ["p99<1us"])

    assert (found.reached, found.says) == (
        True,
        "the highest rate that is kept is 1,000/s; 2,000/s is not. At 2,000/s: 12 answers were wrong.",
    )
    assert (none.reached, none.because) == (False, ("unexpected",))
    assert none.says == "fell short: no rate is kept. At 2,000/s: 12 answers were wrong."
    assert (short.reached, short.because) == (False, ("p99",))
    assert short.says.startswith("fell short: the highest rate that is kept is 1,000/s; 2,000/s is not. Not met: p99")


def test_a_search_that_is_interrupted_says_so_and_not_that_the_next_rate_is_not_kept() -> None:
    kept = step(1000, kept=True)

    assert judge_max(churn_record(steps=(kept,), interrupted=True)).says == (
        "the highest rate that is kept is 1,000/s; no higher one was tried, when it was interrupted."
    )
    assert not judge_max(churn_record(interrupted=True)).reached


LATE: dict[str, Any] = {"late": 300, "at_once": 2064, "most_open": 12}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (LATE, True),
        ({"late": 0, "not_started": 300, "started": 3700, "completed": 3700, "at_once": 2064, "most_open": 12}, True),
        (LATE | {"late": 0}, False),
        (LATE | {"most_open": 2064}, False),
        (LATE | {"most_open": 1500}, False),  # perhaps all, between two samples
        (LATE | {"workers": 2, "workers_killed": 1}, False),
        (LATE | {"stopped_by": "memory"}, False),
        (LATE | {"completed": 0, "failed": {"ENOENT": 4000}}, False),
    ],
)
def test_starts_that_are_late_while_slots_are_free_are_this_ends_own(changed: dict[str, Any], expected: bool) -> None:
    """Then the rate says nothing about the server, and the outcome says so."""
    record = churn_record(**changed)

    assert is_late_here(record) == expected
    assert ("this end was late" in record.outcome.says) == expected


def test_where_nothing_connects_only_that_is_said() -> None:
    """What waits for its turn to be refused is late, too; that is no other cause."""
    record = churn_record(**LATE | {"completed": 0, "failed": {"ENOENT": 4000}})

    assert record.outcome.because == ("failed",)
    assert trouble(record) == "0 of 4,000 connected: ENOENT."


def test_a_rate_that_was_kept_once_counts_as_kept() -> None:
    """This end was late at the first attempt; the second one tells."""
    late: dict[str, Any] = {"because": ("rate",), "late_here": True}
    steps = (step(1000, **late), step(1000, kept=True), step(2000, **late), step(2000, **late))
    found = judge_max(churn_record(steps=steps))

    assert found.reached
    assert found.says.startswith(
        "this end, not the server, limits the rate: the highest rate that is kept is 1,000/s; "
    )


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"requests": 0, "answers": 0}, True),
        ({"answers": 0, "unexpected": 4000}, True),
        ({"closed_by": "rst"}, False),
        ({"answers": 3999}, False),
        ({"unanswered": 1}, False),
        ({"reasons": {"session: not established in time": 400}}, False),
    ],
)
def test_a_server_that_does_not_close_is_not_blamed_for_missing_answers(
    changed: dict[str, Any], expected: bool
) -> None:
    """All answers came; only the end of the connection, which is the server's with --close server, did not."""
    lost: dict[str, Any] = {"completed": 3600, "lost": 400, "lost_by": {"ETIMEDOUT": 400}, "closed_by": "server"}
    record = churn_record(**lost | {"requests": 4000, "answers": 4000} | changed)

    assert server_keeps_open(record) == expected
    assert ("--close rst" in record.outcome.says) == expected
    assert ("before being complete" in record.outcome.says) != expected
    assert "lost" in record.outcome.because


def test_ctrl_c_finds_connections_that_have_just_become_due_and_they_are_not_late() -> None:
    """As many as the rate makes due in the time after which one is late, and no more."""
    due: dict[str, Any] = {"arrivals": 200, "started": 100, "completed": 100, "not_started": 100}

    assert judge_churn(churn_record(**due, interrupted=True)).reached
    assert not judge_churn(churn_record(**due)).reached
    assert not judge_churn(churn_record(**due | {"not_started": 103}, interrupted=True)).reached


def test_what_was_not_even_due_is_no_success() -> None:
    nothing: dict[str, Any] = {"arrivals": 0, "started": 0, "completed": 0}

    assert judge_churn(churn_record(**nothing)).because == ("rate",)
    assert "kept" not in judge_churn(churn_record(**nothing, interrupted=True)).says


def test_the_outcome_says_what_is_still_open_and_why_sessions_ended() -> None:
    still = churn_record(completed=0, open_at_end=4000).outcome
    ended = churn_record(lost=2, lost_by={"FIN": 2}, reasons={"websocket: closed with 1008": 2}).outcome
    one = churn_record(unexpected=1, unanswered=1).outcome

    assert "4,000 still open at the end" in still.says
    assert "2 were lost before being complete with FIN. 2 × websocket: closed with 1008." in ended.says
    assert "1 answer was not as expected. 1 message was not answered." in one.says


@pytest.mark.parametrize(
    ("happened", "hopeless"),
    [
        ({"completed": 0, "failed": {"ECONNREFUSED": 4000}}, True),
        ({"unexpected": 4000, "answers": 0}, True),
        ({"completed": 1, "failed": {"ECONNREFUSED": 3999}}, False),
        ({"completed": 0, "open_at_end": 4000}, False),
        ({"unexpected": 3999, "answers": 1}, False),
    ],
)
def test_a_search_ends_where_a_lower_rate_cannot_help(happened: dict[str, Any], hopeless: bool) -> None:
    """Because no connection at all did what it was to do."""
    assert is_hopeless(churn_record(**happened)) is hopeless
