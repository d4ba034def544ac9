"""Which addresses the interfaces of this network namespace have, as listed by rtnetlink(7)."""

import socket
import struct
from collections.abc import Callable, Iterable

from fourtuple.core.space.endpoints import Address, unpack_address
from fourtuple.kernel.netlink import wire
from fourtuple.kernel.netlink.reading import NoSuchDumpError, retried

# include/uapi/linux/rtnetlink.h, if_addr.h (v6.18)
RTM_NEWADDR, RTM_GETADDR = 20, 22
IFA_ADDRESS, IFA_LOCAL = 1, 2
ADDRESS_BYTES = (4, 16)
_IFADDRMSG = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, interface

Ask = Callable[[bytes], Iterable[wire.Bytes]]


def exchange(message: bytes) -> Iterable[wire.Bytes]:
    """Send a request over an rtnetlink socket, and yield the datagrams of the answer. Raises OSError."""
    return wire.exchange(socket.NETLINK_ROUTE, message)


def read_addresses(ask: Ask = exchange) -> list[Address]:
    """Every address of every interface; empty if netlink is not available.

    ask: sends a request and returns the datagrams of the answer

    An interrupted dump is taken again, up to TRIES times. Raises OSError, DumpInterruptedError, BrokenMessageError.
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
    """The address in an RTM_NEWADDR message; on a link with a peer, the local one. None: it has no address.

    Raises BrokenMessageError.
    """
    if len(content) < _IFADDRMSG.size:
        raise wire.BrokenMessageError(f"an address message of {len(content)} bytes, at least {_IFADDRMSG.size} needed")
    values = dict(wire.attributes(content[_IFADDRMSG.size :]))
    packed = values.get(IFA_LOCAL) or values.get(IFA_ADDRESS)
    if packed and len(packed) not in ADDRESS_BYTES:
        raise wire.BrokenMessageError(f"an address of {len(packed)} bytes")
    return unpack_address(bytes(packed)) if packed else None
