"""Python's own sockets with select.epoll, edge-triggered, call for call what client.c and server.c do.

python -m bench.peers.plain serve ADDRESS PORT...
python -m bench.peers.plain open N ADDRESS PORT...
"""

import os
import select
import socket
import sys
from collections.abc import Sequence

from bench.peers.stopwatch import Stopwatch, raise_soft_files

WINDOW = 512  # connects under way
BACKLOG = 65535  # listen(2) clips it to net.core.somaxconn
INCOMING = select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET


def serve(address: str, ports: Sequence[int]) -> None:
    """Until it is killed."""
    epoll = select.epoll()
    listeners, held = {}, {}
    for port in ports:
        listener = socket.create_server((address, port), backlog=BACKLOG)
        listener.setblocking(False)
        epoll.register(listener, INCOMING)
        listeners[listener.fileno()] = listener
    print("listening", file=sys.stderr, flush=True)
    while True:
        for number, _ in epoll.poll():
            if number in listeners:
                for sock in accepted(listeners[number]):
                    epoll.register(sock, INCOMING)
                    held[sock.fileno()] = sock
            else:
                held.pop(number).close()  # clients of this measure send nothing: it has ended


def accepted(listener: socket.socket) -> list[socket.socket]:
    """All that wait."""
    found: list[socket.socket] = []
    while True:
        try:
            sock, _ = listener.accept()
        except BlockingIOError:
            return found
        sock.setblocking(False)
        found.append(sock)


def open_all(wanted: int, address: str, ports: Sequence[int]) -> None:
    epoll = select.epoll()
    opening: dict[int, socket.socket] = {}
    held: list[socket.socket] = []
    watch = Stopwatch()
    while len(held) < wanted:
        for number in range(len(held) + len(opening), min(wanted, len(held) + WINDOW)):
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            sock.connect_ex((address, ports[number % len(ports)]))
            epoll.register(sock, INCOMING | select.EPOLLOUT)
            opening[sock.fileno()] = sock
        for number, _ in epoll.poll():
            sock = opening.pop(number)
            if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                sys.exit(f"connect: {os.strerror(error)}")
            held.append(sock)
    watch.print_figures(len(held))


if __name__ == "__main__":
    raise_soft_files()
    match sys.argv[1:]:
        case ["serve", where, *numbers]:
            serve(where, [int(number) for number in numbers])
        case ["open", count, where, *numbers]:
            open_all(int(count), where, [int(number) for number in numbers])
        case _:
            sys.exit(__doc__)
