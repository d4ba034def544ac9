"""open_connection and connect_async: as asyncio's own, with ports that are shared."""

import asyncio
import gc
import socket
import ssl
import sys
from pathlib import Path
from typing import Any

import pytest

from fourtuple.client.exhausted import PortsExhausted
from fourtuple.client.sources import Sources
from fourtuple.client.streams import connect_async, open_connection
from tests.client.inside import inside
from tests.client.servers import HOST, PORT, by_source, dead_first, full, listening, refusing
from tests.client.tls import NAMELESS, TlsServers, certificate, trusting

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

FAMILIES = (socket.AF_INET, socket.AF_INET6)


def second_of_all() -> str:
    return str(socket.getaddrinfo(None, PORT, type=socket.SOCK_STREAM)[1][4][0])


def test_what_is_written_comes_back() -> None:
    """From the source that is asked for."""

    async def ask() -> tuple[bytes, Any, Any]:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.readline()).upper())
            writer.close()

        async with await asyncio.start_server(answer, HOST, 0) as server:
            port = server.sockets[0].getsockname()[1]
            reader, writer = await open_connection(HOST, port, sources=Sources("127.0.0.7"))
            writer.write(b"hello\n")
            names = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
            said = await reader.read()
            writer.close()
            await writer.wait_closed()
            return said, names[0][0], names[1] == (HOST, port)

    assert asyncio.run(ask()) == (b"HELLO\n", "127.0.0.7", True)


def test_ports_are_exhausted_with_the_same_error() -> None:
    """64 from each of two sources; connect_async and open_connection both say so."""

    def fill() -> tuple[dict[str, int], list[str], int]:
        async def come() -> tuple[dict[str, int], list[str], int]:
            sources, socks, kinds = Sources("127.0.0.1-2"), [], []
            try:
                while True:
                    socks.append(await connect_async((HOST, PORT), sources=sources))
            except PortsExhausted as error:
                kinds.append(type(error).__name__)
                in_use = error.in_use
            try:
                await open_connection(HOST, PORT, sources=sources)
            except PortsExhausted as error:
                kinds.append(type(error).__name__)
            return by_source(socks), kinds, in_use

        with listening(port=PORT):
            return asyncio.run(come())

    assert inside(fill) == ({"127.0.0.1": 64, "127.0.0.2": 64}, ["PortsExhausted"] * 2, 128)


def test_a_dead_first_address_costs_its_delay_only() -> None:
    """As RFC 8305 has it: the second one is tried after happy_eyeballs_delay, and wins."""

    def ask() -> str:
        async def come() -> str:
            with dead_first(second_lives=True):
                address: Any = (None, PORT)
                sock = await asyncio.wait_for(connect_async(address, happy_eyeballs_delay=0.02), 5)
                with sock:
                    return str(sock.getpeername()[0])

        return asyncio.run(come())

    assert inside(lambda: (ask(), second_of_all())) == (inside(second_of_all),) * 2


def test_without_the_delay_the_first_one_is_waited_for() -> None:
    """As asyncio does it; and the socket of a wait that is cancelled is closed."""

    def ask() -> str:
        async def come() -> str:
            with dead_first(second_lives=True):
                try:
                    await asyncio.wait_for(connect_async((None, PORT)), 0.1)  # type: ignore[arg-type]
                except asyncio.TimeoutError:
                    return "waited"
                return "connected"

        return asyncio.run(come())

    assert inside(ask) == "waited"


def test_a_cancelled_connection_leaves_no_socket() -> None:
    """ResourceWarning would be an error here."""

    async def ask(port: int) -> None:
        await asyncio.wait_for(open_connection(HOST, port, sources=Sources(HOST)), 0.05)

    with full() as port, pytest.raises(asyncio.TimeoutError):
        asyncio.run(ask(port))
    gc.collect()


@pytest.mark.parametrize("delay", [None, 0.01])
def test_errors_are_those_of_asyncio(delay: float | None) -> None:
    """One for all, that names them."""

    async def said(open_: Any) -> Any:
        try:
            await open_(None, PORT, happy_eyeballs_delay=delay)
        except OSError as error:
            return type(error).__name__, sorted(str(error).split(", "))

    async def come() -> list[Any]:
        return [await said(open_connection), await said(asyncio.open_connection)]

    ours, theirs = inside(lambda: asyncio.run(come()))

    assert ours == theirs


@pytest.mark.parametrize("delay", [None, 0.01])
def test_exhausted_ports_are_not_hidden_by_the_error_of_another_address(delay: float | None) -> None:
    """127.0.0.1 has no port left, ::1 refuses: the first can be mended, and is what is raised."""

    def fill() -> tuple[int, str]:
        async def come() -> tuple[int, str]:
            socks = []
            try:
                while True:
                    socks.append(await connect_async((HOST, PORT)))
            except PortsExhausted:
                pass
            try:
                await connect_async((None, PORT), happy_eyeballs_delay=delay)  # type: ignore[arg-type]
            except OSError as error:
                return len(socks), type(error).__name__
            return len(socks), ""

        with listening(HOST, PORT):
            return asyncio.run(come())

    assert inside(fill) == (64, "PortsExhausted")


@pytest.mark.parametrize("delay", [None, 0.01])
def test_a_failed_connection_leaves_nothing_behind(delay: float | None) -> None:
    """The error that is raised holds no others, whose frames would hold their sockets."""

    async def come() -> list[bool]:
        found = []
        for all_errors in (False, True):
            try:
                await connect_async(
                    (None, PORT),  # type: ignore[arg-type]
                    happy_eyeballs_delay=delay,
                    all_errors=all_errors,
                )
            except (OSError, ExceptionGroup) as error:
                found.append(error.__context__ is None)
        return found

    assert inside(lambda: asyncio.run(come())) == [True, True]


def test_all_errors_are_raised_as_a_group() -> None:
    async def come() -> list[str]:
        try:
            await open_connection(None, PORT, all_errors=True)  # type: ignore[arg-type]
        except ExceptionGroup as group:
            return [type(error).__name__ for error in group.exceptions]
        return []

    assert inside(lambda: asyncio.run(come())) == ["ConnectionRefusedError"] * 2


def test_family_chooses_among_the_addresses() -> None:
    async def come() -> list[str]:
        found = []
        for family in FAMILIES:
            with await connect_async((None, PORT), family=family) as sock:  # type: ignore[arg-type]
                found.append(sock.getpeername()[0])
        return found

    def ask() -> list[str]:
        with listening(HOST, PORT), listening("::1", PORT):
            return asyncio.run(come())

    assert inside(ask) == ["127.0.0.1", "::1"]


def test_the_name_in_the_certificate_is_that_of_the_host(tmp_path: Path) -> None:
    """Unless server_hostname says another one; and an error closes the socket."""
    file = certificate(tmp_path)
    asked: list[tuple[str, dict[str, Any]]] = [
        ("localhost", {}),
        (NAMELESS, {}),
        (NAMELESS, {"server_hostname": "localhost"}),
        ("localhost", {"server_hostname": "example.org"}),
    ]

    async def come() -> list[str]:
        found = []
        for host, options in asked:
            try:
                _, writer = await open_connection(host, 8443, ssl=trusting(file), **options)
                found.append("good")
                writer.close()
            except ssl.SSLCertVerificationError as error:
                found.append(error.verify_message)
        gc.collect()
        return found

    def ask() -> list[str]:
        servers = TlsServers(file, 8443)
        return asyncio.run(come()) if servers else []

    good, bad, named, wrong = inside(ask)

    assert (good, named) == ("good", "good")
    assert NAMELESS in bad
    assert "example.org" in wrong


@pytest.mark.parametrize("open_", [asyncio.open_connection, open_connection])
def test_local_addr_is_not_left_unheard(open_: Any) -> None:
    """asyncio has it for the source address; here it is that, too, or an error, and not nothing."""

    async def ask(port: int) -> str:
        try:
            _, writer = await open_(HOST, port, local_addr=("127.0.0.7", 0))
        except (TypeError, ValueError):
            return "127.0.0.7"
        writer.close()
        return str(writer.get_extra_info("sockname")[0])

    with listening() as port:
        assert asyncio.run(ask(port)) == "127.0.0.7"


def test_a_refusal_closes_the_socket() -> None:
    with pytest.raises(ConnectionRefusedError):
        asyncio.run(open_connection(HOST, refusing(), sources=Sources(HOST)))
    gc.collect()
