"""What each adapter keeps of its library: errors, timeouts, socket options, pickling; and what it refuses."""

import asyncio
import copy
import pickle
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import httpcore
import httpx
import pytest
import redis
import redis.asyncio
import requests
import urllib3
from redis.backoff import NoBackoff
from redis.retry import Retry
from urllib3.exceptions import ConnectTimeoutError, LocationParseError, NameResolutionError, NewConnectionError

import fourtuple.adapters.aiohttp as our_aiohttp
import fourtuple.adapters.httpx as our_httpx
import fourtuple.adapters.redis as our_redis
import fourtuple.adapters.redis_asyncio as our_redis_asyncio
import fourtuple.adapters.requests as our_requests
import fourtuple.adapters.urllib3 as our_urllib3
from fourtuple.client.connecting import dial
from fourtuple.client.sources import Sources
from fourtuple.core.errors import CannotError, UsageError
from tests.client.inside import inside
from tests.client.servers import PORT, dead_first, full, listening, refusing
from tests.client.tls import HOST, TlsServers, certificate
from tests.waiting import PATIENCE_S

SOURCES = Sources(HOST)
KEEPALIVE = {socket.TCP_KEEPIDLE: 7, socket.TCP_KEEPINTVL: 3, socket.TCP_KEEPCNT: 2}
NOT_AGAIN: dict[str, Any] = {"protocol": 2, "retry": Retry(NoBackoff(), 0)}
ONE_PORT = range(40000, 40001)


def options_of(sock: Any) -> dict[str, int]:
    names = ("TCP_NODELAY", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")
    found = {name: sock.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names}
    return found | {"SO_KEEPALIVE": sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)}


def new_connection(port: int, **options: Any) -> urllib3.connection.HTTPConnection:
    """Connected, as the pool of the adapter makes it."""
    connection = our_urllib3.PoolManager(sources=SOURCES, **options).connection_from_host(HOST, port)._new_conn()
    connection.connect()
    assert isinstance(connection, urllib3.connection.HTTPConnection)
    return connection


class TestUrllib3:
    def test_a_refusal_is_a_new_connection_error(self) -> None:
        """With what the kernel said as its cause."""
        with pytest.raises(NewConnectionError) as caught:
            new_connection(refusing())

        assert isinstance(caught.value.__cause__, ConnectionRefusedError)

    def test_a_timeout_is_a_connect_timeout_error(self) -> None:
        with full() as port, pytest.raises(ConnectTimeoutError, match=r"connect timeout=0\.05"):
            new_connection(port, timeout=0.05)

    def test_without_a_timeout_the_default_of_sockets_counts(self) -> None:
        with listening() as port:
            before = socket.getdefaulttimeout()
            socket.setdefaulttimeout(7)
            try:
                connection = our_urllib3.HTTPConnection(HOST, port, sources=SOURCES)
                connection.connect()
            finally:
                socket.setdefaulttimeout(before)

            assert connection.sock.gettimeout() == 7
            connection.close()

    def test_an_unknown_name_is_a_name_resolution_error(self) -> None:
        def ask() -> str:
            try:
                our_urllib3.HTTPConnection("nowhere.invalid", 80).connect()
            except NameResolutionError as error:
                return type(error.__cause__).__name__
            return "none"

        assert inside(ask) == "gaierror"

    def test_a_name_that_is_none_is_a_location_parse_error(self) -> None:
        with pytest.raises(LocationParseError, match="label empty or too long"):
            our_urllib3.HTTPConnection("x" * 64, 80).connect()

    def test_an_ipv6_address_may_have_brackets(self) -> None:
        with listening("::1") as port:
            connection = our_urllib3.HTTPConnection("[::1]", port, sources=Sources("::1"))
            connection.connect()

            assert connection.sock.getsockname()[0] == "::1"
            connection.close()

    def test_its_audit_event_is_raised(self) -> None:
        """http.client.connect, with the connection, the host and the port."""

        def ask() -> list[Any]:
            seen: list[Any] = []
            sys.addaudithook(lambda name, given: seen.append(given[1:]) if name == "http.client.connect" else None)
            with listening(port=8080) as port:
                new_connection(port).close()
            return seen

        assert inside(ask) == [(HOST, 8080)]

    def test_socket_options_are_set(self) -> None:
        """Those of urllib3, or those that are given, instead."""
        with listening() as port:
            usual = new_connection(port)
            given = new_connection(port, socket_options=[(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)])

            assert [options_of(usual.sock)[name] for name in ("TCP_NODELAY", "SO_KEEPALIVE")] == [1, 0]
            assert [options_of(given.sock)[name] for name in ("TCP_NODELAY", "SO_KEEPALIVE")] == [0, 1]
            usual.close()
            given.close()


class TestRequests:
    @pytest.mark.parametrize("again", [lambda it: pickle.loads(pickle.dumps(it)), copy.copy, copy.deepcopy])  # noqa: S301
    @pytest.mark.parametrize("sources", [None, Sources(HOST, "127.0.0.2")])
    def test_a_session_can_be_pickled(self, again: Callable[[Any], Any], sources: Sources | None) -> None:
        """As it can with requests' own adapter; the new one comes from the same addresses."""
        session = requests.Session()
        session.mount("http://", our_requests.HTTPAdapter(max_retries=2, pool_maxsize=3, sources=sources))
        other = again(session).get_adapter("http://x")

        assert isinstance(other, our_requests.HTTPAdapter)
        assert (other.max_retries.total, other._pool_maxsize) == (2, 3)  # type: ignore[attr-defined]
        assert isinstance(other.poolmanager, our_urllib3.PoolManager)
        assert str(other.sources) == str(other.poolmanager.sources) == str(sources)

    def test_a_proxy_is_as_requests_has_it(self) -> None:
        manager: Any = our_requests.HTTPAdapter(sources=SOURCES).proxy_manager_for("http://127.0.0.1:3128")

        assert type(manager) is urllib3.ProxyManager


class TestHttpx:
    def test_errors_are_httpx_s_own(self) -> None:
        """httpcore takes the cause from its own (`raise … from None`), and leaves the context."""
        with httpx.Client(transport=our_httpx.HTTPTransport(sources=SOURCES), timeout=0.05) as client:
            with pytest.raises(httpx.ConnectError) as refused:
                client.get(f"http://{HOST}:{refusing()}", timeout=PATIENCE_S)
            with full() as port, pytest.raises(httpx.ConnectTimeout):
                client.get(f"http://{HOST}:{port}")

        cause: Any = refused.value.__cause__
        assert isinstance(cause, httpcore.ConnectError)
        assert isinstance(cause.__context__, ConnectionRefusedError)

    def test_errors_are_httpx_s_own_with_asyncio(self) -> None:
        async def ask(port: int, timeout_s: float) -> None:
            transport = our_httpx.AsyncHTTPTransport(sources=SOURCES)
            async with httpx.AsyncClient(transport=transport, timeout=timeout_s) as client:
                await client.get(f"http://{HOST}:{port}")

        with pytest.raises(httpx.ConnectError) as refused:
            asyncio.run(ask(refusing(), PATIENCE_S))
        with full() as port, pytest.raises(httpx.ConnectTimeout):
            asyncio.run(ask(port, 0.05))

        cause: Any = refused.value.__cause__
        assert isinstance(cause, httpcore.ConnectError)
        assert isinstance(cause.__context__, ConnectionRefusedError)

    def test_socket_options_are_set(self) -> None:
        """And TCP_NODELAY, as httpcore and asyncio do it."""
        given = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]

        async def of_async(port: int) -> dict[str, int]:
            stream = await our_httpx._AsyncBackend(SOURCES).connect_tcp(HOST, port, socket_options=given)
            found = options_of(stream.get_extra_info("socket"))
            await stream.aclose()
            return found

        with listening() as port:
            stream = our_httpx._Backend(SOURCES).connect_tcp(HOST, port, socket_options=given)
            found = [options_of(stream.get_extra_info("socket")), asyncio.run(of_async(port))]
            stream.close()

        assert [(each["TCP_NODELAY"], each["SO_KEEPALIVE"]) for each in found] == [(1, 1)] * 2

    def test_an_option_that_fails_leaves_no_socket(self) -> None:
        """ResourceWarning would be an error here."""
        wrong = [(socket.SOL_SOCKET, 12345, 1)]
        with listening() as port, pytest.raises(httpcore.ConnectError):
            our_httpx._Backend(SOURCES).connect_tcp(HOST, port, socket_options=wrong)
        with listening() as port, pytest.raises(httpcore.ConnectError):
            asyncio.run(our_httpx._AsyncBackend(SOURCES).connect_tcp(HOST, port, socket_options=wrong))

    def test_sources_without_asyncio_are_refused(self) -> None:
        """Under trio, say: the coroutine runs here, and no loop of asyncio does."""
        with pytest.raises(CannotError, match="asyncio"):
            our_httpx._AsyncBackend(SOURCES).connect_tcp(HOST, 80).send(None)

    def test_an_unknown_httpx_is_refused(self) -> None:
        with pytest.raises(CannotError, match="httpx"):
            our_httpx._set_backend(object(), our_httpx._Backend(SOURCES))


class TestAiohttp:
    def test_errors_are_aiohttp_s_own(self) -> None:
        async def ask(port: int, timeout_s: float) -> None:
            connector = our_aiohttp.TCPConnector(sources=SOURCES)
            timeout = aiohttp.ClientTimeout(sock_connect=timeout_s)
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
                await session.get(f"http://{HOST}:{port}")

        with pytest.raises(aiohttp.ClientConnectorError) as refused:
            asyncio.run(ask(refusing(), PATIENCE_S))
        with full() as port, pytest.raises(aiohttp.ConnectionTimeoutError):
            asyncio.run(ask(port, 0.05))

        assert isinstance(refused.value.__cause__, ConnectionRefusedError)

    def test_a_socket_factory_of_one_s_own_is_refused(self) -> None:
        with pytest.raises(TypeError, match="socket_factory"):
            our_aiohttp.TCPConnector(socket_factory=lambda info: socket.socket())


class TestRedis:
    def test_options_and_timeouts_are_set(self) -> None:
        """Keepalive as asked, TCP_NODELAY, and socket_timeout once it is connected."""
        given: dict[str, Any] = {"socket_keepalive": True, "socket_keepalive_options": KEEPALIVE, "socket_timeout": 9}

        async def of_async(port: int) -> dict[str, int]:
            connection = our_redis_asyncio.Connection(host=HOST, port=port, sources=SOURCES, **given)
            await connection._connect()
            found = options_of(connection._writer.get_extra_info("socket"))  # type: ignore[union-attr]
            await connection.disconnect(nowait=True)
            return found

        with listening() as port:
            connection = our_redis.Connection(HOST, port, sources=SOURCES, socket_connect_timeout=4, **given)
            sock = connection._connect()
            found, timeout = [options_of(sock), asyncio.run(of_async(port))], sock.gettimeout()
            sock.close()

        wanted = {"TCP_KEEPIDLE": 7, "TCP_KEEPINTVL": 3, "TCP_KEEPCNT": 2, "SO_KEEPALIVE": 1, "TCP_NODELAY": 1}
        assert found == [wanted, wanted]
        assert timeout == 9

    def test_keepalive_may_be_off(self) -> None:
        with listening() as port:
            sock = our_redis.Connection(HOST, port, sources=SOURCES, socket_keepalive=False)._connect()

            assert options_of(sock)["SO_KEEPALIVE"] == 0
            sock.close()

    def test_errors_are_redis_s_own(self) -> None:
        given: dict[str, Any] = {"host": HOST, "sources": SOURCES, **NOT_AGAIN}

        async def connect(port: int, timeout_s: float) -> None:
            connection: Any = our_redis_asyncio.Connection(port=port, socket_connect_timeout=timeout_s, **given)
            await connection.connect()

        def connect_here(port: int, timeout_s: float) -> None:
            connection: Any = our_redis.Connection(port=port, socket_connect_timeout=timeout_s, **given)
            connection.connect()

        start_s = time.monotonic()
        for each in (connect_here, lambda *how: asyncio.run(connect(*how))):
            with pytest.raises(redis.ConnectionError) as refused:
                each(refusing(), PATIENCE_S)
            with full() as port, pytest.raises(redis.TimeoutError):
                each(port, 0.05)
            assert isinstance(refused.value.__context__, ConnectionRefusedError)
        assert time.monotonic() - start_s < 60  # and not the kernel's two minutes

    def test_two_servers_with_tls_are_reached_from_one_port(self, tmp_path: Path) -> None:
        """SSLConnection shares it as Connection does, here and with asyncio."""
        file = certificate(tmp_path)

        def peers_of(connect: Callable[[dict[str, Any]], Any]) -> Callable[[], list[tuple[str, int]]]:
            def ask() -> list[tuple[str, int]]:
                servers = TlsServers(file, 8443, 8444)
                given = {"host": "localhost", "ssl_ca_certs": str(file), "sources": SOURCES, **NOT_AGAIN}
                assert connect(given)
                return servers.peers

            return ask

        def connected(given: dict[str, Any]) -> Any:
            socks = [our_redis.SSLConnection(port=port, **given)._connect() for port in (8443, 8444)]  # type: ignore[no-untyped-call]
            for sock in socks:
                sock.sendall(b"hello\n")
            return [sock.recv(6) for sock in socks] == [b"hello\n"] * 2

        def connected_async(given: dict[str, Any]) -> Any:
            async def ask() -> bool:
                both = [our_redis_asyncio.SSLConnection(port=port, **given) for port in (8443, 8444)]
                for each in both:
                    await each._connect()
                    each._writer.write(b"hello\n")  # type: ignore[union-attr]
                return [await each._reader.readline() for each in both] == [b"hello\n"] * 2  # type: ignore[union-attr]

            return asyncio.run(ask())

        for each in (connected, connected_async):
            assert inside(peers_of(each), ports=ONE_PORT) == [(HOST, 40000)] * 2


def test_of_several_addresses_the_last_one_s_error_is_raised() -> None:
    """As urllib3 and redis-py do it: the first one answers nothing, the second one refuses."""

    def ask() -> str:
        with dead_first(second_lives=False):
            try:
                dial((None, PORT), None, timeout=0.05)  # type: ignore[arg-type]
            except OSError as error:
                return type(error).__name__
        return "none"

    assert inside(ask) == "ConnectionRefusedError"


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: our_urllib3.PoolManager(sources=SOURCES, source_address=(HOST, 0)), "source_address"),
        (lambda: our_httpx.HTTPTransport(sources=SOURCES, local_address=HOST), "local_address"),
        (lambda: our_httpx.AsyncHTTPTransport(sources=SOURCES, local_address=HOST), "local_address"),
        (lambda: our_aiohttp.TCPConnector(sources=SOURCES, local_addr=(HOST, 0)), "local_addr"),
    ],
)
def test_two_ways_to_say_where_to_come_from_are_refused(make: Callable[[], Any], name: str) -> None:
    with pytest.raises(UsageError, match=name):
        make()


@pytest.mark.parametrize("library", ["aiohttp", "httpx", "redis", "redis_asyncio", "requests", "urllib3"])
def test_an_adapter_imports_its_own_library_alone(library: str) -> None:
    """So one of them is enough to be installed; NumPy is left for when there is something to count."""
    import subprocess

    code = f"import sys, fourtuple.adapters.{library}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    ours = {"aiohttp", "httpx", "redis", "requests", "numpy"} - {library.split("_")[0]}

    assert not ours & set(done.stdout.split())
