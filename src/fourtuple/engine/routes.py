"""Where the next connections go, and which ways are over: a route is a (source address, destination) pair."""

import errno
from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.plan import Slice
from fourtuple.core.symptoms import Ends, symptom_of
from fourtuple.core.tuples import Block, TupleSpace

Routes = NDArray[np.int64]


class AutomaticRoutes:
    """The kernel chooses source ports, so pairs take turns, each until it is full."""

    def __init__(self, space: TupleSpace, share: Slice) -> None:
        self._space, self._turn = space, share.start
        self._over = np.zeros(space.pairs, bool)  # untouched pages of zeros cost nothing
        self._worked = np.zeros(space.pairs, bool)
        self._turns: Routes | None = None  # the pairs that take turns; None: all of them
        self._waiting_for = space.pairs  # how many of those are not over
        self._ended_by: Counter[int] = Counter()

    @property
    def full_errno(self) -> int:
        """What ended most of them."""
        return self._ended_by.most_common(1)[0][0] if self._ended_by else errno.EADDRNOTAVAIL

    def take(self, count: int) -> tuple[Block, Routes]:
        """The next `count` connections; none where every pair is over."""
        found = np.zeros(0, np.int64)
        while len(found) < count and self._waiting_for:
            turns = self._turn + np.arange(count)
            self._turn += count
            routes = turns % self._space.pairs if self._turns is None else self._turns[turns % len(self._turns)]
            found = np.concatenate((found, routes[~self._over[routes]]))
        return self._space.pair_block(found[:count]), found[:count]

    def worked(self, routes: NDArray[Any]) -> None:
        """Connections were made there, so a later refusal is not the end of it."""
        self._worked[routes] = True

    def failed(self, route: int, number: int) -> bool:
        """Note what the errno ends → should the connection be tried on another route?"""
        ends = symptom_of(number).ends
        if ends is Ends.PAIR or not self._worked[route]:
            self._end(route, number)
        return ends is Ends.PAIR

    def _end(self, route: int, number: int) -> None:
        if self._over[route]:
            return
        self._over[route] = True
        self._ended_by[number] += 1
        self._waiting_for -= 1
        # Half of those that take turns are over: leave them out, so that finding the others stays cheap.
        if 2 * self._waiting_for < (self._space.pairs if self._turns is None else len(self._turns)):
            self._turns = np.flatnonzero(~self._over)


class ExplicitRoutes(AutomaticRoutes):
    """We choose all four values: the i-th connection is `space[i]`, and one that is taken is left out."""

    def __init__(self, space: TupleSpace, share: Slice) -> None:
        super().__init__(space, share)
        self._next, self._stop = share.start, share.stop

    def take(self, count: int) -> tuple[Block, Routes]:
        while self._next < self._stop:
            start, self._next = self._next, min(self._stop, self._next + count)
            routes = (start % self._space.pairs + np.arange(self._next - start)) % self._space.pairs
            alive = ~self._over[routes]
            if alive.any():
                return self._space.block(start, self._next).where(alive), routes[alive]
        return self._space.block(0, 0), np.zeros(0, np.int64)

    def failed(self, route: int, number: int) -> bool:
        taken = symptom_of(number).ends is Ends.PAIR  # this 4-tuple or its port, not the whole pair
        if taken:
            self._ended_by[number] += 1
        elif not self._worked[route]:
            self._end(route, number)
        return taken
