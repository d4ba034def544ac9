"""The words by which a run is told what to do, shared by all workers, and what listens for Ctrl-C."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

TICK_S = 0.05  # how long a worker may take to notice anything it is told
STOP, CLOSE = 1, 2  # values of the control word; 0: go on
CONTROL_WORDS = 2


class Control:
    """words: CONTROL_WORDS of int64, in memory shared with the workers where there are any"""

    def __init__(self, words: NDArray[np.int64] | None = None) -> None:
        self._word, self._looks = np.split(np.zeros(CONTROL_WORDS, np.int64) if words is None else words, CONTROL_WORDS)
        self.interrupted = False
        self.dropped = False  # by a second signal: nothing is waited for any more

    @property
    def stopping(self) -> bool:
        return bool(self._word[0] >= STOP)

    @property
    def closing(self) -> bool:
        return bool(self._word[0] >= CLOSE)

    @property
    def looks(self) -> int:
        """How often all workers have been told to look at all connections: some are gone, and it is not known which."""
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


def now_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)  # the same clock in every process of the host
