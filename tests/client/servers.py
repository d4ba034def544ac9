"""Listeners of a test, one that takes what comes and one whose backlog is full; and clients until there is an error."""

import socket
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from fourtuple.client.connecting import connect
from fourtuple.client.sources import Sources
from fourtuple.kernel.sockopts import IP_BIND_ADDRESS_NO_PORT

HOST = "127.0.0.1"
PORT = 8000  # of a listener in a namespace, so that it takes no port of the range


@contextmanager
def listening(host: str = HOST, port: int = 0, backlog: int = 1000) -> Iterator[int]:
    """Its port. Nobody accepts: the kernel has done so already."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, port), family=family, backlog=backlog) as listener:
        yield listener.getsockname()[1]


@contextmanager
def full() -> Iterator[int]:
    """The port of one that answers no more: what is sent to it is dropped, so that connect() waits."""
    with listening(backlog=0) as port, ExitStack() as kept:
        _fill_backlog((HOST, port), kept)
        yield port


@contextmanager
def dead_first(*, second_lives: bool) -> Iterator[None]:
    """In a namespace: of the two addresses of no host (None), the first one answers nothing at PORT."""
    first, second = (str(info[4][0]) for info in socket.getaddrinfo(None, PORT, type=socket.SOCK_STREAM))
    with listening(first, PORT, backlog=0), ExitStack() as kept:
        if second_lives:
            kept.enter_context(listening(second, PORT))
        _fill_backlog((first, PORT), kept)
        yield


def _fill_backlog(address: tuple[str, int], kept: ExitStack) -> None:
    for _ in range(5):
        client = kept.enter_context(socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET))
        client.setblocking(False)
        client.connect_ex(address)


def refusing() -> int:
    """A port without a listener."""
    with listening() as port:
        return port


def hold(
    address: tuple[str, int] = (HOST, PORT), sources: Sources | None = None, most: int = 1000
) -> tuple[list[socket.socket], Any]:
    """So many connections by connect(), or those before its error, and the error."""
    kept: list[socket.socket] = []
    try:
        while len(kept) < most:
            kept.append(connect(address, sources=sources))
    except OSError as error:
        return kept, error
    return kept, None


def hold_plainly(source: str, count: int, address: tuple[str, int] = (HOST, PORT)) -> list[socket.socket]:
    """N connections from the source, by plain sockets, so that no Sources object has counted them."""
    kept = []
    for _ in range(count):
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((source, 0))
        sock.connect(address)
        kept.append(sock)
    return kept


def by_source(socks: Iterable[socket.socket]) -> dict[str, int]:
    return dict(Counter(sock.getsockname()[0] for sock in socks))
