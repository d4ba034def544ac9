"""What is sent and expected, over a scripted loop: when, on which connections, and what counts as an answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.runs import histogram
from fourtuple.core.runs.counters import COUNTERS, Phase
from fourtuple.engine.dialogues.fixed import MOST_WAITING, Requests, Talk
from fourtuple.engine.states import Life
from tests.engine.scripted import Clock, Run, ScriptedLoop
from tests.engine.workloads.test_hold import a_run, opened

PING = Talk(b"ping", every_s=2.0, expect=b"ping")


def talking(loop: ScriptedLoop, talk: Talk, wanted: int = 20) -> Run:
    return opened(a_run(wanted, loop, talk=talk))


def after(run: Run, loop: ScriptedLoop, seconds: float) -> None:
    until_ns = loop.clock.ns + int(seconds * 1e9)
    run.until(lambda: loop.clock.ns >= until_ns)


def test_each_connection_has_its_turn_once_in_the_interval_evenly_spread() -> None:
    """20 connections, interval 2 s: one request every 100 ms, in turn, and the same connection again 2 s later."""
    loop = ScriptedLoop(Clock(), echo=True)
    run = talking(loop, PING)
    after(run, loop, 10)
    times = [at for at, _ in loop.sent_at]

    assert [slot for _, slot in loop.sent_at] == [n % 20 for n in range(len(times))]
    assert len(times) == pytest.approx(100, abs=2)
    assert np.diff(times) == pytest.approx(0.1, abs=0.06)
    assert (run.counters["requests"], run.counters["answers"]) == (len(times), pytest.approx(len(times), abs=1))
    assert (run.counters["unexpected"], run.counters["late"]) == (0, 0)


def test_a_turn_is_left_out_while_the_answer_before_is_missing() -> None:
    """Connection 3 is never answered: one request, and then it is counted as late each time. The others continue."""
    loop = ScriptedLoop(Clock(), echo=True)
    run = talking(loop, PING)
    loop.echo = False
    run.until(lambda: run.counters["requests"] == 4)
    loop.echo = True
    unanswered = 4 - int(run.counters["answers"])
    after(run, loop, 10)

    assert run.counters["late"] == pytest.approx(5 * unanswered, abs=unanswered)
    assert [slot for _, slot in loop.sent_at].count(3) == 1
    assert [slot for _, slot in loop.sent_at].count(10) >= 5


def test_where_nothing_is_expected_anything_is_an_answer_and_none_is_waited_for() -> None:
    loop = ScriptedLoop(Clock())
    run = talking(loop, Talk(b"tick", every_s=1.0, expect=b""))
    after(run, loop, 3)
    loop.incoming = {5: [b"whatever"]}
    run.until(lambda: run.counters["answers"] == 1)

    assert loop.sent[5].count(b"tick") >= 3
    assert (run.counters["late"], run.counters["unexpected"]) == (0, 0)


def test_an_answer_in_pieces_is_one_answer() -> None:
    loop = ScriptedLoop(Clock())
    run = talking(loop, PING, wanted=1)
    run.until(lambda: loop.sent)
    loop.incoming = {0: [b"p", b"in"]}
    run.until(lambda: run.counters["received_bytes"] == 3)
    assert run.counters["answers"] == 0
    loop.incoming = {0: [b"g"]}
    run.until(lambda: run.counters["answers"] == 1)

    assert run.counters["unexpected"] == 0


@pytest.mark.parametrize("wrong", [b"pong", b"pin!", b"pingping", b"x"])
def test_something_else_is_unexpected_and_the_next_request_is_asked_afresh(wrong: bytes) -> None:
    loop = ScriptedLoop(Clock())
    run = talking(loop, PING, wanted=1)
    run.until(lambda: loop.sent)
    loop.incoming = {0: [wrong]}
    run.until(lambda: run.counters["unexpected"] == 1)
    loop.echo = True
    run.until(lambda: run.counters["answers"] == 1)

    assert (run.counters["unexpected"], run.counters["open"]) == (1, 1)


def test_a_size_is_answered_by_that_many_bytes_whatever_they_are() -> None:
    """Five bytes are expected: any five are an answer, in one piece or in several; four are none yet."""
    loop = ScriptedLoop(Clock())
    run = talking(loop, Talk(b"ping", every_s=2.0, expect=5), wanted=3)
    run.until(lambda: len(loop.sent) == 3)
    loop.incoming = {0: [b"+PONG"], 1: [b"\0\xff", b"abc"], 2: [b"four"]}
    run.until(lambda: run.counters["received_bytes"] == 14)

    assert (run.counters["answers"], run.counters["unexpected"]) == (2, 0)


@pytest.mark.parametrize("pieces", [[b"123456"], [b"123", b"456"]])
def test_more_bytes_than_the_size_are_unexpected_and_the_next_request_is_asked_afresh(pieces: list[bytes]) -> None:
    """As a text with something after it: the surplus is not the beginning of the next answer."""
    loop = ScriptedLoop(Clock())
    run = talking(loop, Talk(b"12345", every_s=2.0, expect=5), wanted=1)
    run.until(lambda: loop.sent)
    loop.incoming = {0: [*pieces]}
    run.until(lambda: run.counters["unexpected"] == 1)
    loop.echo = True
    run.until(lambda: run.counters["answers"] == 1)

    assert (run.counters["unexpected"], run.counters["open"]) == (1, 1)


def test_a_greeting_is_expected_once_from_each() -> None:
    """Nothing is sent. Two get the expected greeting, one another; data that comes later is not an answer."""
    loop = ScriptedLoop(Clock())
    run = talking(loop, Talk(b"", every_s=1.0, expect=b"hello"), wanted=3)
    loop.incoming = {0: [b"hello", b"more"], 1: [b"he", b"llo"], 2: [b"goodbye"]}
    run.until(lambda: run.counters["received_bytes"] == 9 + 5 + 7)

    assert (run.counters["answers"], run.counters["unexpected"], run.counters["requests"]) == (2, 1, 0)


def test_a_greeting_before_the_first_request_is_nobodys_answer() -> None:
    loop = ScriptedLoop(Clock(), echo=True)
    run = talking(loop, PING)
    loop.incoming = {slot: [b"welcome"] for slot in range(10, 20)}
    after(run, loop, 4)

    assert run.counters["unexpected"] == 0
    assert run.counters["answers"] >= 30


def test_at_once_again_begins_when_all_are_open_and_goes_round() -> None:
    """Interval 0 s: requests do not wait for a time, all slots get about as many turns, and few are in flight."""
    loop = ScriptedLoop(Clock(), echo=True)
    run = a_run(5000, loop, talk=Talk(b"ping", every_s=0.0, expect=b"ping"))
    run.until(lambda: run.counters["open"] > 2000)
    assert loop.sent == {}
    opened(run)
    run.until(lambda: run.counters["answers"] > 20_000)
    turns = np.bincount([slot for _, slot in loop.sent_at], minlength=5000)

    assert turns.min() >= 0.7 * turns.mean()
    assert 0 <= run.counters["requests"] - run.counters["answers"] <= MOST_WAITING


def test_not_more_wait_for_their_answer_than_may() -> None:
    """No request is answered: MOST_WAITING are sent, then the loop waits for answers and does not spin."""
    loop = ScriptedLoop(Clock())
    run = opened(a_run(5000, loop, talk=Talk(b"ping", every_s=0.0, expect=b"ping")))
    run.until(lambda: run.counters["requests"] == MOST_WAITING)
    waits = loop.waits
    after(run, loop, 5)

    assert run.counters["requests"] == MOST_WAITING
    assert loop.waits - waits <= 5 / 0.05 + 10


def test_a_whole_answer_after_half_of_one_is_not_what_was_expected() -> None:
    loop = ScriptedLoop(Clock())
    run = talking(loop, PING, wanted=1)
    run.until(lambda: loop.sent)
    loop.incoming = {0: [b"pi", b"ping"]}
    run.until(lambda: run.counters["received_bytes"] == 6)

    assert (run.counters["answers"], run.counters["unexpected"]) == (0, 1)


def test_what_never_came_is_counted_when_the_connection_ends() -> None:
    """Of 4 connections one gets its answer, one is lost while it waits, two are closed by us: 3 are unanswered."""
    loop = ScriptedLoop(Clock())
    run = talking(loop, PING, wanted=4)
    run.until(lambda: len(loop.sent) == 4)
    after(run, loop, 1.2)
    loop.incoming = {0: [b"ping"], 1: [b"pi", b""]}
    run.until(lambda: run.counters["lost"] == 1 and run.counters["answers"] == 1)
    assert run.counters["unanswered"] == 1
    run.finish()

    assert run.counters["unanswered"] == pytest.approx(3, abs=0)


def test_what_may_still_be_on_its_way_is_not_missed() -> None:
    loop = ScriptedLoop(Clock())
    run = talking(loop, Talk(b"ping", every_s=0.4, expect=b"ping"), wanted=4)
    run.until(lambda: len(loop.sent) == 4)
    after(run, loop, 0.3)
    run.finish()

    assert run.counters["unanswered"] == 0


def test_an_answers_time_is_from_its_request() -> None:
    """The answer comes after 0.5 s of the loop's clock."""
    loop = ScriptedLoop(Clock())
    run = talking(loop, PING, wanted=1)
    run.until(lambda: loop.sent)
    after(run, loop, 0.5)
    loop.incoming = {0: [b"ping"]}
    run.until(lambda: run.counters["answers"] == 1)
    p50_us = histogram.percentile(run.counters["answer_us"], 0.5)

    assert p50_us == pytest.approx(500_000, rel=0.15)


def test_a_lost_connection_forgets_what_it_was_asked() -> None:
    """It is opened again in the same slot: half an answer from before is not part of the next answer."""
    loop = ScriptedLoop(Clock())
    run = opened(a_run(1, loop, talk=PING, reconnect=True))
    run.until(lambda: loop.sent)
    loop.incoming = {0: [b"pi", b""]}
    run.until(lambda: run.counters["reconnected"] == 1)
    loop.echo = True
    run.until(lambda: run.counters["answers"] == 2)

    assert run.counters["unexpected"] == 0


@given(st.binary(min_size=1, max_size=40), st.integers(1, 40), st.lists(st.integers(1, 9), max_size=30))
def test_however_it_is_cut_the_number_of_bytes_decides(come: bytes, size: int, cuts: list[int]) -> None:
    """Exactly as many are one answer; fewer are none; more are unexpected, if they belong to the same answer."""
    counters = np.zeros(1, COUNTERS)[0]
    requests = Requests(Talk(b"x", 1.0, size), np.array([Life.OPEN], np.uint8), counters, begin_ns=0)
    counters["phase"] = Phase.HOLDING
    requests.say(10**9)
    pieces: list[bytes] = []
    rest = come
    for cut in [*cuts, len(come)]:
        pieces, rest = [*pieces, rest[:cut]], rest[cut:]
    for piece in filter(None, pieces):
        data = np.frombuffer(piece, np.uint8).reshape(1, -1)
        requests.received(np.array([0], np.int32), data, np.array([len(piece)], np.int32), now_ns=2 * 10**9)

    ends = np.cumsum([len(piece) for piece in pieces])
    exact, beyond = size in ends, size not in ends and len(come) > size
    assert (counters["answers"], counters["unexpected"]) == (int(exact), int(beyond))


@given(st.binary(min_size=1, max_size=40), st.lists(st.integers(1, 9), max_size=30), st.booleans())
def test_however_it_is_cut_the_same_bytes_are_an_answer(expected: bytes, cuts: list[int], spoil: bool) -> None:
    """With one byte changed, at any place, they are not."""
    counters = np.zeros(1, COUNTERS)[0]
    state = np.array([Life.OPEN], np.uint8)
    requests = Requests(Talk(b"x", 1.0, expected), state, counters, begin_ns=0)
    counters["phase"] = Phase.HOLDING
    assert [outgoing.slots.tolist() for outgoing in requests.say(10**9)] == [[0]]
    requests.sent(np.array([0], np.int32))
    come = bytearray(expected)
    if spoil:
        come[len(come) // 2] ^= 1
    rest = bytes(come)
    for size in [*cuts, len(expected)]:
        piece, rest = rest[:size], rest[size:]
        if piece:
            data = np.frombuffer(piece, np.uint8).reshape(1, -1)
            requests.received(np.array([0], np.int32), data, np.array([len(piece)], np.int32), now_ns=2 * 10**9)

    assert (counters["answers"], counters["unexpected"]) == ((0, 1) if spoil else (1, 0))
