"""What the servers of this host can accept: their accept queues, and their open files, each by its share."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fourtuple.core.plan.fit import QUEUE, Check, Says
from fourtuple.core.plan.servers import HEADROOM_FILES, LocalServer, listening, server_checks, server_ways, shares
from fourtuple.core.snapshot.fold import ListenerRow, expand_listeners
from fourtuple.core.sockets.owners import Holders
from fourtuple.core.sockets.table import Sockets
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import TupleSpace
from tests.core import quiet


def server(
    soft: int | None, open_files: int | None, share: float = 1.0, *, hard: int = 4096, rings: int = 0
) -> LocalServer:
    process = replace(
        quiet.PROCESS, files_soft=soft, files_open=open_files, files_hard=hard, rings=rings, files_most=64
    )
    return LocalServer(7, "nginx", share, replace(quiet.WORLD, process=process))


def checked(found: LocalServer, wanted: int) -> list[tuple[Says, int, int]]:
    checks = server_checks([found], (), wanted)
    return [(check.says, check.room.least, check.room.most) for check in checks if check.room]


@pytest.mark.parametrize(
    ("soft", "used", "share", "wanted", "expected"),
    [
        (30, 30, 1.0, 1, (Says.BLOCKS, 0, 0)),
        (30, 4, 1.0, 26, (Says.OK, 26, 26)),
        (30, 4, 1.0, 27, (Says.BLOCKS, 26, 26)),
        (30, 4, 0.5, 52, (Says.OK, 52, 52)),
        (30, 4, 0.5, 53, (Says.BLOCKS, 52, 52)),
        (100, None, 1.0, 50, (Says.PERHAPS, 36, 100)),
    ],
)
def test_a_server_accepts_as_many_as_it_may_open_files(
    soft: int, used: int | None, share: float, wanted: int, expected: tuple[Says, int, int]
) -> None:
    """Of a destination in two it accepts every second connection. Unseen descriptors are at most its table."""
    assert checked(server(soft, used, share), wanted) == [expected]


def test_what_is_unknown_or_needs_no_descriptor_is_no_check() -> None:
    assert checked(server(None, None), 10) == []
    assert checked(server(30, 30, rings=1), 10) == []


def test_a_queue_that_is_full_makes_it_uncertain() -> None:
    """It may be empty a moment later."""
    (check,) = server_checks([], ("127.0.0.1:80 (5 of 5)",), 10)

    assert (check.limit, check.says) == (QUEUE, Says.PERHAPS)
    assert check.room is not None
    assert (check.room.least, check.room.most) == (0, 10)
    assert list(server_checks([], (), 10)) == []


@pytest.mark.parametrize(("wanted", "by_root"), [(50, False), (5000, True)])
def test_a_server_with_too_few_files_can_be_given_more(wanted: int, by_root: bool) -> None:
    """Up to its hard limit without root. What it has open, its connections, and some more."""
    few = server(30, 10, 1.0, hard=100)
    (way,) = server_ways([few], list(server_checks([few], (), wanted)), wanted)

    assert (way.root, way.limit) == (by_root, "RLIMIT_NOFILE of nginx (7)")
    assert f"prlimit --pid 7 --nofile={10 + wanted + HEADROOM_FILES}:" in way.text


def test_enough_files_need_no_way() -> None:
    enough = server(30, 10)
    checks: list[Check] = list(server_checks([enough], (), 20))

    assert list(server_ways([enough], checks, 20)) == []


def listeners(*rows: tuple[str, int, int]) -> Sockets:
    """address, port, inode of each listener."""
    table, _ = expand_listeners([ListenerRow(address, port, 0, 4) for address, port, _ in rows])
    table["inode"] = [inode for *_, inode in rows]
    return table


def held(owners: dict[int, int], shared: Sequence[int] = ()) -> Holders:
    """Processes 70, 71, … by the inode that each has."""
    inodes = sorted(owners)
    numbers = np.array([owners[inode] for inode in inodes])
    processes = tuple((70 + number, "app") for number in range(max(owners.values()) + 1))
    return Holders(processes, np.array(inodes, np.uint32), numbers, None, {}, shared=frozenset(shared))


@pytest.mark.parametrize(
    ("rows", "owners", "shared", "expected"),
    [
        ([("127.0.0.9", 8000, 1)], {1: 0}, (), {0: 0.25}),
        ([("127.0.0.9", 8000, 1), ("127.0.0.9", 8001, 2)], {1: 0, 2: 0}, (), {0: 0.5}),
        ([("127.0.0.9", 8000, 1), ("127.0.0.9", 8001, 2)], {1: 0, 2: 1}, (), {0: 0.25, 1: 0.25}),
        ([("0.0.0.0", 8000, 1)], {1: 0}, (), {0: 0.5}),
        ([("127.0.0.9", 8000, 1), ("127.0.0.9", 8000, 2)], {1: 0, 2: 1}, (), {0: 0.125, 1: 0.125}),
        ([("127.0.0.9", 8000, 1), ("127.0.0.9", 8000, 2)], {1: 0, 2: 0}, (), {0: 0.25}),
        ([("127.0.0.9", 8000, 1), ("127.0.0.9", 8001, 2)], {1: 0, 2: 0}, (2,), {0: 0.25}),
        ([("127.0.0.9", 8000, 9)], {1: 0}, (), {}),
    ],
)
def test_a_server_has_its_part_of_the_destinations(
    rows: list[tuple[str, int, int]], owners: dict[int, int], shared: tuple[int, ...], expected: dict[int, float]
) -> None:
    """Of four: two addresses, two ports. What several processes have is nobody's for certain."""
    ports = Ranges([range(40_000, 40_010)])
    space = TupleSpace.of(["127.0.0.1"], ports, ["127.0.0.8-9:8000-8001"])

    assert shares(listeners(*rows), space.destinations, 4, held(owners, shared)) == expected


def test_a_server_has_no_part_of_the_destinations_on_other_hosts() -> None:
    """Also if it listens at every address: one of two addresses is here."""
    here = TupleSpace.of(["127.0.0.1"], Ranges([range(40_000, 40_010)]), ["127.0.0.9:8000-8001"]).destinations

    assert shares(listeners(("0.0.0.0", 8000, 1)), here, 4, held({1: 0})) == {0: 0.25}


def test_a_server_is_named_with_its_listeners() -> None:
    rows = listeners(("127.0.0.9", 8000, 1), ("127.0.0.9", 8001, 2), ("0.0.0.0", 8002, 3))

    assert listening(rows, held({1: 0, 2: 1, 3: 0})) == {
        0: ("127.0.0.9:8000", "0.0.0.0:8002"),
        1: ("127.0.0.9:8001",),
    }
