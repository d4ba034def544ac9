"""connect() in a namespace with 64 source ports: how many, from where, and what it does as socket.create_connection."""

import asyncio
import errno
import gc
import socket
import ssl
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fourtuple.client.connecting import ClientSocket, connect, socket_factory
from fourtuple.client.exhausted import PortsExhausted
from fourtuple.client.sources import Sources
from fourtuple.client.streams import connect_async
from fourtuple.core.errors import UsageError
from tests.client.inside import inside
from tests.client.servers import HOST, PORT, by_source, dead_first, full, hold, listening, refusing
from tests.client.tls import TlsServers, certificate, trusting

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

THREE = (8001, 8002, 8003)


def client(sources: Sources | None = None, family: int = socket.AF_INET) -> ClientSocket:
    return ClientSocket(family, socket.SOCK_STREAM, sources=sources)


@pytest.mark.parametrize("sources", [None, (HOST,), ("127.0.0.2",)])
def test_64_ports_serve_three_destinations(sources: tuple[str, ...] | None) -> None:
    """192 connections, 64 towards each, from 64 ports; with a source address as without."""

    def fill() -> tuple[list[int], int, list[str]]:
        held = []
        with listening(port=8001), listening(port=8002), listening(port=8003):
            given = Sources(*sources) if sources else None
            found = [hold((HOST, port), given) for port in THREE]
            held = [sock.getsockname()[1] for socks, _ in found for sock in socks]
            return [len(socks) for socks, _ in found], len(set(held)), [type(error).__name__ for _, error in found]

    assert inside(fill) == ([64, 64, 64], 64, ["PortsExhausted"] * 3)


def test_ipv6_has_64_ports_too() -> None:
    def fill() -> tuple[int, Any]:
        with listening("::1", PORT):
            socks, error = hold(("::1", PORT), Sources("::1"))
            return len(socks), error

    count, error = inside(fill)

    assert count == 64
    assert (error.source, error.destination, error.in_use) == ("::1", "[::1]:8000", 64)


def test_a_name_s_addresses_are_tried_one_after_the_other() -> None:
    """An empty host means loopback of IPv6 and IPv4; there is a listener at only one of them."""

    def ask() -> list[str]:
        found = []
        for host in ("127.0.0.1", "::1"):
            with listening(host, PORT), connect((None, PORT)) as sock:  # type: ignore[arg-type]
                found.append(sock.getpeername()[0])
        with listening(HOST, PORT), connect(("localhost", PORT), sources=Sources(HOST)) as sock:
            found.append(sock.getpeername()[0])
        return found

    assert inside(ask) == ["127.0.0.1", "::1", "127.0.0.1"]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs all_errors of socket.create_connection (Python 3.11)")
def test_the_last_error_is_raised_or_all_of_them() -> None:
    """As socket.create_connection does it: the first address answers nothing, the second one refuses."""

    def ask(create: Callable[..., Any]) -> list[Any]:
        found: list[Any] = []
        for options in ({}, {"all_errors": True}):
            try:
                with dead_first(second_lives=False):
                    create((None, PORT), 0.05, **options)
            except ExceptionGroup as group:
                found.append([(type(each).__name__, str(each)) for each in group.exceptions])
            except OSError as error:
                found.append((type(error).__name__, str(error)))
        return found

    ours, theirs = inside(lambda: (ask(connect), ask(socket.create_connection)))

    assert ours == theirs
    assert [ours[0][0], *(kind for kind, _ in ours[1])] == [
        "ConnectionRefusedError",
        "TimeoutError",
        "ConnectionRefusedError",
    ]


def test_only_addresses_of_the_sources_versions_are_tried() -> None:
    """With only an IPv4 source, IPv6 adds no error to the relevant one."""

    def ask() -> list[Any]:
        try:
            connect((None, PORT), sources=Sources(HOST), all_errors=True)  # type: ignore[arg-type]
        except ExceptionGroup as group:
            return [type(each).__name__ for each in group.exceptions]
        return []

    assert inside(ask) == ["ConnectionRefusedError"]


def test_sources_of_another_ip_version_are_an_error() -> None:
    with pytest.raises(OSError, match=r"IPv6.*::1") as caught:
        connect(("::1", PORT), sources=Sources(HOST))

    assert caught.value.errno == errno.EAFNOSUPPORT


@pytest.mark.parametrize("given", ["127.0.0.1:8000", b"127.0.0.1", 8000, None, (HOST,), (HOST, 8000, 0, 0)])
def test_what_is_no_pair_of_host_and_port_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="host, port"):
        connect(given)
    with pytest.raises(TypeError, match="host, port"):
        asyncio.run(connect_async(given))


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_there_is_not_is_refused(port: int) -> None:
    with pytest.raises(UsageError):
        connect((HOST, port))


@pytest.mark.parametrize("given", ["10.0.0.4", ["10.0.0.4"], ("10.0.0.4", 0), 4])
def test_what_is_no_sources_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="Sources"):
        connect((HOST, refusing()), sources=given)
    with pytest.raises(TypeError, match="Sources"):
        socket_factory(sources=given)


def test_a_socket_that_is_refused_is_not_left_open() -> None:
    """ResourceWarning would be an error here."""
    with pytest.raises(TypeError, match="Sources"):
        ClientSocket(sources="10.0.0.4")  # type: ignore[arg-type]
    gc.collect()


def test_a_timeout_ends_the_wait() -> None:
    """The socket keeps it, as that of socket.create_connection does."""
    with full() as port, pytest.raises(TimeoutError):
        connect((HOST, port), 0.05)
    with listening() as port, connect((HOST, port), 3) as sock:
        assert sock.gettimeout() == 3


def test_without_a_timeout_the_default_of_sockets_counts_and_none_is_for_ever() -> None:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(0.05)
    try:
        with full() as port, pytest.raises(TimeoutError):
            connect((HOST, port))
        with listening() as port, connect((HOST, port)) as usual, connect((HOST, port), None) as patient:
            assert (usual.gettimeout(), patient.gettimeout()) == (0.05, None)
    finally:
        socket.setdefaulttimeout(before)


def test_eight_threads_open_exactly_what_there_is() -> None:
    """Through one Sources: 3 × 64 connections in all, and each thread ends with its PortsExhausted."""

    def fill() -> tuple[dict[str, int], list[str]]:
        sources, found = Sources("127.0.0.1-3"), []
        with listening(port=PORT):
            threads = [threading.Thread(target=lambda: found.append(hold(sources=sources))) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return by_source(s for socks, _ in found for s in socks), [type(error).__name__ for _, error in found]

    held, errors = inside(fill)

    assert held == {f"127.0.0.{number}": 64 for number in (1, 2, 3)}
    assert errors == ["PortsExhausted"] * 8


def test_an_address_that_the_program_has_bound_itself_is_counted() -> None:
    """As libraries do with a socket of the factory and their own option for the source: 64, then PortsExhausted."""

    def fill() -> tuple[int, Any]:
        kept, make = [], socket_factory()
        with listening(port=PORT):
            try:
                while True:
                    kept.append(make((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("", 0))))
                    kept[-1].bind(("127.0.0.7", 0))
                    kept[-1].connect((HOST, PORT))
            except OSError as error:
                return len(kept) - 1, error

    count, error = inside(fill)

    assert count == 64
    assert isinstance(error, PortsExhausted)
    assert (error.source, error.in_use) == ("127.0.0.7", 64)


class TestSocket:
    """ClientSocket is a socket like any other."""

    def test_connect_ex_gives_what_connect_raises(self) -> None:
        def ask() -> list[int]:
            with listening(port=PORT):
                found = [client().connect_ex((HOST, PORT)), client().connect_ex((HOST, PORT + 1))]
                kept, _ = hold()
                found.append(client().connect_ex((HOST, PORT)))
                return found if kept else []

        assert inside(ask) == [0, errno.ECONNREFUSED, errno.EADDRNOTAVAIL]

    def test_connect_ex_tells_timeout_and_progress(self) -> None:
        with full() as port, client() as waiting, client() as patient:
            waiting.settimeout(0)
            patient.settimeout(0.05)

            assert waiting.connect_ex((HOST, port)) == errno.EINPROGRESS
            assert patient.connect_ex((HOST, port)) == errno.EAGAIN

    @pytest.mark.parametrize("kind", [socket.socket, ClientSocket])
    def test_connect_ex_raises_what_is_no_errno(self, kind: type[socket.socket]) -> None:
        """An unknown name is an error, for socket.connect_ex too (library/socket)."""

        def ask() -> str:
            with kind(socket.AF_INET, socket.SOCK_STREAM) as sock:
                try:
                    return f"gave {sock.connect_ex(('nowhere.invalid', 80))}"
                except socket.gaierror:
                    return "raised"

        assert inside(ask) == "raised"

    @pytest.mark.parametrize("kind", [socket.socket, ClientSocket])
    def test_connect_ex_tells_the_kernel_s_timeout_from_one_of_its_own(self, kind: type[socket.socket]) -> None:
        """ETIMEDOUT, which Python makes a TimeoutError, too: here after the first SYN that is sent again."""
        with full() as port, kind(socket.AF_INET, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 100)

            assert sock.connect_ex((HOST, port)) == errno.ETIMEDOUT

    @pytest.mark.parametrize("sources", [None, Sources(HOST)])
    def test_connect_may_be_called_again(self, sources: Sources | None) -> None:
        """A non-blocking socket may be asked whether it is connected by that, once or again (connect(2))."""
        with listening() as port, client(sources) as sock:
            sock.setblocking(False)
            found = [sock.connect_ex((HOST, port)) for _ in range(3)]

        assert found == [errno.EINPROGRESS, 0, errno.EISCONN]

    @pytest.mark.parametrize("sources", [None, Sources(HOST)])
    def test_after_a_refusal_it_may_connect_elsewhere(self, sources: Sources | None) -> None:
        """As any socket of Linux may (connect(2))."""
        with listening() as port, client(sources) as sock:
            assert sock.connect_ex((HOST, refusing())) == errno.ECONNREFUSED
            sock.connect((HOST, port))

            assert sock.getpeername() == (HOST, port)

    def test_a_copy_is_connected_too(self) -> None:
        with listening() as port, client(Sources(HOST)) as sock:
            sock.connect((HOST, port))
            with sock.dup() as other:
                assert isinstance(other, ClientSocket)
                assert other.getpeername() == (HOST, port)
                assert other.getsockname() == sock.getsockname()

    def test_a_block_closes_it(self) -> None:
        with listening() as port, connect((HOST, port)) as sock:
            assert sock.fileno() > 0

        assert sock.fileno() == -1

    def test_a_file_can_be_made_of_it(self) -> None:
        with (
            socket.create_server((HOST, 0)) as server,
            connect(server.getsockname()) as sock,
            server.accept()[0] as other,
            other.makefile("r") as far,
            sock.makefile("w") as near,
        ):
            near.write("hello\n")
            near.flush()

            assert far.readline() == "hello\n"

    def test_it_can_be_wrapped_for_tls(self, tmp_path: Path) -> None:
        """The certificate is looked at; the one port is shared by both servers."""
        file = certificate(tmp_path)

        def ask() -> tuple[list[bytes], list[Any]]:
            servers = TlsServers(file, 8443, 8444)
            socks: list[ssl.SSLSocket] = []
            for port in (8443, 8444):
                plain = connect((HOST, port), 5, sources=Sources(HOST))
                socks.append(trusting(file).wrap_socket(plain, server_hostname="localhost"))
                socks[-1].sendall(b"hello\n")
            return [sock.recv(10) for sock in socks], servers.peers

        assert inside(ask, ports=range(40000, 40001)) == ([b"hello\n"] * 2, [(HOST, 40000)] * 2)

    def test_other_kinds_of_sockets_are_as_they_are(self) -> None:
        """UDP and Unix: nothing is set, nothing is refused."""
        with (
            ClientSocket(socket.AF_UNIX, socket.SOCK_STREAM) as unix,
            ClientSocket(type=socket.SOCK_DGRAM) as datagrams,
        ):
            datagrams.connect((HOST, 9))

            assert unix.connect_ex("/nowhere") == errno.ENOENT
            assert datagrams.getpeername() == (HOST, 9)

    def test_a_factory_makes_what_getaddrinfo_asks_for(self) -> None:
        make = socket_factory(sources=Sources(HOST, "::1"))
        for family in (socket.AF_INET, socket.AF_INET6):
            with make((family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("", 0))) as sock:
                assert (type(sock), sock.family, sock.type) == (ClientSocket, family, socket.SOCK_STREAM)


def test_an_error_is_an_os_error_that_a_program_knows_already() -> None:
    """`except OSError` and its errno go on working."""
    assert issubclass(PortsExhausted, OSError)
