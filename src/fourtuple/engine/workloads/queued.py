"""Connects that found the accept queue of a Unix socket full, and are to be tried again.

There, connect() has no handshake that the kernel could repeat: it fails with EAGAIN at once, where a blocking one waits
(unix_stream_connect() in net/unix/af_unix.c, v6.18). Nothing says when there is room. So they are tried after a short
time, a few more than have just succeeded; the time grows while none does.
"""

import numpy as np

from fourtuple.engine.control import TICK_S
from fourtuple.engine.loops.contract import NO_SLOTS, Slots

FIRST_NS, MOST_NS = 1_000_000, 50_000_000  # how long to wait
LEAST = 16  # tried together


class Queued:
    """The slots that wait, in order."""

    def __init__(self) -> None:
        self._slots = NO_SLOTS
        self._due_ns = 0
        self._wait_ns = FIRST_NS
        self._worked = 0  # connects that succeeded since some were tried again

    def add(self, slots: Slots, now_ns: int) -> None:
        """These slots are to be tried again."""
        if not len(self._slots):
            self._due_ns = now_ns + self._wait_ns
        self._slots = np.concatenate((self._slots, slots))

    def worked(self, count: int) -> None:
        """So many connects have succeeded: there is room."""
        self._worked += count

    def due(self, now_ns: int, most: int) -> Slots:
        """Take those that are to be tried now, at most so many."""
        if not len(self._slots) or now_ns < self._due_ns:
            return NO_SLOTS
        self._wait_ns = FIRST_NS if self._worked else min(2 * self._wait_ns, MOST_NS)
        count = min(most, max(LEAST, 2 * self._worked))
        due, self._slots = self._slots[:count], self._slots[count:]
        self._due_ns, self._worked = now_ns + self._wait_ns, 0
        return due

    def drop(self, slots: Slots) -> Slots:
        """Those of these slots that wait; they no longer do."""
        waits = np.isin(self._slots, slots)
        dropped, self._slots = self._slots[waits], self._slots[~waits]
        return dropped

    def wait_s(self, now_ns: int) -> float:
        """How long until some are due."""
        return max(0.0, (self._due_ns - now_ns) / 1e9) if len(self._slots) else TICK_S
