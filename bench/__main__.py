"""`make bench`: what is claimed about speed, measured in one run with its command; written to bench/RESULTS.md."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fourtuple.core.tuples import TupleSpace

ROUNDS = 7
RESULTS = Path(__file__).with_name("RESULTS.md")


def median_ms(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    took_ms = []
    for _ in range(rounds):
        start_ns = time.perf_counter_ns()
        call()
        took_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
    return statistics.median(took_ms)


def blocks() -> list[str]:
    lines = [f"TupleSpace.block(5_000, 1_005_000): a million 4-tuples as columns, median of {ROUNDS}"]
    for name, source, end in (
        ("IPv4, 9 sources x 20 destinations", "127.0.0.1-9", "127.0.0.1:20000-20019"),
        ("IPv6, 255 sources x 20 destinations", "fd00::1-ff", "[fd00::9]:20000-20019"),
    ):
        space = TupleSpace.of([source], range(1024, 65536), [end])
        lines.append(f"  {name:<40} {median_ms(partial(space.block, 5_000, 1_005_000)):8.1f} ms")
    return lines


def help_text() -> list[str]:
    command = [sys.executable, "-m", "fourtuple", "--help"]
    took_ms = median_ms(lambda: subprocess.run(command, capture_output=True, check=True))
    return [f"fourtuple --help, median of {ROUNDS}", f"  {'':<40} {took_ms:8.1f} ms"]


def past_65536() -> list[str]:
    command = [sys.executable, "-m", "fourtuple", "prove", "past-65536", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    evidence = json.loads(done.stdout)["lessons"][0]["evidence"]
    return [
        "fourtuple prove past-65536: 100,000 connections, both ends on this host, one run",
        f"  {'opened in':<40} {evidence['opened in, seconds'] * 1000:8,.0f} ms",
        f"  {'rate':<40} {evidence['connections a second']:8,.0f} /s",
    ]


def slow_lane() -> list[str]:
    command = [sys.executable, "-m", "fourtuple", "prove", "slow-lane", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    evidence = json.loads(done.stdout)["lessons"][0]["evidence"]
    lines = ["fourtuple prove slow-lane: median connect() by how much of the range is in use, one run"]
    for level, plain_us in evidence["plain_us"].items():
        cured_us = evidence["with_port_range_us"].get(level)
        cured = f", with IP_LOCAL_PORT_RANGE {cured_us:6.1f} µs" if cured_us else ""
        lines.append(f"  {level + ' %':<40} {plain_us:8.1f} µs{cured}")
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS.md")
    arguments = parser.parse_args()
    release, cpus, python = os.uname().release, os.cpu_count(), sys.version.split()[0]
    lines = [f"Linux {release}, {cpus} CPUs, Python {python}", ""]
    for part in (blocks, help_text, past_65536, slow_lane):
        lines += [*part(), ""]
    text = "\n".join(lines)
    print(text)
    if not arguments.write:
        sys.exit()
    title = "# Results of `make bench`\n\nA shared machine: read one significant digit."
    RESULTS.write_text(f"{title}\n\n```\n{text.rstrip()}\n```\n")
