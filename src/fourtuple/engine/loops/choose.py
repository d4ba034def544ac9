"""Which loop makes the connections: io_uring if this kernel supports it and permits it, otherwise epoll."""

from collections.abc import Callable
from dataclasses import dataclass

from fourtuple.core.errors import CannotError
from fourtuple.core.runs.orders import LoopName
from fourtuple.engine.loops.contract import Loop
from fourtuple.engine.loops.epoll import EpollLoop
from fourtuple.engine.loops.ring import RingLoop
from fourtuple.kernel.uring import features


@dataclass(frozen=True, slots=True)
class Choice:
    """A loop, and why it was chosen.

    because: the reason, for people
    make:    creates the loop for a capacity, or None for the largest possible; to be called in the process that uses it
    """

    name: str
    because: str
    make: Callable[[int | None], Loop]


def choose(wanted: LoopName, *, log: bool = False) -> Choice:
    """Choose the loop for a run.

    log: the run logs the endpoints of connections, so the loop must be able to report them

    Raises CannotError if the ring loop is wanted and not available.
    """
    if wanted is LoopName.EPOLL:
        return Choice("epoll", "asked for", EpollLoop)
    can = features()
    why_not = can.why_not
    if why_not is None and log and not can.describes:
        why_not = "--log needs the endpoints of connections, which io_uring can report only since Linux 6.8"
    if why_not is None:
        return Choice("ring", "asked for" if wanted is LoopName.RING else "io_uring is available", RingLoop)
    if wanted is LoopName.RING:
        raise CannotError("the ring loop", why_not, "Use --loop epoll.")
    return Choice("epoll", why_not, EpollLoop)
