"""What a workload is: a table of functions over one loop, and what those functions share.

A workload (hold, serve) is made of parts that know nothing of each other but a function or two: one opens or accepts,
one speaks, one watches, one closes. Its table says in which order they start what is due, and which of them takes in
which completions; `run` is the only loop there is.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs.counters import Counters, Phase
from fourtuple.core.runs.records import Event
from fourtuple.engine.control import TICK_S, Control
from fourtuple.engine.dialogues.contract import Dialogue
from fourtuple.engine.loops.contract import Completions, Loop, Op, Slots
from fourtuple.engine.states import Life
from fourtuple.engine.workloads.notes import Notes
from fourtuple.engine.workloads.reads import Reads
from fourtuple.kernel import process

COST_S = 1.0


@dataclass(frozen=True, slots=True)
class Worker:
    """What the parts of a workload share: one loop and its slots, one row of counters, and what they are told.

    state:    (slots,) uint8, the `Life` of each
    dialogue: what is said on open connections; None: nothing
    """

    loop: Loop
    counters: Counters
    control: Control
    clock_ns: Callable[[], int]
    state: NDArray[np.uint8]
    reads: Reads
    notes: Notes
    dialogue: Dialogue | None

    def all_open(self) -> Slots:
        return np.flatnonzero(self.state & Life.OPEN).astype(np.int32)

    def still_open(self, slots: Slots) -> Slots:
        return slots[(self.state[slots] & Life.OPEN) > 0]


@dataclass(frozen=True, slots=True)
class Workload:
    """The table.

    starts:  in each step, in this order: start what is due → how long, in seconds, until there is more to start
    takes:   the operation and what takes in its completions, in the order in which those of one step are taken in
    ticks:   at least every TICK_S
    close:   once, in this order, when told to close: from then on `starts` close what is open
    closing: is there something still to be closed?
    """

    starts: Sequence[Callable[[], float]]
    takes: Sequence[tuple[int, Callable[[Completions], None]]]
    ticks: Sequence[Callable[[], None]]
    close: Sequence[Callable[[], None]]
    closing: Callable[[], bool]


def run(workload: Workload, worker: Worker) -> Iterator[list[Event]]:
    """Work until told to close, and then until all is closed; yields what is to be logged, at least every TICK_S."""
    counters = worker.counters
    counters["capacity"] = worker.loop.capacity
    try:
        yield from _steps(workload, worker, lambda: not worker.control.closing)
        for close in workload.close:
            close()
        counters["phase"] = Phase.CLOSING
        yield _tick(workload, worker)
        yield from _steps(workload, worker, workload.closing)
        counters["phase"] = Phase.CLOSED
        yield _tick(workload, worker)
    finally:
        worker.loop.shut()


def _steps(workload: Workload, worker: Worker, go_on: Callable[[], bool]) -> Iterator[list[Event]]:
    next_ns = worker.clock_ns()
    while go_on():
        _step(workload, worker.loop)
        if worker.clock_ns() >= next_ns:
            next_ns = worker.clock_ns() + int(TICK_S * 1e9)
            yield _tick(workload, worker)


def _step(workload: Workload, loop: Loop) -> None:
    """Start what is due, wait a little for completions, take them in."""
    done = loop.wait(min([TICK_S, *(start() for start in workload.starts)]))
    if not len(done):
        return
    ops = done["op"]
    counts = np.bincount(ops, minlength=Op.CLOSE + 1)
    for op, take in workload.takes:
        if counts[op]:
            take(done if counts[op] == len(done) else done[ops == op])


def _tick(workload: Workload, worker: Worker) -> list[Event]:
    for tick in workload.ticks:
        tick()
    _count_cost(worker.counters, worker.clock_ns())
    return worker.notes.take()


def _count_cost(counters: Counters, at_ns: int) -> None:
    """What this process has used so far; not more than once in COST_S, for asking has its cost too."""
    if counters["cost_ns"] and at_ns - counters["cost_ns"] < COST_S * 1e9 and counters["phase"] != Phase.CLOSED:
        return
    counters["cost_ns"] = at_ns
    counters["rss_bytes"] = process.rss_bytes()
    counters["cpu_user_us"], counters["cpu_system_us"] = process.cpu_us()
