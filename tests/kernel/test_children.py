"""Child processes: an exit status that is lost is unknown, never 0; programs of ours lose none; nothing is left."""

import itertools
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest

from fourtuple.core.errors import CannotError
from fourtuple.kernel import children
from fourtuple.verbs.lab import Lab, run_in
from tests.conftest import COMMAND, Ground, fourtuple, need_namespace
from tests.engine.crews.test_workers import a_crew, holds, is_killed, run
from tests.waiting import wait_until


def ignore_children() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


@pytest.fixture
def lost() -> Iterator[None]:
    """This process ignores SIGCHLD, as a caller's program may: the kernel keeps no exit status (wait(2), NOTES)."""
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


# In somebody else's process


def test_the_exit_code_of_a_program_is_known_unless_the_status_is_lost() -> None:
    def ended(script: str) -> int | None:
        return children.wait(subprocess.Popen(["sh", "-c", script]))

    assert [ended("exit 7"), ended("kill -9 $$"), ended("true")] == [7, 128 + signal.SIGKILL, 0]


@pytest.mark.usefixtures("lost")
def test_the_exit_code_of_a_program_whose_status_is_lost_is_unknown() -> None:
    assert children.wait(subprocess.Popen(["sh", "-c", "exit 7"])) is None


# Counts in a process, a thread of it, and a child, each in its own byte of the file. Prints both PIDs.
COUNTERS = """
import mmap, os, sys, threading
counts = mmap.mmap(os.open(sys.argv[1], os.O_RDWR), 3)
def count(number):
    while True:
        counts[number] = counts[number] % 251 + 1
child = os.fork()
if child:
    print(os.getpid(), child, flush=True)
    threading.Thread(target=count, args=(0,), daemon=True).start()
count(1 if child else 2)
"""


@pytest.fixture
def counters(tmp_path: Path) -> Iterator[tuple[mmap.mmap, set[int], list[int]]]:
    """The counts of a running COUNTERS, our children before it, and its PIDs."""
    file = tmp_path / "counts"
    file.write_bytes(bytes(3))
    known = children.children()
    with subprocess.Popen([sys.executable, "-c", COUNTERS, file], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        pids = [int(pid) for pid in program.stdout.readline().split()]
        with open(file, "r+b") as opened, mmap.mmap(opened.fileno(), 3) as counts:
            yield counts, known, pids
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


def has_counted(counts: mmap.mmap, numbers: Iterable[int]) -> bool:
    """Whether each of these goes on counting."""
    before = counts[:]
    return wait_until(lambda: all(counts[number] != before[number] for number in numbers))


def test_stopped_processes_do_nothing_until_the_end_of_the_block(
    counters: tuple[mmap.mmap, set[int], list[int]],
) -> None:
    """A process with two threads and its child."""

    counts, known, _ = counters
    assert has_counted(counts, range(3))
    for _ in range(20):
        with children.stopped(known) as is_still:
            assert is_still
            before = counts[:]
            time.sleep(0.01)
            assert counts[:] == before
        assert has_counted(counts, range(3))


def test_a_process_that_something_else_had_stopped_stays_so(counters: tuple[mmap.mmap, set[int], list[int]]) -> None:
    counts, known, (_, child) = counters

    os.kill(child, signal.SIGSTOP)
    assert wait_until(lambda: Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    before = counts[2]
    with children.stopped(known) as is_still:
        assert is_still
    assert has_counted(counts, range(2))
    assert counts[2] == before


def test_programs_that_are_known_before_go_on(counters: tuple[mmap.mmap, set[int], list[int]]) -> None:
    counts, known, (parent, _) = counters

    with children.stopped(known | {parent}) as is_still:
        assert is_still
        assert has_counted(counts, range(3))


def test_a_forked_process_does_its_work_and_nothing_else() -> None:
    pid = children.fork(lambda: 7)
    found: list[tuple[bool, int | None]] = []

    def has_ended() -> bool:
        found.append(children.has_ended(pid))
        return found[-1][0]

    assert wait_until(has_ended)
    assert found[-1] == (True, 7)
    assert children.has_ended(pid) == (True, None)  # it has been waited for


@pytest.mark.usefixtures("lost")
def test_workers_whose_status_is_lost_are_judged_by_what_they_counted() -> None:
    """One ends in order, one is killed: without a traceback, and with the connections of the second lost."""
    crew = a_crew(partial(holds, 23), partial(is_killed, 10))
    samples = run(crew)

    assert (samples[-1].closed, samples[-1].lost, crew.killed) == (23, 7, 1)


@pytest.mark.usefixtures("lost")
def test_a_lab_says_that_it_does_not_know_the_exit_code() -> None:
    need_namespace()
    with Lab() as lab, pytest.raises(CannotError, match="exit code of sh"):
        run_in(lab, ["sh", "-c", "exit 7"])


# In our own programs


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["lab", "--quiet", "--", "sh", "-c", "exit 7"], 7, ""),
        (["lab", "--quiet", "--", "sh", "-c", "kill -9 $$"], 128 + 9, ""),
        (["check", "--quiet", "--", "false"], 1, "exit code 1"),
    ],
)
def test_a_parent_that_ignores_sigchld_changes_no_exit_code(arguments: list[str], code: int, words: str) -> None:
    """Some supervisors do, and exec keeps it (signal(7))."""
    need_namespace()
    done = fourtuple(*arguments, preexec_fn=ignore_children)

    assert done.returncode == code
    assert words in " ".join(done.stderr.split())


def test_workers_of_a_parent_that_ignores_sigchld_end_in_order(ground: Ground) -> None:
    with ground.serving("127.0.0.1:7777"):
        hold = ["hold", "101", "127.0.0.1:7777", "--workers", "2", "--for", "0s"]
        done = ground.fourtuple(*hold, preexec_fn=ignore_children)

    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def closing(numbers: tuple[int, ...]) -> Callable[[], None]:
    def close() -> None:
        for number in numbers:
            os.close(number)

    return close


EVERY = [some for count in (1, 2, 3) for some in itertools.combinations(range(3), count)]


@pytest.mark.parametrize("closed", EVERY, ids=str)
def test_closed_standard_streams_are_no_obstacle(ground: Ground, closed: tuple[int, ...]) -> None:
    """Workers, their log and their sockets, where the descriptors 0 to 2 were free for other files."""
    with ground.serving("127.0.0.1:7777") as record:
        hold = ["hold", "101", "127.0.0.1:7777", "--workers", "2", "--for", "0s", "--log"]
        done = ground.fourtuple(*hold, preexec_fn=closing(closed))

    assert (done.returncode, record["accepted"]) == (0, 101), done.stderr


@pytest.mark.parametrize("closed", EVERY, ids=str)
def test_a_command_in_a_lab_has_standard_streams_where_they_were_closed(closed: tuple[int, ...]) -> None:
    need_namespace()
    script = "for n in 0 1 2; do test -e /proc/$$/fd/$n || exit 1; done; test ! -e /proc/$$/fd/3"
    command = [*COMMAND, "lab", "--quiet", "--", "sh", "-c", script]
    done = subprocess.run(command, preexec_fn=closing(closed), capture_output=True, check=False)

    assert done.returncode == 0


def test_signals_that_are_held_arrive_when_they_are_released() -> None:
    """Also those that arrived in a program before it was ready."""
    code = (
        "import os, signal; from fourtuple.kernel import children\n"
        "os.kill(os.getpid(), signal.SIGTERM); print('here', flush=True); children.release_signals(); print('not here')"
    )
    with children.signals_held():
        program = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    output, _ = program.communicate()

    assert (output, program.returncode) == ("here\n", -signal.SIGTERM)
