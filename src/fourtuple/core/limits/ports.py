"""How many more connections the source ports have room for: for each source address and destination, by strategy.

The kernel reports nearly everything that is needed. It does not report whether the port of a connected socket was
chosen by connect(), so that others may share it, or by bind(address, 0), which keeps it from every automatic choice in
the namespace. Such ports are *unattributed*: they count as lost in `room.least`, and as free in `room.most`.

The rules are those of net/ipv4/inet_hashtables.c (__inet_hash_connect) and inet_connection_sock.c (inet_csk_get_port),
v6.18:

- A plain connect() takes the first port of the range, less the reserved ones, that no socket in the namespace got by
  bind() or listen(), on whatever address, and whose 4-tuple does not exist yet. It looks at every second port first,
  then at the others; of an odd number of ports it leaves out one, the lowest or the highest. With IP_LOCAL_PORT_RANGE,
  from Linux 6.8 on, it looks at all in turn.
- bind(address, 0) takes one that no socket on this address or on the wildcard has, whatever it is connected to.
- bind(address, port) with SO_REUSEADDR needs that no socket there listens, and that all have SO_REUSEADDR.
- A 4-tuple in TIME_WAIT is taken over as net.ipv4.tcp_tw_reuse says; after an explicit bind() at once.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from fourtuple.core.limits.attribution import Connected, is_reusable
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.pools import OwnedPorts, PerPool, Pools, pooled, searched
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.sockets.columns import Mask, Numbers, is_wildcard, numbers_among, port_mask
from fourtuple.core.sockets.ends import destination_numbers
from fourtuple.core.sockets.table import MAPPED, SOCKET, Chosen, Sockets, State
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.tuples import TupleSpace

MOST_ROUTES = 10_000  # that are listed one by one; all are counted


@dataclass(frozen=True, slots=True)
class Route:
    """What one source address has left towards one destination.

    source, destination: None: any that has no connection yet
    ceiling:             how many connections there can be at once
    in_use:              4-tuples that are taken; with bind(address, 0): ports, which all destinations share
    """

    source: str | None
    destination: str | None
    strategy: Strategy
    ceiling: int
    in_use: int
    room: Interval


@dataclass(frozen=True, slots=True)
class PortRoom:
    """All routes together.

    routes:  the first of them, at most MOST_ROUTES
    because: why `room` is not exact, if it is not
    blocked: ports of the range that connect() cannot choose, because a socket got them by bind() or listen()
    unattributed: ports of the range of which the kernel does not report what chose them
    waiting: 4-tuples of these routes in TIME_WAIT that cannot be taken over yet
    """

    pairs: int
    ceiling: int
    in_use: int
    room: Interval
    routes: tuple[Route, ...]
    because: tuple[str, ...]
    blocked: int
    unattributed: int
    waiting: int

    @classmethod
    def together(cls, parts: Sequence[Self]) -> Self:
        """Of routes from different sources, in one namespace."""
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
        )


@dataclass(frozen=True)
class PortUse:
    """What the sockets of a namespace do to its source ports. Fold one with `PortUse.of`.

    space:   the question: from which sources to which destinations
    listens: the sockets that listen, anywhere
    bound:   ports got by bind() or listen(), by a socket on whatever address
    unattributed: ports perhaps got by bind(address, 0): of connected sockets, and of TIME_WAIT
    local:   the sockets on the source addresses or on a wildcard
    towards: those of them whose other end is one of the destinations
    pairs:   which pair of the space each of these belongs to
    """

    space: TupleSpace
    bound: Mask
    unattributed: Mask
    local: Sockets
    towards: Sockets
    pairs: Numbers
    listens: Sockets

    @classmethod
    def of(cls, tables: Iterable[Sockets], space: TupleSpace) -> Self:
        """tables: the sockets of the namespace in every state"""
        bound = np.zeros(65536, bool)
        others, local, listens = [], [], []
        for table in tables:
            is_bound = (table["chosen"] == Chosen.BOUND) | np.isin(table["state"], (State.LISTEN, State.CLOSE))
            bound[table["local_port"][is_bound]] = True
            listens.append(table[table["state"] == State.LISTEN])
            others.append(Connected.of(table[~is_bound & (table["state"] != State.NEW_SYN_RECV)]))
            local.append(table[(numbers_among(table["local"], space.sources) >= 0) | is_wildcard(table["local"])])
        rows = _joined(local)
        source = numbers_among(rows["local"], space.sources)
        destination = destination_numbers(rows, space.destinations)
        ours = (source >= 0) & (destination >= 0)
        pairs = (source * space.destinations.size + destination)[ours]
        return cls(
            space, bound, Connected.unattributed_ports(others) & ~bound, rows, rows[ours], pairs, _joined(listens)
        )

    def room(self, facts: PortFacts, strategy: Strategy, *, anywhere: bool = False) -> PortRoom:
        """anywhere: the space's source and destination stand for any that have no connection yet"""
        if strategy is Strategy.EXPLICIT:
            rooms = self._explicit(facts)
        elif strategy is Strategy.BIND0:
            rooms = self._bound_first(facts)
        else:
            rooms = self._automatic(facts, in_turn=strategy is Strategy.LATE and facts.range_is_quick)
        room = Interval(rooms.least.total(rooms.pools), rooms.most.total(rooms.pools))
        automatic = facts.automatic_ports.mask
        waiting = self.towards["state"] == State.TIME_WAIT
        if strategy is Strategy.EXPLICIT:
            waiting &= not facts.timestamps
        elif strategy is not Strategy.BIND0:
            waiting &= ~is_reusable(self.towards, facts)
        return PortRoom(
            pairs=self.space.pairs,
            ceiling=rooms.ceiling * rooms.pools,
            in_use=rooms.in_use.total,
            room=room,
            routes=tuple(self._routes(rooms, strategy, anywhere=anywhere)),
            because=() if room.exact else rooms.because,
            blocked=int((self.bound & automatic).sum()),
            unattributed=int((self.unattributed & automatic).sum()),
            waiting=int(waiting.sum()),
        )

    def probed(self, asked: Mask, blocked: Mask) -> Self:
        """What is known after these ports were asked for: the blocked ones are bound, none is unattributed."""
        return replace(self, bound=self.bound | blocked, unattributed=self.unattributed & ~asked)

    @property
    def owned(self) -> Mask:
        """Ports that a socket on one of the source addresses, or on a wildcard, has in whatever way."""
        return port_mask(self.local["local_port"])

    def _automatic(self, facts: PortFacts, *, in_turn: bool) -> Pools:
        ports = searched(facts, in_turn=in_turn) & ~self.bound
        kept = ~is_reusable(self.towards, facts)
        rows = OwnedPorts(self.pairs[kept], self.towards["local_port"][kept])
        unsure = "the kernel does not report whether connect() or bind() chose the port of a connected socket"
        return pooled(self.space.pairs, 1, ports, ports & ~self.unattributed, rows, None if in_turn else facts, unsure)

    def _bound_first(self, facts: PortFacts) -> Pools:
        own, owners, everyones = self._owned()
        theirs, perhaps = self._wildcards(everyones)
        ports = searched(facts, in_turn=False) & ~theirs
        unsure = "an IPv6 socket on :: may have its port of IPv4 too"
        rows = OwnedPorts(owners, own["local_port"])
        each = self.space.destinations.size
        return pooled(self.space.sources.size, each, ports, ports & ~perhaps, rows, facts, unsure)

    def _explicit(self, facts: PortFacts) -> Pools:
        own, owners, everyones = self._owned()
        theirs, perhaps = self._wildcards(everyones)
        listening, _unsure = self._wildcards(everyones[everyones["state"] == State.LISTEN])
        ports = self.space.ports.mask & ~listening
        if not facts.any_port:
            ports[: facts.unprivileged_start] = False
        sure = ports & ~theirs & ~perhaps
        is_listener = own["state"] == State.LISTEN
        listeners = OwnedPorts(owners[is_listener], own["local_port"][is_listener])
        each = self.space.destinations.size
        kept = ~((self.towards["state"] == State.TIME_WAIT) & facts.timestamps)  # an explicit bind() takes that over
        kept &= ~listeners.contain(self.pairs // each, self.towards["local_port"])  # that port is lost already
        in_use = OwnedPorts(self.pairs[kept], self.towards["local_port"][kept]).counted(ports)
        return Pools(
            pools=self.space.pairs,
            destinations=1,
            ceiling=int(ports.sum()),
            in_use=in_use,
            most=PerPool(int(ports.sum()), ((each, listeners.counted(ports)), (1, in_use))),
            least=PerPool(int(sure.sum()), ((each, OwnedPorts(owners, own["local_port"]).counted(sure)),)),
            because=("the kernel does not report whether the sockets on these ports share them (SO_REUSEADDR)",),
        )

    def _owned(self) -> tuple[Sockets, Numbers, Sockets]:
        """(the sockets on the source addresses, the number of each one's source, those on a wildcard)"""
        source = numbers_among(self.local["local"], self.space.sources)
        return self.local[source >= 0], source[source >= 0], self.local[source < 0]

    def _wildcards(self, rows: Sockets) -> tuple[Mask, Mask]:
        """(ports that these have for the sources' IP version too, ports that they perhaps have)

        0.0.0.0 is of IPv4 alone; :: is of IPv4 too if the socket is not IPV6_V6ONLY, which a table does not contain.
        """
        is_ipv4 = rows["local"] == np.void(MAPPED + bytes(4))
        if self.space.version == 6:
            return port_mask(rows["local_port"][~is_ipv4]), np.zeros(65536, bool)
        return port_mask(rows["local_port"][is_ipv4]), port_mask(rows["local_port"][~is_ipv4])

    def _routes(self, rooms: Pools, strategy: Strategy, *, anywhere: bool) -> Iterator[Route]:
        """In the order of the pairs."""
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
