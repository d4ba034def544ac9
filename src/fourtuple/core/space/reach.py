"""Whose host an address may belong to: to somebody on the Internet, or only to whoever runs this network.

One table: the ranges that no router on the Internet passes on, and those that carry an IPv4 address to which a relay or
a translator passes on. What is in neither belongs to somebody.
Source: the IANA special-purpose address registries (RFC 6890, updated by RFC 8190), and the RFC in each row.
"""

import ipaddress
from collections.abc import Callable

from fourtuple.core.record import dataclass
from fourtuple.core.space.endpoints import Address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
PUBLIC = "a public address"


@dataclass(frozen=True, slots=True)
class SpecialRange:
    """A range of addresses with a meaning of its own.

    foreign: None: it stays within this network; otherwise why it may be another's
    """

    network: Network
    about: str
    source: str
    foreign: str | None = None


def _row(network: str, about: str, source: str, foreign: str | None = None) -> SpecialRange:
    return SpecialRange(ipaddress.ip_network(network), about, source, foreign)


RANGES = (
    _row("127.0.0.0/8", "loopback", "RFC 1122"),
    _row("10.0.0.0/8", "private use", "RFC 1918"),
    _row("172.16.0.0/12", "private use", "RFC 1918"),
    _row("192.168.0.0/16", "private use", "RFC 1918"),
    _row("169.254.0.0/16", "link-local", "RFC 3927"),
    _row("192.0.2.0/24", "documentation", "RFC 5737"),
    _row("198.51.100.0/24", "documentation", "RFC 5737"),
    _row("203.0.113.0/24", "documentation", "RFC 5737"),
    _row("198.18.0.0/15", "benchmarking", "RFC 2544"),
    _row("0.0.0.0/8", "this network", "RFC 1122", "an address of 0.0.0.0/8, which networks use as they like"),
    _row("100.64.0.0/10", "shared by a provider and its customers", "RFC 6598", "an address inside a provider's NAT"),
    _row("240.0.0.0/4", "reserved", "RFC 1112", "a reserved address, which some networks use"),
    _row("::1/128", "loopback", "RFC 4291"),
    _row("fc00::/7", "private use", "RFC 4193"),
    _row("fe80::/10", "link-local", "RFC 4291"),
    _row("2001:db8::/32", "documentation", "RFC 3849"),
    _row("3fff::/20", "documentation", "RFC 9637"),
    _row("2001:2::/48", "benchmarking", "RFC 5180"),
    _row("100::/64", "discarded", "RFC 6666"),
)

Embedded = Callable[[int], tuple[int, ...]]  # the bits of an IPv6 address → the IPv4 addresses in it


def _low(bits: int) -> tuple[int, ...]:
    return (bits & 0xFFFFFFFF,)


def _teredo(bits: int) -> tuple[int, ...]:
    """The server, which passes the first packets on, and the client, whose bits are inverted."""
    return bits >> 64 & 0xFFFFFFFF, ~bits & 0xFFFFFFFF


def _local_nat64(bits: int) -> tuple[int, ...]:
    """Of a prefix of 96 bits. Of a shorter one the IPv4 address lies further left (RFC 6052, 2.2): then 0.0.0.0."""
    return (bits & 0xFFFFFFFF if not bits >> 32 & 0xFFFFFFFF else 0,)


EMBEDDED: tuple[tuple[SpecialRange, Embedded], ...] = (
    (_row("::ffff:0:0/96", "IPv4-mapped", "RFC 4291"), _low),
    (_row("::/96", "IPv4-compatible", "RFC 4291"), _low),
    (_row("::ffff:0:0:0/96", "IPv4-translated", "RFC 2765"), _low),
    (_row("64:ff9b::/96", "NAT64", "RFC 6052"), _low),
    (_row("64:ff9b:1::/48", "NAT64 within a network", "RFC 8215"), _local_nat64),
    (_row("2001::/32", "Teredo", "RFC 4380"), _teredo),
    (_row("2002::/16", "6to4", "RFC 3056"), lambda bits: (bits >> 80 & 0xFFFFFFFF,)),
)


def foreign(address: Address) -> str | None:
    """Why the address may be another's, such as `a public address`; None: it stays within this network.

    An address that carries IPv4 addresses is judged by these. Whether it belongs to this host is not considered.
    """
    for special in RANGES:
        if address in special.network:
            return special.foreign
    for special, embedded in EMBEDDED:
        if address in special.network:
            inner = [ipaddress.IPv4Address(bits) for bits in embedded(int(address))]
            found = next(((each, why) for each in inner if (why := foreign(each))), None)
            return f"{found[1]} ({special.about}: {found[0]})" if found else None
    return PUBLIC
