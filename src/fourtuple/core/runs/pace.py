"""How many connections to start now: at most `in_flight` at once, no faster than `rate_per_s`."""

from math import floor, inf

from fourtuple.core.record import dataclass

# Far below a listener's default backlog (4,096), so that a burst alone does not overflow it. More at once if many
# connections are wanted: one pair cannot hold them, so they use several listeners or several sources.
IN_FLIGHT, IN_FLIGHT_OF_MANY, MANY = 512, 4096, 2**17


@dataclass(frozen=True, slots=True)
class OpeningPace:
    """A schedule for opening connections.

    rate_per_s: None: as fast as possible
    in_flight:  connects under way at the same time, at most
    delay_s:    when the first connection is due

    Connection n is due at delay + n / rate. After a stall of the far end, overdue connections are started at once, so
    that the requested load does not silently become smaller.
    """

    rate_per_s: float | None = None
    in_flight: int = IN_FLIGHT
    delay_s: float = 0.0

    @classmethod
    def of(cls, wanted: int, rate_per_s: float | None) -> "OpeningPace":
        return cls(rate_per_s, IN_FLIGHT if wanted < MANY else IN_FLIGHT_OF_MANY)

    def start_now(self, elapsed_s: float, opening: int, started: int) -> int:
        """How many to start, `elapsed_s` after the first, with `opening` under way and `started` so far."""
        room = max(0, self.in_flight - opening)
        if self.rate_per_s is None:
            return room
        due = floor((elapsed_s - self.delay_s) * self.rate_per_s + 1e-6) + 1 - started
        return max(0, min(room, due))

    def wait_s(self, elapsed_s: float, opening: int, started: int) -> float:
        """How long until the next may be started; infinite if another one must complete first."""
        if self.rate_per_s is None or opening >= self.in_flight:
            return inf
        return max(0.0, self.delay_s + started / self.rate_per_s - elapsed_s)

    def of_worker(self, number: int, workers: int) -> "OpeningPace":
        """The pace of one of several workers; they start connections in turn."""
        in_flight = max(1, self.in_flight // workers)
        if self.rate_per_s is None:
            return OpeningPace(None, in_flight)
        return OpeningPace(self.rate_per_s / workers, in_flight, number / self.rate_per_s)
