"""`fourtuple hold`, watched while it opens: one JSON object with its figures and how far it was when.

python -m bench.opening [--strategy late] [--watch poll] N HOST:PORT[-PORT]...
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import nan
from pathlib import Path
from typing import Any, Self

from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.orders import Watch
from fourtuple.kernel import process
from fourtuple.kernel.proc.cgroups import read_memory
from fourtuple.verbs.hold import hold


@dataclass(frozen=True, slots=True)
class Opening:
    """What the program printed.

    progress: (seconds since the first start, opened by then, CPU seconds of the process by then), while it opened
    cpu_user_s, cpu_system_s: of the whole life of the process
    resident_bytes: VmRSS while all were held
    free_bytes: what memory the host had free at that time
    """

    held: int
    elapsed_s: float
    progress: Sequence[tuple[float, int, float]]
    cpu_user_s: float
    cpu_system_s: float
    resident_bytes: int
    free_bytes: int
    failed: dict[str, int]

    @classmethod
    def of(cls, printed: dict[str, Any]) -> Self:
        return cls(**printed)

    @property
    def rate_per_s(self) -> float:
        return self.held / self.elapsed_s

    @property
    def opening_cpu_s(self) -> float:
        """CPU time for opening all of them, at what each cost between the first sample and the last; nan: too few."""
        if len(self.progress) < 2:
            return nan
        (_, first, before_s), *_, (_, last, after_s) = self.progress
        return (after_s - before_s) / (last - first) * self.held

    def rate_between(self, start: int, stop: int) -> float:
        """Connections a second, from number `start` to number `stop`."""
        return (stop - start) / (self._reached_s(stop) - self._reached_s(start))

    def _reached_s(self, number: int) -> float:
        """When so many were open, on a straight line between two samples."""
        marks = [(0.0, 0), *((at_s, opened) for at_s, opened, _ in self.progress), (self.elapsed_s, self.held)]
        for (before_s, before), (after_s, after) in pairwise(marks):
            if before <= number <= after and before < after:
                return before_s + (after_s - before_s) * (number - before) / (after - before)
        raise ValueError(f"{number:,} were never open")


def watch(wanted: int, destinations: Sequence[str], strategy: Strategy, how: Watch) -> Opening:
    progress: list[tuple[float, int, float]] = []
    run = hold(wanted, destinations, strategy=strategy, watch=how, hold_s=0)
    resident_bytes = free_bytes = 0
    for sample in run:
        if sample.phase is Phase.OPENING and sample.opened:
            progress.append((sample.elapsed_s, sample.opened, _cpu_s()))
        elif sample.phase is Phase.HOLDING and not resident_bytes:
            resident_bytes, free_bytes = _resident_bytes(), free_memory_bytes()
    record = run.record
    return Opening(
        held=record.held,
        elapsed_s=record.elapsed_s,
        progress=progress,
        cpu_user_s=record.cpu_user_s,
        cpu_system_s=record.cpu_system_s,
        resident_bytes=resident_bytes,
        free_bytes=free_bytes,
        failed=dict(record.failed),
    )


def free_memory_bytes() -> int:
    """What sockets can take, as `hold` weighs it; 0 where nobody says."""
    return read_memory().free_bytes or 0


def _cpu_s() -> float:
    return sum(process.cpu_us()) / 1e6


def _resident_bytes() -> int:
    """VmRSS: shared pages count in full."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.opening", description=__doc__)
    parser.add_argument("--strategy", type=Strategy, default=Strategy.LATE)
    parser.add_argument("--watch", type=Watch, default=Watch.POLL)
    parser.add_argument("wanted", type=int)
    parser.add_argument("destinations", nargs="+")
    arguments = parser.parse_args()
    opening = watch(arguments.wanted, arguments.destinations, arguments.strategy, arguments.watch)
    json.dump(asdict(opening), sys.stdout)
