"""Which loop makes the connections: io_uring if the kernel and the limits here allow as many as wanted, else epoll."""

from dataclasses import replace

from fourtuple.core.errors import CannotError
from fourtuple.core.record import dataclass
from fourtuple.core.runs.loop_name import LoopName
from fourtuple.engine.loops.contract import Loop
from fourtuple.engine.loops.epoll import EpollLoop
from fourtuple.engine.loops.ring import RingLoop
from fourtuple.engine.loops.room import LOCKED, Room, epoll_room, ring_room, workers_worth
from fourtuple.kernel import process
from fourtuple.kernel.proc.pid import usable_cpus
from fourtuple.kernel.uring import features


@dataclass(frozen=True, slots=True)
class Choice:
    """A loop, why it was chosen, and what it can hold here.

    because: the reason, for people
    room:    what it can hold, with as many processes as were asked for or as it takes
    """

    name: LoopName
    because: str
    room: Room

    def lacks(self, connections: int) -> bool:
        """Whether it can hold fewer than these."""
        return self.room.connections < connections


def choose(
    wanted: LoopName,
    *,
    log: bool = False,
    connections: int | None = None,
    workers: int | None = None,
    rate_per_s: float | None = None,
    free_bytes: int | None = None,
) -> Choice:
    """Choose the loop for a run. What it needs for the connections is made once, to prove that it can be made.

    log:         the run logs the endpoints of connections, so the loop must be able to report them
    connections: how many there are to be; None: as many as possible
    workers:     in how many processes; None: as many as it takes, or more if that is faster
    rate_per_s:  at which connections are to be opened; None: as fast as possible
    free_bytes:  free memory; None: unknown

    The limit of open files is taken to be the hard one, to which a run raises its own.
    Raises CannotError if the ring loop is wanted and not available.
    """
    files = process.read_files()
    files = replace(files, soft=files.hard)
    # A process with several threads is not forked without need: the child has only one of them (fork(2)).
    least = 1
    if connections is not None and process.threads() == 1:
        least = workers_worth(connections, rate_per_s, usable_cpus(), free_bytes)
    epoll = Choice(LoopName.EPOLL, "asked for", epoll_room(files, connections, workers, least))
    if wanted is LoopName.EPOLL:
        return epoll
    can = features()
    why_not = can.why_not
    if why_not is None and log and not can.describes:
        why_not = "--log needs the endpoints of connections, which io_uring can report only since Linux 6.8"
    if why_not is not None:
        if wanted is LoopName.RING:
            raise CannotError("the ring loop", why_not, "Use --loop epoll.")
        return replace(epoll, because=why_not)
    ring = Choice(LoopName.RING, "io_uring is available", ring_room(files, can, connections, workers, least))
    if wanted is LoopName.RING:
        if not ring.room.connections and ring.room.limit == LOCKED:
            raise CannotError("the ring loop", ring.room.because, "Use --loop epoll.")
        return replace(ring, because="asked for")
    return ring if _is_better(ring.room, epoll.room, connections) else replace(epoll, because=ring.room.because)


def _is_better(ring: Room, epoll: Room, connections: int | None) -> bool:
    """Whether the ring is taken: it holds what is wanted, or at least as much as epoll."""
    return ring.connections >= min(epoll.connections, epoll.connections if connections is None else connections)


def make(name: LoopName, capacity: int | None, *, unix: bool = False) -> Loop:
    """Create a loop, in the process that uses it.

    capacity: its slots; None: as many as possible
    unix:     it connects Unix sockets
    """
    return RingLoop(capacity, unix=unix) if name is LoopName.RING else EpollLoop(capacity)
