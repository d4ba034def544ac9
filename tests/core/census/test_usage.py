"""Who uses which 4-tuples, as pairs and as a census of them, against an oracle that counts one socket at a time."""

import ipaddress
import itertools
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fourtuple.core.census import usage as pairs
from fourtuple.core.census.records import (
    By,
    Census,
    DestinationCount,
    PairCount,
    PortCount,
    ProcessCount,
    Source,
    StateCount,
)
from fourtuple.core.census.usage import Usage
from fourtuple.core.census.view import View
from fourtuple.core.limits.facts import Motion, PortFacts
from fourtuple.core.limits.ports import PortUse
from fourtuple.core.sockets import numbering
from fourtuple.core.sockets.columns import mixed
from fourtuple.core.sockets.filter import EVERYWHERE, Where
from fourtuple.core.sockets.numbering import HashCollisionError
from fourtuple.core.sockets.owners import NAMELESS, Holders
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import LISTENER, PROC_NET_TCP, SOCK_DIAG, SOCKET, Chosen, Sockets, State, mapped
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import TupleSpace
from tests.core.quiet import WORLD, ends

LOW = 40_000
MINUTE_MS = 60_000
FACTS = PortFacts(range(LOW, LOW + 10), Ranges([range(LOW + 4, LOW + 5)]), tw_reuse=0)
TAKEN = Source(
    host="web1",
    time="2026-01-02T03:04:05.678+00:00",
    netns="net:[7]",
    kernel="6.18.1",
    read_from=SOCK_DIAG,
    changed=0,
    seconds=0.5,
)


class Row(NamedTuple):
    """A socket of a table, or one that listens, as text and numbers."""

    local: str
    port: int
    remote: str = "0.0.0.0"
    remote_port: int = 0
    state: State = State.ESTABLISHED
    chosen: Chosen = Chosen.UNKNOWN
    expires_ms: int = 0
    uid: int = 0
    inode: int = 0
    recv_q: int = 0
    send_q: int = 0
    drops: int = 0


def filled(rows: Sequence[Row], kind: np.dtype[np.void]) -> Sockets:
    made = np.zeros(len(rows), kind)
    for cell, row in zip(made, rows, strict=True):
        cell["local"] = np.void(mapped(ipaddress.ip_address(row.local)))
        cell["remote"] = np.void(mapped(ipaddress.ip_address(row.remote)))
        cell["local_port"], cell["family"] = row.port, 10 if ":" in row.local else 2
        for name in (kind.names or ())[1:]:
            if name in Row._fields and name not in ("local", "remote"):
                cell[name] = getattr(row, name)
        cell["cookie"] = np.void(bytes(range(8)))
    return made


def table(rows: Sequence[Row]) -> Sockets:
    return filled(rows, SOCKET)


def listening(*ends: tuple[str, int]) -> list[Row]:
    return [Row(address, port, "::" if ":" in address else "0.0.0.0", 0, State.LISTEN) for address, port in ends]


class World(NamedTuple):
    """What is there, and what is asked."""

    rows: list[Row]
    listeners: list[Row]
    facts: PortFacts | None = FACTS
    where: Where = EVERYWHERE
    is_asked: "Callable[[Pair], bool]" = lambda pair: True

    def usage(self, *tables: Sequence[Row]) -> Usage:
        parts = [table(rows) for rows in tables or [self.rows]]
        return Usage.of(iter(parts), filled(self.listeners, LISTENER), self.facts, self.where)

    @property
    def automatic(self) -> set[int]:
        if self.facts is None:
            return set()
        return {port for port in self.facts.port_range if port not in self.facts.reserved_ports}

    @property
    def usable(self) -> set[int]:
        return self.automatic - got_by_bind(self)


# The oracle: one socket at a time.


class Pair(NamedTuple):
    """A name for one: addresses as they are shown."""

    role: Role
    source: str
    destination: str
    port: int

    @property
    def end(self) -> str:
        return str(Endpoint(ipaddress.ip_address(self.destination), self.port))


class Count(NamedTuple):
    established: int
    time_wait: int
    close_wait: int
    other: int
    taken: int

    @property
    def sockets(self) -> int:
        return sum(self[:4])


def shown(address: str) -> str:
    """Of an IPv4-mapped IPv6 address the IPv4 one."""
    value = ipaddress.ip_address(address)
    return str(getattr(value, "ipv4_mapped", None) or value)


def is_connected(row: Row) -> bool:
    return row.state not in (State.CLOSE, State.LISTEN)


def is_servers(row: Row, listeners: Sequence[Row]) -> bool:
    if row.state in (State.SYN_RECV, State.NEW_SYN_RECV):
        return True
    for each in listeners:
        is_everywhere = each.local == "::" or (each.local == "0.0.0.0" and ":" not in shown(row.local))
        if each.port == row.port and (is_everywhere or shown(each.local) == shown(row.local)):
            return True
    return False


def pair_of(row: Row, listeners: Sequence[Row]) -> Pair:
    if is_servers(row, listeners):
        return Pair(Role.SERVER, shown(row.remote), shown(row.local), row.port)
    return Pair(Role.CLIENT, shown(row.local), shown(row.remote), row.remote_port)


def source_port(pair: Pair, row: Row) -> int:
    return row.remote_port if pair.role is Role.SERVER else row.port


def got_by_bind(world: World) -> set[int]:
    bound = {row.port for row in world.rows if row.chosen == Chosen.BOUND or row.state == State.CLOSE}
    return bound | {row.port for row in world.listeners}


def is_taken_over(row: Row, facts: PortFacts | None) -> bool:
    return facts is not None and permits(row, facts) and MINUTE_MS - row.expires_ms >= facts.tw_reuse_delay_ms


def may_be_taken_over(row: Row, facts: PortFacts | None) -> bool:
    """… where the kernel compares whole seconds, also a young one."""
    return is_taken_over(row, facts) or (facts is not None and permits(row, facts) and not facts.tw_reuse_in_ms)


def permits(row: Row, facts: PortFacts) -> bool:
    is_loopback = any(ipaddress.ip_address(shown(end)).is_loopback for end in (row.local, row.remote))
    reuses = facts.timestamps and (facts.tw_reuse == 1 or (facts.tw_reuse == 2 and is_loopback))
    return reuses and row.state == State.TIME_WAIT


def sorted_out(world: World) -> dict[Pair, list[Row]]:
    found = defaultdict(list)
    for row in filter(is_connected, world.rows):
        pair = pair_of(row, world.listeners)
        if world.is_asked(pair):
            found[pair].append(row)
    return found


def counted(pair: Pair, rows: Sequence[Row], world: World) -> Count:
    states = Counter(row.state for row in rows)
    known = states[State.ESTABLISHED], states[State.TIME_WAIT], states[State.CLOSE_WAIT]
    taken = [row for row in rows if row.port in world.usable and not may_be_taken_over(row, world.facts)]
    return Count(*known, len(rows) - sum(known), 0 if pair.role is Role.SERVER else len(taken))


def unsure(world: World, pair: Pair) -> int:
    """Open ports that no connection of this pair's own has taken for sure, and those that one may have taken."""
    rows = [row for row in sorted_out(world)[pair] if row.port in world.usable]
    fewest = {row.port for row in rows if not may_be_taken_over(row, world.facts)}
    own = {row.port for row in rows if not is_taken_over(row, world.facts)}
    return len((own | set(np.flatnonzero(world.usage().unattributed).tolist())) - fewest)


def expected(world: World) -> dict[Pair, Count]:
    return {pair: counted(pair, rows, world) for pair, rows in sorted_out(world).items()}


def told(usage: Usage) -> dict[Pair, Count]:
    """What the product says, in the oracle's form."""
    found = {}
    for number, pair in enumerate(usage.pairs):
        role = Role.SERVER if pair["is_server"] else Role.CLIENT
        end = Endpoint.parse(usage.destination(number))
        name = Pair(role, usage.source(number), str(end.address), end.port)
        found[name] = Count(*(int(pair[each]) for each in (*pairs.COUNTS, "taken")))
    assert len(found) == len(usage.pairs)
    return found


def name_of(usage: Usage, number: int) -> Pair:
    return list(told(usage))[number]


# Random worlds, small enough that everything meets everything.

PORTS = st.integers(LOW - 1, LOW + 9)
IPV4 = ("10.0.0.4", "10.0.0.5", "127.0.0.1", "::ffff:10.0.0.4", "::ffff:10.0.0.9", "10.0.0.9")
IPV6 = ("fd00::4", "::1", "fd00::9", "::a00:4")
REMOTE_PORTS = st.sampled_from([80, 81, LOW + 3])
STATES = st.sampled_from([State.ESTABLISHED] * 4 + [State.TIME_WAIT] * 3 + list(State)[:-1])
CLIENT_STATES = STATES.filter(lambda state: state not in (State.SYN_RECV, State.NEW_SYN_RECV, State.LISTEN))
EXPIRES_MS = st.sampled_from([0, 1, 59_000, 59_001, 60_000])
FILTERS: list[tuple[Where, Callable[[Pair], bool]]] = [
    (EVERYWHERE, lambda pair: True),
    (Where.parse([":80"], []), lambda pair: pair.port == 80),
    (Where.parse(["10.0.0.9"], []), lambda pair: pair.destination == "10.0.0.9"),
    (Where.parse(["10.0.0.9:81", "[fd00::9]"], []), lambda pair: pair.end == "10.0.0.9:81" or pair[2] == "fd00::9"),
    (Where.parse([], ["10.0.0.0/24"]), lambda pair: pair.source.startswith("10.0.0.")),
    (Where.parse([":80-81"], ["fd00::4"]), lambda pair: pair.source == "fd00::4" and pair.port in (80, 81)),
]


@st.composite
def rows(draw: st.DrawFn, states: st.SearchStrategy[State] = STATES) -> Row:
    addresses = draw(st.sampled_from((IPV4, IPV4, IPV6)))
    port = draw(st.one_of(PORTS, PORTS, st.sampled_from((80, 8080))))
    state = draw(states)
    return Row(
        draw(st.sampled_from(addresses)),
        port,
        draw(st.sampled_from(addresses)),
        draw(REMOTE_PORTS),
        state,
        draw(st.sampled_from([Chosen.UNKNOWN, Chosen.LATE, Chosen.UNKNOWN, Chosen.LATE, Chosen.BOUND])),
        draw(EXPIRES_MS),
        draw(st.sampled_from([0, 33, 1000])),
        draw(st.integers(0, 6)),
    )


LISTENERS = st.one_of(
    st.tuples(st.just("0.0.0.0"), st.sampled_from((80, 8080, LOW + 9))),
    st.tuples(st.just("::"), st.sampled_from([80, LOW + 3])),
    st.tuples(st.sampled_from([*IPV4, *IPV6]), st.sampled_from([80, LOW, LOW + 1, LOW + 3])),
).map(lambda end: listening(end)[0])


@st.composite
def facts(draw: st.DrawFn) -> PortFacts:
    reserved = draw(st.lists(PORTS, max_size=2))
    return PortFacts(
        port_range=range(LOW, LOW + draw(st.integers(1, 10))),
        reserved_ports=Ranges(range(port, port + 1) for port in reserved),
        tw_reuse=draw(st.integers(0, 2)),
        tw_reuse_delay_ms=draw(st.sampled_from((1, 1000, 60_000))),
        timestamps=draw(st.booleans()),
        tw_reuse_in_ms=draw(st.booleans()),
        bind_is_released=draw(st.booleans()),
    )


@st.composite
def worlds(draw: st.DrawFn, most: int = 25) -> World:
    """A kernel never has a 4-tuple twice, also not once as IPv4 and once as IPv4 in IPv6."""

    def ends(row: Row) -> tuple[str, ...]:
        return tuple(str(each).removeprefix("::ffff:") for each in row[:4])

    return World(
        draw(st.lists(rows(), max_size=most, unique_by=ends)),
        draw(st.lists(LISTENERS, max_size=3)),
        draw(st.one_of(st.none(), facts(), facts(), facts())),
        *draw(st.sampled_from(FILTERS)),
    )


FEW = settings(max_examples=40)


def split(rows: Sequence[Row], places: Sequence[int]) -> list[Sequence[Row]]:
    edges = [0, *sorted(min(place, len(rows)) for place in places), len(rows)]
    return [rows[start:stop] for start, stop in itertools.pairwise(edges)]


@settings(max_examples=150)
@given(worlds())
def test_pairs_are_what_a_plain_count_finds(world: World) -> None:
    assert told(world.usage()) == expected(world)


@FEW
@given(worlds())
def test_each_socket_has_a_row_with_its_pair(world: World) -> None:
    usage = world.usage()
    names = list(told(usage))
    found = Counter(
        (names[row["pair"]], *(int(row[name]) for name in ("port", "state", "uid", "inode", "is_late", "reuse")))
        for chunk in usage.chunks
        for row in chunk
    )

    assert found == Counter(
        (pair, source_port(pair, row), row.state, row.uid, row.inode, row.chosen == Chosen.LATE, reused)
        for pair, sockets in sorted_out(world).items()
        for row in sockets
        for reused in [is_taken_over(row, world.facts) + may_be_taken_over(row, world.facts)]
    )


@FEW
@given(worlds())
def test_what_is_bound_is_known_whatever_is_asked(world: World) -> None:
    """And by which state: a socket of those that have the port."""
    usage = world.usage()
    holding = defaultdict(set)
    for row in [*world.listeners, *world.rows]:
        if row in world.listeners or row.chosen == Chosen.BOUND or row.state == State.CLOSE:
            holding[row.port].add((row.state, row.uid, row.inode))

    assert set(np.flatnonzero(usage.bound).tolist()) == got_by_bind(world)
    assert set(np.flatnonzero(usage.free).tolist()) == world.usable
    assert usage.idle == sum(row.state == State.CLOSE for row in world.rows)
    assert all(tuple(usage.holders[port].tolist()) in some for port, some in holding.items())


@FEW
@given(worlds())
def test_states_and_connections_are_what_a_plain_count_finds(world: World) -> None:
    usage, found = world.usage(), sorted_out(world)
    roles = [(pair.role, row) for pair, some in found.items() for row in some]
    ports = Counter(row.port for role, row in roles if role is Role.CLIENT)

    for number, role in enumerate((Role.CLIENT, Role.SERVER)):
        states = Counter(int(row.state) for each, row in roles if each is role)
        assert {state: n for state, n in enumerate(usage.states[number].tolist()) if n} == states
    assert {port: n for port, n in enumerate(usage.connections.tolist()) if n} == ports


@FEW
@given(worlds(40), st.lists(st.integers(0, 40), max_size=12), st.integers(1, 6), st.integers(0, 6))
def test_splitting_the_tables_changes_nothing(world: World, places: list[int], piece: int, more: int) -> None:
    """Whichever number of rows is folded at once, and whichever a chunk has."""
    whole = world.usage()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pairs, "PIECE", piece)
        patch.setattr(pairs, "CHUNK", piece + more)
        usage = world.usage(*split(world.rows, places))

    assert told(usage) == told(whole)
    assert np.array_equal(usage.pairs["hash"], np.sort(usage.pairs["hash"]))
    for name in ("states", "connections", "unattributed", "bound", "free"):
        assert np.array_equal(getattr(usage, name), getattr(whole, name)), name


def test_pairs_that_come_table_by_table_are_added_up() -> None:
    """Each table has 20 pairs that were there before, and 10 new ones."""
    tables = [[Row("10.0.0.4", LOW, "10.0.0.9", 10 * n + port) for port in range(30)] for n in range(1, 40)]
    world = World(list(itertools.chain(*tables)), [])

    assert told(world.usage(*tables)) == expected(world)


@FEW
@given(st.lists(rows(CLIENT_STATES), max_size=25), facts(), st.lists(st.integers(0, 25), max_size=3))
def test_unattributed_ports_are_those_of_the_port_model(rows: list[Row], facts: PortFacts, places: list[int]) -> None:
    """Of the usable ones, and where nobody was accepted: that model takes those for the others."""
    tables = split(rows, places)
    space = TupleSpace.of(["10.0.0.4"], Ranges([range(LOW, LOW + 9)]), ["10.0.0.9:80"])
    use = PortUse.of(map(table, tables), space)

    usage = World(rows, [], facts).usage(*tables)

    assert np.array_equal(usage.unattributed, use.not_attributed(facts) & facts.automatic_ports.mask)


def test_unattributed_ports_of_one_example_each() -> None:
    """connect() chose the second; the third, as two share it, one of which lives; the fourth was bound."""
    rows = [
        Row("10.0.0.4", LOW, "10.0.0.9", 80),
        Row("10.0.0.4", LOW + 1, "10.0.0.9", 80, chosen=Chosen.LATE),
        Row("10.0.0.4", LOW + 2, "10.0.0.9", 80),
        Row("10.0.0.4", LOW + 2, "10.0.0.9", 81, State.TIME_WAIT),
        Row("10.0.0.4", LOW + 3, "10.0.0.9", 80, chosen=Chosen.BOUND),
        Row("10.0.0.4", LOW + 4, "10.0.0.9", 80),  # reserved
        Row("10.0.0.4", LOW + 5, "10.0.0.9", 80, State.TIME_WAIT),
        Row("10.0.0.4", LOW + 5, "10.0.0.9", 81, State.TIME_WAIT),
        Row("10.0.0.9", LOW + 6, "10.0.0.4", 80, State.SYN_RECV),  # a server's
        Row("10.0.0.4", LOW + 7, "10.0.0.9", 80, State.TIME_WAIT, Chosen.LATE),
        Row("10.0.0.4", LOW + 7, "10.0.0.9", 81, State.TIME_WAIT),
        Row("10.0.0.4", LOW + 8, "10.0.0.9", 80, State.TIME_WAIT, Chosen.LATE),
        Row("10.0.0.4", LOW + 8, "10.0.0.9", 81, State.TIME_WAIT, Chosen.LATE),
        Row("10.0.0.4", LOW + 9, "10.0.0.9", 80),
        Row("10.0.0.5", LOW + 9, "10.0.0.9", 80),  # the same port, another end
    ]

    assert np.flatnonzero(World(rows, []).usage().unattributed).tolist() == [LOW, LOW + 5, LOW + 7, LOW + 9]


def test_a_port_is_taken_by_all_but_these() -> None:
    """One that is reserved, outside the range, or bound by anybody; one in TIME_WAIT that connect() takes over."""
    facts = replace(FACTS, tw_reuse=1)
    rows = [
        Row("10.0.0.4", LOW, "10.0.0.9", 80),
        Row("10.0.0.4", LOW + 1, "10.0.0.9", 80, State.TIME_WAIT, expires_ms=59_001),
        Row("10.0.0.4", LOW + 2, "10.0.0.9", 80, State.TIME_WAIT, expires_ms=59_000),
        Row("10.0.0.4", LOW + 3, "10.0.0.9", 80, State.LAST_ACK),
        Row("10.0.0.4", LOW + 4, "10.0.0.9", 80),
        Row("10.0.0.4", LOW + 5, "10.0.0.9", 80),
        Row("10.0.0.5", LOW + 5, state=State.CLOSE),
        Row("10.0.0.4", LOW + 6, "10.0.0.9", 80, chosen=Chosen.BOUND),
        Row("10.0.0.4", LOW + 10, "10.0.0.9", 80),
    ]

    assert list(told(World(rows, [], facts).usage()).values()) == [Count(5, 2, 0, 1, 3)]
    assert list(told(World(rows, [], replace(facts, tw_reuse=2)).usage()).values()) == [Count(5, 2, 0, 1, 4)]
    assert list(told(World(rows, [], None).usage()).values()) == [Count(5, 2, 0, 1, 0)]


def test_a_socket_on_another_address_than_the_listener_is_a_clients() -> None:
    """Whichever half of it differs, and whichever number it has in the other IP version."""
    near = ("10.0.0.9", "10.0.0.5", "::a00:9", "fd00::9", "fd01::9", "fd00::8")
    usage = World(
        [Row(address, 80, "::1" if ":" in address else "10.0.0.4", LOW) for address in near],
        listening(("10.0.0.9", 80)),
    ).usage()
    other = World([Row(address, 80, "::1", LOW) for address in near[2:]], listening(("fd00::9", 80))).usage()

    for found, listens in ((usage, "10.0.0.9"), (other, "fd00::9")):
        servers = {pair.destination for pair in told(found) if pair.role is Role.SERVER}
        clients = {pair.source for pair in told(found) if pair.role is Role.CLIENT}
        assert servers == {listens}
        assert clients == {*(near if found is usage else near[2:])} - {listens}


def test_a_listener_on_every_address_of_ipv6_has_ipv4_too() -> None:
    rows = [
        Row("10.0.0.9", 80, "10.0.0.4", LOW),
        Row("fd00::9", 80, "fd00::4", LOW),
        Row("10.0.0.4", LOW, "10.0.0.9", 80),
    ]

    assert [pair.role for pair in sorted(told(World(rows, listening(("::", 80))).usage()))] == [
        Role.CLIENT,
        Role.SERVER,
        Role.SERVER,
    ]


def test_what_listens_comes_apart() -> None:
    """A row of a table that listens says nothing: neither of its port, nor of the sockets there."""
    rows = [*listening(("0.0.0.0", LOW)), Row("10.0.0.9", LOW, "10.0.0.4", 80)]
    usage = World(rows, []).usage()

    assert list(told(usage)) == [Pair(Role.CLIENT, "10.0.0.9", "10.0.0.4", 80)]
    assert not usage.bound.any()
    assert usage.idle == 0


def test_nobody_is_connected() -> None:
    for some in ([], [Row("10.0.0.4", LOW, state=State.CLOSE)]):
        usage = World(some, []).usage([], some)

        assert told(usage) == {}
        assert not usage.states.any()
        assert not usage.unattributed.any()
        assert len(usage.in_state(State.ESTABLISHED)) == 0
        assert [len(View.of(usage, by, None).groups) for by in By] == [0] * len(By)


def test_sockets_in_one_state_are_found_in_all_tables() -> None:
    rows = [Row("10.0.0.4", LOW + n, "10.0.0.9", 80, State.CLOSE_WAIT if n % 2 else State.LAST_ACK) for n in range(6)]
    usage = World(rows, []).usage(rows[:2], rows[2:5], rows[5:])

    assert usage.in_state(State.CLOSE_WAIT)["port"].tolist() == [LOW + 1, LOW + 3, LOW + 5]


FIRST = Row("10.0.0.4", LOW, "10.0.0.9", 80)
COLLIDING = {
    "source": FIRST._replace(local="10.0.0.5"),
    "half a source": FIRST._replace(local="fd00::4"),
    "destination": FIRST._replace(remote="10.0.0.8"),
    "port": FIRST._replace(remote_port=81),
    "role": Row("10.0.0.9", 80, "10.0.0.4", LOW),
}


def no_hashes(keys: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
    return np.zeros(len(keys[0]), np.uint64)


@pytest.mark.parametrize("other", COLLIDING.values(), ids=COLLIDING)
def test_pairs_of_the_same_hash_are_never_taken_for_one(other: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither in one table nor in two."""
    world = World([FIRST, other], listening(("0.0.0.0", 80)))
    assert len(world.usage().pairs) == 2
    monkeypatch.setattr(numbering, "mixed", no_hashes)

    with pytest.raises(HashCollisionError):
        world.usage([FIRST, FIRST, other])
    with pytest.raises(HashCollisionError):
        world.usage([FIRST], [other])
    with pytest.raises(HashCollisionError):
        world.usage([other], [FIRST])


def test_one_pair_alone_does_not_collide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "mixed", no_hashes)

    assert list(told(World([FIRST], []).usage([FIRST], [FIRST])).values()) == [Count(2, 0, 0, 0, 2)]


def test_hashes_tell_pairs_apart_that_differ_in_one_bit() -> None:
    words = np.zeros((5, 5 * 64 + 1), np.uint64)
    for word in range(5):
        words[word, 1 + np.arange(64) + 64 * word] = np.uint64(1) << np.arange(64, dtype=np.uint64)

    assert len(np.unique(mixed(list(words)))) == 5 * 64 + 1


@FEW
@given(worlds())
def test_hashes_that_differ_in_their_last_bits_only_tell_pairs_apart_too(world: World) -> None:
    """They are next to each other where rows are looked for."""
    numbers: dict[tuple[int, ...], int] = {}

    def small(keys: Sequence[NDArray[np.uint64]]) -> NDArray[np.uint64]:
        rows = zip(*(column.tolist() for column in keys), strict=True)
        return np.array([numbers.setdefault(row, len(numbers)) for row in rows], np.uint64)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(numbering, "mixed", small)
        assert told(world.usage()) == expected(world)


@FEW
@given(st.lists(st.tuples(st.sampled_from(IPV4), st.sampled_from([80, 81])), max_size=8), st.lists(rows(), max_size=25))
def test_several_listeners_on_addresses_of_one_port_are_told_apart(
    ends: list[tuple[str, int]], some: list[Row]
) -> None:
    world = World([row._replace(port=80 + row.port % 2) for row in some], listening(*ends))

    assert told(world.usage()) == expected(world)


def test_a_long_table_is_folded_in_pieces() -> None:
    some = [Row("10.0.0.4", LOW + n % 10, "10.0.0.9", 80 + n % 3, inode=n % 7) for n in range(30)]
    usage = Usage.of([np.tile(table(some), 2_000)], filled([], LISTENER), FACTS, EVERYWHERE)

    once = expected(World(some, []))
    assert told(usage) == {pair: Count(*(2_000 * number for number in count)) for pair, count in once.items()}
    assert sum(map(len, usage.chunks)) == 60_000
    names = list(told(usage))
    found = Counter(
        (names[number], port) for chunk in usage.chunks for number, port in chunk[["pair", "port"]].tolist()
    )
    assert found == Counter({(pair_of(row, []), row.port): 2_000 for row in some})


def test_ports_that_are_known_to_be_bound_stay_so() -> None:
    known = np.zeros(65536, bool)
    known[[LOW + 1, 80]] = True
    usage = Usage.of(
        [table([FIRST, Row("10.0.0.4", LOW + 2, state=State.CLOSE)])], filled([], LISTENER), FACTS, EVERYWHERE, known
    )

    assert np.flatnonzero(usage.bound).tolist() == [80, LOW + 1, LOW + 2]
    assert np.flatnonzero(known).tolist() == [80, LOW + 1]
    assert not usage.free[LOW + 1]


# Two looks.

SINCE_S = 1.5


@FEW
@given(worlds(), worlds())
def test_what_was_opened_is_what_was_not_there(before: World, now: World) -> None:
    first, second = before.usage(), now.usage()
    known = {(pair, source_port(pair, row)) for pair, some in sorted_out(before).items() for row in some}
    waited = {
        (pair, source_port(pair, row))
        for pair, some in sorted_out(before).items()
        for row in some
        if row.state == State.TIME_WAIT
    }
    new: Counter[Pair] = Counter()
    for pair, some in sorted_out(now).items():
        for row in some:
            is_fresh = row.state != State.TIME_WAIT or (60_000 - row.expires_ms) // 1000 + 1 < SINCE_S
            end = pair, source_port(pair, row)
            new[pair] += end not in known or (end in waited and is_fresh)

    assert dict(zip(told(second), second.opened_since(first, SINCE_S).tolist(), strict=True)) == {
        pair: new[pair] for pair in told(second)
    }


@FEW
@given(worlds(), worlds())
def test_a_pair_is_found_again(before: World, now: World) -> None:
    first, second = before.usage(), now.usage()
    names, numbers = list(told(first)), second.like(first).tolist()

    assert numbers == [names.index(pair) if pair in names else -1 for pair in told(second)]


@FEW
@given(worlds())
def test_nothing_is_opened_in_no_time(world: World) -> None:
    usage = world._replace(rows=[row for row in world.rows if row.state != State.TIME_WAIT]).usage()

    assert not usage.opened_since(usage, 0).any()
    assert usage.like(usage).tolist() == list(range(len(usage.pairs)))


# What is shown of it.


def groups(world: World, by: By) -> dict[Any, list[tuple[Pair, Row]]]:
    """Sockets by what a row of that kind stands for."""
    found = defaultdict(list)
    for pair, some in sorted_out(world).items():
        for row in some:
            key: Any = pair
            if by is By.DESTINATION:
                key = pair.role, pair.destination, pair.port
            elif by is By.PORT:
                key = pair.role, row.port
            found[key].append((pair, row))
    return found


def key_of(view: View, place: int) -> Any:
    pair = name_of(view.usage, int(view.pairs[place]))
    if view.by is By.DESTINATION:
        return pair.role, pair.destination, pair.port
    if view.by is By.PORT:
        return pair.role, int(view.groups[place]) & 0xFFFF
    return pair


@settings(max_examples=60)
@given(worlds(), st.sampled_from([By.PAIR, By.DESTINATION, By.PORT]), st.integers(1, 8))
def test_groups_are_counted_and_come_in_order(world: World, by: By, most: int) -> None:
    """Clients first; of these the one that has taken most ports, then the one with most sockets; ports by sockets."""
    found, usage = groups(world, by), world.usage()
    view, least = View.of(usage, by, None), View.of(usage, by, most)

    keys = [key_of(view, place) for place in range(len(view.groups))]
    assert len(keys) == len(set(keys)) == view.total == least.total
    assert set(keys) == set(found)
    order = []
    for place, key in enumerate(keys):
        members = {pair for pair, _ in found[key]}
        pair_counts = [counted(pair, [row for each, row in found[key] if each == pair], world) for pair in members]
        assert view.counts[place].tolist() == [
            sum(column) for column in zip(*(c[:4] for c in pair_counts), strict=True)
        ]
        taken = 0 if by is By.PORT else max(count.taken for count in pair_counts)
        assert by is By.PORT or int(view.sizes[place]) == len(members)
        assert by is By.PORT or int(usage.pairs["taken"][view.pairs[place]]) == taken
        rows = view.rows[view.rows["pair"] == place]
        expected_rows = Counter((source_port(pair, row), row.state, row.uid, row.inode) for pair, row in found[key])
        assert Counter(rows[["port", "state", "uid", "inode"]].tolist()) == expected_rows
        order.append((by is not By.PORT and key[0] is Role.SERVER, -taken, -len(found[key])))
    assert order == sorted(order)
    roles: list[Sequence[Any]] = [(None,)] if by is By.PORT else [(Role.CLIENT,), (Role.SERVER,)]
    first = [key for (role,) in roles for key in [each for each in keys if role in (None, each[0])][:most]]
    assert [key_of(least, place) for place in range(len(least.groups))] == first
    assert len(least.rows) == sum(len(found[key]) for key in first)


@FEW
@given(worlds())
def test_the_worst_pairs_come_in_the_order_in_which_they_are_shown(world: World) -> None:
    usage = world.usage()

    assert usage.worst().tolist() == View.of(usage, By.PAIR, None).pairs.tolist()


def test_the_owners_of_hidden_rows_need_not_be_found() -> None:
    """Only of what is shown; of listeners, holders of ports, and leaks in any case."""
    rows = [
        Row("10.0.0.4", LOW, "10.0.0.9", 80, inode=11),
        Row("10.0.0.4", LOW + 1, "10.0.0.9", 80, inode=12),
        Row("10.0.0.4", LOW, "10.0.0.9", 81, inode=13),
        Row("10.0.0.4", LOW, "10.0.0.9", 82, State.CLOSE_WAIT, inode=14),
        Row("10.0.0.4", LOW + 3, state=State.CLOSE, inode=15),
    ]
    listener = Row("0.0.0.0", 80, state=State.LISTEN, inode=16)
    view = View.of(World(rows, [listener]).usage(), By.PAIR, 1)

    assert set(view.inodes.tolist()) - {0} == {11, 12, 14, 15, 16}


# The census.

HOLDERS = Holders(
    processes=((10, "app"), (11, "nginx")),
    inodes=np.array([1, 2, 3], np.uint32),
    numbers=np.array([0, 1, 0]),
    visible=frozenset({0, 1000}),
    users={33: "www-data"},
)


def owner_of(row: Row) -> str:
    """In words, of one socket: a process, or one of NAMELESS."""
    if row.inode == 0:
        return NAMELESS[2]
    if row.inode in (1, 2, 3):
        return "nginx" if row.inode == 2 else "app"
    return NAMELESS[0] if row.uid == 33 else NAMELESS[1]


def census(
    world: World, by: By = By.PAIR, most: int | None = None, *, taken: Source = TAKEN, whole: bool = True
) -> Census:
    view = View.of(world.usage(), by, most)
    return view.census(taken, replace(WORLD, ports=world.facts), HOLDERS, whole=whole)


@FEW
@given(worlds())
def test_a_census_of_pairs_says_what_the_oracle_says(world: World) -> None:
    found, said = expected(world), census(world)
    usable = len(world.usable)

    assert len(said.rows) == said.total == len(found)
    for row in said.rows:
        assert isinstance(row, PairCount)
        end = Endpoint.parse(row.destination)
        pair = Pair(row.role, row.source, str(end.address), end.port)
        count = found[pair]
        assert (row.established, row.time_wait, row.close_wait) == count[:3]
        assert row.other == count.close_wait + count.other
        assert row.used == row.established + row.time_wait + row.other == count.sockets
        if row.role is Role.SERVER or world.facts is None:
            assert (row.usable, row.percent, row.left) == (None, None, None)
        else:
            percent = 100 * count.taken / usable if usable else 100
            assert row.usable == usable
            most = max(0, usable - count.taken)
            assert row.left == Interval(max(0, most - unsure(world, pair)), most)
            assert row.percent == pytest.approx(percent, abs=0.05)
        owners = Counter(owner_of(each) for each in sorted_out(world)[pair])
        assert {process.name: process.sockets for process in row.owners.processes} == {
            name: owners[name] for name in ("app", "nginx") if owners[name]
        }
        rest = row.owners.not_visible, row.owners.no_descriptor, row.owners.kernel, row.owners.unknown
        assert rest == tuple(owners[name] for name in NAMELESS)


@FEW
@given(worlds())
def test_a_census_says_what_ports_there_are(world: World) -> None:
    said, found = census(world), sorted_out(world)
    automatic = set() if world.facts is None else {*world.facts.port_range} - {*world.facts.reserved_ports}
    connections = Counter(row.port for pair, some in found.items() if pair.role is Role.CLIENT for row in some)

    if world.facts is None:
        assert (said.range, said.reserved, said.blocked, said.usable, said.unattributed_ports) == (None, 0, 0, None, 0)
    else:
        ports = world.facts.port_range
        assert said.range == (ports[0], ports[-1])
        assert said.reserved == len(ports) - len(automatic)
        assert said.usable == len(world.usable) == len(automatic) - (said.blocked or 0)
    assert said.blocked == len(automatic & got_by_bind(world))
    assert [each.port for each in said.holdings] == sorted(automatic & got_by_bind(world))
    assert said.shared_ports == sum(n > 1 for n in connections.values())
    if connections:
        assert said.busiest_port is not None
        busiest = said.busiest_port.port, said.busiest_port.connections
        assert busiest == min(connections.items(), key=lambda item: (-item[1], item[0]))
    else:
        assert said.busiest_port is None
    leaks = Counter(owner_of(row) for some in found.values() for row in some if row.state == State.CLOSE_WAIT)
    assert [leak.sockets for leak in said.leaks] == sorted(leaks.values(), reverse=True)


@FEW
@given(worlds())
def test_a_census_by_destination_adds_up_its_pairs_and_tells_what_is_left_of_the_worst(world: World) -> None:
    found, usable = groups(world, By.DESTINATION), len(world.usable)
    counts = expected(world)

    for row in census(world, By.DESTINATION).rows:
        assert isinstance(row, DestinationCount)
        end = Endpoint.parse(row.destination)
        members = {pair for pair, _ in found[row.role, str(end.address), end.port]}
        assert row.sources == len(members)
        assert row.used == row.established + row.time_wait + row.other == sum(counts[pair].sockets for pair in members)
        if row.role is Role.SERVER or world.facts is None:
            assert (row.usable, row.percent, row.left) == (None, None, None)
        else:
            worst = max(counts[pair].taken for pair in members)
            assert row.usable == usable
            assert ends(row.left)[1] == max(0, usable - worst)
            assert counts[Pair(row.role, row.source, str(end.address), end.port)].taken == worst


@FEW
@given(worlds())
def test_a_census_by_port_says_who_holds_it(world: World) -> None:
    found = groups(world, By.PORT)
    said = census(world, By.PORT)

    assert said.total == len(found)
    for row in said.rows:
        assert isinstance(row, PortCount)
        assert row.used == len(found[row.role, row.port])
        assert row.held == (row.port in got_by_bind(world))


@FEW
@given(worlds())
def test_by_process_each_socket_is_somebodys(world: World) -> None:
    found = sorted_out(world)
    owners = Counter(owner_of(row) for some in found.values() for row in some)
    of_pairs = Counter((owner_of(row), pair) for pair, some in found.items() for row in some)
    said = census(world, By.PROCESS)

    processes = [row for row in said.rows if isinstance(row, ProcessCount)]
    assert len(processes) == len(said.rows) == said.total
    assert {row.name: row.used for row in processes} == owners
    assert [row.used for row in processes] == sorted(owners.values(), reverse=True)
    for row in processes:
        assert row.used == row.established + row.time_wait + row.other
        assert row.pid == {"app": 10, "nginx": 11}.get(row.name)
        its = {pair: n for (name, pair), n in of_pairs.items() if name == row.name}
        assert row.pairs == len(its)
        assert row.busiest in {f"{pair.source} → {pair.end}" for pair, n in its.items() if n == max(its.values())}


@FEW
@given(worlds())
def test_by_state_each_socket_is_counted_once(world: World) -> None:
    """Those that listen, and those that are only bound, are nobody's end."""
    said = census(world, By.STATE)
    found = sorted_out(world)
    states = Counter(row.state.name for some in found.values() for row in some)
    states["LISTEN"] += len(world.listeners)
    states["BOUND_INACTIVE"] += sum(row.state == State.CLOSE for row in world.rows)

    rows = [row for row in said.rows if isinstance(row, StateCount)]
    assert len(rows) == len(said.rows) == said.total
    assert {row.state: row.sockets for row in rows} == said.sockets == {name: n for name, n in states.items() if n}
    for role in Role:
        ends = sum(len(some) for pair, some in found.items() if pair.role is role)
        assert ends == sum(row.clients if role is Role.CLIENT else row.servers for row in rows)


BUSY = World(
    rows=[
        *(Row("10.0.0.4", LOW + n, "10.0.0.9", 80, inode=1) for n in range(4)),
        Row("10.0.0.4", LOW + 5, "10.0.0.9", 80, State.TIME_WAIT),
        Row("10.0.0.4", LOW + 6, "10.0.0.9", 80, State.CLOSE_WAIT, inode=3),
        Row("10.0.0.4", LOW + 7, "10.0.0.9", 80, State.FIN_WAIT2),
        Row("10.0.0.4", 50_000, "10.0.0.9", 80),  # not of the range
        Row("10.0.0.5", LOW, "10.0.0.9", 80, inode=2),
        Row("10.0.0.4", 443, "10.0.0.8", 50_123, inode=2),
        Row("10.0.0.4", LOW + 8, state=State.CLOSE, inode=4, uid=33),
        Row("10.0.0.4", LOW + 1, "10.0.0.7", 25, chosen=Chosen.BOUND, inode=5),
    ],
    listeners=[
        Row("0.0.0.0", 443, state=State.LISTEN, inode=2, recv_q=3, send_q=128),
        Row("fd00::4", LOW + 9, "::", state=State.LISTEN, inode=2, recv_q=129, send_q=128, drops=7),
    ],
)


def test_a_census_as_json_has_these_keys_and_values() -> None:
    """usable: ten ports less one reserved, one that is bound, one bound and connected, and one that listens."""
    said = census(BUSY).to_json()
    first, second, third, fourth = said["pairs"]

    assert {name: said[name] for name in ("netns", "kernel", "read_from", "changed", "seconds")} == {
        "netns": "net:[7]",
        "kernel": "6.18.1",
        "read_from": SOCK_DIAG,
        "changed": 0,
        "seconds": 0.5,
    }
    ports = ("range", "reserved", "blocked", "usable", "approximate", "total", "shared_ports")
    assert [said[name] for name in ports] == [(LOW, LOW + 9), 1, 3, 6, False, 4, 2]
    assert said["sockets"] == {
        "ESTABLISHED": 8, "FIN_WAIT2": 1, "TIME_WAIT": 1, "BOUND_INACTIVE": 1, "CLOSE_WAIT": 1, "LISTEN": 2,
    }  # fmt: skip
    assert said["busiest_port"] == {"port": LOW, "connections": 2}
    assert {name: value for name, value in first.items() if name != "owners"} == {
        "role": "client",
        "source": "10.0.0.4",
        "destination": "10.0.0.9:80",
        "established": 5,
        "time_wait": 1,
        "other": 2,
        "close_wait": 1,
        "used": 8,
        "usable": 6,
        "percent": 100.0,
        "left": 0,
        "left_least": 0,
        "owner": "app (10)",
        "opened_per_s": None,
        "exhausted_in_s": None,
    }
    assert first["owners"]["kernel"] == 3
    assert (second["source"], second["used"], second["percent"], second["left"]) == ("10.0.0.5", 1, 16.7, 5)
    assert (third["destination"], third["used"], third["left"]) == ("10.0.0.7:25", 1, 6)
    assert (fourth["role"], fourth["source"], fourth["destination"]) == ("server", "10.0.0.8", "10.0.0.4:443")
    assert [fourth[name] for name in ("usable", "percent", "left")] == [None] * 3
    assert [each["address"] for each in said["listeners"]] == [f"[fd00::4]:{LOW + 9}", "0.0.0.0:443"]
    full = said["listeners"][0]
    assert (full["recv_q"], full["backlog"], full["drops"], full["in_range"], full["owner"]) == (
        129,
        128,
        7,
        True,
        "nginx (11)",
    )
    assert [(each["port"], each["how"], each["owner"]) for each in said["holdings"]] == [
        (LOW + 1, "bound and connected", "io_uring"),
        (LOW + 8, "bound", "user www-data"),
        (LOW + 9, "listening", "nginx (11)"),
    ]
    assert [(leak["owner"], leak["sockets"]) for leak in said["leaks"]] == [("app (10)", 1)]
    assert "by" not in said
    assert "rows" not in said


@pytest.mark.parametrize("by", By)
def test_rows_come_under_the_name_of_their_kind(by: By) -> None:
    said = census(BUSY, by).to_json()

    assert [name for name in ("pairs", "destinations", "ports", "states", "processes") if name in said] == [by.plural]
    assert len(said[by.plural]) == said["total"] > 1


def test_without_all_states_nobody_knows_what_is_left() -> None:
    for by in (By.PAIR, By.DESTINATION):
        for row in census(BUSY, by, whole=False).rows:
            assert isinstance(row, PairCount | DestinationCount)
            assert (row.usable, row.percent, row.left) == (None, None, None)


def test_proc_tells_no_queues() -> None:
    said = census(BUSY, taken=replace(TAKEN, read_from=PROC_NET_TCP))

    assert {(each.backlog, each.drops) for each in said.listeners} == {(None, None)}


@pytest.mark.parametrize(("changed", "approximate"), [(0, False), (3, True), (None, True)])
def test_a_table_that_moved_gives_an_approximate_census(changed: int | None, approximate: bool) -> None:
    assert census(BUSY, taken=replace(TAKEN, changed=changed)).approximate is approximate


def test_lost_connections_are_told_and_other_counters_are_not() -> None:
    world = replace(WORLD, ports=FACTS, counters={"ListenDrops": 3, "ActiveOpens": 9, "nf_conntrack.drop": 0})

    said = View.of(BUSY.usage(), By.PAIR, None).census(TAKEN, world, HOLDERS)

    assert said.counters == {"ListenDrops": 3, "nf_conntrack.drop": 0}


def test_what_is_usable_is_nothing_and_a_pair_is_full() -> None:
    """Every port of the range is somebody's."""
    rows = [Row("10.0.0.4", LOW + n, state=State.CLOSE) for n in range(10)]
    (row,) = census(World([*rows, Row("10.0.0.4", 50_000, "10.0.0.9", 80)], [])).rows

    assert isinstance(row, PairCount)
    assert (row.usable, row.percent, row.left) == (0, 100.0, Interval.of(0))


def test_a_second_look_says_what_was_opened_and_when_nothing_will_be_left() -> None:
    """One has grown by two in 4 s and has three left, one is new, one has lost a connection, one goes round."""
    start = [
        Row("10.0.0.4", LOW, "10.0.0.9", 80),
        Row("10.0.0.4", LOW, "10.0.0.9", 82),
        Row("10.0.0.4", LOW + 1, "10.0.0.9", 82),
        Row("10.0.0.4", LOW, "10.0.0.9", 83),
    ]
    more = [Row("10.0.0.4", LOW + n, "10.0.0.9", 80) for n in (1, 2)]
    other = [Row("10.0.0.4", LOW + n, "10.0.0.9", 81) for n in (0, 1, 2, 3)]
    before = World(start, [], PortFacts(range(LOW, LOW + 6), Ranges([])))
    now = before._replace(rows=[start[0], *more, *other, start[1], Row("10.0.0.4", LOW + 1, "10.0.0.9", 83)])
    view = View.of(now.usage(), By.PAIR, None)

    said = view.census(TAKEN, replace(WORLD, ports=now.facts), HOLDERS, before.usage(), 4.0)

    found = {}
    for row in said.rows:
        assert isinstance(row, PairCount)
        found[row.destination[-2:]] = (ends(row.left)[1], row.opened_per_s, row.exhausted_in_s)
    assert found == {"80": (3, 0.5, 6.0), "81": (2, 1.0, 2.0), "82": (5, 0.0, None), "83": (5, 0.2, None)}


def test_with_fewer_rows_the_others_are_not_told_again() -> None:
    rows = [Row("10.0.0.4", LOW + n, "10.0.0.9", port) for port in range(80, 90) for n in range(port - 79)]
    world = World(rows, [])

    said = View.of(world.usage(), By.PAIR, 2).census(TAKEN, replace(WORLD, ports=FACTS), HOLDERS, world.usage(), 1)

    assert [row.destination for row in said.rows if isinstance(row, PairCount)] == ["10.0.0.9:89", "10.0.0.9:88"]
    assert said.total == 10
    assert said.sockets == {"ESTABLISHED": 55}


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        (Motion(5, 10), Motion(5, 10), 0),
        (Motion(5, 10), Motion(8, 13), 3),
        (Motion(5, 10), Motion(8, 10), 6),
        (Motion(5, 10), Motion(5, 7), 3),
        (Motion(5, 10), Motion(6, 14), 1),
        (Motion(None, 0), Motion(5, 7), None),
        (Motion(5, 7), Motion(None, 0), None),
    ],
    ids=["still", "came", "came and went", "went", "others came", "unknown before", "unknown after"],
)
def test_motion_is_what_came_and_what_went(before: Motion, after: Motion, changed: int | None) -> None:
    assert before.until(after) == changed


@pytest.mark.parametrize(("ports", "ends_s"), [(31, None), (29, 48.0)])
def test_time_waits_that_level_off_do_not_use_up_the_ports(ports: int, ends_s: float | None) -> None:
    """5 in 10 s, each for 60 s, are 30 at a time at last."""
    waiting = [Row("10.0.0.4", LOW + n, "10.0.0.9", 80, State.TIME_WAIT, expires_ms=55_000) for n in range(5)]
    facts = PortFacts(range(LOW, LOW + ports), Ranges([]), tw_reuse=0)
    now, before = World(waiting, [], facts), World([], [], facts)

    said = View.of(now.usage(), By.PAIR, None).census(TAKEN, replace(WORLD, ports=facts), HOLDERS, before.usage(), 10.0)

    assert isinstance(said.rows[0], PairCount)
    assert (said.rows[0].opened_per_s, said.rows[0].exhausted_in_s) == (0.5, ends_s)
