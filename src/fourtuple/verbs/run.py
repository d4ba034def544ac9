"""What is pulled: a run to its end, and the kernel's table of sockets."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeVar

from fourtuple.core.sockets.table import Sockets, State
from fourtuple.kernel.netlink.sockdiag import fold_sockets

T = TypeVar("T")


def finish(run: Generator[Any, None, T]) -> T:
    """Pull a run to its end → its record."""
    while True:
        try:
            next(run)
        except StopIteration as end:
            result: T = end.value
            return result


def paced(looks: Iterator[T], every_s: float) -> Iterator[T]:
    """The looks, one every `every_s`; at once, where one takes longer."""
    due_s = time.monotonic()
    for found in looks:
        yield found
        due_s = max(due_s + every_s, time.monotonic())
        time.sleep(max(0.0, due_s - time.monotonic()))


def sockets(fold: Callable[[Iterable[Sockets]], T], states: Iterable[State] = (State.ESTABLISHED,)) -> tuple[T, str]:
    """`fold` over the TCP sockets of this network namespace in these states, and where they were read.

    Tables have dtype fourtuple.core.census.SOCKET. Raises OSError, or DumpInterruptedError after several tries.
    """
    return fold_sockets(fold, states)
