"""What is pulled: a run to its end, and the kernel's table of sockets."""

from collections.abc import Callable, Generator, Iterable
from typing import Any, TypeVar

from fourtuple.core.census import Sockets, State
from fourtuple.kernel.sockdiag import fold_sockets

T = TypeVar("T")


def finish(run: Generator[Any, None, T]) -> T:
    """Pull a run to its end → its record."""
    while True:
        try:
            next(run)
        except StopIteration as end:
            result: T = end.value
            return result


def sockets(fold: Callable[[Iterable[Sockets]], T], states: Iterable[State] = (State.ESTABLISHED,)) -> tuple[T, str]:
    """`fold` over the TCP sockets of this network namespace in these states, and where they were read.

    Tables have dtype fourtuple.core.census.SOCKET. Raises OSError, or DumpInterruptedError after several tries.
    """
    return fold_sockets(fold, states)
