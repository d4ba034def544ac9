"""ulimit -n is a limit of the process, not of TCP: when it is reached, socket() and accept() fail with EMFILE."""

import errno
import resource
import socket
from collections.abc import Callable

from fourtuple.core.errors import CannotError
from fourtuple.core.sockets.table import State
from fourtuple.lessons.stage import Demonstration, Stage
from fourtuple.verbs.lab import open_files

CLAIM = "ulimit -n is a separate limit, of the process and not of TCP"

LIMIT, CLIENTS, ACCEPTS = 200, 20, 12


def show(stage: Stage) -> Demonstration:
    """Lower the limit of this process, then reach it. It runs in a process of its own."""
    server = stage.listener(8000)
    address = server.getsockname()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < LIMIT:
        raise CannotError(f"the lesson needs {LIMIT} open files", f"ulimit -n is {hard}")

    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, hard))
    sockets_predicted = LIMIT - open_files()
    sockets, first_stop = _until_it_fails(socket.socket)
    for sock in sockets:
        sock.close()

    for _ in range(CLIENTS):
        stage.client().connect(address)
    room = open_files() + ACCEPTS
    resource.setrlimit(resource.RLIMIT_NOFILE, (room, hard))
    accepted, second_stop = _until_it_fails(lambda: server.accept()[0])
    resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, hard))
    ends = stage.ends(f"{address[0]}:{address[1]}", states=[State.ESTABLISHED])
    return Demonstration(
        did=f"with ulimit -n {LIMIT}, call socket() until it fails; then connect {CLIENTS} clients, with files left for"
        f" {ACCEPTS} accept() calls, and call accept() until it fails",
        predicted={
            "sockets": sockets_predicted,
            "then socket() fails with": "EMFILE",
            "connections accepted": ACCEPTS,
            "then accept() fails with": "EMFILE",
            "clients connected": CLIENTS,
            "of these, not accepted": CLIENTS - ACCEPTS,
        },
        observed={
            "sockets": len(sockets),
            "then socket() fails with": first_stop,
            "connections accepted": len(accepted),
            "then accept() fails with": second_stop,
            "clients connected": len(ends.client),
            "of these, not accepted": len(ends.server) - ends.accepted,
        },
    )


def _until_it_fails(make: Callable[[], socket.socket]) -> tuple[list[socket.socket], str]:
    made: list[socket.socket] = []
    while True:
        try:
            made.append(make())
        except OSError as error:
            return made, errno.errorcode[error.errno or 0]
