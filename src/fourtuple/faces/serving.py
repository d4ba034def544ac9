"""An HTTP server for metrics and pages: it goes on whatever its clients do, with few descriptors and one thread.

Each connection has some seconds for its request and its answer, and ends with it. At most MOST_CLIENTS are open: one
more ends the oldest, so that idle ones never keep a scrape out. Where no descriptor is left, asyncio tries accept()
again after a second.
"""

import asyncio
import contextlib
import resource
import socket
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import h11

ANSWER_S = 10.0  # as Prometheus waits by default (scrape_timeout); a scrape takes milliseconds
MOST_CLIENTS = 64
BACKLOG = 128  # connections that wait until the first count is there
AT_ONCE = 4  # accepted in a row; until then, connections that were ended keep their descriptors
HEAD_BYTES = 8 * 1024  # of a request; the default of Apache httpd for a single line

Environ = dict[str, Any]  # the request, as WSGI has it (PEP 3333)
Begin = Callable[[str, list[tuple[str, str]]], Any]  # takes the status and the headers of the answer
App = Callable[[Environ, Begin], Iterable[bytes]]
METHODS = ("GET", "HEAD")  # the server leaves the body of an answer to HEAD out
HTML, TEXT = "text/html; charset=utf-8", "text/plain; charset=utf-8"


def read_only(page_of: Callable[[Environ], App | None], refused: Callable[[str, str], App]) -> App:
    """The application of pages that are only read: 405 for another method, and 404 for a path without a page.

    page_of: what answers a request; None: there is no such page
    refused: what answers with this status and this sentence
    """

    def app(environ: Environ, begin: Begin) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in METHODS:
            answer = refused("405 Method Not Allowed", "These pages are read only.")
            return answer(environ, lambda status, headers: begin(status, [*headers, ("Allow", ", ".join(METHODS))]))
        answer = page_of(environ) or refused("404 Not Found", "There is no such page.")
        return answer(environ | {"REQUEST_METHOD": "GET"}, begin)

    return app


def document(text: str, kind: str, status: str = "200 OK", headers: Iterable[tuple[str, str]] = ()) -> App:
    """What answers every request with this text. kind: its media type"""

    def app(_: Environ, begin: Begin) -> Iterable[bytes]:
        begin(status, [("Content-Type", kind), *headers])
        return [text.encode()]

    return app


class WebServer:
    """An HTTP server of a WSGI application. It listens once constructed, and answers after `start`. Raises OSError."""

    def __init__(self, address: str, port: int, app: App, *, answer_s: float = ANSWER_S) -> None:
        """Listen. answer_s: how long a connection may take for its request and its answer"""
        self._app, self._answer_s = app, answer_s
        self._open: dict[WebConnection, None] = {}  # oldest first
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = max(1, min(MOST_CLIENTS, soft // 4))  # the counts need descriptors, too
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._socket = socket.create_server((address, port), family=family, backlog=BACKLOG)
        self._loop = asyncio.new_event_loop()  # here, because it takes descriptors
        self._loop.set_exception_handler(lambda *_: None)  # accept() without a descriptor: asyncio goes on

    def start(self) -> None:
        serve = partial(self._loop.run_until_complete, self._serve())
        threading.Thread(target=serve, name="http", daemon=True).start()

    async def _serve(self) -> None:
        server = await self._loop.create_server(
            lambda: WebConnection(self._app, self._open, self._most, self._answer_s), sock=self._socket, backlog=AT_ONCE
        )
        self._socket.listen(BACKLOG)  # asyncio also accepts as many in a row as its backlog says
        await server.serve_forever()


class WebConnection(asyncio.Protocol):
    """One connection: a request, its answer, and the end."""

    def __init__(self, app: App, others: "dict[WebConnection, None]", most: int, answer_s: float) -> None:
        self._app, self._open, self._most, self._answer_s = app, others, most, answer_s
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101  (for the type checker)
        self._transport = transport
        self._end = asyncio.get_running_loop().call_later(self._answer_s, transport.abort)
        while len(self._open) >= self._most:
            oldest = next(iter(self._open))
            del self._open[oldest]
            oldest._transport.abort()
        self._open[self] = None

    def connection_lost(self, reason: Exception | None) -> None:
        self._end.cancel()
        self._open.pop(self, None)

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():  # answered: what else comes is ignored
            return
        try:
            self._http.receive_data(data)
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                return
            if isinstance(event, h11.Request):
                self._answer(event)
        except h11.ProtocolError:
            with contextlib.suppress(h11.ProtocolError):  # not even a beginning of an answer is possible
                self._send("400 Bad Request", [], b"this is not HTTP\n")
        self._transport.close()

    def _answer(self, request: h11.Request) -> None:
        path, _, query = request.target.partition(b"?")
        head: list[Any] = []
        environ = {
            "REQUEST_METHOD": request.method.decode(),
            "PATH_INFO": path.decode("latin-1"),
            "QUERY_STRING": query.decode("latin-1"),
        }
        environ |= {
            f"HTTP_{name.decode().upper().replace('-', '_')}": value.decode("latin-1")
            for name, value in request.headers
        }
        body = b"".join(self._app(environ, lambda status, headers: head.extend((status, headers))))
        self._send(head[0], head[1], body, is_head=request.method == b"HEAD")

    def _send(self, status: str, headers: list[tuple[str, str]], body: bytes, *, is_head: bool = False) -> None:
        code, _, reason = status.partition(" ")
        fields = [*headers, ("Content-Length", str(len(body))), ("Connection", "close")]
        for event in (
            h11.Response(status_code=int(code), reason=reason, headers=fields),
            h11.Data(b"" if is_head else body),
            h11.EndOfMessage(),
        ):
            self._transport.write(self._http.send(event) or b"")
