"""/proc/net/tcp and tcp6 as tables of sockets, for hosts where sock_diag is not available (proc_net_tcp.rst, v6.18)."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fourtuple.core.sockets.table import MAPPED, SOCKET, Sockets, State

USER_HZ = os.sysconf("SC_CLK_TCK")  # the unit of times in /proc, per second


def parse_proc_net_tcp(text: str) -> Sockets:
    """/proc/net/tcp or tcp6 → its sockets, dtype SOCKET. Raises ValueError if a line is truncated or unreadable."""
    lines = text.splitlines()
    if not lines or "local_address" not in lines[0]:
        raise ValueError("not /proc/net/tcp: the header line is missing")
    table = np.zeros(len(lines) - 1, SOCKET)
    for number, line in enumerate(lines[1:]):
        fields = line.split()
        try:
            ends = [end.split(":") for end in fields[1:3]]
            (local, local_port), (remote, remote_port) = ends
            (_, timer), (wqueue, rqueue) = fields[5].split(":"), fields[4].split(":")
            table["local"][number], table["remote"][number] = _hex_address(local), _hex_address(remote)
            for name, text, base in (
                ("local_port", local_port, 16),
                ("remote_port", remote_port, 16),
                ("state", fields[3], 16),
                ("recv_q", rqueue, 16),
                ("send_q", wqueue, 16),
                ("uid", fields[7], 10),
                ("inode", fields[9], 10),
            ):
                table[name][number] = int(text, base)
            table["expires_ms"][number] = int(timer, 16) * 1000 // USER_HZ
        except (ValueError, IndexError):
            raise ValueError(f"line {number + 2} of /proc/net/tcp is truncated or unreadable: {line!r}") from None
    return table


def _hex_address(text: str) -> bytes:
    """The 16 bytes of an address, from 8 hex digits for each 32-bit word in the byte order of the host."""
    if len(text) not in (8, 32):
        raise ValueError(text)
    words = [int(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return packed if len(packed) == 16 else MAPPED + packed


def read_proc_net_tcp(states: frozenset[State], proc: Path) -> Iterator[Sockets]:
    """The sockets in these states in the calling thread's network namespace. Raises OSError, ValueError."""
    for name in ("tcp", "tcp6"):
        file = proc / "thread-self" / "net" / name  # this thread's namespace, not the main one's
        if file.exists():  # there is no tcp6 if IPv6 is disabled
            table = parse_proc_net_tcp(file.read_text())
            yield table[np.isin(table["state"], list(states))]
