"""HTTP/1.1 as a server for tests: every request is answered with 200 and a small body, whatever it asks for."""

import math
from collections.abc import Sequence
from http import HTTPStatus

import h11
import numpy as np
from numpy.typing import NDArray

from fourtuple.engine.protocols.contract import NOTHING, Answers, Failure, FailureKind, Replied, Session, Turn
from fourtuple.engine.protocols.http import malformed
from fourtuple.engine.protocols.http_forms import Form
from fourtuple.engine.protocols.turns import joined

BODY = b"ok\n"
FORMS = 16  # of requests that are known at a time: numbers in paths and bodies have several lengths
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
        return Turn(ready=True)

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


class HttpReplies:
    """Answers to many clients at once, whose requests are like one that a session has answered."""

    at_once = True

    def __init__(self, server: "HttpServer") -> None:
        self._server = server
        self._known: list[tuple[Form, NDArray[np.uint8]]] = []  # forms of requests, and the answer to each

    def greeted(self, data: NDArray[np.uint8], sizes: NDArray[np.int32]) -> Replied:
        return self.replied(data, sizes)

    def replied(self, data: NDArray[np.uint8], sizes: NDArray[np.int32]) -> Replied:
        which = np.full(len(data), -1)
        answers: list[NDArray[np.uint8]] = []
        for form, answer in self._known:
            which[form.matches(data, sizes)] = len(answers)
            answers.append(answer)
        for _ in range(FORMS):
            if not (which < 0).any():
                break
            row = int(np.argmin(which))
            learned = self._learn(data[row, : sizes[row]].tobytes())
            if learned is None:
                break
            which[learned[0].matches(data, sizes)] = len(answers)
            answers.append(learned[1])
        return which >= 0, *_rows(which, answers)

    def _learn(self, request: bytes) -> tuple[Form, NDArray[np.uint8]] | None:
        """The form of this request, and its answer; None: it is not one whole request after which another may come."""
        session = self._server.resume(0)
        turn = session.received(request)
        form = Form.of(request) if session.idle and turn.answers == 1 else None
        if form is None:
            return None
        learned = form, np.frombuffer(turn.send, np.uint8)
        self._known = [learned, *self._known][:FORMS]
        return learned


class HttpServer:
    """Answers to requests on all connections.

    body: of each answer
    """

    keepalive_s = math.inf
    answers, says_source = Answers.NONE, False
    many = None

    def __init__(self, body: bytes = BODY) -> None:
        self._body = body
        self.replies = HttpReplies(self)

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


def _rows(which: NDArray[np.intp], answers: Sequence[NDArray[np.uint8]]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The answer to each row, and how many bytes it has."""
    lengths = np.array([*map(len, answers), 0], np.int32)  # -1, the last: none
    rows = np.zeros((len(answers) + 1, max(1, int(lengths.max()))), np.uint8)
    for row, answer in zip(rows, answers, strict=False):
        row[: len(answer)] = answer
    return rows[which], lengths[which]
