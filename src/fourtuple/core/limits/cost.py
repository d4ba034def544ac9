"""The cost of a connection in kernel memory and files, and how much of each may be used."""

from fourtuple.core.limits.facts import Memory
from fourtuple.core.units import format_size

# Files that a process needs in addition to its connections: listeners or the epoll, /proc, a pipe, Python's own.
FILES_RESERVED = 24
# The share of free memory that connections may use: above it the kernel kills processes, ours or others.
MEMORY_SHARE, MEMORY_SHARE_OF_AN_EMPTY_HOST = 0.9, 0.98
MOST_WORKERS = 1000  # processes of a run
# Kernel memory of one end, including its share of slab pages: tcp_sock, inode, file, dentry, bind buckets.
CLIENT_END_BYTES = 4100
SERVER_END_BYTES = 3900
UNIX_END_BYTES = 2500  # of a Unix socket: unix_sock, inode, file, dentry


def memory_lacking(
    wanted: int, memory: Memory, *, both_ends: bool, share: float = MEMORY_SHARE, unix: bool = False
) -> str | None:
    """Why memory does not allow these connections; None: it does, or the free memory is unknown.

    both_ends: the other end is on this host too
    share:     the share of free memory that they may use
    unix:      they are of Unix sockets
    """
    near_bytes, far_bytes = (UNIX_END_BYTES, UNIX_END_BYTES) if unix else (CLIENT_END_BYTES, SERVER_END_BYTES)
    needs_bytes = wanted * (near_bytes + (far_bytes if both_ends else 0))
    if memory.free_bytes is None or needs_bytes <= share * memory.free_bytes:
        return None
    return (
        f"memory: they need {format_size(needs_bytes)}, {format_size(memory.free_bytes)} are free {memory.where},"
        f" and {1 - share:.0%} of that must stay free"
    )


def memory_exhausted(memory: Memory, at_start: Memory, share: float = MEMORY_SHARE) -> str | None:
    """Why no more memory may be used, given what was free at the start; None: more may be used."""
    if memory.free_bytes is None or at_start.free_bytes is None:
        return None
    stays_bytes = (1 - share) * at_start.free_bytes
    if memory.free_bytes > stays_bytes:
        return None
    return (
        f"memory: {format_size(memory.free_bytes)} are free {memory.where}; {format_size(stays_bytes)} must stay free"
    )


def fitting(wanted: int, memory: Memory) -> int:
    """How many of `wanted` connections the free memory has room for; all of them if it is unknown."""
    return wanted if memory.free_bytes is None else min(wanted, memory.free_bytes // CLIENT_END_BYTES)


def workers_needed(wanted: int, files_per_process: int) -> int:
    """How many processes are needed to hold `wanted` descriptors. Raises ValueError if a process has no room for"
    " one."""
    room = files_per_process - FILES_RESERVED
    if room < 1:
        raise ValueError(f"{files_per_process} files per process leave no room for connections")
    return max(1, -(-wanted // room))
