"""When connections are to start at a rate that does not wait for anything: evenly, or as a Poisson process.

Starts are a function of the seed and of time alone, so that any window can be asked for, in any order, and each start
is in exactly one of the windows that cover it. A Poisson process is made of blocks of time, each with a generator of
its own: the number of starts in a block has the Poisson distribution, and given the number, each start is anywhere in
the block with the same probability (Kingman, Poisson Processes, 2.4).
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass

_PER_BLOCK = 256  # starts in a block on average, so that making a generator, 20 µs, costs 0.1 µs each
_LEAST_BLOCK_NS, _MOST_BLOCK_NS = 10**3, 10**17


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The intended starts of connections, in ns from the beginning of the run.

    even:    at equal distances, the first at 0; otherwise as a Poisson process
    seed:    ≥ 0; the same seed gives the same starts with the same version of NumPy. Even starts need none
    worker, workers: which share of the starts these are, see `of_worker`
    """

    rate_per_s: float
    even: bool = False
    seed: int = 0
    worker: int = 0
    workers: int = 1

    def of_worker(self, worker: int, workers: int) -> "Arrivals":
        """The share of one of several workers: every start of all belongs to one of them.

        Even ones take turns. Independent Poisson processes are together one of the sum of their rates.
        """
        return Arrivals(self.rate_per_s, self.even, self.seed, worker, workers)

    def between(self, start_ns: int, end_ns: int) -> NDArray[np.int64]:
        """The starts from `start_ns` until before `end_ns`, in order → (starts,) int64."""
        start_ns = max(0, start_ns)
        if end_ns <= start_ns:
            return np.zeros(0, np.int64)
        found = self._even(start_ns, end_ns) if self.even else self._poisson(start_ns, end_ns)
        return found[(found >= start_ns) & (found < end_ns)]

    def _even(self, start_ns: int, end_ns: int) -> NDArray[np.int64]:
        """Start n is at ⌊n × distance⌋, which does not depend on the window."""
        distance_ns = 1e9 / self.rate_per_s
        first = max(0, math.floor(start_ns / distance_ns) - 2)
        first += (self.worker - first) % self.workers
        numbers = np.arange(first, math.ceil(end_ns / distance_ns) + 2, self.workers, dtype=np.int64)
        starts_ns: NDArray[np.int64] = np.floor(numbers * distance_ns).astype(np.int64)
        return starts_ns

    def _poisson(self, start_ns: int, end_ns: int) -> NDArray[np.int64]:
        rate_per_ns = self.rate_per_s / self.workers / 1e9
        block_ns = min(max(round(_PER_BLOCK / rate_per_ns), _LEAST_BLOCK_NS), _MOST_BLOCK_NS)
        blocks = range(start_ns // block_ns, -(-end_ns // block_ns))
        return np.concatenate([_block(self.seed, self.worker, rate_per_ns, block_ns, block) for block in blocks])


@lru_cache(16)  # windows are shorter than blocks: each block is asked for several times in a row
def _block(seed: int, worker: int, rate_per_ns: float, block_ns: int, block: int) -> NDArray[np.int64]:
    """The starts in one block of time, in order."""
    from numpy.random import PCG64, Generator, SeedSequence

    random = Generator(PCG64(SeedSequence((seed, worker, block))))
    starts_ns: NDArray[np.int64] = random.integers(0, block_ns, random.poisson(rate_per_ns * block_ns))
    starts_ns.sort()
    starts_ns += block * block_ns
    starts_ns.setflags(write=False)
    return starts_ns
