"""A session on a real socket, driven for one connection: send what it says, hand it what is received."""

import socket
from collections.abc import Callable
from types import TracebackType

from fourtuple.engine.protocols.contract import Session, Turn
from tests.waiting import PATIENCE_S


class Driver:
    """One connection. `turns` has all turns of its session so far, from begin() on."""

    def __init__(self, address: tuple[str, int], session: Session) -> None:
        self.socket = socket.create_connection(address, timeout=PATIENCE_S)
        self.session = session
        self.turns: list[Turn] = []
        self.ended = False  # the peer has closed
        self.take(session.begin())

    def __enter__(self) -> "Driver":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.socket.close()

    def take(self, turn: Turn) -> Turn:
        self.turns.append(turn)
        if turn.send:
            self.socket.sendall(turn.send)
        return turn

    def say(self, message: bytes) -> Turn:
        return self.take(self.session.say(message))

    def until(self, reached: Callable[[Turn], object]) -> Turn:
        """Receive until a turn is like this → that turn; another failure, or the end, ends the test."""
        while True:
            turn = self.receive()
            if reached(turn):
                return turn
            assert turn.failed is None, turn
            assert not self.ended, self.turns[-3:]

    def receive(self) -> Turn:
        """Hand the session what is received next; a reset is the end of the data, too."""
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.ended = not data
        return self.take(self.session.received(data))
