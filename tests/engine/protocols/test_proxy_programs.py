"""Tunnels through squid, and through a small SOCKS5 server, to nginx: with and without TLS inside."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from socket import SocketIO

import pytest

from fourtuple.core.talk.session import HttpOptions, TlsOptions
from fourtuple.engine.protocols.contract import Failure, FailureKind, SessionKind
from fourtuple.engine.protocols.http import HttpClient
from fourtuple.engine.protocols.http_connect import HttpConnect, connect_request
from fourtuple.engine.protocols.proxy import ProxyClient
from fourtuple.engine.protocols.socks import Socks5, SocksRequest
from fourtuple.engine.protocols.tls import TlsClient
from tests.catalogue.servers import NOBODY, folder_of
from tests.conftest import need
from tests.engine.protocols.certificates import HOST, trusted
from tests.engine.protocols.driver import Driver
from tests.engine.protocols.programs import Address, free_address, nginx, squid
from tests.waiting import PATIENCE_S

LOGIN = {"user": "ann", "password": "secret"}
OPEN = "http_access allow all"
ANYBODY = """
auth_param basic program /usr/lib/squid/basic_fake_auth
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with folder_of(NOBODY) as place:
        yield place


def request_kind(folder: Path, *, secure: bool) -> SessionKind:
    inside = HttpClient(HttpOptions(), HOST, "/")
    return TlsClient(TlsOptions(ca=trusted(folder)), HOST, inside, ("http/1.1",)) if secure else inside


def by_http(to: Address, inside: SessionKind, **login: str) -> ProxyClient:
    return ProxyClient(partial(HttpConnect, connect_request(f"{to[0]}:{to[1]}", **login)), inside)


def by_socks(to: Address, inside: SessionKind, **login: str) -> ProxyClient:
    return ProxyClient(partial(Socks5, SocksRequest.of(to[0], to[1], **login)), inside)


def answers(proxy: Address, kind: ProxyClient) -> int:
    """How many of two requests through the tunnel are answered."""
    with Driver(proxy, kind.make(0, "")) as one:
        one.until(lambda turn: turn.ready)
        for _ in range(2):
            one.say(b"")
            one.until(lambda turn: turn.answers)
            if one.session.idle:
                one.session = kind.resume(0)
        return sum(turn.answers for turn in one.turns)


def refusal(proxy: Address, kind: ProxyClient) -> Failure | None:
    with Driver(proxy, kind.make(0, "")) as one:
        return one.until(lambda turn: turn.failed).failed


def refused(reason: str) -> Failure:
    return Failure(FailureKind.PROXY, reason)


@pytest.mark.parametrize("secure", [False, True])
def test_requests_through_squid(tmp_path: Path, folder: Path, secure: bool) -> None:
    with nginx(tmp_path, tls=secure) as to, squid(folder, OPEN) as proxy:
        assert answers(proxy, by_http(to, request_kind(tmp_path, secure=secure))) == 2


def test_a_user_of_squid(tmp_path: Path, folder: Path) -> None:
    need(Path("/usr/lib/squid/basic_fake_auth").exists(), "squid's basic_fake_auth")
    inside = request_kind(tmp_path, secure=False)
    with nginx(tmp_path) as to, squid(folder, ANYBODY) as proxy:
        assert answers(proxy, by_http(to, inside, **LOGIN)) == 2
        assert refusal(proxy, by_http(to, inside)) == refused("status 407 (Proxy Authentication Required)")


def test_what_squid_refuses(tmp_path: Path, folder: Path) -> None:
    inside = request_kind(tmp_path, secure=False)
    with squid(folder, "http_access deny all") as proxy:
        assert refusal(proxy, by_http(("127.0.0.1", 9), inside)) == refused("status 403 (Forbidden)")
    with squid(folder, OPEN) as proxy:
        assert refusal(proxy, by_http(free_address(), inside)) == refused("status 503 (Service Unavailable)")


def test_a_server_that_is_no_proxy(tmp_path: Path) -> None:
    inside = request_kind(tmp_path, secure=False)
    with nginx(tmp_path) as to:
        assert refusal(to, by_http(("127.0.0.1", 9), inside)) in (
            refused("status 400 (Bad Request)"),
            refused("status 405 (Method Not Allowed)"),
        )


@pytest.mark.parametrize("secure", [False, True])
def test_requests_through_socks(tmp_path: Path, secure: bool) -> None:
    """With and without a user; to an address and to a name."""
    inside = request_kind(tmp_path, secure=secure)
    with nginx(tmp_path, tls=secure) as to:
        with socks_server("") as proxy:
            assert answers(proxy, by_socks(to, inside)) == 2
        with socks_server("secret") as proxy:
            assert answers(proxy, by_socks(("localhost", to[1]), inside, **LOGIN)) == 2


def test_what_a_socks_server_refuses(tmp_path: Path) -> None:
    inside = request_kind(tmp_path, secure=False)
    with socks_server("secret") as proxy:
        nobody = refusal(proxy, by_socks(("127.0.0.1", 9), inside))
        wrong = refusal(proxy, by_socks(("127.0.0.1", 9), inside, user="ann", password="other"))  # noqa: S106
        closed = refusal(proxy, by_socks(free_address(), inside, **LOGIN))

    assert nobody == refused("no method of authentication is accepted")
    assert wrong == refused("user and password are refused")
    assert closed == refused("reply 5 (connection refused)")


@contextmanager
def socks_server(password: str) -> Iterator[Address]:
    """A SOCKS5 server, which wants this password of anybody if it is not empty."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, password))
        thread.start()
        try:
            yield listener.getsockname()
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE_S)


def _accept(listener: socket.socket, password: str) -> None:
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client, client.makefile("rb", buffering=0) as stream, suppress(ConnectionError):
            client.settimeout(PATIENCE_S)
            _serve(client, stream, password)


def _serve(client: socket.socket, stream: SocketIO, password: str) -> None:
    """One client, until an end has closed (RFC 1928, RFC 1929)."""

    def read(size: int) -> bytes:
        data = b""
        while len(data) < size and (more := stream.read(size - len(data))):
            data += more
        return data

    methods = read(read(2)[1])
    if password:
        client.sendall(b"\x05\x02" if 2 in methods else b"\x05\xff")
        if 2 not in methods:
            return
        read(read(2)[1])
        right = read(read(1)[0]) == password.encode()
        client.sendall(bytes([1, not right]))
        if not right:
            return
    else:
        client.sendall(b"\x05\x00")
    kind = read(4)[3]
    host = read(read(1)[0]).decode() if kind == 3 else socket.inet_ntoa(read(4))
    try:
        server = socket.create_connection((host, int.from_bytes(read(2), "big")), PATIENCE_S)
    except ConnectionRefusedError:
        client.sendall(b"\x05\x05\x00\x01" + bytes(6))
        return
    with server:
        client.sendall(b"\x05\x00\x00\x01" + bytes(6))
        _carry(client, server)


def _carry(one: socket.socket, other: socket.socket) -> None:
    while True:
        for end in select.select([one, other], [], [], PATIENCE_S)[0]:
            data = end.recv(65536)
            if not data:
                return
            (other if end is one else one).sendall(data)
