"""Which sockets of the kernel's table are a worker's own: their cookies, written where the whole run can read them.

The kernel gives each socket a cookie that no other socket of the host ever has, and sock_diag lists it (SO_COOKIE,
socket(7); net/core/sock_diag.c, v6.18). So a run counts its own sockets even where another run uses the same addresses.
"""

import numpy as np

from fourtuple.engine.control import Cookies
from fourtuple.engine.workloads.contract import Worker


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
        found = np.zeros(len(self._cookies), np.uint64)
        found[slots] = worker.loop.cookies(slots)
        self._cookies[:] = found
        worker.counters["identified"] = asked
