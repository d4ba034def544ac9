"""The owners of sockets: inodes mapped to processes, with counts of the sockets that have no visible process."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.record import dataclass
from fourtuple.core.sockets.columns import Numbers, is_in
from fourtuple.core.units import format_count, format_things

SHOWN = 2  # process names in a text
NAMELESS = (
    "not visible (needs root)",
    "in no process's files (io_uring)",
    "the kernel's",
    "unknown (not in the listing)",
)  # their codes follow those of the processes


@dataclass(frozen=True, slots=True)
class Process:
    """A process, and how many sockets of a group it owns."""

    pid: int
    name: str
    sockets: int


@dataclass(frozen=True, slots=True)
class Owners:
    """The owners of a group of sockets.

    processes:     the one with the most sockets first; a socket of several processes counts for the first of them
    not_visible:   how many sockets belong to users whose processes are not readable
    users:         the names of these users
    no_descriptor: how many sockets are in no process's files: direct descriptors of io_uring, or files of a process in
                   another PID namespace
    kernel:        how many sockets have no owner: in TIME_WAIT, closed by their program, or not accepted yet
    unknown:       how many sockets have an owner that the listing does not name, as that of `ss` without -p
    """

    processes: tuple[Process, ...] = ()
    not_visible: int = 0
    users: tuple[str, ...] = ()
    no_descriptor: int = 0
    kernel: int = 0
    unknown: int = 0

    @property
    def whose(self) -> str:
        """The owners, or in words that there are none, or that they are not known."""
        return str(self) or ("unknown" if self.unknown else "the kernel's")

    def __str__(self) -> str:
        """Text such as `nginx (812)`, `php-fpm (9021 …)`, `user www-data` or `io_uring`; empty: no owner."""
        names: dict[str, list[int]] = {}
        for process in self.processes:
            names.setdefault(process.name, []).append(process.pid)
        words = [f"{name} ({pids[0]}{' …' if len(pids) > 1 else ''})" for name, pids in names.items()]
        if len(words) > SHOWN:
            words[SHOWN:] = ["…"]
        if self.not_visible:
            words.append(f"user {', '.join(self.users)}")
        if self.no_descriptor:
            words.append("io_uring")
        return ", ".join(words)


@dataclass(frozen=True)
class Holders:
    """The processes and their sockets, as far as this user may see them.

    processes: (pid, name) of each
    inodes:    (n,), u4, ascending and distinct
    numbers:   (n,), the number of the process that has each inode
    visible:   user IDs whose processes were all readable; None: those of all users
    users:     user names by user ID
    shared:    inodes that further processes have, too
    asked:     owners were requested; otherwise there are none
    listed:    the listing names owners only where it has them, as a paste: a socket without one has an unknown owner
    """

    processes: tuple[tuple[int, str], ...]
    inodes: NDArray[np.uint32]
    numbers: Numbers
    visible: frozenset[int] | None
    users: Mapping[int, str]
    asked: bool = True
    shared: frozenset[int] = frozenset()
    listed: bool = False

    def owners(self, groups: Numbers, inodes: NDArray[np.uint32], uids: NDArray[np.uint32], count: int) -> list[Owners]:
        """The owners of each of `count` groups of sockets.

        groups, inodes, uids: (n,), the group, inode and user ID of each socket
        """
        if not self.asked:
            return [Owners()] * count
        hidden, last = len(self.processes), len(self.processes) + len(NAMELESS) - 1
        codes = self.codes(inodes, uids)
        found, sizes = np.unique(groups.astype(np.int64) * (last + 1) + codes, return_counts=True)
        processes: list[list[Process]] = [[] for _ in range(count)]
        left = np.zeros((count, len(NAMELESS)), np.int64)
        for key, size in zip(found.tolist(), sizes.tolist(), strict=True):
            group, code = divmod(key, last + 1)
            if code < hidden:
                pid, name = self.processes[code]
                processes[group].append(Process(pid, name, size))
            else:
                left[group, code - hidden] = size
        users: list[set[int]] = [set() for _ in range(count)]
        unseen = codes == hidden
        ends, _ = np.unique(groups[unseen].astype(np.int64) << 32 | uids[unseen], return_counts=True)
        for key in ends.tolist():
            users[key >> 32].add(key & 0xFFFFFFFF)
        return [
            Owners(
                processes=tuple(sorted(each, key=lambda process: (-process.sockets, process.pid))),
                not_visible=int(rest[0]),
                users=tuple(self.users.get(uid, str(uid)) for uid in sorted(who)),
                no_descriptor=int(rest[1]),
                kernel=int(rest[2]),
                unknown=int(rest[3]),
            )
            for each, rest, who in zip(processes, left, users, strict=True)
        ]

    def codes(self, inodes: NDArray[np.uint32], uids: NDArray[np.uint32]) -> Numbers:
        """(n,): the number of the process that has each socket; without one, len(processes) + its place in NAMELESS."""
        hidden, without, kernel, unknown = (len(self.processes) + number for number in range(len(NAMELESS)))
        codes = np.full(len(inodes), unknown if self.listed else without)
        if self.visible is not None and not self.listed:
            codes[~is_in(uids, np.array(sorted(self.visible), np.int64))] = hidden
        if len(self.inodes):
            place = np.minimum(np.searchsorted(self.inodes, inodes), len(self.inodes) - 1)
            known = self.inodes[place] == inodes
            codes[known] = self.numbers[place[known]]
        codes[inodes == 0] = kernel
        return codes


NOBODY = Holders((), np.zeros(0, np.uint32), np.zeros(0, np.int64), None, {}, asked=False)


def unseen(owners: "list[Owners] | tuple[Owners, ...]") -> list[str]:
    """Sentences about the sockets whose process is not visible."""
    texts = []
    hidden, without = (sum(getattr(each, name) for each in owners) for name in ("not_visible", "no_descriptor"))
    if unknown := sum(each.unknown for each in owners):
        texts.append(
            f"the listing names no process for {format_things(unknown, 'socket')}: ss -tanp, as root, names it"
        )
    if hidden:
        texts.append(f"of {format_things(hidden, 'socket')} only the user is visible, not the process (needs root)")
    if without:
        texts.append(
            f"{format_count(without)} sockets are in no process's files: direct descriptors of io_uring (--rings finds"
            " their owners), or a process in another PID namespace"
        )
    return texts
