"""Detection of lost connections by counting the kernel's table."""

from collections.abc import Callable

from fourtuple.core.runs.orders import Watch
from fourtuple.engine.control import Control, now_ns

CENSUS_S, CENSUS_SHARE = 1.0, 0.1  # interval between two counts, and the share of time that they may use


class Lookout:
    """Compares the kernel's count with the expected one, periodically.

    count: the number of the run's connections in the kernel's table
    """

    def __init__(self, watch: Watch, count: Callable[[], int], control: Control) -> None:
        self._on, self._count, self._control = watch is Watch.CENSUS, count, control
        self._next_ns = self._reopened = 0

    def look(self, expected: int, reopened: int = 0) -> None:
        """Compare, if it is time; if connections are missing, make all workers check theirs.

        reopened: how many connections have been opened again since the run began; their sockets are new, and the next
                  count needs their cookies
        """
        if self._on and reopened != self._reopened:
            self._reopened = reopened
            self._control.identify()
        start_ns = now_ns()
        if not self._on or start_ns < self._next_ns or self._control.closing:
            return
        if self._count() < expected:
            self._control.look()
        self._next_ns = now_ns() + int(max(CENSUS_S * 1e9, (now_ns() - start_ns) / CENSUS_SHARE))
