"""The client against a scripted loop: exact numbers for every errno, and nothing asked for twice or lost."""

import errno
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.histogram import percentile
from fourtuple.core.runs.pace import OpeningPace
from fourtuple.core.runs.slices import Plan, split
from fourtuple.core.space.endpoints import FourTuple
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.engine.control import TICK_S, Cookies
from fourtuple.engine.loops.contract import How, Slots
from fourtuple.engine.protocols.contract import Answers, Session, Turn
from fourtuple.engine.workloads.hold import HoldJob, hold
from tests.engine.kinds import Parting, PartingKind
from tests.engine.scripted import Clock, Run, ScriptedLoop

HOW = How(bind=False, port_range=None, timeout_s=30)


def a_space(ports: int = 100, sources: str = "10.0.0.4", ends: str = "10.0.0.9:80-82") -> TupleSpace:
    return TupleSpace.of([sources], range(40_000, 40_000 + ports), [ends])


def a_run(
    wanted: int,
    loop: ScriptedLoop,
    space: TupleSpace | None = None,
    strategy: Strategy = Strategy.LATE,
    pace: OpeningPace | None = None,
    cookies: Cookies | None = None,
    **others: Any,
) -> Run:
    """others: of the HoldJob"""
    space = space or a_space(ports=10_000)
    plan = Plan(wanted, Interval.of(space.size), space, strategy, split(wanted, space.size, 1, pace or OpeningPace()))
    job = HoldJob(plan, HOW, **{"timeout_s": 30, "reset": True, "log": False, **others})
    shared = np.zeros(wanted, np.uint64) if cookies is None else cookies
    return Run(lambda counters, control: hold(job, plan.slices[0], loop, counters, control, shared, loop.clock))


def opened(run: Run) -> Run:
    run.until(lambda: run.counters["phase"] == Phase.HOLDING)
    return run


def over_unix(wanted: int, loop: ScriptedLoop, **others: Any) -> Run:
    """A run to two Unix sockets. others: of the HoldJob"""
    plan = Plan.of_sockets(wanted, ("/run/a", "@b"), 1, OpeningPace(in_flight=32))
    job = HoldJob(plan, HOW, **{"timeout_s": 2, "reset": False, "log": False, **others})
    shared = np.zeros(wanted, np.uint64)
    return Run(lambda counters, control: hold(job, plan.slices[0], loop, counters, control, shared, loop.clock))


def test_connections_to_unix_sockets_take_turns_and_are_never_reset() -> None:
    """A reset is a connect() to AF_UNSPEC, which a Unix socket refuses: its poll would never end."""
    loop = ScriptedLoop(Clock(), answer=lambda n, _: errno.EINPROGRESS if n == 22 else 0)
    run = over_unix(23, loop)
    run.until(lambda: run.counters["phase"] == Phase.HOLDING)

    names: list[Any] = [name for _, name in loop.connects[:3]]
    assert names == [b"/run/a", b"\0b", b"/run/a"]
    assert run.failed() == {"ETIMEDOUT": 1}
    run.finish()
    assert sorted(loop.closed) == [(slot, False) for slot in range(23)]


def test_a_full_accept_queue_is_waited_for() -> None:
    """Of a Unix socket, whose connect() fails at once: each is tried until there is room, and none is lost or doubled.

    The durations count from the first attempt. While none succeeds, the attempts become rare.
    """
    loop = ScriptedLoop(Clock())
    loop.answer = lambda n, _: errno.EAGAIN if len(loop.open) >= 7 and loop.clock.ns < 1.5e9 else 0
    run = over_unix(100, loop)
    run.until(lambda: run.counters["open"] == 7 and loop.clock.ns > 1.4e9)
    in_vain = len(loop.connects) - 7

    assert run.counters["opening"] == 32
    assert in_vain < 32 + 16 * 16
    opened(run)
    assert (run.counters["open"], run.counters["opened"], run.counters["started"]) == (100, 100, 100)
    assert run.failed() == {}
    slowest_us = percentile(run.counters["connect_us"], 1.0)
    assert slowest_us is not None
    assert slowest_us > 450_000
    run.finish()
    assert (run.counters["closed"], loop.open) == (100, set())


def test_a_queue_that_stays_full_is_a_failure_with_its_own_errno() -> None:
    """After the time limit of a connect; then nothing more is tried."""
    loop = ScriptedLoop(Clock())
    loop.answer = lambda n, _: errno.EAGAIN if len(loop.open) >= 7 else 0
    run = opened(over_unix(1000, loop))

    assert run.counters["open"] == 7
    assert run.failed() == {"EAGAIN": 993}
    assert 2.0 <= loop.clock.ns / 1e9 - 1 < 10.0
    run.finish()
    assert (run.counters["closed"], loop.open) == (7, set())


def test_what_waits_for_a_full_queue_is_let_go_when_the_run_is_stopped() -> None:
    loop = ScriptedLoop(Clock())
    loop.answer = lambda n, _: errno.EAGAIN if len(loop.open) >= 7 else 0
    run = over_unix(100, loop)
    run.until(lambda: run.counters["open"] == 7 and run.counters["opening"] == 32)
    run.control.stop()
    opened(run)
    tried = len(loop.connects)

    assert run.failed() == {"EAGAIN": 32, "ECANCELED": 61}
    assert run.counters["opening"] == 0
    run.finish()
    assert (len(loop.connects), loop.open) == (tried, set())


@pytest.mark.parametrize("wanted", [1, 23, 997])
def test_as_many_are_held_as_were_wanted(wanted: int) -> None:
    """Not one more is started, pairs take turns, and closing leaves none."""
    loop = ScriptedLoop(Clock())
    run = opened(a_run(wanted, loop))

    assert (run.counters["open"], run.counters["opened"], len(loop.connects)) == (wanted, wanted, wanted)
    assert run.failed() == {}
    assert [t.destination.port for _, t in loop.connects[:7]] == [80, 81, 82, 80, 81, 82, 80][:wanted]
    run.finish()
    assert (run.counters["open"], run.counters["closed"], loop.open, loop.shut_down) == (0, wanted, set(), True)
    assert loop.closed == [(slot, True) for slot in reversed(range(wanted))]


def test_new_connections_are_polled_when_no_others_come() -> None:
    """Polling does not slow down the opening: it begins when all are open."""
    connects: list[int] = []

    class Loop(ScriptedLoop):
        def watch(self, slots: Slots) -> None:
            super().watch(slots)
            connects.append(len(self.connects))

    loop = Loop(Clock())
    run = opened(a_run(500, loop))
    run.until(lambda: loop.watched == set(range(500)))

    assert connects == [500]


def test_an_end_is_noticed_while_others_are_still_being_opened() -> None:
    """At the latest LATER_NS after the connection was opened, plus a tick."""
    loop = ScriptedLoop(Clock(), batch=1, step_s=0.001)
    loop.incoming[0] = [b""]
    run = a_run(3000, loop)
    run.until(lambda: run.counters["lost"] == 1)

    assert run.counters["phase"] == Phase.OPENING
    assert 1000 <= run.counters["opened"] <= 1100


def test_never_more_at_once_than_the_pace_allows() -> None:
    loop = ScriptedLoop(Clock(), batch=1000)
    opened(a_run(997, loop, pace=OpeningPace(in_flight=40)))

    assert loop.most_in_flight == 40


class Asking(Parting):
    """A session that is established by the answer to what it says first, and has nothing to say then."""

    def begin(self) -> Turn:
        return Turn(send=b"hello")

    def received(self, data: bytes) -> Turn:
        return Turn(ready=True)


class AskingKind(PartingKind):
    answers = Answers.NONE

    def make(self, connection: int, source: str) -> Session:
        return Asking()


def test_sessions_that_are_established_make_room_for_others_at_once() -> None:
    """Nothing else completes after they were read, so that a step that waited would wait for TICK_S."""
    loop = ScriptedLoop(Clock(), echo=True)
    run = opened(a_run(4, loop, pace=OpeningPace(in_flight=2), kind=AskingKind()))

    assert run.counters["sessions"] == 4
    assert [at_s < TICK_S for at_s, _ in loop.connects] == [True] * 4


def test_a_rate_is_kept_to_the_connection() -> None:
    """The n-th starts at n / rate, no earlier, and no later than the next step of the loop."""
    loop = ScriptedLoop(Clock(), step_s=0.0001)
    opened(a_run(101, loop, pace=OpeningPace(rate_per_s=100.0)))

    assert [at for at, _ in loop.connects] == pytest.approx([n / 100 for n in range(101)], abs=0.003)


def test_a_full_pair_is_left_and_the_others_take_over() -> None:
    """Port 81 has room for 5; the rest goes to the other two, and all 23 are held."""
    room = {81: 5}

    def answer(_: int, t: FourTuple) -> int:
        room[t.destination.port] = room.get(t.destination.port, 1000) - 1
        return errno.EADDRNOTAVAIL if room[t.destination.port] < 0 else 0

    loop = ScriptedLoop(Clock(), answer=answer)
    run = opened(a_run(23, loop))

    assert (run.counters["open"], run.failed()) == (23, {})


def test_when_every_pair_is_full_the_rest_has_failed_with_that_errno() -> None:
    """300 4-tuples, 350 wanted: each pair is tried once too often, and then not again."""
    used: dict[int, int] = {}

    def answer(_: int, t: FourTuple) -> int:
        used[t.destination.port] = used.get(t.destination.port, 0) + 1
        return errno.EADDRNOTAVAIL if used[t.destination.port] > 100 else 0

    loop = ScriptedLoop(Clock(), answer=answer, batch=1)
    run = opened(a_run(350, loop, a_space(100)))

    assert (run.counters["open"], run.failed()) == (300, {"EADDRNOTAVAIL": 50})
    assert len(loop.connects) == 303


def test_full_pairs_are_asked_gently_however_large_the_batches() -> None:
    """For each refusal the kernel checks every port of the range: 300 fit, and not many more are tried."""
    used: dict[int, int] = {}

    def answer(_: int, t: FourTuple) -> int:
        used[t.destination.port] = used.get(t.destination.port, 0) + 1
        return errno.EADDRNOTAVAIL if used[t.destination.port] > 100 else 0

    loop = ScriptedLoop(Clock(), answer=answer, batch=2048)
    run = opened(a_run(5000, loop, a_space(100), pace=OpeningPace(in_flight=4096)))

    assert (run.counters["open"], run.failed()) == (300, {"EADDRNOTAVAIL": 4700})
    assert len(loop.connects) <= 310


def test_a_destination_where_nobody_listens_is_not_asked_for_ever() -> None:
    """The connects in flight fail, and so does the rest, without being tried."""
    loop = ScriptedLoop(Clock(), capacity=100_000, answer=lambda n, t: errno.ECONNREFUSED)
    run = opened(a_run(100_000, loop, pace=OpeningPace(in_flight=64)))

    assert run.failed() == {"ECONNREFUSED": 100_000}
    assert len(loop.connects) <= 64 + loop.batch


def test_the_rest_fails_with_what_ended_most_ways() -> None:
    """One of three is full, which shows first; the other two refuse, and that is why the rest cannot be opened."""
    errnos = {80: errno.EADDRNOTAVAIL, 81: errno.ECONNREFUSED, 82: errno.ECONNREFUSED}
    loop = ScriptedLoop(Clock(), answer=lambda n, t: errnos[t.destination.port], batch=1)
    run = opened(a_run(997, loop))

    assert run.failed() == {"ECONNREFUSED": 997}
    assert len(loop.connects) == 3


def test_dead_destinations_are_left_out_and_the_living_one_takes_all() -> None:
    """Of 500 ports one listens: it gets all but one refusal of each other, and a batch that did not know yet."""
    space = a_space(ports=10_000, ends="10.0.0.9:1-500")
    loop = ScriptedLoop(Clock(), answer=lambda n, t: 0 if t.destination.port == 77 else errno.ECONNREFUSED)
    run = opened(a_run(997, loop, space, pace=OpeningPace(in_flight=512)))

    refused = run.failed()["ECONNREFUSED"]
    assert 499 <= refused <= 499 + loop.batch
    assert run.counters["open"] == 997 - refused


def test_when_a_whole_flight_fails_nothing_more_is_tried() -> None:
    """Also where the destination had worked before: at 30 s a timeout, 512 at a time, it would take hours."""
    loop = ScriptedLoop(Clock(), answer=lambda n, t: 0 if n < 100 else errno.ETIMEDOUT)
    run = opened(a_run(10_000, loop, pace=OpeningPace(in_flight=128)))

    assert (run.counters["open"], run.failed()) == (100, {"ETIMEDOUT": 9_900})
    assert len(loop.connects) < 100 + 3 * 128


def test_a_refusal_after_success_is_one_failure_and_not_the_end() -> None:
    loop = ScriptedLoop(Clock(), answer=lambda n, t: errno.ECONNRESET if n == 50 else 0)
    run = opened(a_run(97, loop))

    assert (run.counters["open"], run.failed(), len(loop.connects)) == (96, {"ECONNRESET": 1}, 97)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS])
def test_a_full_system_ends_the_opening(number: int) -> None:
    """The errno stands for all that could not be opened any more; what is open stays."""
    loop = ScriptedLoop(Clock(), answer=lambda n, t: number if n >= 64 else 0)
    run = opened(a_run(997, loop))

    assert (run.counters["open"], run.failed()) == (64, {errno.errorcode[number]: 933})
    assert len(loop.connects) < 64 + 3 * loop.batch


def test_what_has_no_slot_is_not_tried() -> None:
    loop = ScriptedLoop(Clock(), capacity=20)
    run = opened(a_run(23, loop))

    assert (run.counters["open"], run.failed(), len(loop.connects)) == (20, {"EMFILE": 3}, 20)


def test_explicit_gives_connection_i_the_tuple_i() -> None:
    space = a_space(ports=9)
    loop = ScriptedLoop(Clock())
    opened(a_run(space.size, loop, space, Strategy.EXPLICIT))

    assert [t for _, t in loop.connects] == list(space)


def test_explicit_leaves_out_what_is_taken() -> None:
    """Two of 27 4-tuples are in use elsewhere: 25 are held, in order, and the 2 missing have failed with that errno."""
    space = a_space(ports=9)
    taken = {space[3]: errno.EADDRINUSE, space[20]: errno.EADDRNOTAVAIL}
    loop = ScriptedLoop(Clock(), answer=lambda n, t: taken.get(t, 0))
    run = opened(a_run(27, loop, space, Strategy.EXPLICIT))

    assert (run.counters["open"], sum(run.failed().values())) == (25, 2)
    assert [t for _, t in loop.connects] == list(space)


def test_stopping_while_opening_keeps_what_is_open_and_accounts_for_the_rest() -> None:
    """5 are open, the others were never answered, EINPROGRESS, or never started, ECANCELED."""
    loop = ScriptedLoop(Clock(), answer=lambda n, t: 0 if n < 5 else errno.EINPROGRESS)
    run = a_run(997, loop)
    run.until(lambda: run.counters["open"] == 5)
    opening = int(run.counters["opening"])
    assert opening > 0
    run.control.stop()
    opened(run)

    assert (run.counters["open"], run.counters["opening"]) == (5, 0)
    assert run.failed() == {"EINPROGRESS": opening, "ECANCELED": 992 - opening}


def test_what_is_lost_keeps_its_errno() -> None:
    """A greeting is only counted; an end by the peer and a reset are losses, and the slots are closed."""
    loop = ScriptedLoop(Clock())
    run = opened(a_run(23, loop))
    loop.incoming = {3: [b"hello", b""], 7: [errno.ECONNRESET], 9: [b"hello"]}
    run.until(lambda: run.counters["lost"] == 2)

    assert (run.counters["open"], run.counters["received_bytes"]) == (21, 10)
    assert (run.counters["lost_by"][0], run.counters["lost_by"][errno.ECONNRESET]) == (1, 1)
    assert sorted(loop.closed) == [(3, False), (7, False)]


def test_nothing_to_read_after_all_is_no_loss() -> None:
    loop = ScriptedLoop(Clock())
    run = opened(a_run(1, loop))
    loop.incoming = {0: [errno.EAGAIN, b"x"]}
    run.until(lambda: run.counters["received_bytes"])

    assert (run.counters["open"], run.counters["lost"]) == (1, 0)


def test_many_greetings_at_once_share_the_few_buffers() -> None:
    loop = ScriptedLoop(Clock())
    run = opened(a_run(997, loop))
    loop.incoming = {slot: [b"hello"] for slot in range(997)}
    run.until(lambda: run.counters["received_bytes"] == 997 * 5)

    assert run.counters["lost"] == 0


def test_a_connect_that_is_not_answered_is_given_up_in_time() -> None:
    """The 3 without an answer fail after 30 s, not before; their slots are closed, and the others are untouched."""
    loop = ScriptedLoop(Clock(), answer=lambda n, t: errno.EINPROGRESS if n in (4, 5, 22) else 0)
    run = a_run(23, loop)
    run.until(lambda: run.counters["open"] == 20)
    run.until(lambda: loop.clock.ns >= 30_900_000_000)
    assert run.counters["opening"] == 3
    opened(run)

    assert (run.counters["open"], run.failed()) == (20, {"ETIMEDOUT": 3})
    assert loop.clock.ns == pytest.approx(31_000_000_000, abs=200_000_000)
    assert sorted(loop.closed) == [(4, True), (5, True), (22, True)]


@pytest.mark.parametrize("strategy", [Strategy.LATE, Strategy.EXPLICIT])
def test_what_is_lost_is_opened_again_where_it_was(strategy: Strategy) -> None:
    """By explicit the very same 4-tuple; by late the same pair. It counts as lost and as reconnected, not as opened."""
    loop = ScriptedLoop(Clock())
    run = opened(a_run(23, loop, a_space(ports=9), strategy, reconnect=True))
    first = [t for _, t in loop.connects]
    loop.incoming = {3: [b""], 7: [errno.ECONNRESET]}
    run.until(lambda: run.counters["reconnected"] == 2)

    assert [t for _, t in loop.connects[23:]] == [first[3], first[7]]
    assert (run.counters["open"], run.counters["lost"], run.counters["opened"]) == (23, 2, 23)
    assert loop.watched == set(range(23))
    run.finish()
    assert loop.open == set()


def test_what_cannot_be_opened_again_is_tried_every_second() -> None:
    """The server is away for 5 s: each second an attempt, none in between, each with its errno."""
    loop = ScriptedLoop(Clock())
    run = opened(a_run(1, loop, reconnect=True))
    lost_ns = loop.clock.ns
    loop.answer = lambda n, t: errno.ECONNREFUSED if loop.clock.ns < lost_ns + 5_000_000_000 else 0
    loop.incoming = {0: [b""]}
    run.until(lambda: run.counters["reconnected"] == 1)

    assert run.counters["reconnect_failed"][errno.ECONNREFUSED] == 5
    assert len(loop.connects) == 1 + 5 + 1
    assert run.failed() == {}


def test_opening_again_keeps_the_rate_and_does_not_make_up_for_the_time_before() -> None:
    """After a minute of holding, 50 lost connections are opened again at 100 per second."""
    loop = ScriptedLoop(Clock(), step_s=0.0001)
    run = opened(a_run(50, loop, pace=OpeningPace(rate_per_s=100.0), reconnect=True))
    loop.clock.advance(60)
    lost_s = (loop.clock.ns - 1_000_000_000) / 1e9
    loop.incoming = {slot: [b""] for slot in range(50)}
    run.until(lambda: run.counters["reconnected"] == 50)
    starts = [at - lost_s for at, _ in loop.connects[50:]]

    assert starts[-1] - starts[0] == pytest.approx(0.49, abs=0.02)


def test_a_lost_one_whose_port_is_gone_meanwhile_is_not_sent_elsewhere() -> None:
    loop = ScriptedLoop(Clock())
    run = opened(a_run(3, loop, reconnect=True))
    loop.answer = lambda n, t: errno.EADDRNOTAVAIL if n < 6 else 0
    loop.incoming = {1: [b""]}
    run.until(lambda: run.counters["reconnected"] == 1)

    assert {t.destination.port for _, t in loop.connects[3:]} == {81}
    assert run.counters["reconnect_failed"][errno.EADDRNOTAVAIL] == 3


def test_told_to_stop_it_opens_nothing_again() -> None:
    loop = ScriptedLoop(Clock(), answer=lambda n, t: 0 if n < 3 else errno.EINPROGRESS)
    run = opened(a_run(3, loop, reconnect=True))
    loop.incoming = {1: [b""]}
    run.until(lambda: run.counters["opening"] == 1)
    run.control.stop()
    run.until(lambda: run.counters["opening"] == 0)

    assert (run.counters["open"], run.counters["lost"], run.failed()) == (2, 1, {})


def test_without_polls_only_a_look_finds_out() -> None:
    """Nothing is watched; a look reads all data from all connections, and finds the lost ones."""
    loop = ScriptedLoop(Clock())
    run = opened(a_run(1500, loop, watch=False))
    loop.incoming = {3: [b"one", b"two", b""], 7: [errno.ECONNRESET], 1400: [b"x"]}
    run.until(lambda: loop.clock.ns > 3_000_000_000)
    assert (loop.watched, run.counters["lost"], run.counters["received_bytes"]) == (set(), 0, 0)
    run.control.look()
    run.until(lambda: run.counters["lost"] == 2)

    assert (run.counters["open"], run.counters["received_bytes"]) == (1498, 7)


def test_what_the_peer_ends_while_everything_is_being_closed_is_not_lost() -> None:
    """It stayed open until the planned end, and is closed once. It ends before its turn, in the third batch."""
    loop = ScriptedLoop(Clock())
    run = opened(a_run(6000, loop))
    loop.incoming = {5998: [b""], 5999: [errno.ECONNRESET]}
    run.finish()

    assert (run.counters["lost"], run.counters["closed"], run.counters["open_at_end"]) == (0, 6000, 6000)
    assert sorted(slot for slot, _ in loop.closed) == list(range(6000))


def test_the_last_words_of_a_peer_are_kept() -> None:
    """What it sent on a connection that it then ended; the words of another connection do not count."""
    loop = ScriptedLoop(Clock())
    run = opened(a_run(23, loop, watch=False))
    loop.incoming = {3: [b"welcome"], 7: [b"-ERR too many\r\n", b""]}
    run.control.look()
    run.until(lambda: run.counters["lost"] == 1)

    assert run.counters["last_words"].tobytes().rstrip(b"\0") == b"-ERR too many\r\n"


def test_a_worker_reports_its_sockets_when_it_is_asked() -> None:
    loop = ScriptedLoop(Clock())
    cookies = np.zeros(5, np.uint64)
    run = opened(a_run(5, loop, watch=False, cookies=cookies))
    assert not cookies.any()
    loop.incoming = {2: [b""]}
    run.control.look()
    run.until(lambda: run.counters["lost"] == 1)
    asked = run.control.identify()
    run.until(lambda: run.counters["identified"] == asked)

    assert cookies.tolist() == [1, 2, 0, 4, 5]
    loop.incoming = {4: [b""]}
    run.control.look()
    run.until(lambda: run.counters["lost"] == 2)
    asked = run.control.identify()
    run.until(lambda: run.counters["identified"] == asked)
    assert cookies.tolist() == [1, 2, 0, 4, 0]


errnos = st.sampled_from(
    [0, 0, 0, 0, errno.EADDRNOTAVAIL, errno.ECONNREFUSED, errno.ETIMEDOUT, errno.EADDRINUSE, errno.EMFILE, 0]
)


@given(
    st.integers(1, 300), st.lists(errnos, max_size=400), st.sampled_from([Strategy.LATE, Strategy.EXPLICIT]), st.data()
)
def test_whatever_happens_the_numbers_add_up(
    wanted: int, answers: list[int], strategy: Strategy, data: st.DataObject
) -> None:
    """wanted = open + failed when opening has ended, and every open slot is one that a connect completed."""
    loop = ScriptedLoop(
        Clock(), capacity=data.draw(st.integers(0, 300)), answer=lambda n, t: answers[n] if n < len(answers) else 0
    )
    run = opened(a_run(wanted, loop, a_space(ports=data.draw(st.integers(1, 200))), strategy))

    assert run.counters["open"] + sum(run.failed().values()) == wanted
    assert run.counters["open"] == len(loop.open) <= wanted
    assert run.counters["opening"] == 0
    run.finish()
    assert loop.open == set()
