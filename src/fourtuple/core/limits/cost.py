"""What a connection costs: memory of the kernel, files of a process, and how much of either may be taken."""

from fourtuple.core.limits.facts import Memory
from fourtuple.core.units import format_size

# Files that a process needs in addition to its connections: listeners or the epoll, /proc, a pipe, Python's own.
FILES_RESERVED = 24
# Of the memory that is free, what connections may take: past it the kernel ends processes, ours or others.
MEMORY_SHARE, MEMORY_SHARE_OF_AN_EMPTY_HOST = 0.9, 0.98
CLIENT_END_BYTES = 4100  # kernel memory of one end, page shares included: tcp_sock, inode, file, dentry, bind buckets
SERVER_END_BYTES = 3900


def memory_lacking(wanted: int, memory: Memory, *, both_ends: bool, share: float = MEMORY_SHARE) -> str | None:
    """Why memory does not allow these connections; None: it does, or the free memory is unknown.

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
