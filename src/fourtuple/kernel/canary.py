"""Which source ports connect() cannot use, tested port by port with short connections to a listener of our own.

IP_LOCAL_PORT_RANGE (Linux 6.3) narrows the choice to one port. If connect() then fails with EADDRNOTAVAIL, another
socket got that port by bind() or listen(), because the 4-tuple to our new listener is free. All connections stay on
127.0.0.1, whatever address the question is about: a blocked port is blocked for every address
(net/ipv4/inet_hashtables.c, __inet_hash_connect, v6.18).
"""

import errno
import socket
from collections.abc import Iterable

from fourtuple.core.errors import CannotError
from fourtuple.kernel.sockopts import IP_LOCAL_PORT_RANGE, LINGER_RESET, pack_port_range

HERE = "127.0.0.1"


def blocked_ports(ports: Iterable[int], avoid: Iterable[int] = ()) -> tuple[set[int], set[int]]:
    """Test each port → (the ports that were tested, those of them that are blocked).

    avoid: ports that our listener must not use. The port it does use is blocked while it listens, and is not tested

    Raises CannotError if IP_LOCAL_PORT_RANGE or loopback is not available.
    """
    ports = list(ports)
    try:
        with _listener({*ports, *avoid}) as listener:
            target = listener.getsockname()
            asked = {port for port in ports if port != target[1]}
            return asked, {port for port in asked if not _can_have(port, target, listener)}
    except OSError as error:
        raise CannotError(
            "--probe", f"{error.strerror} ({errno.errorcode.get(error.errno or 0, error.errno)})", "Omit --probe."
        ) from None


def _listener(avoid: set[int]) -> socket.socket:
    """A listener on a free port that is not in `avoid`; if `avoid` has every port, on a port the kernel chooses."""
    last: OSError | None = None
    for port in [port for port in range(65535, 1023, -1) if port not in avoid] or [0]:
        try:
            return socket.create_server((HERE, port), backlog=8)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            last = error
    raise last or OSError(errno.EADDRINUSE, "no port is free")


def _can_have(port: int, target: tuple[str, int], listener: socket.socket) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as canary:
        canary.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        canary.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # lets another program bind() to the port
        canary.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, pack_port_range(range(port, port + 1)))
        try:
            canary.connect(target)
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return False
            raise
        accepted, _ = listener.accept()
        accepted.close()
        return True
