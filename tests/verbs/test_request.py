"""Which 4-tuples a request means: names with several addresses, given by a resolver of the test."""

import ipaddress

import pytest

from fourtuple.core.errors import UsageError
from fourtuple.core.limits.facts import PortFacts
from fourtuple.core.space.endpoints import Address, EndpointSpec, Resolved
from fourtuple.core.space.ranges import Ranges
from fourtuple.core.space.tuples import TupleSpace
from fourtuple.kernel.host import LiveHost
from fourtuple.verbs.request import space_of

FACTS = PortFacts(range(32768, 61000), Ranges([]))
NAMES = {
    "three": ["127.0.0.3", "127.0.0.1", "127.0.0.2"],
    "twice": ["127.0.0.1", "::ffff:127.0.0.1", "127.0.0.1"],
    "both": ["::1", "127.0.0.1"],
    "mixed": ["::1", "127.0.0.2", "127.0.0.1"],
    "wild": ["0.0.0.0", "127.0.0.1"],
    "six": ["::1"],
    "foreign": ["127.0.0.1", "192.0.2.1"],
}


class Named(LiveHost):
    """This host, with a resolver of the test."""

    def resolve(self, spec: EndpointSpec) -> list[Address]:
        return [ipaddress.ip_address(text) for text in NAMES.get(spec.host, [spec.host])]


def asked(
    *destinations: str, sources: tuple[str, ...] = (), first_address: bool = False
) -> tuple[TupleSpace, tuple[Resolved, ...]]:
    space, _, resolved = space_of(
        FACTS, destinations, sources, None, Named(), first_address=first_address, on_paper=True
    )
    return space, resolved


def ends(space: TupleSpace) -> set[str]:
    return {
        f"{space.address(value)}:{port}"
        for values, ports in space.destinations.parts
        for value in values
        for part in ports.parts
        for port in part
    }


def test_a_name_means_all_of_its_addresses_with_each_port() -> None:
    space, resolved = asked("three:80-81")

    assert ends(space) == {f"127.0.0.{number}:{port}" for number in (1, 2, 3) for port in (80, 81)}
    assert resolved == (Resolved("three", tuple(NAMES["three"]), tuple(NAMES["three"])),)


def test_the_first_address_is_the_resolvers_first() -> None:
    space, resolved = asked("three:80", "three:82", first_address=True)

    assert ends(space) == {"127.0.0.3:80", "127.0.0.3:82"}
    assert resolved == (Resolved("three", tuple(NAMES["three"]), ("127.0.0.3",)),)


@pytest.mark.parametrize(("host", "meant"), [("0.0.0.0", "127.0.0.1"), ("[::]", "::1")])
def test_a_wildcard_as_a_destination_is_told_like_a_name(host: str, meant: str) -> None:
    """connect() takes it for this host, and the answer says so."""
    _, resolved = asked(f"{host}:80")

    assert resolved == (Resolved(host.strip("[]"), (meant,), (meant,)),)


@pytest.mark.parametrize("name", ["twice", "wild", "127.0.0.1"])
def test_what_is_the_same_address_counts_once(name: str) -> None:
    """A duplicate, an IPv4 address written as IPv6, the wildcard, which means this host."""
    space, resolved = asked(f"{name}:80")

    assert (ends(space), resolved) == ({"127.0.0.1:80"}, ())


@pytest.mark.parametrize(
    ("destinations", "sources", "expected"),
    [
        (["mixed:80"], (), {"::1:80"}),
        (["mixed:80"], ("127.0.0.1",), {"127.0.0.2:80", "127.0.0.1:80"}),
        (["mixed:80", "three:81"], (), {"127.0.0.2:80", "127.0.0.1:80", *(f"127.0.0.{n}:81" for n in (1, 2, 3))}),
        (["both:80", "mixed:81"], (), {"::1:80", "::1:81"}),
        (["both:80", "127.0.0.9:81"], (), {"127.0.0.1:80", "127.0.0.9:81"}),
    ],
)
def test_the_ip_version_is_one_that_all_have_the_resolvers_first(
    destinations: list[str], sources: tuple[str, ...], expected: set[str]
) -> None:
    assert ends(asked(*destinations, sources=sources)[0]) == expected


def test_addresses_that_are_not_used_are_known() -> None:
    """Two of the three are IPv4, and the resolver prefers IPv6; one of each version is nothing to be told."""
    assert asked("mixed:80")[1] == (Resolved("mixed", tuple(NAMES["mixed"]), ("::1",)),)
    assert asked("both:80")[1] == ()


@pytest.mark.parametrize(
    ("destinations", "sources", "words"),
    [
        (["three:80", "six:80"], (), "IPv4 and IPv6"),
        (["three:80"], ("::1",), "IPv4 and IPv6"),
        (["foreign:80"], ("127.0.0.1",), "192.0.2.1"),  # its second address
        (["127.0.0.1:80", "192.0.2.1:80"], ("127.0.0.1",), "192.0.2.1"),
    ],
)
def test_what_is_impossible_with_one_of_the_addresses_is_refused(
    destinations: list[str], sources: tuple[str, ...], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        asked(*destinations, sources=sources)
