"""Which processes own which sockets, by the links in /proc/PID/fd (hidden for processes of other users)."""

import contextlib
import os
import pwd
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.late import late_pattern
from fourtuple.core.numbers import number_of
from fourtuple.core.sockets.owners import Holders
from fourtuple.kernel.proc.files import PROC, text_of
from fourtuple.kernel.proc.pid import inode_of

INIT = 1  # holds listeners for services that it starts, so it is considered last
_RING = "anon_inode:[io_uring]"
_SOCKET = late_pattern(r"socket:\[\d+\]")


def read_holders(wanted: NDArray[np.uint32], *, rings: bool = False, proc: Path = PROC) -> Holders:
    """The processes that own the sockets with these inodes; of several owners the one with the lowest PID.

    wanted: inodes of sockets, uint32; 0 is ignored
    rings:  if sockets are left without an owner, also search the direct descriptors of io_uring. The kernel lists them
            in /proc/PID/fdinfo, and blocks the ring for its program while it does (io_uring/fdinfo.c, v6.18)
    """
    wanted = np.sort(wanted[wanted != 0])  # np.unique takes several times as long
    wanted = wanted[np.diff(wanted, prepend=np.uint32(0)) != 0]
    numbers = np.full(len(wanted), -1)
    found: list[Path] = []
    rings_of: list[tuple[Path, str]] = []
    hidden_uids: set[int] = set()
    shared: set[int] = set()
    pids = _pids(proc) if len(wanted) else []
    for pid in sorted(pids, key=INIT.__eq__):
        folder = proc / str(pid)
        try:
            links = list(_links(folder))
        except PermissionError:
            with contextlib.suppress(OSError):
                hidden_uids.add(os.stat(folder).st_uid)
            continue
        except OSError:  # the process has ended
            continue
        rings_of += [(folder, name) for name, link in links if link == _RING]
        _assign(numbers, wanted, [link for _, link in links], folder, found, shared)
    for folder, name in rings_of if rings else []:
        if (numbers < 0).any():
            _assign(numbers, wanted, _SOCKET.findall(text_of(folder / "fdinfo" / name)), folder, found, shared)
    uid = os.geteuid()
    everything = uid == 0 and not hidden_uids
    return Holders(
        processes=tuple((int(folder.name), text_of(folder / "comm").strip()) for folder in found),
        inodes=wanted[numbers >= 0],
        numbers=numbers[numbers >= 0],
        visible=None if everything else frozenset({uid} - hidden_uids),
        users={} if everything else dict(_users()),
        shared=frozenset(shared),
    )


def _pids(proc: Path) -> list[int]:
    """The processes of this PID namespace, ascending; empty without /proc."""
    try:
        numbers = map(number_of, os.listdir(proc))
    except OSError:
        return []
    return sorted(number for number in numbers if number is not None)


def _links(folder: Path) -> Iterator[tuple[str, str]]:
    """The descriptors of a process, as (number, link target). Raises OSError."""
    with os.scandir(folder / "fd") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):  # closed since the folder was listed
                yield entry.name, os.readlink(entry.path)


def _assign(
    numbers: NDArray[np.int64],
    wanted: NDArray[np.uint32],
    links: list[str],
    who: Path,
    found: list[Path],
    shared: set[int],
) -> None:
    """Record this process as the owner of those sockets among its links that are wanted and have no owner yet.

    shared: receives the inodes that another process has already
    """
    inodes = [inode for inode in map(inode_of, links) if inode is not None]
    if not inodes:
        return
    candidates = np.array(inodes, np.uint64)
    place = np.minimum(np.searchsorted(wanted, candidates), len(wanted) - 1)
    place = place[wanted[place] == candidates]
    is_free = numbers[place] < 0
    if not is_free.all():
        own = found.index(who) if who in found else -1
        shared.update(wanted[place[~is_free & (numbers[place] != own)]].tolist())
        place = place[is_free]
    if len(place):
        if who not in found:
            found.append(who)
        numbers[place] = found.index(who)


def _users() -> Iterator[tuple[int, str]]:
    for entry in pwd.getpwall():
        yield entry.pw_uid, entry.pw_name
