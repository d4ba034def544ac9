"""The measures by name, in the order in which they run: what takes most memory comes last."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bench import (
    answers,
    churning,
    counting,
    crowds,
    echoes,
    fleets,
    looking,
    profiling,
    rates,
    reading,
    sessions,
    sweeping,
)
from bench.measure import Finding, Measure, NotMeasuredError, Result, alternate, at_most, median, median_ratio, spread
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.verbs.background import serving
from fourtuple.verbs.lab import Lab


def blocks(rounds: int) -> Result:
    """Make a million 4-tuples as columns: TupleSpace.block(5_000, 1_005_000)."""
    spaces = {
        "IPv4, 9 sources × 20 destinations": ("127.0.0.1-9", "127.0.0.1:20000-20019"),
        "IPv6, 255 sources × 20 destinations": ("fd00::1-ff", "[fd00::9]:20000-20019"),
    }
    calls: dict[str, Callable[[], float]] = {}
    for name, (source, end) in spaces.items():
        space = TupleSpace.of([source], range(1024, 65536), [end])
        calls[name] = partial(_took_ms, partial(space.block, 5_000, 1_005_000))
    return Result([Finding(name, median(ms), "ms") for name, ms in alternate(calls, rounds).items()], [])


def connect(rounds: int) -> Result:
    """fourtuple.connect compared with socket.create_connection, on an empty range, and with 55 % of it in use."""
    ports = range(32768, 49152)  # of which 55 % fit a process of 20,000 files
    code = f"python -m bench.connecting 80 {20 * rounds}"
    with Lab(ports=ports) as lab, serving("127.0.0.1:80", prefix=lab.command([])):
        done = subprocess.run(
            lab.command([sys.executable, *code.split()[1:]]), capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise NotMeasuredError(done.stderr.strip())
    found = json.loads(done.stdout)
    ratios = {fill: median_ratio(turns["connect"], turns["create_connection"]) for fill, turns in found.items()}
    return Result(
        [
            Finding("an empty range", ratios["empty"], "× create_connection", at_most(1.15)),
            Finding("55 % in use", ratios["half"], "× create_connection", at_most(0.5)),
        ],
        [f"in a lab of {len(ports):,} ports: {code}, beside fourtuple serve 127.0.0.1:80"],
        [
            f"{fill:<6} {name:<18} {spread(values, 'µs')}"
            for fill, turns in found.items()
            for name, values in turns.items()
        ],
    )


def past_65536(rounds: int) -> Result:
    """Open 100,000 connections between two addresses of this host, as the lesson does."""
    found = [_evidence("past-65536")["connections per second"] for _ in range(rounds)]
    return Result([Finding("connections per second", median(found), "/s")], ["fourtuple prove past-65536"])


def slow_lane(rounds: int) -> Result:
    """connect() with 51 % of the range in use, compared with 49 %."""
    found = [_evidence("slow-lane") for _ in range(rounds)]
    findings = []
    for name, key in (
        ("plain", "plain connect(), median in µs"),
        ("with IP_LOCAL_PORT_RANGE", "with IP_LOCAL_PORT_RANGE, median in µs"),
    ):
        above, below = ([each[key][level] for each in found] for level in ("51 % in use", "49 % in use"))
        findings.append(Finding(name, median_ratio(above, below), "×"))
    return Result(findings, ["fourtuple prove slow-lane"])


MEASURES: Mapping[str, Measure] = {
    "open": Measure(rates.open_pinned, 5),
    "open-free": Measure(rates.open_free, 5),
    "open-workers": Measure(rates.open_workers, 3),
    "user-time": Measure(rates.user_time, 3),
    "close": Measure(crowds.close, 3),
    "profile": Measure(profiling.profile, 1),
    "losses": Measure(crowds.losses, 2),
    "fleet": Measure(fleets.coordinator, 1),
    "fleet-scaling": Measure(fleets.scaling, 3),
    "echo-10k": Measure(echoes.echo_10k, 3),
    "echo-1k": Measure(echoes.echo_1k, 3),
    "churn": Measure(churning.churn, 3),
    "http": Measure(sessions.http, 3),
    "tls": Measure(sessions.tls, 3),
    "tls-memory": Measure(sessions.tls_memory, 1),
    "websockets": Measure(sessions.websockets, 2),
    "answers": Measure(answers.answers, 3),
    "first": Measure(answers.first_connection, 3),
    "limits": Measure(answers.limits, 3),
    "census-40k": Measure(counting.of_sockets(40_000, 2.2), 5),
    "census-400k": Measure(counting.of_sockets(400_000, 2.5), 3),
    "census-command": Measure(counting.whole_command, 3),
    "census-psutil": Measure(counting.beside_psutil, 3),
    "census-beside": Measure(counting.few_of_many, 2),
    "export": Measure(counting.exporter, 3),
    "export-netns": Measure(counting.everywhere, 1),
    "snapshot": Measure(counting.snapshot, 3),
    "blocks": Measure(blocks, 5),
    "reading": Measure(reading.logs, 3),
    "connect": Measure(connect, 5),
    "past-65536": Measure(past_65536, 1),
    "slow-lane": Measure(slow_lane, 1),
    "fill": Measure(rates.fill, 1),
    "last-ports": Measure(rates.last_ports, 3),
    "doctor": Measure(sweeping.sweep, 2),
    "report": Measure(looking.report, 2),
    "charts": Measure(looking.charts, 3),
    "census-2M": Measure(counting.of_sockets(2_000_000, 2.5), 2),
    "live": Measure(looking.live, 1),
    "million": Measure(crowds.million, 1),
    "most": Measure(crowds.most, 1),
}


def _evidence(lesson: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "fourtuple", "prove", lesson, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NotMeasuredError(f"the lesson ended with {done.returncode}")
    evidence: dict[str, Any] = json.loads(done.stdout)["lessons"][0]["evidence"]
    return evidence


def _took_ms(call: Callable[[], object]) -> float:
    start_ns = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - start_ns) / 1e6
