"""A connection to a real server, driven by a session: what a dialogue does, on one blocking socket."""

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from fourtuple.engine.protocols.contract import NOTHING, Failure, Session, SessionKind, Turn
from tests.waiting import PATIENCE_S

CHUNK_BYTES = 65_536


class Conversation:
    """One connection. An idle session is thrown away at once, and its kind makes another when something happens.

    total: all turns so far, without what they sent
    """

    def __init__(self, kind: SessionKind, address: tuple[str, int], connection: int = 0) -> None:
        self._kind, self._connection = kind, connection
        self.socket = socket.create_connection(address, PATIENCE_S)
        self._session: Session | None = kind.make(connection, "{}:{}".format(*self.socket.getsockname()[:2]))
        self.total = NOTHING
        self._take(lambda session: session.begin())

    def say(self, message: bytes) -> Turn:
        return self._take(lambda session: session.say(message))

    def beat(self) -> Turn:
        return self._take(self._kind.beat)

    def hear(self) -> Turn:
        """What the session makes of the next data, or of the end."""
        try:
            data = self.socket.recv(CHUNK_BYTES)
        except ConnectionResetError:
            data = b""
        turn = self._take(lambda session: session.received(data))
        return turn if data else replace(turn, last=True)

    def until(self, condition: Callable[[Turn], object]) -> Turn:
        """Hear until the total is so, or the connection has ended → the total."""
        while not condition(self.total) and not self.hear().last:
            pass
        return self.total

    def ready(self) -> "Conversation":
        """Once messages may be sent."""
        assert self.until(lambda total: total.ready or total.failed).ready, self.total
        return self

    def failed(self) -> Failure:
        """Why the session ends, once it does."""
        failure = self.until(lambda total: total.failed).failed
        assert failure, self.total
        return failure

    def close(self) -> None:
        """The end of the connection, from this end."""
        if self._session and (rest := self._session.goodbye()):
            with suppress(BrokenPipeError, ConnectionResetError):
                self.socket.sendall(rest)
        self.socket.close()

    def __enter__(self) -> "Conversation":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, event: Callable[[Session], Turn]) -> Turn:
        session = self._session or self._kind.resume(self._connection)
        turn = event(session)
        self._session = None if session.idle else session
        if turn.send:
            with suppress(BrokenPipeError, ConnectionResetError):  # the peer has closed; what it sent before counts
                self.socket.sendall(turn.send)
        total = self.total
        self.total = Turn(
            b"",
            total.secured or turn.secured,
            total.ready or turn.ready,
            total.answers + turn.answers,
            total.wrong + turn.wrong,
            total.failed or turn.failed,
            total.last or turn.last,
        )
        return turn
