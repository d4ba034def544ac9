"""The small servers of `check`, asked by hand."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from fourtuple.verbs.check.servers import Answer, handler

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]
OK = b"HTTP/1.1 200 OK"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"


def talk(mode: Answer, talked: Talk, text: bytes = b"") -> None:
    async def main() -> None:
        answer, over = handler(mode, text), asyncio.Event()

        async def answered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await answer(reader, writer)
            writer.close()
            await writer.wait_closed()
            over.set()

        server = await asyncio.start_server(answered, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.wait_for(talked(reader, writer), 5)
            writer.close()
            await writer.wait_closed()
            await over.wait()

    asyncio.run(main())


async def answer_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """(head, body)"""
    head = await reader.readuntil(b"\r\n\r\n")
    size = int(head.lower().partition(b"content-length:")[2].split()[0])
    return head, await reader.readexactly(size)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    ],
)
def test_http_answers_again_and_again(request_: bytes) -> None:
    """With keep-alive, whatever the request carries."""

    async def three(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(3):
            writer.write(request_)
            head, body = await answer_of(reader)
            assert head.startswith(OK)
            assert body == b"ok\n"

    talk(Answer.HTTP, three)


@pytest.mark.parametrize(
    "request_", [b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", b"GET / HTTP/1.0\r\n\r\n"]
)
def test_http_closes_when_asked_to(request_: bytes) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(request_)
        await answer_of(reader)
        assert await reader.read() == b""

    talk(Answer.HTTP, once)


def test_http_waits_for_nobody_to_send_what_it_expects() -> None:
    """Expect: 100-continue, as curl sends it."""

    async def post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
        writer.write(b"hi")
        assert (await answer_of(reader))[0].startswith(OK)

    talk(Answer.HTTP, post)


def test_http_answers_requests_that_come_at_once() -> None:
    """One after the other, whole or cut anywhere."""

    async def pipelined(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in (2 * GET + GET[:9], GET[9:], POST[:-2], POST[-2:] + GET):
            writer.write(piece)
            await writer.drain()
        for _ in range(5):
            assert (await answer_of(reader))[1] == b"ok\n"

    talk(Answer.HTTP, pipelined)


def test_the_answer_to_head_has_the_length_and_no_body() -> None:
    async def head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(GET.replace(b"GET", b"HEAD") + GET)
        first = await reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: 3\r\n" in first
        assert (await answer_of(reader))[0] == first

    talk(Answer.HTTP, head)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nmany\r\n",
    ],
    ids=["no host", "no length", "no chunk"],
)
def test_a_broken_request_is_told_so(request_: bytes) -> None:
    """400, and the end: RFC 9112, sections 3.2, 6.3 and 7.1."""

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(request_)
        assert (await answer_of(reader))[0].startswith(b"HTTP/1.1 400")
        assert await reader.read() == b""

    talk(Answer.HTTP, once)


@pytest.mark.parametrize(
    "text", [b"\x00\x01binary\n", b"\x16\x03\x01\x02", b"EHLO x\r\n\r\n", b"BREW / HTTP/1.1\r\nHost: x\r\n\r\n"]
)
@pytest.mark.parametrize("mode", [Answer.HTTP, Answer.HOLD])
def test_what_is_no_http_is_held(mode: Answer, text: bytes) -> None:
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(reader.read(1), 0.2)

    talk(mode, wait)


def test_greet_and_echo() -> None:
    async def greeted(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        assert await reader.readline() == b"220 ready\r\n"

    async def echoed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"

    talk(Answer.GREET, greeted, b"220 ready\r\n")
    talk(Answer.ECHO, echoed)


def test_close_closes_by_itself() -> None:
    """Without a word, and after an answer."""

    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        assert await reader.read() == b""

    async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"Connection: close" in (await answer_of(reader))[0]
        assert await reader.read() == b""

    talk(Answer.CLOSE, silent)
    talk(Answer.CLOSE, asked)
