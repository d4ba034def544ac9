"""The owners of sockets: inodes mapped to processes, with counts of the sockets that have no visible process."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.sockets.columns import Numbers
from fourtuple.core.units import format_count

SHOWN = 2  # processes by name
NAMELESS = ("not visible (needs root)", "in no process's files (io_uring)", "the kernel's")  # behind the processes


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    name: str
    sockets: int


@dataclass(frozen=True, slots=True)
class Owners:
    """The owners of a group of sockets.

    processes:     the one with the most first; a socket that several have counts for the first of them
    not_visible:   sockets of users whose processes may not be looked into; users: who they are
    no_descriptor: in no process's files: direct descriptors of io_uring, or of a process in another PID namespace
    kernel:        without an owner: in TIME_WAIT, closed by their program, or not accepted yet
    """

    processes: tuple[Process, ...] = ()
    not_visible: int = 0
    users: tuple[str, ...] = ()
    no_descriptor: int = 0
    kernel: int = 0

    def __str__(self) -> str:
        """`nginx (812)`, `php-fpm (9021 …)`, `user www-data`, `io_uring`, or empty: the kernel's alone."""
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
    """Which processes have which sockets, as far as this user may see.

    processes: (pid, name)
    inodes:    (n,), u4, ascending; each once
    numbers:   (n,), which of the processes has it
    visible:   user ids whose processes were all looked into; None: everybody's
    users:     names by user id
    asked:     owners were requested; otherwise there are none
    """

    processes: tuple[tuple[int, str], ...]
    inodes: NDArray[np.uint32]
    numbers: Numbers
    visible: frozenset[int] | None
    users: Mapping[int, str]
    asked: bool = True

    def owners(self, groups: Numbers, inodes: NDArray[np.uint32], uids: NDArray[np.uint32], count: int) -> list[Owners]:
        """Of sockets in `count` groups: each one's group, inode and user. One Owners for each group."""
        if not self.asked:
            return [Owners()] * count
        hidden, kernel = len(self.processes), len(self.processes) + 2
        codes = self.codes(inodes, uids)
        found, sizes = np.unique(groups.astype(np.int64) * (kernel + 1) + codes, return_counts=True)
        processes: list[list[Process]] = [[] for _ in range(count)]
        left = np.zeros((count, 3), np.int64)
        for key, size in zip(found.tolist(), sizes.tolist(), strict=True):
            group, code = divmod(key, kernel + 1)
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
            )
            for each, rest, who in zip(processes, left, users, strict=True)
        ]

    def codes(self, inodes: NDArray[np.uint32], uids: NDArray[np.uint32]) -> Numbers:
        """For each socket the number of the process that has it; behind those, of NAMELESS."""
        hidden, without, kernel = (len(self.processes) + number for number in range(3))
        codes = np.full(len(inodes), without)
        if self.visible is not None:
            codes[~np.isin(uids, list(self.visible))] = hidden
        if len(self.inodes):
            place = np.minimum(np.searchsorted(self.inodes, inodes), len(self.inodes) - 1)
            known = self.inodes[place] == inodes
            codes[known] = self.numbers[place[known]]
        codes[inodes == 0] = kernel
        return codes


NOBODY = Holders((), np.zeros(0, np.uint32), np.zeros(0, np.int64), None, {}, asked=False)


def unseen(owners: "list[Owners] | tuple[Owners, ...]") -> list[str]:
    """Sentences about the sockets without a visible process."""
    texts = []
    hidden, without = (sum(getattr(each, name) for each in owners) for name in ("not_visible", "no_descriptor"))
    if hidden:
        texts.append(f"the process of {format_count(hidden)} sockets is not visible (needs root), only its user")
    if without:
        texts.append(
            f"{format_count(without)} sockets are in no process's files: direct descriptors of io_uring (--rings finds"
            " their owners), or a process in another PID namespace"
        )
    return texts
