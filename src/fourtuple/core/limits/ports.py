"""How many more connections the source ports have room for: for each source address and destination, by strategy.

The kernel reports nearly everything that is needed. What it does not report counts against `room.least`, and not
against `room.most`:

- Whether the port of a connected socket was chosen by connect(), so that others may share it, or by bind(address, 0),
  which keeps it from every automatic choice in the namespace. Such ports are *unattributed*. Where the kernel keeps a
  port so after the socket that bound it has closed (before BIND_RELEASED), every port of a connected socket is.
- Before BOUND_ARE_LISTED: which ports sockets have that are only bound. They are *hidden*; their number has a bound.
- Before TW_REUSE_IN_MS: whether a 4-tuple that is in TIME_WAIT for less than 1 s can be reused.

The rules are those of net/ipv4/inet_hashtables.c (__inet_hash_connect) and inet_connection_sock.c (inet_csk_get_port),
v6.18:

- A plain connect() takes the first unreserved port of the range that no socket in the namespace got by bind() or
  listen(), on any address, and whose 4-tuple does not exist yet. It tries every second port first, then the others; if
  the range has an odd number of ports, it skips one, the lowest or the highest. With IP_LOCAL_PORT_RANGE, since
  Linux 6.8, it tries all in turn.
- bind(address, 0) takes a port that no socket on this address or on the wildcard has, whatever that is connected to.
- bind(address, port) with SO_REUSEADDR needs a port without a listener there, whose sockets all have SO_REUSEADDR.
- A 4-tuple in TIME_WAIT is reused according to net.ipv4.tcp_tw_reuse; after an explicit bind(), at once.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field, replace

import numpy as np

from fourtuple.core.backports import Self
from fourtuple.core.limits.attribution import NOT_ATTRIBUTED, NOT_RELEASED, Connected, not_listed
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.pools import NOTHING_HIDDEN, Hidden, OwnedPorts, PerPool, Pools, pooled, searched
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.time_wait import TIME_WAIT_MS, Reuse, kept_ms, reuse_of
from fourtuple.core.record import dataclass
from fourtuple.core.sockets.columns import Mask, Numbers, in_states, is_wildcard, numbers_among, port_mask
from fourtuple.core.sockets.ends import destination_numbers
from fourtuple.core.sockets.table import MAPPED, SOCKET, Chosen, Sockets, State
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.tuples import TupleSpace

MOST_ROUTES = 10_000  # routes that are listed one by one; all are counted


def _no_ports() -> Mask:
    return np.zeros(65536, bool)


@dataclass(frozen=True, slots=True)
class Route:
    """The room from one source address to one destination.

    source, destination: None: any pair that has no connection yet
    ceiling:             connections possible at the same time
    in_use:              4-tuples in use; with bind(address, 0): ports in use, which all destinations share
    """

    source: str | None
    destination: str | None
    strategy: Strategy
    ceiling: int
    in_use: int
    room: Interval


@dataclass(frozen=True, slots=True)
class PortRoom:
    """The room of all routes together.

    routes:  the first routes, at most MOST_ROUTES
    because: the reasons why `room` is not exact; empty: it is exact
    blocked: ports of the range that connect() cannot choose, because a socket got them by bind() or listen()
    unattributed: ports of the range for which the kernel does not report what chose them
    hidden:  at most so many ports of the range are held by sockets that the kernel does not list
    waiting: 4-tuples of these routes in TIME_WAIT that cannot be reused yet
    kept_ms: how long a connection in TIME_WAIT keeps its 4-tuple, at most
    """

    pairs: int
    ceiling: int
    in_use: int
    room: Interval
    routes: tuple[Route, ...]
    because: tuple[str, ...]
    blocked: int
    unattributed: int
    hidden: int
    waiting: int
    kept_ms: int = TIME_WAIT_MS

    @classmethod
    def together(cls, parts: Sequence[Self]) -> Self:
        """The sum over routes from different sources in one namespace."""
        first = parts[0]
        return replace(
            first,
            pairs=sum(part.pairs for part in parts),
            ceiling=sum(part.ceiling for part in parts),
            in_use=sum(part.in_use for part in parts),
            room=Interval.total(part.room for part in parts),
            routes=tuple(itertools.chain.from_iterable(part.routes for part in parts))[:MOST_ROUTES],
            because=tuple(dict.fromkeys(itertools.chain.from_iterable(part.because for part in parts))),
            waiting=sum(part.waiting for part in parts),
            kept_ms=max(part.kept_ms for part in parts),
        )


@dataclass(frozen=True)
class PortUse:
    """How the sockets of a namespace use its source ports. Make one with `PortUse.of`.

    space:   the sources and destinations in question
    listens: the listening sockets, on any address
    bound:   ports that a socket on any address got by bind() or listen(); a mask of all 65,536
    connected: ports of the other sockets, in any state but NEW_SYN_RECV; a mask of all 65,536
    unattributed: those of them that bind(address, 0) may have chosen
    local:   the sockets on the source addresses or on a wildcard
    towards: the sockets of `local` whose other end is one of the destinations
    pairs:   for each socket of `towards`, the number of its pair in the space
    hidden:  at most so many sockets are only bound, and not among the tables
    asked:   ports that were tested, none of which a hidden socket has, unless it is in `held`
    held:    ports of `bound` that no socket of the tables explains
    """

    space: TupleSpace
    bound: Mask
    connected: Mask
    unattributed: Mask
    local: Sockets
    towards: Sockets
    pairs: Numbers
    listens: Sockets
    hidden: int = 0
    asked: Mask = field(default_factory=_no_ports)
    held: Mask = field(default_factory=_no_ports)

    @classmethod
    def of(cls, tables: Iterable[Sockets], space: TupleSpace) -> Self:
        """The port use that follows from tables of sockets. tables: the sockets of the namespace in every state"""
        bound = np.zeros(65536, bool)
        others, local, listens = [], [], []
        for table in tables:
            is_bound = (table["chosen"] == Chosen.BOUND) | in_states(table["state"], (State.LISTEN, State.CLOSE))
            bound[table["local_port"][is_bound]] = True
            listens.append(table[table["state"] == State.LISTEN])
            others.append(Connected.of(table[~is_bound & (table["state"] != State.NEW_SYN_RECV)]))
            local.append(table[(numbers_among(table["local"], space.sources) >= 0) | is_wildcard(table["local"])])
        rows = _joined(local)
        source = numbers_among(rows["local"], space.sources)
        destination = destination_numbers(rows, space.destinations)
        ours = (source >= 0) & (destination >= 0)
        pairs = (source * space.destinations.size + destination)[ours]
        connected = port_mask(np.concatenate([np.zeros(0, np.uint16), *(each.ends["port"] for each in others)]))
        return cls(
            space=space,
            bound=bound,
            connected=connected & ~bound,
            unattributed=Connected.unattributed_ports(others) & ~bound,
            local=rows,
            towards=rows[ours],
            pairs=pairs,
            listens=_joined(listens),
        )

    def room(self, facts: PortFacts, strategy: Strategy, *, anywhere: bool = False) -> PortRoom:
        """The room by one strategy.

        anywhere: the space's source and destination represent any pair that has no connection yet
        """
        if strategy is Strategy.EXPLICIT:
            rooms = self._explicit(facts)
        elif strategy is Strategy.BIND0:
            rooms = self._bound_first(facts)
        else:
            rooms = self._automatic(facts, in_turn=strategy is Strategy.LATE and facts.range_is_quick)
        hidden = rooms.least.hidden.most
        room = Interval(rooms.least.total(rooms.pools), rooms.most.total(rooms.pools))
        automatic = facts.automatic_ports.mask
        waiting = self.towards["state"] == State.TIME_WAIT
        if strategy is Strategy.EXPLICIT:
            waiting &= not facts.timestamps
        elif strategy is not Strategy.BIND0:
            waiting &= reuse_of(self.towards, facts) != Reuse.YES
        return PortRoom(
            pairs=self.space.pairs,
            ceiling=rooms.ceiling * rooms.pools,
            in_use=rooms.in_use.total,
            room=room,
            routes=tuple(self._routes(rooms, strategy, anywhere=anywhere)),
            because=() if room.exact else (*rooms.because, *([not_listed(hidden)] if hidden else [])),
            blocked=int((self.bound & automatic).sum()),
            unattributed=int((self.not_attributed(facts) & automatic).sum()),
            hidden=hidden,
            waiting=int(waiting.sum()),
            kept_ms=self._kept_ms(facts, strategy),
        )

    def _kept_ms(self, facts: PortFacts, strategy: Strategy) -> int:
        if strategy is Strategy.BIND0:
            return TIME_WAIT_MS  # bind() takes no port that a socket in TIME_WAIT got by bind()
        if strategy is Strategy.EXPLICIT:
            return 0 if facts.timestamps else TIME_WAIT_MS
        return kept_ms(facts, loopback=self.space.stays_on_loopback)

    def not_attributed(self, facts: PortFacts) -> Mask:
        """(65536,): ports of connected sockets that connect() may be unable to choose for other destinations."""
        return self.unattributed if facts.bind_is_released else self.connected

    def unsure(self, facts: PortFacts) -> Mask:
        """(65536,): ports of the range that have to be tested, to know exactly which ones connect() can choose."""
        unsure = self.not_attributed(facts) if not self.hidden else ~self.bound & ~self.asked
        return facts.automatic_ports.mask & unsure

    def probed(self, asked: Mask, blocked: Mask) -> Self:
        """The port use after `asked` ports were tested: the blocked ones are bound, none of them is unattributed."""
        return replace(
            self,
            bound=self.bound | blocked,
            connected=self.connected & ~asked,
            unattributed=self.unattributed & ~asked,
            asked=self.asked | asked,
            held=self.held | (blocked & ~self.bound),
        )

    @property
    def owned(self) -> Mask:
        """Mask of the ports of all sockets on one of the source addresses or on a wildcard."""
        return port_mask(self.local["local_port"])

    def _automatic(self, facts: PortFacts, *, in_turn: bool) -> Pools:
        ports = searched(facts, in_turn=in_turn) & ~self.bound
        reuse = reuse_of(self.towards, facts)
        rows, fewest = (
            OwnedPorts(self.pairs[kept], self.towards["local_port"][kept])
            for kept in (reuse != Reuse.YES, reuse == Reuse.NO)
        )
        sure = ports & ~self.not_attributed(facts)
        return pooled(
            self.space.pairs,
            1,
            ports,
            sure,
            rows,
            fewest,
            hidden=self._hidden(sure, rows),
            odd=None if in_turn else facts,
            unsure=NOT_ATTRIBUTED if facts.bind_is_released else NOT_RELEASED,
        )

    def _hidden(self, ports: Mask, rows: OwnedPorts) -> Hidden:
        """Which of these ports hidden sockets may have. rows: the sockets that take ports from them anyway"""
        if not self.hidden:
            return NOTHING_HIDDEN
        places = ports & (self.held | ~self.asked)
        among = int(places.sum())
        return Hidden(min(self.hidden, among), among, rows.counted(places))

    def _bound_first(self, facts: PortFacts) -> Pools:
        own, owners, everyones = self._owned()
        theirs, perhaps = self._wildcards(everyones)
        ports = searched(facts, in_turn=False) & ~theirs
        sure = ports & ~perhaps
        rows = OwnedPorts(owners, own["local_port"])
        return pooled(
            self.space.sources.size,
            self.space.destinations.size,
            ports,
            sure,
            rows,
            rows,
            hidden=self._hidden(sure, rows),
            odd=facts,
            unsure="an IPv6 socket on :: may occupy its port for IPv4 too",
        )

    def _explicit(self, facts: PortFacts) -> Pools:
        own, owners, everyones = self._owned()
        theirs, perhaps = self._wildcards(everyones)
        listening, _unsure = self._wildcards(everyones[everyones["state"] == State.LISTEN])
        ports = self.space.ports.mask & ~listening
        if not facts.any_port:
            ports[: facts.unprivileged_start] = False
        sure = ports & ~theirs & ~perhaps
        rows = OwnedPorts(owners, own["local_port"])
        is_listener = own["state"] == State.LISTEN
        listeners = OwnedPorts(owners[is_listener], own["local_port"][is_listener])
        each = self.space.destinations.size
        kept = ~((self.towards["state"] == State.TIME_WAIT) & facts.timestamps)  # an explicit bind() reuses it
        kept &= ~listeners.contain(self.pairs // each, self.towards["local_port"])  # already counted as lost
        in_use = OwnedPorts(self.pairs[kept], self.towards["local_port"][kept]).counted(ports)
        return Pools(
            pools=self.space.pairs,
            destinations=1,
            ceiling=int(ports.sum()),
            in_use=in_use,
            most=PerPool(int(ports.sum()), ((each, listeners.counted(ports)), (1, in_use))),
            least=PerPool(int(sure.sum()), ((each, rows.counted(sure)),), self._hidden(sure, rows)),
            because=("the kernel does not report whether the sockets on these ports share them (SO_REUSEADDR)",),
        )

    def _owned(self) -> tuple[Sockets, Numbers, Sockets]:
        """The sockets on the source addresses, the number of each one's source, and the sockets on a wildcard."""
        source = numbers_among(self.local["local"], self.space.sources)
        return self.local[source >= 0], source[source >= 0], self.local[source < 0]

    def _wildcards(self, rows: Sockets) -> tuple[Mask, Mask]:
        """Masks of the ports that these sockets occupy in the sources' IP version, and of those that they may occupy.

        0.0.0.0 is IPv4 only; :: includes IPv4 unless the socket is IPV6_V6ONLY, which a table does not contain.
        """
        is_ipv4 = rows["local"] == np.void(MAPPED + bytes(4))
        if self.space.version == 6:
            return port_mask(rows["local_port"][~is_ipv4]), np.zeros(65536, bool)
        return port_mask(rows["local_port"][is_ipv4]), port_mask(rows["local_port"][~is_ipv4])

    def _routes(self, rooms: Pools, strategy: Strategy, *, anywhere: bool) -> Iterator[Route]:
        """The first routes, in the order of the pairs."""
        space = self.space
        for pair in range(min(space.pairs, MOST_ROUTES)):
            source, destination = divmod(pair, space.destinations.size)
            address, port = space.destinations[destination]
            pool = pair // rooms.destinations
            yield Route(
                source=None if anywhere else str(space.address(space.sources[source])),
                destination=None if anywhere else str(Endpoint(space.address(address), port)),
                strategy=strategy,
                ceiling=rooms.ceiling,
                in_use=rooms.in_use.by_owner.get(pool, 0),
                room=Interval(rooms.least.of(pool), rooms.most.of(pool)),
            )


def _joined(tables: list[Sockets]) -> Sockets:
    return np.concatenate([np.zeros(0, SOCKET), *tables])
