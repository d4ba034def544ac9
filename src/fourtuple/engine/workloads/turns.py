"""Where the connections of a churn go: to all routes in turn, for ever, because what is closed can be opened again."""

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.slices import Slice
from fourtuple.core.space.tuples import Block, TupleSpace


class Turns:
    """The pairs of a source and a destination take turns; if we choose the ports, the 4-tuples of the share do."""

    def __init__(self, space: TupleSpace, share: Slice, strategy: Strategy) -> None:
        self._space, self._first = space, share.start
        self._explicit = strategy is Strategy.EXPLICIT
        self._count = share.stop - share.start if self._explicit else space.pairs
        self._turn = 0

    def take(self, count: int) -> tuple[Block, NDArray[np.int64]]:
        """The next `count` connections → (block, their ways as in routes.py)."""
        turns = (self._turn + np.arange(count)) % self._count
        self._turn = (self._turn + count) % self._count
        if self._explicit:
            return self._space.rows(self._first + turns), self._first + turns
        pairs = (self._first + turns) % self._space.pairs
        return self._space.pair_block(pairs), pairs
