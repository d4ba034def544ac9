"""HTTP/1.1 as a server for tests: every request is answered with 200 and a small body, whatever it asks for."""

import math
from collections.abc import Sequence
from http import HTTPStatus

import h11

from fourtuple.engine.protocols.contract import NOTHING, Failure, FailureKind, Session, Turn
from fourtuple.engine.protocols.http import malformed
from fourtuple.engine.protocols.turns import joined

BODY = b"ok\n"
CONTINUE = h11.InformationalResponse(status_code=100, headers=[], reason="Continue")
NO_TUNNEL = 405  # for CONNECT, which 200 would grant (RFC 9110, 9.3.6 and 15.5.6)


class HttpAnswers:
    """The server of one connection. It is idle between an answer and the next request."""

    __slots__ = ("_body", "_http", "_method", "_over")

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._http: h11.Connection | None = None  # None: no request has begun
        self._method = b""
        self._over = False

    @property
    def idle(self) -> bool:
        return self._http is None and not self._over

    def begin(self) -> Turn:
        return NOTHING

    def say(self, message: bytes) -> Turn:
        return NOTHING

    def goodbye(self) -> bytes:
        return b""

    def received(self, data: bytes) -> Turn:
        if self._over or (self._http is None and not data):
            return NOTHING
        http = self._http = self._http or h11.Connection(h11.SERVER)
        turns: list[Turn] = []
        try:
            http.receive_data(data)
            while self._read(http, turns):
                pass
        except h11.RemoteProtocolError as error:
            turns.append(self._fail(malformed(error) if data else "ended in the middle of a request"))
            if data and http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                turns.append(Turn(_answer(http, error.error_status_hint, b"", [(b"Connection", b"close")])))
        return joined(turns)

    def _read(self, http: h11.Connection, turns: list[Turn]) -> bool:
        """Take the next part of a request → whether there may be more."""
        event = http.next_event()
        if isinstance(event, h11.Request):
            self._method = event.method
            if http.they_are_waiting_for_100_continue:
                turns.append(Turn(http.send(CONTINUE)))
        elif isinstance(event, h11.EndOfMessage):
            turns.append(Turn(self._answer(http), answers=1))
            if http.our_state is not h11.DONE:  # HTTP/1.0, or Connection: close
                turns.append(self._fail("the client asked to close", by_peer=True))
            else:
                http.start_next_cycle()
                if not http.trailing_data[0]:
                    self._http = None
        return event not in (h11.NEED_DATA, h11.PAUSED) and self._http is not None and not self._over

    def _answer(self, http: h11.Connection) -> bytes:
        status = NO_TUNNEL if self._method == b"CONNECT" else 200
        return _answer(http, status, self._body, head=self._method == b"HEAD")

    def _fail(self, reason: str, *, by_peer: bool = False) -> Turn:
        self._over = True
        return Turn(failed=Failure(FailureKind.HTTP, reason, by_peer))


class HttpServer:
    """Answers to requests on all connections.

    body: of each answer
    """

    keepalive_s = math.inf
    is_answered = False
    many = replies = None

    def __init__(self, body: bytes = BODY) -> None:
        self._body = body

    def make(self, connection: int, source: str) -> HttpAnswers:
        return HttpAnswers(self._body)

    def resume(self, connection: int) -> HttpAnswers:
        return HttpAnswers(self._body)

    def beat(self, session: Session) -> Turn:
        return NOTHING


def _answer(
    http: h11.Connection, status: int, body: bytes, headers: Sequence[tuple[bytes, bytes]] = (), *, head: bool = False
) -> bytes:
    framed = [(b"Content-Type", b"text/plain"), (b"Content-Length", b"%d" % len(body)), *headers]
    response = h11.Response(status_code=status, headers=framed, reason=HTTPStatus(status).phrase)
    parts = [response, *([] if head else [h11.Data(body)]), h11.EndOfMessage()]
    return b"".join(http.send(part) or b"" for part in parts)
