"""What the host makes of an address: names resolved, is it ours, and which source would be used to get there."""

import contextlib
import errno
import ipaddress
import os
import socket
import struct
from collections.abc import Iterator

from fourtuple.core.errors import UsageError
from fourtuple.core.space.endpoints import Address, Endpoint, EndpointSpec, FourTuple


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


# include/uapi/linux/rtnetlink.h, if_addr.h (v6.18)
RTM_GETADDR = 22
IFA_ADDRESS, IFA_LOCAL = 1, 2
NLM_F_REQUEST, NLM_F_DUMP = 0x001, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
_HEADER, _IFADDRMSG, _ATTRIBUTE = struct.Struct("=IHHII"), struct.Struct("=BBBBI"), struct.Struct("=HH")


def of_this_host() -> list[Address]:
    """Every address of every interface of this network namespace; none where netlink is refused. Raises OSError."""
    try:
        return list(_listed())
    except OSError as error:
        if error.errno in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EPERM, errno.EACCES):
            return []
        raise


def _listed() -> Iterator[Address]:
    body = _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    request = _HEADER.pack(_HEADER.size + len(body), RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as netlink:
        netlink.bind((0, 0))
        netlink.send(request)
        while True:
            for kind, content in _messages(netlink.recv(65536)):
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    (code,) = struct.unpack_from("=i", content)
                    raise OSError(-code, os.strerror(-code))
                attributes = dict(_attributes(content[_IFADDRMSG.size :]))
                if packed := attributes.get(IFA_LOCAL) or attributes.get(IFA_ADDRESS):
                    yield ipaddress.ip_address(packed)


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, content) of each netlink message (netlink(7))"""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _, _, _ = _HEADER.unpack_from(data, offset)
        yield kind, data[offset + _HEADER.size : offset + length]
        offset += length + 3 & ~3


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, value) of each (rtnetlink(7))"""
    offset = 0
    while offset + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        yield kind, data[offset + _ATTRIBUTE.size : offset + length]
        offset += max(_ATTRIBUTE.size, length + 3 & ~3)
