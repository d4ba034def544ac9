"""ulimit -n is another limit, of a process and not of TCP: where it ends, socket() and accept() say EMFILE."""

import errno
import resource
import socket
from collections.abc import Callable

from fourtuple.core.errors import CannotError
from fourtuple.core.sockets.table import State
from fourtuple.lessons.stage import Outcome, Stage
from fourtuple.verbs.lab import open_files

CLAIM = "ulimit -n is a separate limit"

LIMIT, CLIENTS, ACCEPTS = 200, 20, 12


def show(stage: Stage) -> Outcome:
    """Runs in a process of its own, whose limit it lowers."""
    server = stage.listener(8000)
    address = server.getsockname()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < LIMIT:
        raise CannotError(f"a limit of {LIMIT} open files", f"ulimit -n is {hard}")

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
    return Outcome(
        did=f"ulimit -n {LIMIT}: socket() until it fails; {CLIENTS} clients, and files for {ACCEPTS} accept() only",
        predicted={
            "sockets": sockets_predicted,
            "then": "EMFILE",
            "accepted": ACCEPTS,
            "then accept()": "EMFILE",
            "clients that are connected": CLIENTS,
            "of them not accepted": CLIENTS - ACCEPTS,
        },
        observed={
            "sockets": len(sockets),
            "then": first_stop,
            "accepted": len(accepted),
            "then accept()": second_stop,
            "clients that are connected": len(ends.client),
            "of them not accepted": len(ends.server) - ends.accepted,
        },
    )


def _until_it_fails(make: Callable[[], socket.socket]) -> tuple[list[socket.socket], str]:
    made: list[socket.socket] = []
    while True:
        try:
            made.append(make())
        except OSError as error:
            return made, errno.errorcode[error.errno or 0]
