"""connect() that shares source ports between destinations: `connect`, `socket_factory`, and the socket they make.

The kernel chooses the port at connect(), when the destination is known, so one port can serve every destination.
A source address is bound with IP_BIND_ADDRESS_NO_PORT. IP_LOCAL_PORT_RANGE is set to every port, which restricts
nothing: a bound outside of net.ipv4.ip_local_port_range is ignored (inet_sk_get_local_port_range in
net/ipv4/inet_connection_sock.c, v6.18), but from Linux 6.8 on connect() then tries every port in turn, and stays
fast past half of the range.
"""

import errno
import os
import socket
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fourtuple.client.exhausted import explained
from fourtuple.client.sources import Sources
from fourtuple.core.errors import UsageError
from fourtuple.kernel.sockopts import IP_BIND_ADDRESS_NO_PORT, IP_LOCAL_PORT_RANGE

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

EVERY_PORT = -1 << 16  # 0 to 65535, as a signed int: passing an int takes half the time of bytes
SYSTEM_DEFAULT: Any = object()  # socket.getdefaulttimeout()
VERSIONS = {socket.AF_INET: 4, socket.AF_INET6: 6}

Address = tuple[Any, ...]  # as sockets take it: (host, port), and for IPv6 perhaps flow info and scope
AddrInfo = tuple[int, int, int, str, Address]  # as socket.getaddrinfo gives it


class ClientSocket(socket.socket):
    """An ordinary socket whose source address is chosen at connect().

    connect() binds it to the source with the most free ports towards the destination, and to the next source if that
    one has no port left. EADDRNOTAVAIL becomes PortsExhausted if no port is left.
    """

    __slots__ = ("_sources",)

    def __init__(
        self,
        family: int = -1,
        type: int = -1,
        proto: int = -1,
        fileno: int | None = None,
        *,
        sources: Sources | None = None,
    ) -> None:
        self._sources = checked(sources)
        super().__init__(family, type, proto, fileno)
        if fileno is None:
            _share_ports(self)

    def connect(self, address: Any) -> None:
        """As socket.connect. Raises PortsExhausted, and everything that socket.connect raises."""
        if self._sources is None or self.family not in VERSIONS or self.getsockname()[1]:
            self._connect(address)  # no sources, another family, or already bound
        else:
            self._connect_from(self._sources, address)

    def connect_ex(self, address: Any) -> int:
        """As socket.connect_ex: returns an errno instead of raising an error."""
        try:
            self.connect(address)
        except socket.gaierror:
            raise
        except OSError as error:
            if error.errno is None and not isinstance(error, TimeoutError):
                raise
            return error.errno or errno.EAGAIN  # as socket.connect_ex returns after a timeout
        return 0

    def _connect(self, address: Any) -> None:
        """Connect the socket as it is: unbound, or bound by the caller."""
        try:
            super().connect(address)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL or self.family not in VERSIONS:
                raise
            raise explained(error, address[0], address[1], (self.getsockname()[0],)) from None

    def _connect_from(self, sources: Sources, address: Any) -> None:
        version, (host, port) = VERSIONS[self.family], address[:2]
        full = absent = None
        for source in sources.towards(version, host, port, wait=self.gettimeout() != 0):
            try:
                _bind(self, source)
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                absent = error
                continue
            try:
                return super().connect(address)
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:
                    raise
                full = error
        if full is None:
            raise absent or _no_source(version, host)
        raise explained(full, host, port, sources.of_version(version)) from None


def connect(
    address: tuple[str, int],
    timeout: float | None = SYSTEM_DEFAULT,
    *,
    sources: Sources | None = None,
    all_errors: bool = False,
) -> socket.socket:
    """A blocking socket connected to (host, port), as from socket.create_connection.

    A name is resolved, and its addresses are tried one after the other.

    timeout:    in seconds; None: no timeout; omitted: socket.getdefaulttimeout()
    sources:    source addresses; None: as the route determines
    all_errors: raise the errors of all addresses as an ExceptionGroup; otherwise the last one

    Raises PortsExhausted, OSError; TypeError and UsageError for what is no address.
    """
    return dial(address, checked(sources), timeout=timeout, all_errors=all_errors)


def dial(
    address: tuple[str, int],
    sources: Sources | None,
    *,
    timeout: float | None,
    options: Iterable[Any] = (),
    bind_to: tuple[str, int] | None = None,
    family: int = 0,
    all_errors: bool = False,
) -> socket.socket:
    """`connect` with further parameters, for libraries.

    options: arguments of setsockopt, set before connect()
    bind_to: address to bind before connect(); port 0: the kernel chooses a port shared with other destinations
    """
    host, port = host_and_port(address)
    errors: list[OSError] = []
    infos = in_reach(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM), sources, host)
    for version, type_, proto, _, end in infos:
        try:
            sock = ClientSocket(version, type_, proto, sources=sources)
        except OSError as error:
            errors.append(error)
            continue
        try:
            for option in options:
                sock.setsockopt(*option)
            if timeout is not SYSTEM_DEFAULT:
                sock.settimeout(timeout)
            if bind_to:
                sock.bind(bind_to)
            sock.connect(end)
        except OSError as error:
            errors.append(error)
            sock.close()
        except BaseException:
            sock.close()
            raise
        else:
            errors.clear()  # they refer to frames, which refer to sockets
            return sock
    try:
        if all_errors:
            raise ExceptionGroup("connect failed", errors)
        raise errors[-1]
    finally:
        errors.clear()


def socket_factory(*, sources: Sources | None = None) -> Callable[[AddrInfo], socket.socket]:
    """A function that makes sockets for a library that connects them itself: `aiohttp.TCPConnector(socket_factory=…)`.

    The function takes one entry of socket.getaddrinfo's list.
    """
    checked(sources)

    def make(info: AddrInfo) -> socket.socket:
        family, type_, proto, *_ = info
        return ClientSocket(family, type_, proto, sources=sources)

    return make


def in_reach(infos: Sequence[Any], sources: Sources | None, host: str) -> Sequence[AddrInfo]:
    """The entries whose IP version has a source. Raises OSError if there are none."""
    if sources is not None:
        versions = [VERSIONS.get(info[0]) for info in infos]
        infos = [info for info, version in zip(infos, versions, strict=True) if version and sources.of_version(version)]
        if not infos:
            raise _no_source(next(filter(None, versions), 4), host)
    if not infos:
        raise OSError("getaddrinfo returns an empty list")
    return infos


def host_and_port(address: object) -> tuple[str, int]:
    """The argument, if it is a pair. Raises TypeError otherwise, and UsageError for a port that there is not."""
    if not isinstance(address, tuple | list) or len(address) != 2:
        raise TypeError(f"the address must be (host, port), not {address!r}")
    host, port = address
    if isinstance(port, int) and not 0 <= port <= 65535:
        raise UsageError(f"the address {address!r}", "a port is a number up to 65535")
    return host, port


def checked(sources: object) -> Sources | None:
    """The argument, if it is Sources or None. Raises TypeError otherwise."""
    if sources is not None and not isinstance(sources, Sources):
        raise TypeError(f"sources must be a Sources, not {sources!r}: make one, and use it for every connection")
    return sources


def _no_source(version: int, host: str) -> OSError:
    return OSError(errno.EAFNOSUPPORT, f"none of the sources is an IPv{version} address, as {host} needs")


def _share_ports(sock: socket.socket) -> None:
    """Set both options. Without bind(), the first only makes sock_diag report that connect() chose the port."""
    try:
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, EVERY_PORT)
    except OSError as error:  # before Linux 6.3 and 6.1.32, or not an IP socket
        if error.errno not in (errno.ENOPROTOOPT, errno.EOPNOTSUPP):
            sock.close()
            raise


def _bind(sock: socket.socket, source: str) -> None:
    """Bind to the address only; repeated if another source had no port left. Raises OSError."""
    try:
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((source, 0))
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise OSError(error.errno, f"bind: {source} is not an address of this host") from None
        raise OSError(error.errno, f"bind to {source}: {os.strerror(error.errno or 0)}") from None
