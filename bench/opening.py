"""`fourtuple hold`, watched from its first connection to its last: one JSON object with its figures and their growth.

python -m bench.opening [OPTIONS] N HOST:PORT[-PORT]...

Without options it holds as the command does by default. It says `holding` on standard error when all are open.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.measure import NotMeasuredError
from fourtuple.core.backports import Self
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.counters import Phase
from fourtuple.core.runs.orders import Watch
from fourtuple.core.runs.records import HoldRecord, Sample
from fourtuple.kernel import process
from fourtuple.kernel.proc.cgroups import read_memory
from fourtuple.verbs.hold import hold


@dataclass(frozen=True, slots=True)
class Opening:
    """What the program printed.

    elapsed_s: from the first connect() to the last connection open
    progress: (seconds since the first connect(), established by then, CPU seconds of this process by then: user,
              system), for each sample until all were open
    cpu_user_s, cpu_system_s: of the whole life of the process
    resident_bytes: VmRSS while all were held
    free_bytes: what memory the host had free at that time
    closing_s: from the first close until the kernel lists none of them any more, as the record has it
    closed_s: from the first close until the engine has closed the last
    losses: (CLOCK_MONOTONIC, lost by then, CurrEstab of the network namespace: sockets in ESTABLISHED or CLOSE_WAIT),
            for each sample with more of them
    """

    held: int
    workers: int
    elapsed_s: float
    progress: Sequence[tuple[float, int, float, float]]
    cpu_user_s: float
    cpu_system_s: float
    resident_bytes: int
    free_bytes: int
    closing_s: float
    closed_s: float
    losses: Sequence[tuple[int, int, int]]
    failed: dict[str, int]

    @classmethod
    def of(cls, printed: dict[str, Any], wanted: int) -> Self:
        """Raises NotMeasuredError where fewer were held than wanted."""
        opening = cls(**printed)
        if opening.held < wanted:
            raise NotMeasuredError(f"{opening.held:,} of {wanted:,} were held; failed: {opening.failed}")
        return opening

    @property
    def rate_per_s(self) -> float:
        return self.held / self.elapsed_s

    @property
    def user_us_each(self) -> float:
        """User time per connection, from the first sample of the opening phase to the last.

        Raises NotMeasuredError if all were open at the first sample.
        """
        (_, first, before_s, _), *_, (_, last, after_s, _) = self.progress
        if first == last:
            raise NotMeasuredError(f"all {last:,} were open at the first sample")
        return (after_s - before_s) / (last - first) * 1e6

    @property
    def opening_cpu_s(self) -> float:
        """CPU time of this process from the first sample of the opening phase to the last."""
        (*_, before_user_s, before_system_s), *_, (*_, user_s, system_s) = self.progress
        return user_s - before_user_s + system_s - before_system_s

    @property
    def per_cpu_s(self) -> float:
        """Connections per second of this process's CPU time, from the first sample of the opening phase to the last."""
        (_, first, *_), *_, (_, last, *_) = self.progress
        return (last - first) / self.opening_cpu_s

    def rate_between(self, start: int, stop: int) -> float:
        """Connections per second, from number `start` to number `stop`."""
        return (stop - start) / (self._reached_s(stop) - self._reached_s(start))

    def _reached_s(self, number: int) -> float:
        """When so many were open, on a straight line between two samples."""
        marks = [(0.0, 0), *((at_s, opened) for at_s, opened, *_ in self.progress), (self.elapsed_s, self.held)]
        for (before_s, before), (after_s, after) in pairwise(marks):
            if before <= number <= after and before < after:
                return before_s + (after_s - before_s) * (number - before) / (after - before)
        raise ValueError(f"{number:,} were never open")


class Watching:
    """Takes in the samples of a run, then makes an Opening of them and the record."""

    def __init__(self) -> None:
        self._progress: list[tuple[float, int, float, float]] = []
        self._losses: list[tuple[int, int, int]] = []
        self._resident_bytes = self._free_bytes = 0
        self._open_ns = self._closed_ns = 0  # the last sample before closing, and the first after it

    def add(self, sample: Sample) -> None:
        if sample.phase is Phase.OPENING or not self._open_ns:
            user_us, system_us = process.cpu_us()
            self._progress.append((sample.elapsed_s, sample.opened - sample.greeting, user_us / 1e6, system_us / 1e6))
        if sample.phase is Phase.HOLDING:
            self._open_ns = sample.at_ns
            if not self._resident_bytes:
                self._resident_bytes, self._free_bytes = _resident_bytes(), free_memory_bytes()
            if sample.lost > (self._losses[-1][1] if self._losses else 0):
                self._losses.append((sample.at_ns, sample.lost, _established()))
        elif sample.phase is Phase.CLOSED:
            self._closed_ns = self._closed_ns or sample.at_ns

    def conclude(self, record: HoldRecord) -> Opening:
        return Opening(
            held=record.held,
            workers=record.workers,
            elapsed_s=record.elapsed_s,
            progress=self._progress,
            cpu_user_s=record.cpu_user_s,
            cpu_system_s=record.cpu_system_s,
            resident_bytes=self._resident_bytes,
            free_bytes=self._free_bytes,
            closing_s=record.closing_s,
            closed_s=(self._closed_ns - self._open_ns) / 1e9,
            losses=self._losses,
            failed=dict(record.failed),
        )


def watch(wanted: int, destinations: Sequence[str], options: dict[str, Any]) -> Opening:
    """options: of HoldOptions"""
    watching, run = Watching(), hold(wanted, destinations, **options)
    said = False
    for sample in run:
        watching.add(sample)
        if sample.census and not said:
            print("holding", file=sys.stderr, flush=True)
            said = True
    return watching.conclude(run.record)


def free_memory_bytes() -> int:
    """What sockets can take, as `hold` weighs it; 0 where the kernel does not report it."""
    return read_memory().free_bytes or 0


def _established() -> int:
    """Tcp: RtoAlgorithm … CurrEstab …, and the values in a second line."""
    names, values = (
        line.split() for line in Path("/proc/self/net/snmp").read_text().splitlines() if line[:4] == "Tcp:"
    )
    return int(values[names.index("CurrEstab")])


def _resident_bytes() -> int:
    """VmRSS: shared pages count in full."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.opening", description=__doc__, argument_default=argparse.SUPPRESS
    )
    parser.add_argument("--strategy", type=Strategy)
    parser.add_argument("--watch", type=Watch)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--for", dest="hold_s", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--fin", dest="reset", action="store_false", help="close by FIN, not by reset")
    parser.add_argument("--insecure", dest="session", action="store_const", const={"insecure": True})
    parser.add_argument("wanted", type=int)
    parser.add_argument("destinations", nargs="+")
    options = vars(parser.parse_args())
    opening = watch(options.pop("wanted"), options.pop("destinations"), options)
    json.dump(asdict(opening), sys.stdout)


if __name__ == "__main__":
    main()
