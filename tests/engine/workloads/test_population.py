"""Stages and replacement against a scripted loop: exact numbers at exact moments."""

import errno
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.pace import OpeningPace
from fourtuple.core.runs.slices import Plan, Slice, split
from fourtuple.core.runs.timetable import LEAD_NS, Timetable
from fourtuple.core.space.interval import Interval
from fourtuple.core.talk.stages import Ramp, Stages, parse_stages
from fourtuple.engine.dialogues.fixed import Talk
from fourtuple.engine.workloads.hold import HoldJob, hold
from tests.engine.scripted import Clock, Run, ScriptedLoop
from tests.engine.workloads.test_hold import HOW, a_run, a_space, opened

S = 10**9
RAMPS = st.lists(st.builds(Ramp, st.integers(0, 200), st.integers(0, 3 * S)), min_size=1, max_size=6).filter(
    lambda ramps: any(ramp.target for ramp in ramps) and any(ramp.within_ns for ramp in ramps)
)
BEGIN_NS = Clock().ns


def a_ramp(text: str, loop: ScriptedLoop, **others: Any) -> Run:
    stages = parse_stages(text)
    run = a_run(stages.most, loop, stages=stages, **others)
    run.control.begin(BEGIN_NS)
    return run


def at(run: Run, loop: ScriptedLoop, second: float) -> int:
    """How many are open at that moment, to within one step of the loop."""
    run.until(lambda: loop.clock.ns >= BEGIN_NS + second * S)
    return int(run.counters["open"])


def test_connections_are_open_when_the_line_says_so() -> None:
    """A straight line up, a plateau, a line down; at the end of each stage exactly its target."""
    loop = ScriptedLoop(Clock(), step_s=0.0005)
    run = a_ramp("100@1s, 997@2s, 997@1s, 23@1s, 23@1s", loop)

    assert at(run, loop, 0.5) == pytest.approx(50, abs=20)
    assert at(run, loop, 1.5) == pytest.approx(324, abs=100)
    assert at(run, loop, 3.5) == 997
    assert at(run, loop, 4.5) == pytest.approx(510, abs=200)
    assert at(run, loop, 6.1) == 23
    assert run.counters["stage_open"][:5].tolist() == [100, 997, 997, 23, 23]
    assert (run.counters["opened"], run.counters["closed"], run.counters["lost"]) == (997, 974, 0)
    assert len(loop.connects) == 997
    run.finish()
    assert (run.counters["open"], run.counters["closed"], loop.open) == (0, 997, set())


def test_each_connection_starts_at_its_moment() -> None:
    """The n-th is to be open n / rate after the beginning, and is started LEAD_NS before that, or at the beginning."""
    loop = ScriptedLoop(Clock(), step_s=0.0001)
    run = a_ramp("100@10s, 100@1s", loop)
    run.until(lambda: run.counters["opened"] == 100)

    due = [max(0, n / 10 - LEAD_NS / S) for n in range(1, 101)]
    assert [second for second, _ in loop.connects] == pytest.approx(due, abs=0.02)


def test_what_was_closed_on_the_way_down_is_opened_again_where_it_was() -> None:
    """The newest are closed first, and their slots get the same 4-tuples again."""
    loop = ScriptedLoop(Clock())
    run = a_ramp("23@1s, 5@1s, 23@1s, 23@1s", loop, strategy=Strategy.EXPLICIT)
    at(run, loop, 2)
    closed = [slot for slot, _ in loop.closed]
    at(run, loop, 4)

    assert closed == list(reversed(range(5, 23)))
    assert (run.counters["opened"], run.counters["closed"], run.counters["open"]) == (23 + 18, 18, 23)
    tuples = [four_tuple for _, four_tuple in loop.connects]
    assert set(tuples[23:]) == set(tuples[5:23])
    assert run.counters["pairs"].sum() == 23


def test_stages_wait_until_the_control_says_that_they_begin() -> None:
    loop = ScriptedLoop(Clock())
    run = a_run(10, loop, stages=parse_stages("10@0s, 10@1s"))

    assert at(run, loop, 3) == 0
    assert (run.counters["phase"], run.counters["stage"], loop.connects) == (Phase.OPENING, 0, [])
    run.control.begin(loop.clock.ns)
    assert at(run, loop, 3.5) == 10


def test_the_newest_are_closed_first_in_a_jump_too() -> None:
    loop = ScriptedLoop(Clock())
    at(a_ramp("500@1s, 5@0s, 5@1s", loop), loop, 2)

    assert [slot for slot, _ in loop.closed] == list(reversed(range(5, 500)))


def test_a_jump_down_and_up_at_once_waits_until_the_sockets_are_closed() -> None:
    """The scripted loop refuses a connect in a slot that is still open."""
    loop = ScriptedLoop(Clock())
    run = a_ramp("500@1s, 0@0s, 500@0s, 500@1s, 0@0s, 0@1s", loop)

    assert at(run, loop, 1.9) == 500
    assert at(run, loop, 3) == 0
    assert loop.open == set()


def test_what_is_lost_stays_lost_until_its_place_comes_again() -> None:
    """5 of 20 are ended by the peer; 10 are closed, of them 2 lost ones, and opened again: 3 stay lost."""
    loop = ScriptedLoop(Clock())
    run = a_ramp("20@1s, 20@1s, 10@1s, 20@1s, 20@1s", loop)
    at(run, loop, 1.5)
    loop.incoming = {slot: [b""] for slot in (1, 2, 3, 15, 16)}

    assert at(run, loop, 1.95) == 15
    assert at(run, loop, 2.95) == 7
    assert at(run, loop, 5.1) == 17
    assert (run.counters["lost"], run.counters["opened"], run.counters["reconnected"]) == (5, 30, 0)
    assert run.counters["stage_open"][:5].tolist() == [20, 15, 7, 17, 17]


def test_with_reconnect_what_is_lost_comes_back_if_it_is_still_to_be_open() -> None:
    loop = ScriptedLoop(Clock())
    run = a_ramp("20@1s, 20@1s, 10@1s, 10@1s", loop, reconnect=True)
    at(run, loop, 1.5)
    loop.answer = lambda n, t: errno.ECONNREFUSED if loop.clock.ns < BEGIN_NS + 3.2 * S else 0
    loop.incoming = {slot: [b""] for slot in (1, 15)}

    assert at(run, loop, 4) == 10
    assert (run.counters["lost"], run.counters["reconnected"], run.counters["opened"]) == (2, 1, 20)


def test_a_server_that_takes_too_few_is_not_asked_again_and_again() -> None:
    """It refuses everything beyond 300 of 500: each connection is tried once on the way up."""
    loop = ScriptedLoop(Clock(), answer=lambda n, t: errno.ECONNREFUSED if n >= 300 else 0)
    run = a_ramp("500@5s, 500@5s, 0@1s", loop)

    assert at(run, loop, 9) == 300
    assert (len(loop.connects), sum(run.failed().values())) == (500, 200)
    assert at(run, loop, 11) == 0
    assert run.counters["stage_open"][:3].tolist() == [300, 300, 0]


def test_told_to_stop_in_the_middle_of_a_ramp_it_stays_as_it_is() -> None:
    loop = ScriptedLoop(Clock())
    run = a_ramp("100@10s, 100@10s, 0@1s", loop)
    was = at(run, loop, 5)
    run.control.stop()

    assert at(run, loop, 30) == pytest.approx(was, abs=2)
    assert (run.counters["stage"], run.counters["opened"] + run.failed()["ECANCELED"]) == (0, 100)
    run.finish()
    assert loop.open == set()


def test_the_phase_is_holding_from_the_largest_plateau_on() -> None:
    loop = ScriptedLoop(Clock())
    run = a_ramp("10@1s, 50@1s, 10@1s, 50@1s, 50@2s, 0@1s", loop)
    opened(run)

    assert loop.clock.ns == pytest.approx(BEGIN_NS + 4 * S, abs=0.1 * S)
    assert run.counters["open"] == 50


@settings(deadline=None)
@given(RAMPS, st.integers(1, 7), st.integers(0, 20 * S))
def test_the_parts_of_all_workers_are_the_target_at_any_moment(ramps: list[Ramp], workers: int, elapsed: int) -> None:
    stages = Stages(tuple(ramps))
    table = Timetable(stages)
    slices = split(stages.most, 10_000, workers, OpeningPace())
    parts = [table.asked_of(elapsed, share) for share in slices]

    assert sum(parts) == table.asked(elapsed)
    assert all(0 <= part <= share.wanted for part, share in zip(parts, slices, strict=True))


@settings(deadline=None)
@given(RAMPS, st.integers(0, 20 * S), st.floats(0, 1))
def test_until_the_next_change_nothing_changes(ramps: list[Ramp], elapsed: int, part: float) -> None:
    table = Timetable(Stages(tuple(ramps)))
    next_ns = table.next_ns(elapsed)
    between = elapsed + int(part * ((next_ns or elapsed + 10 * S) - 1 - elapsed))

    assert next_ns is None or next_ns > elapsed
    assert (table.asked(between), table.stage(between)) == (table.asked(elapsed), table.stage(elapsed))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), min_size=1, max_size=5).filter(
        lambda stages: any(target for target, _ in stages)
    ),
    st.sampled_from(list(Strategy)[:2]),
)
def test_any_stages_end_as_they_say(stages: list[tuple[int, int]], strategy: Strategy) -> None:
    """Stages of 0.1 to 2 s, followed by half a second in which the last ones arrive."""
    text = ", ".join(f"{target}@{tenths * 100}ms" for target, tenths in stages)
    loop = ScriptedLoop(Clock())
    run = a_ramp(text, loop)
    total_s = sum(tenths for _, tenths in stages) / 10

    assert at(run, loop, total_s + 0.5) == stages[-1][0]
    assert run.counters["opened"] == run.counters["open"] + run.counters["closed"]
    assert loop.open == set(range(stages[-1][0]))


# replacement


def replacing(run: Run, loop: ScriptedLoop) -> int:
    """Begin to replace connections → when, in ns."""
    opened(run)
    run.control.replace_from(loop.clock.ns)
    return loop.clock.ns


def test_the_oldest_are_replaced_at_the_rate_on_the_way_they_had() -> None:
    loop = ScriptedLoop(Clock(), step_s=0.0005)
    run = a_run(40, loop, strategy=Strategy.EXPLICIT, churn_per_s=100.0)
    begin_ns = replacing(run, loop)
    run.until(lambda: loop.clock.ns >= begin_ns + S)
    run.control.replace_from(0)
    run.until(lambda: run.counters["open"] == 40)

    assert run.counters["replaced"] == pytest.approx(100, abs=3)
    assert (run.counters["opened"], run.counters["lost"], run.counters["reconnected"]) == (40, 0, 0)
    assert run.counters["closed"] == run.counters["replaced"] == len(loop.connects) - 40
    tuples = [four_tuple for _, four_tuple in loop.connects]
    assert tuples[40:80] == tuples[:40]
    assert [slot for slot, _ in loop.closed[:80]] == [*range(40), *range(40)]
    assert all(reset for _, reset in loop.closed)


@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_all_workers_together_keep_the_rate_to_the_connection(workers: int) -> None:
    clock = Clock()
    space = a_space(ports=10_000)
    plan = Plan(100, Interval.of(space.size), space, Strategy.LATE, split(100, space.size, workers, OpeningPace()))
    job = HoldJob(plan, HOW, timeout_s=30, reset=True, log=False, churn_per_s=997.0)
    replaced = [_replaced(job, share, clock.ns + S) for share in plan.slices]

    assert sum(replaced) == pytest.approx(2 * 997, abs=60)


def _replaced(job: HoldJob, share: Slice, from_ns: int) -> int:
    """How many of this share are replaced within two seconds."""
    loop, cookies = ScriptedLoop(Clock(), step_s=0.0005), np.zeros(share.wanted, np.uint64)
    run = Run(lambda counters, control: hold(job, share, loop, counters, control, cookies, loop.clock))
    opened(run)
    run.control.replace_from(from_ns)
    run.until(lambda: loop.clock.ns >= from_ns + 2 * S)
    run.control.replace_from(0)
    run.until(lambda: run.counters["open"] == share.wanted)
    return int(run.counters["replaced"])


def test_losses_stay_losses_and_are_not_replaced() -> None:
    loop = ScriptedLoop(Clock())
    run = a_run(20, loop, churn_per_s=10.0)
    begin_ns = replacing(run, loop)
    loop.incoming = {19: [b""], 18: [errno.ECONNRESET]}
    run.until(lambda: loop.clock.ns >= begin_ns + 5 * S)
    run.control.replace_from(0)
    run.until(lambda: run.counters["open"] == 18)

    assert (run.counters["lost"], run.counters["reconnected"]) == (2, 0)
    assert run.counters["replaced"] == pytest.approx(50, abs=2)
    assert {18, 19} & {slot for slot, _ in loop.closed[2:]} == set()


def test_what_is_refused_is_tried_again_until_all_are_open() -> None:
    """Every third attempt is refused: it waits a second, and counts as a failed attempt, not as lost."""
    loop = ScriptedLoop(Clock(), answer=lambda n, t: errno.ECONNREFUSED if n >= 50 and n % 3 == 0 else 0)
    run = a_run(50, loop, churn_per_s=20.0)
    begin_ns = replacing(run, loop)
    run.until(lambda: loop.clock.ns >= begin_ns + 2 * S)
    run.control.replace_from(0)
    run.until(lambda: run.counters["open"] == 50)

    assert run.counters["replaced"] == run.counters["closed"] == pytest.approx(40, abs=2)
    assert run.counters["reconnect_failed"][errno.ECONNREFUSED] > 10
    assert (run.counters["lost"], run.failed()) == (0, {})


def test_a_server_that_takes_no_more_does_not_lose_the_population() -> None:
    """No more are out than may be opening at once."""
    loop = ScriptedLoop(Clock())
    run = a_run(1000, loop, churn_per_s=5000.0, pace=OpeningPace(in_flight=40))
    begin_ns = replacing(run, loop)
    loop.answer = lambda n, t: errno.EINPROGRESS
    run.until(lambda: loop.clock.ns >= begin_ns + 2 * S)

    assert 960 - 40 <= run.counters["open"] <= 960


def test_messages_go_on_for_the_others() -> None:
    """1,000 connections send once a second each, while 200 per second are replaced."""
    loop = ScriptedLoop(Clock(), echo=True)
    run = a_run(1000, loop, churn_per_s=200.0, talk=Talk(b"ping", 1.0, b"ping"))
    begin_ns = replacing(run, loop)
    before = int(run.counters["answers"])
    run.until(lambda: loop.clock.ns >= begin_ns + 3 * S)

    assert run.counters["answers"] - before == pytest.approx(3000, rel=0.1)
    assert (run.counters["unanswered"], run.counters["unexpected"]) == (0, 0)
    assert run.counters["replaced"] == pytest.approx(600, abs=20)


def test_replacement_goes_on_below_the_target_of_stages() -> None:
    loop = ScriptedLoop(Clock())
    run = a_ramp("100@1s, 100@2s, 30@1s, 30@2s", loop, churn_per_s=50.0)
    replacing(run, loop)
    at(run, loop, 5.5)
    run.control.replace_from(0)

    assert at(run, loop, 6) == 30
    assert run.counters["replaced"] == pytest.approx(4.5 * 50, abs=12)
    assert loop.open == set(range(30))


def test_told_to_stop_what_is_being_replaced_stays_closed() -> None:
    loop = ScriptedLoop(Clock())
    run = a_run(20, loop, churn_per_s=100.0)
    replacing(run, loop)
    run.until(lambda: run.counters["replaced"] > 10)
    run.control.stop()
    run.until(lambda: run.counters["opening"] == 0)
    run.finish()

    assert run.counters["phase"] == Phase.CLOSED
    assert loop.open == set()
