"""Small test servers: `python -m fourtuple.verbs.check.servers MODE HEX ADDRESS:PORT…`.

hold   accepts connections and sends nothing
greet  sends a greeting, given in hexadecimal, then as hold
echo   sends received data back
http   answers HTTP/1.1 requests, with keep-alive; holds connections that send anything else (RFC 9112, by h11)
close  closes each connection after 100 ms

When the server closes first, it does so 100 ms after the answer, so that the connection can be observed.

They listen until standard input is closed.
"""

import asyncio
import signal
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import h11

from fourtuple.core.backports import StrEnum
from fourtuple.core.errors import UsageError
from fourtuple.core.nearest import choose_from
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.kernel import process
from fourtuple.kernel.begin import begin

BACKLOG = 4096
HEAD_BYTES = 64 * 1024
CLOSE_S = 0.1
BODY = b"ok\n"
METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH")


class Answer(StrEnum):
    """The mode of a server."""

    HOLD = "hold"
    GREET = "greet"
    ECHO = "echo"
    HTTP = "http"
    CLOSE = "close"


def answer_named(name: str) -> Answer:
    """The mode of that name. Raises UsageError if there is none."""
    if name not in [*Answer]:
        raise UsageError(f"--serve {name}", "there is no such mode", choose_from(name, [*Answer]))
    return Answer(name)


READY = "answering"
Handler = Callable[[StreamReader, StreamWriter], Awaitable[None]]


async def hold(reader: StreamReader, _: StreamWriter) -> None:
    while await reader.read(HEAD_BYTES):
        pass


async def echo(reader: StreamReader, writer: StreamWriter) -> None:
    while data := await reader.read(HEAD_BYTES):
        writer.write(data)
        await writer.drain()


def greet(text: bytes) -> Handler:
    async def greeted(reader: StreamReader, writer: StreamWriter) -> None:
        writer.write(text)
        await hold(reader, writer)

    return greeted


async def http(reader: StreamReader, writer: StreamWriter) -> None:
    ahead: bytes | None = b""
    while ahead is not None:
        ahead = await http_once(reader, writer, ahead)
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(hold(reader, writer), CLOSE_S)


async def close(reader: StreamReader, writer: StreamWriter) -> None:
    async def answered() -> None:
        await http_once(reader, writer, keep_alive=False)
        await hold(reader, writer)

    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(answered(), CLOSE_S)


async def http_once(
    reader: StreamReader, writer: StreamWriter, ahead: bytes = b"", *, keep_alive: bool = True
) -> bytes | None:
    """Answer a request.

    ahead: bytes of the request that have been read already

    → bytes of the next request that have been read; None: no further request. A connection that sends anything but
    HTTP is held until the other end closes; a malformed request is answered with 400.
    """
    begun = ahead or await reader.read(HEAD_BYTES)
    exchange = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES)
    exchange.receive_data(begun)
    try:
        request = await _whole_request(exchange, reader, writer)
    except h11.RemoteProtocolError:
        if begun.partition(b" ")[0] in METHODS:
            _answer(writer, b"400 Bad Request", b"", b"close")
            await writer.drain()
        else:
            await hold(reader, writer)
        return None
    if request is None:
        return None
    if request.method not in METHODS:
        await hold(reader, writer)
        return None
    usual = b"keep-alive" if request.http_version == b"1.1" else b"close"
    again = keep_alive and b"close" not in dict(request.headers).get(b"connection", usual).lower()
    body = b"" if request.method == b"HEAD" else BODY
    _answer(writer, b"200 OK", body, b"keep-alive" if again else b"close")
    await writer.drain()
    return exchange.trailing_data[0] if again else None


async def _whole_request(exchange: h11.Connection, reader: StreamReader, writer: StreamWriter) -> h11.Request | None:
    """The next request, once its body has been read; None: the other end has closed. Raises RemoteProtocolError."""
    request: h11.Request | None = None
    while True:
        event = exchange.next_event()
        if event is h11.NEED_DATA:
            exchange.receive_data(await reader.read(HEAD_BYTES))
        elif isinstance(event, h11.Request):
            request = event
            if request.method not in METHODS:
                return request
            if exchange.they_are_waiting_for_100_continue:
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        elif not isinstance(event, h11.Data):
            return request


def _answer(writer: StreamWriter, status: bytes, body: bytes, connection: bytes) -> None:
    """The length is told of the body of a GET, also where there is none to send."""
    writer.write(
        b"HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n%s"
        % (status, len(BODY) if status.startswith(b"200") else 0, connection, body)
    )


def handler(mode: Answer, text: bytes) -> Handler:
    plain = {Answer.HOLD: hold, Answer.ECHO: echo, Answer.HTTP: http, Answer.CLOSE: close}
    return greet(text) if mode is Answer.GREET else plain[mode]


async def serve(answer: Handler, endpoints: list[Endpoint]) -> None:
    async def answered(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError, ValueError, asyncio.IncompleteReadError):
            try:
                await answer(reader, writer)
            finally:
                writer.close()

    for end in endpoints:
        await asyncio.start_server(answered, str(end.address), end.port, backlog=BACKLOG, limit=HEAD_BYTES)
    print(READY, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main(mode: str, text: str, *endpoints: str) -> None:
    begin()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing to clean up, and nobody to read a traceback
    process.raise_soft_files()
    asyncio.run(serve(handler(Answer(mode), bytes.fromhex(text)), [Endpoint.parse(each) for each in endpoints]))


if __name__ == "__main__":
    main(*sys.argv[1:])
