"""The server against a scripted loop: it takes no more than fits, closes on time, and asks gently when full."""

import errno

import pytest

from fourtuple.engine.protocols.http_server import HttpServer
from fourtuple.engine.workloads.accepter import PAUSE_NS
from fourtuple.engine.workloads.serve import GREETING_S, ServeJob, serve
from tests.engine.scripted import Clock, Run, ScriptedLoop


def a_server(loop: ScriptedLoop, greet: bytes = b"", close_after_s: float | None = None, *, echo: bool = False) -> Run:
    job = ServeJob(greet, echo, close_after_s, reset=False, log=False)
    return Run(lambda counters, control: serve(job, [], loop, counters, control, loop.clock))


def test_it_accepts_what_fits_and_leaves_the_rest_in_the_queue() -> None:
    loop = ScriptedLoop(Clock(), capacity=20)
    loop.arriving = [0] * 23
    run = a_server(loop)
    run.until(lambda: run.counters["open"] == 20)

    assert loop.rooms[-1] in (0, 20)
    run.until(lambda: loop.rooms[-1] == 0)
    assert len(loop.arriving) == 3
    loop.incoming = {4: [b""]}
    run.until(lambda: run.counters["opened"] == 21)
    assert (run.counters["open"], run.counters["lost"]) == (20, 1)


def test_each_client_is_greeted_once_and_then_watched() -> None:
    loop = ScriptedLoop(Clock())
    loop.arriving = [0] * 23
    run = a_server(loop, b"hello")
    run.until(lambda: run.counters["greeted"] == 23)

    assert loop.sent == dict.fromkeys(range(23), b"hello")
    assert run.counters["sent_bytes"] == 23 * 5
    assert loop.watched == set(range(23))


def test_an_echo_is_what_came_in() -> None:
    loop = ScriptedLoop(Clock())
    loop.arriving = [0, 0]
    run = a_server(loop, b"hi ", echo=True)
    run.until(lambda: run.counters["greeted"] == 2)
    loop.incoming = {0: [b"one", b"two"], 1: [b"three"]}
    run.until(lambda: run.counters["received_bytes"] == 11)
    run.until(lambda: loop.watched == {0, 1})

    assert loop.sent == {0: b"hi onetwo", 1: b"hi three"}
    assert (run.counters["greeted"], run.counters["sent_bytes"]) == (2, 6 + 11)


def test_a_client_that_does_not_take_its_echo_is_not_read_any_more() -> None:
    """Otherwise it could make us buffer more than what it has sent; the other client is served in the meantime."""
    loop = ScriptedLoop(Clock())
    loop.arriving = [0, 0]
    run = a_server(loop, echo=True)
    run.until(lambda: loop.watched == {0, 1})
    loop.stuck = {0}
    loop.incoming = {0: [b"one", b"more"], 1: [b"two", b"three"]}
    run.until(lambda: run.counters["received_bytes"] == 3 + 3 + 5)
    run.until(lambda: run.counters["sent_bytes"] == 3 + 5)

    assert (loop.watched, loop.incoming[0]) == ({1}, [b"more"])


def test_each_is_closed_when_its_time_has_come_and_not_a_later_one_in_the_same_slot() -> None:
    """The client of slot 0 leaves and another takes the slot; that one keeps its own full time."""
    clock = Clock()
    loop = ScriptedLoop(clock)
    loop.arriving = [0, 0]
    run = a_server(loop, close_after_s=3.0)
    run.until(lambda: run.counters["open"] == 2)
    begin_ns = clock.ns
    run.until(lambda: clock.ns >= begin_ns + 1_000_000_000)
    loop.incoming = {0: [b""]}
    run.until(lambda: run.counters["lost"] == 1)
    loop.arriving = [0]
    run.until(lambda: run.counters["opened"] == 3)

    run.until(lambda: run.counters["closed"] == 1)
    assert (clock.ns - begin_ns) / 1e9 == pytest.approx(3.0, abs=0.1)
    assert run.counters["open"] == 1
    run.until(lambda: run.counters["closed"] == 2)
    assert (clock.ns - begin_ns) / 1e9 == pytest.approx(4.0, abs=0.2)


def test_a_full_system_is_asked_again_only_after_a_pause() -> None:
    """Ten failures in a row take ten pauses: the errno is counted every time, and no connection is lost."""
    clock = Clock()
    loop = ScriptedLoop(clock)
    loop.arriving = [errno.ENFILE] * 10 + [0]
    run = a_server(loop)
    begin_ns = clock.ns
    run.until(lambda: run.counters["opened"] == 1)

    assert run.failed() == {"ENFILE": 10}
    assert (clock.ns - begin_ns) / PAUSE_NS == pytest.approx(10, abs=1)


def test_told_to_stop_it_closes_everything() -> None:
    loop = ScriptedLoop(Clock())
    loop.arriving = [0] * 997
    run = a_server(loop)
    run.until(lambda: run.counters["open"] == 997)
    run.finish()

    assert (run.counters["open"], run.counters["closed"], loop.open, loop.shut_down) == (0, 997, set(), True)
    assert loop.rooms[-1] == 0


@pytest.mark.parametrize("by_column", [True, False])
def test_a_client_of_http_may_wait_with_its_first_request(*, by_column: bool) -> None:
    """Its session is established with its connection, and is not given up as one that takes too long to be."""
    clock, kind = Clock(), HttpServer()
    if not by_column:
        kind.replies = None  # type: ignore[assignment]
    loop = ScriptedLoop(clock)
    loop.arriving = [0, 0]
    job = ServeJob(b"", False, None, reset=False, log=False, kind=kind)
    run = Run(lambda counters, control: serve(job, [], loop, counters, control, loop.clock))
    run.until(lambda: loop.watched == {0, 1})
    begin_ns = clock.ns
    run.until(lambda: clock.ns >= begin_ns + int(2 * GREETING_S * 1e9))
    loop.incoming = {0: [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"], 1: [b"GET / HT", b"TP/1.1\r\nHost: a\r\n\r\n"]}
    run.until(lambda: len(loop.sent) == 2)

    assert (
        loop.sent[0] == loop.sent[1] == b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"
    )
    assert (run.counters["open"], run.counters["sessions"], run.counters["greeting"]) == (2, 2, 0)
