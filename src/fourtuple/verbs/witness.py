"""What the kernel's table says of a run's connections: how many there are, at both ends, and how they lie on ports."""

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

STILL_S, SETTLE_S = 1.0, 5.0  # how long the kernel's count may stand still, or take, before it is believed to differ
GONE_S = 3.0  # how long it may stand still after closing before what is left is said to stay
EVERY_ADDRESS = Ranges([range(2**128)])
ESTABLISHED = frozenset({State.ESTABLISHED})
WAITING = frozenset({State.TIME_WAIT})
IN_USE = frozenset(State) - {State.LISTEN, State.CLOSE, State.BOUND_INACTIVE, State.TIME_WAIT, State.NEW_SYN_RECV}


class TableWitness:
    """What the kernel's table says of our connections: of those in `space`, without what was there before.

    any_source: they may come from any address, not only from those of the space
    here:       the other end is in this network namespace too
    sharing:    how those that were counted last for the witness lay on ports and pairs
    """

    def __init__(self, space: TupleSpace, *, any_source: bool, here: bool) -> None:
        self._space, self._any_source, self._here = space, any_source, here
        self._sources = EVERY_ADDRESS if any_source else space.sources
        self.sharing: Sharing | None = None
        fold = partial(Ends.of, destinations=space.destinations, sources=self._sources, ports=space.ports)
        self._before, self._by = fold_sockets(fold, IN_USE)
        self._waited, _ = fold_sockets(fold, WAITING)

    def count(self, states: frozenset[State]) -> Tally:
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
        """How many are left in TIME_WAIT, at both ends that are here."""
        left = self.count(WAITING)
        return left.client + (left.server if self._here else 0)

    def witness(self, held: int, control: Control) -> Witness:
        """What is established now; counted again while it differs from `held`: the far end may be accepting.

        It is not waited for when it stands still, when it takes very long, or when the user has had enough.
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
        """Wait until none is left, TIME_WAIT aside → how many are.

        It is not waited for when the number stands still, or at Ctrl-C.
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
