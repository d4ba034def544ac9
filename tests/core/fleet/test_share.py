"""N connections divided among machines: exactly, by CPUs, and never more than there is room for."""

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fourtuple.core.errors import UsageError
from fourtuple.core.fleet.share import MachineOffer, Split, divided, rates_of, share_of, stages_of
from fourtuple.core.space.interval import Interval
from fourtuple.core.talk.stages import parse_stages
from tests.core.fleet.made import bound, machine, server

WANTED = st.integers(0, 2000)
SIZES = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 400)), min_size=1, max_size=8)


def fleet(sizes: Sequence[tuple[int, int]]) -> list[MachineOffer]:
    """Machines with these CPUs and rooms, each with a kernel of its own."""
    return [machine(f"m{number}", cpus, room) for number, (cpus, room) in enumerate(sizes, 1)]


def wanted_of(split: Split) -> list[int]:
    return [share.wanted for share in split.shares]


# One number in parts


@given(WANTED, st.lists(st.integers(0, 9), min_size=1).filter(any))
def test_parts_sum_to_the_number_and_are_their_quota_rounded(number: int, weights: list[int]) -> None:
    """Each part is its quota rounded down or up."""
    parts = divided(number, weights)
    quotas = [Fraction(number * weight, sum(weights)) for weight in weights]

    assert sum(parts) == number
    assert all(abs(part - quota) < 1 for part, quota in zip(parts, quotas, strict=True))


def test_the_largest_remainders_are_rounded_up_and_of_equals_the_first() -> None:
    assert divided(10, [5, 3, 3]) == (4, 3, 3)
    assert divided(2, [1, 1, 1]) == (1, 1, 0)
    assert divided(7, [0, 3, 4]) == (0, 3, 4)


def test_nothing_can_be_divided_by_no_weight() -> None:
    with pytest.raises(ValueError, match="no weight"):
        divided(1, [0, 0])


# N connections


@given(WANTED, SIZES)
def test_the_sum_is_exact_and_nobody_has_more_than_its_room(wanted: int, sizes: list[tuple[int, int]]) -> None:
    """What does not fit is `lacking`, and only if every room is full."""
    split = share_of(wanted, fleet(sizes))
    shares, rooms = wanted_of(split), [room for _, room in sizes]

    assert sum(shares) + split.lacking == wanted
    assert split.lacking == max(0, wanted - sum(rooms))
    assert all(0 <= share <= room for share, room in zip(shares, rooms, strict=True))
    assert split.room == Interval.of(sum(rooms))


@given(WANTED, SIZES)
def test_all_that_have_room_left_have_the_same_for_each_cpu(wanted: int, sizes: list[tuple[int, int]]) -> None:
    """One level fits all of them, to within one connection; those without room left would have more at that level."""
    shares = wanted_of(share_of(wanted, fleet(sizes)))
    each = list(zip(shares, sizes, strict=True))
    least = max((Fraction(share - 1, cpus) for share, (cpus, _) in each), default=Fraction(0))
    most = min((Fraction(share + 1, cpus) for share, (cpus, room) in each if share < room), default=None)

    assert most is None or least < most


@given(WANTED, st.integers(0, 500), SIZES)
def test_more_connections_take_none_from_a_machine(wanted: int, more: int, sizes: list[tuple[int, int]]) -> None:
    """But for one, by which a quota may be rounded otherwise."""
    before, after = (wanted_of(share_of(number, fleet(sizes))) for number in (wanted, wanted + more))

    assert all(b - 1 <= a for b, a in zip(before, after, strict=True))


@given(WANTED, SIZES, st.integers(0, 7), st.integers(1, 100))
def test_more_room_on_a_machine_gives_it_no_fewer(
    wanted: int, sizes: list[tuple[int, int]], place: int, more: int
) -> None:
    place %= len(sizes)
    larger = [(cpus, room + more * (number == place)) for number, (cpus, room) in enumerate(sizes)]

    assert wanted_of(share_of(wanted, fleet(larger)))[place] >= wanted_of(share_of(wanted, fleet(sizes)))[place]


@given(WANTED, SIZES)
def test_the_order_decides_only_between_equals(wanted: int, sizes: list[tuple[int, int]]) -> None:
    """The same machines in another order have the same connections, to within one; asked twice, exactly the same."""
    there, back = share_of(wanted, fleet(sizes)), share_of(wanted, list(reversed(fleet(sizes))))

    assert there == share_of(wanted, fleet(sizes))
    pairs = zip(wanted_of(there), reversed(wanted_of(back)), strict=True)
    assert all(abs(one - other) <= 1 for one, other in pairs)
    assert all(one >= other for one, other in pairwise(wanted_of(share_of(wanted, fleet([(4, 2000)] * 5)))))


def test_what_is_cut_off_goes_to_the_others_by_their_cpus() -> None:
    """The first of three has room for 10 of its 100; 90 go to the others, two and one part of three."""
    split = share_of(400, fleet([(1, 10), (2, 1000), (1, 1000)]))

    assert wanted_of(split) == [10, 260, 130]
    assert split.because == "in the proportion of CPUs (1 to 2 CPUs each); 1 machine has no more room"


@pytest.mark.parametrize("wanted", [23, 997, 40_000])
def test_the_issues_numbers_on_four_machines(wanted: int) -> None:
    split = share_of(wanted, fleet([(2, 28_232)] * 4))

    assert sum(wanted_of(split)) == wanted
    assert max(wanted_of(split)) - min(wanted_of(split)) <= 1


def test_a_hundred_million_over_two_hundred_machines() -> None:
    machines = [
        machine(f"m{n}", 4 + n % 5, 400_000 + n * 1009, sources=(f"10.0.{n}.1-200",), boot=f"b{n // 2}", space=f"{n}")
        for n in range(200)
    ]
    split = share_of(100_000_000, machines)

    assert sum(wanted_of(split)) == 100_000_000


# What perhaps fits


def test_what_perhaps_fits_is_used_only_if_it_is_hoped_for() -> None:
    machines = [machine("m1", room=10, most=12), machine("m2", room=10, most=11)]

    assert wanted_of(share_of(23, machines)) == [10, 10]
    assert share_of(23, machines).lacking == 3
    assert wanted_of(share_of(23, machines, hoped=True)) == [12, 11]
    assert share_of(23, machines).room == Interval(20, 23)


# Who opens


def test_a_machine_that_owns_destinations_opens_nothing() -> None:
    split = share_of(100, [machine("m1"), server("s1"), machine("m2")])

    assert [(share.machine, share.wanted) for share in split.shares] == [("m1", 50), ("m2", 50)]
    assert split.servers == ("s1",)
    assert split.because == "in the proportion of CPUs (4 CPUs each)"


def test_where_every_machine_owns_some_all_of_them_open() -> None:
    split = share_of(100, [server("m1", "127.0.0.1"), server("m2", "127.0.0.1")])

    assert wanted_of(split) == [50, 50]
    assert split.servers == ()


def test_without_machines_nothing_fits() -> None:
    assert share_of(10, []) == Split(10, (), (), Interval.of(0), 10, "no machine opens connections")


# What is shared


def test_workers_of_one_namespace_have_its_room_once() -> None:
    machines = [machine("a", room=100, boot="b"), machine("b", room=99, boot="b"), machine("c", room=100)]
    split = share_of(250, machines)

    assert wanted_of(split) == [50, 49, 100]
    assert split.lacking == 51
    assert split.room == Interval.of(199)


def test_workers_of_one_kernel_have_its_cpus_once() -> None:
    """Two workers on four CPUs open as many as one worker on four CPUs elsewhere."""
    machines = [machine("a", boot="b"), machine("b", boot="b"), machine("c")]

    assert wanted_of(share_of(100, machines)) == [25, 25, 50]


@pytest.mark.parametrize("limit", ["memory", "fs.file-max"])
def test_namespaces_of_one_kernel_have_its_memory_and_files_once(limit: str) -> None:
    """Each has ports for 100; the kernel has memory for 120, or files."""
    bounds = [bound("ports", 100), bound(limit, 120)]
    machines = [machine(name, room=100, bounds=bounds, boot="b", space=name) for name in ("a", "b")]

    assert wanted_of(share_of(150, machines)) == [60, 60]
    assert share_of(150, machines).lacking == 30
    alone = [machine(name, room=100, bounds=bounds) for name in ("a", "b")]
    assert share_of(150, alone).lacking == 0


@given(WANTED, st.lists(st.tuples(st.integers(1, 4), st.integers(0, 300), st.integers(0, 3)), min_size=1, max_size=8))
def test_the_sum_is_exact_also_where_machines_share_a_kernel(wanted: int, sizes: list[tuple[int, int, int]]) -> None:
    machines = [
        machine(f"m{n}", cpus, room, bounds=[bound("memory", 350)], boot=f"b{kernel % 2}", space=str(kernel))
        for n, (cpus, room, kernel) in enumerate(sizes)
    ]
    split = share_of(wanted, machines)

    assert sum(wanted_of(split)) == min(wanted, split.room.least) == wanted - split.lacking
    assert all(share.wanted <= share.room.least for share in split.shares)


def test_two_machines_cannot_open_from_the_same_address() -> None:
    """However it is written, and wherever it stands among others."""
    machines = [
        machine("m1", sources=("10.0.0.1-9", "10.0.0.2")),
        machine("m2", sources=("10.0.1.1",)),
        machine("m3", sources=("10.0.0.5", "10.0.2.1")),
    ]

    with pytest.raises(UsageError, match=r"two machines have the address 10\.0\.0\.5: m1 and m3"):
        share_of(10, machines)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=2, max_size=6))
def test_an_address_in_common_is_found_exactly_if_there_is_one(ranges: list[tuple[int, int]]) -> None:
    machines = [
        machine(f"m{number}", sources=(f"10.0.0.{first}-{first + more}",))
        for number, (first, more) in enumerate(ranges)
    ]
    each = [set(range(first, first + more + 1)) for first, more in ranges]
    common = sum(map(len, each)) > len(set().union(*each))

    try:
        share_of(10, machines)
    except UsageError:
        assert common
    else:
        assert not common


def test_the_same_address_is_no_mistake_in_one_namespace_on_loopback_or_of_a_server() -> None:
    share_of(10, [machine("a", boot="b", sources=("10.0.0.5",)), machine("b", boot="b", sources=("10.0.0.5",))])
    share_of(10, [machine("a", sources=("127.0.0.1",)), machine("b", sources=("127.0.0.1", "::1"))])
    share_of(10, [machine("a", sources=("10.0.0.5",)), server("s", sources=("10.0.0.5",))])


# Stages and rates


@given(st.lists(st.integers(0, 500), min_size=1, max_size=5).filter(any), SIZES)
def test_the_stages_of_all_machines_sum_to_the_stages(targets: list[int], sizes: list[tuple[int, int]]) -> None:
    """At the largest stage each machine has its share, and at no stage more."""
    stages = parse_stages(", ".join(f"{target}@1s" for target in targets))
    split = share_of(stages.most, fleet([(cpus, room + 500) for cpus, room in sizes]))
    each = stages_of(stages, split)

    for number, ramp in enumerate(stages.ramps):
        assert sum(part.ramps[number].target for part in each) == ramp.target
        assert {part.ramps[number].within_ns for part in each} == {ramp.within_ns}
    assert [part.most for part in each] == wanted_of(split)


def test_rates_are_in_the_proportion_of_the_connections() -> None:
    split = share_of(400, fleet([(1, 10), (2, 1000), (1, 1000)]))

    assert rates_of(1000.0, split) == pytest.approx((25.0, 650.0, 325.0))
    with pytest.raises(ValueError, match="no machine"):
        rates_of(1.0, share_of(0, fleet([(1, 10)])))
