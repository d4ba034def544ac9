"""Small test servers: `python -m fourtuple.verbs.check.servers MODE HEX ADDRESS:PORT…`.

hold   accepts connections and sends nothing
greet  sends a greeting, given in hexadecimal, then as hold
echo   sends received data back
http   answers HTTP/1.1 requests, with keep-alive; holds connections that send anything else
close  closes each connection after 100 ms

When the server closes first, it does so 100 ms after the answer, so that the connection can be observed.

They listen until standard input is closed.
"""

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import StrEnum

from fourtuple.core.errors import UsageError
from fourtuple.core.space.endpoints import Endpoint
from fourtuple.kernel import process

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
        raise UsageError(f"--serve {name}", "there is no such mode", f"Use one of {', '.join(Answer)}.")
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
    while await http_once(reader, writer):
        pass
    with suppress(TimeoutError):
        await asyncio.wait_for(hold(reader, writer), CLOSE_S)


async def close(reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(CLOSE_S):
            await http_once(reader, writer, keep_alive=False)
            await hold(reader, writer)


async def http_once(reader: StreamReader, writer: StreamWriter, *, keep_alive: bool = True) -> bool:
    """Answer a request (RFC 9112) → whether another one may follow."""
    start = await reader.readline()
    if not start:
        return False
    words = start.split()
    if len(words) < 3 or words[0] not in METHODS:
        await hold(reader, writer)
        return False
    method, _, version = words[:3]
    fields: dict[bytes, bytes] = {}
    while (line := await reader.readline()).strip():
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip().lower()
    if fields.get(b"expect") == b"100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if b"chunked" in fields.get(b"transfer-encoding", b""):
        while size := int((await reader.readline()).split(b";")[0], 16):
            await reader.readexactly(size + 2)
        while (await reader.readline()).strip():
            pass
    elif size := int(fields.get(b"content-length", 0)):
        await reader.readexactly(size)
    asked = fields.get(b"connection", b"keep-alive" if version == b"HTTP/1.1" else b"close")
    again = keep_alive and b"close" not in asked
    writer.write(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: %s\r\n\r\n%s"
        % (len(BODY), b"keep-alive" if again else b"close", b"" if method == b"HEAD" else BODY)
    )
    await writer.drain()
    return again


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
    process.raise_soft_files()
    asyncio.run(serve(handler(Answer(mode), bytes.fromhex(text)), [Endpoint.parse(each) for each in endpoints]))


if __name__ == "__main__":
    main(*sys.argv[1:])
