"""How many connections a loop can hold within the limits of this process and its user: open files and locked memory.

Open files are counted. Locked memory is not, because the kernel does not report how much of it a user has: the rings
are made, all at the same time, and closed again.
"""

import errno
import time
from contextlib import ExitStack

from fourtuple.core.backports import Self
from fourtuple.core.errnos import name_of, symptom_of
from fourtuple.core.limits.cost import FILES_RESERVED, MOST_WORKERS
from fourtuple.core.record import dataclass
from fourtuple.core.units import format_count
from fourtuple.kernel.process import Files, read_memlock_bytes
from fourtuple.kernel.uring import PATIENCE_S, Features, new_ring

RING_SLOTS = 2**15  # at most, and never more than the soft limit of open files
# Entries of a submission queue. A ring then costs 20 or 69 KiB of locked memory, which for a user without CAP_IPC_LOCK
# counts against RLIMIT_MEMLOCK (8 MiB by default) of all processes together, so many small rings get small queues.
ENTRIES_SMALL, ENTRIES, MANY_SLOTS = 128, 512, 8192
RING_FILES = 2  # the ring, and the eventfd that signals its completions
MOST_RING_SLOTS = 2**22  # of a process
MOST_EPOLL_SLOTS = 2**18  # some 20 MB of tables; where the limit of open files allows more, add processes instead
# A process of its own pays off from so many connections on, and at a higher rate than this; it takes some 15 MB.
WORTH_CONNECTIONS, WORTH_RATE_PER_S, WORTH_BYTES = 2**13, 20_000, 2**26
MOST_MADE = 2048  # rings that are made to prove that they can be: 41 MB with small queues
FILES, LOCKED = "RLIMIT_NOFILE", "RLIMIT_MEMLOCK"


@dataclass(frozen=True, slots=True)
class Room:
    """What a loop can hold, by `workers` processes together.

    each:   connections of one process
    limit:  the name of the limit that ends it
    because: the same in words
    """

    connections: int
    workers: int
    each: int
    limit: str
    because: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The rings that a process may have.

    most:    rings, by the limit of open files
    slots:   of each ring
    entries: of its submission queue
    """

    most: int
    slots: int
    entries: int

    @classmethod
    def of(cls, files: Files, reserved: int) -> Self:
        """The largest tables of direct descriptors that this limit of open files permits, and as many as fit.

        reserved: files that are kept for other things
        """
        slots = min(RING_SLOTS, files.soft)
        most = max(0, files.soft - files.open - reserved) // RING_FILES
        return cls(most, slots, ENTRIES if slots >= MANY_SLOTS else ENTRIES_SMALL)

    @property
    def capacity(self) -> int:
        """How many connections the rings can hold."""
        return min(MOST_RING_SLOTS, self.most * self.slots)

    def rings(self, connections: int) -> int:
        """How many rings these connections take."""
        return -(-connections // self.slots)


def workers_worth(connections: int, rate_per_s: float | None, cpus: int, free_bytes: int | None) -> int:
    """How many processes open so many connections fastest: one for each CPU, if there is work and memory for it.

    rate_per_s: at which they are to be opened; None: as fast as possible
    cpus:       that the process may use
    free_bytes: memory; None: unknown
    """
    most = [cpus, connections // WORTH_CONNECTIONS, MOST_WORKERS]
    if rate_per_s is not None:
        most.append(int(min(rate_per_s, MOST_WORKERS * WORTH_RATE_PER_S) // WORTH_RATE_PER_S))
    if free_bytes is not None:
        most.append(free_bytes // WORTH_BYTES)
    return max(1, min(most))


def ring_room(files: Files, can: Features, connections: int | None, workers: int | None, least: int = 1) -> Room:
    """What rings can hold.

    connections: how many are wanted; None: as many as possible
    workers:     processes; None: as many as `connections` take, and not fewer than `least`
    """
    layout = Layout.of(files, FILES_RESERVED)
    what = f"{_some(layout.most, 'ring')} of {layout.slots:,} sockets"
    by_files = _by_files(files, layout.capacity, connections, workers, least, what)
    wanted = min(by_files.connections, by_files.connections if connections is None else connections)
    fewer, more = divmod(wanted, by_files.workers)  # as core/runs/slices.py shares them
    rings = more * layout.rings(fewer + 1) + (by_files.workers - more) * layout.rings(fewer)
    made, number = rings_made(min(rings, MOST_MADE), layout.entries, can)
    if not number:
        return by_files
    words = f"io_uring needs {_some(rings, 'ring')}, and {_what(number)} leaves room for {made}"
    held = min(made * layout.slots, by_files.workers * layout.capacity)
    return Room(min(wanted, held), by_files.workers, held // by_files.workers, LOCKED, words)


def epoll_room(files: Files, connections: int | None, workers: int | None, least: int = 1) -> Room:
    """What ordinary sockets can hold; the arguments are those of `ring_room`."""
    each = max(0, files.soft - files.open - FILES_RESERVED)
    if connections is None:
        each = min(each, MOST_EPOLL_SLOTS)
    return _by_files(files, each, connections, workers, least, f"{each:,} sockets")


def _by_files(files: Files, each: int, connections: int | None, workers: int | None, least: int, what: str) -> Room:
    """What files allow. each, what: connections of a process, and how it holds them"""
    needed = -(-connections // each) if connections and each else 1
    count = workers or min(max(needed, least), MOST_WORKERS)
    processes = "a process" if count == 1 else f"each of {count:,} processes"
    words = f"ulimit -n {format_count(files.soft)}, {files.open} in use: {processes} can have {what}"
    return Room(count * each, count, each, FILES, words)


def rings_made(wanted: int, entries: int, can: Features) -> tuple[int, int]:
    """Make rings and close them again → how many could exist at the same time, and the errno that stopped it, or 0.

    Their tables of descriptors are left out: those take no locked memory, and no file.
    """
    until_s = time.monotonic() + PATIENCE_S
    made = 0
    with ExitStack() as rings:
        while made < wanted:
            try:
                ring = new_ring(0, entries, no_sqarray=can.no_sqarray, until_s=until_s)
            except OSError as error:
                return made, error.errno or errno.EIO
            rings.callback(ring.close)
            ring.close_files()  # the rings of all workers are made here, in one process
            made += 1
    return made, 0


def _what(number: int) -> str:
    """What ended the making of rings with this errno."""
    memlock_bytes = read_memlock_bytes()
    if number == errno.ENOMEM and memlock_bytes is not None:
        return f"{LOCKED} (ulimit -l {memlock_bytes >> 10}, ENOMEM {number})"
    return f"{symptom_of(number).limit} ({name_of(number)} {number})"


def _some(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
