"""Which connections the tracking table of this network namespace has, by protocol and zone, and what it lost.

Only for a table that exists: to ask for one could load a module of the kernel. It needs CAP_NET_ADMIN.

Sources: include/uapi/linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h; net/netfilter/nf_conntrack_netlink.c (v6.18).
"""

import itertools
import struct
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator

from fourtuple.kernel.netlink import wire

NETLINK_NETFILTER = 12
_SUBSYSTEM = 1 << 8  # NFNL_SUBSYS_CTNETLINK
CT_NEW, CT_GET, CT_GET_STATS_CPU = _SUBSYSTEM | 0, _SUBSYSTEM | 1, _SUBSYSTEM | 4
CTA_TUPLE_ORIG, CTA_TUPLE_PROTO, CTA_PROTO_NUM, CTA_ZONE = 1, 2, 1, 18
CTA_STATS = {"insert_failed": 9, "drop": 10, "early_drop": 11}  # as in /proc/net/stat/nf_conntrack
PROTOCOLS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp"}
MOST = 20_000  # entries that are counted, some 10 µs each
_NFGENMSG = struct.Struct("=BBH")  # struct nfgenmsg: family, version, resource

Ask = Callable[[bytes], Iterable[wire.Bytes]]


def exchange(message: bytes) -> Iterable[wire.Bytes]:
    """Send a request over a netfilter socket, and yield the datagrams of the answer. Raises OSError."""
    return wire.exchange(NETLINK_NETFILTER, message)


def count_entries(most: int = MOST, ask: Ask = exchange) -> dict[str, int]:
    """How many entries each protocol and each zone but the first has: `tcp`, `udp`, `zone 3`.

    most: entries after which the count ends, and is one of a part

    Raises OSError, DumpInterruptedError, BrokenMessageError.
    """
    counts = Tally[str]()
    for entry in itertools.islice(_entries(CT_GET, ask), most):
        if entry.kind == CT_NEW:
            counts.update(parse_entry(entry.content))
    return dict(counts)


def read_losses(ask: Ask = exchange) -> dict[str, int]:
    """What /proc/net/stat/nf_conntrack counts, where the kernel lacks that file. Raises as count_entries."""
    found = Tally[str]()
    for entry in _entries(CT_GET_STATS_CPU, ask):
        if entry.kind == CT_GET_STATS_CPU and len(entry.content) >= _NFGENMSG.size:
            values = dict(wire.attributes(entry.content[_NFGENMSG.size :]))
            for name, kind in CTA_STATS.items():
                found[name] += int.from_bytes(values.get(kind, b""), "big")
    return dict(found)


def _entries(kind: int, ask: Ask) -> Iterator[wire.NetlinkMessage]:
    return wire.dump(ask(wire.request(kind, _NFGENMSG.pack(0, 0, 0))), "ctnetlink")


def parse_entry(content: wire.Bytes) -> list[str]:
    """The protocol, and the zone if it has one, of a message of the dump. Raises BrokenMessageError."""
    if len(content) < _NFGENMSG.size:
        raise wire.BrokenMessageError(f"a tracked connection of {len(content)} bytes")
    values = dict(wire.attributes(content[_NFGENMSG.size :]))
    tuple_ = dict(wire.attributes(values.get(CTA_TUPLE_ORIG, b"")))
    number = int.from_bytes(dict(wire.attributes(tuple_.get(CTA_TUPLE_PROTO, b""))).get(CTA_PROTO_NUM, b""), "big")
    zone = int.from_bytes(values.get(CTA_ZONE, b""), "big")
    return [PROTOCOLS.get(number, f"protocol {number}"), *([f"zone {zone}"] if zone else [])]
