"""connect() for asyncio: `connect_async` gives a connected socket, `open_connection` streams."""

import asyncio
import itertools
import socket
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from fourtuple.client.connecting import AddrInfo, ClientSocket, checked, in_reach
from fourtuple.client.exhausted import PortsExhausted
from fourtuple.client.sources import Sources

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

    Raises PortsExhausted, OSError; ExceptionGroup with all_errors.
    """
    host, port = address
    if checked(sources) is not None and not sources.looked:  # type: ignore[union-attr]
        await asyncio.to_thread(sources.look)  # type: ignore[union-attr]
    infos = in_reach(await _resolved(host, port, family), sources, host)
    if interleave is None:
        interleave = 0 if happy_eyeballs_delay is None else 1
    if interleave:
        infos = interleaved(infos, interleave)
    errors: list[Exception | None] = []
    if happy_eyeballs_delay is None:
        for info in infos:
            try:
                return await _connected(info, sources)
            except OSError as error:
                errors.append(error)
    else:
        from asyncio.staggered import staggered_race

        tries = [partial(_connected, info, sources) for info in infos]
        sock: socket.socket | None
        sock, _, errors = await staggered_race(tries, happy_eyeballs_delay)
        if sock is not None:
            return sock
    try:
        raise _of_all([error for error in errors if error is not None], all_errors=all_errors)
    finally:
        errors.clear()  # they refer to frames, which refer to sockets


def interleaved(infos: Iterable[AddrInfo], first: int) -> list[AddrInfo]:
    """Addresses of the families in turn, after `first` addresses of the first family (RFC 8305, section 4)."""
    by_family: dict[int, list[AddrInfo]] = {}
    for info in infos:
        by_family.setdefault(info[0], []).append(info)
    preferred = next(iter(by_family.values()))
    ahead, by_family[preferred[0][0]] = preferred[: first - 1], preferred[first - 1 :]
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*by_family.values()))
    return [*ahead, *(info for info in in_turn if info is not None)]


async def _resolved(host: str, port: int, family: int) -> Sequence[Any]:
    """The addresses of the host; a numeric address is resolved without a thread."""
    try:
        return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await asyncio.get_running_loop().getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)


async def _connected(info: AddrInfo, sources: Sources | None) -> socket.socket:
    family, type_, proto, _, address = info
    sock = ClientSocket(family, type_, proto, sources=sources)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


def _of_all(errors: list[Exception], *, all_errors: bool) -> Exception:
    if all_errors:
        return ExceptionGroup("connect failed", errors)
    if len({str(error) for error in errors}) == 1:
        return errors[0]
    exhausted = next((error for error in errors if isinstance(error, PortsExhausted)), None)
    return exhausted or OSError(f"Multiple exceptions: {', '.join(map(str, errors))}")
