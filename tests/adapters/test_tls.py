"""Adapters and TLS: two servers, and one source port for both of them."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from fourtuple.adapters.httpx import AsyncHTTPTransport, HTTPTransport
from fourtuple.adapters.urllib3 import PoolManager
from fourtuple.client.sources import Sources
from fourtuple.client.streams import open_connection
from tests.client.inside import inside
from tests.client.tls import HOST, TlsServers, certificate, trusting

ONE_PORT = range(40000, 40001)
URLS = [f"https://localhost:{port}/" for port in (8443, 8444)]

Asker = Callable[[ssl.SSLContext, Sources], list[str]]


def with_urllib3(context: ssl.SSLContext, sources: Sources) -> list[str]:
    with PoolManager(sources=sources, ssl_context=context) as manager:
        return [manager.request("GET", url).data.decode() for url in URLS]


def with_httpx(context: ssl.SSLContext, sources: Sources) -> list[str]:
    import httpx

    with httpx.Client(transport=HTTPTransport(sources=sources, verify=context)) as client:
        return [client.get(url).text for url in URLS]


def with_httpx_async(context: ssl.SSLContext, sources: Sources) -> list[str]:
    import httpx

    async def ask() -> list[str]:
        transport = AsyncHTTPTransport(sources=sources, verify=context)
        async with httpx.AsyncClient(transport=transport) as client:
            return [(await client.get(url)).text for url in URLS]

    return asyncio.run(ask())


def with_open_connection(context: ssl.SSLContext, sources: Sources) -> list[str]:
    """Without server_hostname: it is the host."""

    async def ask() -> list[str]:
        streams = [await open_connection("localhost", port, sources=sources, ssl=context) for port in (8443, 8444)]
        for _, writer in streams:
            writer.write(b"shared\n")
        return [(await reader.readline()).decode().strip() for reader, _ in streams]

    return asyncio.run(ask())


@pytest.mark.parametrize("ask", [with_urllib3, with_httpx, with_httpx_async, with_open_connection])
def test_two_servers_are_asked_from_one_port(tmp_path: Path, ask: Asker) -> None:
    """The certificate is looked at, with its name, and the port is shared as without TLS."""
    file = certificate(tmp_path)

    def asked() -> tuple[list[str], list[tuple[str, int]]]:
        servers = TlsServers(file, 8443, 8444)
        return ask(trusting(file), Sources(HOST)), servers.peers

    answers, peers = inside(asked, ports=ONE_PORT)

    assert answers == ["shared", "shared"]
    assert peers == [(HOST, 40000)] * 2
