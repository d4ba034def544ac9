"""HTTP/1.1 with keep-alive (RFC 9112) as a client: a request, its answer, and then the next request.

h11 reads and writes it. Its connection exists from a request until the answer is complete; in between, nothing has to
be remembered. http_answers.py judges many answers at once where they are alike; the server is in http_server.py.
"""

import functools
import math
import re
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

import h11

from fourtuple.core.errors import UsageError
from fourtuple.core.talk.session import HttpOptions
from fourtuple.core.visible import visible
from fourtuple.engine.protocols.contract import NOTHING, Answers, Failure, FailureKind, Session, Turn
from fourtuple.engine.protocols.foreign import WORD_BYTES, foreign
from fourtuple.engine.protocols.turns import joined

if TYPE_CHECKING:
    from fourtuple.engine.protocols.http_answers import ManyHttp

HTTP = b"HTTP/"
EXPECTED = (range(200, 400),)
WITH_BODY = ("POST", "PUT", "PATCH")  # Content-Length is sent with these even if there is no body (RFC 9110, 8.6)
REQUESTS_KEPT = 16
UNASKED = "an answer without a request"
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)[ \r]")
# What h11's errors contain, and what is wrong then.
_BROKEN = (
    ("Receive buffer", "headers that are too long"),
    ("status line", "a malformed status line"),
    ("request line", "a malformed request line"),
    ("header line", "a malformed header"),
    ("continuation line", "a malformed header"),
    ("Content-Length", "a malformed Content-Length"),
    ("Transfer-Encoding", "an unknown Transfer-Encoding"),
    ("chunk", "a malformed chunk"),
    ("Host:", "not one Host header"),
    ("SWITCH", "a switch to another protocol"),
)


class HttpSession:
    """The client of one connection. It is idle between an answer and the next request."""

    __slots__ = ("_begun", "_http", "_kept", "_kind", "_over", "_queue", "_status")

    def __init__(self, kind: "HttpClient") -> None:
        self._kind = kind
        self._http: h11.Connection | None = None  # None: no answer is awaited
        self._queue: deque[bytes] = deque()  # what is to be said after that answer
        self._status = 0
        self._kept = False  # an answer of HTTP/1.0 says that the connection stays open
        self._begun = False  # something of the answer has been received
        self._over = False

    @property
    def idle(self) -> bool:
        return self._http is None and not self._over

    def begin(self) -> Turn:
        return Turn(ready=True)

    def say(self, message: bytes) -> Turn:
        if self._over:
            return NOTHING
        if self._http is not None:
            self._queue.append(message)
            return NOTHING
        http = h11.Connection(h11.CLIENT)
        try:
            send = self._kind.request(http, message)
        except h11.LocalProtocolError:
            return self._fail("the request is not valid HTTP")
        self._http, self._begun = http, False
        return Turn(send)

    def received(self, data: bytes) -> Turn:
        if self._over:
            return NOTHING
        if self._http is None:
            return self._fail(_unasked(data)) if data else NOTHING
        self._begun |= bool(data)
        try:
            self._http.receive_data(data)
            return self._read(self._http)
        except h11.RemoteProtocolError as error:
            return self._fail(malformed(error) if data else self._unfinished())

    def goodbye(self) -> bytes:
        return b""

    def _read(self, http: h11.Connection) -> Turn:
        while True:
            if http.their_state is h11.SEND_RESPONSE:
                first = http.trailing_data[0][:WORD_BYTES]
                if first and not HTTP.startswith(first[: len(HTTP)]):
                    return self._fail(foreign("HTTP", first))
            event = http.next_event()
            if event is h11.NEED_DATA:
                return NOTHING
            if event is h11.PAUSED:  # what follows CONNECT, or an upgrade that was asked for
                return self._fail("a switch to another protocol")
            if isinstance(event, h11.Response):
                self._status, self._kept = event.status_code, self._kind.keeps(event)
            elif isinstance(event, h11.EndOfMessage):
                return self._answered(http)

    def _answered(self, http: h11.Connection) -> Turn:
        """The answer is complete; anything after it is one that nobody asked for."""
        right = self._kind.expects(self._status)
        rest, ended = http.trailing_data
        closes = ended or (http.our_state is h11.MUST_CLOSE and not self._kept)
        because = "" if right else f"{FailureKind.HTTP}: status {self._status}"
        answered = Turn(answers=int(right), wrong=int(not right), last=closes, because=because)
        self._http, self._over = None, closes
        if rest:
            return joined([answered, self._fail(_unasked(rest))])
        if self._queue and not closes:
            return joined([answered, self.say(self._queue.popleft())])
        return answered

    def _unfinished(self) -> str:
        return "ended in the middle of an answer" if self._begun else "ended without an answer"

    def _fail(self, reason: str) -> Turn:
        self._over = True
        return Turn(failed=Failure(FailureKind.HTTP, reason))


class HttpClient:
    """Requests on connections to one server."""

    keepalive_s = math.inf
    answers, says_source = Answers.EACH, False

    def __init__(self, options: HttpOptions, host: str, path: str = "") -> None:
        """Raises UsageError for what HTTP does not allow.

        host: the Host header if the options have none: HOST, or HOST:PORT if the port is not that of the scheme
        path: with its query, as the request has it; empty: each message begins with its own, and a space ends it
        """
        self._options, self._path = options, path
        given = {name.lower() for name, _ in options.headers}
        if "content-length" in given:
            raise UsageError("the header Content-Length", "it follows from the body", "Leave it out.")
        if options.method == "CONNECT":
            raise UsageError("the method CONNECT", "it asks for a tunnel", "Name the proxy by --proxy.")
        self._chunked = "transfer-encoding" in given
        added = [
            (name, value) for name, value in (("Host", host), ("User-Agent", "fourtuple")) if name.lower() not in given
        ]
        self._headers = [(_encoded(name), _encoded(value)) for name, value in (*added, *options.headers)]
        self._request = functools.lru_cache(REQUESTS_KEPT)(self._made)
        try:
            h11.Connection(h11.CLIENT).send(self._request(_encoded(path) or b"/", 0))
        except h11.LocalProtocolError as error:
            raise UsageError("an HTTP request", visible(str(error))) from None

    @functools.cached_property
    def many(self) -> "ManyHttp | None":
        """The requests of many connections at once; None: each has a path of its own."""
        from fourtuple.engine.protocols.http_answers import ManyHttp

        return ManyHttp(self) if self._path else None

    def make(self, connection: int, source: str) -> HttpSession:
        return HttpSession(self)

    def resume(self, connection: int) -> HttpSession:
        return HttpSession(self)

    def beat(self, session: Session) -> Turn:
        return NOTHING

    def request(self, http: h11.Connection, message: bytes) -> bytes:
        """The request for a message, through h11. Raises h11.LocalProtocolError for what is no path."""
        path, body = _encoded(self._path), message
        if not path:
            path, _, body = message.partition(b" ")
        head = http.send(self._request(path, len(body))) or b""
        return head + (http.send(h11.Data(body)) or b"" if body else b"") + (http.send(h11.EndOfMessage()) or b"")

    def expects(self, status: int) -> bool:
        return any(status in expected for expected in self._options.status or EXPECTED)

    def keeps(self, answer: h11.Response) -> bool:
        """Whether an answer of HTTP/1.0 keeps the connection open by `Connection: keep-alive` (RFC 9112, 9.3).

        h11 takes each connection of HTTP/1.0 for one that is closed.
        """
        if answer.http_version >= b"1.1":
            return False
        said = _connection_options(answer.headers)
        return b"keep-alive" in said and b"close" not in said | _connection_options(self._headers)

    def _made(self, path: bytes, body_bytes: int) -> h11.Request:
        method = self._options.method or ("POST" if body_bytes else "GET")
        headers = list(self._headers)
        if not self._chunked and (body_bytes or method in WITH_BODY):
            headers.append((b"Content-Length", b"%d" % body_bytes))
        return h11.Request(method=method, target=path, headers=headers)


def _unasked(data: bytes) -> str:
    """What arrives when nothing was asked: servers end idle connections by status 408, or greet in their protocol."""
    if not data.startswith(HTTP):
        return foreign("HTTP", data)
    status = _STATUS.match(data)
    return f"status {status[1].decode()} without a request" if status else UNASKED


def malformed(error: h11.RemoteProtocolError) -> str:
    """What is wrong with a message that is no HTTP, in words that are the same for each like it."""
    return next((words for part, words in _BROKEN if part in str(error)), "malformed HTTP")


def _connection_options(headers: Iterable[tuple[bytes, bytes]]) -> set[bytes]:
    """The options of the Connection headers, in lower case."""
    values = [value for name, value in headers if name.lower() == b"connection"]
    return {option.strip().lower() for value in values for option in value.split(b",")}


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogateescape")
