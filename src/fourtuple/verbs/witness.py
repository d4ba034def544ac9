"""The kernel as a witness: the number of a run's own connections at both ends, and their distribution over ports."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.runs.orders import Watch
from fourtuple.core.runs.records import AcceptQueue, Sample, Witness
from fourtuple.core.runs.spread import Sharing, Spread
from fourtuple.core.sockets.columns import distinct
from fourtuple.core.sockets.ends import Ends, Tally, serving
from fourtuple.core.sockets.own import Own, identify
from fourtuple.core.sockets.table import SOCK_DIAG, SOCKET, Sockets, State, four_tuples
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.engine.control import TICK_S, Control, Cookies, now_ns
from fourtuple.kernel import process
from fourtuple.kernel.netlink.sockdiag import fold_sockets
from fourtuple.kernel.proc.owners import read_holders

_NONE: Cookies = np.zeros(0, np.uint64)
STILL_S, SETTLE_S = 1.0, 5.0  # how long a differing count may stay unchanged, or settle, before it is final
GONE_S = 3.0  # how long the count may stay unchanged after closing before it is final
QUEUES = 8  # listeners that are recorded
EVERY_ADDRESS = Ranges([range(2**128)])
ESTABLISHED = frozenset({State.ESTABLISHED})
WAITING = frozenset({State.TIME_WAIT})
IN_USE = frozenset(State) - {State.LISTEN, State.CLOSE, State.BOUND_INACTIVE, State.TIME_WAIT, State.NEW_SYN_RECV}


class Counting(Protocol):
    """A witness as a run needs it: TableWitness for TCP, UnixWitness (verbs/unix_witness.py) for Unix sockets.

    sharing, distinguishes, and the functions: as those of TableWitness
    """

    sharing: Sharing | None

    @property
    def distinguishes(self) -> bool: ...
    def look(self) -> Witness: ...
    def queues(self) -> tuple[AcceptQueue, ...]: ...
    def recount(self) -> int: ...
    def time_wait(self) -> int: ...
    def until_gone(self, control: Control) -> int: ...


class TableWitness:
    """Counts the connections of a run in the kernel's table: its own sockets, which sock_diag lists by their cookies.

    /proc/net/tcp has no cookies. There it counts the sockets in the run's tuple space that did not exist before, which
    may include those of other programs.

    here:    the other end is on this host
    cookies: the cookies of the run's sockets, as of their last identification
    closes:  the run also closes connections before its end. Their sockets in TIME_WAIT are no longer identified: all in
             the run's tuple space that were not there before are counted
    sharing: distribution over ports and pairs at the last count; None: not counted yet
    """

    def __init__(
        self, space: TupleSpace, *, any_source: bool, here: bool, cookies: Callable[[], Cookies], closes: bool = False
    ) -> None:
        """Take the first readings.

        any_source: connections may come from any address, not only from those of the space
        """
        self._space, self._any_source, self._here, self._cookies = space, any_source, here, cookies
        self._closes = closes
        self._sources = EVERY_ADDRESS if any_source else space.sources
        self.sharing: Sharing | None = None
        self._own = Own(_NONE, _NONE)
        _, self._by = fold_sockets(_all, {State.LISTEN})
        self._listeners = np.zeros(0, SOCKET)
        fold = partial(Ends.of, destinations=space.destinations, sources=self._sources, ports=space.ports)
        if self._by != SOCK_DIAG:
            self._before, _ = fold_sockets(fold, IN_USE)
        if self._by != SOCK_DIAG or closes:
            self._waited, _ = fold_sockets(fold, WAITING)

    @property
    def distinguishes(self) -> bool:
        """Whether only the run's own sockets are counted."""
        return self._by == SOCK_DIAG

    def look(self) -> Witness:
        """Count the established connections, both ends where they are visible."""
        spread = partial(Spread, self._space, any_source=self._any_source)
        if self.distinguishes:
            # At most a few own sockets of the last count are gone by now, and their other ends perhaps still there.
            ((tally, own), self.sharing), _ = fold_sockets(
                lambda tables: self._identified(tables, spread()), ESTABLISHED
            )
            self._own = Own(_NONE, distinct(own.server, self._own.server))  # `refresh` takes the client's in
        else:
            (tally, self.sharing), _ = fold_sockets(lambda tables: self._in_space(tables, spread()), ESTABLISHED)
        if not self._here:
            return Witness(tally.client, None, None, self._by)
        self._listeners, _ = fold_sockets(_all, {State.LISTEN})
        self._listeners = self._listeners[serving(self._listeners, self._space.destinations)]
        if not (len(self._listeners) or tally.server):  # a packet filter sends them to another host or namespace
            return Witness(tally.client, None, None, self._by)
        return Witness(tally.client, tally.server, tally.accepted, self._by)

    def queues(self) -> tuple[AcceptQueue, ...]:
        """The accept queues of the last `look`, the longest first, and the processes that have them."""
        return accept_queues(self._listeners, self._by)

    def _identified(self, tables: Iterable[Sockets], spread: Spread) -> tuple[tuple[Tally, Own], Sharing]:
        found = identify(tables, self._cookies(), self._space.destinations, spread.add)
        return found, spread.sharing()

    def _in_space(self, tables: Iterable[Sockets], spread: Spread) -> tuple[Tally, Sharing]:
        space = self._space
        tally = Tally.of(tables, space.destinations, self._sources, space.ports, self._before, spread.add)
        return tally, spread.sharing()

    def refresh(self) -> None:
        """Take in sockets that were identified since the last `look`."""
        self._own = replace(self._own, client=np.sort(self._cookies()))

    def count(self, states: frozenset[State]) -> Tally:
        """Count the sockets in these states: the run's own, and the other ends found by the last `look`."""
        if self.distinguishes and not (self._closes and states == WAITING):
            return fold_sockets(self._own.count, states)[0]
        space, but = self._space, self._waited if states == WAITING else self._before
        fold = partial(Tally.of, destinations=space.destinations, sources=self._sources, ports=space.ports, but=but)
        return fold_sockets(fold, states)[0]

    def recount(self) -> int:
        """The number of established connections at the client's end, with those that were opened again."""
        self.refresh()
        return self.count(ESTABLISHED).client

    def time_wait(self) -> int:
        """The number of sockets in TIME_WAIT, at the ends in this namespace."""
        left = self.count(WAITING)
        return left.client + (left.server if self._here else 0)

    def until_gone(self, control: Control) -> int:
        """Wait until no connection is left, excluding TIME_WAIT → how many are left.

        It stops when the number no longer changes, or at Ctrl-C.
        """
        self.refresh()

        def left() -> int:
            ours = self.count(IN_USE)
            return ours.client + (ours.server if self._here else 0)

        return until_gone(left, control)


def until_gone(count: Callable[[], int], control: Control) -> int:
    """Wait until `count` is 0, no longer changes, or at Ctrl-C → what it is then."""
    least, still_ns, interrupted = math.inf, now_ns(), control.interrupted
    while True:
        left = count()
        if left < least:
            least, still_ns = left, now_ns()
        late = now_ns() - still_ns > GONE_S * 1e9
        if not left or late or (control.interrupted and not interrupted):
            return left
        time.sleep(TICK_S)


class Settling:
    """Counts step by step, between samples, until engine and kernel agree or their counts no longer change.

    Each step asks the workers which sockets are theirs, and counts these in the kernel's table once all have answered.
    A run goes on meanwhile: data and ends that arrived are noticed. If the kernel lists fewer than the engine, and
    connections are not polled, the engine checks all of them.
    """

    def __init__(
        self,
        witness: "Counting",
        control: Control,
        watch: Watch,
        wanted: int | None = None,
        stays_until_ns: int | None = None,
    ) -> None:
        """Begin.

        wanted: how many must be open before the counts are final, if there is time; None: any number
        stays_until_ns: from then on the number changes as planned, and a count is final that lies between those of the
                        engine before and after it; None: it does not change
        """
        self._stays_until_ns = stays_until_ns
        self._witness, self._control, self._watch, self._wanted = witness, control, watch, wanted
        self._start_ns = self._still_ns = now_ns()
        self._asked: int | None = None
        self._asked_at: Sample | None = None
        # With the samples at which the workers were asked, and after which it was counted.
        self._counted: tuple[Witness, Sample, Sample] | None = None
        self._before: tuple[object, ...] = ()

    def step(self, sample: Sample) -> Witness | None:
        """Take in a sample → the final count; None: not yet, to be called again with the next sample."""
        if self._counted is not None:
            witness = _beside(*self._counted, sample)
            self._counted = None
            if self._is_final(witness, sample):
                return replace(witness, queues=self._witness.queues())
        if self._asked is None:
            self._asked, self._asked_at = self._control.identify(), sample
            return None
        if sample.identified < self._asked and not self._late():
            return None
        self._asked = None
        self._counted = self._witness.look(), self._asked_at or sample, sample
        process.give_back_memory()  # the tables took several times as much as what is kept of them
        return None

    def _is_final(self, witness: Witness, sample: Sample) -> bool:
        found = (witness.client, witness.server, witness.accepted, sample.open)
        if found != self._before:
            self._before, self._still_ns = found, now_ns()
        enough = self._wanted is None or sample.open >= self._wanted
        if enough and {witness.client, witness.server, witness.accepted} <= {sample.open, None}:
            return True
        if self._stays_until_ns and now_ns() >= self._stays_until_ns and _is_between(witness):
            return True
        if self._watch is not Watch.POLL and (witness.client < sample.open or not self._witness.distinguishes):
            self._control.look()
        return self._control.interrupted or self._late()

    def _late(self) -> bool:
        return now_ns() - self._still_ns > STILL_S * 1e9 or now_ns() - self._start_ns > SETTLE_S * 1e9


def _beside(witness: Witness, asked: Sample, before: Sample, after: Sample) -> Witness:
    """The count with what the engine held at that time: between two samples, connections may come and go.

    asked: the sample at which the workers were asked for their sockets; later ones are not counted
    """
    gone = after.lost - before.lost + after.closed - before.closed
    least = min(before.open - gone, after.open) - (_came(before) - _came(asked))
    most = max(before.open + _came(after) - _came(before), after.open)
    return replace(witness, least=least, most=most)


def _came(sample: Sample) -> int:
    """How many connections have been opened so far, every time they were."""
    return sample.opened + sample.reconnected + sample.replaced


def _is_between(witness: Witness) -> bool:
    least, most = witness.least or 0, witness.most or 0
    return all(
        least <= count <= most for count in (witness.client, witness.server, witness.accepted) if count is not None
    )


def accept_queues(listeners: Sockets, by: str) -> tuple[AcceptQueue, ...]:
    """The accept queues of these listeners, the longest first, at most QUEUES; by: the source of the listing."""
    order = np.argsort(-listeners["recv_q"].astype(np.int64), kind="stable")[:QUEUES]
    rows = listeners[order]
    names = holders_of(rows["inode"], rows["uid"])
    backlogs = rows["send_q"].tolist() if by == SOCK_DIAG else [0] * len(rows)
    return tuple(
        AcceptQueue(str(ends.source), waiting, backlog, pid, name)
        for ends, waiting, backlog, (pid, name) in zip(
            four_tuples(rows), rows["recv_q"].tolist(), backlogs, names, strict=True
        )
    )


def holders_of(inodes: NDArray[np.uint32], uids: NDArray[np.uint32]) -> list[tuple[int | None, str]]:
    """(PID, name) of a process that has each of these sockets; (None, ""): not visible."""
    holders = read_holders(inodes)
    codes = holders.codes(inodes, uids).tolist()
    return [holders.processes[code] if code < len(holders.processes) else (None, "") for code in codes]


def _all(tables: Iterable[Sockets]) -> Sockets:
    return np.concatenate([np.zeros(0, SOCKET), *tables])
