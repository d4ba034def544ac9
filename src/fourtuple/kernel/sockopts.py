"""The socket options that decide scale, and how a connection of each strategy is prepared before connect().

IP_BIND_ADDRESS_NO_PORT (Linux 4.2) lets bind() record the address alone; the port is chosen at connect(), when the
destination is known, so it can be shared. IP_LOCAL_PORT_RANGE (6.3) narrows the range for one socket; from 6.8 on it
also makes the kernel look at every port in turn instead of one parity first, which keeps connect() fast past half of
the range. SO_REUSEPORT beside SO_REUSEADDR keeps bind() to one port fast however many sockets share it.
Sources: ip(7), socket(7), net/ipv4/inet_hashtables.c (v6.18).
"""

import socket
import struct
from collections.abc import Iterable

from fourtuple.core.limits.releases import IN_TURN, Version

IP_BIND_ADDRESS_NO_PORT = 24  # include/uapi/linux/in.h
IP_LOCAL_PORT_RANGE = 51
TCP_USER_TIMEOUT = 18  # include/uapi/linux/tcp.h
_YES = struct.pack("=i", 1)
LINGER_RESET = struct.pack("=ii", 1, 0)  # SO_LINGER: close() sends a RST and leaves no TIME_WAIT


Option = tuple[int, int, bytes]  # level, name, value, as setsockopt(2) takes them


def before_connect(timeout_s: float | None, port_range: range | None, *, bind: bool, explicit: bool) -> list[Option]:
    """What is set on a socket before bind() and connect().

    timeout_s:  TCP_USER_TIMEOUT, in ms: ETIMEDOUT where what was sent is not acknowledged for so long (tcp(7))
    port_range: choose the port from these only; None: not set
    bind:       it will be bound; explicit: to a port too, which it is to share
    """
    options: list[Option] = []
    if timeout_s is not None:
        timeout_ms = min(max(1, round(timeout_s * 1000)), 2**31 - 1)
        options.append((socket.IPPROTO_TCP, TCP_USER_TIMEOUT, struct.pack("=i", timeout_ms)))
    if port_range is not None:
        options.append((socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, pack_port_range(port_range)))
    if bind and explicit:
        options += [(socket.SOL_SOCKET, name, _YES) for name in (socket.SO_REUSEADDR, socket.SO_REUSEPORT)]
    elif bind or port_range is not None:  # without bind() it only shows: sock_diag tells that connect() chose the port
        options.append((socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, _YES))
    return options


def prepared(family: int, options: Iterable[Option], source: tuple[str, int] | None) -> socket.socket:
    """A non-blocking stream socket with these options, bound to (address, port) where given. Raises OSError."""
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        for option in options:
            sock.setsockopt(*option)
        if source is not None:
            sock.bind(source)
    except OSError:
        sock.close()
        raise
    return sock


def pack_port_range(ports: range) -> bytes:
    """The value of IP_LOCAL_PORT_RANGE. As bytes: Python's integer form is a signed int, too small for hi ≥ 32768."""
    return struct.pack("=I", ports.start | (ports.stop - 1) << 16)


def port_range_is_quick(kernel_version: Version) -> bool:
    """Does IP_LOCAL_PORT_RANGE keep connect() fast past half of the range, and is it allowed here?"""
    if not IN_TURN.holds(kernel_version):
        return False
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, pack_port_range(range(1024, 65536)))
    except OSError:
        return False
    return True
