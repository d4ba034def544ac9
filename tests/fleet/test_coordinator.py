"""The coordinator of machines that do what the test says: every connection is accounted for, whatever happens."""

import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from fourtuple.core.runs.records import HoldRecord, Standing
from fourtuple.core.runs.run import Run
from fourtuple.core.space.interval import Interval
from fourtuple.core.talk.stages import parse_stages
from fourtuple.fleet.conclude import concluded
from fourtuple.fleet.coordinator import TOO_LATE, Coordinator, FleetTimes
from fourtuple.fleet.links import Links, WorkerName
from fourtuple.fleet.messages import (
    Begin,
    CountMade,
    FromMachine,
    Gone,
    HoldOver,
    Interrupt,
    Joined,
    Moment,
    Prepare,
    Prepared,
    sample_bytes,
)
from fourtuple.fleet.order import Brief, FleetOrder, MachinePart
from fourtuple.fleet.seats import QUIET_S
from tests import made
from tests.core.fleet.made import member
from tests.fleet.fakes import LOST, FakeLinks, FakeMachine, FakeServer, refused, sample

SHARE = 100


def part(seat: int, wanted: int = SHARE, *, name: str = "", instead_of: int = 0) -> MachinePart:
    options = made.options(wanted=wanted)
    name = name or f"m{seat}"
    return MachinePart(seat, member(name), options, wanted, (f"10.0.0.{name[1:]}",), instead_of)


def order(machines: Sequence[FakeMachine], **other: Any) -> FleetOrder:
    parts = [part(seat, each.wanted) for seat, each in enumerate(machines, 1) if not isinstance(each, FakeServer)]
    servers = tuple(seat for seat, each in enumerate(machines, 1) if isinstance(each, FakeServer))
    wanted = sum(each.wanted for each in parts)
    whole = made.order()
    whole = replace(
        whole,
        options=made.options(wanted=wanted, hold_s=0.0),
        plan=replace(whole.plan, wanted=wanted, room=Interval.of(wanted)),
    )
    whole = replace(whole, **other)
    return FleetOrder(Brief("f1e2", "hold", "a command", False), whole, tuple(parts), servers, {}, ("10.0.9.9:80",))


def heirs_on(links: Links, *shares: int) -> Callable[[MachinePart, Sequence[MachinePart]], Sequence[MachinePart]]:
    """The share of a machine that is gone goes to new seats on m1, m2 …, in these parts; none: on m1, as a whole."""

    def heirs(gone: MachinePart, living: Sequence[MachinePart]) -> Sequence[MachinePart]:
        parts = shares or (gone.wanted,)
        seats = links.take([WorkerName(f"m{number}", "") for number in range(1, len(parts) + 1)])
        names = [f"m{number}" for number in range(1, len(parts) + 1)]
        return [
            part(seat, wanted, name=name, instead_of=gone.seat)
            for seat, wanted, name in zip(seats, parts, names, strict=True)
        ]

    return heirs


def run_of(machines: Sequence[FakeMachine], **other: Any) -> tuple[HoldRecord, FakeLinks]:
    """The record of these machines' run, in which every connection is accounted for."""
    spare = other.pop("spare", ())
    links = FakeLinks(machines, spare)
    fleet = order(machines, **{name: other.pop(name) for name in ("options",) if name in other})
    heirs = heirs_on(links, *other.pop("shares", ())) if spare or other.pop("replace", False) else None
    times = FleetTimes(**{"lead_s": 0.01, "tick_s": 0.02} | other)
    run = concluded(fleet.whole, Run(Coordinator(links, fleet, heirs, times).run()))
    record = run.finish()
    assert_exact(record, fleet)
    return record, links


def assert_exact(record: HoldRecord, fleet: FleetOrder) -> None:
    wanted = sum(each.wanted for each in fleet.parts)
    assert record.wanted == wanted
    assert wanted == record.held + sum(record.failed.values()) + record.lost_while_opening
    own = [each for each in record.machines if not each.instead_of]
    assert sum(each.wanted for each in own) == wanted
    assert sum(each.lost for each in record.machines) == record.lost == sum(record.lost_by.values())
    assert sum(sum(each.failed.values()) for each in record.machines) == sum(record.failed.values())
    assert sum(each.open_at_end for each in record.machines) == record.open_at_end


def test_all_hold() -> None:
    """Machines of 23, 100 and 997 connections hold 1,120; each is begun once, told to close once, and left."""
    record, links = run_of([FakeMachine(23), FakeMachine(100), FakeMachine(997)])

    assert (record.held, record.census.client, record.failed, record.lost) == (1120, 1120, {}, 0)
    assert [each.held for each in record.machines] == [23, 100, 997]
    assert all([type(each) for each in machine.said] == [Begin, HoldOver] for machine in links.machines.values())
    assert sorted(links.left) == [1, 2, 3]
    assert record.outcome.reached


def test_what_a_machine_could_not_open_has_failed() -> None:
    record, _ = run_of([FakeMachine(SHARE), FakeMachine(SHARE, opens=60)])

    assert (record.held, record.failed) == (160, {"ECONNREFUSED": 40})


@pytest.mark.parametrize("silent", [False, True])
@pytest.mark.parametrize(
    ("when", "held", "lost", "failed"), [("before", 100, 0, 100), ("opening", 100, 50, 50), ("holding", 100, 100, 0)]
)
def test_the_share_of_a_machine_that_is_gone(when: str, held: int, lost: int, failed: int, *, silent: bool) -> None:
    """What it held is lost, what it had not opened has failed, and the others go on to their end."""
    record, links = run_of([FakeMachine(SHARE), FakeMachine(SHARE, gone=when, silent=silent)], silent_s=0.6)
    gone = record.machines[1]

    assert (record.open_at_end, record.lost, sum(record.failed.values())) == (held, lost, failed)
    assert gone.why == ("nothing was heard from it for 0.6 s" if silent else LOST)
    assert gone.gone_s is not None
    assert record.machines[0].gone_s is None
    assert type(links.machines[1].said[-1]) is HoldOver
    assert not record.outcome.reached


def test_all_gone() -> None:
    record, _ = run_of([FakeMachine(SHARE, gone="opening"), FakeMachine(SHARE, gone="before")])

    assert (record.open_at_end, record.lost, sum(record.failed.values())) == (0, 50, 150)


class Refuses(FakeMachine):
    """A machine that refuses to begin, or to prepare."""

    def hear(self, message: Any) -> None:
        self.said.append(message)
        self.steps.append([refused()])


def test_a_machine_that_refuses_to_begin() -> None:
    record, _ = run_of([FakeMachine(SHARE), Refuses(SHARE)])

    assert (record.held, record.failed) == (100, {"ECANCELED": 100})
    assert record.machines[1].why == "the disk is full (ENOSPC 28)"


class Stubborn(FakeMachine):
    """A machine that is silent, is counted out, and then says all that it had to say, twice."""

    def story(self) -> list[list[FromMachine]]:
        late = [Moment(b""), *self.ending(), *self.ending(), Joined(member("m2")), Prepared(b"{}")]
        self.silent = True
        nothing: list[list[FromMachine]] = [[] for _ in range(300)]
        return [[Moment(sample_bytes(sample(self.wanted, 40)))], *nothing, late]


def test_what_a_machine_says_after_it_was_counted_out_changes_nothing() -> None:
    record, links = run_of([FakeMachine(SHARE), Stubborn(SHARE)], silent_s=0.3)

    assert (record.held, record.lost, record.failed) == (100, 40, {"ECANCELED": 60})
    assert [type(each) for each in links.machines[2].said] == [Begin]


class Twice(FakeMachine):
    """A machine that says everything twice, and Joined and Prepared again in the middle."""

    def story(self) -> list[list[FromMachine]]:
        again: list[FromMachine] = [Joined(member("m2")), Prepared(b"{}")]
        return [[*step, *again, *step] for step in super().story()]

    def ending(self) -> list[FromMachine]:
        return super().ending() * 2


def test_a_machine_that_says_everything_twice() -> None:
    record, links = run_of([FakeMachine(SHARE), Twice(SHARE)])

    assert (record.held, record.lost, record.failed) == (200, 0, {})
    assert [type(each) for each in links.machines[2].said] == [Begin, HoldOver]


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x90"])
def test_a_machine_that_cannot_be_understood_is_counted_out(data: bytes) -> None:
    class Garbles(FakeMachine):
        def story(self) -> list[list[FromMachine]]:
            return [[Moment(data)]]

    record, _ = run_of([FakeMachine(SHARE), Garbles(SHARE)])

    assert (record.held, record.failed) == (100, {"ECANCELED": 100})
    assert "does not understand" in record.machines[1].why


# Its share is taken over


@pytest.mark.parametrize("opens", [0, 30, 50, 60, 100])
@pytest.mark.parametrize("when", ["before", "opening", "holding"])
def test_another_machine_takes_over(when: str, opens: int) -> None:
    """What it opens again of what was lost is reopened; what it cannot open has failed only if it never was open."""
    machines = [FakeMachine(SHARE), FakeMachine(SHARE, gone=when)]
    record, links = run_of(machines, spare=[FakeMachine(SHARE, opens=opens)])
    lost = {"before": 0, "opening": 50, "holding": 100}[when]
    never = min(SHARE - lost, SHARE - opens)

    assert (record.lost, record.reconnected) == (lost, min(lost, opens))
    assert (record.failed, record.open_at_end) == ({"ECONNREFUSED": never} if never else {}, SHARE + opens)
    assert record.machines[2].instead_of == "m2"
    assert [type(each) for each in links.machines[3].said] == [Prepare, Begin, HoldOver]


def test_what_had_failed_is_not_tried_again() -> None:
    """Of 100 the machine had opened 70 when it was gone, and 30 had failed: another one takes over 70."""
    machines = [FakeMachine(SHARE), FakeMachine(SHARE, opens=70, gone="holding")]
    record, _ = run_of(machines, spare=[FakeMachine(70)])

    assert (record.open_at_end, record.lost, record.reconnected) == (170, 70, 70)
    assert record.failed == {"ECONNREFUSED": 30}
    assert record.machines[2].wanted == 70


@pytest.mark.parametrize(("first", "second"), [(40, 60), (10, 0), (0, 0), (40, 20)])
def test_several_machines_take_over(first: int, second: int) -> None:
    machines = [FakeMachine(SHARE), FakeMachine(SHARE), FakeMachine(SHARE, gone="opening")]
    spare = [FakeMachine(40, opens=first), FakeMachine(60, opens=second)]
    record, _ = run_of(machines, spare=spare, shares=(40, 60))

    assert (record.lost, record.reconnected) == (50, min(50, first + second))
    assert record.open_at_end == 200 + first + second


@pytest.mark.parametrize("opens", [0, 25, 70, 100])
@pytest.mark.parametrize("when", ["before", "opening", "holding"])
def test_the_machine_that_took_over_is_gone_as_well(when: str, opens: int) -> None:
    machines = [FakeMachine(SHARE), FakeMachine(SHARE, gone="opening")]
    record, _ = run_of(machines, spare=[FakeMachine(SHARE, gone=when), FakeMachine(SHARE, opens=opens)])
    lost = {"before": 0, "opening": 50, "holding": 100}[when]

    assert (record.lost, record.open_at_end) == (50 + lost, SHARE + opens)
    assert [each.instead_of for each in record.machines] == ["", "", "m2", "m1"]


def test_a_share_that_nobody_takes_has_failed() -> None:
    """A machine that refuses what it was to take over is not asked again and again."""
    machines = [FakeMachine(SHARE), FakeMachine(SHARE, gone="opening")]
    record, _ = run_of(machines, spare=[Refuses(SHARE), FakeMachine(SHARE)])

    assert (record.held, record.lost, record.failed) == (100, 50, {"ECANCELED": 50})
    assert len(record.machines) == 3


# Ctrl-C


class Interrupts(FakeMachine):
    """A machine that has opened a half when Ctrl-C is pressed."""

    def story(self) -> list[list[FromMachine]]:
        os.kill(os.getpid(), signal.SIGINT)
        return super().story()[:2]


class Hesitates(FakeMachine):
    """A machine that is to take over a share when Ctrl-C is pressed, and is prepared only afterwards."""

    def hear(self, message: Any) -> None:
        self.said.append(message)
        if isinstance(message, Prepare):
            os.kill(os.getpid(), signal.SIGINT)
            self.steps.extend([*[[] for _ in range(20)], [Prepared(b"{}")], [Prepared(b"{}")]])


def test_ctrl_c_while_opening() -> None:
    """Machines are told once, close in order, and their records make up the whole."""
    record, links = run_of([FakeMachine(SHARE), Interrupts(SHARE)])

    assert record.interrupted
    assert all([type(each) for each in machine.said] == [Begin, Interrupt] for machine in links.machines.values())


def test_a_machine_that_has_not_begun_when_the_run_ends_does_not_begin() -> None:
    record, links = run_of([FakeMachine(SHARE), FakeMachine(SHARE, gone="opening")], spare=[Hesitates(SHARE)])

    assert record.interrupted
    assert [type(each) for each in links.machines[3].said] == [Prepare]
    assert record.machines[2].why == TOO_LATE
    assert (record.lost, record.failed) == (50, {"ECANCELED": 50})


def test_a_machine_that_is_silent_is_not_asked_to_take_over() -> None:
    """It could be one that hangs; whoever asks it waits for it."""

    class GoneLater(FakeMachine):
        def speak(self) -> list[FromMachine]:
            if not self.silent and Standing.SILENT in standings:
                self.silent = True
                return [Gone(LOST)]
            return super().speak()

    machines = [FakeMachine(SHARE, gone="opening", silent=True), GoneLater(SHARE), FakeMachine(SHARE)]
    links, fleet = FakeLinks(machines), order(machines)
    asked: list[list[str]] = []

    def heirs(_: MachinePart, living: Sequence[MachinePart]) -> Sequence[MachinePart]:
        asked.append([each.member.name for each in living])
        return ()

    standings: set[Standing] = set()
    times = FleetTimes(lead_s=0.01, tick_s=0.02, silent_s=QUIET_S + 3)
    for moment in Run(Coordinator(links, fleet, heirs, times).run()):
        standings |= {each.standing for each in moment.machines}

    assert asked == [["m3"], ["m3"]]


# The servers


def test_the_servers_kernels_are_counted_at_both_moments() -> None:
    """Their counts are added up by source, without what was there before."""
    first, second = {"10.0.0.1": (70, 60), "10.0.0.2": (100, 100)}, {"10.0.0.1": (30, 30), "10.0.0.77": (5, 5)}
    machines = [FakeMachine(SHARE), FakeMachine(SHARE), FakeServer(first, first), FakeServer(second, second)]
    record, links = run_of(machines)

    assert (record.census.client, record.census.server, record.census.accepted) == (200, 200, 190)
    assert record.census_at_end is not None
    assert (record.census_at_end.client, record.census_at_end.server) == (200, 200)
    assert [each.at_servers for each in record.machines] == [100, 100]
    assert [len(links.machines[seat].said) for seat in (3, 4)] == [2, 2]


@pytest.mark.parametrize("counts", [(), (refused(),)])
def test_a_server_that_does_not_count(counts: tuple[Any, ...]) -> None:
    """Without the count of one of them, nothing is said about the far ends, and the run goes on."""
    there = {"10.0.0.1": (100, 100), "10.0.0.2": (100, 100)}
    machines = [FakeMachine(SHARE), FakeMachine(SHARE), FakeServer(there, there), FakeServer(*counts)]
    record, _ = run_of(machines, count_s=0.5)

    assert (record.census.client, record.census.server) == (200, None)
    assert record.outcome.reached


def test_a_late_count_is_not_taken_for_the_next_one() -> None:
    """What a server says while it is asked for the second count answers the first question."""
    there = {"10.0.0.1": (100, 100)}
    server = FakeServer(there, CountMade(1, {"10.0.0.1": (55, 55)}))
    record, _ = run_of([FakeMachine(SHARE), server], count_s=0.2)

    assert record.census.server == SHARE
    assert record.census_at_end is not None
    assert record.census_at_end.server is None


def test_machines_follow_stages_by_themselves() -> None:
    """They end when their stages are over, and are not told to."""
    stages = parse_stages("200@0.1s, 200@0.1s")

    class Staged(FakeMachine):
        def story(self) -> list[list[FromMachine]]:
            return [*super().story(), *[[] for _ in range(200)], self.ending()]

    record, links = run_of([Staged(SHARE), Staged(SHARE)], options=made.options(wanted=200, hold_s=None, stages=stages))

    assert record.open_at_end == 200
    assert all([type(each) for each in machine.said] == [Begin] for machine in links.machines.values())


def test_the_live_samples_show_each_machine() -> None:
    machines = [FakeMachine(SHARE), FakeMachine(SHARE, gone="opening")]
    fleet = order(machines)
    last = list(Run(Coordinator(FakeLinks(machines), fleet).run()))[-1]

    assert [each.standing for each in last.machines] == [Standing.ENDED, Standing.GONE]
    assert sum(each.sample.lost for each in last.machines) == last.lost
