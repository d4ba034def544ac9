"""The I/O engine that is used here: the ring of io_uring, or epoll."""

from fourtuple.core.runs.loop_name import LoopName
from fourtuple.engine.loops.choose import choose


def best_loop(connections: int) -> LoopName:
    """The loop that `hold --loop auto` uses for this number of connections."""
    return choose(LoopName.AUTO, connections=connections).name
