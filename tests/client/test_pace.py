"""Pace: starts, how many at a time, and rests where ports run out; the clock is the test's own."""

import asyncio
import errno
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourtuple.client.exhausted import PortsExhausted
from fourtuple.client.pace import Pace
from fourtuple.client.streams import connect_async
from fourtuple.core.errors import UsageError
from tests.client.clock import be_busy, now_s, run
from tests.client.inside import inside
from tests.client.servers import HOST, PORT, hold, listening

Times = list[float]


def no_port() -> OSError:
    return OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")


class Opener:
    """An opener that fails N times for lack of ports, and takes a given time. starts: when it was called"""

    def __init__(self, failures: int = 0, takes_s: float = 0.0) -> None:
        self.failures, self.takes_s = failures, takes_s
        self.starts: Times = []
        self.under_way = self.most = 0

    async def __call__(self) -> int:
        self.starts.append(round(now_s(), 6))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(self.takes_s)
            if self.failures:
                self.failures -= 1
                raise no_port()
            return len(self.starts)
        finally:
            self.under_way -= 1


async def all_of(pace: Pace, opener: Callable[[], Awaitable[Any]], count: int) -> list[Any]:
    return await asyncio.gather(*(pace.open(opener) for _ in range(count)), return_exceptions=True)


def test_it_gives_what_the_opener_gives() -> None:
    async def opener() -> str:
        return "open"

    assert run(Pace().open(opener)) == "open"


def test_starts_are_one_over_the_rate_apart() -> None:
    opener = Opener(takes_s=3.0)
    run(all_of(Pace(rate_per_s=4), opener, 6))

    assert opener.starts == [0.0, 0.25, 0.5, 0.75, 1.0, 1.25]


@given(rate=st.floats(0.1, 1000), pauses=st.lists(st.floats(0, 3), min_size=1, max_size=8))
@settings(max_examples=30, deadline=None)
def test_starts_are_never_nearer_than_the_rate_says(rate: float, pauses: Times) -> None:
    """However the requests come; a pause saves nothing up for a burst."""
    opener = Opener()

    async def come() -> None:
        pace = Pace(rate_per_s=rate)
        for pause in pauses:
            await asyncio.gather(pace.open(opener), pace.open(opener))
            await asyncio.sleep(pause)

    run(come())
    gaps = [after - before for before, after in pairwise(opener.starts)]

    assert len(opener.starts) == 2 * len(pauses)
    assert min(gaps) >= 1 / rate - 1e-5


def test_a_loop_that_was_busy_makes_no_burst() -> None:
    """Who starts late starts no nearer to the next one: at least 1 / rate is promised."""
    starts: Times = []

    async def opener() -> None:
        starts.append(now_s())
        if len(starts) == 1:
            await asyncio.sleep(0.05)
            be_busy(0.35)  # the second one should have started meanwhile

    run(all_of(Pace(rate_per_s=10), opener, 4))
    gaps = [after - before for before, after in pairwise(starts)]

    assert min(gaps) >= 0.1 - 1e-5


def test_without_a_rate_all_start_at_once() -> None:
    opener = Opener(takes_s=1.0)
    run(all_of(Pace(), opener, 64))

    assert opener.starts == [0.0] * 64


def test_so_many_are_under_way_at_most() -> None:
    opener = Opener(takes_s=1.0)
    run(all_of(Pace(in_flight=3), opener, 10))

    assert opener.most == 3
    assert opener.starts == [0.0] * 3 + [1.0] * 3 + [2.0] * 3 + [3.0]


def test_one_that_fails_or_is_cancelled_makes_room() -> None:
    async def come() -> list[int]:
        pace, opener = Pace(in_flight=1), Opener(failures=1)
        failed = await asyncio.gather(pace.open(opener), return_exceptions=True)
        task = asyncio.create_task(pace.open(Opener(takes_s=9)))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return [len(failed), await pace.open(opener)]

    assert run(come()) == [1, 2]


def test_it_waits_until_a_port_is_free() -> None:
    """Three failures: it rests for 0.1, 0.2 and 0.4 s, and the fourth try is given back."""
    opener = Opener(failures=3)

    assert run(Pace(wait_for_ports_s=60).open(opener)) == 4
    assert opener.starts == [0.0, 0.1, 0.3, 0.7]


def test_a_rest_is_5_s_at_most() -> None:
    opener = Opener(failures=9)
    run(Pace(wait_for_ports_s=60).open(opener))

    assert opener.starts == [0.0, 0.1, 0.3, 0.7, 1.5, 3.1, 6.3, 11.3, 16.3, 21.3]


def test_nobody_starts_during_a_rest() -> None:
    """All come when the first one has succeeded, and none fails then."""
    first, others = Opener(failures=3), Opener()

    async def come() -> None:
        pace = Pace(wait_for_ports_s=60)
        waits = asyncio.create_task(pace.open(first))
        await asyncio.sleep(0.05)
        await asyncio.gather(waits, *(pace.open(others) for _ in range(5)))

    run(come())

    assert first.starts == [0.0, 0.1, 0.3, 0.7]
    assert others.starts == [0.7] * 5


def test_it_gives_up_when_the_time_is_over() -> None:
    """The next rest, of 0.8 s, would end after it."""
    opener = Opener(failures=99)

    async def come() -> tuple[int | None, float]:
        with pytest.raises(OSError, match="Cannot assign") as caught:
            await Pace(wait_for_ports_s=1.0).open(opener)
        return caught.value.errno, round(now_s(), 6)

    assert run(come()) == (errno.EADDRNOTAVAIL, 0.7)
    assert opener.starts == [0.0, 0.1, 0.3, 0.7]


def test_without_a_wait_it_fails_at_once() -> None:
    opener = Opener(failures=1)
    (error,) = run(all_of(Pace(), opener, 1))

    assert error.errno == errno.EADDRNOTAVAIL
    assert opener.starts == [0.0]


def test_another_error_is_not_waited_for() -> None:
    """Not at first, and not after a rest."""
    starts: Times = []

    async def opener() -> None:
        starts.append(round(now_s(), 6))
        raise no_port() if len(starts) == 1 else ConnectionRefusedError(errno.ECONNREFUSED, "refused")

    (error,) = run(all_of(Pace(wait_for_ports_s=60), opener, 1))

    assert isinstance(error, ConnectionRefusedError)
    assert starts == [0.0, 0.1]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"rate_per_s": rate} for rate in (0, -1, float("nan"))),
        *({"wait_for_ports_s": wait_s} for wait_s in (-0.1, float("nan"))),
        {"in_flight": 0},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Pace(**wrong)


def test_a_real_port_that_becomes_free_is_taken() -> None:
    """All 64 are in use; one is closed after a moment, and the connection that waited has its port."""

    def ask() -> tuple[int, int]:
        async def come() -> tuple[int, int]:
            with listening(port=PORT):
                kept, error = hold()
                assert isinstance(error, PortsExhausted)
                victim = kept[30]
                port = victim.getsockname()[1]
                victim.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER: no TIME_WAIT
                asyncio.get_running_loop().call_later(0.15, victim.close)
                sock = await Pace(wait_for_ports_s=10).open(lambda: connect_async((HOST, PORT)))
                return port, sock.getsockname()[1]

        return asyncio.run(come())

    freed, taken = inside(ask)

    assert freed == taken
