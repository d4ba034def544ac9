"""What a sweep of a busy node costs: `doctor` over 300 network namespaces and 5,000 processes.

`python -m bench.sweeping make SPACES PROCESSES` makes them and prints a line when they are there; they end with it.
`python -m bench.sweeping parts` prints the CPU seconds of each part of a sweep, as JSON.
"""

import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from bench.measure import Finding, NotMeasuredError, Result, at_most, median, spread
from fourtuple.core.doctor.diagnose import diagnose
from fourtuple.kernel.netns import set_loopback_up
from fourtuple.kernel.probes import behaviours
from fourtuple.kernel.proc.processes import read_processes
from fourtuple.kernel.runtimes import cgroups_of
from fourtuple.kernel.syscalls import CLONE_NEWNET, unshare
from fourtuple.kernel.visit import known_places, visit
from fourtuple.verbs import sweep as sweeping

SPACES, PROCESSES = 300, 5000
CONNECTIONS = 3  # in each namespace, so 2 sockets each, and a listener of TCP, one of Unix, and a UDP socket
MOST_S = 3.0
MAKE_S = 300.0
T = TypeVar("T")


def sweep(rounds: int) -> Result:
    """`fourtuple doctor` on a host with 300 network namespaces and 5,000 processes: CPU of all its processes."""
    command = [sys.executable, "-m", "fourtuple", "doctor", "--json"]
    with _node():
        took_s = [_cpu_s(command) for _ in range(rounds)]
        parts = json.loads(_said([sys.executable, "-m", "bench.sweeping", "parts"]))
    return Result(
        [Finding("CPU", median(took_s), "s", at_most(MOST_S))],
        [f"python -m bench.sweeping make {SPACES} {PROCESSES}", "fourtuple doctor --json"],
        [f"{'all':<14} {spread(took_s, 's')}", *(f"{name:<14} {seconds:.2f} s" for name, seconds in parts.items())],
    )


@contextmanager
def _node() -> Iterator[None]:
    """The namespaces and processes, during the block."""
    command = [sys.executable, "-m", "bench.sweeping", "make", str(SPACES), str(PROCESSES)]
    maker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        ready = maker.stdout.readline() if maker.stdout else ""
        if not ready:
            raise NotMeasuredError("namespaces could not be made: this needs root")
        yield
    finally:
        os.killpg(maker.pid, signal.SIGKILL)
        maker.communicate()


def _cpu_s(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _said(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _said(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise NotMeasuredError(done.stderr.strip().splitlines()[-1])
    return done.stdout


def make(spaces: int, processes: int) -> None:
    """Namespaces with a few sockets each, and processes that sleep in them; until standard input ends."""
    kept: list[Any] = []
    sleepers: list[int] = []
    try:
        for number in range(spaces):
            unshare(CLONE_NEWNET)
            set_loopback_up()
            kept += _sockets(number)
            for _ in range(processes * (number + 1) // spaces - len(sleepers)):
                sleepers.append(os.posix_spawn("/bin/sleep", ["sleep", "infinity"], {}))
        print("ready", flush=True)
        sys.stdin.read()
    finally:
        for pid in sleepers:
            os.kill(pid, signal.SIGKILL)


def _sockets(number: int) -> list[Any]:
    server = socket.create_server(("127.0.0.1", 8000))
    clients = [socket.create_connection(("127.0.0.1", 8000)) for _ in range(CONNECTIONS)]
    accepted = [server.accept()[0] for _ in clients]
    local = socket.socket(socket.AF_UNIX)
    local.bind(f"\0fourtuple-bench-{os.getpid()}-{number}")
    local.listen(5)
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(("127.0.0.1", 0))
    return [server, *clients, *accepted, local, datagrams]


def parts() -> dict[str, float]:
    """CPU seconds of each part of a sweep, and of the diagnosis."""
    took: dict[str, float] = {}

    def timed(name: str, call: Callable[[], T]) -> T:
        start_s = time.process_time()
        made = call()
        took[name] = time.process_time() - start_s
        return made

    known = tuple(timed("behaviours", behaviours))
    seen = timed("processes", lambda: read_processes(max_map_count=65530))
    pids_of: dict[str, list[int]] = {}
    for pid, process in seen.processes.items():
        pids_of.setdefault(process.netns, []).append(pid)
    pids_of.pop("", None)
    timed("namespaces", lambda: visit(known_places(pids_of), sweeping.SWEPT, known))
    timed("cgroups", lambda: cgroups_of({process.cgroup for process in seen.processes.values() if process.cgroup}))
    snapshot = timed("sweep, in all", sweeping.sweep)
    timed("diagnosis", lambda: diagnose(snapshot))
    return took


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(*map(int, sys.argv[2:]))
    else:
        print(json.dumps(parts()))
