"""httpx with connections that share source ports between destinations.

    from fourtuple.adapters.httpx import HTTPTransport
    client = httpx.Client(transport=HTTPTransport(sources=sources))  # AsyncHTTPTransport for httpx.AsyncClient

Errors are those of httpx; if no port is left, PortsExhausted is in the chain of `__context__`. AsyncHTTPTransport needs
asyncio: with trio, `sources` raises CannotError. Connections to a proxy use the same sources. HTTP/2 is not affected.
"""

import asyncio
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx
from anyio.abc import SocketStream

from fourtuple.adapters.conflicts import only_one
from fourtuple.adapters.within import within
from fourtuple.client.connecting import connect
from fourtuple.client.sources import Sources
from fourtuple.client.streams import connect_async
from fourtuple.core.errors import CannotError

try:
    from httpcore._backends.anyio import AnyIOStream
    from httpcore._backends.auto import AutoBackend
    from httpcore._backends.sync import SyncStream
except ImportError as error:
    raise CannotError("cannot use sources with httpx", f"httpcore {httpcore.__version__} is not supported") from error

HAPPY_EYEBALLS_DELAY_S = 0.25  # as in anyio.connect_tcp


class HTTPTransport(httpx.HTTPTransport):
    """httpx.HTTPTransport with `sources`, the source addresses; None: as the route determines.

    Raises UsageError if `local_address` is given too, CannotError if this version of httpx is not supported.
    `local_address` alone also shares its ports.
    """

    def __init__(self, *args: Any, sources: Sources | None = None, **options: Any) -> None:
        only_one(sources, options.get("local_address"), "local_address")
        super().__init__(*args, **options)
        _set_backend(self, _Backend(sources))


class AsyncHTTPTransport(httpx.AsyncHTTPTransport):
    """httpx.AsyncHTTPTransport with `sources`, as in HTTPTransport."""

    def __init__(self, *args: Any, sources: Sources | None = None, **options: Any) -> None:
        only_one(sources, options.get("local_address"), "local_address")
        super().__init__(*args, **options)
        _set_backend(self, _AsyncBackend(sources))


class _Backend(httpcore.SyncBackend):
    def __init__(self, sources: Sources | None) -> None:
        self.sources = sources

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        sources = self.sources if local_address is None else Sources(local_address)
        try:
            sock = connect((host, port), timeout, sources=sources)
            with _closed_on_error(sock):
                for option in (*(socket_options or ()), (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)):
                    sock.setsockopt(*option)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(error) from error
        except OSError as error:
            raise httpcore.ConnectError(error) from error
        return SyncStream(sock)


class _AsyncBackend(AutoBackend):
    def __init__(self, sources: Sources | None) -> None:
        self.sources = sources

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        sources = self.sources if local_address is None else Sources(local_address)
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if sources is not None:
                raise CannotError(
                    "cannot use sources", "this is not asyncio", "Use asyncio, or omit sources."
                ) from None
            return await super().connect_tcp(host, port, timeout, local_address, socket_options)
        try:
            async with within(timeout):
                sock = await connect_async((host, port), sources=sources, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY_S)
                with _closed_on_error(sock):
                    for option in socket_options or ():
                        sock.setsockopt(*option)
                    return AnyIOStream(await SocketStream.from_socket(sock))
        except (TimeoutError, asyncio.TimeoutError) as error:
            raise httpcore.ConnectTimeout(error) from error
        except OSError as error:
            raise httpcore.ConnectError(error) from error


@contextmanager
def _closed_on_error(sock: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        sock.close()
        raise


def _set_backend(transport: Any, backend: _Backend | _AsyncBackend) -> None:
    """Set the backend that makes the connections; httpx has no option for it."""
    pool: Any = getattr(transport, "_pool", None)
    if not hasattr(pool, "_network_backend"):
        raise CannotError("cannot use sources with httpx", f"httpx {httpx.__version__} is not supported")
    pool._network_backend = backend
