"""What a crew is and promises: the processes that do the work of a run, this process or others.

A crew is given pieces of work, one per worker, and yields samples of all their counters together until all workers have
ended. Its control tells the workers when to stop or close. Three promises hold for every crew:

- it yields a sample at least every SAMPLE_S, and the last one when all work has ended;
- a worker that ends before its work is done is counted in `killed`, the connections it held as lost, and those it had
  not opened as failed;
- when the caller stops iterating over the samples, the run ends and no worker is left running.

A crew in this process or forked from it takes any `Work`. A crew whose workers are elsewhere takes only work that is
data, an `Assignment`: the order and the number of its slice, which can be pickled.
"""

from collections.abc import Callable, Iterator
from typing import Generic, Protocol, TypeVar

from fourtuple.core.record import dataclass
from fourtuple.core.runs.counters import Counters
from fourtuple.core.runs.records import Event, Sample
from fourtuple.engine.control import Control, Cookies

SAMPLE_S = 0.1

# Adds to its row of counters, writes the cookies of its sockets when asked, and yields events to log.
Work = Callable[[Counters, Control, Cookies], Iterator[list[Event]]]
Order = TypeVar("Order")


class Crew(Protocol):
    """`for sample in crew.samples()` until all workers have ended."""

    control: Control

    @property
    def killed(self) -> int:
        """How many workers ended before their work was done."""

    def add(self, work: Work, wanted: int = 0) -> None:
        """Add a worker that will open `wanted` connections.

        It starts with the samples, or at once if they have started.

        Raises ShortfallError if no further worker is possible.
        """

    def cookies(self) -> Cookies:
        """The cookies of all sockets, as of the last identification; 0: no connection in a slot, or not known."""
        ...

    def samples(self) -> Iterator[Sample]:
        """Run the work, and yield the sum of all counters at least every SAMPLE_S until all workers have ended."""
        ...


@dataclass(frozen=True, slots=True)
class Assignment(Generic[Order]):
    """A piece of work as data, which can be sent to another process.

    do:    a function at module level, so that another process or machine can find it by its name
    order: everything that is wanted, for all workers together
    part:  the number of the slice for this worker
    """

    do: Callable[[Order, int, Counters, Control, Cookies], Iterator[list[Event]]]
    order: Order
    part: int

    def __call__(self, row: Counters, control: Control, cookies: Cookies) -> Iterator[list[Event]]:
        return self.do(self.order, self.part, row, control, cookies)
