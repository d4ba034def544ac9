"""Addresses as this host sees them: resolving names, testing whether an address is local, and choosing a source."""

import contextlib
import errno
import ipaddress
import os
import socket

from fourtuple.core.errors import UsageError
from fourtuple.core.space.endpoints import Address, Endpoint, EndpointSpec, FourTuple
from fourtuple.core.units import quoted
from fourtuple.kernel.netlink.rtnetlink import is_routed_here, read_addresses


def resolve(spec: EndpointSpec) -> list[Address]:
    """The addresses of a host as the user typed it, without duplicates, in the resolver's order. Raises UsageError."""
    try:
        return [ipaddress.ip_address(spec.host)]
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(spec.host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = (
            error.strerror if isinstance(error, OSError) and error.strerror else "no name can have these characters"
        )
        raise UsageError(
            f"the host {quoted(spec.host)} is neither an address nor a name that resolves", reason
        ) from None
    return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


def family_of(address: Address) -> socket.AddressFamily:
    """The socket family of an address: AF_INET or AF_INET6."""
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def is_local(address: Address) -> bool:
    """Does a connection to the address stay in this network namespace? Sends nothing.

    The routing of the kernel decides, or bind() where it cannot be asked. Raises OSError for an unexpected errno.
    """
    if address.is_unspecified:  # connect() takes it for loopback
        return True
    here = is_routed_here(address)
    return _can_bind(address) if here is None else here


def is_source(address: Address) -> bool:
    """Can connections of this network namespace come from the address? Raises OSError for an unexpected errno.

    bind() has to take it, and answers to it have to arrive here. Of a local route (AnyIP) IPv4 takes every address,
    IPv6 only with net.ipv6.ip_nonlocal_bind=1 (__inet6_bind in net/ipv6/af_inet6.c, v6.18).
    """
    return _can_bind(address) and is_local(address)


def _can_bind(address: Address) -> bool:
    """Can a socket be bound to the address? Raises OSError for an unexpected errno."""
    try:
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as sock:  # UDP: independent of a full TCP port range
            sock.bind((str(address), 0))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:  # every port of the range is in use, but the address is local
            return True
        # EINVAL: a link-local address without its interface; EAFNOSUPPORT: this IP version is disabled
        if error.errno in (errno.EADDRNOTAVAIL, errno.EINVAL, errno.EAFNOSUPPORT):
            return False
        raise
    return True


def ends_of(sock: socket.socket) -> FourTuple | None:
    """The 4-tuple of a socket, local end first; None: it is no longer connected (ENOTCONN, after a reset), or Unix."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        return FourTuple(_endpoint(sock.getsockname()), _endpoint(sock.getpeername()))
    except OSError:
        return None


def _endpoint(name: tuple[str, int]) -> Endpoint:
    return Endpoint(ipaddress.ip_address(name[0].partition("%")[0]), name[1])


def source_towards(destination: Endpoint) -> Address:
    """The source address that the route to `destination` selects. Sends nothing. Raises OSError (ENETUNREACH …)."""
    with socket.socket(family_of(destination.address), socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((str(destination.address), destination.port))
        except BlockingIOError:  # every UDP port of the range is in use: bind to a port outside the range
            _bind_to_any_port(sock)
            sock.connect((str(destination.address), destination.port))
        return _endpoint(sock.getsockname()).address


def _bind_to_any_port(sock: socket.socket) -> None:
    """Bind to the highest free port. Raises OSError (EAGAIN) if no port is free."""
    for port in range(65535, 1023, -1):
        with contextlib.suppress(OSError):
            sock.bind(("", port))
            return
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def of_this_host() -> list[Address]:
    """Every address of every interface of this network namespace; empty if netlink is not permitted.

    Raises OSError, or CannotError if they changed during every attempt to read them, or the answer is damaged.
    """
    return read_addresses()
