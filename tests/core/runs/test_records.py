"""Workers' counters become a sample, and samples a record."""

import errno
from dataclasses import replace

import numpy as np

from fourtuple.core.runs.conclude import HoldStory, conclude
from fourtuple.core.runs.counters import COUNTERS, Phase
from fourtuple.core.runs.histogram import add_values
from fourtuple.core.runs.records import HoldRecord, Loss, Sample, Witness
from tests import made


def rows() -> np.ndarray:
    two = np.zeros(2, COUNTERS)
    two["phase"] = (Phase.HOLDING, Phase.OPENING)
    two["wanted"], two["open"], two["opened"] = (10, 13), (10, 11), (10, 11)
    two["first_start_ns"], two["last_open_ns"] = (5_000_000_000, 4_000_000_000), (6_000_000_000, 5_500_000_000)
    two["failed"][1, errno.EADDRNOTAVAIL] = 2
    add_values(two[0]["connect_us"], np.full(10, 100.0))
    add_values(two[1]["connect_us"], np.full(11, 200.0))
    return two


def test_a_sample_adds_the_workers_up() -> None:
    """Counts are summed; the phase is the slowest's; the time runs from the first start to the last one open."""
    sample = Sample.of(rows(), at_ns=1)

    assert (sample.wanted, sample.open, sample.workers) == (23, 21, 2)
    assert sample.phase is Phase.OPENING
    assert sample.elapsed_s == 2.0
    assert sample.rate_per_s == 10.5
    assert sample.failed == {"EADDRNOTAVAIL": 2}
    assert round(sample.connect_us.max or 0) == 200


def record(census: Witness, predicted: int = 21, *, interrupted: bool = False) -> HoldRecord:
    """Of one sample, in which 21 connections are open."""
    sample = replace(Sample.of(rows(), at_ns=1), phase=Phase.HOLDING, census=census)
    order = made.order(room=predicted, options=made.options(wanted=23))
    order = replace(order, plan=replace(order.plan, wanted=23))
    sample = replace(sample, open_at_end=21)
    return conclude(order, [sample], made.ending(1_000_000_001, interrupted=interrupted, census_at_end=census))


def test_the_witnesses_agree_only_where_all_three_say_the_same() -> None:
    assert record(Witness(21, 21, 21, "sock_diag")).agree
    assert record(Witness(21, None, None, "sock_diag")).agree
    assert not record(Witness(20, 21, 21, "sock_diag")).agree
    assert not record(Witness(21, 20, 20, "sock_diag")).agree
    assert not record(Witness(21, 21, 21, "sock_diag"), predicted=23).agree


def test_what_is_required_may_be_that_they_agree() -> None:
    """It is judged with the record as it is in the end."""
    order = made.order(options=made.options(require=("agree=true, held=all",)))
    found = conclude(order, made.samples(), made.ending(made.BEGAN_NS + 12_000_000_000))

    assert (found.outcome.reached, found.agree) == (True, True)
    assert [each.got for each in found.outcome.required] == [True, 1000]


def test_an_interrupted_run_is_not_held_to_its_plan() -> None:
    assert record(Witness(21, 21, 21, "sock_diag"), predicted=23, interrupted=True).agree


def test_the_record_names_every_field_that_is_promised() -> None:
    promised = {
        "wanted", "held", "failed", "lost", "census", "agree", "elapsed_s", "rate_per_s", "connect_us", "loop",
        "strategy", "watch", "losses", "reconnected", "answers", "answer_us", "closing_s", "left",
        "workers", "rss_bytes", "cpu_user_s", "cpu_system_s",
    }  # fmt: skip
    as_json = record(Witness(21, 21, 21, "sock_diag")).to_json()

    assert promised <= as_json.keys()
    assert {"client", "server"} <= as_json["census"].keys()
    assert as_json["connect_us"].keys() == {"p50", "p90", "p99", "max"}


def test_losses_are_told_by_the_second_in_which_they_were() -> None:
    """From one sample to the next, by errno."""
    story, sample = HoldStory(made.order()), Sample.of(rows(), at_ns=5_000_000_000)
    story.add(sample)
    story.add(replace(sample, at_ns=5_900_000_000, lost_by={"ECONNRESET": 2}))
    story.add(replace(sample, at_ns=7_100_000_000, lost_by={"ECONNRESET": 2, "FIN": 3}))

    assert story.losses == (Loss(0, "ECONNRESET", 2), Loss(2, "FIN", 3))


def test_a_run_that_never_held_is_concluded_from_its_last_sample() -> None:
    last = Sample.of(rows(), at_ns=9_000_000_000)
    found = conclude(made.order(), [last], made.ending(9_000_000_000, interrupted=True))

    assert (found.held, found.census.client, found.held_s) == (21, 0, 0.0)


def test_what_was_seen_at_the_full_moment_and_at_the_end_is_told_apart() -> None:
    """Held is what was open when opening ended; lost, answers and what was closed are of the end."""
    census = Witness(21, 21, 21, "sock_diag")
    full = replace(Sample.of(rows(), at_ns=1_000), phase=Phase.HOLDING, answers=3, census=census)
    last = replace(full, at_ns=2_000, phase=Phase.CLOSED, open=0, open_at_end=19, lost=2, answers=13)
    found = conclude(made.order(), [full, last], made.ending(2_000_001_000))

    assert (found.held, found.open_at_end, found.lost, found.lost_while_opening) == (21, 19, 2, 0)
    assert (found.answers, found.answers_per_s) == (13, 5.0)
