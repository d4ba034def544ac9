"""What the host makes of an address: names resolved, is it ours, and which source would be used to get there."""

import contextlib
import errno
import ipaddress
import os
import socket

from fourtuple.core.errors import CannotError, UsageError
from fourtuple.core.space.endpoints import Address, Endpoint, EndpointSpec, FourTuple
from fourtuple.kernel.netlink.rtnetlink import read_addresses
from fourtuple.kernel.netlink.wire import DumpInterruptedError


def resolve(spec: EndpointSpec) -> list[Address]:
    """The addresses of a host as typed, without repeats, in the resolver's order. Raises UsageError."""
    try:
        return [ipaddress.ip_address(spec.host)]
    except ValueError:
        pass
    try:
        found = socket.getaddrinfo(spec.host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"the host {spec.host!r}", f"neither an address nor a known name: {reason}") from None
    return list(dict.fromkeys(ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found))


def family_of(address: Address) -> socket.AddressFamily:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def is_local(address: Address) -> bool:
    """Can a socket of this host be bound to it?"""
    try:
        with socket.socket(family_of(address), socket.SOCK_DGRAM) as sock:  # UDP: a full TCP port range does not matter
            sock.bind((str(address), 0))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:  # not one port of the range is free, but the address is ours
            return True
        # EINVAL: a link-local address without its interface; EAFNOSUPPORT: this IP version is switched off
        if error.errno in (errno.EADDRNOTAVAIL, errno.EINVAL, errno.EAFNOSUPPORT):
            return False
        raise
    return True


def ends_of(sock: socket.socket) -> FourTuple | None:
    """The local end first; None where the socket is not connected any more (ENOTCONN: it was reset, say)."""
    try:
        return FourTuple(_endpoint(sock.getsockname()), _endpoint(sock.getpeername()))
    except OSError:
        return None


def _endpoint(name: tuple[str, int]) -> Endpoint:
    return Endpoint(ipaddress.ip_address(name[0].partition("%")[0]), name[1])


def source_towards(destination: Endpoint) -> Address:
    """The source address that the route to `destination` gives; nothing is sent. Raises OSError (ENETUNREACH …)."""
    with socket.socket(family_of(destination.address), socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((str(destination.address), destination.port))
        except BlockingIOError:  # not one UDP port of the range is free: take one that is not of the range
            _bind_to_any_port(sock)
            sock.connect((str(destination.address), destination.port))
        return _endpoint(sock.getsockname()).address


def _bind_to_any_port(sock: socket.socket) -> None:
    """Raises OSError where there is none at all."""
    for port in range(65535, 1023, -1):
        with contextlib.suppress(OSError):
            sock.bind(("", port))
            return
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def of_this_host() -> list[Address]:
    """Every address of every interface of this network namespace; none where netlink is refused.

    Raises OSError, CannotError where they changed each time that they were read.
    """
    try:
        return read_addresses()
    except DumpInterruptedError as error:
        raise CannotError("the addresses of this host", str(error), "Try again.") from None
