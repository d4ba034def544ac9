"""Which source ports connect() cannot use: two questions to the kernel, each port by port.

Ports that look unused (`held_ports`): sock_diag does not list sockets that are only bound before Linux 6.8. bind() of
the wildcard address without SO_REUSEADDR fails with EADDRINUSE if any socket has the port, and then changes nothing
about it (net/ipv4/inet_connection_sock.c, inet_csk_get_port()).

Ports in use (`blocked_ports`): IP_LOCAL_PORT_RANGE (Linux 6.3, and 6.1.32) narrows the choice of connect() to one
port; in a namespace of our own the sysctl can do so. If connect() then fails with EADDRNOTAVAIL, bind() or listen() got
that port for another socket, because the 4-tuple to our new listener is free. All connections stay on 127.0.0.1,
whatever address the question is about: a blocked port is blocked for every address (net/ipv4/inet_hashtables.c,
__inet_hash_connect(), v6.18). Before d57f4b874946 (6.18) a port stays blocked after the socket that was bound to it has
gone, as long as another socket has it.

Neither binds a specific address of a port in use, which would block that port.
"""

import errno
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from itertools import chain, filterfalse

import numpy as np

from fourtuple.core.errors import CannotError
from fourtuple.core.limits.settings import PORT_RANGE
from fourtuple.core.sockets.columns import Mask
from fourtuple.kernel.proc.sysctl import read_sysctl, write_sysctl
from fourtuple.kernel.sockopts import IP_LOCAL_PORT_RANGE, LINGER_RESET, connects, pack_port_range

HERE = "127.0.0.1"
LOWEST_PORT = 1024  # of our listener


def held_ports(ports: Mask) -> tuple[Mask, Mask]:
    """Test ports that look unused → (the ports that were tested, those of them that a socket holds).

    ports: a mask of all 65,536, as are both answers. A port that this user may not bind is not tested (EACCES)

    It finds any socket of this network namespace: of any user, bound to any IPv4 or IPv6 address, with SO_REUSEADDR,
    SO_REUSEPORT, IPV6_V6ONLY or SO_BINDTODEVICE, also one that is left of a connection that failed. It does not find
    sockets of a VRF, which have port numbers of their own, nor a socket with IP_BIND_ADDRESS_NO_PORT, which has no
    port yet. A connected socket holds its port, too, but does not block it: do not ask about ports in use.

    A socket of ours has each free port for a few µs. In that time bind() to this very port fails with EADDRINUSE, and
    connect() chooses another port. One descriptor is open at a time. Raises CannotError if none can be opened.
    """
    asked, held = np.zeros((2, 65536), bool)
    for port in np.flatnonzero(ports).tolist():
        try:
            number = _errno_of_bind(port)
        except OSError as error:
            raise _cannot(error) from None
        asked[port] = number in (0, errno.EADDRINUSE)
        held[port] = number == errno.EADDRINUSE
    return asked, held


def _errno_of_bind(port: int) -> int:
    """The errno of bind() for the port on all IPv6 and IPv4 addresses, of IPv4 alone if there is no IPv6; 0: none."""
    try:
        sock, anywhere = socket.socket(socket.AF_INET6, socket.SOCK_STREAM), "::"
    except OSError:  # EAFNOSUPPORT: the kernel was started with ipv6.disable=1
        sock, anywhere = socket.socket(socket.AF_INET, socket.SOCK_STREAM), "0.0.0.0"  # noqa: S104  (it never listens)
    with sock:
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # net.ipv6.bindv6only may be 1
        try:
            sock.bind((anywhere, port))
        except OSError as error:
            return error.errno or 0
    return 0


def blocked_ports(
    ports: Iterable[int], avoid: Iterable[int] = (), *, by_sysctl: bool = False
) -> tuple[set[int], set[int]]:
    """Test each port → (the ports that were tested, those of them that are blocked).

    avoid:     ports that our listener must not use. The port it does use is blocked while it listens, and is not tested
    by_sysctl: narrow net.ipv4.ip_local_port_range of this namespace instead, which every kernel can do. Only where
               nothing else in the namespace can connect or bind meanwhile. The first time the kernel writes a line to
               its log, because the first and the last port of the range have the same parity

    Raises CannotError if IP_LOCAL_PORT_RANGE, or without it the sysctl, cannot be set, or loopback is not available.
    """
    ports = list(ports)
    try:
        with _listener({*ports, *avoid}) as listener, _restored(PORT_RANGE) if by_sysctl else nullcontext():
            target = listener.getsockname()
            asked = {port for port in ports if port != target[1]}
            return asked, {port for port in asked if not _can_have(port, target, listener, by_sysctl=by_sysctl)}
    except OSError as error:
        raise _cannot(error) from None


@contextmanager
def _restored(sysctl: str) -> Iterator[None]:
    before = read_sysctl(sysctl)
    try:
        yield
    finally:
        write_sysctl(sysctl, before)


def _cannot(error: OSError) -> CannotError:
    return CannotError(
        "--probe", f"{error.strerror} ({errno.errorcode.get(error.errno or 0, error.errno)})", "Omit --probe."
    )


def _listener(avoid: set[int]) -> socket.socket:
    """A listener on a port that no socket has; it is in `avoid` only if no other is free."""
    usable = range(65535, LOWEST_PORT - 1, -1)
    last: OSError | None = None
    for port in chain(filterfalse(avoid.__contains__, usable), filter(avoid.__contains__, usable)):
        if _errno_of_bind(port):
            continue
        try:
            return socket.create_server((HERE, port), backlog=8)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            last = error
    raise last or OSError(errno.EADDRINUSE, "no port is free")


def _can_have(port: int, target: tuple[str, int], listener: socket.socket, *, by_sysctl: bool) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as canary:
        canary.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        canary.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # lets another program bind() to the port
        if by_sysctl:
            write_sysctl(PORT_RANGE, f"{port} {port}")
        else:
            canary.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, pack_port_range(range(port, port + 1)))
        if not connects(canary, target):
            return False
        accepted, _ = listener.accept()
        accepted.close()
        return True
