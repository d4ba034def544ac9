"""An event loop whose time passes only while everybody sleeps, and then at once."""

import asyncio
import selectors
from collections.abc import Coroutine
from contextlib import closing
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout:
            self.now_s += timeout
        return super().select(0)


class Loop(asyncio.SelectorEventLoop):
    """Add N to `selector.now_s` to simulate that the loop has been busy for N seconds."""

    def __init__(self) -> None:
        self.selector = _Selector()
        super().__init__(self.selector)

    def time(self) -> float:
        return self.selector.now_s


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """What it gives, in no time."""
    with closing(Loop()) as loop:
        return loop.run_until_complete(coroutine)


def now_s() -> float:
    return asyncio.get_running_loop().time()


def be_busy(for_s: float) -> None:
    """Let time pass while no other task can run."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, Loop)
    loop.selector.now_s += for_s
