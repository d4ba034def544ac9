"""What a crew is: the processes that do the work of a run, this one or others.

A crew is given pieces of work, one a worker, and yields samples of all their counters together until all have ended.
It tells them what to do by its control. Three promises hold for every crew:

- a sample comes at least every SAMPLE_S, and the last one when all work has ended;
- a worker that ends before its work is over is counted in `killed`, what it held as lost, and what it had not opened
  as failed;
- a caller that stops pulling samples has ended the run: nothing is left running.

A crew in this process or forked from it takes any `Work`. One whose workers are elsewhere takes only work that is data,
an `Assignment`: the order and which slice of it, which pickle can carry.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from fourtuple.core.runs.counters import Counters
from fourtuple.core.runs.records import Event, Sample
from fourtuple.engine.control import Control

SAMPLE_S = 0.1

Work = Callable[[Counters, Control], Iterator[list[Event]]]  # adds to its row of counters; yields what is to be logged
Order = TypeVar("Order")


class Crew(Protocol):
    """`for sample in crew.samples()` until all workers have ended."""

    control: Control

    @property
    def killed(self) -> int:
        """How many workers ended otherwise than by their work being over."""

    def add(self, work: Work, wanted: int = 0) -> None:
        """One worker more, which is to open `wanted`; it starts with the samples, or at once if they have started.

        Raises ShortfallError where no more can be had.
        """

    def samples(self) -> Iterator[Sample]: ...


@dataclass(frozen=True, slots=True)
class Assignment(Generic[Order]):
    """A piece of work as data: `order` is the whole of what is wanted, `part` the number of the slice that is meant.

    do: a function of a module, so that its name is enough to find it in another process or on another machine
    """

    do: Callable[[Order, int, Counters, Control], Iterator[list[Event]]]
    order: Order
    part: int

    def __call__(self, row: Counters, control: Control) -> Iterator[list[Event]]:
        return self.do(self.order, self.part, row, control)
