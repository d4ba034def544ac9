"""The words by which a run is told what to do, shared by all who work on it, and what listens for Ctrl-C."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs.counters import Counters, Phase
from fourtuple.core.runs.records import Event
from fourtuple.kernel import process

TICK_S = 0.05  # how long a worker may take to notice anything it is told
COST_S = 1.0
STOP, CLOSE = 1, 2  # values of the control word; 0: go on
CONTROL_WORDS = 2


class Control:
    """words: CONTROL_WORDS of int64, in memory shared with the workers where there are any"""

    def __init__(self, words: NDArray[np.int64] | None = None) -> None:
        self._word, self._looks = np.split(np.zeros(CONTROL_WORDS, np.int64) if words is None else words, CONTROL_WORDS)
        self.interrupted = False
        self.dropped = False  # by a second signal: nobody waits for anything any more

    @property
    def stopping(self) -> bool:
        return bool(self._word[0] >= STOP)

    @property
    def closing(self) -> bool:
        return bool(self._word[0] >= CLOSE)

    @property
    def looks(self) -> int:
        """How often everybody has been told to look at all connections: some are gone, and nobody knows which."""
        return int(self._looks[0])

    def look(self) -> None:
        self._looks[0] += 1

    def stop(self) -> None:
        """Start nothing more; what is open stays open, so that it can be counted."""
        self._word[0] = max(STOP, int(self._word[0]))

    def close(self) -> None:
        """Close what is open, and end."""
        self._word[0] = CLOSE


@contextmanager
def interruptible(control: Control) -> Iterator[None]:
    """Ctrl-C, SIGTERM or a terminal that is closed (SIGHUP) stops in order; a second one drops everything at once,
    and is a KeyboardInterrupt.

    Signals are the main thread's; called from another one this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, _: FrameType | None) -> None:
        if control.interrupted:
            control.dropped = True
            raise KeyboardInterrupt
        control.interrupted = True
        control.stop()

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup(1) leaves it: then the terminal may go
        numbers.append(signal.SIGHUP)
    before: dict[int, Any] = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Worker(Protocol):
    """Who opens or accepts. step: wait a little and go on; tick: what is to be logged; close_all: begin to close"""

    def step(self) -> None: ...

    def tick(self) -> list[Event]: ...

    def close_all(self) -> None: ...

    @property
    def closing(self) -> bool:
        """Is there still something to close?"""

    def end(self) -> None: ...


def drive(worker: Worker, control: Control, clock_ns: Callable[[], int]) -> Iterator[list[Event]]:
    """Let it work until told to close, and then until all is closed; yields its events at least every TICK_S."""
    yield from _ticks(worker, lambda: not control.closing, clock_ns)
    worker.close_all()
    yield worker.tick()
    yield from _ticks(worker, lambda: worker.closing, clock_ns)
    worker.end()
    yield worker.tick()


def _ticks(worker: Worker, go_on: Callable[[], bool], clock_ns: Callable[[], int]) -> Iterator[list[Event]]:
    next_ns = clock_ns()
    while go_on():
        worker.step()
        if clock_ns() >= next_ns:
            next_ns = clock_ns() + int(TICK_S * 1e9)
            yield worker.tick()


def count_cost(counters: Counters, at_ns: int) -> None:
    """What this process has used so far, into its row; not more than once in COST_S, for asking has its cost too."""
    if counters["cost_ns"] and at_ns - counters["cost_ns"] < COST_S * 1e9 and counters["phase"] != Phase.CLOSED:
        return
    counters["cost_ns"] = at_ns
    counters["rss_bytes"] = process.rss_bytes()
    counters["cpu_user_us"], counters["cpu_system_us"] = process.cpu_us()


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)  # the same clock in every process of the host
