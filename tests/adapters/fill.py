"""Connections through a library to three servers of its own, until an error at each.

how: alone: the library, with its own option for a source address; own: the adapter, with that option
     with:  the adapter, with one source; two: with two
"""

import asyncio
import inspect
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from fourtuple.client.exhausted import PortsExhausted
from fourtuple.client.sources import Sources
from fourtuple.client.streams import connect_async
from tests.waiting import PATIENCE_S, wait_until

HOST = "127.0.0.1"
PORTS = (8001, 8002, 8003)
MANY = 1000  # more than the ports allow
OWN = "127.0.0.7"  # for the option of the library
SOURCES = {"with": (HOST,), "two": (HOST, "127.0.0.2")}

Opener = Callable[[int], Any]  # a port → what keeps the connection; or a coroutine that gives it
Options = dict[str, Any]


def with_urllib3(how: str, given: Options) -> Opener:
    import urllib3

    import fourtuple.adapters.urllib3 as ours

    own: Options = {"source_address": (OWN, 0)} if how in ("alone", "own") else {}
    kind: Any = urllib3.PoolManager if how == "alone" else ours.PoolManager
    manager = kind(retries=False, maxsize=MANY, **own, **given)
    return lambda port: manager.request("GET", url(port), preload_content=False)


def with_requests(how: str, given: Options) -> Opener:
    """Its own option takes a class of one's own."""
    import requests
    import requests.adapters

    import fourtuple.adapters.requests as ours

    class Bound(requests.adapters.HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, source_address=(OWN, 0), **options)

    class OursBound(ours.HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:
            super().init_poolmanager(*args, source_address=(OWN, 0), **options)

    kind: Any = {"alone": Bound, "own": OursBound}.get(how, ours.HTTPAdapter)
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", kind(pool_maxsize=MANY, **given))
    return lambda port: session.get(url(port), stream=True)


def with_httpx(how: str, given: Options) -> Opener:
    import httpx

    import fourtuple.adapters.httpx as ours

    own: Options = {"local_address": OWN} if how in ("alone", "own") else {}
    kind: Any = httpx.HTTPTransport if how == "alone" else ours.HTTPTransport
    limits = httpx.Limits(max_connections=MANY)
    client = httpx.Client(transport=kind(limits=limits, verify=False, **own, **given), trust_env=False)
    return lambda port: client.send(client.build_request("GET", url(port)), stream=True)


def with_httpx_async(how: str, given: Options) -> Opener:
    import httpx

    import fourtuple.adapters.httpx as ours

    own: Options = {"local_address": OWN} if how in ("alone", "own") else {}
    kind: Any = httpx.AsyncHTTPTransport if how == "alone" else ours.AsyncHTTPTransport
    transport = kind(limits=httpx.Limits(max_connections=MANY), verify=False, **own, **given)
    client = httpx.AsyncClient(transport=transport, trust_env=False)
    return lambda port: client.send(client.build_request("GET", url(port)), stream=True)


def with_aiohttp(how: str, given: Options) -> Opener:
    import aiohttp

    import fourtuple.adapters.aiohttp as ours

    own: Options = {"local_addr": (OWN, 0)} if how in ("alone", "own") else {}
    kind: Any = aiohttp.TCPConnector if how == "alone" else ours.TCPConnector
    session = aiohttp.ClientSession(connector=kind(limit=0, **own, **given))
    return lambda port: session.get(url(port))


def with_asyncio(how: str, given: Options) -> Opener:
    """No adapter: what is in the README."""

    async def opened(port: int) -> Any:
        loop = asyncio.get_running_loop()
        if how == "alone":
            return await loop.create_connection(asyncio.Protocol, HOST, port, local_addr=(OWN, 0))
        return await loop.create_connection(asyncio.Protocol, sock=await connect_async((HOST, port), **given))

    return opened


def with_redis(_: str, given: Options) -> Opener:
    """It has no option for a source address."""
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    import fourtuple.adapters.redis as ours

    options: Options = {"connection_class": ours.Connection, "protocol": 2, "retry": Retry(NoBackoff(), 0), **given}
    return lambda port: redis.ConnectionPool(host=HOST, port=port, **options).get_connection()


def with_redis_asyncio(_: str, given: Options) -> Opener:
    """Nor has it."""
    import redis.asyncio
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    import fourtuple.adapters.redis_asyncio as ours

    options: Options = {"connection_class": ours.Connection, "protocol": 2, "retry": Retry(NoBackoff(), 0), **given}
    return lambda port: redis.asyncio.ConnectionPool(host=HOST, port=port, **options).get_connection()  # type: ignore[no-untyped-call]


LIBRARIES: dict[str, Callable[[str, Options], Opener]] = {
    "urllib3": with_urllib3,
    "requests": with_requests,
    "httpx": with_httpx,
    "httpx_async": with_httpx_async,
    "aiohttp": with_aiohttp,
    "asyncio": with_asyncio,
    "redis": with_redis,
    "redis_asyncio": with_redis_asyncio,
}


def url(port: int) -> str:
    return f"http://{HOST}:{port}/"


class Servers:
    """They answer HTTP with the head of a response whose body never comes, and RESP; and keep every connection."""

    def __init__(self) -> None:
        self.accepted: list[tuple[int, str, int]] = []  # port of the server, address and port of the client
        self._ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        assert self._ready.wait(PATIENCE_S)

    async def wait(self, count: int) -> None:
        """Until so many have come, which the kernel has accepted before."""
        assert await asyncio.to_thread(wait_until, lambda: len(self.accepted) >= count)

    async def _serve(self) -> None:
        for port in PORTS:
            await asyncio.start_server(self._answer, HOST, port, backlog=MANY)
        self._ready.set()
        await asyncio.Event().wait()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted.append((writer.get_extra_info("sockname")[1], *writer.get_extra_info("peername")))
        while line := await reader.readline():
            if line.startswith(b"GET "):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            elif line.startswith(b"*"):
                words = []
                for _ in range(int(line[1:])):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:-2])
                writer.write(b"+PONG\r\n" if words[0] == b"PING" else b"+OK\r\n")


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and all those that it comes from."""
    if error is None:
        return
    yield error
    for inner in getattr(error, "exceptions", ()):
        yield from chain(inner)
    yield from chain(error.__cause__ or error.__context__)


async def fill(library: str, how: str) -> dict[str, Any]:
    servers = Servers()
    given = {"sources": Sources(*SOURCES[how])} if how in SOURCES else {}
    opener = LIBRARIES[library](how, given)
    kept, errors = [], []
    for port in PORTS:
        try:
            for _ in range(MANY):
                opened = opener(port)
                kept.append(await opened if inspect.isawaitable(opened) else opened)
        except Exception as error:
            errors.append(list(chain(error)))
    await servers.wait(len(kept))
    there = Counter(port for port, _, _ in servers.accepted)
    return {
        "opened": len(kept),
        "accepted": [there[port] for port in PORTS],
        "sources": sorted({host for _, host, _ in servers.accepted}),
        "source_ports": len({port for _, _, port in servers.accepted}),
        "errors": [f"{type(each[0]).__module__.split('.')[0]}.{type(each[0]).__name__}" for each in errors],
        "errnos": [sorted({e.errno for e in each if isinstance(e, OSError) and e.errno}) for each in errors],
        "exhausted": [any(isinstance(e, PortsExhausted) for e in each) for each in errors],
    }
