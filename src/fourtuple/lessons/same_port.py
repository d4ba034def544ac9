"""With SO_REUSEADDR before bind(), one local port carries two connections at once; without it, bind() fails."""

import errno
import socket
import time
from collections.abc import Callable

from fourtuple.core.sockets.table import four_tuples
from fourtuple.lessons.stage import HERE, Demonstration, Stage

CLAIM = "one local port carries two connections at once"

HOLD_S = 3


def show(stage: Stage) -> Demonstration:
    servers = [stage.listener(8000), stage.listener(8001)]
    first, second = (stage.endpoint_of(server) for server in servers)
    port = stage.port(3000)

    def bound(reuse: bool = True) -> socket.socket:
        sock = stage.client()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        sock.bind((HERE, port))
        return sock

    one, two = bound(), bound()
    one.connect((HERE, first.port))
    two.connect((HERE, second.port))
    accepted = [server.accept()[0] for server in servers]
    ends = stage.ends(str(first), str(second))

    without = _errno_of(lambda: bound(reuse=False))
    again = bound()
    same = _errno_of(lambda: again.connect((HERE, first.port)))

    time.sleep(HOLD_S)
    for connection in accepted:
        connection.close()
    closed = [client.recv(1) == b"" for client in (one, two)]
    return Demonstration(
        did=f"connect {HERE}:{port} to {first} and to {second}, hold both for {HOLD_S} s; bind the same port without"
        f" SO_REUSEADDR; connect it to {first} again",
        predicted={
            "connections at the client": 2,
            "local ports of the client": 1,
            "connections at the server": 2,
            "bind() without SO_REUSEADDR": "EADDRINUSE",
            "connect() with the same 4-tuple": "EADDRNOTAVAIL",
            "both closed by the server": True,
        },
        observed={
            "connections at the client": len(ends.client),
            "local ports of the client": len({*ends.client["local_port"].tolist()}),
            "connections at the server": ends.mirrored,
            "bind() without SO_REUSEADDR": without,
            "connect() with the same 4-tuple": same,
            "both closed by the server": all(closed),
        },
        evidence={
            "as listed at the client": sorted(map(str, four_tuples(ends.client))),
            "as listed at the server": sorted(map(str, four_tuples(ends.server))),
        },
    )


def _errno_of(call: Callable[[], object]) -> str:
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "none"
