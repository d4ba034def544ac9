"""A server and its client in a private network namespace of their own, each on a CPU of its own or on all of them.

Commands are written here as they are typed there: `fourtuple …`, `python -m …`, or a program of ours in C.
"""

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.measure import NotMeasuredError
from bench.opening import free_memory_bytes
from fourtuple.verbs.background import start
from fourtuple.verbs.lab import Lab

ROOT = Path(__file__).parent.parent
PEERS = Path(__file__).with_name("peers")
PROGRAMS: Mapping[str, Sequence[str]] = {"fourtuple": [sys.executable, "-m", "fourtuple"], "python": [sys.executable]}
COMPILE = ("gcc", "-O2", "-Wall", "-Wextra")
PORTS = range(1024, 65536)
HASH_ENTRIES = 262_144  # what a host has by itself
CPUS = sorted(os.sched_getaffinity(0))
CLIENT_CPU, SERVER_CPU = str(CPUS[0]), str(CPUS[1 % len(CPUS)])
ANY_CPU = ""  # where the scheduler likes
RUN_S, END_S = 300, 120  # longer takes nothing here: then it is stuck
STILL_S, QUIET_S = 0.5, 300.0
FEW_SOCKETS = 1000


@dataclass(frozen=True, slots=True)
class Contestant:
    """server, client: commands; programs: where those of them are that are not in PROGRAMS

    server_cpus, client_cpus: as taskset(1) has them
    ports:        from which connect() chooses; servers listen below
    hash_entries: of the namespace's table of connections
    warm_bytes:   memory to touch before, see `warm`
    """

    server: str
    client: str
    server_cpus: str = SERVER_CPU
    client_cpus: str = CLIENT_CPU
    ports: range = PORTS
    hash_entries: int = HASH_ENTRIES
    warm_bytes: int = 0
    programs: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def commands(self) -> list[str]:
        return [
            f"in fourtuple lab --ports {self.ports.start}-{self.ports[-1]} --hash-table {self.hash_entries}:",
            f"  {_pinned(self.server_cpus, self.server)}",
            f"  {_pinned(self.client_cpus, self.client)}",
        ]

    def run(self) -> dict[str, Any]:
        """What the client printed last. Raises NotMeasuredError where one of the two fails."""
        with self.running() as (_, client):
            return self.finish(client)

    @contextmanager
    def running(self) -> "Iterator[tuple[subprocess.Popen[str], subprocess.Popen[str]]]":
        """The server, which listens, and the client, which has just been started; both end with the block."""
        wait_quiet()
        with warm(self.warm_bytes), Lab(ports=self.ports, hash_entries=self.hash_entries) as lab:
            words = lab.command(self._words(_pinned(self.client_cpus, self.client)))
            with _listening(lab.command(self._words(_pinned(self.server_cpus, self.server)))) as server:
                client = start(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                try:
                    yield server, client
                finally:
                    client.kill()
                    client.communicate()

    def finish(self, client: "subprocess.Popen[str]") -> dict[str, Any]:
        """What the client printed last, when it has ended. Raises NotMeasuredError if it failed."""
        output, errors = client.communicate(timeout=RUN_S)
        if client.returncode:
            said = (errors.strip() or output.strip() or "nothing").splitlines()[-1]
            raise NotMeasuredError(f"{self.client} ended with {client.returncode} and said: {said}")
        printed: dict[str, Any] = json.loads(output.splitlines()[-1])
        return printed

    def _words(self, command: str) -> list[str]:
        programs = {**PROGRAMS, **self.programs}
        return [real for word in shlex.split(command) for real in programs.get(word, [word])]


def _pinned(cpus: str, command: str) -> str:
    return f"taskset -c {cpus} {command}" if cpus else command


def commands_of(contestants: Mapping[str, Contestant]) -> list[str]:
    return [line for each in contestants.values() for line in each.commands]


@contextmanager
def _listening(command: Sequence[str]) -> "Iterator[subprocess.Popen[str]]":
    """A server that says so on standard error runs during the block."""
    server = start(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        first = server.stderr.readline() if server.stderr else ""
        if not first.startswith("listening"):
            raise NotMeasuredError(f"the server did not come up: {first.strip()}")
        yield server
    finally:
        server.terminate()
        try:
            server.communicate(timeout=END_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.communicate()


def build_commands(*names: str) -> list[str]:
    return [f"{' '.join(COMPILE)} bench/peers/{name}.c -o {name}" for name in names]


@contextmanager
def compiled(*names: str) -> Iterator[dict[str, list[str]]]:
    """Programs of peers/*.c by name, while the block lasts. Raises NotMeasuredError without a compiler."""
    with tempfile.TemporaryDirectory() as directory:
        for name in names:
            command = [*COMPILE, str(PEERS / f"{name}.c"), "-o", f"{directory}/{name}"]
            try:
                subprocess.run(command, check=True, capture_output=True, text=True)
            except FileNotFoundError:
                raise NotMeasuredError(f"{command[0]} is not here, and one contestant is written in C") from None
            except subprocess.CalledProcessError as error:
                raise NotMeasuredError(f"{name}.c does not compile: {error.stderr}") from None
        yield {f"./{name}": [f"{directory}/{name}"] for name in names}


def timed(lab: Lab, command: str, times: int = 1) -> list[tuple[float, float]]:
    """Return wall and CPU seconds of a command in the lab, with all its processes. Raises NotMeasuredError."""
    return [(wall_s, cpu_s) for wall_s, cpu_s in _timing(lab, command, times)]


def first_s(lab: Lab, times: int) -> list[float]:
    """Return the seconds from the start of `fourtuple hold 100` until a listener has accepted."""
    found: list[float] = _timing(lab, "first", times)
    return found


def _timing(lab: Lab, command: str, times: int) -> Any:
    words = lab.command([sys.executable, "-m", "bench.timing", str(times), command])
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasuredError(f"{command}: {(done.stderr.strip() or 'nothing').splitlines()[-1]}")
    return json.loads(done.stdout)


def wait_quiet(still_s: float = STILL_S) -> None:
    """Until few sockets of the run before are left, and its memory has stopped coming back for `still_s`.

    The kernel closes what a ring or a namespace held after the process has ended, and the last of the memory comes
    back slowly. Where it is others who have many sockets, it is enough that they do not become fewer.
    """
    until_s = time.monotonic() + QUIET_S
    sockets, free_bytes = _sockets(), free_memory_bytes()
    while time.monotonic() < until_s:
        time.sleep(still_s)
        sockets_before, free_before_bytes = sockets, free_bytes
        sockets, free_bytes = _sockets(), free_memory_bytes()
        still = sockets <= FEW_SOCKETS or sockets >= sockets_before
        if still and free_bytes < free_before_bytes + 2**24:
            return


@contextmanager
def warm(size_bytes: int) -> Iterator[None]:
    """Touch that much memory before the block, and let it go as the block takes it (bench/warming.py)."""
    free_bytes = free_memory_bytes()
    touched_bytes = min(size_bytes * 5 // 4, free_bytes * 9 // 10)  # tables and buffers beside the connections, too
    if not touched_bytes:
        yield
        return
    kept_bytes = max(0, min(touched_bytes, free_bytes - size_bytes * 3 // 2))  # what is kept is not free for the block
    words = [sys.executable, "-m", "bench.warming", str(touched_bytes), str(kept_bytes)]
    warming = start(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        if not warming.stdout or warming.stdout.readline() != "touched\n":
            raise NotMeasuredError("memory could not be touched")
        yield
    finally:
        warming.kill()
        warming.communicate()


def _sockets() -> int:
    """TCP sockets of the whole host: `TCP: inuse 5 orphan 0 tw 0 alloc 7 mem 1`."""
    words = next(
        line.split() for line in Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP:")
    )
    return int(words[words.index("alloc") + 1])
