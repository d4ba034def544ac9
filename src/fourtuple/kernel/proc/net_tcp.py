"""/proc/net/tcp and tcp6 as tables of sockets, for hosts where sock_diag is not available (proc_net_tcp.rst, v6.18)."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fourtuple.core.errors import CannotError
from fourtuple.core.numbers import number_of
from fourtuple.core.sockets.columns import in_states
from fourtuple.core.sockets.table import MAPPED, SOCKET, Sockets, State

FIELDS = 12  # of the shortest lines, those of TIME_WAIT (get_timewait4_sock in net/ipv4/tcp_ipv4.c, v6.18)
USER_HZ = os.sysconf("SC_CLK_TCK")  # the unit of times in /proc, per second


def parse_proc_net_tcp(text: str) -> Sockets:
    """/proc/net/tcp or tcp6 → its sockets, dtype SOCKET. Raises CannotError if a line is truncated or unreadable."""
    lines = text.splitlines()
    if not lines or "local_address" not in lines[0]:
        raise CannotError("cannot read /proc/net/tcp", "the header line is missing")
    table = np.zeros(len(lines) - 1, SOCKET)
    for number, line in enumerate(lines[1:]):
        try:
            for name, value in _parse_line(line):
                table[name][number] = value
        except (ValueError, OverflowError):  # OverflowError: more than the column can hold
            which = f"line {number + 2} of {len(lines)} is truncated or unreadable"
            raise CannotError("cannot read /proc/net/tcp", f"{which} ({line[:80]!r})") from None
    return table


def _parse_line(line: str) -> Iterator[tuple[str, int | bytes]]:
    """One socket, as (column, value). Raises ValueError."""
    fields = line.split()
    if len(fields) < FIELDS:
        raise ValueError(line)
    (local, local_port), (remote, remote_port), (wqueue, rqueue), (_, timer) = (
        fields[column].split(":") for column in (1, 2, 4, 5)
    )
    yield "local", _hex_address(local)
    yield "remote", _hex_address(remote)
    for name, text, base in (
        ("local_port", local_port, 16),
        ("remote_port", remote_port, 16),
        ("state", fields[3], 16),
        ("recv_q", rqueue, 16),
        ("send_q", wqueue, 16),
        ("uid", fields[7], 10),
        ("inode", fields[9], 10),
    ):
        yield name, _number(text, base)
    yield "expires_ms", _number(timer, 16) * 1000 // USER_HZ


def _number(text: str, base: int) -> int:
    """Raises ValueError."""
    number = number_of(text, base)
    if number is None:
        raise ValueError(text)
    return number


def _hex_address(text: str) -> bytes:
    """The 16 bytes of an address, from 8 hex digits for each 32-bit word in the byte order of the host.

    Raises ValueError.
    """
    if len(text) not in (8, 32):
        raise ValueError(text)
    words = [_number(text[i : i + 8], 16) for i in range(0, len(text), 8)]
    packed = struct.pack(f"={len(words)}I", *words)
    return packed if len(packed) == 16 else MAPPED + packed


def read_proc_net_tcp(states: frozenset[State], proc: Path) -> Iterator[Sockets]:
    """The sockets in these states in the calling thread's network namespace. Raises OSError, CannotError."""
    for name in ("tcp", "tcp6"):
        file = proc / "thread-self" / "net" / name  # this thread's namespace, not the main one's
        if name == "tcp" or os.path.exists(file):  # there is no tcp6 if IPv6 is disabled
            table = parse_proc_net_tcp(file.read_text(encoding="ascii", errors="replace"))
            yield table[in_states(table["state"], states)]
