"""The I/O engine that is used here: the ring of io_uring, or epoll."""

from fourtuple.core.runs.orders import LoopName
from fourtuple.engine.loops.choose import choose


def best_loop() -> LoopName:
    """The loop that `hold --loop auto` uses."""
    return LoopName(choose(LoopName.AUTO).name)
