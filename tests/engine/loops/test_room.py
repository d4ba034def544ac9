"""How many connections a loop can hold: arithmetic on open files, and rings that are really made."""

import errno
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.limits.cost import FILES_RESERVED, MOST_WORKERS
from fourtuple.core.runs.pace import OpeningPace
from fourtuple.core.runs.slices import split
from fourtuple.engine.loops.room import (
    FILES,
    LOCKED,
    Layout,
    epoll_room,
    ring_room,
    rings_made,
    workers_worth,
)
from fourtuple.kernel.proc.pid import usable_cpus
from fourtuple.kernel.process import Files, read_files
from fourtuple.kernel.uring import features
from tests.conftest import limited, need
from tests.waiting import COMMAND_S

CAN = features()
ONE = """
from fourtuple.engine.loops.room import ENTRIES, rings_made
from fourtuple.kernel.uring import features

print(*rings_made(1, ENTRIES, features()))
"""
FEW = """
import json, sys
from fourtuple.core.limits.cost import FILES_RESERVED
from fourtuple.engine.loops.rings import Rings
from fourtuple.engine.loops.room import ENTRIES, Layout, ring_room, rings_made
from fourtuple.kernel.process import read_files
from fourtuple.kernel.uring import features

can, files = features(), read_files()
made = [rings_made(number, ENTRIES, can) for number in (1, 4, 1)]
room = ring_room(files, can, 60_000, 1)
rings = Rings(room.connections, can)
needs = [rings.need(number) for number in range(-(-room.connections // 20_000))]
json.dump([made, [room.connections, room.limit, room.because], needs], sys.stdout)
"""


@pytest.mark.parametrize(
    ("connections", "rate_per_s", "cpus", "free_bytes", "workers"),
    [
        (100, None, 32, None, 1),  # too few connections
        (16_383, None, 32, None, 1),
        (16_384, None, 32, None, 2),
        (19_800, None, 2, 2**34, 2),
        (1_000_000, None, 1, None, 1),  # one CPU
        (1_000_000, None, 32, 2**37, 32),
        (1_000_000, 500.0, 32, None, 1),  # one process keeps this rate
        (1_000_000, 40_000.0, 32, None, 2),
        (1_000_000, 1e300, 32, None, 32),
        (1_000_000, None, 32, 2**27, 2),  # 128 MiB of memory
        (1_000_000, None, 32, 0, 1),
        (100_000_000, None, 5000, None, MOST_WORKERS),
    ],
)
def test_each_cpu_opens_if_there_is_work_for_it(
    connections: int, rate_per_s: float | None, cpus: int, free_bytes: int | None, workers: int
) -> None:
    """The number of processes follows from CPUs, connections, rate and memory."""

    assert workers_worth(connections, rate_per_s, cpus, free_bytes) == workers
    assert epoll_room(Files(2**20, 2**20, 10), connections, None, least=workers).workers >= workers
    assert epoll_room(Files(2**20, 2**20, 10), connections, 1, least=workers).workers == 1


THREADS = """
import threading
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.engine.loops.choose import choose

alone = choose(LoopName.AUTO, connections=100_000).room.workers
done = threading.Event()
threading.Thread(target=done.wait).start()
print(alone, choose(LoopName.AUTO, connections=100_000).room.workers)
done.set()
"""


def test_a_program_with_threads_is_not_forked_for_speed() -> None:
    """The command, which has one thread, uses each CPU; a program that has several is not forked without need."""
    alone = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", THREADS], env=alone, capture_output=True, text=True, timeout=COMMAND_S)

    assert done.stdout.split() == [str(usable_cpus()), "1"], done.stderr


@given(st.integers(0, 3000), st.integers(0, 100), st.integers(1, 10**6), st.none() | st.integers(1, 2000))
def test_the_processes_of_epoll_are_as_few_as_have_room(soft: int, used: int, wanted: int, workers: int | None) -> None:
    """With as many as were asked for, or as few as hold them all; none of them has more sockets than files."""
    room = epoll_room(Files(soft, soft, used), wanted, workers)

    assert room.each == max(0, soft - used - FILES_RESERVED)
    assert room.connections == room.workers * room.each
    if workers:
        assert room.workers == workers
    elif room.connections >= wanted:
        assert (room.workers - 1) * room.each < wanted
    else:
        assert room.workers == (MOST_WORKERS if room.each else 1)


@given(st.integers(30, 400), st.integers(0, 20), st.integers(1, 20_000), st.integers(1, 8))
def test_a_ring_has_as_many_slots_as_files_and_takes_two(soft: int, used: int, wanted: int, workers: int) -> None:
    """What the files of one process hold is the most that its own rings have, each within its limits."""
    layout = Layout.of(Files(soft, soft, used), FILES_RESERVED)
    shares = [each.wanted for each in split(wanted, wanted, workers, OpeningPace())]

    assert layout.slots == soft
    assert 2 * layout.most + used + FILES_RESERVED <= max(soft, used + FILES_RESERVED)
    assert all((layout.rings(share) - 1) * soft < share <= layout.rings(share) * soft for share in shares)


def test_as_many_processes_as_the_rings_of_a_small_limit_take() -> None:
    """ulimit -n 64 with 6 in use: 17 rings of 64 sockets, so that 5,000 take 5 processes, and one holds 1,088."""
    need(CAN.why_not is None, f"io_uring ({CAN.why_not})")
    files = Files(64, 64, 6)
    all_of_them, one = ring_room(files, CAN, 5000, None), ring_room(files, CAN, 5000, 1)

    assert (all_of_them.workers, all_of_them.connections) == (5, 5 * 1088)
    assert (one.workers, one.connections, one.limit) == (1, 1088, FILES)
    assert "ulimit -n 64" in one.because


def test_rings_are_made_and_leave_nothing() -> None:
    need(CAN.why_not is None, f"io_uring ({CAN.why_not})")
    before = read_files().open

    assert rings_made(300, 128, CAN) == (300, 0)
    assert read_files().open == before


@pytest.mark.alone  # the memory that other processes of the user lock counts, too
@pytest.mark.parametrize(("kib", "held"), [(64, 0), (150, 40_000)])
def test_what_locked_memory_leaves_is_found_by_making_the_rings(kib: int, held: int) -> None:
    """With 20,000 files 150 KiB have room for 2 rings, of 69 KiB each: of 4, and for the loop directly afterwards."""
    need(CAN.why_not is None, f"io_uring ({CAN.why_not})")
    nothing = subprocess.run(
        [*limited("-l 0 -n 20000"), sys.executable, "-c", ONE], capture_output=True, text=True, check=True
    )
    need(nothing.stdout.split()[0] == "0", "a kernel that counts the rings of a user as locked memory")
    command = [*limited(f"-l {kib} -n 20000"), sys.executable, "-c", FEW]
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_S, check=True)
    rings = held // 20_000
    made, room, needs = json.loads(done.stdout)

    assert made == [[min(1, rings), 0 if rings else errno.ENOMEM], [rings, errno.ENOMEM], made[0]]
    assert room[:2] == [held, LOCKED]
    assert f"ulimit -l {kib}" in room[2]
    assert needs == [0] * rings
