"""N wanted connections and a tuple space → who opens which, and how many can be had at all."""

from dataclasses import dataclass
from enum import StrEnum

from fourtuple.core.limits.facts import Memory
from fourtuple.core.runs.pace import Pace
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.core.units import format_size

# What a process needs besides its connections: the listeners or the epoll, /proc, a pipe, what Python opens for itself.
FILES_RESERVED = 24
# Of the memory that is free, what connections may take: past it the kernel ends processes, ours or others.
MEMORY_SHARE, MEMORY_SHARE_OF_AN_EMPTY_HOST = 0.9, 0.98
CLIENT_END_BYTES = 4100  # kernel memory of one end, page shares included: tcp_sock, inode, file, dentry, bind buckets
SERVER_END_BYTES = 3900


class Strategy(StrEnum):
    """Who chooses the source port, and when.

    A port taken by bind() is lost to every kernel-chosen connect() in the namespace, so a plan uses one family only.
    """

    LATE = "late"  # the kernel, at connect(); with IP_LOCAL_PORT_RANGE, which also finds the last port quickly
    PLAIN = "plain"  # the kernel, at connect(); nothing is set
    NOPORT = "noport"  # the kernel, at connect(); bind(address, 0) with IP_BIND_ADDRESS_NO_PORT
    BIND0 = "bind0"  # the kernel, at bind(address, 0), for that source address alone: how programs run out early
    EXPLICIT = "explicit"  # we do: SO_REUSEADDR and SO_REUSEPORT, bind(address, port), connect()


@dataclass(frozen=True, slots=True)
class Slice:
    """What one worker opens, and how fast: `wanted` connections out of the 4-tuples start ≤ i < stop of the space."""

    start: int
    stop: int
    wanted: int
    pace: Pace


@dataclass(frozen=True, slots=True)
class Plan:
    """room: how many of the space's 4-tuples can still be had; room_least: that many surely"""

    wanted: int
    room: int
    room_least: int
    space: TupleSpace
    strategy: Strategy
    slices: tuple[Slice, ...]

    def room_of(self, share: Slice) -> int:
        """What of the room falls to one worker."""
        return self.room * (share.stop - share.start) // max(1, self.space.size)

    @property
    def predicted(self) -> int:
        """How many of the wanted can be held, at most."""
        return min(self.wanted, self.room)

    @property
    def predicted_least(self) -> int:
        return min(self.wanted, self.room_least)


def memory_lacking(wanted: int, memory: Memory, *, both_ends: bool, share: float = MEMORY_SHARE) -> str | None:
    """What memory has against so many connections; None: nothing, or nobody knows what is free.

    both_ends: the other end is on this host too
    share:     how much of what is free they may take
    """
    needs_bytes = wanted * (CLIENT_END_BYTES + (SERVER_END_BYTES if both_ends else 0))
    if memory.free_bytes is None or needs_bytes <= share * memory.free_bytes:
        return None
    return (
        f"memory: they take {format_size(needs_bytes)}, {format_size(memory.free_bytes)} are free {memory.where},"
        f" and {1 - share:.0%} of that stay free"
    )


def memory_exhausted(memory: Memory, at_start: Memory, share: float = MEMORY_SHARE) -> str | None:
    """Has so much been taken since the start that no more may be? → why, or None."""
    if memory.free_bytes is None or at_start.free_bytes is None:
        return None
    stays_bytes = (1 - share) * at_start.free_bytes
    if memory.free_bytes > stays_bytes:
        return None
    return f"memory: {format_size(memory.free_bytes)} are free {memory.where}, and {format_size(stays_bytes)} stay free"


def workers_needed(wanted: int, files_per_process: int) -> int:
    """How many processes it takes to hold `wanted` descriptors. Raises ValueError where not one fits."""
    room = files_per_process - FILES_RESERVED
    if room < 1:
        raise ValueError(f"{files_per_process} files a process leave no room for connections")
    return max(1, -(-wanted // room))


def split(wanted: int, size: int, workers: int, pace: Pace) -> tuple[Slice, ...]:
    """Equal shares of the wanted connections and of the space, in order; together they are exactly all of both."""
    return tuple(
        Slice(
            size * w // workers,
            size * (w + 1) // workers,
            wanted * (w + 1) // workers - wanted * w // workers,
            pace.of_worker(w, workers),
        )
        for w in range(workers)
    )
