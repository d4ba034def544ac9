"""What connects a coordinator with its machines; the implementation on Dask is in fleet/dask.py.

Each machine has a seat: a process that answers messages. A seat is never taken twice, and what it says arrives in
order. A seat that is lost says `Gone` once, as its last word.
"""

from collections.abc import Sequence
from typing import Protocol

from fourtuple.core.record import dataclass
from fourtuple.fleet.messages import FromMachine, ToMachine


@dataclass(frozen=True, slots=True)
class WorkerName:
    """A worker that could be a machine: its name, and the address under which the scheduler knows it."""

    name: str
    address: str


class Links(Protocol):
    """The seats of a fleet."""

    def workers(self) -> list[WorkerName]:
        """The workers that are there now, by name."""
        ...

    def take(self, workers: Sequence[WorkerName]) -> list[int]:
        """Take a seat at each of these workers → their numbers, from 1, which are never used again.

        Each will say Joined, or Gone with the reason.
        """
        ...

    def offset(self, seat: int) -> tuple[int, int]:
        """(the machine's CLOCK_MONOTONIC minus that of this machine, by how much that may be wrong), in ns."""
        ...

    def send(self, seat: int, message: ToMachine) -> None:
        """Send a message; nothing happens if the seat is lost."""

    def receive(self, wait_s: float) -> list[tuple[int, FromMachine]]:
        """What has been said, by seat, in order; waits for the first message for `wait_s` at most."""
        ...

    def leave(self, seats: Sequence[int]) -> None:
        """Give up these seats: what still runs there closes in order. Their last words are not heard."""
