"""A churn against a scripted loop: every connection is accounted for, and every time counts from its moment."""

import errno
from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.churn_orders import AT_ONCE, ClosedBy
from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.histogram import percentile
from fourtuple.core.runs.pace import OpeningPace
from fourtuple.core.runs.slices import Plan, split
from fourtuple.core.space.endpoints import FourTuple
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.core.talk.arrivals import Arrivals
from fourtuple.core.talk.lifetime import Lifetime, Spreading, parse_lifetime
from fourtuple.core.talk.template import parse_template
from fourtuple.engine.dialogues.fixed import Talk
from fourtuple.engine.loops.contract import First, How, Slots, Targets
from fourtuple.engine.protocols.contract import Answers, Session, SessionKind, Turn
from fourtuple.engine.workloads.churn import ChurnJob, churn
from tests.engine.kinds import Parting, PartingKind
from tests.engine.scripted import Clock, Run, ScriptedLoop

PING = Talk(b"ping", 0.0, b"ping")
HOW = How(bind=False, port_range=None, timeout_s=None)


def a_churn(
    loop: ScriptedLoop,
    rate_per_s: float = 100.0,
    run_s: float = 1.0,
    slots: int = 100,
    strategy: Strategy = Strategy.LATE,
    even: bool = True,
    **others: Any,
) -> Run:
    """others: of the ChurnJob"""
    space = TupleSpace.of(["10.0.0.4"], range(40_000, 40_050), ["10.0.0.9:80-82"])
    plan = Plan(slots, Interval.of(space.size), space, strategy, split(slots, space.size, 1, OpeningPace()))
    options = {"lifetime": AT_ONCE, "timeout_s": 5.0, "closed_by": ClosedBy.RST, **others}
    job = ChurnJob(plan, HOW, run_s, **options)
    arrivals, random = Arrivals(rate_per_s, even, seed=7), np.random.default_rng(7)
    return Run(
        lambda counters, control: churn(job, plan.slices[0], arrivals, random, loop, counters, control, loop.clock)
    )


def over(run: Run) -> Run:
    """All that were due have been started, and none is open any more."""

    def is_over() -> bool:
        counters = run.counters
        return bool(counters["phase"] == Phase.HOLDING and not counters["open"] and not counters["opening"])

    run.until(is_over)
    return run


def counted(run: Run, *names: str) -> tuple[int, ...]:
    return tuple(int(run.counters[name]) for name in names)


def median_ms(run: Run, name: str) -> float:
    found = percentile(run.counters[name], 0.5)
    assert found is not None
    return found / 1000


def over_unix(loop: ScriptedLoop, **others: Any) -> Run:
    """20 connections in a second to a Unix socket. others: of the ChurnJob"""
    plan = Plan.of_sockets(100, ("/run/a",), 1, OpeningPace())
    options = {"lifetime": AT_ONCE, "timeout_s": 2.0, "closed_by": ClosedBy.FIN, "talk": PING, **others}
    job = ChurnJob(plan, HOW, 1.0, **options)
    arrivals, random = Arrivals(20.0, True, seed=7), np.random.default_rng(7)
    return Run(
        lambda counters, control: churn(job, plan.slices[0], arrivals, random, loop, counters, control, loop.clock)
    )


@pytest.mark.parametrize("until_s", [0.7, 30.0])
def test_a_full_accept_queue_of_a_unix_socket_is_waited_for(until_s: float) -> None:
    """Until the time limit of each connection, which has its own errno; the others are opened, and all are counted."""
    loop = ScriptedLoop(Clock(), echo=True)
    loop.answer = lambda n, _: errno.EAGAIN if loop.clock.ns / 1e9 - 1 < until_s else 0
    run = over(over_unix(loop))
    failed = 0 if until_s < 1 else 20

    assert counted(run, "arrivals", "started", "opened", "answers") == (20, 20, 20 - failed, 20 - failed)
    assert run.failed() == ({"EAGAIN": failed} if failed else {})
    run.finish()
    assert counted(run, "closed", "lost") == (20 - failed, 0)
    assert {reset for _, reset in loop.closed} == {False}


@pytest.mark.parametrize("links", [False, True])
@pytest.mark.parametrize("talk", [None, PING, Talk(b"", 0.0, b"hello")])
@pytest.mark.parametrize("closed_by", list(ClosedBy))
def test_every_connection_is_opened_answered_and_closed(talk: Talk | None, closed_by: ClosedBy, links: bool) -> None:
    """As many as are due in the time, each in a slot that is used again, and nothing is left."""
    greets = talk is not None and not talk.send

    class Loop(ScriptedLoop):
        """Its server greets, or ends each connection once it has answered."""

        def connect(self, slots: Slots, *others: Any) -> None:
            super().connect(slots, *others)
            for slot in slots.tolist():
                self.incoming.setdefault(slot, []).extend([b"hello"] if greets else [])
                if closed_by is ClosedBy.SERVER and not (talk and talk.send):
                    self.incoming[slot].append(b"")

        def receive(self, slots: Slots, buffers: NDArray[np.uint8]) -> NDArray[np.int32]:
            results = super().receive(slots, buffers)
            for slot in slots.tolist():
                if closed_by is ClosedBy.SERVER and talk and talk.send and slot in self.incoming:
                    self.incoming[slot].append(b"")
            return results

    loop = Loop(Clock(), capacity=20, echo=True, links=links)
    run = over(a_churn(loop, slots=20, talk=talk, closed_by=closed_by))
    run.finish()

    assert counted(run, "arrivals", "started", "opened", "closed", "lost", "open") == (100, 100, 100, 100, 0, 0)
    assert run.failed() == {}
    assert counted(run, "answers", "late") == (100 if talk else 0, 0)
    assert (loop.open, len(loop.closed), loop.shut_down) == (set(), 100, True)
    assert {slot for slot, _ in loop.closed} < set(range(20))
    assert {reset for _, reset in loop.closed} == {closed_by is ClosedBy.RST}


def test_connections_start_at_their_moments_and_destinations_take_turns() -> None:
    loop = ScriptedLoop(Clock(), step_s=0.0001)
    over(a_churn(loop))

    assert [at for at, _ in loop.connects] == pytest.approx([n / 100 for n in range(100)], abs=0.003)
    assert [t.destination.port for _, t in loop.connects[:6]] == [80, 81, 82, 80, 81, 82]


def test_with_explicit_ports_the_4_tuples_take_turns() -> None:
    """150 are in the space: the 151st is the first again."""
    loop = ScriptedLoop(Clock())
    over(a_churn(loop, rate_per_s=200, strategy=Strategy.EXPLICIT))

    tuples = [four_tuple for _, four_tuple in loop.connects]
    assert len({*tuples[:150]}) == 150
    assert tuples[150:] == tuples[:50]


def test_one_that_cannot_start_at_its_moment_is_started_late_and_timed_from_its_moment() -> None:
    """Two slots, each taken for 100 ms: 20 per second are possible, 40 are due."""
    loop = ScriptedLoop(Clock(), capacity=2)
    run = over(a_churn(loop, rate_per_s=40, slots=2, lifetime=parse_lifetime("100ms")))

    assert counted(run, "arrivals", "started", "closed") == (40, 40, 40)
    assert counted(run, "late")[0] == pytest.approx(36, abs=1)  # the n-th is 25 ms × n late
    last_s = loop.connects[-1][0]
    assert last_s == pytest.approx(2.0, abs=0.2)
    assert percentile(run.counters["lag_us"], 1.0) == pytest.approx(1e6 * (last_s - 39 / 40), rel=0.05)
    assert median_ms(run, "connect_us") == pytest.approx(500, rel=0.1)
    assert median_ms(run, "connecting_us") < 10


def test_what_was_not_started_when_it_stops_is_counted() -> None:
    """One slot, which a connection keeps for longer than the run: the others wait, and are not forgotten."""
    loop = ScriptedLoop(Clock(), capacity=1)
    run = a_churn(loop, slots=1, lifetime=parse_lifetime("1h"))
    run.until(lambda: run.counters["arrivals"] == 100)
    run.control.stop()
    run.until(lambda: run.counters["phase"] == Phase.HOLDING)
    run.finish()

    assert counted(run, "arrivals", "started", "opened", "open_at_end") == (100, 1, 1, 1)


@pytest.mark.parametrize("links", [False, True])
@pytest.mark.parametrize("number", [errno.ECONNREFUSED, errno.EADDRNOTAVAIL, errno.EMFILE])
def test_a_connect_that_fails_is_counted_by_its_errno_and_ends_nothing(number: int, links: bool) -> None:
    """Every fifth is refused; ports that are gone now come back, so no destination is given up."""
    loop = ScriptedLoop(Clock(), answer=lambda n, _: number if n % 5 == 4 else 0, echo=True, links=links)
    run = over(a_churn(loop, talk=PING, slots=10))

    assert counted(run, "arrivals", "started", "opened") == (100, 100, 80)
    assert run.failed() == {errno.errorcode[number]: 20}


def test_connects_without_an_answer_time_out_and_free_their_slots() -> None:
    """Of 100, the first 10 take all 10 slots until they have timed out."""
    answer: Callable[[int, FourTuple], int] = lambda n, _: errno.EINPROGRESS if n < 10 else 0  # noqa: E731
    loop = ScriptedLoop(Clock(), answer=answer)
    run = over(a_churn(loop, slots=10, timeout_s=0.5))

    assert (counted(run, "started", "opened", "closed"), run.failed()) == ((100, 90, 90), {"ETIMEDOUT": 10})


@pytest.mark.parametrize("size", [4096, 4097])
def test_only_a_message_that_fits_into_a_send_buffer_is_sent_along_with_the_connect(size: int) -> None:
    """A longer one could wait for a peer that does not read before its answer is read."""
    along: list[bool] = []

    class Loop(ScriptedLoop):
        def connect(self, slots: Slots, block: Targets, how: How, first: First | None = None) -> None:
            along.append(first is not None)
            super().connect(slots, block, how, first)

    run = over(a_churn(Loop(Clock(), links=True), rate_per_s=10, talk=Talk(bytes(size), 0.0, b""), timeout_s=0.1))

    assert {*along} == {size <= 4096}
    assert counted(run, "requests", "opened", "lost") == (10, 10, 10)


def test_each_of_many_connections_that_open_together_says_its_message_once() -> None:
    """2,500 at once, more than the messages of a step."""
    loop = ScriptedLoop(Clock(), batch=5000, echo=True, links=True, step_s=1.0)
    run = over(a_churn(loop, rate_per_s=2500, slots=5000, talk=PING))

    assert max(len(list(group)) for _, group in groupby(at for at, _ in loop.connects)) > 2000
    assert counted(run, "requests", "answers", "closed") == (2500, 2500, 2500)
    assert {*loop.sent.values()} == {b"ping"}


def test_a_server_that_does_not_answer_loses_connections_by_etimedout() -> None:
    loop = ScriptedLoop(Clock())
    run = over(a_churn(loop, rate_per_s=10, talk=PING, timeout_s=0.5))

    assert counted(run, "opened", "closed", "lost") == (10, 0, 10)
    assert run.counters["lost_by"][errno.ETIMEDOUT] == 10


@pytest.mark.parametrize(("end", "number"), [(b"", 0), (errno.ECONNRESET, errno.ECONNRESET)])
def test_a_connection_that_ends_before_it_is_complete_is_lost(end: bytes | int, number: int) -> None:
    class Loop(ScriptedLoop):
        def connect(self, slots: Slots, *others: Any) -> None:
            super().connect(slots, *others)
            self.incoming |= {slot: [end] for slot in slots.tolist()}

    run = over(a_churn(Loop(Clock()), rate_per_s=10, talk=PING, closed_by=ClosedBy.SERVER))

    assert counted(run, "opened", "closed", "lost") == (10, 0, 10)
    assert run.counters["lost_by"][number] == 10


def test_a_wrong_answer_is_unexpected() -> None:
    loop = ScriptedLoop(Clock(), echo=True)
    run = over(a_churn(loop, rate_per_s=10, talk=Talk(b"ping", 0.0, b"pong")))

    assert counted(run, "unexpected", "answers") == (10, 0)


@pytest.mark.parametrize("links", [False, True])
@pytest.mark.parametrize("requests", [1, 2, 5])
def test_messages_follow_each_other_and_the_first_and_the_last_answer_are_timed(requests: int, links: bool) -> None:
    loop = ScriptedLoop(Clock(), echo=True, links=links)
    run = over(a_churn(loop, talk=PING, requests=requests))

    assert counted(run, "requests", "answers", "closed") == (100 * requests, 100 * requests, 100)
    assert {*loop.sent.values()} == {b"ping" * n for n in {len(sent) // 4 for sent in loop.sent.values()}}
    assert run.counters["first_us"].sum() == run.counters["last_us"].sum() == 100
    first, last = (median_ms(run, name) for name in ("first_service_us", "last_service_us"))
    assert (first < last) == (requests > 1)


@pytest.mark.parametrize("text", ["300ms", "exp:300ms", "uniform:100ms-500ms"])
def test_connections_live_as_long_as_the_distribution_says(text: str) -> None:
    """By Little's law, rate × mean lifetime are open: 300."""
    loop = ScriptedLoop(Clock())
    run = a_churn(loop, rate_per_s=1000, run_s=3.0, slots=1000, even=False, lifetime=parse_lifetime(text))
    seen = []
    for _ in range(100):
        run.until(lambda: True, 1)
        next(run._ticks)
        if run.counters["phase"] == Phase.OPENING and len(loop.connects) > 1500:
            seen.append(int(run.counters["open"]))
        if run.counters["phase"] != Phase.OPENING:
            break

    assert np.mean(seen) == pytest.approx(300, rel=0.15)


def test_a_peer_that_closes_within_the_lifetime_loses_the_connection() -> None:
    """Its exchange was complete, but it was to live for a second longer."""

    class Loop(ScriptedLoop):
        def receive(self, slots: Slots, buffers: NDArray[np.uint8]) -> NDArray[np.int32]:
            results = super().receive(slots, buffers)
            for slot in slots.tolist():
                self.incoming.setdefault(slot, []).append(b"")
            return results

    loop = Loop(Clock(), echo=True)
    run = over(a_churn(loop, rate_per_s=10, talk=PING, lifetime=Lifetime(Spreading.FIXED, 1.0, 1.0)))

    assert (counted(run, "closed", "lost"), run.counters["lost_by"][0]) == ((0, 10), 10)


def test_a_complete_connection_that_the_server_resets_is_lost() -> None:
    """Only its FIN is the planned end."""

    class Loop(ScriptedLoop):
        def receive(self, slots: Slots, buffers: NDArray[np.uint8]) -> NDArray[np.int32]:
            results = super().receive(slots, buffers)
            for slot in slots.tolist():
                self.incoming.setdefault(slot, []).append(errno.ECONNRESET)
            return results

    run = over(a_churn(Loop(Clock(), echo=True), rate_per_s=10, talk=PING, closed_by=ClosedBy.SERVER))

    assert counted(run, "answers", "closed", "lost") == (10, 0, 10)
    assert run.counters["lost_by"][errno.ECONNRESET] == 10


def test_a_server_that_keeps_a_complete_connection_open_too_long_loses_it() -> None:
    loop = ScriptedLoop(Clock(), echo=True)
    run = over(a_churn(loop, rate_per_s=10, talk=PING, closed_by=ClosedBy.SERVER, timeout_s=0.5))

    assert (counted(run, "answers", "closed", "lost"), run.counters["lost_by"][errno.ETIMEDOUT]) == ((10, 0, 10), 10)


def test_ctrl_c_leaves_nothing_open_and_everything_accounted_for() -> None:
    """Connections that are being opened or are open when it closes are neither completed nor failed."""
    answer: Callable[[int, FourTuple], int] = lambda n, _: errno.EINPROGRESS if n % 2 else 0  # noqa: E731
    loop = ScriptedLoop(Clock(), answer=answer)
    run = a_churn(loop, run_s=10.0, slots=1000, lifetime=parse_lifetime("1h"))
    run.until(lambda: len(loop.connects) >= 100)
    run.control.stop()
    run.until(lambda: run.counters["phase"] == Phase.HOLDING)
    started, opened = counted(run, "started", "opened")
    run.finish()

    assert opened == pytest.approx(started / 2, abs=1)
    assert counted(run, "started", "opened", "open_at_end", "closed") == (started, opened, opened, opened)
    assert counted(run, "open", "opening", "lost") == (0, 0, 0)
    assert loop.open == set()


class Telling(Parting):
    """A session that says something first, and whose messages have no answer."""

    def begin(self) -> Turn:
        return Turn(send=b"hello", ready=True)


class TellingKind(PartingKind):
    answers = Answers.NONE

    def make(self, connection: int, source: str) -> Session:
        return Telling()


def test_messages_without_an_answer_are_complete_once_they_are_sent() -> None:
    """What the session says of its own accord is none of them."""
    loop = ScriptedLoop(Clock())
    message = parse_template(b"news")
    run = over(a_churn(loop, rate_per_s=10, kind=TellingKind(), message=message, requests=3))

    assert counted(run, "requests", "closed", "lost") == (30, 10, 0)
    assert b"".join(loop.sent.values()) == (b"hello" + b"news" * 3) * 10


@pytest.mark.parametrize("closed_by", [ClosedBy.FIN, ClosedBy.RST])
def test_a_session_says_goodbye_before_a_fin_and_not_before_a_reset(closed_by: ClosedBy) -> None:
    loop = ScriptedLoop(Clock())
    kind: SessionKind = PartingKind()
    run = over(a_churn(loop, rate_per_s=10, kind=kind, closed_by=closed_by))

    assert counted(run, "sessions", "closed", "lost") == (10, 10, 0)
    assert b"".join(loop.sent.values()) == (b"bye" * 10 if closed_by is ClosedBy.FIN else b"")


def test_a_peer_that_closes_on_the_goodbye_is_as_planned() -> None:
    """Even if its end comes before it is known that all was sent."""

    class Loop(ScriptedLoop):
        def send(self, slots: Slots, *others: Any) -> None:
            self.stuck = set(slots.tolist())
            super().send(slots, *others)
            self.incoming |= {slot: [b""] for slot in slots.tolist()}

    run = over(a_churn(Loop(Clock()), rate_per_s=10, kind=PartingKind(), closed_by=ClosedBy.FIN))

    assert counted(run, "sessions", "closed", "lost") == (10, 10, 0)


def test_a_peer_that_does_not_read_the_goodbye_is_not_waited_for_long() -> None:
    loop = ScriptedLoop(Clock())
    loop.stuck = set(range(100))
    run = over(a_churn(loop, rate_per_s=10, kind=PartingKind(), closed_by=ClosedBy.FIN))

    assert counted(run, "closed", "lost") == (10, 0)
    assert loop.connects[-1][0] < 1.0
