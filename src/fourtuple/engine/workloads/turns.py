"""Where the connections of a churn go: to all routes in turn, for ever, because what is closed can be opened again."""

import numpy as np

from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.slices import Slice
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.core.space.unix import UnixSpace
from fourtuple.engine.loops.contract import Targets
from fourtuple.engine.workloads.routes import Ways


class Turns:
    """The pairs of a source and a destination take turns; if we choose the ports, the 4-tuples of the share do."""

    def __init__(self, space: TupleSpace | UnixSpace, share: Slice, strategy: Strategy) -> None:
        self._space, self._first = space, share.start
        self._explicit = space if strategy is Strategy.EXPLICIT and isinstance(space, TupleSpace) else None
        self._count = share.stop - share.start if self._explicit else space.pairs
        self._turn = 0

    def take(self, count: int) -> tuple[Targets, Ways]:
        """The next `count` connections → (block, their ways as in routes.py)."""
        turns = (self._turn + np.arange(count)) % self._count
        self._turn = (self._turn + count) % self._count
        if self._explicit:
            return self._explicit.rows(self._first + turns), self._first + turns
        pairs = (self._first + turns) % self._space.pairs
        return self._space.pair_block(pairs), pairs
