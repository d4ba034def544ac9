"""Reads of the kernel's table of sockets: one, or a series at intervals."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from fourtuple.core.sockets.table import Sockets, State
from fourtuple.kernel.netlink.sockdiag import fold_sockets

T = TypeVar("T")


def paced(looks: Iterator[T], every_s: float) -> Iterator[T]:
    """The looks, one every `every_s`; without a pause if one takes longer."""
    due_s = time.monotonic()
    for found in looks:
        yield found
        due_s = max(due_s + every_s, time.monotonic())
        time.sleep(max(0.0, due_s - time.monotonic()))


def sockets(fold: Callable[[Iterable[Sockets]], T], states: Iterable[State] = (State.ESTABLISHED,)) -> tuple[T, str]:
    """The result of `fold` over the TCP sockets of this network namespace in these states, and their source.

    Tables have dtype fourtuple.core.sockets.table.SOCKET. Raises OSError, or DumpInterruptedError after several tries.
    """
    return fold_sockets(fold, states)
