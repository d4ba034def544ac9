"""Which addresses may be somebody else's: the special ranges, and the addresses that carry another one."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.space.reach import EMBEDDED, RANGES, foreign


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "127.255.255.255", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.9.9"),
        *("169.254.1.1", "192.0.2.1", "198.51.100.7", "203.0.113.255", "198.18.0.1", "198.19.255.255"),
        *("::1", "fc00::1", "fdff::1", "fe80::1", "febf::1", "2001:db8::1", "3fff::1", "2001:2::1", "100::1"),
        *("::ffff:10.0.0.1", "::192.168.0.1", "64:ff9b::10.1.2.3", "64:ff9b:1::10.1.2.3", "2002:a00:1::1"),
        "2001:0:a00:1::f5ff:fffe",  # Teredo: server 10.0.0.1, client 10.0.0.1
    ],
)
def test_what_stays_within_the_network(address: str) -> None:
    assert foreign(ipaddress.ip_address(address)) is None


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.0.1", "192.169.0.1"),
        *("126.255.255.255", "128.0.0.1", "198.17.255.255", "198.20.0.0", "192.0.1.1", "192.0.3.1", "192.88.99.1"),
        *("0.1.2.3", "100.64.0.1", "100.127.255.255", "100.63.255.255", "100.128.0.0", "240.0.0.1", "255.255.255.255"),
        *("2606:4700::1111", "2001:4860::8888", "fec0::1", "2001:db9::1", "2001:3::1", "100:0:0:1::", "4000::1"),
        *("::ffff:8.8.8.8", "::8.8.8.8", "::ffff:0:8.8.8.8", "64:ff9b::8.8.8.8", "64:ff9b:1::8.8.8.8"),
        *("2002:808:808::1", "::ffff:100.64.0.1", "64:ff9b::240.0.0.1", "2002:6440:1::1", "64:ff9b::0.0.0.1"),
        "2001:0:808:808::f5ff:fffe",  # Teredo: server 8.8.8.8, client 10.0.0.1
        "2001:0:a00:1::f7f7:f7f7",  # server 10.0.0.1, client 8.8.8.8
        "64:ff9b:1:808:8:800::",  # 8.8.8.8 as a prefix of 48 bits has it (RFC 6052, 2.2)
        "64:ff9b:1:0:8:808:800:0",  # as one of 64 bits has it
        "64:ff9b:1:0:8:808:a00:0",  # 8.8.8.10, whose low 32 bits look like 10.0.0.0
    ],
)
def test_what_may_be_somebody_elses(address: str) -> None:
    assert foreign(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_wherever_it_is_carried(address: ipaddress.IPv4Address) -> None:
    """As it is, mapped, translated, and inverted in a Teredo address whose server is of this network."""
    bits = int(address)
    carried = [
        *(int(ipaddress.ip_address(prefix)) + bits for prefix in ("::ffff:0:0", "::ffff:0:0:0", "64:ff9b::")),
        int(ipaddress.ip_address("64:ff9b:1::")) + bits,
        (0x2002 << 112) + (bits << 80) + 1,
        (0x20010000 << 96) + (0x0A000001 << 64) + (bits ^ 0xFFFFFFFF),
    ]

    assert {bool(foreign(ipaddress.IPv6Address(each))) for each in carried} == {bool(foreign(address))}


@given(st.ip_addresses(v=4))
def test_of_ipv4_no_public_address_is_taken_for_a_private_one(address: ipaddress.IPv4Address) -> None:
    """Python's own table of the registry is the oracle; this one asks about some addresses more."""
    assert foreign(address) or not address.is_global


@given(st.ip_addresses(v=6))
def test_of_ipv6_no_public_address_is_taken_for_a_private_one(address: ipaddress.IPv6Address) -> None:
    carries = any(address in special.network for special, _ in EMBEDDED)

    assert foreign(address) or carries or not address.is_global or address in ipaddress.ip_network("3fff::/20")


def test_every_range_has_a_source_and_none_hides_another() -> None:
    rows = [*RANGES, *(special for special, _ in EMBEDDED)]

    assert all(special.source.startswith("RFC ") and special.about for special in rows)
    overlapping = [
        (str(one.network), str(two.network))
        for number, one in enumerate(rows)
        for two in rows[number + 1 :]
        if one.network.version == two.network.version and one.network.overlaps(two.network)
    ]
    assert overlapping == [("::1/128", "::/96")]


def test_the_address_that_is_carried_is_named() -> None:
    assert foreign(ipaddress.ip_address("64:ff9b::8.8.8.8")) == "a public address (NAT64: 8.8.8.8)"
