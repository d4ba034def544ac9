"""How a run is told to stop, to close or to check its connections: control words that all workers read, and Ctrl-C."""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

TICK_S = 0.05  # how long a worker may take to notice a change of the control words
STOP, CLOSE = 1, 2  # values of the control word; 0: continue
CONTROL_WORDS = 5
Cookies = NDArray[np.uint64]  # of the sockets of a worker or a run


class Control:
    """The control words of a run, and whether a signal has arrived.

    words: (CONTROL_WORDS,) int64, in memory shared with the workers; None: in the memory of this process
    """

    def __init__(self, words: NDArray[np.int64] | None = None) -> None:
        words = np.zeros(CONTROL_WORDS, np.int64) if words is None else words
        self._word, self._looks, self._identifies, self._began, self._replaces = np.split(words, CONTROL_WORDS)
        self.interrupted = False
        self.ended = False  # the time to hold is over, as somebody else says who knows of all machines
        self.dropped = False  # after a second signal: end without waiting for anything

    @property
    def stopping(self) -> bool:
        """Must workers start nothing more?"""
        return bool(self._word[0] >= STOP)

    @property
    def closing(self) -> bool:
        """Must workers close what is open, and end?"""
        return bool(self._word[0] >= CLOSE)

    @property
    def looks(self) -> int:
        """How many times `look` was called. A worker that sees it grow checks all its connections."""
        return int(self._looks[0])

    def look(self) -> None:
        """Have all workers check all their connections: some are lost, and it is not known which."""
        self._looks[0] += 1

    @property
    def identifies(self) -> int:
        """How many times `identify` was called. A worker that sees it grow reports the cookies of its connections."""
        return int(self._identifies[0])

    def identify(self) -> int:
        """Have all workers report the cookies of their connections → the new value of `identifies`."""
        self._identifies[0] += 1
        return self.identifies

    @property
    def began_ns(self) -> int:
        """When stages began, for all workers, CLOCK_MONOTONIC; 0: not yet."""
        return int(self._began[0])

    def begin(self, at_ns: int) -> None:
        """Let stages begin."""
        self._began[0] = at_ns

    @property
    def replaces_from_ns(self) -> int:
        """Since when workers are to replace connections; 0: not now."""
        return int(self._replaces[0])

    def replace_from(self, at_ns: int) -> None:
        """Have workers replace connections from then on; 0: no longer."""
        self._replaces[0] = at_ns

    def stop(self) -> None:
        """Have workers start nothing more; open connections stay open, so that they can be counted."""
        self._word[0] = max(STOP, int(self._word[0]))

    def close(self) -> None:
        """Have workers close what is open, and end."""
        self._word[0] = CLOSE


Controller = Callable[[Control], object]  # is given the control of a run when it begins


@contextmanager
def interruptible(control: Control) -> Iterator[None]:
    """During the block, Ctrl-C, SIGTERM or closing the terminal (SIGHUP) stops the run cleanly.

    A second signal ends the run at once, by KeyboardInterrupt. Only the main thread can handle signals; in another
    thread this does nothing.
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
    if (
        signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
    ):  # nohup(1) ignores it: the run continues without the terminal
        numbers.append(signal.SIGHUP)
    before: dict[int, Any] = {number: signal.signal(number, on_signal) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def now_ns() -> int:
    """The current time in ns, on the clock that runs use (CLOCK_MONOTONIC)."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)  # the same clock in every process of the host
