"""A server of sessions on a real socket: one connection after another, each driven to its end."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from fourtuple.engine.protocols.contract import SessionKind, Turn
from tests.waiting import PATIENCE_S


@contextmanager
def answering(kind: SessionKind) -> Iterator[tuple[tuple[str, int], list[Turn]]]:
    """→ its address, and all turns of its sessions so far."""
    turns: list[Turn] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, kind, turns))
        thread.start()
        try:
            yield listener.getsockname(), turns
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            thread.join(PATIENCE_S)


def _accept(listener: socket.socket, kind: SessionKind, turns: list[Turn]) -> None:
    for number in range(1000):
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection, suppress(ConnectionError):
            connection.settimeout(PATIENCE_S)
            _drive(connection, kind, number, turns)


def _drive(connection: socket.socket, kind: SessionKind, number: int, turns: list[Turn]) -> None:
    session = kind.make(number, "")
    turn, data = session.begin(), b"begun"
    while True:
        turns.append(turn)
        connection.sendall(turn.send)
        if turn.failed or turn.last or not data:
            return
        if session.idle:
            session = kind.resume(number)  # nothing may be lost with the old one
        data = _next(connection)
        turn = session.received(data)


def _next(connection: socket.socket) -> bytes:
    """What is received next; a reset is the end of the data, too."""
    try:
        return connection.recv(65536)
    except ConnectionResetError:
        return b""
