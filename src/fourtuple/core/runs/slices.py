"""From N wanted connections and a tuple space to slices: which worker opens which 4-tuples."""

from fourtuple.core.backports import Self
from fourtuple.core.limits.strategy import Strategy
from fourtuple.core.record import dataclass
from fourtuple.core.runs.pace import OpeningPace
from fourtuple.core.space.interval import Interval
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.core.space.unix import UnixSpace


@dataclass(frozen=True, slots=True)
class Slice:
    """The share of one worker: `wanted` connections from the 4-tuples start ≤ i < stop of the space, at `pace`.

    first: the number of its first connection within the run
    """

    start: int
    stop: int
    wanted: int
    pace: OpeningPace
    first: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """Which worker opens which 4-tuples, or connections to Unix sockets.

    room:    how many 4-tuples of the space are still available
    space:   None: of Unix sockets
    sockets: the names of Unix sockets; none: TCP
    """

    wanted: int
    room: Interval
    space: TupleSpace | None
    strategy: Strategy
    slices: tuple[Slice, ...]
    sockets: tuple[str, ...] = ()

    @classmethod
    def of_sockets(cls, wanted: int, sockets: tuple[str, ...], workers: int, pace: OpeningPace) -> Self:
        """Connections to these Unix sockets in turn; no number of 4-tuples limits them."""
        size = UnixSpace.size
        return cls(wanted, Interval.of(size), None, Strategy.UNIX, split(wanted, size, workers, pace), sockets)

    @property
    def possible(self) -> TupleSpace | UnixSpace:
        """All connections that could be opened."""
        return self.space or UnixSpace(self.sockets)

    @property
    def destinations(self) -> int:
        """How many destinations take turns."""
        return self.space.destinations.size if self.space else len(self.sockets)

    def room_of(self, share: Slice) -> int:
        """The part of `room` that belongs to one worker, at most."""
        return self.room.most * (share.stop - share.start) // max(1, self.possible.size)

    @property
    def predicted(self) -> Interval:
        """How many of the wanted connections can be held."""
        return Interval(min(self.wanted, self.room.least), min(self.wanted, self.room.most))


def split(wanted: int, size: int, workers: int, pace: OpeningPace) -> tuple[Slice, ...]:
    """Equal shares of the wanted connections and of the space, in order; together they cover both exactly."""
    return tuple(
        Slice(
            size * w // workers,
            size * (w + 1) // workers,
            wanted * (w + 1) // workers - wanted * w // workers,
            pace.of_worker(w, workers),
            first=wanted * w // workers,
        )
        for w in range(workers)
    )
