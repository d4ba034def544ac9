"""What it costs to follow a fleet of many machines, which are simulated; Dask's scheduler is a real one.

python -m bench.fleets 200   follow 200 machines for 10 s: one JSON object
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from bench.measure import Finding, NotMeasuredError, Result, alternate, at_most, median, median_ratio, spread
from fourtuple.core.fleet.answers import plan_of
from fourtuple.core.runs.orders import HoldOptions
from fourtuple.fleet.dask import DaskLinks
from fourtuple.fleet.divide import FleetOptions
from fourtuple.fleet.links import WorkerName
from fourtuple.fleet.run import fleet_hold
from fourtuple.verbs.background import serving
from tests.core.fleet.made import machine

HELD_S = 10.0
EACH = 50_000  # connections of each machine
PLANNED = 100_000_000
START_S = 30.0
TICKS = os.sysconf("SC_CLK_TCK")


def coordinator(rounds: int, machines: int = 200, held_s: float = HELD_S) -> Result:
    """What a hold from many simulated machines costs its coordinator and the scheduler: 4 samples per second each."""
    command = [sys.executable, "-m", "bench.fleets", str(machines), str(held_s)]
    found = []
    for _ in range(rounds):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise NotMeasuredError(done.stderr.strip()[-500:])
        found.append(json.loads(done.stdout))
    names = ("coordinator", "scheduler", "prepare_s", "plan_s")
    ours, theirs, prepare_s, plan_s = ([each[name] for each in found] for name in names)
    return Result(
        [
            Finding(f"coordinator of {machines} machines", median(ours), "CPUs", at_most(0.3)),
            Finding("Dask's scheduler", median(theirs), "CPUs", at_most(0.6)),
            Finding(f"plan of {PLANNED:,} connections, CPU", median(plan_s), "s", at_most(2)),
        ],
        [f"python -m bench.fleets {machines}"],
        [
            f"coordinator {spread(ours, 'CPUs')}",
            f"scheduler   {spread(theirs, 'CPUs')}",
            f"prepared within {spread(prepare_s, 's')}",
            f"planned within {spread(plan_s, 's')}",
        ],
    )


def planning_s(machines: int) -> float:
    """The processor time of a plan for so many unequal machines, two of them on each kernel."""
    offers = [
        machine(f"m{n}", 4 + n % 5, 600_000 + n * 1009, sources=(f"10.0.{n}.1-200",), boot=f"b{n // 2}", space=f"{n}")
        for n in range(machines)
    ]
    began_s = time.process_time()
    plan_of(PLANNED, ["10.1.0.1:80"], offers)
    return time.process_time() - began_s


def scaling(rounds: int, wanted: int = 40_000, workers: tuple[int, ...] = (1, 2, 4)) -> Result:
    """Open connections from 1, 2 and 4 workers of a cluster on this machine, beside one `hold`; one server process."""
    port = free_port(4)
    where = f"127.0.0.1:{port}-{port + 3}"
    rest = [str(wanted), where, "--for", "1s", "--workers", "1", "--json", "--quiet", "--no-store"]
    plain = [sys.executable, "-m", "fourtuple", "hold", *rest]
    calls = {"hold": partial(_rate, plain, wanted)}
    for count in workers:
        command = [*plain[:3], "fleet", "hold", *rest, "--local", str(count)]
        calls[f"fleet of {count}"] = partial(_rate, command, wanted)
    with serving(where):
        found = alternate(calls, rounds)
    ratios = {name: median_ratio(values, found["hold"]) for name, values in found.items() if name != "hold"}
    return Result(
        [Finding(name, ratio, "× hold") for name, ratio in ratios.items()],
        [
            f"fourtuple hold {wanted} {where} --workers 1",
            f"fourtuple fleet hold {wanted} {where} --workers 1 --local K",
        ],
        [f"{name:<10} {spread(values, '/s')}" for name, values in found.items()],
    )


def _rate(command: list[str], wanted: int) -> float:
    """The connections that the command opened per second."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    record = json.loads(done.stdout or "{}")
    if record.get("held") != wanted:
        raise NotMeasuredError(record["outcome"]["says"] if record else done.stderr.strip()[-500:])
    rate: float = record["rate_per_s"]
    return rate


class CrowdedLinks(DaskLinks):
    """Many simulated machines in the one worker of a cluster."""

    def __init__(self, client: Any, machines: int) -> None:
        from bench.simulated import Simulated

        super().__init__(client, Simulated)
        self._machines = machines

    def workers(self) -> list[WorkerName]:
        (only,) = super().workers()
        return [WorkerName(f"m{number}", only.address) for number in range(1, self._machines + 1)]


@contextmanager
def cluster() -> Iterator[tuple[str, int]]:
    """(the scheduler's address, its pid), with one worker."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    python: list[str] = [sys.executable, "-m"]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    of_scheduler = ["--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    of_worker = [address, "--no-nanny", "--nthreads", "1", "--memory-limit", "0", "--no-dashboard"]
    scheduler = subprocess.Popen([*python, "distributed.cli.dask_scheduler", *of_scheduler], **quiet)
    worker = subprocess.Popen([*python, "distributed.cli.dask_worker", *of_worker], **quiet)
    try:
        yield address, scheduler.pid
    finally:
        for each in (worker, scheduler):
            each.kill()
            each.wait()


def free_port(count: int = 1) -> int:
    """The first of so many ports in a row on 127.0.0.1 that nobody listens on."""
    while True:
        with ExitStack() as opened, suppress(OSError, OverflowError):
            first = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
            port: int = first.getsockname()[1]
            for more in range(1, count):
                opened.enter_context(socket.create_server(("127.0.0.1", port + more)))
            return port


def cpu_s(pid: int) -> float:
    """The processor time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def follow(machines: int, held_s: float = HELD_S) -> dict[str, float]:
    """Follow a hold of this many machines: shares of one CPU from its first sample until closing begins."""
    import distributed

    with cluster() as (address, scheduler):
        client: Any = distributed.Client(address, timeout=START_S)  # type: ignore[no-untyped-call]
        client.wait_for_workers(1, timeout=START_S)
        links = CrowdedLinks(client, machines)
        start_s = time.monotonic()
        options = HoldOptions.of(machines * EACH, ["127.0.0.1:9"], hold_s=held_s)
        _, run = fleet_hold(links, options, FleetOptions(sharing=True, store=False))
        figures = {"machines": float(machines), "prepare_s": time.monotonic() - start_s}
        next(run)
        marks = taken = _clocks(scheduler)
        samples = 0
        for sample in run:
            samples += 1
            if sample.open:
                taken = _clocks(scheduler)
        wall_s, ours_s, theirs_s = (after - before for before, after in zip(marks, taken, strict=True))
        links.end()
        client.close()
        figures |= {"held": float(run.record.held), "wanted": float(run.record.wanted)}
        figures |= {"plan_s": planning_s(machines)}
        return figures | {"coordinator": ours_s / wall_s, "scheduler": theirs_s / wall_s, "per_s": samples / wall_s}


def _clocks(scheduler: int) -> tuple[float, float, float]:
    """(time, processor time of this process, that of the scheduler)"""
    return time.monotonic(), time.process_time(), cpu_s(scheduler)


if __name__ == "__main__":
    print(json.dumps(follow(int(sys.argv[1]), *map(float, sys.argv[2:]))))
