"""A round of all namespaces: whom each belongs to, what is bounded, and that nothing is lost in the sums."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.census.gauges import REST, Gauges, Limited, ListenerGauge, PairGauge
from fourtuple.core.census.records import StateCount
from fourtuple.core.snapshot.records import Cgroup
from fourtuple.core.snapshot.rounds import Bounds, CountedNamespace, Round, Whose
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.interval import Interval

POD = "/kubepods/pod1/"
PAUSE = Cgroup(POD + "a", container="a", pod="shop/web-1")
NGINX = Cgroup(POD + "b", container="b", name="nginx", pod="shop/web-1")
ENVOY = Cgroup(POD + "c", container="c", name="envoy", pod="shop/web-1")
UNNAMED = Cgroup(POD + "d", container="d", pod="1b2c3d4e")
DOCKER = Cgroup("/docker/e", container="e", name="db")
SERVICE = Cgroup("/system.slice/nginx.service", service="nginx.service")
SHELL = Cgroup("/user.slice/user-0.slice/session-1.scope")
OTHER = Cgroup("/system.slice/sshd.service", service="sshd.service")
KERNEL = Cgroup("/")


@pytest.mark.parametrize(
    ("cgroups", "whose"),
    [
        ([], Whose("n")),
        ([KERNEL], Whose("n")),
        ([PAUSE], Whose("n", container="a", namespace="shop", pod="web-1")),
        ([PAUSE, NGINX, NGINX], Whose("n", container="nginx", namespace="shop", pod="web-1")),
        ([PAUSE, NGINX, ENVOY], Whose("n", namespace="shop", pod="web-1")),
        ([NGINX, SHELL], Whose("n", container="nginx", namespace="shop", pod="web-1")),
        ([UNNAMED], Whose("n", container="d", pod="1b2c3d4e")),
        ([DOCKER, DOCKER], Whose("n", container="db")),
        ([SERVICE], Whose("n", service="nginx.service")),
        ([SERVICE, OTHER], Whose("n")),
        ([KERNEL, KERNEL, SHELL, NGINX], Whose("n")),  # the host's namespace, in which one pod is, too
        ([KERNEL, SERVICE, OTHER, DOCKER, PAUSE, NGINX], Whose("n")),
    ],
)
def test_a_namespace_belongs_to_what_its_processes_have_in_common(cgroups: Sequence[Cgroup], whose: Whose) -> None:
    assert Whose.of("n", cgroups) == whose


def pair(used: int, number: int, role: Role = Role.CLIENT) -> PairGauge:
    usable = 100 if role is Role.CLIENT else None
    left = Interval(99 - used, 100 - used) if role is Role.CLIENT else None
    source = f"10.0.0.{number}" if role is Role.CLIENT else REST
    return PairGauge(role, source, f"10.0.1.{number}:80", used, 1, 2, usable, left)


def gauges(netns: str, used: Sequence[int], queues: Sequence[int] = ()) -> Gauges:
    return Gauges(
        netns=netns,
        kernel="6.18",
        at_s=1.0,
        took_s=0.5,
        changed=None,
        pairs=tuple(pair(each, number) for number, each in enumerate(used)),
        pairs_total={Role.CLIENT: len(used), Role.SERVER: 0},
        states=(StateCount("ESTABLISHED", sum(used), sum(used), 0),),
        listeners=tuple(ListenerGauge(f"10.0.0.1:{number}", each, 128, 3) for number, each in enumerate(queues)),
        range=1000,
        reserved=1,
        blocked=2,
        usable=997,
        unattributed_ports=0,
        hidden_ports=0,
        limited=(Limited("time_wait", 5, 100), Limited("orphans", 7, 200)),
        counters={"ActiveOpens": 9, "vmstat.oom_kill": 1},
    )


def round_of(*several: Gauges) -> Round:
    counted = [CountedNamespace(Whose(each.netns), each) for each in several]
    return Round.of(counted, kernel="6.18", at_s=1.0, took_s=1.0, cpu_s=1.0)


def test_what_is_of_the_whole_host_comes_once_and_apart() -> None:
    found = round_of(gauges("a", [1]), gauges("b", [2]))

    assert found.limited == (Limited("orphans", 7, 200),)
    assert found.counters == {"vmstat.oom_kill": 1}
    assert [each.gauges.limited for each in found.counted] == [(Limited("time_wait", 5, 100),)] * 2
    assert [each.gauges.counters for each in found.counted] == [{"ActiveOpens": 9}] * 2


def test_namespaces_beyond_the_bound_are_one_sum() -> None:
    """60 with a bound of 50: the ten that are least full are summed, except for counters, which could go down then."""
    found = round_of(*(gauges(f"n{number}", [number, 1], [1]) for number in range(60))).bounded(Bounds(50, 10_000))
    *own, rest = found.counted

    assert (found.left_out, found.namespaces) == (10, 60)
    assert {each.whose.netns for each in own} == {f"n{number}" for number in range(10, 60)}
    assert rest.whose == Whose(REST)
    assert rest.gauges.pairs == (PairGauge(Role.CLIENT, REST, REST, 55, 20, 40, 2000, Interval(1925, 1945)),)
    assert rest.gauges.listeners == (ListenerGauge(REST, 10, 1280, None),)
    assert rest.gauges.states == (StateCount("ESTABLISHED", 55, 55, 0),)
    assert (rest.gauges.range, rest.gauges.usable, rest.gauges.blocked) == (10_000, 9970, 20)
    assert rest.gauges.limited == (Limited("time_wait", 50, 1000),)
    assert rest.gauges.counters == {}


def test_pairs_and_listeners_beyond_the_bound_in_all_join_the_sum_of_their_namespace() -> None:
    found = round_of(gauges("a", [50, 5], [9, 1]), gauges("b", [40, 4], [8, 2])).bounded(Bounds(50, 2))
    a, b = (each.gauges for each in found.counted)

    assert [(each.source, each.used) for each in (*a.pairs, *b.pairs)] == [
        ("10.0.0.0", 50),
        (REST, 5),
        ("10.0.0.0", 40),
        (REST, 4),
    ]
    assert [(each.address, each.recv_q) for each in (*a.listeners, *b.listeners)] == [
        ("10.0.0.1:0", 9),
        (REST, 1),
        ("10.0.0.1:0", 8),
        (REST, 2),
    ]
    assert (found.pairs_left_out, found.listeners_left_out, found.left_out) == (2, 2, 0)


def test_a_namespace_keeps_its_series_until_another_is_twice_as_full() -> None:
    before = frozenset({"a"})

    def first(used: int) -> str:
        return round_of(gauges("a", [10]), gauges("b", [used])).bounded(Bounds(1, 9), before).counted[0].whose.netns

    assert (first(19), first(21)) == ("a", "b")


@given(
    st.lists(st.lists(st.integers(0, 90), max_size=4), min_size=1, max_size=8),
    st.integers(1, 9),
    st.integers(1, 20),
)
def test_no_socket_is_lost_in_a_bound(used: list[list[int]], namespaces: int, rows: int) -> None:
    """Whatever is summed, the totals stay, and there are no more series than allowed."""
    whole = round_of(*(gauges(f"n{number}", each, each) for number, each in enumerate(used)))
    found = whole.bounded(Bounds(namespaces, rows))
    pairs = [each for counted in found.counted for each in counted.gauges.pairs]
    listeners = [each for counted in found.counted for each in counted.gauges.listeners]

    assert sum(each.used for each in pairs) == sum(map(sum, used))
    assert sum(each.recv_q for each in listeners) == sum(map(sum, used))
    assert sum(each.destination != REST for each in pairs) <= rows
    assert sum(each.address != REST for each in listeners) <= rows
    assert len(found.counted) <= namespaces + 1
    assert found.namespaces == len(used)
