"""connect() for asyncio: `connect_async` gives a connected socket, `open_connection` streams."""

import asyncio
import socket
import sys
from collections.abc import Sequence
from typing import Any

from fourtuple.client.connecting import checked, host_and_port, in_reach, socket_factory
from fourtuple.client.exhausted import PortsExhausted
from fourtuple.client.sources import Sources

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

STREAM_LIMIT = 2**16  # bytes, as asyncio.open_connection has it


async def open_connection(
    host: str,
    port: int,
    *,
    sources: Sources | None = None,
    limit: int = STREAM_LIMIT,
    ssl: Any = None,
    server_hostname: str | None = None,
    family: int = 0,
    happy_eyeballs_delay: float | None = None,
    interleave: int | None = None,
    all_errors: bool = False,
    **options: Any,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Streams to (host, port), as from asyncio.open_connection.

    sources: source addresses; None: as the route determines
    options: ssl_handshake_timeout and others, as asyncio's loop.create_connection takes them

    Raises PortsExhausted, OSError.
    """
    if options.get("local_addr") is not None:
        raise TypeError("local_addr is not supported: use sources=Sources(…)")
    sock = await connect_async(
        (host, port),
        sources=sources,
        family=family,
        happy_eyeballs_delay=happy_eyeballs_delay,
        interleave=interleave,
        all_errors=all_errors,
    )
    try:
        if ssl and server_hostname is None:
            server_hostname = host
        return await asyncio.open_connection(
            sock=sock, limit=limit, ssl=ssl, server_hostname=server_hostname, **options
        )
    except BaseException:
        sock.close()
        raise


async def connect_async(
    address: tuple[str, int],
    *,
    sources: Sources | None = None,
    family: int = 0,
    happy_eyeballs_delay: float | None = None,
    interleave: int | None = None,
    all_errors: bool = False,
) -> socket.socket:
    """A non-blocking socket connected to (host, port), for `loop.create_connection(factory, sock=…)`.

    sources: source addresses; None: as the route determines
    family, happy_eyeballs_delay, interleave, all_errors: as asyncio's loop.create_connection takes them

    Raises PortsExhausted, OSError; ExceptionGroup with all_errors; TypeError and UsageError for what is no address.
    """
    host, port = host_and_port(address)
    if checked(sources) is not None and not sources.looked:  # type: ignore[union-attr]
        await asyncio.to_thread(sources.look)  # type: ignore[union-attr]
    infos = in_reach(await _resolved(host, port, family), sources, host)
    from aiohappyeyeballs import start_connection

    attempts = _Attempts(sources)
    try:
        return await start_connection(
            infos,
            happy_eyeballs_delay=happy_eyeballs_delay,
            interleave=interleave,
            loop=attempts,  # type: ignore[arg-type]
            socket_factory=attempts.make_socket,
        )
    except OSError as error:
        errors = attempts.take_errors() or [error]
    try:
        raise _of_all(errors, all_errors=all_errors)
    finally:
        errors.clear()  # they refer to frames, which refer to sockets


class _Attempts:
    """The running loop and a factory of its sockets; it keeps the error of each attempt, in the order of the attempts.

    start_connection raises one error for all attempts. Its text and errno differ from asyncio's, and it would hide
    PortsExhausted, so the original errors are needed.
    """

    def __init__(self, sources: Sources | None) -> None:
        self._loop, self._make = asyncio.get_running_loop(), socket_factory(sources=sources)
        self._failed: dict[int, Exception] = {}
        self._count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def take_errors(self) -> list[Exception]:
        """The errors so far; they are not kept here any longer."""
        failed, self._failed = self._failed, {}
        return [failed[number] for number in sorted(failed)]

    def make_socket(self, info: Any) -> socket.socket:
        """A socket for one attempt. Raises OSError."""
        self._count += 1
        try:
            return self._make(info)
        except OSError as error:
            self._failed[self._count] = error
            raise

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """As the loop's own method. Raises OSError."""
        number = self._count
        try:
            await self._loop.sock_connect(sock, address)
        except OSError as error:
            self._failed[number] = error
            raise


async def _resolved(host: str, port: int, family: int) -> Sequence[Any]:
    """The addresses of the host; a numeric address is resolved without a thread."""
    try:
        return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)


def _of_all(errors: list[Exception], *, all_errors: bool) -> Exception:
    if all_errors:
        return ExceptionGroup("connect failed", errors)
    if len({str(error) for error in errors}) == 1:
        return errors[0]
    exhausted = next((error for error in errors if isinstance(error, PortsExhausted)), None)
    return exhausted or OSError(f"Multiple exceptions: {', '.join(map(str, errors))}")
