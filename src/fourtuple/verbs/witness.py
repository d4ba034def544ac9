"""The kernel as a witness: the number of a run's connections at both ends, and their distribution over ports."""

import math
import time
from collections.abc import Callable, Iterable
from functools import partial

from fourtuple.core.runs.records import Witness
from fourtuple.core.runs.spread import Sharing, Spread
from fourtuple.core.sockets.ends import Ends, Tally
from fourtuple.core.sockets.table import Sockets, State
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.engine.control import TICK_S, Control, now_ns
from fourtuple.kernel.netlink.sockdiag import fold_sockets

STILL_S, SETTLE_S = 1.0, 5.0  # how long a differing count may stay unchanged, or settle, before it is final
GONE_S = 3.0  # how long the count may stay unchanged after closing before it is final
EVERY_ADDRESS = Ranges([range(2**128)])
ESTABLISHED = frozenset({State.ESTABLISHED})
WAITING = frozenset({State.TIME_WAIT})
IN_USE = frozenset(State) - {State.LISTEN, State.CLOSE, State.BOUND_INACTIVE, State.TIME_WAIT, State.NEW_SYN_RECV}


class TableWitness:
    """Counts the connections of a run in the kernel's table: those in `space`, excluding those that existed before.

    any_source: connections may come from any address, not only from those of the space
    here:       the other end is in this network namespace too
    sharing:    distribution over ports and pairs at the last count; None: not counted yet
    """

    def __init__(self, space: TupleSpace, *, any_source: bool, here: bool) -> None:
        self._space, self._any_source, self._here = space, any_source, here
        self._sources = EVERY_ADDRESS if any_source else space.sources
        self.sharing: Sharing | None = None
        fold = partial(Ends.of, destinations=space.destinations, sources=self._sources, ports=space.ports)
        self._before, self._by = fold_sockets(fold, IN_USE)
        self._waited, _ = fold_sockets(fold, WAITING)

    def count(self, states: frozenset[State]) -> Tally:
        """Count the connections in these states."""
        but = self._waited if states == WAITING else self._before
        tally, self._by = fold_sockets(lambda tables: self._tally(tables, but), states)
        return tally

    def _tally(
        self, tables: Iterable[Sockets], but: Ends, each: Callable[[Sockets], None] = lambda clients: None
    ) -> Tally:
        space = self._space
        return Tally.of(tables, space.destinations, self._sources, space.ports, but, each)

    def _spread(self) -> tuple[Tally, Sharing]:
        def fold(tables: Iterable[Sockets]) -> tuple[Tally, Sharing]:
            spread = Spread(self._space, any_source=self._any_source)
            return self._tally(tables, self._before, spread.add), spread.sharing()

        found, self._by = fold_sockets(fold, ESTABLISHED)
        return found

    def time_wait(self) -> int:
        """The number of sockets in TIME_WAIT, at the ends in this namespace."""
        left = self.count(WAITING)
        return left.client + (left.server if self._here else 0)

    def witness(self, held: int, control: Control) -> Witness:
        """Count established connections, again while the count differs from `held`: the far end may still be accepting.

        It stops when the count no longer changes, after SETTLE_S, or at Ctrl-C.
        """
        last: Witness | None = None
        start_ns = still_ns = now_ns()
        while True:
            ours, self.sharing = self._spread()
            server, accepted = (ours.server, ours.accepted) if self._here else (None, None)
            witness = Witness(ours.client, server, accepted, self._by)
            if witness != last:
                last, still_ns = witness, now_ns()
            agrees = {witness.client, witness.server, witness.accepted} <= {held, None}
            late = now_ns() - still_ns > STILL_S * 1e9 or now_ns() - start_ns > SETTLE_S * 1e9
            if agrees or late or control.interrupted:
                return witness
            time.sleep(TICK_S)

    def until_gone(self, control: Control) -> int:
        """Wait until no connection is left, excluding TIME_WAIT → how many are left.

        It stops when the number no longer changes, or at Ctrl-C.
        """
        least, still_ns, interrupted = math.inf, now_ns(), control.interrupted
        while True:
            ours = self.count(IN_USE)
            left = ours.client + (ours.server if self._here else 0)
            if left < least:
                least, still_ns = left, now_ns()
            late = now_ns() - still_ns > GONE_S * 1e9
            if not left or late or (control.interrupted and not interrupted):
                return left
            time.sleep(TICK_S)
