"""Sockets as the kernel lists them: the columns of a table of sockets, and their states.

The rows come from sock_diag or /proc/net/tcp. IPv4 addresses and IPv4-mapped IPv6 addresses (::ffff:a.b.c.d, an
AF_INET6 socket that uses IPv4) share one 4-tuple space, so both are kept in the mapped form.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from fourtuple.core.space.endpoints import Address, Endpoint, FourTuple, unpack_address

SOCK_DIAG, PROC_NET_TCP = "sock_diag", "/proc/net/tcp"  # the sources of a table
MAPPED = bytes(10) + b"\xff\xff"
SOCKET = np.dtype(
    [
        ("family", "u1"),
        ("state", "u1"),
        ("timer", "u1"),
        ("chosen", "u1"),  # Chosen
        ("local_port", ">u2"),
        ("remote_port", ">u2"),
        ("local", "V16"),  # address, IPv4 in its mapped form
        ("remote", "V16"),
        ("interface", "u4"),
        ("cookie", "V8"),
        ("expires_ms", "u4"),  # TIME_WAIT: time left in that state; else time left on the running timer
        ("recv_q", "u4"),  # LISTEN: connections waiting to be accepted; else bytes not yet read
        ("send_q", "u4"),  # LISTEN: the backlog, limited to somaxconn; else bytes not yet acknowledged
        ("uid", "u4"),
        ("inode", "u4"),  # 0: no struct socket: in TIME_WAIT, orphaned, or not accepted yet
    ]
)  # as the kernel lays it out: struct inet_diag_msg (include/uapi/linux/inet_diag.h, v6.18), 72 bytes
LISTENER = np.dtype([*SOCKET.descr, ("drops", "u4")])  # drops: connections dropped at its queue
Sockets = NDArray[np.void]  # of dtype SOCKET


class State(IntEnum):
    """The states of a TCP socket (include/net/tcp_states.h, v6.18)."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    CLOSE = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11
    NEW_SYN_RECV = 12
    BOUND_INACTIVE = 13  # requests sockets that are only bound (Linux 6.8); the kernel reports them as CLOSE


class Chosen(IntEnum):
    """When a socket got its local port, as far as the kernel reports it."""

    UNKNOWN = 0  # not requested, or the kernel does not report it
    BOUND = 1  # at bind(address, port)
    LATE = 2  # at connect(): it was bound with IP_BIND_ADDRESS_NO_PORT


def mapped(address: Address) -> bytes:
    """The address in 16 bytes, IPv4 in its mapped form."""
    return address.packed if address.version == 6 else MAPPED + address.packed


def unmapped(packed: bytes) -> Address:
    """The address in these bytes; the mapped form gives an IPv4 address."""
    return unpack_address(packed[12:] if packed.startswith(MAPPED) else packed)


def four_tuples(sockets: Sockets) -> list[FourTuple]:
    """The 4-tuple of each row, with the local end as the source. This is a Python loop, for a few rows."""
    return [
        FourTuple(
            Endpoint(unmapped(row["local"].tobytes()), int(row["local_port"])),
            Endpoint(unmapped(row["remote"].tobytes()), int(row["remote_port"])),
        )
        for row in sockets
    ]


def recast(sockets: Sockets, dtype: np.dtype[np.void]) -> Sockets:
    """The rows of dtype SOCKET as LISTENER, with zero drops, or the other way round."""
    table: Sockets = np.zeros(len(sockets), dtype)
    for name in SOCKET.names or ():
        table[name] = sockets[name]
    return table


def full_queues(listens: Sockets) -> list[str]:
    """Listeners whose accept queue is full, as `127.0.0.1:8000 (6 of 6)`.

    listens: read from sock_diag; the result is empty for /proc, which does not report backlogs
    """
    full = listens[(listens["recv_q"] > listens["send_q"]) & (listens["send_q"] > 0)]
    names = [each.source for each in four_tuples(full)]
    return [f"{name} ({row['recv_q']:,} of {int(row['send_q']) + 1:,})" for name, row in zip(names, full, strict=True)]
