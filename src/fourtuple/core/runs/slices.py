"""N wanted connections and a tuple space → who opens which, and how many can be had at all."""

from dataclasses import dataclass

from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.runs.pace import Pace
from fourtuple.core.space.tuples import TupleSpace


@dataclass(frozen=True, slots=True)
class Slice:
    """What one worker opens, and how fast: `wanted` connections out of the 4-tuples start ≤ i < stop of the space."""

    start: int
    stop: int
    wanted: int
    pace: Pace


@dataclass(frozen=True, slots=True)
class Plan:
    """room: how many of the space's 4-tuples can still be had; room_least: that many surely"""

    wanted: int
    room: int
    room_least: int
    space: TupleSpace
    strategy: Strategy
    slices: tuple[Slice, ...]

    def room_of(self, share: Slice) -> int:
        """What of the room falls to one worker."""
        return self.room * (share.stop - share.start) // max(1, self.space.size)

    @property
    def predicted(self) -> int:
        """How many of the wanted can be held, at most."""
        return min(self.wanted, self.room)

    @property
    def predicted_least(self) -> int:
        return min(self.wanted, self.room_least)


def split(wanted: int, size: int, workers: int, pace: Pace) -> tuple[Slice, ...]:
    """Equal shares of the wanted connections and of the space, in order; together they are exactly all of both."""
    return tuple(
        Slice(
            size * w // workers,
            size * (w + 1) // workers,
            wanted * (w + 1) // workers - wanted * w // workers,
            pace.of_worker(w, workers),
        )
        for w in range(workers)
    )
