"""What cannot be read is not what does not exist: a plan is never OK where a fact that decides is missing."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from fourtuple.core.errors import UsageError
from fourtuple.core.limits.facts import Memory, World
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.verdicts import Case
from fourtuple.core.limits.weigh import weigh
from fourtuple.core.plan import fit
from fourtuple.core.plan.assume import assumed_world, parse_assumptions
from fourtuple.core.plan.fit import Check, Says
from fourtuple.core.plan.unknown import CONNTRACK, THRESHOLD, WATCHES, PlanCase, with_unknown
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.interval import Interval
from tests.core import quiet

MOST, COUNT = CONNTRACK
SYSCTLS: Mapping[str, str] = {
    "net.ipv4.ip_local_port_range": "32768 60999",
    "net.ipv4.ip_local_reserved_ports": "",
    "net.ipv4.ip_unprivileged_port_start": "1024",
    "net.ipv4.tcp_tw_reuse": "2",
    "net.ipv4.tcp_timestamps": "1",
    "fs.file-max": "1000000",
    "fs.nr_open": "1048576",
    WATCHES: "100000",
    THRESHOLD: "1024",
    MOST: "65536",
    COUNT: "10",
}
KNOWN = replace(
    quiet.WORLD, sysctls=SYSCTLS, memory=Memory(2**34), files_in_use=1000, neighbours=3, tracked=True, unlisted=0
)


def checks_of(world: World, wanted: int = 100, **more: Any) -> tuple[Check, ...]:
    """As `plan` puts them together, for two destinations that are elsewhere, with epoll and churn."""
    strategy = more.get("strategy", Strategy.LATE)
    case = Case(
        world, Role.CLIENT, strategy, None, peers=more.get("peers", 2), tuples_in_use=more.get("tuples_in_use", 0)
    )
    counted = frozenset({WATCHES}) if more.get("epoll", True) else frozenset()
    return with_unknown(
        fit.checks(weigh(case), wanted, uncounted={}), PlanCase(case, wanted, counted, more.get("churns", True))
    )


def unknown(world: World, wanted: int = 100, **more: Any) -> list[str]:
    return [check.limit for check in checks_of(world, wanted, **more) if check.says is Says.UNKNOWN]


def without(*names: str) -> World:
    return replace(KNOWN, sysctls={name: value for name, value in SYSCTLS.items() if name not in names})


def test_where_everything_can_be_read_nothing_is_unknown() -> None:
    assert unknown(KNOWN) == []
    assert {check.says for check in checks_of(KNOWN)} == {Says.OK}


MISSING = {
    "ports": replace(KNOWN, ports=None),
    "memory": replace(KNOWN, memory=Memory(None)),
    "files in use": replace(KNOWN, files_in_use=None),
    "neighbours": replace(KNOWN, neighbours=None),
    "memory.max": replace(KNOWN, why_not={"memory.max": "the limit in the cgroup /x cannot be read"}),
    **{name: without(name) for name in SYSCTLS if name not in ("net.ipv4.ip_local_port_range",)},
    **{f"{name} truncated": replace(without(name), why_not={name: "is truncated"}) for name in SYSCTLS},
}
# What a program that lets the kernel choose does not ask, and what `ports` stands for.
OTHERS = ("net.ipv4.ip_unprivileged_port_start", "net.ipv4.ip_local_port_range")


@pytest.mark.parametrize("name", [name for name in MISSING if not name.startswith(OTHERS)])
def test_a_fact_that_is_missing_is_never_ok(name: str) -> None:
    """One at a time: the row says so, with the reason and what to assume, and comes before those that are OK."""
    world = MISSING[name]
    first, *others = checks_of(world)

    assert (first.says, first.room) == (Says.UNKNOWN, None)
    assert "--assume " in first.note
    assert all(reason in first.note for reason in world.why_not.values())
    assert all(check.says is Says.OK for check in others)


def test_a_plan_with_an_unknown_row_does_not_fit() -> None:
    usual: dict[str, Any] = dict.fromkeys(fit.Fit.__dataclass_fields__) | {"ways": (), "checks": ()}

    assert not fit.Fit(**usual | {"says": Says.UNKNOWN}).fits
    assert fit.Fit(**usual | {"says": Says.OK}).fits


def test_what_blocks_for_certain_comes_before_what_is_unknown() -> None:
    found = with_unknown(
        [Check("a", "", Interval.of(1), Says.BLOCKS, "")], PlanCase(_case(MISSING["memory"]), 9, frozenset(), False)
    )

    assert [check.says for check in found] == [Says.BLOCKS, Says.UNKNOWN]


def _case(world: World) -> Case:
    return Case(world, Role.CLIENT, Strategy.LATE, None)


def test_what_does_not_matter_may_be_missing() -> None:
    """Neighbours of one address, watches of io_uring, TIME_WAIT without churn, a module that is not loaded."""
    assert unknown(MISSING["neighbours"], peers=1) == []
    assert unknown(without(WATCHES), epoll=False) == []
    assert unknown(without("net.ipv4.tcp_tw_reuse"), churns=False) == []
    assert unknown(replace(without(MOST, COUNT), tracked=None)) == []


def test_a_module_whose_counters_are_there_is_loaded() -> None:
    assert unknown(replace(without(MOST, COUNT), counters={"nf_conntrack.drop": 0})) == [MOST]


def test_ports_below_the_first_unprivileged_one_matter_to_a_program_that_names_them() -> None:
    name = "net.ipv4.ip_unprivileged_port_start"

    assert unknown(without(name), strategy=Strategy.EXPLICIT) == [name]
    assert unknown(without(name, "net.ipv4.ip_local_reserved_ports"), strategy=Strategy.EXPLICIT) == [name]


def test_a_table_that_is_too_small_and_may_not_count_is_unknown() -> None:
    """65,526 entries are left; whether these connections take them, nothing tells.

    Unless such connections exist and are not counted.
    """
    perhaps = replace(KNOWN, tracked=None)

    assert unknown(perhaps, 65_526) == []
    assert unknown(perhaps, 65_527) == [MOST]
    assert unknown(perhaps, 65_527, tuples_in_use=1) == []
    assert unknown(replace(perhaps, sysctls={**SYSCTLS, MOST: "0"}), 10**6) == []  # 0: no limit


# What is assumed.


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('net.ipv4.ip_local_port_range="1024 65535"', ("net.ipv4.ip_local_port_range", "1024 65535")),
        ("net.ipv4.ip_local_port_range=1024\t65535", ("net.ipv4.ip_local_port_range", "1024 65535")),
        ("net.ipv4.ip_local_reserved_ports=", ("net.ipv4.ip_local_reserved_ports", "")),
        ("fs.nr_open=2M", ("fs.nr_open", "2000000")),
        (f"{MOST}=262144", (MOST, "262144")),
        ("memory=8GiB", ("memory", str(8 * 2**30))),
        ("nat.ports=50k", ("nat.ports", "50000")),
        ("nat.kept=60", ("nat.kept", "60")),
        ("nat.kept=2m", ("nat.kept", "120")),
    ],
)
def test_what_may_be_assumed(text: str, found: tuple[str, str]) -> None:
    assert parse_assumptions([text]) == dict([found])


@pytest.mark.parametrize(
    "text", ["", "x", "x=1", "fs.nr_open=", "fs.nr_open=x", "net.ipv4.ip_local_port_range=5", "memory=x", "nat.kept=x"]
)
def test_what_may_not_be_assumed(text: str) -> None:
    with pytest.raises(UsageError):
        parse_assumptions([text])


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("memory", ["memory=1GiB"]),
        ("memory.max", ["memory.max=1GiB"]),
        ("files in use", ["fs.file-nr=5"]),
        ("neighbours", ["neighbours=5"]),
        ("fs.nr_open", ["fs.nr_open=5"]),
        (MOST, [f"{MOST}=99999"]),
        (f"{MOST} truncated", [f"{MOST}=99999"]),
    ],
)
def test_what_is_assumed_is_known(name: str, texts: list[str]) -> None:
    world = MISSING[name]

    assert unknown(world)
    assert unknown(assumed_world(world, parse_assumptions(texts))) == []
