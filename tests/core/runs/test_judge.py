"""The outcome of a run: reached, or a sentence for each reason; never reached if witnesses contradict each other."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.runs.histogram import Latency
from fourtuple.core.runs.judge import judge_hold, judge_serve, judge_stored
from fourtuple.core.runs.outcome import Reason
from fourtuple.core.runs.records import AcceptQueue, HoldRecord, Witness
from tests.made import hold_record, serve_record

ALL = Witness(1000, 1000, 1000, "sock_diag", 1000, 1000)


def with_queue(server: int, accepted: int, *, client: int = 1000, waiting: int = 0, **listener: Any) -> Witness:
    queue = AcceptQueue("127.0.0.1:8000", waiting, 4096, listener.get("pid", 812), listener.get("name", "haproxy"))
    return Witness(client, server, accepted, "sock_diag", client, client, (queue,))


CASES: list[tuple[Reason, dict[str, Any], list[str]]] = [
    (
        Reason.NOT_ACCEPTED,
        {"census_at_end": with_queue(1000, 600, waiting=400)},
        ["accepted 600 of 1,000", "400 wait", "Recv-Q 400 of 4,096", "haproxy (812)", "maxconn", "limits --pid 812"],
    ),
    (
        Reason.NOT_AT_SERVER,
        {"census_at_end": with_queue(990, 990)},
        ["only 990 of 1,000 connections."],
    ),
    (
        Reason.NOT_AT_SERVER,
        {"census_at_end": with_queue(990, 990, waiting=4097)},
        ["only 990 of 1,000", "it dropped the last step of the other handshakes"],
    ),
    (
        Reason.LOST,
        {
            "held": 600, "open_at_end": 600, "lost": 400, "lost_while_opening": 400, "lost_by": {"FIN": 400},
            "last_words": "-ERR max number of clients reached", "census": with_queue(600, 600, client=600),
            "census_at_end": with_queue(600, 600, client=600, name="redis-server"),
        },
        ["closed 400 while", "(FIN)", '"-ERR max number of clients reached"', "redis-server (812)", "maxclients"],
    ),
    (
        Reason.LOST,
        {
            "open_at_end": 0, "lost": 1000, "lost_by": {"FIN": 1000}, "lost_between_s": (4.99, 5.02),
            "census": with_queue(1000, 1000, name="nginx"), "census_at_end": None,
        },
        ["The server closed all 1,000 after 5.02 s (FIN)", "nginx (812)", "keepalive_timeout"],
    ),
    (
        Reason.LOST,
        {"open_at_end": 997, "lost": 3, "lost_by": {"ETIMEDOUT": 3}, "lost_between_s": (2, 9), "census_at_end": ALL},
        ["3 were lost between 2 s and 9 s (ETIMEDOUT)"],
    ),
    (
        Reason.LOST,
        {"open_at_end": 997, "lost": 3, "lost_by": {"FIN": 3}, "lost_between_s": (0.06, 0.55), "census_at_end": ALL},
        ["The server closed 3 between 60 ms and 550 ms (FIN)"],
    ),
    (
        Reason.LOST,
        {
            "held": 600, "open_at_end": 600, "lost": 400, "lost_while_opening": 400, "lost_by": {"FIN": 400},
            "lost_between_s": (0.3, 0.4), "census": with_queue(600, 600, client=600),
            "census_at_end": with_queue(600, 600, client=600, name="redis-server"),
        },
        ["The server closed 400 within 400 ms (FIN)"],
    ),
    (
        Reason.LOST,
        {
            "open_at_end": 3, "lost": 997, "lost_by": {"FIN": 997}, "reconnect_failed": {"ECONNREFUSED": 88},
            "census_at_end": ALL,
        },
        ["3 of 1,000 were open at the end."],
    ),
    (
        Reason.INTERRUPTED,
        {
            "held": 900, "failed": {"EINPROGRESS": 60, "ECANCELED": 40}, "interrupted": True, "open_at_end": 900,
            "census": Witness(900, 900, 900, "sock_diag"), "census_at_end": None,
        },
        ["40 were not tried and 60 had no answer yet because of the interruption."],
    ),
    (
        Reason.INTERRUPTED,
        {"held": 0, "failed": {"EAGAIN": 1000}, "open_at_end": 0, "interrupted": True, "census_at_end": None},
        ["0 of 1,000 connected: EAGAIN.", "The run was interrupted."],
    ),
    (
        Reason.FAILED,
        {
            "held": 0, "failed": {"EAGAIN": 1000}, "open_at_end": 0, "census": with_queue(0, 0, client=0, waiting=4097),
            "census_at_end": None,
        },
        ["0 of 1,000 connected: EAGAIN.", "Its accept queue is full (Recv-Q 4,097 of 4,096)", "(812) listens there"],
    ),
    (
        Reason.FAILED,
        {"held": 0, "failed": {"ECONNREFUSED": 1000}, "open_at_end": 0, "census": Witness(0, 0, 0, "sock_diag"),
         "census_at_end": None},
        ["0 of 1,000 connected: ECONNREFUSED."],
    ),
    (Reason.UNEXPECTED, {"unexpected": 7}, ["7 answers were not as expected"]),
    (Reason.UNANSWERED, {"unanswered": 7, "received_bytes": 0}, ["7 messages were not answered."]),
    (Reason.UNANSWERED, {"unanswered": 7, "received_bytes": 9}, ["7 messages were not answered in full: only 9 B"]),
    (Reason.UNANSWERED, {"unanswered": 1, "received_bytes": 9, "sessions": 5}, ["1 message was not answered."]),
    (Reason.UNSENT, {"unsent": 7}, ["7 messages were due and could not be sent"]),
    (Reason.WORKERS_KILLED, {"workers_killed": 1, "workers": 4}, ["1 of 4 worker processes died"]),
    (Reason.WITNESSES, {"census": Witness(990, 990, 990, "sock_diag")}, ["990 at the client", "engine 1,000"]),
    (Reason.WITNESSES, {"census_at_end": replace(ALL, client=990)}, ["990 at the client"]),
    (Reason.PLAN, {"predicted": 900, "predicted_least": 900}, ["plan predicted 900"]),
    (
        Reason.INTERRUPTED,
        {"held": 400, "failed": {"ECANCELED": 600}, "open_at_end": 400, "interrupted": True,
         "census": Witness(400, 400, 400, "sock_diag"), "census_at_end": Witness(400, 400, 400, "sock_diag")},
        ["600 were not tried"],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "changed", "said"), CASES)
def test_each_reason_is_named_and_said(reason: Reason, changed: dict[str, Any], said: list[str]) -> None:
    outcome = judge_hold(hold_record(**changed))

    assert not outcome.reached
    assert reason in outcome.because
    assert outcome.says.startswith(("fell short: ", "0 of 1,000 connected: "))
    assert [part for part in said if part not in outcome.says] == []


def test_a_run_that_held_everything_until_the_end_is_reached() -> None:
    outcome = judge_hold(hold_record())

    assert (outcome.reached, outcome.because) == (True, ())
    assert outcome.says == "held 1,000 for 5 s, lost 0. Plan, engine and kernel agree."
    assert {each.name for each in outcome.required} >= {"held", "open_at_end", "accepted"}


KEEPS_NONE = "http: the server keeps no connection open (Connection: close, or HTTP/1.0)"


@pytest.mark.parametrize("while_opening", [0, 1000])
@pytest.mark.parametrize(
    ("name", "changed", "says"),
    [
        ("nginx", {}, "nginx (812) listens there: it ends connections after an answer by keepalive_requests, "),
        ("apache2", {}, "apache2 (812) listens there: it ends connections after an answer by KeepAlive or Max"),
        ("python3", {}, "python3 (812) listens there."),
        ("nginx", {"unexpected": 1000}, "nginx (812) listens there. 1,000 answers were not as expected"),
    ],
)
def test_a_connection_closed_after_an_answer_is_not_blamed_on_idleness_or_number(
    name: str, changed: dict[str, Any], says: str, while_opening: int
) -> None:
    """A setting is named only if it does what the server said: Connection: close, after an answer that is right."""
    listening = with_queue(0, 0, client=0, name=name)
    closed = {"open_at_end": 0, "lost": 1000, "lost_by": {"FIN": 1000}, "reasons": {KEEPS_NONE: 1000}}
    held = {"held": 1000 - while_opening, "lost_while_opening": while_opening, "requests": 1000}
    record = hold_record(**closed, **held, **changed, census=listening, census_at_end=listening)

    outcome = judge_hold(record)

    assert says in outcome.says
    assert "idle" not in outcome.says
    assert "own limit" not in outcome.says


def test_a_server_that_is_gone_is_not_said_to_listen() -> None:
    """It listened when opening had ended; when all were lost, nothing did."""
    gone = Witness(0, None, None, "sock_diag", 0, 0)
    listened = with_queue(1000, 1000, name="redis-server")
    outcome = judge_hold(
        hold_record(open_at_end=0, lost=1000, lost_by={"FIN": 1000}, census=listened, census_at_end=gone)
    )

    assert "redis-server (812) listened there when opening had ended, and does not any more." in outcome.says
    assert "idle" not in outcome.says


def test_an_answer_that_came_in_part_is_not_silence() -> None:
    outcome = judge_hold(hold_record(requests=5, unanswered=5, received_bytes=35))

    assert "5 messages were not answered in full: only 35 B arrived." in outcome.says


def test_a_server_that_accepts_the_last_ones_while_they_are_held_is_in_time() -> None:
    late = hold_record(census=Witness(1000, 1000, 300, "sock_diag", 1000, 1000), census_at_end=ALL)

    assert judge_hold(late).reached


def test_reopened_connections_are_no_shortfall() -> None:
    record = hold_record(lost=20, reconnected=20, lost_by={"FIN": 20}, open_at_end=1000)

    assert judge_hold(record).reached


def test_the_server_of_another_host_is_not_asked_for() -> None:
    away = Witness(1000, None, None, "sock_diag", 1000, 1000)
    outcome = judge_hold(hold_record(census=away, census_at_end=away))

    assert outcome.reached
    assert "accepted" not in {each.name for each in outcome.required}


def test_connections_that_come_and_go_during_the_count_are_no_contradiction() -> None:
    """The engine held 990 to 1,000 at that time; 989 contradict it."""
    counted = Witness(993, None, None, "sock_diag", 990, 1000)

    assert judge_hold(hold_record(census=counted)).reached
    assert Reason.WITNESSES in judge_hold(hold_record(census=replace(counted, client=989))).because


def test_what_is_required_replaces_the_default() -> None:
    """Lost connections do not matter then, but what is not met is listed with what was there."""
    record = hold_record(lost=20, lost_by={"FIN": 20}, open_at_end=980)
    met, unmet = judge_hold(record, ["lost<=2%"]), judge_hold(record, ["lost<=1%, rate>=1/s"])

    assert (met.reached, unmet.reached) == (True, False)
    assert unmet.because == ("lost",)
    assert "Not met: lost<=1% (20)." in unmet.says
    assert [(each.name, each.wanted, each.got, each.met) for each in unmet.required] == [
        ("lost", "<=1%", 20, False), ("rate", ">=1/s", 200.0, True),
    ]  # fmt: skip


def test_what_was_got_is_said_in_its_unit() -> None:
    """A latency of 3,268,608 µs is 3.27 s, a rate has /s, memory its size."""
    slow = Latency(10.0, 10.0, 3_268_608.0, 3_268_608.0)
    record = hold_record(answer_us=slow, rate_per_s=12_345.6, rss_bytes=2**25)
    said = judge_hold(record, ["p99<2s, rate>=20k/s, rss_bytes<1MiB"]).says

    assert "Not met: p99<2s (3.27 s), rate>=20k/s (12,346/s), rss_bytes<1MiB (32 MiB)." in said


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "held": st.integers(0, 1000), "open_at_end": st.integers(0, 1000), "lost": st.integers(0, 1000),
            "lost_while_opening": st.integers(0, 1000), "unexpected": st.integers(0, 3),
            "unanswered": st.integers(0, 3), "workers_killed": st.integers(0, 1),
            "predicted": st.integers(900, 1100), "reconnected": st.integers(0, 9),
            "interrupted": st.booleans(), "failed": st.sampled_from([{}, {"EMFILE": 3}, {"ECANCELED": 1000}]),
            "lost_by": st.sampled_from([{}, {"FIN": 3}, {"ECONNRESET": 1, "FIN": 2}]),
            "census": st.sampled_from([ALL, replace(ALL, client=999), replace(ALL, server=None, accepted=None)]),
            "census_at_end": st.sampled_from([ALL, None, replace(ALL, client=999), replace(ALL, accepted=1)]),
        },
    ),
    st.sampled_from([(), ("lost<=100%",), ("held>=0",)]),
)  # fmt: skip
def test_a_contradiction_is_never_reached_and_a_shortfall_always_has_a_reason(
    changed: dict[str, Any], require: tuple[str, ...]
) -> None:
    record: HoldRecord = hold_record(**changed)
    outcome = judge_hold(record, require)

    assert outcome.reached == (not outcome.because)
    if record.census.client != record.held and record.census.least is None:
        assert not outcome.reached
    if not require and outcome.reached:
        assert record.held == record.open_at_end == record.wanted == record.census.client
        assert record.unexpected == record.unanswered == record.workers_killed == 0


def test_a_server_that_could_not_accept_everybody_fell_short() -> None:
    full = serve_record(waiting=7, capacity=990, most_open=990)
    refused = serve_record(failed={"EMFILE": 3})

    assert judge_serve(serve_record()).reached
    assert judge_serve(serve_record(waiting=7, capacity=20_000)).reached  # they arrived when it stopped
    assert judge_serve(full).because == (Reason.FULL,)
    assert judge_serve(refused).because == (Reason.FAILED,)
    assert judge_serve(serve_record(), ["most_open>=1k"]).because == ("most_open",)


def test_a_record_from_before_outcomes_keeps_its_verdict() -> None:
    """At that time, connections that were lost later did not count."""
    old = hold_record(census_at_end=None, lost=1000, lost_by={"FIN": 1000}, open_at_end=0)
    kept = judge_stored(old, reached=True)

    assert (kept.reached, kept.because) == (True, ())
    assert not kept.says.startswith("fell short")
