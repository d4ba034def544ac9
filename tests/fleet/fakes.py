"""The links of a fleet in memory: machines that do what a test says, and answer at once."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fourtuple.core.runs.counters import COUNTERS, Phase
from fourtuple.core.runs.records import HoldRecord, Sample, Witness
from fourtuple.engine.control import now_ns
from fourtuple.fleet.links import WorkerName
from fourtuple.fleet.messages import (
    AskCount,
    Begin,
    CountMade,
    Finished,
    FromMachine,
    Gone,
    HoldOver,
    Interrupt,
    Joined,
    Moment,
    Prepare,
    Prepared,
    Refused,
    ToMachine,
    sample_bytes,
)
from fourtuple.store.coding import to_text
from tests import made
from tests.core.fleet.made import member

PAUSE_S = 0.002  # between two steps of all machines
LOST = "its worker is gone"


def sample(wanted: int, opened: int, **other: Any) -> Sample:
    """A machine's sample: of `wanted` it has opened so many, and holds them."""
    row = np.zeros(1, COUNTERS)
    row["wanted"], row["started"], row["opened"], row["open"] = wanted, opened, opened, opened
    return replace(Sample.of(row, now_ns()), **other)


class FakeMachine:
    """A machine that opens a half, then the rest, counts, and holds until it is told to close.

    opens: how many it opens; the others fail with ECONNREFUSED
    gone:  when it is gone: before, opening, holding or never; silent: it only stops to speak
    said:  what it has been told
    """

    def __init__(self, wanted: int, *, opens: int | None = None, gone: str = "never", silent: bool = False) -> None:
        self.wanted, self.opens = wanted, wanted if opens is None else opens
        self.gone, self.silent = gone, silent
        self.said: list[ToMachine] = []
        self.steps: deque[list[FromMachine]] = deque()
        self.last: Moment | None = None

    def speak(self) -> list[FromMachine]:
        """Its next step; while it has none, it repeats its last sample, unless it is silent."""
        if not self.steps:
            return [self.last] if self.last and not self.silent else []
        said = self.steps.popleft()
        for message in said:
            if isinstance(message, Moment):
                self.last = message
            elif isinstance(message, Gone | Finished):
                self.silent = True
        return said

    @property
    def failed(self) -> dict[str, int]:
        return {"ECONNREFUSED": self.wanted - self.opens} if self.wanted > self.opens else {}

    def hear(self, message: ToMachine) -> None:
        self.said.append(message)
        match message:
            case Prepare():
                self.steps.append([Prepared(b"{}")])
            case Begin():
                self.steps.extend(self.story())
            case HoldOver() | Interrupt() if not self.silent:
                self.steps.append(self.ending())

    def story(self) -> list[list[FromMachine]]:
        """What it says from the beginning until it holds, or is gone."""
        held = self.held()
        steps: list[tuple[str, list[FromMachine]]] = [
            ("before", []),
            ("opening", [Moment(sample_bytes(sample(self.wanted, self.opens // 2)))]),
            ("holding", [Moment(sample_bytes(held))]),
        ]
        told = []
        for when, messages in steps:
            told.append(messages)
            if when == self.gone:
                return told if self.silent else [*told, [Gone(LOST)]]
        return told

    def held(self) -> Sample:
        count = Witness(self.opens, None, None, "sock_diag", self.opens, self.opens)
        return sample(self.wanted, self.opens, phase=Phase.HOLDING, failed=self.failed, census=count)

    def ending(self) -> list[FromMachine]:
        last = replace(self.held(), phase=Phase.CLOSED, open=0, closed=self.opens, open_at_end=self.opens)
        return [Moment(sample_bytes(last)), Finished(to_text(self.record()).encode(), None, "")]

    def record(self) -> HoldRecord:
        count = self.held().census
        return made.hold_record(
            wanted=self.wanted,
            held=self.opens,
            failed=self.failed,
            open_at_end=self.opens,
            census=count,
            census_at_end=count,
        )


class FakeServer(FakeMachine):
    """A machine of the servers; it answers with these counts, one after the other, and then no more."""

    def __init__(self, *counts: dict[str, tuple[int, int]] | FromMachine) -> None:
        super().__init__(0)
        self.counts = deque(counts)

    def hear(self, message: ToMachine) -> None:
        self.said.append(message)
        if isinstance(message, AskCount) and self.counts:
            count = self.counts.popleft()
            self.steps.append([CountMade(message.number, count) if isinstance(count, dict) else count])


class FakeLinks:
    """Links to such machines. spare: those that take a seat later, in this order"""

    def __init__(self, machines: Sequence[FakeMachine], spare: Sequence[FakeMachine] = ()) -> None:
        self.machines = dict(enumerate(machines, 1))
        self._spare = deque(spare)
        self.left: list[int] = []

    def workers(self) -> list[WorkerName]:
        return [WorkerName(f"m{seat}", f"tcp://m{seat}:1") for seat in self.machines]

    def take(self, workers: Sequence[WorkerName]) -> list[int]:
        seats = []
        for worker in workers:
            seat = len(self.machines) + 1
            self.machines[seat] = self._spare.popleft()
            self.machines[seat].steps.append([Joined(member(worker.name))])
            seats.append(seat)
        return seats

    def offset(self, seat: int) -> tuple[int, int]:
        return 0, 0

    def send(self, seat: int, message: ToMachine) -> None:
        if seat not in self.left:
            self.machines[seat].hear(message)

    def receive(self, wait_s: float) -> list[tuple[int, FromMachine]]:
        """The next step of each machine. What one says after its seat was left is heard: it was on its way."""
        time.sleep(min(wait_s, PAUSE_S))
        return [(seat, message) for seat, machine in list(self.machines.items()) for message in machine.speak()]

    def leave(self, seats: Sequence[int]) -> None:
        self.left += seats


def refused(what: str = "the disk is full") -> Refused:
    return Refused("CannotError", what, "ENOSPC 28", "")
