"""Which features the tests ask for, each tried on this kernel or read from it: the one place that knows about kernels.

Nothing of the product is asked, so that what the product has found can be held against it. A test that needs one
calls `need_feature(NAME)` of tests/conftest.py, or asks the function here.
"""

import errno
import functools
import os
import re
import select
import socket
import struct
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

IP_LOCAL_PORT_RANGE = 51
AF_NETLINK, NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY = 16, 4, 20
ONLY_BOUND = 13  # TCP_BOUND_INACTIVE
DUMP = 0x301
IN_A_ROW = 20  # connections; by chance all have one parity once in 500,000 times
HERE, ELSEWHERE = "127.0.0.1", "127.0.0.2"


def number(name: str, default: int = 0) -> int:
    """A sysctl of this thread's namespace; default: it does not exist."""
    file = Path("/proc/sys") / name.replace(".", "/")
    return int(file.read_text()) if file.exists() else default


def has_sysctl(name: str) -> bool:
    return (Path("/proc/sys") / name.replace(".", "/")).exists()


def has_ipv6() -> bool:
    return Path("/proc/thread-self/net/tcp6").exists()


def release() -> tuple[int, int]:
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    assert found
    return int(found[1]), int(found[2])


@functools.cache
def range_can_be_set() -> bool:
    with socket.socket() as sock:
        try:
            sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("=I", 40000 | 40001 << 16))
        except OSError:
            return False
        return True


@functools.cache
def bound_are_listed() -> bool:
    """Whether sock_diag lists a socket that is only bound: this one, found by its inode."""
    with socket.socket() as bound, socket.socket(AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as link:
        bound.bind((HERE, 0))
        asked = struct.pack("=BBBBI48x", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 1 << ONLY_BOUND)
        link.sendto(struct.pack("=IHHII", 16 + len(asked), SOCK_DIAG_BY_FAMILY, DUMP, 1, 0) + asked, (0, 0))
        port = struct.pack("!H", bound.getsockname()[1])
        while select.select([link], [], [], 1)[0]:
            answer = link.recv(1 << 16)
            if answer[20:22] == port or any(answer[at + 20 : at + 22] == port for at in _messages(answer)):
                return True
            if any(answer[at + 4 : at + 6] in (b"\x03\0", b"\x02\0") for at in _messages(answer)):  # done, or an error
                return False
    return False


def _messages(answer: bytes) -> list[int]:
    starts, at = [], 0
    while at + 16 <= len(answer):
        starts.append(at)
        at += max(16, (int.from_bytes(answer[at : at + 4], "little") + 3) & ~3)
    return starts


@functools.cache
def bind_is_released() -> bool:
    """Whether a port in use can be chosen again, after bind() has taken it elsewhere and given it back."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server((HERE, 0))) for _ in range(2)]
        with socket.socket() as first:
            first.connect(listeners[0].getsockname())
            port = first.getsockname()[1]
            with socket.socket() as elsewhere:
                elsewhere.bind((ELSEWHERE, port))
            return _chosen(port, listeners[1].getsockname())


def _chosen(port: int, target: tuple[str, int]) -> bool:
    """Whether connect() chooses this port, if it is the only one that it may."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        file = Path("/proc/sys/net/ipv4/ip_local_port_range")
        before = file.read_text()
        if range_can_be_set():
            sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("=I", port | port << 16))
        else:
            file.write_text(f"{port} {port}")
        try:
            sock.connect(target)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            return False
        finally:
            if not range_can_be_set():
                file.write_text(before)
        return True


@functools.cache
def range_in_turn() -> bool:
    """Whether connect() tries ports of both parities, where IP_LOCAL_PORT_RANGE is set."""
    if not range_can_be_set():
        return False
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((HERE, 0), backlog=IN_A_ROW))
        parities = set()
        for _ in range(IN_A_ROW):
            sock = stack.enter_context(socket.socket())
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("=I", 40000 | 40999 << 16))
            sock.connect(listener.getsockname())
            parities.add(sock.getsockname()[1] % 2)
        return len(parities) == 2


@functools.cache
def options_are_listed() -> bool:
    """Whether sock_diag reports IP_BIND_ADDRESS_NO_PORT (INET_DIAG_SOCKOPT)."""
    return release() >= (5, 10)


def time_wait_is_in_ms() -> bool:
    return has_sysctl("net.ipv4.tcp_tw_reuse_delay")


def fin_wait2_may_be_reused() -> bool:
    """Until 6.12, and some updates of earlier releases have ended it, which nothing tells."""
    return release() < (6, 12)


FEATURES: dict[str, Callable[[], bool]] = {
    "IP_LOCAL_PORT_RANGE": range_can_be_set,
    "sock_diag lists bound sockets": bound_are_listed,
    "IP_LOCAL_PORT_RANGE in turn": range_in_turn,
    "bind() is released": bind_is_released,
    "sock_diag lists socket options": options_are_listed,
    "net.ipv4.tcp_syn_linear_timeouts": functools.partial(has_sysctl, "net.ipv4.tcp_syn_linear_timeouts"),
}


def learn() -> None:
    """Try everything now, and know it afterwards."""
    for feature in FEATURES.values():
        feature()
