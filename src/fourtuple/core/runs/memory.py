"""What a connection takes of memory, part by part: what the model says, and by how much the kernel's slabs have grown.

The model is what Linux 6.18 on x86_64 was measured to take, objects with their share of a page run (`fourtuple hold`,
`/proc/slabinfo` before and after): 4.1 KB at the client's end, 3.8 KB at the server's. core/runs/slices.py counts
with 4,100 and 3,900 bytes: these parts, and a little for what they leave out.
"""

from collections.abc import Mapping
from dataclasses import dataclass

LEAST = 1000  # connections: of fewer, what else the host does to its slabs drowns it


@dataclass(frozen=True, slots=True)
class Part:
    """slabs: where the kernel keeps it; client_bytes, server_bytes: of one connection, 0 where the model has none"""

    name: str
    what: str
    slabs: tuple[str, ...]
    client_bytes: float
    server_bytes: float


BUCKETS_BYTES = 256  # tcp_bind_bucket and tcp_bind2_bucket of a port, which all its connections share
WATCH_BYTES = 256  # a poll of the ring that waits for the connection's end: io_kiocb

PARTS = (
    Part("socket", "struct tcp_sock", ("TCP", "TCPv6"), 2520, 2520),
    Part("inode", "struct socket and its inode", ("sock_inode_cache", "lsm_inode_cache"), 894, 894),
    Part("file", "struct file and its directory entry", ("filp", "dentry", "lsm_file_cache"), 414, 414),
    Part("bind buckets", "a port's entries in two hash tables", ("tcp_bind_bucket", "tcp_bind2_bucket"), 0, 0),
    Part("request", "a connection that is not accepted yet", ("request_sock_TCP", "request_sock_TCPv6"), 0, 0),
    Part("polls", "who waits for the connection's end", ("io_kiocb", "eventpoll_epi", "eventpoll_pwq"), 0, 0),
)
HASH, USER = "hash table", "user space"
SLABS = tuple(name for part in PARTS for name in part.slabs)


@dataclass(frozen=True, slots=True)
class Slabs:
    """rows: the slab behind each name, for the kernel lets several share one; used_bytes: of each slab, whole pages"""

    rows: Mapping[str, str]
    used_bytes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PartUse:
    """Bytes a connection; None: nobody knows. beside: what else is kept in the same slabs, so counted with it"""

    name: str
    what: str
    model_bytes: float | None
    measured_bytes: float | None
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """What each of `connections` takes, both ends where both are here.

    model_bytes:    as plans count
    measured_bytes: by how much the free memory has shrunk; None: it is not told. Whatever else the host did is in it
    why_not:        why the parts were not measured; empty where they were
    """

    connections: int
    ends: int
    model_bytes: float
    measured_bytes: float | None
    parts: tuple[PartUse, ...]
    why_not: str = ""

    @property
    def kernel_parts(self) -> list[PartUse]:
        """What a connection more takes of the kernel's memory."""
        return [part for part in self.parts if part.name not in (HASH, USER)]

    @property
    def each_bytes(self) -> float | None:
        """The kernel's parts together, where they were measured; else what the free memory says."""
        return self.measured_bytes if self.why_not else sum(part.measured_bytes or 0 for part in self.kernel_parts)


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
) -> MemoryUse | None:
    """None for so few that it would say nothing.

    here:         both ends are on this host
    ports:        local ports in use
    polled:       the client's end is polled by the ring; None: by epoll, of which the model does not tell
    user_bytes:   resident memory of the client's processes
    hash_entries: of the namespace's table of connections: 8 bytes each, there before the run
    before, after: None where they cannot be read
    """
    if connections < LEAST:
        return None
    counted: set[str] = set()
    parts = []
    for part in PARTS:
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
    table = None if hash_entries is None else 8 * hash_entries / connections
    parts.append(PartUse(HASH, "8 bytes an entry, there before the run", table, table))
    parts.append(PartUse(USER, "resident memory of the client, the interpreter in it", None, user_bytes / connections))
    return MemoryUse(
        connections=connections,
        ends=2 if here else 1,
        model_bytes=model_bytes,
        measured_bytes=None if taken_bytes is None else max(0, taken_bytes) / connections,
        parts=tuple(parts),
        why_not="" if before and after else "/proc/slabinfo is root's",
    )
