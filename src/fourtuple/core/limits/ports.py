"""How many more connections the source ports have room for: for each source address and destination, by strategy.

The kernel tells nearly everything this takes. What it does not tell is whether the port of a connected socket was
chosen by connect(), so that others may share it, or by bind(address, 0), which keeps it from every automatic choice in
the namespace. Such ports are *open*: they count as lost in `room`, and as free in `room_max`.

The rules are those of net/ipv4/inet_hashtables.c (__inet_hash_connect) and inet_connection_sock.c (inet_csk_get_port),
v6.18:

- A plain connect() takes the first port of the range, less the reserved ones, that nobody in the namespace got by
  bind() or listen(), on whatever address, and whose 4-tuple does not exist yet. It looks at every second port first,
  then at the others; of an odd number of ports it leaves out one, the lowest or the highest. With IP_LOCAL_PORT_RANGE,
  from Linux 6.8 on, it looks at all in turn.
- bind(address, 0) takes one that no socket on this address or on the wildcard has, whatever it is connected to.
- bind(address, port) with SO_REUSEADDR needs that no socket there listens, and that all have SO_REUSEADDR.
- A 4-tuple in TIME_WAIT is taken over as net.ipv4.tcp_tw_reuse says; after an explicit bind() at once.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.sockets.columns import is_wildcard, numbers_among
from fourtuple.core.sockets.ends import destination_numbers
from fourtuple.core.sockets.table import MAPPED, SOCKET, Chosen, Sockets, State
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.space.tuples import TupleSpace

TIME_WAIT_MS = 60_000  # TCP_TIMEWAIT_LEN, include/net/tcp.h
MOST_ROUTES = 10_000  # that are listed one by one; all are counted

Mask = NDArray[np.bool_]  # (65536,), one for each port
Numbers = NDArray[np.int64]


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
    room: int
    room_max: int


@dataclass(frozen=True, slots=True)
class PortRoom:
    """All routes together.

    routes:  the first of them, at most MOST_ROUTES
    because: why `room` and `room_max` differ, if they do
    blocked: ports of the range that nobody is given automatically, because somebody got them by bind() or listen()
    open:    ports of the range of which nobody tells
    waiting: 4-tuples of these routes in TIME_WAIT that cannot be taken over yet
    """

    pairs: int
    ceiling: int
    in_use: int
    room: int
    room_max: int
    routes: tuple[Route, ...]
    because: tuple[str, ...]
    blocked: int
    open: int
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
            room=sum(part.room for part in parts),
            room_max=sum(part.room_max for part in parts),
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
    open:    ports perhaps got by bind(address, 0): of connected sockets, and of TIME_WAIT
    local:   the sockets on the source addresses or on a wildcard
    towards: those of them whose other end is one of the destinations
    pairs:   which pair of the space each of these belongs to
    """

    space: TupleSpace
    bound: Mask
    open: Mask
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
            others.append(_Connected.of(table[~is_bound & (table["state"] != State.NEW_SYN_RECV)]))
            local.append(table[(numbers_among(table["local"], space.sources) >= 0) | is_wildcard(table["local"])])
        rows = _joined(local)
        source = numbers_among(rows["local"], space.sources)
        destination = destination_numbers(rows, space.destinations)
        ours = (source >= 0) & (destination >= 0)
        pairs = (source * space.destinations.size + destination)[ours]
        return cls(space, bound, _Connected.open_ports(others) & ~bound, rows, rows[ours], pairs, _joined(listens))

    def room(self, facts: PortFacts, strategy: Strategy, *, anywhere: bool = False) -> PortRoom:
        """anywhere: the space's source and destination stand for any that have no connection yet"""
        if strategy is Strategy.EXPLICIT:
            rooms = self._explicit(facts)
        elif strategy is Strategy.BIND0:
            rooms = self._bound_first(facts)
        else:
            rooms = self._automatic(facts, in_turn=strategy is Strategy.LATE and facts.range_is_quick)
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
            room=rooms.least.total(rooms.pools),
            room_max=rooms.most.total(rooms.pools),
            routes=tuple(self._routes(rooms, strategy, anywhere=anywhere)),
            because=rooms.because if rooms.least.total(rooms.pools) != rooms.most.total(rooms.pools) else (),
            blocked=int((self.bound & automatic).sum()),
            open=int((self.open & automatic).sum()),
            waiting=int(waiting.sum()),
        )

    def probed(self, asked: Mask, blocked: Mask) -> Self:
        """What is known after these ports were asked for: those of them that are blocked are bound, none is open."""
        return replace(self, bound=self.bound | blocked, open=self.open & ~asked)

    @property
    def owned(self) -> Mask:
        """Ports that a socket on one of the source addresses, or on a wildcard, has in whatever way."""
        return _mask(self.local["local_port"])

    def _automatic(self, facts: PortFacts, *, in_turn: bool) -> "_Rooms":
        ports = _searched(facts, in_turn=in_turn) & ~self.bound
        kept = ~is_reusable(self.towards, facts)
        rows = _Rows(self.pairs[kept], self.towards["local_port"][kept])
        unsure = "of connected sockets' ports nobody tells whether connect() chose them, or bind(address, 0)"
        return _pooled(self.space.pairs, 1, ports, ports & ~self.open, rows, None if in_turn else facts, unsure)

    def _bound_first(self, facts: PortFacts) -> "_Rooms":
        own, owners, everyones = self._owned()
        theirs, perhaps = self._wildcards(everyones)
        ports = _searched(facts, in_turn=False) & ~theirs
        unsure = "an IPv6 socket on :: may have its port of IPv4 too"
        rows = _Rows(owners, own["local_port"])
        each = self.space.destinations.size
        return _pooled(self.space.sources.size, each, ports, ports & ~perhaps, rows, facts, unsure)

    def _explicit(self, facts: PortFacts) -> "_Rooms":
        own, owners, everyones = self._owned()
        theirs, perhaps = self._wildcards(everyones)
        listening, _unsure = self._wildcards(everyones[everyones["state"] == State.LISTEN])
        ports = self.space.ports.mask & ~listening
        if not facts.any_port:
            ports[: facts.unprivileged_start] = False
        sure = ports & ~theirs & ~perhaps
        is_listener = own["state"] == State.LISTEN
        listeners = _Rows(owners[is_listener], own["local_port"][is_listener])
        each = self.space.destinations.size
        kept = ~((self.towards["state"] == State.TIME_WAIT) & facts.timestamps)  # an explicit bind() takes that over
        kept &= ~listeners.contain(self.pairs // each, self.towards["local_port"])  # that port is lost already
        in_use = _Rows(self.pairs[kept], self.towards["local_port"][kept]).counted(ports)
        return _Rooms(
            pools=self.space.pairs,
            destinations=1,
            ceiling=int(ports.sum()),
            in_use=in_use,
            most=_Count(int(ports.sum()), ((each, listeners.counted(ports)), (1, in_use))),
            least=_Count(int(sure.sum()), ((each, _Rows(owners, own["local_port"]).counted(sure)),)),
            because=("of sockets that have a port there nobody tells whether they share it (SO_REUSEADDR)",),
        )

    def _owned(self) -> tuple[Sockets, Numbers, Sockets]:
        """(the sockets on the source addresses, the number of each one's source, those on a wildcard)"""
        source = numbers_among(self.local["local"], self.space.sources)
        return self.local[source >= 0], source[source >= 0], self.local[source < 0]

    def _wildcards(self, rows: Sockets) -> tuple[Mask, Mask]:
        """(ports that these have for the sources' IP version too, ports that they perhaps have)

        0.0.0.0 is of IPv4 alone; :: is of IPv4 too if the socket is not IPV6_V6ONLY, which a table does not tell.
        """
        is_ipv4 = rows["local"] == np.void(MAPPED + bytes(4))
        if self.space.version == 6:
            return _mask(rows["local_port"][~is_ipv4]), np.zeros(65536, bool)
        return _mask(rows["local_port"][is_ipv4]), _mask(rows["local_port"][~is_ipv4])

    def _routes(self, rooms: "_Rooms", strategy: Strategy, *, anywhere: bool) -> Iterator[Route]:
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
                room=rooms.least.of(pool),
                room_max=rooms.most.of(pool),
            )


@dataclass(frozen=True)
class _Counted:
    """How many of something each owner has."""

    by_owner: Mapping[int, int]

    @cached_property
    def total(self) -> int:
        return sum(self.by_owner.values())


@dataclass(frozen=True)
class _Rows:
    """(owner, port), perhaps several times the same."""

    owners: Numbers
    ports: NDArray[np.uint16]

    def counted(self, among: Mask) -> _Counted:
        """How many different ones of these ports each owner has."""
        keys = self._distinct[among[self._distinct & 0xFFFF]]
        owners, counts = np.unique(keys >> 16, return_counts=True)
        return _Counted(dict(zip(owners.tolist(), counts.tolist(), strict=True)))

    def contain(self, owners: Numbers, ports: NDArray[np.uint16]) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = np.isin(owners << 16 | ports, self._distinct)
        return found

    @cached_property
    def _distinct(self) -> Numbers:
        keys: Numbers = np.sort(self.owners << 16 | self.ports)
        distinct: Numbers = keys[np.diff(keys, prepend=-1) != 0]
        return distinct


@dataclass(frozen=True)
class _Count:
    """For each pool a number: `base`, less what is taken from it.

    taken: how many pools in a row share an owner, and what that owner takes from each
    """

    base: int
    taken: tuple[tuple[int, _Counted], ...]

    def of(self, pool: int) -> int:
        return self.base - sum(counted.by_owner.get(pool // each, 0) for each, counted in self.taken)

    def total(self, pools: int) -> int:
        return self.base * pools - sum(each * counted.total for each, counted in self.taken)


@dataclass(frozen=True, slots=True)
class _Rooms:
    """Pools of ports, of which each connection takes one; `destinations` pairs in a row share a pool."""

    pools: int
    destinations: int
    ceiling: int
    in_use: _Counted
    most: _Count
    least: _Count
    because: tuple[str, ...]


def _pooled(
    pools: int, destinations: int, ports: Mask, sure: Mask, rows: _Rows, odd: PortFacts | None, unsure: str
) -> _Rooms:
    """ports: of each pool, less what `rows` take; sure: those that are certainly there; odd: every second one first"""
    in_use, base, because = rows.counted(ports), int(sure.sum()), [unsure] if (ports & ~sure).any() else []
    taken = [(1, rows.counted(sure))]
    if odd and len(odd.port_range) % 2 and len(odd.port_range) > 3:  # one of both ends is left out
        ends = sure & _mask(np.array([odd.port_range.start, odd.port_range.stop - 1]))
        if ends.any():
            base -= 1
            without = {owner: -1 for owner, count in rows.counted(ends).by_owner.items() if count == ends.sum()}
            taken.append((1, _Counted(without)))
            because.append("of an odd number of ports the lowest or the highest is left out")
    most = _Count(int(ports.sum()), ((1, in_use),))
    return _Rooms(pools, destinations, int(ports.sum()), in_use, most, _Count(base, tuple(taken)), tuple(because))


def _searched(facts: PortFacts, *, in_turn: bool) -> Mask:
    """The ports that the kernel looks at: every second one first, and then it never comes to the last of three."""
    ports = facts.automatic_ports.mask.copy()
    if not in_turn and len(facts.port_range) == 3:
        ports[facts.port_range.stop - 1] = False
    return ports


@dataclass(frozen=True, slots=True)
class _Connected:
    """Sockets that did not get their port by bind() to it, as far as that tells whether connect() chose it."""

    ends: NDArray[Any]  # of dtype _END: local address and port
    known: NDArray[np.bool_]  # connect() chose it
    alive: NDArray[np.bool_]  # it is not in TIME_WAIT

    @classmethod
    def of(cls, rows: Sockets) -> Self:
        ends = np.empty(len(rows), _END)
        ends["address"], ends["port"] = rows["local"], rows["local_port"]
        return cls(ends, rows["chosen"] == Chosen.LATE, rows["state"] != State.TIME_WAIT)

    @staticmethod
    def open_ports(parts: "Iterable[_Connected]") -> Mask:
        """The ports of those of which nobody knows.

        Two sockets with the same address and port got it by connect(), as bind(address, 0) gives each port once; the
        exception are accepted ones whose listener is closed, which are taken for the others here.
        """
        parts = list(parts)
        ends = np.concatenate([np.zeros(0, _END), *(part.ends for part in parts)])
        known = np.concatenate([np.zeros(0, bool), *(part.known for part in parts)])
        alive = np.concatenate([np.zeros(0, bool), *(part.alive for part in parts)])
        if known.all():
            return np.zeros(65536, bool)
        _, group, size = np.unique(ends.view("V18"), return_inverse=True, return_counts=True)
        is_alive = np.bincount(group, alive, len(size)) > 0
        shared = (size > 1) & is_alive
        return _mask(ends["port"][~known & ~shared[group]])


_END = np.dtype([("address", "V16"), ("port", "u2")])


def is_reusable(rows: Sockets, facts: PortFacts) -> NDArray[np.bool_]:
    """Which of these are in TIME_WAIT and can be taken over by connect() (tcp_twsk_unique, net/ipv4)?"""
    waits: NDArray[np.bool_] = rows["state"] == State.TIME_WAIT
    if not (facts.tw_reuse and facts.timestamps and waits.any()):
        return np.zeros(len(rows), bool)
    waits &= TIME_WAIT_MS - rows["expires_ms"].astype(np.int64) >= facts.tw_reuse_delay_ms
    if facts.tw_reuse == 2:
        waits[waits] = _is_loopback(rows["local"][waits]) | _is_loopback(rows["remote"][waits])
    return waits


def _is_loopback(addresses: NDArray[np.void]) -> NDArray[np.bool_]:
    """127.0.0.0/8 or ::1"""
    octets = np.ascontiguousarray(addresses).view(np.uint8).reshape(-1, 16)
    found: NDArray[np.bool_] = (octets[:, :13] == np.frombuffer(MAPPED + b"\x7f", np.uint8)).all(axis=1)
    found |= addresses == np.void(bytes(15) + b"\x01")
    return found


def _mask(ports: NDArray[Any]) -> Mask:
    mask = np.zeros(65536, bool)
    mask[ports] = True
    return mask


def _joined(tables: list[Sockets]) -> Sockets:
    return np.concatenate([np.zeros(0, SOCKET), *tables])
