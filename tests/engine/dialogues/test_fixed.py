"""What is sent and expected, over a scripted loop: when, on which connections, and what counts as an answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.runs import histogram, reasons
from fourtuple.core.runs.counters import COUNTERS, Phase
from fourtuple.engine.dialogues.fixed import Requests, Talk
from fourtuple.engine.dialogues.schedule import MOST_WAITING
from fourtuple.engine.loops.contract import Op
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


def test_a_message_waits_while_the_answer_before_is_missing() -> None:
    """Connection 3 is never answered: one request, and further ones are late each time. The others continue."""
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


def us(run: Run, name: str, share: float) -> float:
    """A percentile of a histogram of the run, in µs."""
    found = histogram.percentile(run.counters[name], share)
    assert found is not None
    return found


def stopped(loop: ScriptedLoop, run: Run, seconds: float) -> list[int]:
    """The server stops, and reads nothing → the slots whose message waits there when it is to go on."""
    loop.echo = False
    number = len(loop.sent_at)
    after(run, loop, seconds)
    return [slot for _, slot in loop.sent_at[number:]]


def test_what_is_due_while_a_server_is_stopped_counts_from_then() -> None:
    """It stops for 3 s of 12 with a message each 100 ms: a quarter of all messages wait for up to 3 s, evenly.

    So 10 % of all wait for longer than 1.8 s, and 1 % for longer than 2.88 s. All are sent, as soon as may be.
    """
    loop = ScriptedLoop(Clock(), echo=True)
    run = talking(loop, Talk(b"ping", every_s=0.1, expect=b"ping"))
    after(run, loop, 5)
    waiting = stopped(loop, run, 3)
    loop.echo, loop.incoming = True, {slot: [b"ping"] for slot in waiting}
    after(run, loop, 4)
    counters = run.counters
    run.finish()

    assert sorted(waiting) == list(range(20))
    assert counters["requests"] == pytest.approx(20 * 120, abs=40)
    assert counters["answers"] == pytest.approx(counters["requests"], abs=20)
    assert counters["late"] == pytest.approx(20 * 30, abs=40)
    assert (counters["unanswered"], counters["unsent"], counters["unexpected"]) == (0, 0, 0)
    assert us(run, "answer_us", 0.9) == pytest.approx(1_800_000, rel=0.05)
    assert us(run, "answer_us", 0.99) == pytest.approx(2_880_000, rel=0.03)
    assert us(run, "service_us", 0.9) < 100_000
    assert us(run, "service_us", 1.0) == pytest.approx(3_000_000, rel=0.05)


def test_a_server_that_is_still_stopped_at_the_end_shows() -> None:
    """5 s of answers and 3 s without: 20 are unanswered; of the 29 due on each meanwhile, 19 have waited over 1 s."""
    loop = ScriptedLoop(Clock(), echo=True)
    run = talking(loop, Talk(b"ping", every_s=0.1, expect=b"ping"))
    after(run, loop, 5)
    stopped(loop, run, 3)
    run.finish()
    counters = run.counters

    assert counters["unanswered"] == 20
    assert counters["unsent"] == pytest.approx(20 * 19, abs=20)
    assert counters["answer_us"].sum() == counters["answers"] + counters["unanswered"] + counters["unsent"]
    assert counters["service_us"].sum() == counters["answers"] + counters["unanswered"]
    assert us(run, "answer_us", 1.0) == pytest.approx(3_000_000, rel=0.05)
    assert us(run, "answer_us", 0.8) == pytest.approx(1_600_000, rel=0.1)


def test_a_connection_owes_nothing_from_before_it_was_lost() -> None:
    """It is stopped for 2 s, lost and opened again: 19 messages of before are not sent, and the next is in time."""
    loop = ScriptedLoop(Clock(), echo=True)
    run = opened(a_run(1, loop, talk=Talk(b"ping", every_s=0.1, expect=b"ping"), reconnect=True))
    after(run, loop, 1)
    stopped(loop, run, 2)
    loop.incoming = {0: [b""]}
    run.until(lambda: run.counters["reconnected"] == 1)
    loop.echo = True
    requests = int(run.counters["requests"])
    after(run, loop, 1)

    assert run.counters["unsent"] == pytest.approx(9, abs=2)
    assert run.counters["requests"] - requests == pytest.approx(10, abs=2)
    assert us(run, "service_us", 0.5) < 5_000


def test_no_connection_is_sent_to_twice_at_the_same_time_after_our_own_delay() -> None:
    """This program is stopped for 10 intervals: what was due then is sent one by one, and counts from then."""
    loop = ScriptedLoop(Clock(), echo=True)
    run = talking(loop, Talk(b"ping", every_s=0.1, expect=b"ping"))
    after(run, loop, 1)
    loop.clock.advance(1.0)
    after(run, loop, 1)
    run.finish()
    moments = [(at, slot) for at, slot in loop.sent_at]

    assert len(set(moments)) == len(moments) == pytest.approx(600, abs=40)
    assert us(run, "answer_us", 1.0) == pytest.approx(1_000_000, rel=0.1)
    assert us(run, "service_us", 0.9) < 20_000
    assert run.counters["unanswered"] + run.counters["unsent"] == 0


def test_a_peer_that_does_not_read_makes_messages_late_until_it_does() -> None:
    """Nothing is expected, so that only the send itself is waited for."""
    loop = ScriptedLoop(Clock())
    run = talking(loop, Talk(b"tick", every_s=0.1, expect=b""), wanted=1)
    loop.stuck = {0}
    run.until(lambda: loop.sent)
    after(run, loop, 1)
    assert loop.sent[0] == b"tick"
    loop.stuck = set()
    loop._done.append((Op.SEND, 0, 4))
    after(run, loop, 1)

    assert len(loop.sent[0]) // 4 == pytest.approx(20, abs=2)
    assert run.counters["late"] == pytest.approx(9, abs=1)


def test_an_answer_before_all_of_the_message_is_sent_does_not_silence_the_connection() -> None:
    """The peer answers the first part of a long message: the next message follows when the rest has been sent."""
    loop = ScriptedLoop(Clock())
    loop.stuck = {0}
    run = talking(loop, Talk(b"ping", every_s=0.0, expect=b"ping"), wanted=1)
    run.until(lambda: loop.sent)
    loop.incoming = {0: [b"ping"]}
    run.until(lambda: run.counters["answers"] == 1)
    assert run.counters["requests"] == 1
    loop.stuck, loop.echo = set(), True
    loop._done.append((Op.SEND, 0, 4))
    run.until(lambda: run.counters["answers"] > 10)

    assert run.counters["unexpected"] == 0


def test_where_nothing_is_expected_the_oldest_request_is_what_is_answered() -> None:
    """Ten are sent in a second before anything comes: it is an answer after a second, not after a tenth."""
    loop = ScriptedLoop(Clock())
    run = talking(loop, Talk(b"tick", every_s=0.1, expect=b""), wanted=1)
    run.until(lambda: loop.sent)
    after(run, loop, 1)
    loop.incoming = {0: [b"all right"]}
    run.until(lambda: run.counters["answers"] == 1)

    assert us(run, "answer_us", 0.5) == pytest.approx(1_000_000, rel=0.1)
    assert us(run, "service_us", 0.5) == pytest.approx(1_000_000, rel=0.1)


def test_without_an_interval_a_message_is_due_when_it_is_sent() -> None:
    loop = ScriptedLoop(Clock(), echo=True)
    run = talking(loop, Talk(b"ping", every_s=0.0, expect=b"ping"))
    run.until(lambda: run.counters["answers"] > 1000)
    stopped(loop, run, 2)
    run.finish()

    assert run.counters["unanswered"] == 20
    assert (run.counters["late"], run.counters["unsent"]) == (0, 0)
    assert np.array_equal(run.counters["answer_us"], run.counters["service_us"])


@given(
    st.integers(1, 7),
    st.sampled_from([0.01, 0.07, 0.1, 0.5]),
    st.lists(st.sampled_from([0, 1, 3, 40, 900]), min_size=1, max_size=40),
)
def test_every_message_is_timed_from_its_own_moment(count: int, every_s: float, delays_ms: list[int]) -> None:
    """The oracle has a queue of moments for each connection. The n-th message is answered after the n-th delay."""
    talk, counters, state = Talk(b"x", every_s, b"y"), np.zeros(1, COUNTERS)[0], np.full(count, Life.OPEN, np.uint8)
    counters["phase"] = Phase.HOLDING
    requests = Requests(talk, state, counters, begin_ns=0)
    every_us, together_us = round(every_s * 1e6), min(50_000, round(every_s * 1e6) // 20)
    queues: list[list[int]] = [[] for _ in range(count)]
    asked: dict[int, tuple[int, int, int]] = {}  # by slot: when it was due, sent, and is to be answered
    answers, services, turn, sent = [], [], 0, 0
    for now_us in range(0, 2_000_000, 1000):
        while (due_us := -(-(turn + 1) * every_us // (count * together_us)) * together_us) <= now_us:
            queues[turn % count].append(due_us)
            turn += 1
        for outgoing in requests.say(now_us * 1000):
            requests.sent(outgoing.slots)
            for slot in outgoing.slots.tolist():
                answer_us = now_us + 1000 * delays_ms[sent % len(delays_ms)]
                asked[slot], sent = (queues[slot].pop(0), now_us, answer_us), sent + 1
        done = np.array([slot for slot, (_, _, at_us) in asked.items() if at_us <= now_us], np.int32)
        if len(done):
            data, sizes = np.full((len(done), 1), ord("y"), np.uint8), np.ones(len(done), np.int32)
            requests.received(done, data, sizes, now_us * 1000)
            for slot in done.tolist():
                due_us, at_us, _ = asked.pop(slot)
                answers.append(now_us - due_us)
                services.append(now_us - at_us)
    expected = np.zeros((2, histogram.BUCKETS), np.int64)
    histogram.add_values(expected[0], np.array(answers, np.float64))
    histogram.add_values(expected[1], np.array(services, np.float64))

    assert np.array_equal(counters["answer_us"], expected[0])
    assert np.array_equal(counters["service_us"], expected[1])
    assert (counters["requests"], counters["answers"]) == (sent, len(answers))


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


@pytest.mark.parametrize(
    ("expect", "pieces", "reason"),
    [
        (b"ping", [b"pong\r\nand more"], 'text: an answer is not "ping": "pong"'),
        (b"ping", [b"pi", b"ng", b"!"], None),
        (b"ping", [b"pi", b"pe"], 'text: an answer is not "ping": "pipe"'),
        (b"ping", [b"pin", b"g, pong"], 'text: more than the answer: ", pong"'),
        (b"ping", [b"port 40123"], 'text: an answer is not "ping": "port N"'),
        (3, [b"12", b"34"], 'text: more than the answer: "4"'),
    ],
)
def test_a_wrong_answer_is_shown(expect: bytes | int, pieces: list[bytes], reason: str | None) -> None:
    loop = ScriptedLoop(Clock())
    run = talking(loop, Talk(b"ping", every_s=2.0, expect=expect), wanted=1)
    run.until(lambda: loop.sent)
    loop.incoming = {0: [*pieces]}
    run.until(lambda: run.counters["received_bytes"] == len(b"".join(pieces)))

    assert reasons.total(run.counters["reasons"]) == ({} if reason is None else {reason: 1})


def test_every_wrong_answer_has_a_reason_however_many_there_are() -> None:
    """Of 20 that arrive together 7 are alike, 2 are, and the others differ: four reasons, and one for the rest."""
    loop = ScriptedLoop(Clock())
    run = talking(loop, Talk(b"", every_s=1.0, expect=b"hello"), wanted=20)
    said = [b"go away"] * 7 + [b"no"] * 2 + [b"x" * n for n in range(1, 12)]
    loop.incoming = {slot: [data] for slot, data in enumerate(said)}
    run.until(lambda: run.counters["unexpected"] == 20)
    found = reasons.total(run.counters["reasons"])

    assert sum(found.values()) == 20
    assert found['text: an answer is not "hello": "go away"'] == 7
    assert found['text: an answer is not "hello": "no"'] == 2


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
    assert run.counters["answer_us"].sum() == 2
    assert np.array_equal(run.counters["answer_us"], run.counters["service_us"])


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
