"""Programs that do what an example is about: `python -m tests.examples.actors NAME WHAT …`, in a lab.

Each goes on in the background under NAME, once it has done its part; it ends with the lab.

    server ADDRESS:PORT              accepts, and closes after the client
    client N ADDRESS:PORT [FROM]     connects N times, and keeps
    shares N ADDRESS:PORT FROM       the same, with IP_BIND_ADDRESS_NO_PORT
    short N ADDRESS:PORT [FROM]      connects N times, and closes first; again for those that are over
    bound N                          binds N ports of the range
    full PATH                        listens on a Unix socket, and accepts nothing
"""

import os
import resource
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from fourtuple.kernel.sockopts import IP_BIND_ADDRESS_NO_PORT, IP_LOCAL_PORT_RANGE, pack_port_range

AGAIN_S = 2  # TIME_WAIT lasts for 60 s, which may be over before a busy machine looks
kept: list[socket.socket] = []


def end(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def server(at: str) -> None:
    listener = socket.create_server(end(at), backlog=4096)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)

    def serve() -> None:
        while True:
            for key, _ in selector.select():
                if key.fileobj is listener:
                    accepted, _ = listener.accept()
                    selector.register(accepted, selectors.EVENT_READ, accepted)
                else:  # the client has closed
                    selector.unregister(key.data)
                    key.data.close()

    threading.Thread(target=serve, daemon=True).start()


def client(count: str, to: str, source: str = "") -> None:
    for _ in range(int(count)):
        kept.append(socket.create_connection(end(to), source_address=(source, 0) if source else None))


def shares(count: str, to: str, source: str) -> None:
    for _ in range(int(count)):
        kept.append(socket.socket())
        kept[-1].setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        kept[-1].bind((source, 0))
        kept[-1].connect(end(to))


def short(count: str, to: str, source: str = "") -> None:
    """From one port of the range after the other, as connect() would choose them, but without a search."""
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())

    def once() -> None:
        for port in range(low, min(high, low + int(count) - 1) + 1):
            with socket.socket() as sock:
                sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, pack_port_range(range(port, port + 1)))
                if source:
                    sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                    sock.bind((source, 0))
                with suppress(OSError):  # another socket has the port, or the connection before is in TIME_WAIT
                    sock.connect(end(to))

    def again() -> None:
        while True:
            time.sleep(AGAIN_S)
            once()

    once()
    once()  # for the few that failed
    threading.Thread(target=again, daemon=True).start()


def bound(count: str) -> None:
    for _ in range(int(count)):
        kept.append(socket.socket())
        kept[-1].bind(("", 0))


def full(path: str) -> None:
    kept.append(socket.socket(socket.AF_UNIX))
    kept[-1].bind(path)
    kept[-1].listen(128)


PARTS: dict[str, Callable[..., None]] = {
    "server": server, "client": client, "shares": shares, "short": short, "bound": bound, "full": full,
}  # fmt: skip


def main(name: str, part: str, *arguments: str) -> None:
    """Do the part in a child, and end when that is done."""
    Path("/proc/self/comm").write_text(name)
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    ready, done = os.pipe()
    if os.fork():
        os.close(done)
        sys.exit(0 if os.read(ready, 1) else f"{part} failed")
    PARTS[part](*arguments)
    os.write(done, b"!")
    for descriptor in (0, 1, 2, done):
        os.close(descriptor)
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
