"""The interfaces of this network namespace with what they dropped, their addresses, and the neighbours: rtnetlink(7).

An IPv6 address is tentative until duplicate address detection has ended; until then bind() to it fails with
EADDRNOTAVAIL, and for good if another host has it (ipv6_chk_addr() in net/ipv6/addrconf.c, v6.18).
"""

import socket
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from fourtuple.core.record import dataclass
from fourtuple.core.snapshot.records import HostAddress
from fourtuple.kernel.netlink import wire
from fourtuple.kernel.netlink.reading import NoSuchDumpError, retried
from fourtuple.kernel.netlink.rtnetlink import (
    IFADDRMSG,
    IFINFOMSG,
    IFLA_IFNAME,
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
    exchange,
    parse_address,
)

# include/uapi/linux/if_link.h, if_addr.h, neighbour.h (v6.18)
RTM_NEWNEIGH, RTM_GETNEIGH = 28, 30
IFLA_STATS64 = 23
IFA_FLAGS = 8
IFA_F_OPTIMISTIC, IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x04, 0x08, 0x40
NUD_PERMANENT, NTF_EXT_LEARNED = 0x80, 0x10
# struct rtnl_link_stats64: the place of the counters of packets that the interface had no room for
STATISTICS = {"rx_over_errors": 11, "rx_fifo_errors": 14, "rx_missed_errors": 15}
_NDMSG = struct.Struct("=B3xiHBB")  # struct ndmsg: family, interface, state, flags, type

Ask = Callable[[bytes], Iterable[wire.Bytes]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Interfaces:
    """names: by index. counters: NAME.COUNTER, those of STATISTICS that are above zero, or all of physical devices"""

    names: Mapping[int, str]
    counters: Mapping[str, int]


def read_interfaces(ask: Ask = exchange) -> Interfaces:
    """Every interface; nothing where netlink is not available. Raises OSError, DumpInterruptedError, ValueError."""
    message = wire.request(RTM_GETLINK, IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0))

    def fold(entries: Iterable[wire.NetlinkMessage]) -> Interfaces:
        names: dict[int, str] = {}
        counters: dict[str, int] = {}
        for entry in entries:
            if entry.kind == RTM_NEWLINK:
                index, name, counts = parse_link(entry.content)
                names[index] = name
                counters |= {f"{name}.{counter}": value for counter, value in counts.items()}
        return Interfaces(names, counters)

    return _dumped(message, fold, Interfaces({}, {}), ask)


def read_host_addresses(names: Mapping[int, str], ask: Ask = exchange) -> tuple[HostAddress, ...]:
    """Every address of every interface. names: of the interfaces by index. Raises as read_interfaces."""
    message = wire.request(RTM_GETADDR, IFADDRMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0))

    def fold(entries: Iterable[wire.NetlinkMessage]) -> tuple[HostAddress, ...]:
        found = (parse_host_address(entry.content, names) for entry in entries if entry.kind == RTM_NEWADDR)
        return tuple(address for address in found if address is not None)

    return _dumped(message, fold, (), ask)


def count_neighbours(ask: Ask = exchange) -> dict[int, int]:
    """How many neighbours of each address family count against gc_thresh3: not those that an administrator made.

    Raises as read_interfaces. Source: neigh_alloc() in net/core/neighbour.c (v6.18).
    """
    message = wire.request(RTM_GETNEIGH, _NDMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0))

    def fold(entries: Iterable[wire.NetlinkMessage]) -> dict[int, int]:
        counts = {socket.AF_INET.value: 0, socket.AF_INET6.value: 0}
        for entry in entries:
            if entry.kind == RTM_NEWNEIGH and len(entry.content) >= _NDMSG.size:
                family, _, state, flags, _ = _NDMSG.unpack_from(entry.content)
                if family in counts and not state & NUD_PERMANENT and not flags & NTF_EXT_LEARNED:
                    counts[family] += 1
        return counts

    return _dumped(message, fold, {}, ask)


def _dumped(message: bytes, fold: Callable[[Iterable[wire.NetlinkMessage]], T], nothing: T, ask: Ask) -> T:
    try:
        return retried(fold, lambda: wire.dump(ask(message), "rtnetlink"))
    except NoSuchDumpError:
        return nothing


def parse_link(content: wire.Bytes) -> tuple[int, str, dict[str, int]]:
    """(index, name, counters of STATISTICS) of an RTM_NEWLINK message. Raises BrokenMessageError."""
    if len(content) < IFINFOMSG.size:
        raise wire.BrokenMessageError(f"an interface of {len(content)} bytes, at least {IFINFOMSG.size} needed")
    values = dict(wire.attributes(content[IFINFOMSG.size :]))
    name = bytes(values.get(IFLA_IFNAME, b"")).rstrip(b"\0").decode(errors="backslashreplace")
    statistics = values.get(IFLA_STATS64, b"")
    counters = {
        counter: struct.unpack_from("=Q", statistics, 8 * place)[0]
        for counter, place in STATISTICS.items()
        if len(statistics) >= 8 * place + 8
    }
    return IFINFOMSG.unpack_from(content)[2], name, counters


def parse_host_address(content: wire.Bytes, names: Mapping[int, str]) -> HostAddress | None:
    """The address in an RTM_NEWADDR message; None: it has no address. Raises BrokenMessageError."""
    address = parse_address(content)
    if address is None:
        return None
    _, prefix, flags, _, index = IFADDRMSG.unpack_from(content)
    values = dict(wire.attributes(content[IFADDRMSG.size :]))
    if len(wide := values.get(IFA_FLAGS, b"")) >= 4:
        (flags,) = struct.unpack_from("=I", wide)
    duplicate = bool(flags & IFA_F_DADFAILED)
    tentative = bool(flags & IFA_F_TENTATIVE) and not flags & IFA_F_OPTIMISTIC and not duplicate
    return HostAddress(str(address), prefix, names.get(index, str(index)), tentative, duplicate)
