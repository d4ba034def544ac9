"""Which sockets of the kernel's table are a worker's own: their cookies, written where the whole run can read them.

The kernel gives each socket a cookie that no other socket of the host ever has, and sock_diag lists it (SO_COOKIE,
socket(7); net/core/sock_diag.c, v6.18). So a run counts its own sockets even where another run uses the same addresses.
"""

import numpy as np

from fourtuple.engine.control import Cookies
from fourtuple.engine.states import Life
from fourtuple.engine.workloads.contract import Worker

BATCH = 2048  # sockets asked for together: the requests of all of a million would take 64 MB


class Identifier:
    """Writes the cookies of all open connections when the control asks for them.

    cookies: (slots,) uint64, in memory shared with the run; 0: no open connection, or its cookie is not known
    """

    def __init__(self, worker: Worker, cookies: Cookies) -> None:
        self._worker, self._cookies = worker, cookies

    def tick(self) -> None:
        worker = self._worker
        asked = worker.control.identifies
        if worker.counters["identified"] == asked:
            return
        slots = worker.all_open()
        self._cookies[np.flatnonzero((worker.state & Life.OPEN) == 0)] = 0
        for start in range(0, len(slots), BATCH):
            some = slots[start : start + BATCH]
            self._cookies[some] = worker.loop.cookies(some)
        worker.counters["identified"] = asked
