"""What the source ports have room for, against an oracle that is slow and plain, and one example for each rule."""

import ipaddress
import itertools
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.ports import PortRoom, PortUse
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.sockets.table import SOCKET, Chosen, Sockets, State, mapped
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import TupleSpace

LOW = 40_000
AUTOMATIC = (Strategy.LATE, Strategy.PLAIN, Strategy.NOPORT)
MINUTE_MS = 60_000


class Socket(NamedTuple):
    """A row, as text and numbers."""

    local: str
    port: int
    remote: str = "0.0.0.0"
    remote_port: int = 0
    state: State = State.ESTABLISHED
    chosen: Chosen = Chosen.UNKNOWN
    expires_ms: int = 0
    timer: int = 0


def table(sockets: Sequence[Socket]) -> Sockets:
    rows = np.zeros(len(sockets), SOCKET)
    for row, socket in zip(rows, sockets, strict=True):
        for name, address in (("local", socket.local), ("remote", socket.remote)):
            row[name] = np.void(mapped(ipaddress.ip_address(address)))
        for name, value in (("local_port", socket.port), ("remote_port", socket.remote_port)):
            row[name] = value
        row["state"], row["chosen"], row["expires_ms"] = socket.state, socket.chosen, socket.expires_ms
        row["timer"] = socket.timer
    return rows


class World(NamedTuple):
    """The question: who is there, from where to where, by which strategy."""

    sockets: list[Socket]
    facts: PortFacts
    sources: list[str]
    destinations: list[tuple[str, int]]
    asked: Ranges  # the ports that a program chooses from itself
    strategy: Strategy
    hidden: int = 0  # sockets that are only bound, at most, which no listing has

    @property
    def space(self) -> TupleSpace:
        ends = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.destinations]
        return TupleSpace.of(self.sources, self.asked, ends)

    def use(self, *tables: Sequence[Socket]) -> PortUse:
        return replace(PortUse.of(map(table, tables or [self.sockets]), self.space), hidden=self.hidden)

    def room(self) -> PortRoom:
        return self.use().room(self.facts, self.strategy)


# The oracle: the rules of core/limits/ports.py once more, in sets, one port and one socket at a time.


class Answer(NamedTuple):
    """routes: (room, room at most) by source and destination"""

    routes: dict[tuple[str, tuple[str, int]], tuple[int, int]]
    room: int
    room_max: int
    blocked: int
    unattributed: int
    waiting: int


def waits(socket: Socket, world: "World") -> bool:
    """Of a TIME_WAIT: is it in the way of this strategy?"""
    if world.strategy is Strategy.EXPLICIT:
        return not world.facts.timestamps
    return world.strategy is Strategy.BIND0 or not is_taken_over(socket, world.facts)


def is_taken_over(socket: Socket, facts: PortFacts) -> bool:
    """A 4-tuple in TIME_WAIT, by a connect() that did not bind its port before."""
    old = MINUTE_MS - socket.expires_ms >= facts.tw_reuse_delay_ms
    return socket.state == State.TIME_WAIT and old and permits(socket, facts)


def may_be_taken_over(socket: Socket, facts: PortFacts) -> bool:
    """… where the kernel compares whole seconds, a young one too, and on old kernels one in FIN_WAIT2 on its timer."""
    young = socket.state == State.TIME_WAIT and not facts.tw_reuse_in_ms
    orphan = (socket.state, socket.timer, facts.fin_wait2_reused) == (State.FIN_WAIT2, 3, True)
    return is_taken_over(socket, facts) or ((young or orphan) and permits(socket, facts))


def permits(socket: Socket, facts: PortFacts) -> bool:
    loopback = any(ipaddress.ip_address(end).is_loopback for end in (socket.local, socket.remote))
    return facts.timestamps and (facts.tw_reuse == 1 or (facts.tw_reuse == 2 and loopback))


def ports_looked_at(facts: PortFacts, *, in_turn: bool) -> set[int]:
    """Less the reserved ones. Of three ports the last is never come to, unless all are looked at in turn."""
    ports = list(facts.port_range)
    if not in_turn and len(ports) == 3:
        ports.pop()
    return {port for port in ports if port not in facts.reserved_ports}


def got_by_bind(sockets: Sequence[Socket]) -> set[int]:
    """By bind() or listen(), on whatever address: nobody is given these automatically."""
    return {s.port for s in sockets if s.chosen == Chosen.BOUND or s.state in (State.LISTEN, State.CLOSE)}


def of_which_nobody_tells(sockets: Sequence[Socket], facts: PortFacts) -> set[int]:
    """Of connected sockets, which may have called bind(address, 0): unless another one has the same local end.

    Then connect() chose it for both, if one of them at least is not in TIME_WAIT. Where a port stays blocked after its
    bind() has gone, nothing is known of the port of any connected socket.
    """
    bound = got_by_bind(sockets)
    others = [
        s
        for s in sockets
        if s.chosen != Chosen.BOUND and s.state not in (State.LISTEN, State.CLOSE, State.NEW_SYN_RECV)
    ]
    if not facts.bind_is_released:
        return {socket.port for socket in others} - bound
    found = set()
    for socket in others:
        same = [s for s in others if (s.local, s.port) == (socket.local, socket.port)]
        settled = len(same) > 1 and any(s.state != State.TIME_WAIT for s in same)
        if socket.chosen != Chosen.LATE and not settled:
            found.add(socket.port)
    return found - bound


def on_wildcard(sockets: Sequence[Socket], version: int) -> tuple[set[int], set[int]]:
    """(ports that surely stand in this version's way, ports that perhaps do: :: may be of IPv4 too)"""
    sure = {s.port for s in sockets if s.local == ("0.0.0.0" if version == 4 else "::")}
    return sure, {s.port for s in sockets if version == 4 and s.local == "::"}


def left(ports: set[int], *, facts: PortFacts | None) -> int:
    """How many are surely left: of an odd number of ports, more than three, one end may be left out."""
    low, high = (facts.port_range[0], facts.port_range[-1]) if facts else (0, 0)
    odd = facts is not None and len(facts.port_range) % 2 == 1 and len(facts.port_range) > 3
    return len(ports) - (1 if odd and ports & {low, high} else 0)


def automatic(world: World, source: str, end: tuple[str, int]) -> tuple[int, int]:
    in_turn = world.strategy is Strategy.LATE and world.facts.range_is_quick
    ours = [s for s in world.sockets if (s.local, (s.remote, s.remote_port)) == (source, end)]
    fewest = {s.port for s in ours if not may_be_taken_over(s, world.facts)}
    exist = {s.port for s in ours if not is_taken_over(s, world.facts)}
    free = ports_looked_at(world.facts, in_turn=in_turn) - got_by_bind(world.sockets)
    least = free - exist - of_which_nobody_tells(world.sockets, world.facts)
    return seen(left(least, facts=None if in_turn else world.facts), world), len(free - fewest)


def seen(least: int, world: World) -> int:
    """How many are left if each socket that is not listed has one of them."""
    return max(0, least - world.hidden)


def bound_first(world: World, source: str) -> tuple[int, int]:
    sure, perhaps = on_wildcard(world.sockets, world.space.version)
    most = ports_looked_at(world.facts, in_turn=False) - sure - {s.port for s in world.sockets if s.local == source}
    return seen(left(most - perhaps, facts=world.facts), world), len(most)


def explicit(world: World, source: str, end: tuple[str, int]) -> tuple[int, int]:
    version = world.space.version
    there = [s for s in world.sockets if s.local == source]
    listening, _ = on_wildcard([s for s in world.sockets if s.state == State.LISTEN], version)
    listening |= {s.port for s in there if s.state == State.LISTEN}
    exist = {
        s.port
        for s in there
        if (s.remote, s.remote_port) == end and not (s.state == State.TIME_WAIT and world.facts.timestamps)
    }
    first = 1 if world.facts.any_port else world.facts.unprivileged_start
    most = {port for port in world.asked if port >= first} - listening - exist
    shared, perhaps = on_wildcard(world.sockets, version)
    return seen(len(most - shared - perhaps - {s.port for s in there}), world), len(most)


def expected(world: World) -> Answer:
    routes: dict[tuple[str, tuple[str, int]], tuple[int, int]] = {}
    pools: dict[object, tuple[int, int]] = {}
    for source in world.sources:
        for end in world.destinations:
            if world.strategy is Strategy.BIND0:
                routes[source, end] = pools[source] = bound_first(world, source)
            elif world.strategy is Strategy.EXPLICIT:
                routes[source, end] = pools[source, end] = explicit(world, source, end)
            else:
                routes[source, end] = pools[source, end] = automatic(world, source, end)
    own = ports_looked_at(world.facts, in_turn=True)
    waiting = [
        s
        for s in world.sockets
        if s.state == State.TIME_WAIT
        and waits(s, world)
        and s.local in world.sources
        and (s.remote, s.remote_port) in world.destinations
    ]
    return Answer(
        routes=routes,
        room=sum(room for room, _ in pools.values()),
        room_max=sum(most for _, most in pools.values()),
        blocked=len(own & got_by_bind(world.sockets)),
        unattributed=len(own & of_which_nobody_tells(world.sockets, world.facts)),
        waiting=len(waiting),
    )


def told(world: World) -> Answer:
    """What the product says, in the oracle's form."""
    said = world.room()
    routes = {}
    for route in said.routes:
        host, _, port = str(route.destination).rpartition(":")
        routes[str(route.source), (host.strip("[]"), int(port))] = (route.room.least, route.room.most)
    return Answer(routes, said.room.least, said.room.most, said.blocked, said.unattributed, said.waiting)


# Random worlds, small enough that everything meets everything.

IPV4 = ("127.0.0.1", "127.0.0.2", "192.0.2.1", "192.0.2.2")
IPV6 = ("::1", "2001:db8::1", "2001:db8::2")
REMOTE_PORTS = (80, 81, LOW + 2)
LIVE = (State.ESTABLISHED, State.SYN_SENT, State.FIN_WAIT2, State.CLOSE_WAIT)
PORTS = st.integers(LOW - 1, LOW + 9)


@st.composite
def sockets(draw: st.DrawFn, near: Sequence[str] = (), ends: Sequence[tuple[str, int]] = ()) -> Socket:
    """Mostly with these local addresses and destinations, if there are any."""
    is_near, is_ours = draw(st.integers(0, 3)) > 0, draw(st.integers(0, 3)) > 0
    local = draw(st.sampled_from(tuple(near) if near and is_near else (*IPV4, *IPV6)))
    addresses = IPV6 if ":" in local else IPV4
    nowhere = "::" if ":" in local else "0.0.0.0"
    if draw(st.integers(0, 3)) == 0:
        state = draw(st.sampled_from((State.LISTEN, State.CLOSE)))
        chosen = draw(st.sampled_from((Chosen.UNKNOWN, Chosen.BOUND)))
        return Socket(draw(st.sampled_from((local, local, "0.0.0.0", "::"))), draw(PORTS), nowhere, 0, state, chosen)
    state = draw(st.sampled_from((*LIVE, State.NEW_SYN_RECV, State.TIME_WAIT, State.TIME_WAIT)))
    chosen = Chosen.UNKNOWN if state == State.TIME_WAIT else draw(st.sampled_from(Chosen))
    expires_ms = draw(st.sampled_from((1, 30_000, 59_000, 59_001, 60_000))) if state == State.TIME_WAIT else 0
    timer = draw(st.sampled_from((0, 3))) if state == State.FIN_WAIT2 else 3 if state == State.TIME_WAIT else 0
    known = [end for end in ends if (":" in end[0]) == (":" in local)]
    anywhere = (draw(st.sampled_from(addresses)), draw(st.sampled_from(REMOTE_PORTS)))
    remote = draw(st.sampled_from(known)) if known and is_ours else anywhere
    return Socket(local, draw(PORTS), *remote, state, chosen, expires_ms, timer)


@st.composite
def facts(draw: st.DrawFn) -> PortFacts:
    low = draw(st.integers(LOW, LOW + 4))
    reserved = draw(st.lists(PORTS, max_size=3))
    return PortFacts(
        port_range=range(low, low + draw(st.integers(1, 8))),
        reserved_ports=Ranges(range(port, port + 1) for port in reserved),
        unprivileged_start=draw(st.sampled_from((1024, LOW + 3))),
        tw_reuse=draw(st.integers(0, 2)),
        tw_reuse_delay_ms=draw(st.sampled_from((1, 1000, 60_000))),
        timestamps=draw(st.booleans()),
        range_is_quick=draw(st.booleans()),
        any_port=draw(st.booleans()),
        tw_reuse_in_ms=draw(st.booleans()),
        fin_wait2_reused=draw(st.booleans()),
        bind_is_released=draw(st.booleans()),
    )


@st.composite
def worlds(draw: st.DrawFn, strategies: Sequence[Strategy] = tuple(Strategy)) -> World:
    addresses = IPV4 if draw(st.integers(0, 3)) else IPV6
    sources = draw(st.lists(st.sampled_from(addresses), min_size=1, max_size=3, unique=True))
    ends = st.tuples(st.sampled_from(addresses), st.sampled_from(REMOTE_PORTS))
    destinations = draw(st.lists(ends, min_size=1, max_size=3, unique=True))
    start = draw(st.integers(LOW - 1, LOW + 5))
    return World(
        sockets=draw(st.lists(sockets(sources, destinations), max_size=14)),
        facts=draw(facts()),
        sources=sources,
        destinations=destinations,
        asked=Ranges([range(start, start + draw(st.integers(1, 6)))]),
        strategy=draw(st.sampled_from(strategies)),
        hidden=draw(st.sampled_from((0, 0, 0, 1, 3, 65_536))),
    )


@settings(max_examples=400)
@given(worlds())
def test_the_room_of_every_route_is_what_the_rules_say(world: World) -> None:
    """And all together: with bind(address, 0) the destinations share the ports of their source."""
    assert told(world) == expected(world)


@given(worlds())
def test_room_is_at_most_room_max_and_they_differ_for_a_reason(world: World) -> None:
    room = world.room()

    assert 0 <= room.room.least <= room.room.most <= room.ceiling
    assert bool(room.because) == (room.room.least < room.room.most)
    assert all(0 <= route.room.least <= route.room.most <= route.ceiling for route in room.routes)
    assert room.pairs == len(room.routes) == len(world.sources) * len(world.destinations)


@given(worlds(), st.lists(st.integers(0, 14), max_size=3))
def test_splitting_the_tables_changes_nothing(world: World, places: list[int]) -> None:
    """A kernel lists its sockets in pieces, and one local end may be in two of them."""
    edges = [0, *sorted(min(place, len(world.sockets)) for place in places), len(world.sockets)]
    parts = [world.sockets[start:stop] for start, stop in itertools.pairwise(edges)]

    assert world.use(*parts).room(world.facts, world.strategy) == world.room()


@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_the_sockets_changes_nothing(world: World, dice: Random) -> None:
    shuffled = list(world.sockets)
    dice.shuffle(shuffled)

    assert world._replace(sockets=shuffled).room() == world.room()


@given(worlds(), sockets())
def test_more_in_use_never_raises_what_there_is_at_most(world: World, another: Socket) -> None:
    assert world._replace(sockets=[*world.sockets, another]).room().room.most <= world.room().room.most


@given(worlds(), sockets())
def test_more_in_use_never_raises_the_room(world: World, another: Socket) -> None:
    """Unless it has a local end of another one, which settles how both got it: that is news, not room."""
    if (another.local, another.port) not in {(s.local, s.port) for s in world.sockets}:
        assert world._replace(sockets=[*world.sockets, another]).room().room.least <= world.room().room.least


@given(worlds(), PORTS)
def test_one_more_reserved_port_never_raises_the_room(world: World, port: int) -> None:
    facts = replace(world.facts, reserved_ports=Ranges([*world.facts.reserved_ports.parts, range(port, port + 1)]))
    fewer = world._replace(facts=facts).room()

    assert fewer.room.least <= world.room().room.least
    assert fewer.room.most <= world.room().room.most


@given(worlds([Strategy.LATE]))
def test_asking_for_the_unattributed_ports_settles_them_all(world: World) -> None:
    """What a probe found to be blocked is lost, what it found to be free is there."""
    sharp = replace(world.facts, range_is_quick=True, tw_reuse_in_ms=True, fin_wait2_reused=False)
    world = world._replace(facts=sharp, hidden=0)
    use = world.use()
    asked = use.unsure(world.facts)
    nothing = np.zeros(65536, bool)
    free = use.probed(asked, nothing).room(world.facts, world.strategy)
    lost = use.probed(asked, asked).room(world.facts, world.strategy)

    assert (free.room.least, free.room.most, free.unattributed) == (world.room().room.most, world.room().room.most, 0)
    assert (lost.room.least, lost.room.most, lost.unattributed) == (world.room().room.least, world.room().room.least, 0)


@given(worlds([Strategy.LATE]))
def test_asking_for_every_port_settles_what_no_listing_has(world: World) -> None:
    """Sockets that are not listed are then on ports that were found to be blocked, or on none that matters."""
    sharp = replace(world.facts, range_is_quick=True, tw_reuse_in_ms=True, fin_wait2_reused=False)
    world = world._replace(facts=sharp)
    use = world.use()
    free = use.probed(use.unsure(sharp), np.zeros(65536, bool)).room(sharp, world.strategy)

    assert (free.room.least, free.room.most, free.hidden) == (world.room().room.most, world.room().room.most, 0)


@given(worlds())
def test_sources_one_by_one_are_all_of_them_together(world: World) -> None:
    parts = [world._replace(sources=[source]).room() for source in world.sources]
    whole, joined = world.room(), PortRoom.together(parts)

    assert (joined.room.least, joined.room.most) == (whole.room.least, whole.room.most)
    assert joined.ceiling == whole.ceiling
    assert (joined.in_use, joined.waiting, joined.pairs) == (whole.in_use, whole.waiting, whole.pairs)
    assert sorted(map(str, joined.routes)) == sorted(map(str, whole.routes))


# One example for each rule.

HOST, PEER = "192.0.2.1", "192.0.2.9"


def asked(
    *occupied: Socket,
    ports: range = range(LOW, LOW + 10),
    strategy: Strategy = Strategy.LATE,
    reserved: Sequence[int] = (),
    to: Sequence[tuple[str, int]] = ((PEER, 80),),
    sources: Sequence[str] = (HOST,),
    asked_ports: range | None = None,
    **more: Any,
) -> PortRoom:
    facts = PortFacts(ports, Ranges(range(port, port + 1) for port in reserved), **more)
    return World(list(occupied), facts, list(sources), list(to), Ranges([asked_ports or ports]), strategy).room()


def interval(room: PortRoom) -> tuple[int, int]:
    return room.room.least, room.room.most


def connected(port: int, remote_port: int = 80, **more: Any) -> Socket:
    return Socket(HOST, port, PEER, remote_port)._replace(**more)


def test_an_empty_namespace_has_the_whole_range_for_each_source_and_destination() -> None:
    room = asked(sources=["192.0.2.1", "192.0.2.2"], to=[(PEER, 80), (PEER, 81), ("192.0.2.10", 80)])

    assert (room.pairs, room.ceiling, room.in_use, interval(room)) == (6, 60, 0, (60, 60))
    assert room.because == ()


def test_reserved_ports_are_not_given_to_anybody() -> None:
    """Those outside of the range make no difference."""
    assert interval(asked(reserved=[LOW, LOW + 7, LOW + 10, LOW - 1])) == (8, 8)


def test_a_4_tuple_is_taken_towards_its_own_destination_alone() -> None:
    room = asked(connected(LOW, chosen=Chosen.LATE), to=[(PEER, 80), (PEER, 81)])

    assert [route.room.least for route in room.routes] == [9, 10]
    assert [route.in_use for route in room.routes] == [1, 0]


@pytest.mark.parametrize("strategy", [Strategy.PLAIN, Strategy.NOPORT])
def test_of_an_odd_number_of_ports_one_end_may_be_left_out(strategy: Strategy) -> None:
    room = asked(ports=range(LOW, LOW + 9), strategy=strategy)

    assert interval(room) == (8, 9)
    assert len(room.because) == 1


def test_a_range_of_ones_own_makes_connect_look_at_all_in_turn() -> None:
    """IP_LOCAL_PORT_RANGE, from Linux 6.8 on."""
    assert interval(asked(ports=range(LOW, LOW + 9))) == (9, 9)
    assert interval(asked(ports=range(LOW, LOW + 9), range_is_quick=False)) == (8, 9)


def test_an_odd_range_whose_ends_are_both_taken_loses_nothing_more() -> None:
    both = [connected(port, chosen=Chosen.LATE) for port in (LOW, LOW + 8)]

    assert interval(asked(*both, ports=range(LOW, LOW + 9), strategy=Strategy.PLAIN)) == (7, 7)
    assert interval(asked(both[0], ports=range(LOW, LOW + 9), strategy=Strategy.PLAIN)) == (7, 8)


@pytest.mark.parametrize(("strategy", "room"), [(Strategy.LATE, 3), (Strategy.PLAIN, 2), (Strategy.BIND0, 2)])
def test_of_three_ports_connect_never_comes_to_the_last(strategy: Strategy, room: int) -> None:
    """Not even once, so that is not a matter of perhaps."""
    assert interval(asked(ports=range(LOW, LOW + 3), strategy=strategy)) == (room, room)


def test_one_port_is_one_port() -> None:
    assert interval(asked(ports=range(LOW, LOW + 1), strategy=Strategy.PLAIN)) == (1, 1)


def waiting(age_ms: int, local: str = HOST, port: int = LOW, remote: str = PEER) -> Socket:
    return Socket(local, port, remote, 80, State.TIME_WAIT, expires_ms=MINUTE_MS - age_ms)


@pytest.mark.parametrize(
    ("age_ms", "tw_reuse", "timestamps", "reused"),
    [
        (1000, 1, True, True),
        (999, 1, True, False),
        (59_999, 0, True, False),
        (59_999, 1, False, False),
        (59_999, 2, True, False),  # no end is of loopback
    ],
)
def test_a_time_wait_can_be_taken_over_once_it_is_old_enough(
    age_ms: int, tw_reuse: int, timestamps: bool, reused: bool
) -> None:
    """Its port stays unattributed: the kernel does not report how the socket before it got that."""
    room = asked(waiting(age_ms), tw_reuse=tw_reuse, timestamps=timestamps)

    assert (room.room.least, room.room.most, room.waiting) == (9, 10 if reused else 9, 0 if reused else 1)


@pytest.mark.parametrize(
    ("local", "remote"), [("127.0.0.1", PEER), (HOST, "127.255.255.254"), ("::1", "2001:db8::1"), ("::1", "::1")]
)
def test_on_loopback_it_can_be_by_default(local: str, remote: str) -> None:
    """One end is enough."""
    room = asked(waiting(1000, local, remote=remote), sources=[local], to=[(remote, 80)], tw_reuse=2)

    assert (room.room.most, room.waiting) == (10, 0)


@pytest.mark.parametrize("local", ["126.255.255.255", "128.0.0.1", "7f00::1", "::2"])
def test_what_looks_like_loopback_is_not(local: str) -> None:
    remote = PEER if "." in local else "2001:db8::9"
    room = asked(waiting(1000, local, remote=remote), sources=[local], to=[(remote, 80)], tw_reuse=2)

    assert (room.room.most, room.waiting) == (9, 1)


@pytest.mark.parametrize("address", ["198.51.100.7", "0.0.0.0", "::", "2001:db8::7"])
def test_a_listener_on_another_address_blocks(address: str) -> None:
    room = asked(Socket(address, LOW + 3, state=State.LISTEN))

    assert (interval(room), room.blocked, room.unattributed) == ((9, 9), 1, 0)


def test_a_listener_outside_of_the_range_blocks_nothing() -> None:
    assert asked(Socket(HOST, LOW + 10, state=State.LISTEN)).blocked == 0


def test_a_bound_socket_blocks_before_and_after_it_connects() -> None:
    before = Socket(HOST, LOW, state=State.CLOSE)
    after = connected(LOW, 9999, chosen=Chosen.BOUND)

    assert asked(before) == asked(after) == asked(before, after)
    assert (interval(asked(before)), asked(before).blocked) == ((9, 9), 1)


def test_a_connected_socket_leaves_its_port_unattributed() -> None:
    """It may have called bind(address, 0): then the port is lost to other destinations as well."""
    room = asked(connected(LOW, 9999))

    assert (interval(room), room.unattributed, room.blocked) == ((9, 10), 1, 0)
    (reason,) = room.because
    assert "connect()" in reason


def test_a_no_port_socket_does_not_leave_its_port_unattributed() -> None:
    room = asked(connected(LOW, 9999, chosen=Chosen.LATE))

    assert (interval(room), room.unattributed) == ((10, 10), 0)


def test_a_connection_that_is_only_asked_for_says_nothing_of_its_port() -> None:
    """NEW_SYN_RECV is a request to a listener, not a socket that has a port."""
    request = connected(LOW, 9999, state=State.NEW_SYN_RECV)

    assert (interval(asked(request)), asked(request).unattributed) == ((10, 10), 0)


def test_two_connections_on_one_local_end_settle_the_question() -> None:
    """bind(address, 0) gives each port once, so connect() chose it."""
    room = asked(connected(LOW, 9998), connected(LOW, 9999))

    assert (interval(room), room.unattributed) == ((10, 10), 0)


@pytest.mark.parametrize(
    ("first", "second", "is_unattributed"),
    [
        (connected(LOW, 9998), connected(LOW, 9999, local="192.0.2.2"), True),  # two local ends
        (connected(LOW, 9998), connected(LOW, 9999, state=State.TIME_WAIT), False),  # one of them lives
        (connected(LOW, 9998, state=State.TIME_WAIT), connected(LOW, 9999, state=State.TIME_WAIT), True),
        (connected(LOW, 9998), connected(LOW, 9999, chosen=Chosen.LATE), False),
    ],
)
def test_what_settles_it_and_what_does_not(first: Socket, second: Socket, is_unattributed: bool) -> None:
    room = asked(first, second)

    assert (room.unattributed, room.room.least) == ((1, 9) if is_unattributed else (0, 10))


def test_an_unattributed_port_at_an_end_of_an_odd_range_is_lost_once() -> None:
    """The end that is left out may be that very port, or the other one."""
    assert interval(asked(connected(LOW, 9999), ports=range(LOW, LOW + 9), strategy=Strategy.PLAIN)) == (7, 9)


def test_bind_0_needs_a_port_that_nobody_on_the_address_has_whatever_it_is_connected_to() -> None:
    room = asked(
        connected(LOW, 9999, chosen=Chosen.LATE),
        connected(LOW + 1, 9999, local="192.0.2.2"),  # another address
        Socket("0.0.0.0", LOW + 2, state=State.LISTEN),
        strategy=Strategy.BIND0,
        to=[(PEER, 80), (PEER, 81)],
    )

    assert (interval(room), room.in_use, room.ceiling) == ((8, 8), 1, 9)
    assert [route.room.least for route in room.routes] == [8, 8]


def test_bind_0_shares_its_ports_among_all_destinations_and_not_among_sources() -> None:
    ends = [(PEER, port) for port in range(80, 90)]

    assert asked(strategy=Strategy.BIND0, to=ends).room.least == 10
    assert asked(strategy=Strategy.BIND0, to=ends, sources=["192.0.2.1", "192.0.2.2"]).room.least == 20


@pytest.mark.parametrize("strategy", [Strategy.BIND0, Strategy.EXPLICIT])
def test_a_socket_on_the_ipv6_wildcard_perhaps_has_its_port_of_ipv4(strategy: Strategy) -> None:
    """IPV6_V6ONLY is not told. Of IPv6 it surely has it; one on 0.0.0.0 is of IPv4 alone."""
    both, ipv4 = (Socket(address, LOW, state=State.CLOSE) for address in ("::", "0.0.0.0"))
    ipv6: dict[str, Any] = {"sources": ["2001:db8::1"], "to": [("2001:db8::9", 80)]}

    assert interval(asked(both, strategy=strategy)) == (9, 10)
    assert asked(both, strategy=strategy, **ipv6).room.least == 9
    assert interval(asked(ipv4, strategy=strategy, **ipv6)) == (10, 10)


def test_explicit_ports_below_ip_unprivileged_port_start_take_a_capability() -> None:
    below: dict[str, Any] = {"strategy": Strategy.EXPLICIT, "asked_ports": range(1000, 1030)}

    assert interval(asked(**below)) == (6, 6)
    assert interval(asked(**below, unprivileged_start=1010)) == (20, 20)
    assert interval(asked(**below, any_port=True)) == (30, 30)


def test_explicit_ports_do_not_mind_the_range_nor_reserved_ports() -> None:
    room = asked(strategy=Strategy.EXPLICIT, reserved=[LOW + 30], asked_ports=range(LOW + 28, LOW + 33))

    assert interval(room) == (5, 5)


def test_an_explicit_port_is_lost_to_a_listener_and_perhaps_to_one_that_does_not_share() -> None:
    """SO_REUSEADDR of the others is not told; a listener has it for nobody."""
    listener, other = Socket(HOST, LOW, state=State.LISTEN), connected(LOW + 1, 9999)
    elsewhere = Socket("192.0.2.2", LOW + 2, state=State.LISTEN)
    room = asked(listener, other, elsewhere, strategy=Strategy.EXPLICIT)

    assert interval(room) == (8, 9)
    (reason,) = room.because
    assert "SO_REUSEADDR" in reason


def test_a_port_of_a_listener_that_is_connected_too_is_lost_once() -> None:
    """An accepted connection has its listener's port."""
    accepted = connected(LOW, 80)

    assert interval(asked(Socket(HOST, LOW, state=State.LISTEN), accepted, strategy=Strategy.EXPLICIT)) == (9, 9)


@pytest.mark.parametrize(("timestamps", "room_max"), [(True, 10), (False, 9)])
def test_after_an_explicit_bind_a_time_wait_is_taken_over_at_once(timestamps: bool, room_max: int) -> None:
    """Whatever net.ipv4.tcp_tw_reuse says."""
    room = asked(waiting(1), strategy=Strategy.EXPLICIT, timestamps=timestamps)

    assert interval(room) == (9, room_max)


@pytest.mark.parametrize(("strategy", "number"), [(Strategy.EXPLICIT, 0), (Strategy.PLAIN, 1)])
def test_what_is_taken_over_at_once_does_not_wait(strategy: Strategy, number: int) -> None:
    """`waiting` are those that cannot be taken over yet, by this strategy."""
    assert asked(waiting(1), strategy=strategy).waiting == number


def test_two_rows_of_one_4_tuple_are_one() -> None:
    assert asked(connected(LOW), connected(LOW)).in_use == 1
    assert interval(asked(connected(LOW), connected(LOW))) == (9, 9)


def test_ipv4_in_its_mapped_form_is_the_same_4_tuple() -> None:
    """An AF_INET6 socket that talks IPv4."""
    socket = connected(LOW, chosen=Chosen.LATE, local=f"::ffff:{HOST}", remote=f"::ffff:{PEER}")

    assert asked(socket) == asked(connected(LOW, chosen=Chosen.LATE))


def test_of_very_many_routes_all_are_counted_and_the_first_are_listed() -> None:
    """A network has its hosts: 4,094 addresses."""
    space = TupleSpace.of(["10.0.0.0/20"], range(LOW, LOW + 2), ["192.0.2.9:80-83"])
    use = PortUse.of([table([Socket("10.0.15.254", LOW, PEER, 83, chosen=Chosen.LATE)])], space)
    room = use.room(PortFacts(range(LOW, LOW + 2), Ranges([])), Strategy.LATE)

    assert (room.pairs, room.room.least, len(room.routes)) == (16_376, 32_751, 10_000)


def test_where_no_destination_is_named_the_route_names_none() -> None:
    (route,) = (
        World([], PortFacts(range(LOW, LOW + 2), Ranges([])), [HOST], [(PEER, 80)], Ranges([]), Strategy.LATE)
        .use()
        .room(PortFacts(range(LOW, LOW + 2), Ranges([])), Strategy.LATE, anywhere=True)
        .routes
    )

    assert (route.source, route.destination, route.room.least) == (None, None, 2)
