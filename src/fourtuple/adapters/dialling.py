"""What the adapters share: a socket with options that are set before it connects, and one place to come from."""

import socket
from collections.abc import Iterable
from typing import Any

from fourtuple.client.connecting import ClientSocket, in_reach
from fourtuple.client.sources import Sources
from fourtuple.core.errors import UsageError


def dial(
    address: tuple[str, int],
    sources: Sources | None,
    *,
    timeout: float | None,
    options: Iterable[Any] = (),
    bind_to: tuple[str, int] | None = None,
    family: int = 0,
) -> socket.socket:
    """A blocking socket, connected to the first address of (host, port) that answers.

    timeout: in seconds; None: wait for ever
    options: each as setsockopt takes it, set before connect()
    bind_to: bound to it before connect(); port 0: the kernel chooses one that other destinations share

    Raises PortsExhausted, OSError.
    """
    host, port = address
    failed: list[OSError] = []
    for each, type_, proto, _, end in in_reach(
        socket.getaddrinfo(host, port, family, socket.SOCK_STREAM), sources, host
    ):
        try:
            sock = ClientSocket(each, type_, proto, sources=sources)
        except OSError as error:
            failed.append(error)
            continue
        try:
            for option in options:
                sock.setsockopt(*option)
            sock.settimeout(timeout)
            if bind_to:
                sock.bind(bind_to)
            sock.connect(end)
        except OSError as error:
            failed.append(error)
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            failed.clear()  # they hold frames, which hold sockets
            return sock
    try:
        raise failed[-1]  # so do the libraries
    finally:
        failed.clear()


def only_one(sources: Sources | None, own: object, name: str) -> None:
    """Raises UsageError where `sources` is given beside what the library has for it."""
    if sources is not None and own is not None:
        raise UsageError(f"sources beside {name}", "both say where to come from", "Leave one of them out.")
