"""How complete dumps are obtained: interrupted ones are repeated, and threads read them while the caller works."""

import errno
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from fourtuple.kernel.netlink.wire import DumpInterruptedError

T = TypeVar("T")
U = TypeVar("U")

# The kernel lacks the protocol or its module, or a seccomp filter or security module forbids the netlink family.
WITHOUT = frozenset(
    {errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.ESOCKTNOSUPPORT, errno.ENOENT, errno.EPERM, errno.EACCES}
)
TRIES = 5


class NoSuchDumpError(OSError):
    """This kernel does not have the dump, or does not permit it to this process."""


def retried(fold: Callable[[Iterable[U]], T], dumped: Callable[[], Iterable[U]]) -> T:
    """Apply `fold` to a complete dump; an interrupted dump is discarded and taken again.

    dumped: starts a new dump at each call

    Raises DumpInterruptedError if TRIES dumps were interrupted, NoSuchDumpError, OSError.
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
    """The items of all streams as (number of the stream, item): threads read the streams while the caller works.

    If no thread can be started (pids.max or RLIMIT_NPROC, possibly the problem under investigation), the streams are
    read one after the other. A stream is never more than two items ahead of the caller. Raises what a stream raises.
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
