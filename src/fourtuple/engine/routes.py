"""Where the next connections go, and which ways are over: a route is a (source address, destination) pair."""

import errno
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
        self._space, self._turn = space, share.start % space.pairs
        self._ended: set[int] = set()
        self._worked: set[int] = set()
        self.full_errno = errno.EADDRNOTAVAIL  # what ended the last one

    def take(self, count: int) -> tuple[Block, Routes]:
        """The next `count` connections; none where every pair is over."""
        pairs = self._space.pairs
        found = np.zeros(0, np.int64)
        while len(found) < count and len(self._ended) < pairs:
            turns = (self._turn + np.arange(count)) % pairs
            self._turn = (self._turn + count) % pairs
            found = np.concatenate((found, self._alive(turns)))
        return self._space.pair_block(found[:count]), found[:count]

    def worked(self, routes: NDArray[Any]) -> None:
        """Connections were made there, so a later refusal is not the end of it."""
        self._worked.update(np.unique(routes).tolist())

    def failed(self, route: int, number: int) -> bool:
        """Note what the errno ends → should the connection be tried on another route?"""
        self._note(route, number, full=symptom_of(number).ends is Ends.PAIR)
        return symptom_of(number).ends is Ends.PAIR

    def _alive(self, routes: Routes) -> Routes:
        return routes[~np.isin(routes, list(self._ended))] if self._ended else routes

    def _note(self, route: int, number: int, *, full: bool) -> None:
        if full or route not in self._worked:
            self._ended.add(route)
            self.full_errno = number


class ExplicitRoutes(AutomaticRoutes):
    """We choose all four values: the i-th connection is `space[i]`, and one that is taken is left out."""

    def __init__(self, space: TupleSpace, share: Slice) -> None:
        super().__init__(space, share)
        self._next, self._stop = share.start, share.stop

    def take(self, count: int) -> tuple[Block, Routes]:
        while self._next < self._stop:
            start, self._next = self._next, min(self._stop, self._next + count)
            routes = (start % self._space.pairs + np.arange(self._next - start)) % self._space.pairs
            alive = np.isin(routes, list(self._ended), invert=True)
            if alive.any():
                return self._space.block(start, self._next).where(alive), routes[alive]
        return self._space.block(0, 0), np.zeros(0, np.int64)

    def failed(self, route: int, number: int) -> bool:
        taken = symptom_of(number).ends is Ends.PAIR  # this 4-tuple or its port, not the whole pair
        if taken:
            self.full_errno = number
        else:
            self._note(route, number, full=False)
        return taken
