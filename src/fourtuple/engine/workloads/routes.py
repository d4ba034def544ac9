"""Where the next connections go, and which routes are exhausted or failed.

A route is a (source address, destination) pair, or a Unix socket. The way of a connection is a number: that of its
route if the kernel chooses the source port or there is none, or that of its 4-tuple if we choose it.
"""

import errno
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.errnos import Extent, symptom_of
from fourtuple.core.runs.slices import Slice
from fourtuple.core.runs.spread import BINS
from fourtuple.core.sockets.columns import distinct
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.core.space.unix import UnixSpace
from fourtuple.engine.loops.contract import Targets

Ways = NDArray[Any]  # of an unsigned or signed integer type


class AutomaticRoutes:
    """Routes where the kernel chooses source ports: pairs take turns, each until it is full.

    room: how many connections are expected to be possible. Beyond that, each pair is tried one connection at a time:
          the kernel checks every port of the range before it reports that none is free, which takes milliseconds
    """

    def __init__(self, space: TupleSpace | UnixSpace, share: Slice, room: int) -> None:
        self._space, self._turn, self._room = space, share.start, room
        self._over = np.zeros(space.pairs, bool)  # untouched pages of zeros cost nothing
        self._worked = np.zeros(space.pairs, bool)
        self._turns: NDArray[np.int64] | None = None  # the pairs that take turns; None: all of them
        self._waiting_for = space.pairs  # how many pairs still take turns
        self._ended_by: Counter[int] = Counter()

    @property
    def ways(self) -> int:
        """The number of ways."""
        return self._space.pairs

    @property
    def full_errno(self) -> int:
        """The errno that ended most routes."""
        return self._ended_by.most_common(1)[0][0] if self._ended_by else errno.EADDRNOTAVAIL

    def take(self, count: int) -> tuple[Targets, Ways]:
        """The next `count` connections, or fewer → (block, ways); empty if every pair is exhausted or failed."""
        count = min(count, max(self._room, self._waiting_for))
        found = np.zeros(0, np.int64)
        while len(found) < count and self._waiting_for:
            turns = self._turn + np.arange(count)
            self._turn += count
            routes = turns % self._space.pairs if self._turns is None else self._turns[turns % len(self._turns)]
            alive = routes[~self._over[routes]]
            found = np.concatenate((found, alive)) if len(found) else alive
        found = found[:count]
        self._room -= len(found)
        return self._space.pair_block(found), found

    def again(self, ways: Ways) -> Targets:
        """The connections for ways used before, even if their pair has been exhausted or failed since."""
        return self._space.pair_block(ways.astype(np.int64))

    def worked(self, ways: Ways) -> None:
        """Note that connections succeeded on these ways, so that a later refusal does not end the pair."""
        self._worked[self._pairs(ways)] = True

    def failed(self, ways: Ways, number: int) -> bool:
        """Note which pairs the errno ends → should these connections be tried on other ways?"""
        pairs = distinct(self._pairs(ways))
        if symptom_of(number).ends is Extent.PAIR:
            self._end(pairs, number)
            return True
        self._end(pairs[~self._worked[pairs]], number)
        return False

    def bins(self, ways: Ways) -> NDArray[np.int64]:
        """The bin in which each way's pair is counted, see core/runs/spread.py."""
        pairs: NDArray[np.int64] = self._pairs(ways).astype(np.int64)
        return pairs if self._space.pairs <= BINS else pairs * BINS // self._space.pairs

    def _pairs(self, ways: Ways) -> Ways:
        return ways

    def _end(self, pairs: Ways, number: int) -> None:
        pairs = pairs[~self._over[pairs]]
        self._over[pairs] = True
        self._ended_by[number] += len(pairs)
        self._waiting_for -= len(pairs)
        # More than half of the pairs in turn have ended: remove them, so that finding the others stays cheap.
        if 2 * self._waiting_for < (self._space.pairs if self._turns is None else len(self._turns)):
            self._turns = np.flatnonzero(~self._over)


class ExplicitRoutes(AutomaticRoutes):
    """Routes where we choose all four values: the i-th connection is `space[i]`; a 4-tuple in use is skipped."""

    def __init__(self, space: TupleSpace, share: Slice, room: int) -> None:
        super().__init__(space, share, room)
        self._tuples = space
        self._next, self._stop = share.start, share.stop

    @property
    def ways(self) -> int:
        return self._tuples.size

    def take(self, count: int) -> tuple[Targets, Ways]:
        while self._next < self._stop:
            start, self._next = self._next, min(self._stop, self._next + count)
            ways = np.arange(start, self._next)
            alive = ~self._over[self._pairs(ways)]
            if alive.any():
                return self._tuples.block(start, self._next).where(alive), ways[alive]
        return self._tuples.block(0, 0), np.zeros(0, np.int64)

    def again(self, ways: Ways) -> Targets:
        return self._tuples.rows(ways.astype(np.int64))

    def failed(self, ways: Ways, number: int) -> bool:
        if symptom_of(number).ends is Extent.PAIR:  # these 4-tuples or their ports, not the whole pair
            self._ended_by[number] += len(ways)
            return True
        return super().failed(ways, number)

    def _pairs(self, ways: Ways) -> Ways:
        return ways % self._space.pairs
