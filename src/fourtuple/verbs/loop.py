"""Which loop would make connections here: the ring of io_uring, or epoll."""

from fourtuple.core.runs.orders import LoopName
from fourtuple.engine.loops.choose import choose


def best_loop() -> LoopName:
    """What `hold --loop auto` would take."""
    return LoopName(choose(LoopName.AUTO).name)
