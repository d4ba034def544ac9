"""Connections through a translating router: the vendors' numbers, their boundaries, and when they fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.cli.plan import NAT
from fourtuple.core.plan.nat import KEPT, PORTS, ROUTERS, Share, nat_budget

BY_DESTINATION = [name for name, router in ROUTERS.items() if router.share is Share.ADDRESS]
BY_ADDRESS = [name for name, router in ROUTERS.items() if router.share is not Share.MACHINE]
LEAST_SLICE = 64  # of Google's rows without dynamic allocation


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

    assert (router.ports, router.most_addresses, router.quiet_s) == (per_address, most_addresses, quiet_s)
    assert router.title
    assert router.source


def test_there_are_these_routers() -> None:
    """The command offers the same names; each names its document, where that is, and when it was read."""
    assert tuple(ROUTERS) == NAT
    for router in ROUTERS.values():
        assert router.source
        assert router.url.startswith("https://")
        assert router.read.startswith("2026-")


@pytest.mark.parametrize("name", BY_DESTINATION)
def test_one_more_than_an_address_has_takes_another_address(name: str) -> None:
    """55,000 fit through one address, 55,001 take two."""
    most = ROUTERS[name].ports or 0
    last, over = nat_budget(name, 1, most, 1, 1), nat_budget(name, 1, most + 1, 1, 1)

    assert (last.fits, last.addresses_wanted, last.room) == (True, 1, most)
    assert (over.fits, over.addresses_wanted, over.room) == (False, 2, most)
    assert nat_budget(name, 2, most + 1, 1, 1).fits


@pytest.mark.parametrize("name", BY_DESTINATION)
def test_what_counts_is_each_destination(name: str) -> None:
    """As many to each of ten destinations, or a few, rounded up; how many machines there are is all the same."""
    most = ROUTERS[name].ports or 0
    ten, over = nat_budget(name, 1, 10 * most, 10, 7), nat_budget(name, 1, 10 * most + 1, 10, 7)

    assert (ten.each, ten.fits, ten.slice_ports) == (most, True, None)
    assert (over.each, over.fits) == (most + 1, False)


@pytest.mark.parametrize("name", ["aws", "azure"])
def test_more_than_one_gateway_can_have_is_no_number_of_addresses(name: str) -> None:
    router = ROUTERS[name]
    most, ports = router.most_addresses, router.ports
    assert most is not None
    assert ports is not None
    whole = nat_budget(name, most, most * ports, 1, 1)
    over = nat_budget(name, 2 * most, most * ports + 1, 1, 1)

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
    st.sampled_from(BY_ADDRESS),
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

    among = 1 if ROUTERS[name].one_each else destinations
    assert found.each * among >= wanted > (found.each - 1) * among
    assert found.fits == (needed is not None and addresses >= needed)
    if found.fits and needed is not None:
        assert found.room is not None
        assert found.room >= found.each
        assert nat_budget(name, needed, wanted, destinations, machines).fits
        assert not nat_budget(name, needed - 1, wanted, destinations, machines).fits
    elif ROUTERS[name].share is Share.ADDRESS and needed is not None:
        assert found.room is not None
        assert found.room < found.each


@given(st.sampled_from(sorted(ROUTERS)), st.integers(1, 40))
def test_what_a_budget_says_of_the_router_is_the_routers(name: str, addresses: int) -> None:
    found, router = nat_budget(name, addresses, 1000, 1, 1), ROUTERS[name]

    assert (found.router, found.title, found.addresses) == (name, router.title, addresses)
    assert (found.each_address, found.quiet_s) == (router.ports, router.quiet_s)
    assert (found.kept_s, found.source) == (router.kept_s, router.source)


# Connections that are opened and closed continuously.


def test_closed_connections_keep_their_ports() -> None:
    """20 that are held and 400 per second, each for 120 s after it has closed: 48,020 ports, not 64."""
    found = nat_budget("gcp", 1, 20, 1, 1, churn_per_s=400.0)

    assert (found.each, found.closing, found.slice_ports, found.fits) == (48_020, 48_000, 48_020, True)
    assert not nat_budget("gcp", 1, 20, 1, 1, churn_per_s=600.0).fits


@given(st.integers(1, 10**5), st.integers(1, 500), st.integers(1, 50), st.integers(1, 1000))
def test_every_machine_churns_and_destinations_share_it(
    wanted: int, rate: int, machines: int, destinations: int
) -> None:
    found = nat_budget("linux", 1, wanted, destinations, machines, churn_per_s=float(rate))
    ports = wanted + rate * 120 * machines

    assert (found.each - 1) * destinations < ports <= found.each * destinations
    assert found.fits == (found.each <= 64_512)


@pytest.mark.parametrize("name", [name for name, router in ROUTERS.items() if router.kept_s is None])
def test_where_the_time_of_a_closed_connection_is_not_documented_it_is_unknown(name: str) -> None:
    """Unless it is assumed."""
    found = nat_budget(name, 1, 20, 1, 1, churn_per_s=1.0, assumed={PORTS: 1000})
    known = nat_budget(name, 1, 20, 1, 1, churn_per_s=1.0, assumed={PORTS: 1000, KEPT: 60})

    assert (found.fits, found.lacks, KEPT in found.unknown) == (False, False, True)
    assert (known.fits, known.each, known.unknown) == (True, 80, "")


# Machines with a number of ports of their own.


@pytest.mark.parametrize(
    ("machines", "wanted", "destinations", "fits"),
    [(1, 128, 1, True), (1, 129, 1, False), (10, 1280, 1, True), (10, 1281, 1, False), (1, 256, 2, True)],
)
def test_an_instance_of_app_service_has_128_ports_for_each_destination(
    machines: int, wanted: int, destinations: int, fits: bool
) -> None:
    found = nat_budget("azure-app-service", 1, wanted, destinations, machines)

    assert (found.fits, found.room) == (fits, 128 * machines)
    assert found.lacks is not fits


@pytest.mark.parametrize(
    ("machines", "ports"), [(1, 1024), (50, 1024), (51, 512), (100, 512), (101, 256), (401, 64), (801, 32), (1000, 32)]
)
def test_default_ports_of_a_load_balancer_follow_from_its_pool(machines: int, ports: int) -> None:
    """More public addresses add as many, until a machine has 1,024."""
    one, more = (nat_budget("azure-load-balancer", n, ports * machines + 1, 1, machines) for n in (1, 2))
    full = nat_budget("azure-load-balancer", 99, 1024 * machines, 1, machines)

    assert (one.each_address, one.room, one.fits) == (ports, ports * machines, False)
    assert more.fits == (ports < 1024)
    assert (full.fits, full.room) == (True, 1024 * machines)
    assert not nat_budget("azure-load-balancer", 99, 1024 * machines + 1, 1, machines).fits


def test_a_pool_beyond_the_documented_sizes_is_unknown() -> None:
    assert nat_budget("azure-load-balancer", 1, 1, 1, 1001).unknown


def test_what_aws_does_not_publish_is_unknown_unless_it_is_assumed() -> None:
    """An instance tracks every connection, whatever its destination."""
    found = nat_budget("aws-instance", 1, 1, 1, 1)
    assumed = [nat_budget("aws-instance", 1, wanted, 10, 1, assumed={PORTS: 1000}) for wanted in (1000, 1001)]

    assert (found.fits, found.lacks, found.room) == (False, False, None)
    assert "conntrack_allowance_available" in found.note
    assert [each.fits for each in assumed] == [True, False]


@pytest.mark.parametrize("name", sorted(ROUTERS))
def test_without_ports_nothing_fits(name: str) -> None:
    found = nat_budget(name, 1, 20, 1, 1, assumed={PORTS: 0})

    assert (found.fits, found.lacks, found.room, found.addresses_wanted) == (False, True, 0, None)


# Google's variants.


@pytest.mark.parametrize(("wanted", "share"), [(1, 32), (32, 32), (33, 64), (20_000, 32_768)])
def test_a_dynamic_share_doubles(wanted: int, share: int) -> None:
    assert nat_budget("gcp-dynamic", 1, wanted, 1, 1).slice_ports == share


def test_with_endpoint_independent_mapping_destinations_share_no_port() -> None:
    """1,000 connections to ten destinations take 1,000 ports, and 100 without it."""
    assert nat_budget("gcp-independent", 1, 1000, 10, 1).slice_ports == 1000
    assert nat_budget("gcp", 1, 1000, 10, 1).slice_ports == 100
