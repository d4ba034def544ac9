"""Dumps that come through: taken again where they were interrupted, and read by threads while the caller works."""

import errno
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from fourtuple.kernel.netlink.wire import DumpInterruptedError

T = TypeVar("T")
U = TypeVar("U")

# The protocol is not built in, its module is not there, or a filter forbids the netlink family.
WITHOUT = frozenset(
    {errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.ESOCKTNOSUPPORT, errno.ENOENT, errno.EPERM, errno.EACCES}
)
TRIES = 5


class NoSuchDumpError(OSError):
    """This kernel has no such table, or a filter keeps it from this process."""


def retried(fold: Callable[[Iterable[U]], T], dumped: Callable[[], Iterable[U]]) -> T:
    """`fold` applied to a dump that came through; one that was interrupted is thrown away, and taken again.

    Raises DumpInterruptedError where TRIES of them were, NoSuchDumpError, OSError.
    """
    for tries_left in reversed(range(TRIES)):
        try:
            return fold(dumped())
        except DumpInterruptedError:
            if not tries_left:
                raise
        except OSError as error:
            if error.errno not in WITHOUT:
                raise
            raise NoSuchDumpError(error.errno, error.strerror or str(error)) from error
    raise AssertionError("the last try returns or raises")


def as_they_come(streams: Sequence[Iterable[T]]) -> Iterator[tuple[int, T]]:
    """What the streams yield, with the number of each: they are read by threads, while the caller works.

    Where no thread can be started (pids.max, RLIMIT_NPROC), which may be the very trouble that is looked into, they
    are read one after the other. A stream is never more than two items ahead of the caller.
    """
    parts: queue.Queue[tuple[int, T | Exception | None]] = queue.Queue(1)
    left = threading.Event()

    def read(number: int) -> None:
        last = None
        try:
            for item in streams[number]:
                parts.put((number, item))
                if left.is_set():
                    break
        except Exception as error:
            last = error
        parts.put((number, last))

    running, alone = 0, []
    for number in range(len(streams)):
        try:
            threading.Thread(target=read, args=(number,), name="sock_diag", daemon=True).start()
            running += 1
        except RuntimeError:
            alone.append(number)
    try:
        while running:
            number, part = parts.get()
            if part is None or isinstance(part, Exception):
                running -= 1
                if part is not None:
                    raise part
                continue
            yield number, part
        for number in alone:
            yield from ((number, item) for item in streams[number])
    finally:
        left.set()
        while running:
            part = parts.get()[1]
            running -= part is None or isinstance(part, Exception)
