"""What is counted against a limit has one meter, which the row, the evidence, the snapshot and the metric read."""

from dataclasses import replace

import pytest

from fourtuple.core.counters import COUNTERS
from fourtuple.core.limits.facts import World
from fourtuple.core.limits.meters import (
    CONNTRACK,
    EXPORTED,
    METERS,
    ORPHANS,
    TCP_MEMORY,
    Meter,
    Reading,
    tcp_mem_pages,
)
from fourtuple.core.limits.ports import PortUse
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.limits.table import LIMITS, SYSCTLS
from fourtuple.core.limits.verdicts import Case, Limit, Queue, Scope
from fourtuple.core.sockets.role import Role
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.faces.export.metrics import LIMITED
from tests.core.quiet import PROCESS, WORLD

SPACE = TupleSpace.of(["10.0.0.4"], range(32768, 61000), ["10.0.0.9:80"])
BUSY = replace(
    WORLD,
    process=replace(PROCESS, of_host=False, processes_soft=500, uid_threads=7, rings=None, epolls=None),
    files_in_use=900,
    threads=300,
    neighbours=12,
    sysctls=dict.fromkeys(SYSCTLS, "1000") | {"net.ipv4.tcp_mem": "100 200 300", "kernel.io_uring_disabled": "0"},
    sockstat={"TCP.tw": 3, "TCP.orphan": 4, "TCP.mem": 5},
    tracked=True,
)  # that says everything
# Ports are counted by ports.py and the metrics of pairs, queues by Queue and the metrics of listeners.
OF_SOCKETS = {
    "4-tuple",
    "net.ipv4.ip_local_port_range",
    "bind(address, 0)",
    "bind(address, port)",
    "net.core.somaxconn",
}


def cases(world: World) -> list[Case]:
    assert world.ports
    use = PortUse.of([], SPACE)
    queue = Queue(1, 2, 129, 128)
    return [
        Case(world, role, strategy, use.room(world.ports, strategy), peers=10**6, per_peer=1, queue=queue)
        for role in Role
        for strategy in Strategy
    ]


def counted(limit: Limit) -> bool:
    """Does its measure say how many are in use?"""
    found = [limit.measure(case) for case in cases(BUSY)]
    return any(measure.in_use is not None for measure in found if measure)


def test_every_limit_that_is_counted_has_a_meter() -> None:
    """… except where it is sockets that are counted, of which this is all."""
    without = {limit.name for limit in LIMITS if counted(limit) and limit.meter is None}

    assert without == OF_SOCKETS
    assert counted(next(limit for limit in LIMITS if limit.meter is ORPHANS))


@pytest.mark.parametrize("meter", METERS, ids=lambda meter: meter.setting)
def test_every_meter_is_one_row_s(meter: Meter) -> None:
    [limit] = [limit for limit in LIMITS if limit.meter is meter]

    assert meter.setting in limit.name.split(", ")
    assert meter.setting in limit.reads or limit.scope is Scope.PROCESS
    assert set(meter.counters) <= set(limit.counters)


@pytest.mark.parametrize("meter", METERS, ids=lambda meter: meter.setting)
def test_a_meter_of_the_namespace_or_the_host_is_exported(meter: Meter) -> None:
    """If it says how many are in use; of one process or user a monitor of a namespace has no number."""
    [scope] = [limit.scope for limit in LIMITS if limit.meter is meter]
    reads = meter.read(BUSY).in_use is not None

    assert bool(meter.metric) == (reads and scope is not Scope.PROCESS)
    assert not meter.metric or LIMITED[meter.metric].about != ""


def test_no_metric_comes_twice() -> None:
    assert len(EXPORTED) == len({meter.metric for meter in EXPORTED}) == len(LIMITED) == 7


def test_every_counter_of_a_meter_and_of_a_row_is_in_the_table_of_counters() -> None:
    named = {name for meter in METERS for name in meter.counters} | {name for row in LIMITS for name in row.counters}

    assert {"ListenOverflows", "nf_conntrack.drop"} <= named
    assert named <= {counter.name for counter in COUNTERS}


def test_what_moves_is_said_in_words() -> None:
    said = {limit.name: limit.counter for limit in LIMITS}

    assert said["net.core.somaxconn"] == "ListenOverflows and ListenDrops"
    assert said["net.ipv4.tcp_max_orphans"] == "TCPAbortOnMemory"
    assert said["net.netfilter.nf_conntrack_max"] == "drop in /proc/net/stat/nf_conntrack"
    assert said["net.core.netdev_max_backlog"] == "second column of /proc/net/softnet_stat; TCPSynRetrans"
    assert said["firewall"] == "the counters of its rules"
    assert said["fs.nr_open"] == ""


def test_what_cannot_be_read_is_none_and_nothing_is_taken_for_it() -> None:
    assert [meter.read(WORLD) for meter in (ORPHANS, TCP_MEMORY)] == [
        Reading(None, None, None),
        Reading(None, None, 4096),
    ]
    assert CONNTRACK.read(WORLD).room is None


def test_no_room_is_below_zero() -> None:
    """Orphans may be more than the setting: it is looked at now and then."""
    assert ORPHANS.read(replace(BUSY, sockstat={"TCP.orphan": 1_001})).room == 0
    assert ORPHANS.read(BUSY) == Reading(1000, 4, None)


@pytest.mark.parametrize(
    ("value", "pages"),
    [
        ("188190\t250923\t376380", (188190, 250923, 376380)),
        ("1 2 3\n", (1, 2, 3)),
        ("1 2", None),
        ("1 2 x", None),
        ("1 2 -3", None),
        ("1 2 3 4", None),
        ("", None),
    ],
)
def test_tcp_mem_is_three_numbers_of_pages_or_nothing(value: str, pages: tuple[int, int, int] | None) -> None:
    world = replace(WORLD, sysctls={"net.ipv4.tcp_mem": value}, page_bytes=65_536)
    found = TCP_MEMORY.read(world)

    assert tcp_mem_pages(world) == pages
    assert found.ceiling == (pages and pages[2])
    assert found.in_bytes(found.ceiling) == (pages and pages[2] * 65_536)
