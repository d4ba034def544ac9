"""`make bench`: what the README and the docs claim about speed, measured in one run, with its command beside it."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

from fourtuple.core.tuples import TupleSpace

ROUNDS = 7


def median_ms(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    took_ms = []
    for _ in range(rounds):
        start_ns = time.perf_counter_ns()
        call()
        took_ms.append((time.perf_counter_ns() - start_ns) / 1e6)
    return statistics.median(took_ms)


def blocks() -> None:
    print("TupleSpace.block(5_000, 1_005_000), median of", ROUNDS)
    for name, source, end in (
        ("IPv4, 9 sources x 20 destinations", "127.0.0.1-9", "127.0.0.1:20000-20019"),
        ("IPv6, 255 sources x 20 destinations", "fd00::1-ff", "[fd00::9]:20000-20019"),
    ):
        space = TupleSpace.of([source], range(1024, 65536), [end])
        print(f"  {name:<40} {median_ms(partial(space.block, 5_000, 1_005_000)):8.1f} ms")


def help_text() -> None:
    command = [sys.executable, "-m", "fourtuple", "--help"]
    took_ms = median_ms(lambda: subprocess.run(command, capture_output=True, check=True))
    print(f"fourtuple --help, median of {ROUNDS}\n  {'':<40} {took_ms:8.1f} ms")


def past_65536() -> None:
    command = [sys.executable, "-m", "fourtuple", "prove", "past-65536", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    evidence = json.loads(done.stdout)["lessons"][0]["evidence"]
    print("fourtuple prove past-65536, one run: 100,000 connections, epoll, both ends on this host")
    print(
        f"  {'opened in':<40} {evidence['elapsed_s'] * 1000:8.0f} ms\n  {'a second':<40} {evidence['rate_per_s']:8,.0f}"
    )


if __name__ == "__main__":
    print(f"Linux {os.uname().release}, {os.cpu_count()} CPUs, Python {sys.version.split()[0]}\n")
    blocks()
    help_text()
    past_65536()
