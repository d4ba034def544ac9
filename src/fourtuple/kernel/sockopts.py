"""Socket options: which ones decide how many connections are possible, and which ones each strategy sets.

IP_BIND_ADDRESS_NO_PORT (Linux 4.2) lets bind() record the address alone; the kernel chooses the port at connect(), when
the destination is known, so the port can be shared. IP_LOCAL_PORT_RANGE (6.3 and 6.1.32) narrows the range for one
socket; from 6.8 on it also makes the kernel try every port in turn instead of one parity first, which keeps connect()
fast when more than half of the range is in use. SO_REUSEPORT together with SO_REUSEADDR keeps bind() to one port fast
however many sockets share it.
Sources: ip(7), socket(7), net/ipv4/inet_hashtables.c (v6.18).
"""

import errno
import socket
import struct
import sys
from collections.abc import Iterable

IP_BIND_ADDRESS_NO_PORT = 24  # include/uapi/linux/in.h
IP_LOCAL_PORT_RANGE = 51
TCP_USER_TIMEOUT = 18  # include/uapi/linux/tcp.h
TCPI_RTT = 68  # where tcpi_rtt is in struct tcp_info (include/uapi/linux/tcp.h)
SO_COOKIE = 57  # include/uapi/asm-generic/socket.h; Linux 4.12
_YES = struct.pack("=i", 1)
LINGER_RESET = struct.pack("=ii", 1, 0)  # SO_LINGER: close() sends a RST and leaves no TIME_WAIT


Option = tuple[int, int, bytes]  # level, name, value, as setsockopt(2) takes them


def before_connect(timeout_s: float | None, port_range: range | None, *, bind: bool, explicit: bool) -> list[Option]:
    """The options to set on a socket before bind() and connect().

    timeout_s:  sets TCP_USER_TIMEOUT: ETIMEDOUT if sent data is not acknowledged for this time (tcp(7)); None: not set
    port_range: sets IP_LOCAL_PORT_RANGE: the kernel chooses the port from this range; None: not set
    bind:       the socket will be bound
    explicit:   it will be bound to a port too, which it shares with other sockets
    """
    options: list[Option] = []
    if timeout_s is not None:
        timeout_ms = min(max(1, round(timeout_s * 1000)), 2**31 - 1)
        options.append((socket.IPPROTO_TCP, TCP_USER_TIMEOUT, struct.pack("=i", timeout_ms)))
    if port_range is not None:
        options.append((socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, pack_port_range(port_range)))
    if bind and explicit:
        options += [(socket.SOL_SOCKET, name, _YES) for name in (socket.SO_REUSEADDR, socket.SO_REUSEPORT)]
    elif bind or port_range is not None:  # without bind() a mark only: sock_diag shows that connect() chose the port
        options.append((socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, _YES))
    return options


def prepared(family: int, options: Iterable[Option], source: tuple[str, int] | None) -> socket.socket:
    """A non-blocking stream socket with these options, bound to `source` (address, port) if given. Raises OSError."""
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


def connects(sock: socket.socket, target: tuple[str, int]) -> bool:
    """Connect; False: the kernel has no port to choose for it (EADDRNOTAVAIL). Raises OSError."""
    try:
        sock.connect(target)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            return False
        raise
    return True


def cookie_of(sock: socket.socket | None) -> int:
    """The cookie of a socket, which sock_diag lists, too (Linux 4.12); 0: not known."""
    try:
        cookie = sock.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8) if sock else b""
    except OSError:  # ENOPROTOOPT: an older kernel
        return 0
    return int.from_bytes(cookie, sys.byteorder)


def rtt_us(sock: socket.socket) -> int | None:
    """The round-trip time of a connection in µs, smoothed; right after connect(), that of its handshake. None: unknown.

    Source: tcpi_rtt of TCP_INFO, tcp(7).
    """
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCPI_RTT + 4)
    except OSError:
        return None
    return int.from_bytes(info[TCPI_RTT:], sys.byteorder)


def pack_port_range(ports: range) -> bytes:
    """The value of IP_LOCAL_PORT_RANGE as bytes: Python's integer form is signed, too small for a last port ≥ 32768."""
    return struct.pack("=I", ports.start | (ports.stop - 1) << 16)


def range_can_be_set() -> bool:
    """Whether this kernel has IP_LOCAL_PORT_RANGE (Linux 6.3 and 6.1.32), and this process may set it."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, pack_port_range(range(1024, 65536)))
    except OSError:
        return False
    return True
