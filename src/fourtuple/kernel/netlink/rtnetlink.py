"""The addresses of this network namespace's interfaces, as rtnetlink lists them (rtnetlink(7))."""

import ipaddress
import socket
import struct
from collections.abc import Callable, Iterable

from fourtuple.core.space.endpoints import Address
from fourtuple.kernel.netlink import wire
from fourtuple.kernel.netlink.reading import NoSuchDumpError, retried

# include/uapi/linux/rtnetlink.h, if_addr.h (v6.18)
RTM_NEWADDR, RTM_GETADDR = 20, 22
IFA_ADDRESS, IFA_LOCAL = 1, 2
_IFADDRMSG = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, interface

Ask = Callable[[bytes], Iterable[wire.Bytes]]


def exchange(message: bytes) -> Iterable[wire.Bytes]:
    """A request and its datagrams, over a socket of rtnetlink. Raises OSError."""
    return wire.exchange(socket.NETLINK_ROUTE, message)


def read_addresses(ask: Ask = exchange) -> list[Address]:
    """Every address of every interface; none where netlink is refused.

    A dump that was interrupted is taken again, some times.

    Raises OSError, DumpInterruptedError, ValueError where the bytes are not netlink.
    """
    message = wire.request(RTM_GETADDR, _IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0))

    def fold(entries: Iterable[wire.NetlinkMessage]) -> list[Address]:
        found = (parse_address(entry.content) for entry in entries if entry.kind == RTM_NEWADDR)
        return [address for address in found if address is not None]

    try:
        return retried(fold, lambda: wire.dump(ask(message), "rtnetlink"))
    except NoSuchDumpError:
        return []


def parse_address(content: wire.Bytes) -> Address | None:
    """The address in an RTM_NEWADDR message, this end's where there is a peer; None: it has none. Raises ValueError."""
    if len(content) < _IFADDRMSG.size:
        raise wire.BrokenMessageError(f"an address message of {len(content)} bytes, not at least {_IFADDRMSG.size}")
    values = dict(wire.attributes(content[_IFADDRMSG.size :]))
    packed = values.get(IFA_LOCAL) or values.get(IFA_ADDRESS)
    return ipaddress.ip_address(bytes(packed)) if packed else None
