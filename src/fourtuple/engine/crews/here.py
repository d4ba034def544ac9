"""The crew of one worker: this process itself does the work."""

from collections.abc import Iterator

import numpy as np

from fourtuple.core.errors import ShortfallError
from fourtuple.core.runs.counters import COUNTERS, Counters
from fourtuple.core.runs.records import Sample
from fourtuple.engine.control import Control, Cookies, now_ns
from fourtuple.engine.crews.contract import Work


class Here:
    """Advances its work, a generator, between two samples; there is one sample for each item that it yields."""

    killed = 0  # if this worker is killed, so is the run

    def __init__(self) -> None:
        self.control = Control()
        self._rows: Counters = np.zeros(1, COUNTERS)
        self._cookies = np.zeros(0, np.uint64)
        self._work: Work | None = None

    def add(self, work: Work, wanted: int = 0) -> None:
        if self._work is not None:
            raise ShortfallError("another worker", "this process can only be one worker", "Use worker processes.")
        self._rows[0]["wanted"] = wanted
        self._cookies = np.zeros(wanted, np.uint64)
        self._work = work

    def cookies(self) -> Cookies:
        return self._cookies

    def samples(self) -> Iterator[Sample]:
        try:
            for events in self._work(self._rows[0], self.control, self._cookies) if self._work else ():
                yield Sample.of(self._rows, now_ns(), tuple(events))
        finally:
            self.control.close()
