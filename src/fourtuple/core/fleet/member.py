"""The machines of a fleet as records: what each one is, and what it could do for a run."""

from fourtuple.core.record import dataclass
from fourtuple.core.space.interval import Interval


@dataclass(frozen=True, slots=True)
class Member:
    """A machine as it describes itself: a network namespace of a kernel, in which a Dask worker runs.

    name:       of the Dask worker
    worker:     the address under which the scheduler knows that worker
    namespace:  the boot ID of the kernel, a space, and the inode of the network namespace; workers with the same one
                share ports
    addresses:  of its interfaces, without those of loopback and of one link
    cpus:       that its processes may use, by their affinity and the quota of their cgroups
    free_bytes: memory that they could take now; None: unknown
    files:      the hard limit of open files of each process
    offset_ns:  its CLOCK_MONOTONIC minus that of the machine that asks
    error_ns:   by how much `offset_ns` may be wrong: half of the shortest round trip
    """

    name: str
    worker: str
    host: str
    namespace: str
    addresses: tuple[str, ...]
    cpus: int
    memory_bytes: int | None
    free_bytes: int | None
    files: int
    kernel: str
    python: str
    fourtuple: str
    offset_ns: int = 0
    error_ns: int = 0

    @property
    def boot(self) -> str:
        """Identifies the running kernel; machines with the same one share its CPUs, its memory and its file table."""
        return self.namespace.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class LimitRoom:
    """A limit of a machine, and the connections for which it leaves room. room: None: it is unknown"""

    limit: str
    title: str
    room: Interval | None


@dataclass(frozen=True, slots=True)
class ServerEnd:
    """A process that listens at the destinations of a run, on a machine of the fleet.

    listening: ADDRESS:PORT of its listeners there, at most a few
    bounds:    its limits as a server, the tightest first
    share:     the part of all destinations to which it alone accepts connections
    """

    pid: int
    process: str
    listening: tuple[str, ...]
    bounds: tuple[LimitRoom, ...]
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Offer:
    """What a machine could do for a run.

    machine: its name
    sources: the addresses from which its connections would come, each as ADDRESS or FIRST-LAST
    owns:    the addresses among the destinations that are its own, in the same form; none: it is no server of the run
    room:    connections that it can open, and hold, in addition to those that it has
    bounds:  its limits as a client, the tightest first
    ways:    what would make more fit on this machine, in words, with the commands; the best first
    servers: what listens there at the destinations; empty: nothing, or it is not visible
    """

    machine: str
    sources: tuple[str, ...]
    owns: tuple[str, ...]
    room: Interval
    bounds: tuple[LimitRoom, ...]
    ways: tuple[str, ...] = ()
    servers: tuple[ServerEnd, ...] = ()
