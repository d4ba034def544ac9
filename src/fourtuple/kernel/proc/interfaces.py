"""What interfaces count, and how fast network cards are: /proc/net/dev and /sys/class/net.

proc_net(5); Documentation/ABI/testing/sysfs-class-net (v6.18)
"""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from fourtuple.core.limits.load import Link
from fourtuple.core.numbers import complete_lines, number_of, signed_number_of
from fourtuple.kernel.proc.files import PROC, text_of, whole

CLASS_NET = Path("/sys/class/net")
SENT = 8  # the column of bytes sent, after those of what was received (net/core/net-procfs.c, v6.18)


def parse_net_dev(text: str) -> dict[str, int]:
    """/proc/net/dev → bytes that each interface has sent; unreadable lines are omitted."""
    found = {}
    for line in complete_lines(text):
        name, colon, counts = line.partition(":")
        words = counts.split()
        if colon and len(words) > SENT and (sent := number_of(words[SENT])) is not None:
            found[name.strip()] = sent
    return found


def read_sent_bytes(interface: str, proc: Path = PROC) -> int | None:
    """Bytes that an interface of this thread's network namespace has sent; None: not readable."""
    return parse_net_dev(whole(proc / "thread-self/net/dev")).get(interface)


def read_links(folder: Path = CLASS_NET, *, ours: bool = True) -> tuple[Link, ...]:
    """The network cards, by name, with their speed; virtual interfaces have none that is real.

    ours: only those of this network namespace. /sys shows the interfaces of the namespace in which it was mounted
    """
    return tuple(
        Link(name, megabits * 10**6 if megabits and megabits > 0 else None)
        for name, index, megabits in _cards(folder)
        if not ours or index == _index_here(name)
    )


def _index_here(name: str) -> int:
    """The index of an interface of this network namespace, by an ioctl, which needs no netlink; 0: there is none."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return 0


def _cards(folder: Path) -> Iterator[tuple[str, int | None, int | None]]:
    """Name, index and megabits per second of each; -1 or an error: it does not say, or it is down."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return
    for name in names:
        if os.path.exists(folder / name / "device"):
            index = number_of(text_of(folder / name / "ifindex").strip())
            yield name, index, signed_number_of(text_of(folder / name / "speed").strip())
