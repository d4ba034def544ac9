"""Open many connections without bursts: a rate, a maximum in flight, and a pause when ports run out."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fourtuple.core.errors import UsageError

T = TypeVar("T")

FIRST_REST_S, LONGEST_REST_S = 0.1, 5.0


class Pace:
    """`pace = Pace(rate_per_s=500)`, then `await pace.open(lambda: open_connection("10.0.0.9", 8080))` in each task.

    rate_per_s:       starts are at least 1 / rate apart; None: no limit
    in_flight:        maximum number of connections being opened at the same time
    wait_for_ports_s: after EADDRNOTAVAIL, or a library's error for it, all opening pauses, and the connection is
                      retried for up to this time. The pause is 0.1 s at first and doubles up to 5 s. 0: fail at once

    Raises UsageError for invalid values.
    """

    def __init__(self, *, rate_per_s: float | None = None, in_flight: int = 64, wait_for_ports_s: float = 0.0) -> None:
        if rate_per_s is not None and not rate_per_s > 0:
            raise UsageError(f"rate_per_s={rate_per_s}", "must be more than 0, or None")
        if in_flight < 1:
            raise UsageError(f"in_flight={in_flight}", "must be 1 or more")
        if not wait_for_ports_s >= 0:
            raise UsageError(f"wait_for_ports_s={wait_for_ports_s}", "must be 0 or more")
        self.rate_per_s, self.wait_for_ports_s = rate_per_s, wait_for_ports_s
        self._slots = asyncio.Semaphore(in_flight)
        self._gate = asyncio.Lock()  # the task that holds it may start
        self._next_s = 0.0  # when the next start is due, by the loop's clock
        self._opened = 0

    async def open(self, opener: Callable[[], Awaitable[T]]) -> T:
        """Call `opener` when its turn comes → its result. Raises whatever it raises."""
        async with self._slots:
            async with self._gate:
                await self._turn()
            before = self._opened
            try:
                opened = await opener()
            except Exception as error:
                if not self.wait_for_ports_s or not is_for_ports(error):
                    raise
                opened = await self._patiently(opener, before)
            self._opened += 1
            return opened

    async def _patiently(self, opener: Callable[[], Awaitable[T]], before: int) -> T:
        """Retry, while no other task may start.

        before: number of opened connections at the first attempt
        """
        clock = asyncio.get_running_loop().time
        until_s = clock() + self.wait_for_ports_s
        async with self._gate:
            rest_s = FIRST_REST_S if self._opened == before else 0.0
            while True:
                await asyncio.sleep(rest_s)
                await self._turn()
                try:
                    return await opener()
                except Exception as error:
                    rest_s = min(max(2 * rest_s, FIRST_REST_S), LONGEST_REST_S)
                    if clock() + rest_s > until_s or not is_for_ports(error):
                        raise

    async def _turn(self) -> None:
        if self.rate_per_s is None:
            return
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(self._next_s - clock())
        self._next_s = max(self._next_s, clock()) + 1 / self.rate_per_s


def is_for_ports(error: BaseException | None) -> bool:
    """Whether the error is EADDRNOTAVAIL, or a library's error caused by it."""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno == errno.EADDRNOTAVAIL
        error = error.__cause__ or error.__context__
    return False
