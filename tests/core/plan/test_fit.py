"""Do they fit, and does what is offered make them? Every way is tried: its numbers are put in, and counted again."""

import ipaddress
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from fourtuple.core.limits.cost import CLIENT_END_BYTES, SERVER_END_BYTES
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.limits.ports import PortRoom, PortUse
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.verdicts import Scope, Verdict
from fourtuple.core.plan import fit
from fourtuple.core.plan.claims import Reservation
from fourtuple.core.plan.fit import WIDEST, Change, Check, Fit, Means, Says, Way
from fourtuple.core.plan.nat import nat_budget
from fourtuple.core.sockets.table import SOCKET, Chosen, Sockets, State, mapped
from fourtuple.core.space.endpoints import EndpointSpec
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import TupleSpace
from tests.core import quiet
from tests.told import numbers

RANGE, EXPLICIT, BIND0 = fit.PORT_LIMITS
CONNTRACK = "net.netfilter.nf_conntrack_max"
LOW = 40_000
NOWHERE = "127.200.0.1:1"  # to which nobody is connected
# An example folds sockets some ten times, and a failing one is small as it is.
TRIED = settings(deadline=None, max_examples=80, phases=(Phase.reuse, Phase.generate))
WORLD = replace(quiet.WORLD, process=replace(quiet.PROCESS, files_soft=1024, files_hard=4096))


# Limits, weighed against a number.


def verdict(limit: str, room: int | None, most: int | None = None, *, stops: bool = True) -> Verdict:
    return Verdict(
        limit=limit,
        title=f"the {limit}",
        scope=Scope.HOST,
        value=None,
        ceiling=None,
        in_use=None,
        room=None if room is None else Interval(room, room if most is None else most),
        exact=True,
        stops=stops,
        call="",
        errno="",
        counter="",
        seen="",
        fix="",
        needs="",
        note=f"of the {limit}",
    )


@pytest.mark.parametrize(
    ("wanted", "says"),
    [(99, Says.OK), (100, Says.OK), (101, Says.PERHAPS), (200, Says.PERHAPS), (201, Says.BLOCKS)],
)
def test_a_limit_blocks_where_even_its_most_is_fewer(wanted: int, says: Says) -> None:
    """From 100 to 200 are left: 100 are surely there, 200 perhaps."""
    (check,) = fit.checks([verdict("a", 100, 200)], wanted, uncounted={})

    assert check == Check("a", "the a", Interval(100, 200), says, "of the a")


def test_what_is_one_number_never_perhaps_blocks() -> None:
    assert [fit.checks([verdict("a", 100)], wanted, uncounted={})[0].says for wanted in (100, 101)] == [
        Says.OK,
        Says.BLOCKS,
    ]


def test_what_stops_nothing_or_is_unknown_is_no_check() -> None:
    assert fit.checks([verdict("a", 1, stops=False), verdict("b", None)], 100, uncounted={}) == ()


def test_a_limit_that_does_not_count_says_why() -> None:
    """It is there, without numbers, however small it is."""
    found = fit.checks([verdict("a", 1), verdict("b", 1)], 100, uncounted={"a": "hold needs none", "c": "-"})

    assert [(check.limit, check.says, check.room) for check in found] == [
        ("b", Says.BLOCKS, Interval.of(1)),
        ("a", Says.OK, None),
    ]
    assert found[1].note == "hold needs none"


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), max_size=8), st.integers(1, 40))
def test_what_blocks_comes_first_then_what_perhaps_does(rooms: list[tuple[int, int]], wanted: int) -> None:
    """Among equals the order is that of the verdicts, the tightest first."""
    verdicts = [verdict(str(number), room, room + more) for number, (room, more) in enumerate(rooms)]
    found = fit.checks(verdicts, wanted, uncounted={})
    keys = [((Says.BLOCKS, Says.PERHAPS, Says.OK).index(check.says), int(check.limit)) for check in found]

    assert len(found) == len(rooms)
    assert keys == sorted(keys)


# Ways out of ports that are used up, each tried.


class Asked(NamedTuple):
    """Who is there, from where to where, by which strategy, and how many are wanted."""

    rows: Sockets
    facts: PortFacts
    sources: Sequence[str]
    first: int  # destination ports of 127.0.0.9
    last: int
    strategy: Strategy

    def space(self, sources: Sequence[str] = (), destination: str = "", ports: Ranges | None = None) -> TupleSpace:
        automatic = self.strategy is not Strategy.EXPLICIT
        usual = self.facts.automatic_ports if automatic else Ranges([self.facts.port_range])
        destination = destination or f"127.0.0.9:{self.first}-{self.last}"
        return TupleSpace.of(sources or self.sources, ports or usual, [destination])

    def room(self, space: TupleSpace, strategy: Strategy | None = None) -> PortRoom:
        return PortUse.of([self.rows], space).room(self.facts, strategy or self.strategy)

    def fresh(self, strategy: Strategy | None = None, ports: Ranges | None = None) -> Interval:
        found = self.room(self.space(destination=NOWHERE, ports=ports), strategy)
        return Interval(found.room.least // found.pairs, found.room.most // found.pairs)

    @property
    def widened(self) -> "Asked":
        return self._replace(facts=replace(self.facts, port_range=WIDEST))

    @property
    def means(self) -> Means:
        space = self.space()
        return Means(
            space=space,
            strategy=self.strategy,
            facts=self.facts,
            ports=self.room(space),
            fresh=self.fresh().least,
            hoped=self.fresh().most,
            because="nobody knows",
            wide=self.widened.fresh(Strategy.LATE).least,
            explicit=self.fresh(Strategy.EXPLICIT, Ranges([WIDEST])).least,
            own=WIDEST,
            reservation=Reservation.of(self.facts, WIDEST, ()),
            spare=(),
            here=True,
            connected=len(self.rows),
            noport=PortUse.of([self.rows], space).room(self.facts, Strategy.NOPORT).room.least,
            named="127.0.0.9",
        )


class Socket(NamedTuple):
    local: str
    port: int
    remote_port: int
    state: State = State.ESTABLISHED
    chosen: Chosen = Chosen.LATE


def table(sockets: Sequence[Socket]) -> Sockets:
    rows = np.zeros(len(sockets), SOCKET)
    for row, socket in zip(rows, sockets, strict=True):
        connected = socket.state not in (State.LISTEN, State.CLOSE)
        row["local"] = np.void(mapped(ipaddress.ip_address(socket.local)))
        row["remote"] = np.void(mapped(ipaddress.ip_address("127.0.0.9" if connected else "0.0.0.0")))
        row["local_port"], row["remote_port"] = socket.port, socket.remote_port if connected else 0
        row["state"], row["chosen"] = socket.state, socket.chosen
    return rows


@st.composite
def asked(draw: st.DrawFn, strategies: Sequence[Strategy]) -> Asked:
    """Small ranges, some ports reserved, bound or connected already, one to three sources with gaps."""
    low, size = LOW + draw(st.integers(0, 1)), draw(st.integers(1, 20))
    ports = range(low, low + size)
    reserved = Ranges(range(port, port + 1) for port in draw(st.lists(st.sampled_from(ports), max_size=3)))
    facts = PortFacts(ports, reserved, range_is_quick=draw(st.booleans()))
    last_octets = draw(st.sets(st.integers(2, 6), min_size=1, max_size=3))
    sources = [f"127.0.0.{octet}" for octet in sorted(last_octets)]
    first = draw(st.integers(8000, 8003))
    last = first + draw(st.integers(0, 3))
    sockets = draw(
        st.lists(
            st.builds(
                Socket,
                st.sampled_from(sources),
                st.integers(LOW - 2, LOW + 22),
                st.integers(first, last),
                st.sampled_from([State.ESTABLISHED, State.ESTABLISHED, State.TIME_WAIT, State.LISTEN, State.CLOSE]),
                st.sampled_from(list(Chosen)),
            ),
            max_size=12,
        )
    )
    return Asked(table(sockets), facts, sources, first, last, draw(st.sampled_from(strategies)))


def blocked(ports: PortRoom, wanted: int, limit: str = RANGE) -> list[Check]:
    """What `checks` would say, if it stands in the way."""
    found = fit.checks([verdict(limit, ports.room.least, ports.room.most)], wanted, uncounted={})
    return [check for check in found if check.says != "ok"]


def from_text(text: str) -> list[EndpointSpec]:
    return [EndpointSpec.parse(part) for part in text.split()[1].split(",")]


def rooms_of(question: Asked, way: Way) -> Iterator[int]:
    """What there is with this way taken, for certain, or at most if the way is not sure.

    Then, where it is a matter of how many more, the same with one fewer.
    """

    def room(space: TupleSpace) -> int:
        found = question.room(space).room
        return found.least if way.sure else found.most

    if way.changes:
        (change,) = way.changes
        low, high = map(int, change.after.split())
        wider = question._replace(facts=replace(question.facts, port_range=range(low, high + 1)))
        space = wider.space(destination=way.options) if way.options else wider.space()  # both, where it takes both
        yield wider.room(space).room.least
    elif way.options.startswith("127.0.0.9:"):
        last = int(way.options.rpartition("-")[2])
        assert way.options == f"127.0.0.9:{question.first}-{last}"
        for destination in (way.options, f"127.0.0.9:{question.first}-{last - 1}"):
            yield room(question.space(destination=destination))
    elif way.options:
        specs = from_text(way.options)
        hosts = [spec.host for spec in specs]
        (ports,) = {spec.ports for spec in specs}  # verbs/request.py: every --from must name the same, or none
        if ports is not None:
            found = question.room(question.space(hosts, ports=Ranges([ports])), Strategy.EXPLICIT).room
            yield found.least if way.sure else found.most
            return
        space = question.space(hosts)
        assert set(question.space().sources) < set(space.sources)
        yield room(space)
        most = max(space.sources)
        yield room(question.space([str(space.address(a)) for a in space.sources if a != most]))


def ways_of(question: Asked, means: Means, wanted: int) -> list[Way]:
    limit = EXPLICIT if question.strategy is Strategy.EXPLICIT else RANGE
    return list(fit.ways(blocked(means.ports, wanted, limit), means, WORLD, wanted))


@TRIED
@given(asked([Strategy.LATE, Strategy.PLAIN, Strategy.NOPORT]), st.integers(1, 300))
def test_so_many_more_ends_make_it_fit_and_one_fewer_would_not(question: Asked, more: int) -> None:
    """More destination ports, or more source addresses: the smallest change."""
    means = question.means
    wanted = means.ports.room.least + more
    for way in ways_of(question, means, wanted):
        if way.options and not (way.changes or ":1024-" in way.options):
            enough, fewer = rooms_of(question, way)
            assert fewer < wanted <= enough, way


def held(states: Sequence[State], chosen: Chosen = Chosen.LATE) -> Asked:
    """Ten ports, so many of them held towards the destination in these states."""
    rows = [Socket("127.0.0.2", LOW + place, 8000, state, chosen) for place, state in enumerate(states)]
    return Asked(table(rows), PortFacts(range(LOW, LOW + 10), Ranges([])), ["127.0.0.2"], 8000, 8000, Strategy.LATE)


@pytest.mark.parametrize("strategy", [Strategy.LATE, Strategy.PLAIN, Strategy.NOPORT])
def test_more_addresses_are_offered_although_it_is_unknown_what_chose_the_ports(strategy: Strategy) -> None:
    """bind(address, 0) may have chosen each port: then further ends bring none. It says perhaps, and why."""
    question = held([State.ESTABLISHED] * 10, Chosen.UNKNOWN)._replace(strategy=strategy)
    ports, sources, *others = ways_of(question, question.means, 25)

    assert (ports.options, sources.options.split()[:2]) == ("127.0.0.9:8000-8003", ["--from", "127.0.0.2-5"])
    for way in (ports, sources):
        assert not way.sure
        assert "perhaps enough: nobody knows" in way.text
    assert all(way.sure for way in others)


def test_fewer_that_are_perhaps_enough_are_offered_beside_those_that_are_for_certain() -> None:
    """One port is surely free, nine perhaps are: 15 more addresses for certain, or two."""
    question = held([State.ESTABLISHED] * 9, Chosen.UNKNOWN)
    sources = [way for way in ways_of(question, question.means, 16) if way.options.startswith("--from")]

    assert [(numbers(way.text)[0], way.sure) for way in sources[:2]] == [(15, True), (2, False)]


@pytest.mark.parametrize(("waiting", "wanted", "offered"), [(10, 10, True), (4, 4, True), (4, 5, False), (0, 1, False)])
def test_to_wait_is_offered_if_that_is_enough(waiting: int, wanted: int, offered: bool) -> None:
    """4-tuples in TIME_WAIT become free by themselves; those of open connections do not."""
    states = [State.TIME_WAIT] * waiting + [State.ESTABLISHED] * (10 - waiting)
    question = held(states)
    question = question._replace(facts=replace(question.facts, tw_reuse=0))
    first = ways_of(question, question.means, wanted)[0]

    assert ("TIME_WAIT" in first.text) == offered
    if offered:
        assert numbers(first.text)[0] == waiting


def test_machines_have_as_many_addresses_as_may_be_enough() -> None:
    """Not one for each connection where no port is certain."""
    means = held([State.ESTABLISHED] * 10, Chosen.UNKNOWN).means

    assert fit.machine(2, 40, means, 100, 1000.0).sources == 2


@TRIED
@given(
    asked([Strategy.LATE, Strategy.PLAIN, Strategy.NOPORT]), st.sampled_from(["wide", "explicit"]), st.integers(0, 3)
)
def test_a_wider_range_or_ones_own_choice_makes_it_fit(question: Asked, which: str, less: int) -> None:
    """Up to the last connection that is offered."""
    means = question.means
    each = means.wide if which == "wide" else means.explicit
    wanted = each * means.space.pairs - means.ports.in_use * (which == "wide") - less
    tried = [way for way in ways_of(question, means, wanted) if way.changes or ":1024-" in way.options]
    rooms = [room for way in tried for room in rooms_of(question, way)]
    assume(rooms)  # else nothing is in the way

    assert min(rooms) >= wanted, tried


@TRIED
@given(asked([Strategy.EXPLICIT]), st.integers(1, 300))
def test_every_way_makes_it_fit_where_the_program_chooses(question: Asked, more: int) -> None:
    """Neither the range nor somebody else's choice helps there."""
    means = question.means
    wanted = means.ports.room.least + more
    ways = ways_of(question, means, wanted)

    assert not any(way.changes for way in ways)
    rooms = [room for way in ways for room in itertools.islice(rooms_of(question, way), 1)]
    assume(rooms)  # else they are words alone, without options

    assert min(rooms) >= wanted


@pytest.mark.parametrize(
    ("sources", "options"),
    [
        (["127.0.0.2"], "--from 127.0.0.2:1024-65535"),
        (["127.0.0.2", "127.0.0.4-5"], "--from 127.0.0.2:1024-65535,127.0.0.4-5:1024-65535"),
        (["::1"], "--from [::1]:1024-65535"),
        (["fd00::4-5"], "--from [fd00::4-fd00::5]:1024-65535"),
    ],
)
def test_ones_own_ports_are_named_with_every_source(sources: Sequence[str], options: str) -> None:
    """As --from takes them: the same ports with each, and IPv6 in brackets."""
    destination = "[::1]:80" if ":" in sources[0] else "127.0.0.9:80"
    space = TupleSpace.of(sources, Ranges([range(LOW, LOW + 10)]), [destination])

    assert any(way.options.startswith(options) for way in plain(space.sources.size * 10 + 1, space=space))


def plain(wanted: int, **more: Any) -> list[Way]:
    """From 127.0.0.2 to 127.0.0.9:8000, ports 40000-40009, nobody there."""
    question = Asked(table([]), PortFacts(range(LOW, LOW + 10), Ranges([])), ["127.0.0.2"], 8000, 8000, Strategy.LATE)
    means = replace(question.means, **more)
    return list(fit.ways(blocked(means.ports, wanted), means, WORLD, wanted))


def test_all_ways_out_of_a_range_that_is_too_small() -> None:
    """Ten ports, 25 wanted: two more ports there, two more addresses here, choose yourself, and, by root, widen it."""
    ports, sources, explicit, wide = plain(25)

    assert [way.root for way in (ports, sources, explicit, wide)] == [False, False, False, True]
    assert ports.options == "127.0.0.9:8000-8002"
    assert numbers(ports.text) == [2]
    assert sources.options == "--from 127.0.0.2-4"
    assert numbers(sources.text) == [2]
    assert explicit.options.startswith("--from 127.0.0.2:1024-65535")
    assert wide.changes == (Change("net.ipv4.ip_local_port_range", "40000 40009", "1024 65535"),)


def test_one_is_said_as_one() -> None:
    ports, sources, *_ = plain(11)

    assert numbers(ports.text) == numbers(sources.text) == [1]


def test_what_fits_needs_no_way() -> None:
    assert plain(10) == []


def test_what_the_widest_range_cannot_do_is_not_offered() -> None:
    """64,512 is the last number for one source and one destination."""
    assert [(way.options[:10], bool(way.changes)) for way in plain(64_512)][3:] == [("", True)]
    assert [way.options[:10] for way in plain(64_513)] == ["127.0.0.9:", "--from 127", "127.0.0.9:"]


def test_a_wider_range_is_offered_with_as_few_ports_as_it_takes_then() -> None:
    """Two more than the widest range has: by itself that would take thousands of ports."""
    *_, both = plain(64_514)

    assert (both.root, both.options, len(both.changes)) == (True, "127.0.0.9:8000-8001", 1)


def test_a_range_that_is_as_wide_as_can_be_is_not_offered_again() -> None:
    question = Asked(table([]), PortFacts(WIDEST, Ranges([])), ["127.0.0.2"], 8000, 8000, Strategy.LATE)
    ways = list(fit.ways(blocked(question.means.ports, 64_513), question.means, WORLD, 64_513))

    assert ways
    assert not any(way.changes for way in ways)


def test_connections_from_ports_outside_of_the_range_count_once_it_is_wide() -> None:
    """One is there, from port 39999: of the widest range that is one fewer."""
    facts = PortFacts(range(LOW, LOW + 10), Ranges([]))
    question = Asked(table([Socket("127.0.0.2", LOW - 1, 8000)]), facts, ["127.0.0.2"], 8000, 8000, Strategy.LATE)
    for wanted, offered in ((64_511, True), (64_512, False)):
        ways = list(fit.ways(blocked(question.means.ports, wanted), question.means, WORLD, wanted))
        assert any(way.changes and not way.options for way in ways) == offered


def test_a_range_begins_where_ordinary_users_may_bind() -> None:
    facts = PortFacts(range(LOW, LOW + 10), Ranges([]))
    *_, wide = plain(25, reservation=Reservation.of(facts, range(3000, 65_536), ()))

    assert wide.changes[0].after == "3000 65535"


def test_destinations_that_no_port_lies_behind_are_not_written_out() -> None:
    """Several addresses, or several ranges, or the last ports there are: it is said in words."""
    for destination in ("127.0.0.8-9:8000", "127.0.0.9:65534"):
        address, _, port = destination.partition(":")
        last = 9 if "-" in address else 65534
        question = Asked(table([]), PortFacts(range(LOW, LOW + 10), Ranges([])), ["127.0.0.2"], 1, 1, Strategy.LATE)
        space = TupleSpace.of(["127.0.0.2"], question.facts.automatic_ports, [f"127.0.0.9:{port}"])
        if last == 9:
            space = TupleSpace.of(["127.0.0.2"], question.facts.automatic_ports, ["127.0.0.8:1", "127.0.0.9:1"])
        means = replace(question.means, space=space, ports=question.room(space))
        first = next(fit.ways(blocked(means.ports, 45), means, WORLD, 45))
        assert first.options == ""
        assert numbers(first.text)


def test_an_ipv6_destination_has_brackets() -> None:
    space = TupleSpace.of(["fd00::4"], Ranges([range(LOW, LOW + 10)]), ["[fd00::9]:80"])
    spare = [ipaddress.ip_address("fd00::7"), ipaddress.ip_address("fd00::5"), ipaddress.ip_address("fd00::8")]
    ports, sources, *_ = plain(25, space=space, named="fd00::9", spare=spare)

    assert ports.options == "[fd00::9]:80-82"
    assert sources.options == "--from fd00::4-fd00::5,fd00::7"


def test_other_addresses_of_this_host_are_named_and_new_ones_take_root() -> None:
    space = TupleSpace.of(["10.0.0.4"], Ranges([range(LOW, LOW + 10)]), ["10.0.0.9:80"])
    spare = [ipaddress.ip_address("10.0.0.6"), ipaddress.ip_address("10.0.0.5")]
    _, enough, *_ = plain(25, space=space, named="10.0.0.9", spare=spare)
    _, few, *_ = plain(35, space=space, named="10.0.0.9", spare=spare)

    assert (enough.root, enough.options) == (False, "--from 10.0.0.4-6")
    assert (few.root, few.options, few.changes) == (True, "", ())
    assert numbers(few.text) == [3]
    assert "ip address add ADDRESS/32 " in few.text


def test_loopback_ends_somewhere() -> None:
    """127.255.255.255 is the last address there is."""
    space = TupleSpace.of(["127.255.255.254"], Ranges([range(LOW, LOW + 10)]), ["127.0.0.9:80"])

    assert [way.options for way in plain(25, space=space) if way.options.startswith("--from 127.255.255.254-")] == []


def test_a_program_that_binds_first_is_told_not_to() -> None:
    """Where that makes it fit; more source addresses do so in any case."""
    facts = PortFacts(range(LOW, LOW + 10), Ranges([]))
    question = Asked(table([]), facts, ["127.0.0.2"], 8000, 8002, Strategy.BIND0)
    means = question.means
    way, more = fit.ways(blocked(means.ports, 30, BIND0), means, WORLD, 30)
    alone = list(fit.ways(blocked(means.ports, 31, BIND0), means, WORLD, 31))

    assert (way.limit, way.root, way.options) == (BIND0, False, "--strategy noport")
    assert more.options == "--from 127.0.0.2-4"
    assert [each.options for each in alone] == ["--from 127.0.0.2-5"]


def test_without_a_ground_nothing_is_said_of_ports() -> None:
    assert list(fit.ways([Check(RANGE, "", Interval(1, 1), Says.BLOCKS, "")], None, WORLD, 100)) == []


# Other limits.


@given(st.integers(0, 10**6), st.integers(1, 10**7))
def test_connection_tracking_is_raised_to_what_it_takes(used: int, wanted: int) -> None:
    world = replace(WORLD, sysctls={CONNTRACK: "1000", "net.netfilter.nf_conntrack_count": str(used)})
    (way,) = fit.ways([Check(CONNTRACK, "", Interval(0, 0), Says.BLOCKS, "")], None, world, wanted)
    (change,) = way.changes

    assert (way.root, change.name, change.before) == (True, CONNTRACK, "1000")
    assert used + wanted <= int(change.after) <= 1.1 * (used + wanted)


@pytest.mark.parametrize(("here", "ends"), [(False, 1), (True, 2)])
def test_the_hosts_files_are_raised_for_both_ends_that_are_here(here: bool, ends: int) -> None:
    """fs.file-nr has three numbers, of which the first are the files in use."""
    world = replace(WORLD, sysctls={"fs.file-max": "5000\n", "fs.file-nr": "1234\t0\t5000"})
    means = replace(
        Asked(table([]), PortFacts(WIDEST, Ranges([])), ["127.0.0.2"], 1, 1, Strategy.LATE).means, here=here
    )
    (way,) = fit.ways([Check("fs.file-max", "", Interval(0, 9), Says.PERHAPS, "")], means, world, 10_000)
    (change,) = way.changes

    assert (change.before, change.after) == ("5000", str(int((1234 + ends * 10_000) * 1.1)))


@given(st.sampled_from(["memory", "memory.max"]), st.integers(1, 10**6), st.integers(1, 10**9))
def test_for_want_of_memory_there_are_other_machines(limit: str, room: int, wanted: int) -> None:
    """So many that each has room for its share, and not one more."""
    assume(room < wanted)
    (way,) = fit.ways([Check(limit, "", Interval(room, room), Says.BLOCKS, "")], None, WORLD, wanted)
    machines = int(way.text.rpartition("--machines ")[2])

    assert -(-wanted // machines) <= room
    assert -(-wanted // (machines - 1)) > room
    assert not way.root


def test_past_the_4_tuples_there_are_more_ends_only() -> None:
    (way,) = fit.ways([Check("4-tuple", "", Interval(65_535, 65_535), Says.BLOCKS, "")], None, WORLD, 65_536)

    assert way == Way("4-tuple", False, way.text, "", ())


def test_what_is_ok_has_no_way_out() -> None:
    found = [
        Check(limit, "", Interval(9, 9), Says.OK, "")
        for limit in (RANGE, CONNTRACK, "fs.file-max", "memory", "4-tuple")
    ]

    assert list(fit.ways(found, None, WORLD, 9)) == []


# Settings.


def test_a_change_is_written_and_undone_by_sysctl() -> None:
    """A value of two words takes quotes."""
    wide, table_size = Change(RANGE, "32768 60999", "1024 65535"), Change(CONNTRACK, "1000", "2000")

    assert wide.command == f'sysctl -w {RANGE}="1024 65535"'
    assert wide.undo == f'sysctl -w {RANGE}="32768 60999"'
    assert (table_size.command, table_size.undo) == (f"sysctl -w {CONNTRACK}=2000", f"sysctl -w {CONNTRACK}=1000")


def answer(**more: Any) -> Fit:
    usual: dict[str, Any] = dict.fromkeys(Fit.__dataclass_fields__) | {"says": Says.OK, "ways": (), "checks": ()}
    return Fit(**usual | more)


def test_the_settings_of_all_ways_come_once() -> None:
    change, other = Change(RANGE, "1 2", "1 3"), Change(CONNTRACK, "1", "2")
    ways = [Way("a", True, "", "", (change, other)), Way("b", True, "", "", (change,)), Way("c", False, "", "", ())]

    assert answer(ways=tuple(ways)).changes == (change, other)
    assert answer().changes == ()


@pytest.mark.parametrize(("says", "fits"), [(Says.OK, True), (Says.PERHAPS, False), (Says.BLOCKS, False)])
def test_as_json_it_says_whether_it_fits_and_how_to_undo(says: Says, fits: bool) -> None:
    said = answer(says=says, ways=(Way("a", True, "raise it", "", (Change(CONNTRACK, "1", "2"),)),)).to_json()

    assert said["fits"] is fits
    assert said["ways"][0]["changes"] == [
        {
            "name": CONNTRACK,
            "before": "1",
            "after": "2",
            "command": f"sysctl -w {CONNTRACK}=2",
            "undo": f"sysctl -w {CONNTRACK}=1",
        }
    ]


def test_as_json_every_room_is_two_numbers() -> None:
    """As scripts know it: `room`, at least, and `room_max`, at most; None twice where there is none."""
    checks = (Check("a", "", Interval(3, 7), Says.OK, ""), Check("b", "", None, Says.OK, ""))
    said = answer(room=Interval(3, 9), checks=checks).to_json()

    assert (said["room"], said["room_max"]) == (3, 9)
    assert [list(check) for check in said["checks"]] == [["limit", "title", "room", "room_max", "says", "note"]] * 2
    assert [(check["room"], check["room_max"]) for check in said["checks"]] == [(3, 7), (None, None)]


@pytest.mark.parametrize("besides", ["churn", "machine", "nat"])
def test_what_was_asked_besides_blocks_too(besides: str) -> None:
    """Held they fit; churned so fast, so few machines, or that router: not."""
    facts = PortFacts(range(LOW, LOW + 10), Ranges([]))
    question = Asked(table([]), facts, ["127.0.0.2"], 80, 80, Strategy.LATE)
    made: dict[str, list[Any]] = {
        "churn": [fit.churn(rate, room_of(200), facts, 0, loopback=True) for rate in (1.0, 1e6)],
        "machine": [fit.machine(1, 10, question.means, room, 1.0) for room in (10, 9)],
        "nat": [nat_budget("aws", 1, wanted, 1, 1) for wanted in (55_000, 55_001)],
    }
    fits, lacks = (answer(**{besides: each}) for each in made[besides])

    assert (fits.blocked, fits.to_json()["fits"]) == (False, True)
    assert (lacks.blocked, lacks.to_json()["fits"]) == (True, False)
    assert answer(says=Says.BLOCKS).blocked
    assert not answer(says=Says.PERHAPS).blocked


# Churn, machines, memory.


def room_of(room: int, *, pairs: int = 2, ceiling: int = 200) -> PortRoom:
    return PortRoom(pairs, ceiling, ceiling - room, Interval.of(room), (), (), 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("reuse", "timestamps", "loopback", "kept_s"),
    [
        (0, True, True, 60.0),
        (0, True, False, 60.0),
        (1, True, False, 1.5),
        (1, True, True, 1.5),
        (1, False, True, 60.0),
        (2, True, True, 1.5),
        (2, True, False, 60.0),
        (2, False, True, 60.0),
    ],
)
def test_how_long_a_4_tuple_stays_taken(reuse: int, timestamps: bool, loopback: bool, kept_s: float) -> None:
    """60 s; for the delay where it may be reused, which takes timestamps, and with 2 an address of loopback."""
    facts = PortFacts(range(100), Ranges([]), tw_reuse=reuse, tw_reuse_delay_ms=1500, timestamps=timestamps)
    found = fit.churn(1.0, room_of(200), facts, 0, loopback=loopback)

    assert found.kept_s == kept_s
    assert found.ceiling_per_s == 200 / kept_s
    assert found.each_per_s == 100 / kept_s


def test_what_is_held_is_not_there_to_be_churned() -> None:
    """Of 1,300 ports 700 are held: 10 a second are the most, and not one thing more."""
    facts = PortFacts(range(100), Ranges([]), tw_reuse=0)
    most, over = (fit.churn(rate, room_of(1300, ceiling=1300), facts, 700, loopback=True) for rate in (10.0, 10.1))

    assert (most.ceiling_per_s, most.fits, over.fits) == (10.0, True, False)
    assert (most.per_s, over.per_s) == (10.0, 10.1)


@pytest.mark.parametrize(("reuse", "kept_s", "most"), [(2, 1.0, 150), (0, 60.0, 100)])
def test_ports_that_wait_now_do_not_lower_the_rate_for_ever(reuse: int, kept_s: float, most: int) -> None:
    """50 of 200 wait, and 50 more are in doubt: those that can be used again after a second are there at once."""
    ports = replace(room_of(50), room=Interval(50, 100), waiting=50)
    found = fit.churn(1.0, ports, PortFacts(range(100), Ranges([]), tw_reuse=reuse), 0, loopback=True)

    assert (found.kept_s, found.ceiling_per_s, found.most_per_s) == (kept_s, 100 / kept_s, 150 / kept_s)
    assert found.most == most


def test_where_not_even_the_wanted_fit_nothing_is_churned() -> None:
    found = fit.churn(1.0, room_of(100), PortFacts(range(100), Ranges([])), 101, loopback=True)

    assert (found.ceiling_per_s, found.fits) == (0.0, False)


@given(st.integers(1, 1_000_000), st.integers(1, 100_000_000), st.integers(1, 64_512), st.integers(1, 100))
def test_machines_share_the_work(count: int, wanted: int, fresh: int, destinations: int) -> None:
    """Each takes the same, rounded up, and as many source addresses as that needs, no more."""
    question = Asked(
        table([]), PortFacts(range(LOW, LOW + 10), Ranges([])), ["127.0.0.2"], 1, destinations, Strategy.LATE
    )
    means = replace(question.means, fresh=fresh)
    found = fit.machine(count, wanted, means, 10**6, 1000.0)

    assert found.machines == count
    assert (found.wanted - 1) * count < wanted <= found.wanted * count
    assert (found.sources - 1) * fresh * destinations < found.wanted <= found.sources * fresh * destinations
    assert found.fits == (found.wanted <= 10**6)
    assert found.kernel_bytes == found.wanted * CLIENT_END_BYTES
    assert found.elapsed_s == found.wanted / 1000


def test_a_hundred_million_on_a_hundred_machines() -> None:
    """A million each, which takes 36 addresses where a range of 28,232 ports goes to one destination."""
    question = Asked(table([]), PortFacts(range(32768, 61000), Ranges([])), ["127.0.0.2"], 80, 80, Strategy.LATE)
    fits, lacks = (fit.machine(100, 10**8, question.means, room, 40_000.0) for room in (10**6, 10**6 - 1))

    assert (fits.wanted, fits.sources, fits.elapsed_s) == (1_000_000, 36, 25.0)
    assert (fits.fits, lacks.fits) == (True, False)


def test_machines_that_have_no_port_at_all() -> None:
    question = Asked(table([]), PortFacts(range(LOW, LOW + 10), Ranges([])), ["127.0.0.2"], 80, 80, Strategy.LATE)

    assert fit.machine(2, 10, replace(question.means, fresh=0), 10, 1.0).sources >= 1


@given(st.integers(1, 10**9))
def test_memory_is_so_much_for_each_end(wanted: int) -> None:
    """In the process itself a connection takes a few bytes; what the process takes anyway comes once."""
    client, server, user = fit.memory(wanted)
    _, _, user_of_one = fit.memory(1)

    assert (client, server) == (wanted * CLIENT_END_BYTES, wanted * SERVER_END_BYTES)
    assert user - user_of_one == (wanted - 1) * fit.USER_BYTES_EACH
    assert user_of_one > 20 * 2**20


# What `hold` says of more than there can be.


def test_too_many_are_refused_with_the_ways_out() -> None:
    """What was wanted, what stops it, what to do: the first two ways, those without root only."""
    check = Check(RANGE, "source ports", Interval(90, 100), Says.BLOCKS, "nobody tells")
    ways = [
        Way(RANGE, False, "5 more ports", "127.0.0.9:80-85", ()),
        Way(RANGE, True, "as root", "", ()),
        Way(RANGE, False, "a third", "", ()),
    ]

    wanted, stopped_by, do = fit.too_many(12_345, 100, check, "fourtuple plan 12345 x", None, more=ways)

    assert numbers(wanted) == [12_345, 100]
    assert stopped_by == f"source ports ({RANGE}): nobody tells"
    assert do.startswith("5 more ports (127.0.0.9:80-85). fourtuple plan 12345 x ")
    assert "--anyway" in do
    assert [way.text in do for way in ways[1:]] == [False, False]


@pytest.mark.parametrize(
    ("sources", "last", "held", "reason"),
    [
        (["127.0.0.1"], 80, 0, "1 source × 20 ports × 1 destination"),
        (["127.0.0.1", "127.0.0.2"], 82, 0, "2 sources × 20 ports × 3 destinations"),
        (["127.0.0.1"], 80, 7, "1 source × 20 ports × 1 destination, 7 in use"),
    ],
)
def test_too_many_for_the_ports_say_what_their_number_is_made_of(
    sources: Sequence[str], last: int, held: int, reason: str
) -> None:
    """And not why the number is perhaps smaller, which the plan says."""
    rows = table([Socket("127.0.0.1", 40_000 + number, 80) for number in range(held)])
    asked = Asked(rows, PortFacts(range(40_000, 40_020), Ranges([])), sources, 80, last, Strategy.LATE)
    check = Check(RANGE, "source ports", asked.room(asked.space()).room, Says.BLOCKS, "nobody tells")

    assert fit.too_many(99, 20, check, "plan", asked.means, more=[])[1] == f"source ports ({RANGE}): {reason}"


def test_too_many_without_a_way_out_name_the_plan_all_the_same() -> None:
    wanted, stopped_by, do = fit.too_many(
        2, 1, Check("memory", "memory", Interval(1, 1), Says.BLOCKS, ""), "plan", None, more=[]
    )

    assert (numbers(wanted), stopped_by) == ([2, 1], "memory (memory)")
    assert do.startswith("plan ")
    assert "--anyway" in do


@pytest.mark.parametrize("destination", ["10.0.0.9:80", "[fd00::9]:80"])
def test_the_first_destination_as_it_is_typed(destination: str) -> None:
    source = "fd00::4" if "[" in destination else "10.0.0.4"
    assert fit.endpoint(TupleSpace.of([source], Ranges([range(5, 6)]), [destination])) == destination
