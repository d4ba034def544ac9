"""Opening many connections without a burst: so many a second, so many under way, and a rest where ports run out."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from typing import TypeVar

from fourtuple.core.errors import UsageError

T = TypeVar("T")

FIRST_REST_S, LONGEST_REST_S = 0.1, 5.0


class Pace:
    """`pace = Pace(rate_per_s=500)`, then `await pace.open(lambda: open_connection("10.0.0.9", 8080))` in each task.

    rate_per_s:       starts are at least 1 / rate apart; None: as fast as they come
    in_flight:        so many are under way at the same time, at most
    wait_for_ports_s: where one fails with EADDRNOTAVAIL, or a library's error for it, all rest, and it is tried again,
                      for so long. A rest begins with 0.1 s and doubles up to 5 s, until one succeeds. 0: it fails at
                      once

    Raises UsageError for what is not positive.
    """

    def __init__(self, *, rate_per_s: float | None = None, in_flight: int = 64, wait_for_ports_s: float = 0.0) -> None:
        if rate_per_s is not None and not rate_per_s > 0:
            raise UsageError(f"a rate of {rate_per_s} a second", "it is above 0, or None")
        if in_flight < 1:
            raise UsageError(f"{in_flight} in flight", "at least one is needed")
        if not wait_for_ports_s >= 0:
            raise UsageError(f"a wait of {wait_for_ports_s} s", "it is 0 or longer")
        self.rate_per_s, self.wait_for_ports_s = rate_per_s, wait_for_ports_s
        self._slots = asyncio.Semaphore(in_flight)
        self._gate = asyncio.Lock()  # who has it may start
        self._next_s = 0.0  # of the loop's clock
        self._opened = 0

    async def open(self, opener: Callable[[], Awaitable[T]]) -> T:
        """Call it when it is its turn, and give back what it gives. Raises what it raises."""
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
        """Again and again, and nobody else starts meanwhile. before: how many were open when it failed"""
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
    """Is it EADDRNOTAVAIL, or was it, before a library made an error of its own of it?"""
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error.errno == errno.EADDRNOTAVAIL
        error = error.__cause__ or error.__context__
    return False
