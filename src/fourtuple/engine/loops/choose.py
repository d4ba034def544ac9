"""Which loop makes the connections: the ring where this kernel and this process have one, epoll elsewhere."""

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
    """make: capacity, or None for all there can be → the loop; to be called in the process that uses it"""

    name: str
    because: str
    make: Callable[[int | None], Loop]


def choose(wanted: LoopName, *, log: bool = False) -> Choice:
    """log: the ends of connections will be asked for. Raises CannotError where a ring is wanted and cannot be had."""
    if wanted is LoopName.EPOLL:
        return Choice("epoll", "asked for", EpollLoop)
    can = features()
    why_not = can.why_not
    if why_not is None and log and not can.describes:
        why_not = "this kernel's io_uring cannot tell the ends of a connection for the log (Linux 6.8)"
    if why_not is None:
        return Choice("ring", "asked for" if wanted is LoopName.RING else "io_uring is here", RingLoop)
    if wanted is LoopName.RING:
        raise CannotError("the ring loop", why_not, "Use --loop epoll.")
    return Choice("epoll", why_not, EpollLoop)
