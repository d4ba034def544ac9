"""Workers' counters become a sample, and samples a record."""

import errno

import numpy as np

from fourtuple.core.runs.counters import COUNTERS, Phase
from fourtuple.core.runs.histogram import add_values
from fourtuple.core.runs.records import HoldRecord, Sample, Witness


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
    sample = Sample.of(rows(), at_ns=1)
    return HoldRecord.of(
        predicted=predicted,
        predicted_least=predicted,
        full=sample,
        last=sample,
        census=census,
        held_s=1,
        started_at="2026-11-20T12:00:00.000+00:00",
        stopped_by=None,
        losses=(),
        closing_s=0.1,
        left=0,
        listen_overflows=None,
        syn_retransmits=None,
        moved={},
        time_wait_left=0,
        sharing=None,
        memory=None,
        interrupted=interrupted,
        loop="epoll",
        loop_because="asked for",
        strategy="late",
        watch="poll",
        workers_killed=0,
    )


def test_the_witnesses_agree_only_where_all_three_say_the_same() -> None:
    assert record(Witness(21, 21, 21, "sock_diag")).agree
    assert record(Witness(21, None, None, "sock_diag")).agree
    assert not record(Witness(20, 21, 21, "sock_diag")).agree
    assert not record(Witness(21, 20, 20, "sock_diag")).agree
    assert not record(Witness(21, 21, 21, "sock_diag"), predicted=23).agree


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
