"""How many more connections the source ports have room for: for each source address and destination, by strategy.

The kernel reports nearly everything that is needed. It does not report whether the port of a connected socket was
chosen by connect(), so that others may share it, or by bind(address, 0), which keeps it from every automatic choice in
the namespace. Such ports are *unattributed*: they count as lost in `room.least`, and as free in `room.most`.

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
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from fourtuple.core.limits.attribution import Connected
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.pools import OwnedPorts, PerPool, Pools, pooled, searched
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.time_wait import is_reusable
from fourtuple.core.sockets.columns import Mask, Numbers, is_wildcard, numbers_among, port_mask
from fourtuple.core.sockets.ends import destination_numbers
from fourtuple.core.sockets.table import MAPPED, SOCKET, Chosen, Sockets, State
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.tuples import TupleSpace

MOST_ROUTES = 10_000  # routes that are listed one by one; all are counted


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
    waiting: 4-tuples of these routes in TIME_WAIT that cannot be reused yet
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
        )


@dataclass(frozen=True)
class PortUse:
    """How the sockets of a namespace use its source ports. Make one with `PortUse.of`.

    space:   the sources and destinations in question
    listens: the listening sockets, on any address
    bound:   ports that a socket on any address got by bind() or listen(); a mask of all 65,536
    unattributed: ports of connected or TIME_WAIT sockets that bind(address, 0) may have chosen; a mask of all 65,536
    local:   the sockets on the source addresses or on a wildcard
    towards: the sockets of `local` whose other end is one of the destinations
    pairs:   for each socket of `towards`, the number of its pair in the space
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
        """The port use that follows from tables of sockets. tables: the sockets of the namespace in every state"""
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
        """The room by one strategy.

        anywhere: the space's source and destination represent any pair that has no connection yet
        """
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
        """The port use after `asked` ports were tested: the blocked ones are bound, none of them is unattributed."""
        return replace(self, bound=self.bound | blocked, unattributed=self.unattributed & ~asked)

    @property
    def owned(self) -> Mask:
        """Mask of the ports of all sockets on one of the source addresses or on a wildcard."""
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
        unsure = "an IPv6 socket on :: may occupy its port for IPv4 too"
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
        kept = ~((self.towards["state"] == State.TIME_WAIT) & facts.timestamps)  # an explicit bind() reuses it
        kept &= ~listeners.contain(self.pairs // each, self.towards["local_port"])  # already counted as lost
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
