"""Connections through a translating router: the vendors' numbers, their boundaries, and when they fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.plan.nat import LEAST_SLICE, ROUTERS, nat_budget

BY_DESTINATION = [name for name, router in ROUTERS.items() if not router.slices]


@pytest.mark.parametrize(
    ("name", "per_address", "most_addresses", "quiet_s"),
    [
        ("aws", 55_000, 8, 350),
        ("azure", 50_000, 16, 240),
        ("gcp", 64_512, None, 1200),
        ("linux", 64_512, None, 432_000),
    ],
)
def test_what_each_router_has(name: str, per_address: int, most_addresses: int | None, quiet_s: int) -> None:
    """As the vendors' pages say, which each row names."""
    router = ROUTERS[name]

    assert (router.per_address, router.most_addresses, router.quiet_s) == (per_address, most_addresses, quiet_s)
    assert router.title
    assert router.source


def test_there_are_these_routers() -> None:
    assert set(ROUTERS) == {"aws", "azure", "gcp", "linux"}


@pytest.mark.parametrize("name", BY_DESTINATION)
def test_one_more_than_an_address_has_takes_another_address(name: str) -> None:
    """55,000 fit through one address, 55,001 take two."""
    most = ROUTERS[name].per_address
    last, over = nat_budget(name, 1, most, 1, 1), nat_budget(name, 1, most + 1, 1, 1)

    assert (last.fits, last.addresses_wanted, last.room) == (True, 1, most)
    assert (over.fits, over.addresses_wanted, over.room) == (False, 2, most)
    assert nat_budget(name, 2, most + 1, 1, 1).fits


@pytest.mark.parametrize("name", BY_DESTINATION)
def test_what_counts_is_each_destination(name: str) -> None:
    """As many to each of ten destinations, or a few, rounded up; how many machines there are is all the same."""
    most = ROUTERS[name].per_address
    ten, over = nat_budget(name, 1, 10 * most, 10, 7), nat_budget(name, 1, 10 * most + 1, 10, 7)

    assert (ten.each, ten.fits, ten.slice_ports) == (most, True, None)
    assert (over.each, over.fits) == (most + 1, False)


@pytest.mark.parametrize("name", ["aws", "azure"])
def test_more_than_one_gateway_can_have_is_no_number_of_addresses(name: str) -> None:
    router = ROUTERS[name]
    most = router.most_addresses
    assert most is not None
    whole = nat_budget(name, most, most * router.per_address, 1, 1)
    over = nat_budget(name, 2 * most, most * router.per_address + 1, 1, 1)

    assert (whole.fits, whole.addresses_wanted) == (True, most)
    assert (over.fits, over.addresses_wanted) == (False, None)


@pytest.mark.parametrize("name", ["linux", "gcp"])
def test_others_take_as_many_addresses_as_they_are_given(name: str) -> None:
    assert nat_budget(name, 10**6, 10**9, 1, 10**6).fits


@pytest.mark.parametrize(
    ("wanted", "destinations", "machines", "slice_ports"),
    [
        (1, 1, 1, LEAST_SLICE),
        (640, 1, 10, 64),
        (641, 1, 10, 65),
        (1_280, 2, 10, 64),
        (1_281, 2, 10, 65),
        (64_512, 1, 1, 64_512),
    ],
)
def test_a_machines_share_of_the_ports(wanted: int, destinations: int, machines: int, slice_ports: int) -> None:
    """What it wants of any one destination; 64 at least, which Google gives."""
    found = nat_budget("gcp", 1, wanted, destinations, machines)

    assert (found.slice_ports, found.fits, found.addresses_wanted) == (slice_ports, True, 1)


def test_an_address_serves_whole_shares_only() -> None:
    """40,000 ports a machine: one to each address, whose other 24,512 ports are nobody's."""
    found = nat_budget("gcp", 2, 120_000, 1, 3)

    assert (found.slice_ports, found.addresses_wanted, found.room, found.fits) == (40_000, 3, 80_000, False)
    assert nat_budget("gcp", 3, 120_000, 1, 3).fits


def test_a_share_larger_than_an_address_is_not_to_be_had() -> None:
    found = nat_budget("gcp", 100, 64_513, 1, 1)

    assert (found.slice_ports, found.addresses_wanted, found.room, found.fits) == (64_513, None, 0, False)
    assert nat_budget("gcp", 2, 64_513, 1, 2).fits
    assert nat_budget("gcp", 1, 64_513, 2, 1).fits


@given(
    st.sampled_from(sorted(ROUTERS)),
    st.integers(1, 40),
    st.integers(1, 10**8),
    st.integers(1, 2000),
    st.integers(1, 10**5),
)
def test_it_fits_exactly_where_there_are_addresses_enough(
    name: str, addresses: int, wanted: int, destinations: int, machines: int
) -> None:
    """And the smallest number of them does: with one fewer it would not fit."""
    found = nat_budget(name, addresses, wanted, destinations, machines)
    needed = found.addresses_wanted

    assert found.each * destinations >= wanted > (found.each - 1) * destinations
    assert found.fits == (needed is not None and addresses >= needed)
    if found.fits and needed is not None:
        assert found.room >= found.each
        assert nat_budget(name, needed, wanted, destinations, machines).fits
        assert not nat_budget(name, needed - 1, wanted, destinations, machines).fits
    elif not ROUTERS[name].slices and needed is not None:
        assert found.room < found.each


@given(st.sampled_from(sorted(ROUTERS)), st.integers(1, 40))
def test_what_a_budget_says_of_the_router_is_the_routers(name: str, addresses: int) -> None:
    found, router = nat_budget(name, addresses, 1000, 1, 1), ROUTERS[name]

    assert (found.router, found.title, found.addresses) == (name, router.title, addresses)
    assert (found.each_address, found.quiet_s) == (router.per_address, router.quiet_s)
    assert (found.kept_s, found.source) == (router.kept_s, router.source)
