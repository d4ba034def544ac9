"""When each connection sends something only to stay alive, such as a ping: in turn, once in an interval."""

import numpy as np
from numpy.typing import NDArray

from fourtuple.engine.loops.contract import Slots
from fourtuple.engine.states import Life

MARGIN = 0.75  # a ping is sent after this part of the time after which the peer may give up
BATCH = 1024  # per step; then the worker does its other work


class Beats:
    """The slots whose turn has come; those that are sending something anyway are left out.

    state:       (slots,) uint8, the worker's array of `Life`
    keepalive_s: something must be sent at least that often
    """

    def __init__(self, state: NDArray[np.uint8], keepalive_s: float, begin_ns: int) -> None:
        self._state, self._begin_ns = state, begin_ns
        self._every_ns = max(1, int(keepalive_s * MARGIN * 1e9))
        self._turn = 0

    def take(self, now_ns: int) -> Slots:
        """The slots that send something now: open, established, and not sending."""
        count = len(self._state)
        position = (now_ns - self._begin_ns) * count // self._every_ns
        start, self._turn = self._turn, min(position, self._turn + min(BATCH, count))
        slots = (np.arange(start, self._turn) % max(1, count)).astype(np.int32)
        busy = Life.OPEN | Life.GREETING | Life.SENDING
        due: Slots = slots[(self._state[slots] & busy) == Life.OPEN]
        return due

    def wait_s(self, now_ns: int) -> float:
        """How long until the next slot has its turn."""
        due_ns = self._begin_ns - -(self._turn + 1) * self._every_ns // max(1, len(self._state))
        return max(0.0, (due_ns - now_ns) / 1e9)
