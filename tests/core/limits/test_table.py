"""Limits weighed: the tightest first, what is unknown never 0; and a remark for each setting that is no cure."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.limits import measures
from fourtuple.core.limits.cost import CLIENT_END_BYTES, SERVER_END_BYTES
from fourtuple.core.limits.facts import Memory, PortFacts, ProcessFacts, World
from fourtuple.core.limits.ports import PortRoom, PortUse
from fourtuple.core.limits.remarks import Remark, remarks
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.table import LIMITS, SYSCTLS
from fourtuple.core.limits.time_wait import waiting_text
from fourtuple.core.limits.verdicts import Case, Queue, Scope, Verdict
from fourtuple.core.limits.weigh import bound, weigh
from fourtuple.core.sockets.role import Role
from fourtuple.core.sockets.table import SOCKET, State
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import TupleSpace
from tests.core import quiet
from tests.core.quiet import ends
from tests.told import numbers

BY_NAME = {limit.name: limit for limit in LIMITS}
RANGE = "net.ipv4.ip_local_port_range"
EXPLICIT, BIND0 = "bind(address, port)", "bind(address, 0)"
CONNTRACK = "net.netfilter.nf_conntrack_max"
THREADS = "pids.max, RLIMIT_NPROC, kernel.threads-max"
TOLD: dict[str, Any] = {
    "pid": 4121,
    "name": "app",
    "uid": 1000,
    "files_soft": 1024,
    "files_hard": 4096,
    "files_open": 24,
    "files_most": 64,
    "capabilities": 0,
    "of_host": True,
    "sockets": frozenset(),
}
NOT_TOLD: dict[str, Any] = dict.fromkeys(field.name for field in fields(ProcessFacts))
PROCESS = ProcessFacts(**NOT_TOLD | TOLD)
FACTS = PortFacts(range(32768, 61000), Ranges([]))
WORLD = replace(quiet.WORLD, process=PROCESS, ports=FACTS)
NOTHING_KNOWN = replace(WORLD, ports=None, process=replace(PROCESS, uid=None, files_soft=None, files_open=None))
PORTS = PortRoom(1, 28_232, 232, Interval(28_000, 28_100), (), ("nobody tells",), 3, 100, 0, 7)


def case(world: World = WORLD, **more: Any) -> Case:
    usual: dict[str, Any] = {"role": Role.CLIENT, "strategy": Strategy.LATE, "ports": None}
    return Case(world=world, **usual | more)


def verdict(limit: str, world: World = WORLD, **more: Any) -> Verdict | None:
    return next((each for each in weigh(case(world, **more)) if each.limit == limit), None)


def with_sysctls(**values: str) -> World:
    """`fs__nr_open` stands for fs.nr_open."""
    return replace(WORLD, sysctls={name.replace("__", "."): value for name, value in values.items()})


# The table.


def test_every_limit_has_a_name_of_its_own() -> None:
    assert len(BY_NAME) == len(LIMITS)


@pytest.mark.parametrize("name", BY_NAME)
def test_every_row_says_all_there_is_to_say(name: str) -> None:
    """`call`, `errno` and `counter` may be empty: a limit can be silent."""
    limit = BY_NAME[name]

    for field in ("name", "title", "default", "formula", "seen", "fix", "needs", "source"):
        assert getattr(limit, field).strip() == getattr(limit, field) != "", field
    assert limit.roles
    assert set(limit.roles) <= set(Role)
    assert isinstance(limit.scope, Scope)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_call_fails_with_an_errno_and_silence_has_none(name: str) -> None:
    assert bool(BY_NAME[name].call) == bool(BY_NAME[name].errno)


def test_what_is_read_of_proc_sys_is_a_sysctl_and_is_read_once() -> None:
    assert len(set(SYSCTLS)) == len(SYSCTLS)
    assert {name.split(".")[0] for name in SYSCTLS} <= {"net", "fs", "kernel", "vm"}


def test_a_row_that_is_named_after_a_sysctl_reads_it() -> None:
    assert {name for name in BY_NAME if name.startswith(("net.", "fs.", "kernel."))} <= set(SYSCTLS)


@pytest.mark.parametrize("role", Role)
def test_only_the_rows_of_a_role_speak(role: Role) -> None:
    for each in weigh(case(role=role, ports=PORTS)):
        assert role in BY_NAME[each.limit].roles


# What is unknown.


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("strategy", Strategy)
def test_where_nothing_is_known_nothing_is_a_number(role: Role, strategy: Strategy) -> None:
    found = weigh(case(NOTHING_KNOWN, role=role, strategy=strategy))

    assert {(each.room, each.ceiling, each.in_use) for each in found} == {(None, None, None)}
    assert bound(found) == (None, None)


COUNTS = st.integers(0, 10**7)
NUMBERS = {"net.ipv4.tcp_syn_retries": st.integers(1, 127), "net.ipv4.tcp_syn_linear_timeouts": st.integers(0, 127)}
WORDS = st.sampled_from(["", "x", "1 2", "1 2 3", "-1", "٣", "1e3"])


def perhaps(values: st.SearchStrategy[int]) -> st.SearchStrategy[int | None]:
    return st.none() | values


@st.composite
def worlds(draw: st.DrawFn) -> World:
    names = draw(st.sets(st.sampled_from(SYSCTLS)))
    sysctls = {name: draw(WORDS | NUMBERS.get(name, COUNTS).map(str)) for name in sorted(names)}
    memories = st.builds(Memory, perhaps(st.integers(0, 10**12)))
    process = replace(
        PROCESS,
        uid=draw(perhaps(st.integers(0, 2))),
        files_soft=draw(perhaps(COUNTS)),
        files_open=draw(perhaps(COUNTS)),
        files_most=draw(perhaps(COUNTS)),
        processes_soft=draw(perhaps(COUNTS)),
        uid_threads=draw(perhaps(COUNTS)),
        capabilities=draw(st.sampled_from((0, 2**41 - 1))),
        of_host=draw(st.booleans()),
    )
    return replace(
        WORLD,
        process=process,
        ports=draw(st.none() | st.just(FACTS)),
        memory=draw(memories),
        cgroup=draw(st.none() | memories),
        pids_left=draw(perhaps(COUNTS)),
        files_in_use=draw(perhaps(COUNTS)),
        threads=draw(perhaps(COUNTS)),
        neighbours=draw(perhaps(COUNTS)),
        sysctls=sysctls,
        sockstat=draw(st.dictionaries(st.sampled_from(("TCP.orphan", "TCP.tw", "TCP.mem")), COUNTS)),
        tracked=draw(st.none() | st.booleans()),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    ceiling, in_use = sorted((draw(COUNTS), draw(COUNTS)), reverse=True)
    room, room_max = sorted((draw(st.integers(0, ceiling)), draw(st.integers(0, ceiling))))
    ports = PortRoom(draw(st.integers(1, 9)), ceiling, in_use, Interval(room, room_max), (), ("a reason",), 0, 0, 0, 0)
    waiting, most = draw(st.integers(0, 5000)), draw(st.integers(0, 5000))
    return Case(
        world=draw(worlds()),
        role=draw(st.sampled_from(Role)),
        strategy=draw(st.sampled_from(Strategy)),
        ports=draw(st.none() | st.just(ports)),
        here=draw(st.booleans()),
        peers=draw(COUNTS),
        per_peer=draw(st.integers(0, 30_000)),
        tuples_in_use=draw(st.integers(0, 1000)),
        queue=draw(st.none() | st.just(Queue(1, waiting, most + 1, most))),
        cpus=draw(st.integers(1, 300)),
    )


@given(cases())
def test_room_is_at_most_room_max_and_neither_is_less_than_nothing(asked: Case) -> None:
    for each in weigh(asked):
        assert each.room is None or each.room.least >= 0, each
        assert not (each.exact and each.room and not each.room.exact), each


@given(cases())
def test_the_answer_is_an_interval_that_the_first_verdict_begins(asked: Case) -> None:
    """Nothing that stops connections leaves less, at least or at most."""
    found = weigh(asked)
    room, tightest = bound(found)
    known = [each for each in found if each.stops and each.room is not None]

    assert (tightest is None) == (not known)
    if tightest is not None and room is not None:
        assert tightest is found[0]
        assert room.least == min(each.room.least for each in known if each.room is not None)
        assert room.most == min(each.room.most for each in known if each.room is not None)


@given(cases())
def test_the_tightest_comes_first_then_what_is_unknown_then_what_stops_nothing(asked: Case) -> None:
    order = [(not each.stops, each.room is None, each.room.least if each.room else 0) for each in weigh(asked)]

    assert order == sorted(order)


def without(name: str) -> dict[str, Any]:
    return {name: None}


def forgotten(world: World) -> list[World]:
    """The same world, each time with one number fewer."""
    less = [replace(world, sysctls={k: v for k, v in world.sysctls.items() if k != name}) for name in world.sysctls]
    less += [replace(world, sockstat={k: v for k, v in world.sockstat.items() if k != name}) for name in world.sockstat]
    numbers = ("pids_left", "files_in_use", "threads", "neighbours", "cgroup")
    less += [replace(world, **without(name)) for name in numbers]
    process = ("files_soft", "processes_soft", "uid_threads")
    less += [replace(world, process=replace(world.process, **without(name))) for name in process]
    return [*less, replace(world, memory=Memory(None))]


@given(cases())
def test_what_is_not_read_never_makes_a_limit_tighter(asked: Case) -> None:
    """An unknown number is not 0, and not a shortage: without it a limit leaves as much, more, or says nothing."""
    before = {each.limit: each for each in weigh(asked)}
    for world in forgotten(asked.world):
        for each in weigh(replace(asked, world=world)):
            known = before.get(each.limit)
            if each.room is not None and known is not None and known.room is not None:
                assert each.room.least >= known.room.least, (each, known)


@pytest.mark.parametrize("name", ["net.ipv4.tcp_max_orphans", "net.ipv4.tcp_max_tw_buckets", "fs.file-max"])
def test_a_setting_whose_use_is_unknown_has_a_ceiling_and_no_room(name: str) -> None:
    """Nothing in use would be a guess."""
    found = verdict(name, replace(WORLD, sysctls={name: "5000"}))

    assert found
    assert (found.ceiling, found.in_use, found.room) == (5000, None, None)


def test_a_limit_of_threads_whose_use_is_unknown_is_none_of_them() -> None:
    """RLIMIT_NPROC without the user's threads, threads-max without the host's."""
    process = replace(PROCESS, processes_soft=500, uid_threads=None)
    world = replace(with_sysctls(kernel__pid_max="300"), process=process)

    assert verdict(THREADS, world) is None
    assert getattr(verdict(THREADS, replace(world, pids_left=900)), "room", None) == Interval.of(900)


@pytest.mark.parametrize("text", ["", " ", "x", "-", "--1", "1-", "1 2", "٣", "0x10", "1e3"])
def test_a_sysctl_that_is_not_a_number_is_unknown(text: str) -> None:
    assert with_sysctls(fs__nr_open=text).number("fs.nr_open") is None


@pytest.mark.parametrize(("text", "number"), [("5", 5), ("-262144", -262_144), ("7\n", 7)])
def test_a_sysctl_that_is_a_number(text: str, number: int) -> None:
    assert with_sysctls(fs__nr_open=text).number("fs.nr_open") == number


# Ordering.


def files(soft: int | None, opened: int | None = 0) -> World:
    return replace(WORLD, process=replace(PROCESS, files_soft=soft, files_hard=soft, files_open=opened))


@pytest.mark.parametrize(("soft", "first"), [(27_999, "RLIMIT_NOFILE"), (28_001, RANGE)])
def test_the_tighter_one_decides(soft: int, first: str) -> None:
    found = weigh(case(files(soft), ports=PORTS))
    room, tightest = bound(found)

    assert tightest is found[0]
    assert found[0].limit == first
    assert room == Interval(min(soft, 28_000), min(soft, 28_100))


@pytest.mark.parametrize(
    ("strategy", "order"),
    [
        (Strategy.LATE, ["RLIMIT_NOFILE", RANGE]),
        (Strategy.BIND0, ["RLIMIT_NOFILE", BIND0]),
        (Strategy.EXPLICIT, ["RLIMIT_NOFILE", EXPLICIT]),
    ],
)
def test_where_two_leave_the_same_the_call_that_comes_first_is_met_first(strategy: Strategy, order: list[str]) -> None:
    """socket(), bind(), connect(): EMFILE before EADDRINUSE before EADDRNOTAVAIL."""
    ports = replace(PORTS, room=Interval(1000, 1000))
    found = weigh(case(files(1000), ports=ports, strategy=strategy))

    assert [each.limit for each in found if each.room == Interval.of(1000)] == order


def test_bind_comes_before_connect() -> None:
    """A namespace whose 4-tuples are all used leaves nothing either way: bind() is what fails."""
    ports = replace(PORTS, room=Interval(0, 0))
    found = weigh(case(files(5000), ports=ports, strategy=Strategy.BIND0, tuples_in_use=65_535))

    assert [each.limit for each in found if each.room == Interval.of(0)][:2] == [BIND0, "4-tuple"]


def test_where_two_leave_the_same_at_least_the_shorter_interval_is_tighter() -> None:
    """The ports leave 1,000 to 2,000, the files 1,000 or 3,000: whoever leaves less at most is named."""
    ports = replace(PORTS, room=Interval(1000, 1999))
    exact, unsure = (
        files(1000),
        replace(WORLD, process=replace(PROCESS, files_soft=3000, files_open=None, files_most=2000)),
    )

    assert [each.limit for each in weigh(case(exact, ports=ports))][:2] == ["RLIMIT_NOFILE", RANGE]
    assert [each.limit for each in weigh(case(unsure, ports=ports))][:2] == [RANGE, "RLIMIT_NOFILE"]


def test_what_stops_nothing_never_decides() -> None:
    world = replace(files(5000), sysctls={"net.ipv4.tcp_max_orphans": "3"}, sockstat={"TCP.orphan": 3})
    found = weigh(case(world))

    assert bound(found)[1] == found[0]
    assert [(each.room, each.stops) for each in found if "orphans" in each.limit] == [(Interval.of(0), False)]
    assert found[0].limit == "RLIMIT_NOFILE"


def test_bound_of_nothing_is_unknown() -> None:
    assert bound(()) == (None, None)


def test_at_most_there_is_what_the_other_limit_leaves_at_most() -> None:
    """Files leave 960 to 1,024, for nobody may look; the ports 400 to 500, and they decide both."""
    world = files(1024, None)
    room, tightest = bound(weigh(case(world, ports=replace(PORTS, room=Interval(400, 500)))))

    assert tightest
    assert (room, tightest.limit) == (Interval(400, 500), RANGE)


def test_the_two_ends_of_the_answer_can_come_from_two_limits() -> None:
    """Files leave 960 to 1,024, ports 970 to 1,000."""
    world = files(1024, None)
    room, tightest = bound(weigh(case(world, ports=replace(PORTS, room=Interval(970, 1000)))))

    assert tightest
    assert (room, tightest.limit) == (Interval(960, 1000), "RLIMIT_NOFILE")


# One row after the other, where test_world.py has no tree for it.


def test_4_tuples_are_65535_for_each_pair() -> None:
    found = verdict("4-tuple", ports=replace(PORTS, pairs=6), tuples_in_use=17)

    assert found
    assert (found.ceiling, found.in_use, found.room, found.exact) == (393_210, 17, Interval.of(393_193), True)
    assert found.errno == "EADDRNOTAVAIL"


@pytest.mark.parametrize(
    ("strategy", "name"),
    [
        (Strategy.LATE, RANGE),
        (Strategy.PLAIN, RANGE),
        (Strategy.NOPORT, RANGE),
        (Strategy.BIND0, BIND0),
        (Strategy.EXPLICIT, EXPLICIT),
    ],
)
def test_each_strategy_has_one_row_of_ports(strategy: Strategy, name: str) -> None:
    found = {each.limit: each for each in weigh(case(ports=PORTS, strategy=strategy))}

    assert {RANGE, BIND0, EXPLICIT} & set(found) == {name}
    assert (found[name].room, found[name].exact) == (Interval(28_000, 28_100), False)
    value = None if strategy is Strategy.EXPLICIT else "32768 60999"
    assert (found[name].value, found[name].note) == (value, "nobody tells")


def test_a_server_takes_no_source_ports() -> None:
    found = {each.limit for each in weigh(case(ports=None, role=Role.SERVER))}

    assert not found & {"4-tuple", RANGE, BIND0, EXPLICIT, "blocked ports", "net.ipv4.tcp_tw_reuse"}


@pytest.mark.parametrize(
    ("soft", "opened", "most", "expected"),
    [
        (1024, 24, 64, (24, 1000, 1000, True)),
        (1024, 2000, 4096, (2000, 0, 0, True)),  # the limit was lowered after they were opened
        (1024, None, 256, (None, 768, 1024, False)),
        (1024, None, 2048, (None, 0, 1024, False)),
        (1024, None, None, (None, 0, 1024, False)),
    ],
)
def test_files_are_the_soft_limit_less_those_below_it(
    soft: int, opened: int | None, most: int | None, expected: tuple[int | None, int, int, bool]
) -> None:
    """Whoever may not look at another user's descriptors knows the size of their table."""
    process = replace(PROCESS, files_soft=soft, files_open=opened, files_most=most)
    found = verdict("RLIMIT_NOFILE", replace(WORLD, process=process))

    assert found
    assert (found.in_use, *ends(found.room), found.exact) == expected
    assert (found.ceiling, found.errno, found.call) == (1024, "EMFILE", "socket(), accept()")


@pytest.mark.parametrize("here", [False, True])
def test_files_of_the_host_say_why_both_ends_halve_the_room(here: bool) -> None:
    world = replace(WORLD, sysctls={"fs.file-max": "1000000"}, files_in_use=30_000)
    found = verdict("fs.file-max", world, here=here)

    assert found
    assert found.room
    assert (found.ceiling, found.in_use) == (500_000 if here else 1_000_000, 30_000)
    assert abs(found.room.most - (485_000 if here else 970_000)) <= measures.FILE_MAX_SLACK
    assert (measures.BOTH_ENDS in found.note) is here


def test_files_that_may_be_above_the_limit_are_an_estimate() -> None:
    """As many are counted as can count; the reason is given."""
    process = replace(PROCESS, files_soft=64, files_open=64, files_unsure=True)
    found = verdict("RLIMIT_NOFILE", replace(WORLD, process=process))

    assert found
    assert (found.in_use, *ends(found.room), found.exact) == (64, 0, 0, False)
    assert found.note == measures.FILES_UNSURE


def test_a_hard_limit_above_is_named_with_it() -> None:
    assert [getattr(verdict("RLIMIT_NOFILE", each), "value", "") for each in (WORLD, files(512))] == [
        "1024 (hard 4096)",
        "512",
    ]


@pytest.mark.parametrize(
    ("role", "here", "each"),
    [
        (Role.CLIENT, False, CLIENT_END_BYTES),
        (Role.SERVER, False, SERVER_END_BYTES),
        (Role.CLIENT, True, CLIENT_END_BYTES + SERVER_END_BYTES),
        (Role.SERVER, True, CLIENT_END_BYTES + SERVER_END_BYTES),
    ],
)
def test_memory_is_for_so_many_ends(role: Role, here: bool, each: int) -> None:
    world = replace(WORLD, memory=Memory(10 * each - 1), cgroup=Memory(3 * each, "in the cgroup /a"))

    assert [getattr(verdict(name, world, role=role, here=here), "room", -1) for name in ("memory", "memory.max")] == [
        Interval.of(9),
        Interval.of(3),
    ]


@pytest.mark.parametrize(("cookies", "ceiling"), [("0", 1537), ("1", None), ("2", None)])
def test_without_syn_cookies_a_quarter_of_the_queue_is_kept(cookies: str, ceiling: int | None) -> None:
    """2,048 − 512 + 1, if no backlog is shorter."""
    world = with_sysctls(net__ipv4__tcp_max_syn_backlog="2048", net__ipv4__tcp_syncookies=cookies)
    found = verdict("net.ipv4.tcp_max_syn_backlog", world, role=Role.SERVER)

    assert found
    assert (found.ceiling, found.stops) == (ceiling, False)


def test_a_syn_queue_is_no_longer_than_its_backlog() -> None:
    world = with_sysctls(net__ipv4__tcp_max_syn_backlog="2048", net__ipv4__tcp_syncookies="0")
    found = verdict("net.ipv4.tcp_max_syn_backlog", world, role=Role.SERVER, queue=Queue(1, 0, 129, 128))

    assert found
    assert found.ceiling == 129


def test_an_accept_queue_holds_one_more_than_its_backlog_and_stops_nothing() -> None:
    world = with_sysctls(net__core__somaxconn="4096")
    found = verdict("net.core.somaxconn", world, role=Role.SERVER, queue=Queue(2, 5, 258, 128))

    assert found
    assert (found.value, found.ceiling, found.in_use, found.stops) == ("4096", 258, 5, False)
    assert found.room == Interval.of(253)


def test_without_a_listener_the_setting_is_shown() -> None:
    found = verdict("net.core.somaxconn", with_sysctls(net__core__somaxconn="4096"), role=Role.SERVER)

    assert found
    assert (found.value, found.ceiling) == ("4096", None)


def test_a_limit_that_is_exceeded_leaves_nothing_not_less() -> None:
    world = replace(with_sysctls(net__ipv4__tcp_max_tw_buckets="5"), sockstat={"TCP.tw": 9}, tracked=True)
    found = verdict("net.ipv4.tcp_max_tw_buckets", world)

    assert found
    assert (found.in_use, found.room) == (9, Interval.of(0))


def test_time_wait_says_the_rate_that_ports_allow() -> None:
    """28,232 ports / 60 s."""
    found = verdict("net.ipv4.tcp_tw_reuse", with_sysctls(net__ipv4__tcp_tw_reuse="2"), ports=PORTS)

    assert found
    assert {471, 7} <= set(numbers(found.note))


@pytest.mark.parametrize(
    ("reuse", "target", "strategy", "kept_s", "rate"),
    [
        (0, "10.0.0.9:80", Strategy.LATE, 60, 8),
        (1, "10.0.0.9:80", Strategy.LATE, 1, 500),
        (2, "10.0.0.9:80", Strategy.LATE, 60, 8),
        (2, "127.0.0.1:80", Strategy.LATE, 1, 500),
        (1, "10.0.0.9:80", Strategy.BIND0, 60, 8),
        (0, "10.0.0.9:80", Strategy.EXPLICIT, 0, None),
    ],
)
def test_ports_that_connect_takes_from_time_wait_allow_a_higher_rate(
    reuse: int, target: str, strategy: Strategy, kept_s: int, rate: int | None
) -> None:
    """500 ports / 60 s, or / 1 s where tcp_tw_reuse works: then its remedy is not advised."""
    facts = replace(FACTS, port_range=range(40_000, 40_500), tw_reuse=reuse)
    source = "127.0.0.1" if target.startswith("127") else "10.0.0.4"
    space = TupleSpace.of([source], facts.port_range, [target])
    ports = PortUse.of([np.zeros(0, SOCKET)], space).room(facts, strategy)
    world = replace(with_sysctls(net__ipv4__tcp_tw_reuse=str(reuse)), ports=facts)
    found = verdict("net.ipv4.tcp_tw_reuse", world, ports=ports, strategy=strategy)

    assert found
    assert ports.kept_ms == 1000 * kept_s
    assert (rate in numbers(found.note)) is (rate is not None)
    assert ("tcp_tw_reuse=1" in found.fix) is (kept_s != 1)
    assert not kept_s or f"within {kept_s} s" in waiting_text(5, ports.kept_ms)


def test_reserved_ports_are_shown_with_what_they_cost() -> None:
    world = replace(WORLD, ports=replace(FACTS, reserved_ports=Ranges([range(8080, 8081), range(40000, 40010)])))
    found = verdict("net.ipv4.ip_local_reserved_ports", world, ports=PORTS)

    assert found
    assert (found.value, numbers(found.note), found.stops) == ("8080,40000-40009", [10], False)


# connect() that nobody answers. Measured on Linux 6.18: time until ETIMEDOUT, by tcp_syn_retries and
# tcp_syn_linear_timeouts.


@pytest.mark.parametrize(
    ("retries", "linear", "seconds"),
    [(1, 0, 3), (2, 0, 7), (3, 0, 15), (6, 0, 127), (1, 4, 3), (2, 4, 7), (3, 4, 19), (6, 4, 131)],
)
def test_how_long_connect_tries(retries: int, linear: int, seconds: int) -> None:
    assert measures.syn_time_s(retries, linear) == seconds


@pytest.mark.parametrize(("retries", "seconds"), [(7, 247), (8, 367)])
def test_no_wait_is_longer_than_two_minutes(retries: int, seconds: int) -> None:
    """TCP_RTO_MAX, include/net/tcp.h; net/ipv4/tcp_timer.c, tcp_model_timeout()."""
    assert measures.syn_time_s(retries, 0) == seconds


@pytest.mark.parametrize("retries", range(1, 7))
def test_without_linear_ones_each_wait_is_twice_the_last(retries: int) -> None:
    assert measures.syn_time_s(retries, 0) == sum(2**row for row in range(retries + 1))


def test_a_kernel_without_linear_timeouts_has_none() -> None:
    """Linux 6.5 brought them."""
    found = verdict("net.ipv4.tcp_syn_retries", with_sysctls(net__ipv4__tcp_syn_retries="6"))

    assert found
    assert " 127 s" in found.note


# Remarks, one by one.


def use_of(*listening: int) -> PortUse:
    rows = np.zeros(len(listening), SOCKET)
    rows["local_port"], rows["state"] = listening, State.LISTEN
    return PortUse.of([rows], TupleSpace.of(["192.0.2.1"], range(1, 65536), ["192.0.2.9:80"]))


def remarked(world: World, *listening: int) -> list[str]:
    return [remark.about for remark in remarks(world, use_of(*listening))]


def of_range(low: int, high: int, reserved: Sequence[range] = ()) -> World:
    return replace(WORLD, ports=PortFacts(range(low, high + 1), Ranges(reserved)))


def test_the_default_is_not_remarked() -> None:
    assert remarks(WORLD, use_of(22, 80, 8080)) == ()


def test_nothing_known_is_not_remarked() -> None:
    assert remarks(NOTHING_KNOWN, use_of(40000)) == ()


@pytest.mark.parametrize(("high", "odd"), [(40000, 0), (40001, 0), (40002, 1), (40003, 0), (40010, 1)])
def test_an_odd_number_of_ports_is_remarked_unless_it_is_one(high: int, odd: int) -> None:
    assert remarked(of_range(40000, high)) == ["net.ipv4.ip_local_port_range"] * odd


def test_a_listener_within_the_range_is_remarked() -> None:
    (remark,) = remarks(of_range(40000, 40009), use_of(22, 40003))

    assert remark.about == "net.ipv4.ip_local_port_range"
    assert numbers(remark.text) == [40003]


def test_several_listeners_are_one_remark_with_their_ports_as_ranges() -> None:
    ports = (40001, 40002, 40003, 40007, 40003)
    (remark,) = remarks(of_range(40000, 40009), use_of(*ports))

    assert "40001-40003, 40007" in remark.text


def test_of_very_many_listeners_the_first_are_named() -> None:
    (remark,) = remarks(of_range(40000, 40099), use_of(*range(40000, 40020, 2)))

    assert "40000, 40002, 40004, 40006, 40008, 40010 … (10 in all)" in remark.text


def test_a_listener_whose_port_is_reserved_is_not_remarked() -> None:
    assert remarked(of_range(40000, 40009, [range(40003, 40004)]), 40003) == []


@pytest.mark.parametrize(
    ("low", "high", "names"),
    [
        (5000, 6000, "5432 (PostgreSQL), 5672 (RabbitMQ)"),
        (27000, 28000, "27017 (MongoDB)"),
        (6000, 7001, "6379 (Redis)"),
    ],
)
def test_a_range_over_ports_of_services_is_remarked(low: int, high: int, names: str) -> None:
    (remark,) = [each for each in remarks(of_range(low, high), use_of()) if "EADDRINUSE" in each.text]

    assert names in remark.text


def test_services_that_listen_or_are_reserved_are_not_among_them() -> None:
    """The one that listens has the other remark."""
    texts = [each.text for each in remarks(of_range(5000, 5999, [range(5672, 5673)]), use_of(5432))]

    assert len(texts) == 1
    assert numbers(texts[0]) == [5432]


@pytest.mark.parametrize(("low", "high", "named"), [(27000, 40001, True), (27000, 29999, False), (1024, 29999, False)])
def test_node_ports_are_named_where_the_range_reaches_over_them(low: int, high: int, named: bool) -> None:
    """30000 to 32767, and not because the range begins below them."""
    texts = [each.text for each in remarks(of_range(low, high), use_of()) if "EADDRINUSE" in each.text]

    assert any("NodePorts" in text for text in texts) is named


@pytest.mark.parametrize(("value", "expected"), [("1", ["net.ipv4.tcp_tw_recycle"]), ("0", [])])
def test_tcp_tw_recycle_is_remarked_where_it_is_on(value: str, expected: list[str]) -> None:
    """Every kernel before 4.12 has it, and has it off."""
    assert remarked(with_sysctls(net__ipv4__tcp_tw_recycle=value)) == expected


def test_every_setting_that_is_remarked_is_read() -> None:
    """A remark about a setting that nobody reads is never made."""
    about = {"net.ipv4.tcp_tw_recycle", "net.ipv4.tcp_mem", "net.ipv4.tcp_max_tw_buckets", "fs.nr_open"}

    assert about <= set(SYSCTLS)


@pytest.mark.parametrize(
    ("value", "memory_bytes", "wrong"),
    [
        ("1 2 244141", 10**9, True),  # 244,140 pages and 2,560 B are 10^9 B
        ("1 2 244140", 10**9, False),
        ("1 2 244141", None, False),
        ("1 244141", 10**9, False),
        ("1 2 x", 10**9, False),
        ("", 10**9, False),
    ],
)
def test_tcp_mem_in_bytes_is_more_than_there_is(value: str, memory_bytes: int | None, wrong: bool) -> None:
    world = replace(with_sysctls(net__ipv4__tcp_mem=value), memory_bytes=memory_bytes)

    assert remarked(world) == ["net.ipv4.tcp_mem"] * wrong


@pytest.mark.parametrize(("page_bytes", "wrong"), [(4096, False), (16_384, False), (65_536, True)])
def test_tcp_mem_counts_the_pages_of_this_machine(page_bytes: int, wrong: bool) -> None:
    """100,000 pages are 0.4 GiB on x86_64, and 6.1 GiB where a page has 64 KiB, as on some arm64 machines."""
    world = replace(with_sysctls(net__ipv4__tcp_mem="1 2 100000"), memory_bytes=4 * 2**30, page_bytes=page_bytes)

    assert remarked(world) == ["net.ipv4.tcp_mem"] * wrong


@pytest.mark.parametrize(
    ("buckets", "entries", "wrong"),
    [
        ("131071", "262144", True),
        ("131072", "262144", False),
        ("5000", "-262144", True),  # a table that is shared with the host
        ("5000", None, False),
        ("x", "262144", False),
    ],
)
def test_fewer_time_waits_than_the_kernels_own_are_remarked(buckets: str, entries: str | None, wrong: bool) -> None:
    sysctls = {"net.ipv4.tcp_max_tw_buckets": buckets, "net.ipv4.tcp_ehash_entries": entries}
    world = replace(WORLD, sysctls={name: value for name, value in sysctls.items() if value is not None})

    assert remarked(world) == ["net.ipv4.tcp_max_tw_buckets"] * wrong


@pytest.mark.parametrize(("value", "wrong"), [("1048575", True), ("1048576", False), ("1073741816", False)])
def test_a_lower_nr_open_is_remarked(value: str, wrong: bool) -> None:
    assert remarked(with_sysctls(fs__nr_open=value)) == ["fs.nr_open"] * wrong


def test_every_remark_is_a_sentence_with_something_to_do() -> None:
    wrong = {
        "net.ipv4.tcp_tw_recycle": "1",
        "net.ipv4.tcp_mem": "1 2 244141",
        "net.ipv4.tcp_max_tw_buckets": "5000",
        "net.ipv4.tcp_ehash_entries": "262144",
        "fs.nr_open": "60000",
    }
    world = replace(of_range(1024, 65534), sysctls=wrong, memory_bytes=10**9)
    found = remarks(world, use_of(8080))

    assert len(found) == 7
    assert all(
        isinstance(each, Remark) and ". " in each.text and each.about.startswith(("net.", "fs.")) for each in found
    )


@pytest.mark.parametrize(
    ("retries", "linear"), [("0", "4"), ("128", "4"), ("1849516166", "4"), ("6", "128"), ("6", "-1")]
)
def test_retries_that_the_kernel_does_not_take_are_not_calculated_with(retries: str, linear: str) -> None:
    """A loop over them would not end in time."""
    garbled = with_sysctls(net__ipv4__tcp_syn_retries=retries, net__ipv4__tcp_syn_linear_timeouts=linear)

    assert measures.syn_time(case(garbled)) is None
