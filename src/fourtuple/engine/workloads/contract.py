"""What a workload is and how it runs: a table of functions over one loop, and the state those functions share.

A workload (hold, churn, serve) consists of parts that know at most a function or two of each other: one opens or
accepts, one sends, one reads, one closes. Its table defines in which order they start what is due, and which part takes
in which completions; `run` executes the table.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass
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
    """What the parts of a workload share: a loop and its slots, a row of counters, and the control of the run.

    clock_ns: the current time in ns
    state:    (slots,) uint8, the `Life` of each slot
    dialogue: what is sent and expected on open connections; None: nothing
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
        """The slots with an open connection."""
        return np.flatnonzero(self.state & Life.OPEN).astype(np.int32)

    def still_open(self, slots: Slots) -> Slots:
        """Those of these slots that still have an open connection."""
        return slots[(self.state[slots] & Life.OPEN) > 0]


@dataclass(frozen=True, slots=True)
class Workload:
    """The table of functions that make a workload.

    starts:  called in each step, in this order: start what is due → seconds until there is more to start
    takes:   (operation, function that takes in its completions); called in this order for the completions of a step
    ticks:   called at least every TICK_S
    close:   called once, in this order, when the control says to close: from then on `starts` close what is open
    closing: is something still to be closed?
    """

    starts: Sequence[Callable[[], float]]
    takes: Sequence[tuple[int, Callable[[Completions], None]]]
    ticks: Sequence[Callable[[], None]]
    close: Sequence[Callable[[], None]]
    closing: Callable[[], bool]


def run(workload: Workload, worker: Worker) -> Iterator[list[Event]]:
    """Run until the control says to close and all is closed; yield the events to log, at least every TICK_S."""
    counters = worker.counters
    counters["capacity"] = worker.loop.capacity
    try:
        yield from _steps(workload, worker, lambda: not worker.control.closing)
        counters["open_at_end"] = counters["open"]
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
    """Start what is due, wait at most TICK_S for completions, and take them in."""
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
    """Record the memory and CPU time of this process, at most once per COST_S, because reading them costs time."""
    if counters["cost_ns"] and at_ns - counters["cost_ns"] < COST_S * 1e9 and counters["phase"] != Phase.CLOSED:
        return
    counters["cost_ns"] = at_ns
    counters["rss_bytes"] = process.rss_bytes()
    counters["cpu_user_us"], counters["cpu_system_us"] = process.cpu_us()
