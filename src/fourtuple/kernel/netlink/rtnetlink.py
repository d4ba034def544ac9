"""The addresses of this network namespace's interfaces, and which addresses lead back to it, by rtnetlink(7)."""

import errno
import socket
import struct
from collections.abc import Callable, Iterable

from fourtuple.core.space.endpoints import Address, unpack_address
from fourtuple.kernel.netlink import wire
from fourtuple.kernel.netlink.reading import NoSuchDumpError, retried

# include/uapi/linux/rtnetlink.h, if_link.h, if_addr.h (v6.18)
RTM_NEWLINK, RTM_GETLINK = 16, 18
RTM_NEWADDR, RTM_GETADDR = 20, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
IFLA_IFNAME = 3
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_DST, RTN_LOCAL = 1, 2
ADDRESS_BYTES = (4, 16)
IFINFOMSG = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, change
IFADDRMSG = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, interface
# struct rtmsg: family, lengths of destination and source prefix, TOS, table, protocol, scope, type, flags
_RTMSG = struct.Struct("=BBBBBBBBI")
_REFUSED = {errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EPERM, errno.EACCES, errno.EAGAIN}  # by the socket
_UNSUPPORTED = {errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.EPERM}  # this request, or this IP version

Ask = Callable[[bytes], Iterable[wire.Bytes]]


def exchange(message: bytes) -> Iterable[wire.Bytes]:
    """Send a request over an rtnetlink socket, and yield the datagrams of the answer. Raises OSError."""
    return wire.exchange(socket.NETLINK_ROUTE, message)


def ask_once(message: bytes) -> Iterable[wire.Bytes]:
    """The same for a request that has a single answer."""
    return wire.answered(socket.NETLINK_ROUTE, message)


def read_addresses(ask: Ask = exchange) -> list[Address]:
    """Every address of every interface; empty if netlink is not available.

    ask: sends a request and returns the datagrams of the answer

    An interrupted dump is taken again, up to TRIES times. Raises OSError, DumpInterruptedError, BrokenMessageError.
    """
    message = wire.request(RTM_GETADDR, IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0))

    def fold(entries: Iterable[wire.NetlinkMessage]) -> list[Address]:
        found = (parse_address(entry.content) for entry in entries if entry.kind == RTM_NEWADDR)
        return [address for address in found if address is not None]

    try:
        return retried(fold, lambda: wire.dump(ask(message), "rtnetlink"))
    except NoSuchDumpError:
        return []


def is_routed_here(address: Address, ask: Ask = ask_once) -> bool | None:
    """Whether the kernel delivers packets to this address to this network namespace; None: the kernel does not say.

    That is the case for addresses of interfaces, for all of 127.0.0.0/8, and for routes of type local (AnyIP). bind()
    cannot tell: with net.ipv4.ip_nonlocal_bind=1 it takes any address.

    ask: as for `read_addresses`

    Raises OSError, or ValueError if the bytes are not netlink.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    body = _RTMSG.pack(family, address.max_prefixlen, 0, 0, 0, 0, 0, 0, 0) + wire.attribute(RTA_DST, address.packed)
    try:
        answer = b"".join(ask(wire.request(RTM_GETROUTE, body, 0)))
    except OSError as error:
        if error.errno in _REFUSED:
            return None
        raise
    for entry in wire.messages(answer):
        if entry.kind == RTM_NEWROUTE:
            return parse_route_type(entry.content) == RTN_LOCAL
        try:
            wire.ends_dump(entry.kind, entry.content, "rtnetlink")
        except OSError as error:  # ENETUNREACH, EHOSTUNREACH, EACCES (prohibit), EINVAL (blackhole): not here
            return None if error.errno in _UNSUPPORTED else False
    return None


def parse_route_type(content: wire.Bytes) -> int:
    """The type of the route, RTN_*, in an RTM_NEWROUTE message. Raises ValueError."""
    if len(content) < _RTMSG.size:
        raise wire.BrokenMessageError(f"a route message of {len(content)} bytes, at least {_RTMSG.size} needed")
    route_type: int = _RTMSG.unpack_from(content)[7]
    return route_type


def parse_address(content: wire.Bytes) -> Address | None:
    """The address in an RTM_NEWADDR message; on a link with a peer, the local one. None: it has no address.

    Raises BrokenMessageError.
    """
    if len(content) < IFADDRMSG.size:
        raise wire.BrokenMessageError(f"an address message of {len(content)} bytes, at least {IFADDRMSG.size} needed")
    values = dict(wire.attributes(content[IFADDRMSG.size :]))
    packed = values.get(IFA_LOCAL) or values.get(IFA_ADDRESS)
    if packed and len(packed) not in ADDRESS_BYTES:
        raise wire.BrokenMessageError(f"an address of {len(packed)} bytes")
    return unpack_address(bytes(packed)) if packed else None
