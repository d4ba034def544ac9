"""A churn as records: options, the outcome, what is accounted for, and the search for the highest rate."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.errors import UsageError
from fourtuple.core.runs.churn_conclude import ChurnEnding, ChurnStory
from fourtuple.core.runs.churn_judge import judge_churn, judge_max, keeps
from fourtuple.core.runs.churn_orders import ChurnOptions, ChurnOrder, ClosedBy
from fourtuple.core.runs.churn_record import ChurnRecord
from fourtuple.core.runs.churn_search import CLOSE_ENOUGH, RateSearch
from fourtuple.core.runs.orders import from_text, to_text
from fourtuple.core.talk.lifetime import parse_lifetime
from fourtuple.store import coding
from tests.made_churn import churn_options, churn_order, churn_record, churn_samples


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
    for reason, trouble in troubles.items():
        outcome = judge_churn(churn_record(**trouble))
        assert (outcome.reached, outcome.because) == (False, (reason,))


def test_not_started_counts_as_late() -> None:
    assert keeps(churn_record(late=20, not_started=20))
    assert not keeps(churn_record(late=20, not_started=21))


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


def test_the_outcome_of_a_search_is_the_rate_or_that_none_was_kept() -> None:
    found = judge_max(churn_record())
    none = judge_max(churn_record(late=2000))
    short = judge_max(churn_record(), ["p99<1us"])

    assert (found.reached, "1,000/s" in found.says) == (True, True)
    assert (none.reached, none.because) == (False, ("rate",))
    assert (short.reached, short.because) == (False, ("p99",))
