"""The memory of a connection, part by part: as modelled, and as measured by the growth of the kernel's slabs.

The model was measured on Linux 6.18 on x86_64, with each object's share of its page run (`fourtuple hold`,
`/proc/slabinfo` before and after): 4.1 KB at the client's end, 3.8 KB at the server's. core/limits/cost.py uses 4,100
and 3,900 bytes: these parts, and a little for everything that they leave out. A Unix socket takes 2.4 KB at each end;
UNIX_END_BYTES is 2,500.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from itertools import pairwise
from statistics import median

from fourtuple.core.record import dataclass

LEAST = 1000  # connections; with fewer, other activity on the host outweighs the growth


@dataclass(frozen=True, slots=True)
class MemoryPart:
    """A part of a connection's memory.

    slabs: the slabs in which the kernel allocates it
    client_bytes, server_bytes: per connection, by the model; 0: not modelled
    """

    name: str
    what: str
    slabs: tuple[str, ...]
    client_bytes: float
    server_bytes: float


BUCKETS_BYTES = 256  # tcp_bind_bucket and tcp_bind2_bucket of a port, which all its connections share
WATCH_BYTES = 256  # a poll of the ring that waits for the connection's end: io_kiocb
CALM = 0.05  # what readings of memory may differ by, as a share, if nothing else changes it
EPOLL_BYTES = 200  # the same by epoll: eventpoll_epi, eventpoll_pwq

PARTS = (
    MemoryPart("socket", "struct tcp_sock", ("TCP", "TCPv6"), 2520, 2520),
    MemoryPart("inode", "struct socket with its inode", ("sock_inode_cache", "lsm_inode_cache"), 894, 894),
    MemoryPart("file", "struct file with its directory entry", ("filp", "dentry", "lsm_file_cache"), 414, 414),
    MemoryPart("bind buckets", "a port's entries in two hash tables", ("tcp_bind_bucket", "tcp_bind2_bucket"), 0, 0),
    MemoryPart("request", "a connection not accepted yet", ("request_sock_TCP", "request_sock_TCPv6"), 0, 0),
    MemoryPart("polls", "the poll that waits for its end", ("io_kiocb", "eventpoll_epi", "eventpoll_pwq"), 0, 0),
)
UNIX_PARTS = (
    MemoryPart("socket", "struct unix_sock", ("UNIX-STREAM", "UNIX"), 1158, 1158),
    *(part for part in PARTS if part.name in ("inode", "file", "polls")),
)
HASH, USER = "hash table", "user space"
SLABS = tuple(dict.fromkeys(name for part in (*PARTS, *UNIX_PARTS) for name in part.slabs))


@dataclass(frozen=True, slots=True)
class Slabs:
    """The kernel's slabs at one moment.

    rows:       name → the slab that contains it; the kernel merges slabs, so that several names share one
    used_bytes: slab → bytes in use, whole pages
    each_bytes: name → bytes of one object, with its share of the pages
    """

    rows: Mapping[str, str]
    used_bytes: Mapping[str, int]
    each_bytes: Mapping[str, float] = field(default_factory=dict)


def end_bytes(each_bytes: Mapping[str, float]) -> tuple[float, tuple[str, ...]]:
    """Kernel memory of one end of an IPv4 connection, and the parts of it that the model gave.

    each_bytes: sizes of objects as this kernel reports them, by the name of their slab
    """
    total_bytes, modelled = 0.0, []
    for part in PARTS:
        if not part.server_bytes:
            continue
        known = [each_bytes[name] for name in part.slabs if name in each_bytes and not name.endswith("v6")]
        total_bytes += sum(known) or part.server_bytes
        if not known:
            modelled.append(part.name)
    return total_bytes, tuple(modelled)


def watch_bytes(each_bytes: Mapping[str, float], *, polled: bool) -> float:
    """Kernel memory that waits for the data of one end. polled: by the ring; otherwise by epoll"""
    if polled:
        return each_bytes.get("io_kiocb", WATCH_BYTES)
    found = [each_bytes[name] for name in ("eventpoll_epi", "eventpoll_pwq") if name in each_bytes]
    return sum(found) or EPOLL_BYTES


@dataclass(frozen=True, slots=True)
class PartUse:
    """Bytes per connection of one part. None: unknown.

    beside: other objects in the same slabs, which are therefore counted with it
    """

    name: str
    what: str
    model_bytes: float | None
    measured_bytes: float | None
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Memory of each of `connections`, at both ends if both are on this host.

    model_bytes:    the value that plans use
    measured_bytes: decrease in free memory, other activity on the host included; None: not reported
    why_not:        why the parts were not measured; empty: they were
    """

    connections: int
    ends: int
    model_bytes: float
    measured_bytes: float | None
    parts: tuple[PartUse, ...]
    why_not: str = ""

    @property
    def kernel_parts(self) -> list[PartUse]:
        """The parts of kernel memory that grow with each connection."""
        return [part for part in self.parts if part.name not in (HASH, USER)]

    @property
    def each_bytes(self) -> float | None:
        """The sum of the kernel's parts if they were measured, otherwise the decrease in free memory."""
        return self.measured_bytes if self.why_not else sum(part.measured_bytes or 0 for part in self.kernel_parts)


def growth_bytes(before_bytes: int | None, while_open_bytes: Sequence[int | None]) -> float | None:
    """By how much memory grew, from a reading before connections were opened and those while all were open.

    None: it was not readable, or other programs changed it meanwhile: the readings differ by more than CALM.
    """
    known = [each for each in while_open_bytes if each is not None]
    if before_bytes is None or not known:
        return None
    growth = median(known) - before_bytes
    return growth if max(known) - min(known) <= CALM * growth else None


def agreed(observations: Iterable[float | None]) -> float | None:
    """The mean of the two observations that are closest to each other; None: no two agree within CALM."""
    known = sorted(each for each in observations if each is not None)
    pairs = [(high - low, (low + high) / 2) for low, high in pairwise(known)]
    apart, middle = min(pairs, default=(0.0, 0.0))
    return middle if middle and apart <= CALM * middle else None


def memory_use(
    connections: int,
    *,
    here: bool,
    ports: int,
    polled: bool | None,
    taken_bytes: int | None,
    user_bytes: int,
    hash_entries: int | None,
    before: Slabs | None,
    after: Slabs | None,
    model_bytes: float,
    unix: bool = False,
) -> MemoryUse | None:
    """The memory of each connection; None: too few connections to tell.

    here:          both ends are on this host
    ports:         local ports in use
    polled:        the client's end is polled by the ring; None: by epoll, which is not modelled
    taken_bytes:   decrease in free memory; None: not reported
    user_bytes:    resident memory of the client's processes
    hash_entries:  entries of the namespace's table of connections, 8 bytes each, allocated before the run
    before, after: the slabs before and after opening; None: not readable
    model_bytes:   bytes per connection that plans use
    unix:          the connections are of Unix sockets
    """
    if connections < LEAST:
        return None
    counted: set[str] = set()
    parts = []
    for part in UNIX_PARTS if unix else PARTS:
        bytes_each: float | None = part.client_bytes + (part.server_bytes if here else 0)
        if part.name == "bind buckets":
            bytes_each = BUCKETS_BYTES * ports / connections
        elif part.name == "polls":
            bytes_each = None if polled is None else WATCH_BYTES * polled
        measured, beside = None, set[str]()
        if before and after:
            rows = {after.rows[name] for name in part.slabs if name in after.rows} - counted
            counted |= rows
            grown = sum(after.used_bytes.get(row, 0) - before.used_bytes.get(row, 0) for row in rows)
            measured = max(0, grown) / connections if rows else None
            beside = {name for name in SLABS if after.rows.get(name) in rows} - {*part.slabs}
            beside |= rows - {*part.slabs}
        parts.append(PartUse(part.name, part.what, bytes_each, measured, tuple(sorted(beside))))
    if not unix:
        table = None if hash_entries is None else 8 * hash_entries / connections
        parts.append(PartUse(HASH, "8 bytes per entry, allocated before the run", table, table))
    parts.append(PartUse(USER, "resident memory of the client, interpreter included", None, user_bytes / connections))
    return MemoryUse(
        connections=connections,
        ends=2 if here else 1,
        model_bytes=model_bytes,
        measured_bytes=None if taken_bytes is None else max(0, taken_bytes) / connections,
        parts=tuple(parts),
        why_not="" if before and after else "only root can read /proc/slabinfo",
    )
