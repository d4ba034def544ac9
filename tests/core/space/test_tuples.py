"""The tuple space agrees with brute force."""

import ipaddress
import itertools
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.errors import UsageError
from fourtuple.core.space.endpoints import Endpoint, EndpointSpec, FourTuple, parse_addresses
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import TupleSpace

FIRST = {4: int(ipaddress.ip_address("10.0.0.250")), 6: int(ipaddress.ip_address("fd00::ffff:ffff:ffff:fffa"))}


@st.composite
def spaces(draw: st.DrawFn) -> TupleSpace:
    """Small spaces of either version, with holes, overlaps and carries over byte and word borders."""
    version = draw(st.sampled_from([4, 6]))
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    addresses = st.integers(0, 11).map(lambda n: kind(FIRST[version] + n))
    ports = st.integers(65_520, 65_535)
    sources = draw(st.lists(addresses, min_size=1, max_size=4))
    low, high = sorted((draw(ports), draw(ports)))
    ends = draw(st.lists(st.tuples(addresses, ports, st.integers(0, 3)), min_size=1, max_size=4))
    return TupleSpace.of(
        list(map(str, sources)),
        range(low, high + 1),
        [str(EndpointSpec(str(a), range(p, min(p + n, 65_535) + 1))) for a, p, n in ends],
        reserved=draw(st.sets(ports, max_size=4)),
    )


def brute_force(space: TupleSpace) -> set[FourTuple]:
    ends = [
        Endpoint(space.address(address), port)
        for addresses, ports in space.destinations.parts
        for address, port in itertools.product(addresses, ports)
    ]
    sources = [Endpoint(space.address(a), p) for a, p in itertools.product(space.sources, space.ports)]
    return {FourTuple(source, end) for source, end in itertools.product(sources, ends)}


@given(spaces())
def test_size_counts_exactly_the_tuples_that_iteration_yields(space: TupleSpace) -> None:
    """The formula agrees with brute force, and no 4-tuple comes twice."""
    tuples = list(space)

    assert len(tuples) == space.size == len(set(tuples))
    assert set(tuples) == brute_force(space)


@given(spaces())
def test_index_undoes_getitem(space: TupleSpace) -> None:
    """space.index(space[i]) == i for every i."""

    assert [space.index(space[i]) for i in range(space.size)] == list(range(space.size))


@given(spaces(), st.data())
def test_block_gives_the_same_tuples_as_getitem(space: TupleSpace, data: st.DataObject) -> None:
    """Columns made by array arithmetic are the tuples made one by one."""
    start = data.draw(st.integers(0, space.size))
    stop = data.draw(st.integers(start, space.size))
    block = space.block(start, stop)

    assert [block[row] for row in range(len(block))] == [space[i] for i in range(start, stop)]


@given(spaces())
def test_pair_block_names_the_pair_of_every_tuple(space: TupleSpace) -> None:
    """The i-th tuple belongs to the pair i modulo pairs; source port 0 leaves the choice to the kernel."""
    block = space.pair_block(np.arange(space.size) % space.pairs)

    for row, of_space in enumerate(space):
        pair = block[row]
        assert (pair.source.address, pair.destination) == (of_space.source.address, of_space.destination)
        assert pair.source.port == 0


def test_source_ports_turn_slowest() -> None:
    """Early connections spread over all addresses and destinations."""
    space = TupleSpace.of(["10.0.0.4-5"], range(40_000, 40_002), ["10.0.0.9:80-81"])

    assert [str(t) for t in itertools.islice(space, 5)] == [
        "10.0.0.4:40000 → 10.0.0.9:80",
        "10.0.0.4:40000 → 10.0.0.9:81",
        "10.0.0.5:40000 → 10.0.0.9:80",
        "10.0.0.5:40000 → 10.0.0.9:81",
        "10.0.0.4:40001 → 10.0.0.9:80",
    ]


def test_the_whole_space_is_two_to_the_96_and_to_the_288() -> None:
    """Two addresses and two ports of 32 (128) and 16 bits."""

    assert TupleSpace.whole(4).size == 2**96
    assert TupleSpace.whole(6).size == 2**288


def test_a_huge_space_still_counts_both_ways() -> None:
    """Index arithmetic is exact far beyond 64 bits."""
    space = TupleSpace.of(["fd00::/48"], range(1, 65_536), ["[fd01::1]:1-65535", "[fd01::2]:7"])
    middle = space.size // 2 + 12_345

    assert space.size == 2**80 * 65_535 * 65_536
    assert space.index(space[middle]) == middle


def test_a_block_of_what_no_column_can_number_is_refused() -> None:
    """Rather than wrapping around silently."""
    with pytest.raises(OverflowError):
        TupleSpace.whole(6).block(0, 1)


@pytest.mark.parametrize("index", [-1, 4])
def test_outside_of_the_space_is_an_index_error(index: int) -> None:
    space = TupleSpace.of(["10.0.0.4"], range(1, 5), ["10.0.0.9:80"])
    with pytest.raises(IndexError):
        space[index]


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12))), st.sets(st.integers(0, 70)))
def test_ranges_are_the_set_of_their_values(parts: list[tuple[int, int]], holes: set[int]) -> None:
    """Overlapping, touching and empty ranges, less some values, are the plain set; index and order agree."""
    expected = sorted({v for start, size in parts for v in range(start, start + size)} - holes)
    ranges = Ranges(range(start, start + size) for start, size in parts).without(holes)

    assert list(ranges) == expected
    assert [ranges[i] for i in range(ranges.size)] == expected
    assert [ranges.index(v) for v in expected] == list(range(len(expected)))
    assert [v in ranges for v in range(80)] == [v in expected for v in range(80)]


@given(st.ip_addresses(), st.integers(0, 65_535))
def test_an_endpoint_reads_back_what_it_prints(address: ipaddress.IPv4Address, port: int) -> None:
    """`str` and `parse` are inverse, brackets included."""
    endpoint = Endpoint(address, port)
    if port == 0 or "%" in str(address):
        return

    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    ("text", "first", "last", "count"),
    [
        ("10.0.0.4", "10.0.0.4", "10.0.0.4", 1),
        ("10.0.0.2-9", "10.0.0.2", "10.0.0.9", 8),
        ("10.0.0.250-10.0.1.5", "10.0.0.250", "10.0.1.5", 12),
        ("10.0.0.0/29", "10.0.0.1", "10.0.0.6", 6),
        ("127.0.0.0/29", "127.0.0.0", "127.0.0.7", 8),
        ("10.0.0.4/31", "10.0.0.4", "10.0.0.5", 2),
        ("fd00::2-9", "fd00::2", "fd00::9", 8),
        ("fd00::/126", "fd00::", "fd00::3", 4),
    ],
)
def test_addresses_as_typed(text: str, first: str, last: str, count: int) -> None:
    version, addresses = parse_addresses(text)
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address

    assert (str(kind(addresses[0])), str(kind(addresses[-1])), len(addresses)) == (first, last, count)


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.256:80",
        "10.0.0.9:0",
        "10.0.0.9:65536",
        "10.0.0.9:9-8",
        "10.0.0.9:http",
        "10.0.0.9:80-",
        "[fd00::1:80",
        ":80",
        "10.0.0.9",
        "10.0.0.9:80-81",
    ],
)
def test_a_bad_endpoint_is_named(text: str) -> None:
    """What is wrong with it is a screen, tests/screens/errors.py."""
    with pytest.raises(UsageError) as caught:
        Endpoint.parse(text)

    assert re.search(rf"'({re.escape(text)}|10\.0\.0\.256)'", caught.value.wanted)


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://127.0.0.1:1", "127.0.0.1:1"),
        ("http://127.0.0.1:80/", "127.0.0.1:80"),
        ("HTTPS://example.com/a:b?c", "example.com:443"),
        ("ws://user:secret@[fd00::1]/chat", "[fd00::1]:80"),
        ("wss://[fd00::1]:8443", "[fd00::1]:8443"),
        ("http://127.0.0.1:8000-8003/x?y=1", "127.0.0.1:8000-8003"),
        ("mqtts://user:secret@broker", "broker:8883"),
        ("mqtt://broker", "broker:1883"),
        ("tls://127.0.0.1", "127.0.0.1:PORT"),
        ("redis://127.0.0.1/0", "127.0.0.1:PORT"),
    ],
)
def test_a_url_is_refused_with_the_endpoint_it_names(url: str, endpoint: str) -> None:
    with pytest.raises(UsageError) as caught:
        EndpointSpec.parse(url)

    assert caught.value.do == f"Write {endpoint}."


def test_a_unix_socket_is_no_endpoint_but_a_host_may_be_called_unix() -> None:
    for text in ("unix:/run/x.sock", "unix:x.sock", "unix:@name"):
        with pytest.raises(UsageError, match="Unix socket, which has no ports"):
            EndpointSpec.parse(text)
    assert EndpointSpec.parse("unix:80-81") == EndpointSpec("unix", range(80, 82))


@pytest.mark.parametrize(
    ("sources", "ports", "destinations", "names"),
    [
        (["10.0.0.4"], range(1, 9), ["[fd00::1]:80"], "IPv6"),
        ([], range(1, 9), ["10.0.0.9:80"], "source"),
        (["10.0.0.4"], range(1, 9), [], "destination"),
        (["10.0.0.4"], range(9), ["10.0.0.9:80"], "65535"),
        (["10.0.0.4"], range(1, 9), ["10.0.0.9"], "10.0.0.9"),
        (["10.0.0.9-4"], range(1, 9), ["10.0.0.9:80"], "10.0.0.9-4"),
        (["10.0.0.4-::ffff:10.0.0.9"], range(1, 9), ["10.0.0.9:80"], "IPv6"),
    ],
)
def test_a_bad_space_is_refused_by_what_is_wrong_with_it(
    sources: list[str], ports: range, destinations: list[str], names: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(names)):
        TupleSpace.of(sources, ports, destinations)


@given(spaces(), st.data())
def test_rows_are_the_four_tuples_with_these_numbers(space: TupleSpace, data: st.DataObject) -> None:
    """In any order, also twice: what opens a lost connection again must name the very same one."""
    number = st.integers(0, max(1, min(space.size, 2**63)) - 1)
    numbers = data.draw(st.lists(number, max_size=20 if space.size else 0))
    block = space.rows(np.array(numbers, np.int64))

    assert [block[row] for row in range(len(block))] == [space[number] for number in numbers]
