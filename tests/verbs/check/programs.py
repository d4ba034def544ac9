"""Clients with known habits: `python -m tests.verbs.check.programs HABIT [HOLD_S]`, inside of `fourtuple check`.

They open connections to every destination until that fails, say the error, hold what they have, and end.
"""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator

from fourtuple.client.connecting import connect

NO_PORT = 24
DESTINATIONS = [
    (host, int(port))
    for host, _, port in (end.partition(":") for end in os.environ["FOURTUPLE_DESTINATIONS"].split(","))
]
SOURCES = os.environ["FOURTUPLE_SOURCES"].split(",")
held: list[socket.socket] = []
turns: Iterator[int] = iter(range(10**9))


def plain(end: tuple[str, int]) -> socket.socket:
    return socket.create_connection(end)


def source_address(end: tuple[str, int]) -> socket.socket:
    return socket.create_connection(end, source_address=(SOURCES[0], 0))


def reuse_address(end: tuple[str, int]) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("", 0))
    sock.connect(end)
    return sock


def no_port(end: tuple[str, int]) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_IP, NO_PORT, 1)
    sock.bind((SOURCES[0], 0))
    sock.connect(end)
    return sock


def explicit(end: tuple[str, int]) -> socket.socket:
    """From the ports of the range, by number, one after the other for each destination."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        low, high = map(int, file.read().split())
    used = sum(sock.getpeername() == end for sock in held)
    if low + used > high:
        raise OSError(99, "no port is left")
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((SOURCES[0], low + used))
    sock.connect(end)
    return sock


def lockstep(_: tuple[str, int]) -> socket.socket:
    turn = next(turns)
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_IP, NO_PORT, 1)
    sock.bind((SOURCES[turn % len(SOURCES)], 0))
    sock.connect(DESTINATIONS[turn % len(DESTINATIONS)])
    return sock


def churn(end: tuple[str, int]) -> socket.socket:
    """One after the other, each closed before the next."""
    while held:
        held.pop().close()
    return socket.create_connection(end)


def reset(end: tuple[str, int]) -> socket.socket:
    """Closed by a RST at once: nothing is left to look at."""
    sock = source_address(end)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
    sock.close()
    raise OSError(0, "enough")


def bound_answered(end: tuple[str, int]) -> socket.socket:
    """HTTP/1.0, from a socket that is bound first: the server closes first, which leaves no TIME_WAIT here."""
    if next(turns) >= 20:
        raise OSError(0, "enough")
    sock = source_address(end)
    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
    while sock.recv(1000):
        pass
    sock.close()
    return sock


def steady(for_s: float) -> None:
    """Two processes open and reset connections as fast as they can; the first that fails is an error."""
    child = os.fork()
    until_s = time.monotonic() + for_s
    while time.monotonic() < until_s:
        sock = plain(DESTINATIONS[next(turns) % len(DESTINATIONS)])
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        held.append(sock)
        if len(held) > 5:
            held.pop(0).close()
    if not child:
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit(3)


def binds_besides() -> None:
    """Connections of connect(), and after a while listeners, closed at once, on another address of their ports."""
    held.extend(plain(end) for end in DESTINATIONS for _ in range(10))
    time.sleep(1)
    for _ in range(200):
        socket.create_server(("127.0.0.1", 0)).close()


HABITS: dict[str, Callable[[tuple[str, int]], socket.socket]] = {
    "plain": plain,
    "source-address": source_address,
    "reuse-address": reuse_address,
    "no-port": no_port,
    "explicit": explicit,
    "lockstep": lockstep,
    "churn": churn,
    "bound-answered": bound_answered,
    "reset": reset,
    "fourtuple": connect,
}


def main(habit: str, hold_s: float = 0.0) -> None:
    if habit == "leak":  # thirty, and never looks at them again
        held.extend(plain(DESTINATIONS[number % len(DESTINATIONS)]) for number in range(30))
    elif habit == "leaves":  # a child that goes on after its parent has ended
        held.extend(plain(DESTINATIONS[0]) for _ in range(5))
        if os.fork():
            os._exit(0)
    elif habit == "listens":  # on a port that the kernel chooses, of the range
        held.append(socket.create_server(("", 0)))
        held.extend(plain(end) for end in DESTINATIONS)
    elif habit == "steady":
        steady(2)
    elif habit == "binds-besides":
        binds_besides()
    elif habit == "nothing":
        print("nothing to do", file=sys.stderr)
    for end in DESTINATIONS if habit in HABITS else []:
        with contextlib.suppress(KeyboardInterrupt):
            try:
                while True:
                    held.append(HABITS[habit](end))
            except OSError as error:
                print(f"{habit}: {error}", file=sys.stderr)
    time.sleep(hold_s)


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:]))
