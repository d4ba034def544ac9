"""Which connections are asked about: what may be typed, and which it is, as `ipaddress` sees them."""

import ipaddress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.errors import UsageError
from fourtuple.core.sockets.filter import EVERY_ADDRESS, EVERYWHERE, EndpointRange, Where
from fourtuple.core.sockets.table import mapped
from tests.core.census.test_usage import shown

ANY_PORT = range(65536)


def number(address: str) -> int:
    return int(ipaddress.ip_address(address))


def addresses(first: str, last: str) -> range:
    return range(number(first), number(last) + 1)


@pytest.mark.parametrize(
    ("text", "version", "expected", "ports"),
    [
        ("10.0.0.9", 4, addresses("10.0.0.9", "10.0.0.9"), ANY_PORT),
        ("10.0.0.9:80", 4, addresses("10.0.0.9", "10.0.0.9"), range(80, 81)),
        ("10.0.0.9:80-81", 4, addresses("10.0.0.9", "10.0.0.9"), range(80, 82)),
        ("10.0.0.2-9:80", 4, addresses("10.0.0.2", "10.0.0.9"), range(80, 81)),
        ("10.0.0.2-10.0.1.9", 4, addresses("10.0.0.2", "10.0.1.9"), ANY_PORT),
        ("10.0.0.0/24", 4, addresses("10.0.0.0", "10.0.0.255"), ANY_PORT),
        ("10.0.0.77/24:1-65535", 4, addresses("10.0.0.0", "10.0.0.255"), range(1, 65536)),
        ("0.0.0.0/0", 4, EVERY_ADDRESS[4], ANY_PORT),
        ("fd00::9", 6, addresses("fd00::9", "fd00::9"), ANY_PORT),
        ("[fd00::9]", 6, addresses("fd00::9", "fd00::9"), ANY_PORT),
        ("[fd00::9]:80", 6, addresses("fd00::9", "fd00::9"), range(80, 81)),
        ("fd00::2-9", 6, addresses("fd00::2", "fd00::9"), ANY_PORT),
        ("[fd00::/64]:80", 6, addresses("fd00::", "fd00::ffff:ffff:ffff:ffff"), range(80, 81)),
        ("::/0", 6, EVERY_ADDRESS[6], ANY_PORT),
        ("::1", 6, addresses("::1", "::1"), ANY_PORT),
        ("::", 6, addresses("::", "::"), ANY_PORT),
    ],
)
def test_a_part_is_addresses_of_one_version_and_ports(text: str, version: int, expected: range, ports: range) -> None:
    assert EndpointRange.parse(text) == (EndpointRange(version, expected, ports),)


@pytest.mark.parametrize(("text", "ports"), [(":80", range(80, 81)), (":80-81", range(80, 82))])
def test_a_port_alone_is_of_any_address_of_both_versions(text: str, ports: range) -> None:
    assert EndpointRange.parse(text) == (EndpointRange(4, range(2**32), ports), EndpointRange(6, range(2**128), ports))


@pytest.mark.parametrize(
    "text",
    [
        *("", ":", ":0", ":80-79", ":65536", ":x", "80:", "10.0.0.9:", "10.0.0.9:http", "10.0.0.9:0", ":8０"),
        *("10.0.0", "example.org", "10.0.0.9-2", "10.0.0.0/33", "10.0.0.2-fd00::9"),
        *("fd00::9-fd00::2", "[fd00::9", "[fd00::9]80"),
    ],
)
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        EndpointRange.parse(text)


@pytest.mark.parametrize("text", ["10.0.0.4:80", "[fd00::4]:80", "10.0.0.0/24:1-2", ":80"])
def test_a_source_has_no_port(text: str) -> None:
    with pytest.raises(UsageError):
        Where.parse([], [text])

    assert Where.parse([text], []).to


def test_a_source_with_a_port_is_named_in_what_is_said() -> None:
    with pytest.raises(UsageError, match=r"--from 10\.0\.0\.4:80"):
        Where.parse(["10.0.0.9"], ["10.0.0.5", "10.0.0.4:80"])


def test_nothing_typed_is_everywhere() -> None:
    assert Where.parse([], []) == EVERYWHERE == Where()
    nothing = np.zeros(0, "V16")
    assert EVERYWHERE.has(nothing, nothing, np.zeros(0, np.uint16)).tolist() == []
    assert Where.parse([":80"], ["10.0.0.4"]).has(nothing, nothing, np.zeros(0, np.uint16)).tolist() == []


# Against ipaddress: a part as (first address, last address, ports).

ENDS = ["10.0.0.1", "10.0.0.255", "10.0.1.0", "0.0.0.0", "255.255.255.255", "::ffff:10.0.0.1", "::a00:1", "::", "::1"]
ENDS += ["fd00::1", "fd00::ffff:ffff:ffff:ffff", "fd00:0:0:1::", "fd00:0:0:1::1", "ffff:" * 7 + "ffff", "::fffe:a00:1"]
SPECS = {
    "10.0.0.1": ("10.0.0.1", "10.0.0.1"),
    "10.0.0.0/24": ("10.0.0.0", "10.0.0.255"),
    "10.0.0.255-10.0.1.0": ("10.0.0.255", "10.0.1.0"),
    "0.0.0.0/0": ("0.0.0.0", "255.255.255.255"),
    "::a00:1": ("::a00:1", "::a00:1"),
    "::/64": ("::", "::ffff:ffff:ffff:ffff"),
    "fd00::/64": ("fd00::", "fd00::ffff:ffff:ffff:ffff"),
    "fd00::1-fd00:0:0:1::": ("fd00::1", "fd00:0:0:1::"),
    "::/0": ("::", "ffff:" * 7 + "ffff"),
}
PORTS = {"": ANY_PORT, ":80": range(80, 81), ":80-443": range(80, 444), ":1-65535": range(1, 65536)}


def is_within(address: str, spec: str) -> bool:
    """An IPv4-mapped address is an IPv4 one, and only that."""
    value, (first, last) = ipaddress.ip_address(shown(address)), map(ipaddress.ip_address, SPECS[spec])
    return value.version == first.version and int(first) <= int(value) <= int(last)


CONNECTIONS = st.tuples(st.sampled_from(ENDS), st.sampled_from(ENDS), st.sampled_from([0, 1, 79, 80, 443, 444, 65535]))


@given(
    st.lists(st.tuples(st.sampled_from(sorted(SPECS)), st.sampled_from(sorted(PORTS))), max_size=3),
    st.lists(st.sampled_from(sorted(SPECS)), max_size=2),
    st.lists(CONNECTIONS, max_size=12),
)
def test_a_connection_is_asked_about_if_any_part_has_each_end(
    to: list[tuple[str, str]], sources: list[str], ends: list[tuple[str, str, int]]
) -> None:
    where = Where.parse([f"[{host}]{ports}" for host, ports in to], sources)
    source, destination = (
        np.array([mapped(ipaddress.ip_address(end[place])) for end in ends], "S16").astype("V16") for place in range(2)
    )

    found = where.has(source, destination, np.array([end[2] for end in ends], np.uint16))

    assert found.tolist() == [
        (not to or any(is_within(far, host) and port in PORTS[ports] for host, ports in to))
        and (not sources or any(is_within(near, host) for host in sources))
        for near, far, port in ends
    ]


def test_an_ipv4_address_is_not_the_ipv6_one_of_the_same_number() -> None:
    ends = np.frombuffer(b"".join(mapped(ipaddress.ip_address(end)) for end in ("10.0.0.1", "::a00:1")), "V16")
    ports = np.array([80, 80], np.uint16)

    assert Where.parse(["10.0.0.1"], []).has(ends, ends, ports).tolist() == [True, False]
    assert Where.parse(["::a00:1"], []).has(ends, ends, ports).tolist() == [False, True]
    assert Where.parse([], ["10.0.0.1"]).has(ends, ends, ports).tolist() == [True, False]
    assert Where.parse([":80"], []).has(ends, ends, ports).tolist() == [True, True]


def test_an_ipv4_address_as_ipv6_sockets_show_it_is_that_ipv4_address() -> None:
    assert EndpointRange.parse("::ffff:10.0.0.9") == EndpointRange.parse("10.0.0.9")
    assert EndpointRange.parse("[::ffff:10.0.0.9]:80") == EndpointRange.parse("10.0.0.9:80")


def test_a_network_of_ipv4_as_ipv6_sockets_show_it_is_that_network() -> None:
    assert EndpointRange.parse("::ffff:10.0.0.0/120") == EndpointRange.parse("10.0.0.0/24")


@pytest.mark.parametrize(
    ("to", "sources", "possible"),
    [
        (["127.0.0.1"], ["::1"], False),
        (["fd00::/16", "::1"], ["10.0.0.0/8"], False),
        (["127.0.0.1", "::1"], ["::1"], True),
        ([":80"], ["::1"], True),
        (["::ffff:10.0.0.9"], ["10.0.0.1"], True),
        ([], ["::1"], True),
        (["127.0.0.1"], [], True),
    ],
)
def test_no_connection_has_two_ip_versions(to: list[str], sources: list[str], possible: bool) -> None:
    assert Where.parse(to, sources).is_possible is possible
