"""connect() that shares source ports by destination: `connect`, `socket_factory`, and the socket they make.

The kernel is left to choose the port when the destination is known, so a port serves as many destinations as there are.
An address to come from is bound with IP_BIND_ADDRESS_NO_PORT alone. IP_LOCAL_PORT_RANGE is set to all there is, which
narrows nothing: a bound outside of net.ipv4.ip_local_port_range is ignored (inet_sk_get_local_port_range in
net/ipv4/inet_connection_sock.c, v6.18), but from Linux 6.8 on connect() then looks at every port in turn, and stays
quick past half of the range.
"""

import errno
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from fourtuple.client.exhausted import told
from fourtuple.client.sources import Sources
from fourtuple.kernel.sockopts import IP_BIND_ADDRESS_NO_PORT, IP_LOCAL_PORT_RANGE

EVERY_PORT = -1 << 16  # from 0 to 65535, as a signed int: in half of the time that bytes take
SYSTEM_DEFAULT: Any = object()  # socket.getdefaulttimeout()
VERSIONS = {socket.AF_INET: 4, socket.AF_INET6: 6}

Address = tuple[Any, ...]  # as sockets take it: (host, port), and for IPv6 perhaps flow info and scope
AddrInfo = tuple[int, int, int, str, Address]  # as socket.getaddrinfo gives it


class ClientSocket(socket.socket):
    """A socket like any other, whose source is chosen at connect().

    There it is bound to the source with the most room towards the destination, and to the next one where that has no
    port left. EADDRNOTAVAIL becomes PortsExhausted, if it is for want of ports.
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
        """As socket.connect does it. Raises PortsExhausted, or what socket.connect raises."""
        if self._sources is None or self.family not in VERSIONS or self.getsockname()[1]:
            self._connect(address)  # … or with a port, as it is under way already
        else:
            self._connect_from(self._sources, address)

    def connect_ex(self, address: Any) -> int:
        """As socket.connect_ex does it: an errno instead of an error."""
        try:
            self.connect(address)
        except socket.gaierror:
            raise
        except OSError as error:
            if error.errno is None and not isinstance(error, TimeoutError):
                raise
            return error.errno or errno.EAGAIN  # which socket.connect_ex gives when its own time is over
        return 0

    def _connect(self, address: Any) -> None:
        """As it is: not bound, or bound by somebody else."""
        try:
            super().connect(address)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL or self.family not in VERSIONS:
                raise
            raise told(error, address[0], address[1], (self.getsockname()[0],)) from None

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
        raise told(full, host, port, sources.of_version(version)) from None


def connect(
    address: tuple[str, int],
    timeout: float | None = SYSTEM_DEFAULT,
    *,
    sources: Sources | None = None,
    all_errors: bool = False,
) -> socket.socket:
    """A blocking socket that is connected to (host, port), as socket.create_connection makes it.

    A name is looked up, and its addresses are tried one after the other.

    timeout:    in seconds; None: wait for ever; left out: socket.getdefaulttimeout()
    sources:    where to come from; None: what the route gives
    all_errors: raise those of all addresses, as an ExceptionGroup; else the last one

    Raises PortsExhausted, OSError.
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
    """`connect`, for libraries that have more to say.

    options: each as setsockopt takes it, set before connect()
    bind_to: bound to it before connect(); port 0: the kernel chooses one that other destinations share
    """
    host, port = address
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
            errors.clear()  # they hold frames, which hold sockets
            return sock
    try:
        if all_errors:
            raise ExceptionGroup("connect failed", errors)
        raise errors[-1]
    finally:
        errors.clear()


def socket_factory(*, sources: Sources | None = None) -> Callable[[AddrInfo], socket.socket]:
    """What makes the sockets for a library that connects them itself: `aiohttp.TCPConnector(socket_factory=…)`.

    The function that it gives takes one entry of socket.getaddrinfo's list.
    """
    checked(sources)

    def make(info: AddrInfo) -> socket.socket:
        family, type_, proto, *_ = info
        return ClientSocket(family, type_, proto, sources=sources)

    return make


def in_reach(infos: Sequence[Any], sources: Sources | None, host: str) -> Sequence[AddrInfo]:
    """Those of the IP versions that there is a source of. Raises OSError where none is left."""
    if sources is not None:
        versions = [VERSIONS.get(info[0]) for info in infos]
        infos = [info for info, version in zip(infos, versions, strict=True) if version and sources.of_version(version)]
        if not infos:
            raise _no_source(next(filter(None, versions), 4), host)
    if not infos:
        raise OSError("getaddrinfo returns an empty list")
    return infos


def checked(sources: object) -> Sources | None:
    """Raises TypeError where it is something else."""
    if sources is not None and not isinstance(sources, Sources):
        raise TypeError(f"sources must be a Sources, not {sources!r}: make one, and use it for every connection")
    return sources


def _no_source(version: int, host: str) -> OSError:
    return OSError(errno.EAFNOSUPPORT, f"none of the sources is of IPv{version}, as {host} is")


def _share_ports(sock: socket.socket) -> None:
    """Without bind() the first only shows: sock_diag tells then that connect() has chosen the port."""
    try:
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, EVERY_PORT)
    except OSError as error:  # older than Linux 6.3, or no IP socket
        if error.errno not in (errno.ENOPROTOOPT, errno.EOPNOTSUPP):
            sock.close()
            raise


def _bind(sock: socket.socket, source: str) -> None:
    """To the address alone; again, where no port was found from another one. Raises OSError."""
    try:
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind((source, 0))
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise OSError(error.errno, f"bind: {source} is not an address of this host") from None
        raise OSError(error.errno, f"bind to {source}: {os.strerror(error.errno or 0)}") from None
