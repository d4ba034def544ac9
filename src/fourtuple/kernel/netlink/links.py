"""The cable between two network namespaces, a veth pair: `python -m fourtuple.kernel.netlink.links VERB NAME …`.

    join NAME PEER PID ADDRESS…   create the pair: NAME here, PEER in the namespace of process PID; then as `up`
    up NAME ADDRESS…              give the interface its addresses (with prefix length), and bring it up

A process of its own does it inside the namespace, because only a single-threaded one can enter (see kernel/holder.py).

Sources: rtnetlink(7), veth(4); rtnl_newlink() in net/core/rtnetlink.c, veth_newlink() in drivers/net/veth.c (v6.18).
"""

import errno
import os
import socket
import struct
import sys
from ipaddress import IPv4Interface, IPv6Interface, ip_interface

from fourtuple.core.errnos import name_of
from fourtuple.core.errors import EXIT_CANNOT
from fourtuple.kernel.netlink import wire
from fourtuple.kernel.netlink.rtnetlink import (
    IFA_ADDRESS,
    IFA_LOCAL,
    IFADDRMSG,
    IFINFOMSG,
    IFLA_IFNAME,
    RTM_NEWADDR,
    RTM_NEWLINK,
    ask_once,
)

# include/uapi/linux/netlink.h, if_link.h, veth.h, if.h (v6.18)
NLM_F_ACK, NEW = 0x004, 0x600  # NLM_F_CREATE | NLM_F_EXCL
IFLA_LINKINFO, IFLA_NET_NS_PID = 18, 19
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFF_UP = 0x1
VETH = "veth"


def pair(name: str, peer: str, pid: int) -> bytes:
    """The request for a veth pair: `name` here, `peer` in the namespace of the process."""
    far = _link(peer) + wire.attribute(IFLA_NET_NS_PID, struct.pack("=I", pid))
    data = wire.attribute(IFLA_INFO_DATA, wire.attribute(VETH_INFO_PEER, far))
    kind = wire.attribute(IFLA_INFO_KIND, VETH.encode())
    return wire.request(RTM_NEWLINK, _link(name) + wire.attribute(IFLA_LINKINFO, kind + data), NLM_F_ACK | NEW)


def address(index: int, own: IPv4Interface | IPv6Interface) -> bytes:
    """The request to give the interface of this index an address."""
    family = socket.AF_INET if own.version == 4 else socket.AF_INET6
    head = IFADDRMSG.pack(family, own.network.prefixlen, 0, 0, index)
    body = head + wire.attribute(IFA_LOCAL, own.packed) + wire.attribute(IFA_ADDRESS, own.packed)
    return wire.request(RTM_NEWADDR, body, NLM_F_ACK | NEW)


def up(index: int) -> bytes:
    """The request to bring the interface of this index up."""
    return wire.request(RTM_NEWLINK, IFINFOMSG.pack(socket.AF_UNSPEC, 0, index, IFF_UP, IFF_UP), NLM_F_ACK)


def _link(name: str) -> bytes:
    return IFINFOMSG.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + wire.attribute(IFLA_IFNAME, name.encode() + b"\0")


def _do(request: bytes, what: str) -> None:
    """Have the kernel do it. Raises OSError, with `what` as the name of the file."""
    (answer,) = wire.messages(b"".join(ask_once(request)))
    try:
        wire.ends_dump(answer.kind, answer.content, "rtnetlink")
    except OSError as error:
        number = error.errno or 0
        lacks = "; this kernel has no veth" if (number, what) == (errno.EOPNOTSUPP, VETH) else ""
        raise OSError(number, f"{os.strerror(number)} ({name_of(number)}){lacks}", what) from None


def _main(verb: str, name: str, *rest: str) -> int:
    joins = verb == "join"
    (peer, pid), addresses = (rest[:2], rest[2:]) if joins else (("", ""), rest)
    try:
        if joins:
            _do(pair(name, peer, int(pid)), VETH)
        index = socket.if_nametoindex(name)
        for each in addresses:
            _do(address(index, ip_interface(each)), each)
        _do(up(index), name)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}" if error.filename else error, file=sys.stderr)
        return EXIT_CANNOT
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:]))
