"""How many connections to start now: never more at once than `in_flight`, never faster than `rate_per_s`."""

from dataclasses import dataclass

IN_FLIGHT = 512  # far below a listener's default backlog (4,096), so that a burst alone does not overflow it


@dataclass(frozen=True, slots=True)
class Pace:
    """rate_per_s: None means as fast as they open."""

    rate_per_s: float | None = None
    in_flight: int = IN_FLIGHT

    def start_now(self, elapsed_s: float, opening: int, started: int) -> int:
        """How many to start, `elapsed_s` after the first, with `opening` under way and `started` begun so far."""
        room = max(0, self.in_flight - opening)
        if self.rate_per_s is None:
            return room
        due = int(elapsed_s * self.rate_per_s) + 1 - started
        return max(0, min(room, due))

    def wait_s(self, elapsed_s: float, started: int) -> float:
        """How long until the next one is due."""
        if self.rate_per_s is None:
            return 0.0
        return max(0.0, started / self.rate_per_s - elapsed_s)

    def shared(self, workers: int) -> "Pace":
        """The pace of one of several workers."""
        return Pace(None if self.rate_per_s is None else self.rate_per_s / workers, max(1, self.in_flight // workers))
