"""The socket options that decide scale, and how a connection of each strategy is prepared before connect().

IP_BIND_ADDRESS_NO_PORT (Linux 4.2) lets bind() record the address alone; the port is chosen at connect(), when the
destination is known, so it can be shared. IP_LOCAL_PORT_RANGE (6.3) narrows the range for one socket; from 6.8 on it
also makes the kernel look at every port in turn instead of one parity first, which keeps connect() fast past half of
the range. SO_REUSEPORT beside SO_REUSEADDR keeps bind() to one port fast however many sockets share it.
Sources: ip(7), socket(7), net/ipv4/inet_hashtables.c (v6.18).
"""

import socket
import struct

IP_BIND_ADDRESS_NO_PORT = 24  # include/uapi/linux/in.h
IP_LOCAL_PORT_RANGE = 51
TCP_USER_TIMEOUT = 18  # include/uapi/linux/tcp.h
LINGER_RESET = struct.pack("=ii", 1, 0)  # SO_LINGER: close() sends a RST and leaves no TIME_WAIT


def set_port_range(sock: socket.socket, ports: range) -> None:
    """Choose this socket's port from `ports` only. Raises OSError (ENOPROTOOPT before Linux 6.3)."""
    # As bytes: the value is lo | hi << 16, and Python's integer form is a signed int, too small for hi ≥ 32768.
    sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("=I", ports.start | (ports.stop - 1) << 16))


def port_range_is_quick(kernel_version: tuple[int, int]) -> bool:
    """Does IP_LOCAL_PORT_RANGE keep connect() fast past half of the range? From Linux 6.8 on, where it is allowed."""
    if kernel_version < (6, 8):
        return False
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
            set_port_range(sock, range(1024, 65536))
    except OSError:
        return False
    return True


def set_connect_timeout(sock: socket.socket, seconds: float) -> None:
    """Give up with ETIMEDOUT after that long without an answer (tcp(7), TCP_USER_TIMEOUT; in ms)."""
    sock.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, min(max(1, round(seconds * 1000)), 2**31 - 1))
