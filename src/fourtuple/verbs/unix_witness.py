"""The kernel as a witness of connections to Unix sockets: both ends of each, by unix_diag."""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from fourtuple.core.errors import CannotError
from fourtuple.core.runs.records import AcceptQueue, Witness
from fourtuple.core.runs.spread import Sharing
from fourtuple.core.sockets.columns import distinct
from fourtuple.core.sockets.ends import Tally
from fourtuple.core.sockets.own import Own
from fourtuple.core.sockets.unix import UNIX_DIAG, connected, identify_unix
from fourtuple.core.space.endpoints import UNIX
from fourtuple.engine.control import Control, Cookies
from fourtuple.kernel.netlink.reading import NoSuchDumpError
from fourtuple.kernel.netlink.unixdiag import fold_unix, read_unix_listeners_at
from fourtuple.verbs.witness import QUEUES, holders_of, until_gone

_NONE: Cookies = np.zeros(0, np.uint64)


class UnixWitness:
    """Counts the sockets of a run by their cookies, and those whose peers they are; for the rest see Counting.

    names:   the Unix sockets that the run connects to
    cookies: the cookies of the run's sockets, as of their last identification
    """

    sharing: Sharing | None = None
    distinguishes = True

    def __init__(self, names: Sequence[str], cookies: Callable[[], Cookies]) -> None:
        """Raises CannotError if the kernel cannot list Unix sockets."""
        self._names, self._cookies = names, cookies
        self._own = Own(_NONE, _NONE)
        self._count()

    def look(self) -> Witness:
        try:
            tally, own = fold_unix(partial(identify_unix, cookies=self._cookies()))
        except NoSuchDumpError as error:
            raise _cannot(error) from None
        self._own = Own(own.client, distinct(own.server, self._own.server))
        return Witness(tally.client, tally.server, tally.accepted, UNIX_DIAG)

    def queues(self) -> tuple[AcceptQueue, ...]:
        found = sorted(read_unix_listeners_at(self._names) or [], key=lambda each: -each[2])[:QUEUES]
        inodes = np.array([inode for inode, *_ in found], np.uint32)
        return tuple(
            AcceptQueue(f"{UNIX}{path}", waiting, backlog, pid, name)
            for (_, path, waiting, backlog), (pid, name) in zip(
                found, holders_of(inodes, np.zeros(len(inodes), np.uint32)), strict=True
            )
        )

    def recount(self) -> int:
        self._own = Own(np.sort(self._cookies()), self._own.server)
        return fold_unix(lambda tables: self._own.count(connected(tables))).client

    def time_wait(self) -> int:
        """Unix sockets have no such state."""
        return 0

    def until_gone(self, control: Control) -> int:
        self._own = Own(distinct(self._own.client, self._cookies()), self._own.server)

        def left() -> int:
            ours = self._count()
            return ours.client + ours.server

        return until_gone(left, control)

    def _count(self) -> Tally:
        """The run's sockets that exist, at both ends."""
        try:
            return fold_unix(self._own.count)
        except NoSuchDumpError as error:
            raise _cannot(error) from None


def _cannot(error: NoSuchDumpError) -> CannotError:
    return CannotError(
        "counting Unix sockets", f"the kernel does not list them: {error.strerror}", "Load the module unix_diag."
    )
